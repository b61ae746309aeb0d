"""Pretraining of the autoencoder: end to end, or layer by layer as in the DEC paper (section 3.2)."""

import random
from functools import partial

import keras
from keras import layers

from dec_keras import metrics
from dec_keras.console import Progress
from dec_keras.errors import check_finite, check_number
from dec_keras.files.atomic import GrowingTable
from dec_keras.files.models import load_weights, read_attributes, save_model
from dec_keras.method.initial_centers import kmeans_start
from dec_keras.method.protocols import PAPER_BATCHES
from dec_keras.training.checkpoint import Checkpoint, as_json
from dec_keras.training.pipeline import batches_per_epoch, endless_batches, predict
from dec_keras.training.steps import Trainer, configuration, get_optimizer


def pretrain(dec, x, y, *, optimizer, epochs, batch_size, augment, folder, schedule, callbacks, resume, verbose):
    """Pretrains `dec.autoencoder` end to end to reconstruct x (mean squared error), as DEC-keras and IDEC-toy do.

    Writes `pretrain_log.csv` (epoch, loss; acc and nmi in the epochs scored), `ae_weights.h5`, and on the way
    `pretrain_checkpoint.npz`.

    Args:
        dec: a DEC or IDEC; its autoencoder is trained in place.
        x: Samples of shape `(n, d)`.
        y: true labels of shape `(n,)`, or None; with them k-means on the codes is scored about ten times on the way.
        optimizer: a Keras optimizer, its name, or its serialised form.
        epochs: passes over x, at least 1.
        batch_size: samples a batch, at least 1, and no more than there are; shuffled every epoch.
        augment: whether to shift and rotate every image at random, anew each time; the target is the augmented image
            (DEC-DA). It takes x whose `image_shape` is known.
        folder: RunFolder for the files; None: they are not written.
        schedule: of the learning rate: "constant" as the optimizer has it, or "cosine": up to that in the first 5 % of
            the batches, then down to 0 along a cosine.
        callbacks: Keras callbacks, called at the start and end of every epoch.
        resume: whether to go on with the same training from the files in `folder`, if one was cut off there, and from
            its weights, whatever those of `dec` are.
        verbose: 0 is silent, 1 shows progress, in one line or about ten, 2 prints a line an epoch.

    Raises:
        FloatingPointError: if the training diverges; no weights are then written.
        InputError: if `resume` and the checkpoint is of another training, or damaged.
    """
    optimizer = get_optimizer(optimizer)
    kind = {"pretraining": "end-to-end", "optimizer": configuration(optimizer), "schedule": schedule}
    training = _Pretraining(dec, x, y, epochs, batch_size, augment, folder, callbacks, resume, verbose, kind)
    if training.is_finished():
        return
    if schedule == "cosine":
        optimizer.learning_rate = _cosine(float(optimizer.learning_rate), epochs * batches_per_epoch(x, batch_size))
    training.fit("Pretraining", dec.autoencoder, optimizer, epochs)
    training.save()


def pretrain_layerwise(dec, x, y, *, epochs, batch_size, augment, folder, callbacks, resume, verbose):
    """Pretrains `dec.autoencoder` as the DEC paper does (section 3.2): greedily, layer by layer, then end to end.

    Layer i is a denoising autoencoder of the codes of the layers below, which stay as they are: dropout of 20 % on its
    input and, but for the last layer, on its code, before `encoder_i` and `decoder_i` (eq. 6-9). All layers are then
    fine-tuned together without dropout by `pretrain`, whose files are written, beside a `pretrain_layer_<i>_log.csv`
    for each layer.

    Args:
        epochs: of the fine-tuning; a layer takes half as many. None: the paper's 100,000 batches, 50,000 a layer.
        callbacks: Keras callbacks of the fine-tuning.

    Other arguments and errors as for `pretrain`.
    """
    epochs = epochs or -(-PAPER_BATCHES // batches_per_epoch(x, batch_size))
    kind = {"pretraining": "layerwise"}
    training = _Pretraining(dec, x, y, epochs, batch_size, augment, folder, callbacks, resume, verbose, kind)
    if training.is_finished():
        return
    dims, n_layers = dec.dims, len(dec.dims) - 1
    for i in range(training.checkpoint.stage, n_layers):
        if verbose:
            print(f"Layer {i}: {dims[i]}-{dims[i + 1]}-{dims[i]}", flush=True)
        _reseed(dec.seed, i)
        training.fit(f"Layer {i}", _denoiser(dec, i), _sgd_with_drops(), -(-epochs // 2), stage=i, layer=i)
    _reseed(dec.seed, n_layers)
    training.fit("Pretraining", dec.autoencoder, _sgd_with_drops(), epochs, stage=n_layers)
    training.save()


class _Pretraining:
    """One pretraining: what its stages (layers, and all of them together) share. Arguments as `pretrain` has them, and
    `kind`, a dict of the settings that must match to resume it, beside the others.
    """

    def __init__(self, dec, x, y, epochs, batch_size, augment, folder, callbacks, resume, verbose, kind):
        self.dec, self.x, self.y, self.epochs, self.batch_size = dec, x, y, epochs, min(batch_size, len(x))
        self.augment, self.folder, self.callbacks = augment, folder, callbacks
        self.resume, self.verbose = resume, verbose
        run = kind | {"dims": dec.dims, "epochs": epochs, "batch_size": self.batch_size}
        run |= {"augment": True} if augment else {}
        self.run = as_json(run | {"seed": dec.seed, "samples": len(x), "checksum": x.checksum})

    def is_finished(self):
        """Whether one that is to be resumed came to its end: its weights are loaded. Else its checkpoint is read."""
        path = self.folder and self.folder.ae_weights
        kept = read_attributes(path).get("pretraining") if path and self.resume and path.is_file() else None
        if not isinstance(kept, dict) or kept.get("run") != self.run:
            self.checkpoint = Checkpoint(self.folder and self.folder.checkpoint("pretrain"), self.run, self.resume)
            return False
        load_weights(self.dec.autoencoder, path)
        what = f"the pretraining's time in {path}"
        self.dec.pretrain_seconds = check_number(what, kept.get("seconds"), at_least=0)
        if self.verbose:
            print(f"Pretrained already: {path}")
        return True

    def save(self):
        self.dec.pretrain_seconds = self.checkpoint.seconds
        if self.folder:
            pretraining = {"run": self.run, "seconds": self.dec.pretrain_seconds}
            save_model(self.dec.autoencoder, self.folder.ae_weights, self.dec.attributes | {"pretraining": pretraining})
        self.checkpoint.end()

    def fit(self, name, model, optimizer, epochs, stage=0, layer=None):
        """Trains `model`, all layers, to reconstruct x; or a layer to reconstruct the codes of the layers below.

        Codes are made batch by batch: of all samples they can be larger than x.
        """
        model.compile(optimizer=optimizer, loss="mse")
        below = _below(self.dec, layer) if layer else None
        log = self.folder and (self.folder.pretrain_log if layer is None else self.folder.layer_log(layer))

        def to_itself(_, batch):
            codes = below(batch, training=False) if below else batch
            return codes, codes

        checkpoint, steps = self.checkpoint, batches_per_epoch(self.x, self.batch_size)
        optimizer.build(model.trainable_variables)
        checkpoint.begin([*self.dec.autoencoder.variables, *model.variables, *optimizer.variables], stage)
        shuffle = checkpoint.kept.setdefault("shuffle", random.getrandbits(31))
        table = GrowingTable(log, ["epoch", "loss", "acc", "nmi"], checkpoint.kept.setdefault("log", []))
        augment = shuffle if self.augment else None
        batches = endless_batches(self.x, self.batch_size, shuffle, checkpoint.epoch * steps, augment)
        trainer = Trainer(model, batches, to_itself, epochs * steps)
        callbacks = keras.callbacks.CallbackList(self.callbacks if layer is None else (), model=model)
        progress = Progress(name, epochs * steps, checkpoint.epoch * steps, self.verbose)
        scores = {}

        def rewrite(epoch, done):
            values = {"loss": trainer.losses()["loss"]} | scores
            shown = ", ".join(f"{name} {value:#.3g}" for name, value in values.items())
            progress.rewrite(epoch * steps + done, f"epoch {epoch + 1}/{epochs}, {shown}")

        with checkpoint.stoppable(), progress:
            model.stop_training = False
            callbacks.on_train_begin()
            for epoch in range(checkpoint.epoch, epochs):
                callbacks.on_epoch_begin(epoch)
                trainer.reset()
                trainer.train(steps, partial(rewrite, epoch) if progress.bar is not None else None)
                logs = trainer.losses()
                check_finite(logs["loss"], "the reconstruction loss")
                scored = self._scored(epoch) if layer is None else {}
                scores |= scored
                logs |= scored
                self._say(progress, epoch, epochs, steps, logs)
                callbacks.on_epoch_end(epoch, logs)
                table.add({"epoch": epoch} | {name: logs.get(name, "NA") for name in table.columns[1:]})
                if model.stop_training:  # as callbacks such as EarlyStopping ask for
                    break
                checkpoint.keep(epoch + 1)
            callbacks.on_train_end()

    def _scored(self, epoch):
        """ACC and NMI of k-means on the codes, about ten times: how fit they are to cluster, which the loss hides."""
        if self.y is None or epoch % max(1, self.epochs // 10):
            return {}
        _, labels, *_ = kmeans_start(predict(self.dec.encoder, self.x), self.dec.n_clusters, self.dec.seed)
        return {"acc": metrics.acc(self.y, labels), "nmi": metrics.nmi(self.y, labels)}

    @staticmethod
    def _say(progress, epoch, epochs, steps, logs):
        values = ", ".join(f"{name} {value:#.4g}" for name, value in logs.items())
        left = progress.left((epoch + 1) * steps)
        is_due = epoch % max(1, -(-epochs // 10)) == 0
        progress.line(f"Epoch {epoch + 1}/{epochs}: {values}, {left} left", is_due)


def _denoiser(dec, i):
    """Layer i and its decoder with dropout before each: y = g2(W2 drop(g1(W1 drop(x) + b1)) + b2), eq. 6-9.

    The last layer's code, which has only 10 numbers, is not dropped: so does the authors' Caffe code.
    """
    encode, decode = (dec.autoencoder.get_layer(f"{part}_{i}") for part in ("encoder", "decoder"))
    x = keras.Input(shape=(dec.dims[i],))
    h = encode(layers.Dropout(0.2)(x))
    if i < len(dec.dims) - 2:
        h = layers.Dropout(0.2)(h)
    return keras.Model(x, decode(h))


def _below(dec, i):
    """The model, without dropout, of the layers below layer i > 0: of x, what layer i is to reconstruct."""
    return keras.Model(dec.autoencoder.input, dec.autoencoder.get_layer(f"encoder_{i - 1}").output)


def _reseed(seed, step):
    """Makes each step's random numbers depend on the seed and the step alone, so that it can be resumed before it."""
    if seed is not None:
        keras.utils.set_random_seed((seed + 1 + step) % 2**32)


def _cosine(learning_rate, batches):
    warm_up = max(1, batches // 20)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, batches - warm_up), warmup_target=learning_rate, warmup_steps=warm_up
    )


def _sgd_with_drops():
    """The paper's SGD: learning rate 0.1, divided by 10 every 20,000 batches; a shorter run drops no earlier.

    0.1 is for Caffe's squared error, which is half of Keras' `mse`: 0.05 here.
    """
    drops, rates = [20_000 * i for i in range(1, 5)], [0.05 * 0.1**i for i in range(5)]
    return keras.optimizers.SGD(keras.optimizers.schedules.PiecewiseConstantDecay(drops, rates), momentum=0.9)
