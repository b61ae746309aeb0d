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

    Writes `pretrain_log.csv` (epoch, loss; acc and nmi in the scored epochs), `ae_weights.h5`, and, until the end of
    the training, `pretrain_checkpoint.npz`.

    Args:
        dec: a DEC or IDEC; its autoencoder is trained in place.
        x: Samples of shape `(n, d)`.
        y: true labels of shape `(n,)`, or None. With labels, k-means on the codes is scored in about ten epochs.
        optimizer: a Keras optimizer, its name, or its serialised form.
        epochs: passes over x, at least 1.
        batch_size: samples per batch, at least 1; reduced to n if larger. x is shuffled every epoch.
        augment: whether to shift and rotate every image at random, anew each time; the target is the augmented image
            (DEC-DA). Needs x with an `image_shape`.
        folder: RunFolder for the files; None writes nothing.
        schedule: learning rate: "constant" is the optimizer's; "cosine" rises to the optimizer's in the first 5 % of
            the batches, then falls to 0 along a cosine.
        callbacks: Keras callbacks, called at the start and end of every epoch.
        resume: whether to continue this training from the files in `folder`, if it was interrupted, or to load its
            weights, if it was finished. Both replace the weights of `dec`.
        verbose: 0 is silent, 1 shows progress in one line or about ten lines, 2 prints one line per epoch.

    Raises:
        FloatingPointError: if the training diverges; no weights are then written.
        InputError: if `resume` is true and the checkpoint is damaged or belongs to another training.
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

    Layer i is trained as a denoising autoencoder of the codes of the layers below, which are frozen. Dropout of 20 %
    acts on the input of `encoder_i` and, except in the last layer, on the input of `decoder_i` (eq. 6-9). All layers
    are then fine-tuned together without dropout. Writes the files of `pretrain`, and a `pretrain_layer_<i>_log.csv` for
    each layer.

    Args:
        epochs: epochs of fine-tuning; a layer takes half as many. None: the paper's 100,000 batches, 50,000 per layer.
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
    """One pretraining: the state that its stages (each layer, then all layers together) share. Arguments as for
    `pretrain`, and `kind`, a dict of further settings that must match to resume the pretraining.
    """

    def __init__(self, dec, x, y, epochs, batch_size, augment, folder, callbacks, resume, verbose, kind):
        self.dec, self.x, self.y, self.epochs, self.batch_size = dec, x, y, epochs, min(batch_size, len(x))
        self.augment, self.folder, self.callbacks = augment, folder, callbacks
        self.resume, self.verbose = resume, verbose
        run = kind | {"dims": dec.dims, "epochs": epochs, "batch_size": self.batch_size}
        run |= {"augment": True} if augment else {}
        self.run = as_json(run | {"seed": dec.seed, "samples": len(x), "checksum": x.checksum})

    def is_finished(self):
        """Returns True and loads the weights if `resume` finds this training finished; else opens its checkpoint."""
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
        """Trains `model` to reconstruct x, or, for a `layer` above the first, the codes of the layers below it.

        The codes are computed batch by batch, since those of all samples can be larger than x.
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
        scored = ""

        def rewrite(epoch, done):
            loss = trainer.losses()["loss"]
            progress.rewrite(epoch * steps + done, f"epoch {epoch + 1}/{epochs}, loss {loss:#.3g}{scored}")

        with checkpoint.stoppable(), progress:
            model.stop_training = False
            callbacks.on_train_begin()
            for epoch in range(checkpoint.epoch, epochs):
                callbacks.on_epoch_begin(epoch)
                trainer.reset()
                trainer.train(steps, partial(rewrite, epoch) if progress.bar is not None else None)
                logs = trainer.losses()
                check_finite(logs["loss"], "the reconstruction loss")
                if scores := self._scored(epoch) if layer is None else {}:
                    scored = f"; acc {scores['acc']:#.3g} at epoch {epoch + 1}"
                logs |= scores
                self._say(progress, epoch, epochs, steps, logs)
                callbacks.on_epoch_end(epoch, logs)
                table.add({"epoch": epoch} | {name: logs.get(name, "NA") for name in table.columns[1:]})
                if model.stop_training:  # set by callbacks such as EarlyStopping
                    break
                checkpoint.keep(epoch + 1)
            callbacks.on_train_end()

    def _scored(self, epoch):
        """ACC and NMI of k-means on the codes in about ten epochs: the loss does not show how well codes cluster."""
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

    The last layer's code has only 10 numbers and no dropout, as in the authors' Caffe code.
    """
    encode, decode = (dec.autoencoder.get_layer(f"{part}_{i}") for part in ("encoder", "decoder"))
    x = keras.Input(shape=(dec.dims[i],))
    h = encode(layers.Dropout(0.2)(x))
    if i < len(dec.dims) - 2:
        h = layers.Dropout(0.2)(h)
    return keras.Model(x, decode(h))


def _below(dec, i):
    """The model of the layers below layer i > 0, without dropout: x -> the codes that layer i reconstructs."""
    return keras.Model(dec.autoencoder.input, dec.autoencoder.get_layer(f"encoder_{i - 1}").output)


def _reseed(seed, step):
    """Makes the random numbers of a step depend on the seed and the step alone, so that a resumed step repeats them."""
    if seed is not None:
        keras.utils.set_random_seed((seed + 1 + step) % 2**32)


def _cosine(learning_rate, batches):
    warm_up = max(1, batches // 20)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, batches - warm_up), warmup_target=learning_rate, warmup_steps=warm_up
    )


def _sgd_with_drops():
    """The paper's SGD: learning rate 0.1, divided by 10 every 20,000 batches; a shorter run drops no earlier.

    The paper's 0.1 is for Caffe's squared error, which is half of Keras' `mse`. Here it is therefore 0.05.
    """
    drops, rates = [20_000 * i for i in range(1, 5)], [0.05 * 0.1**i for i in range(5)]
    return keras.optimizers.SGD(keras.optimizers.schedules.PiecewiseConstantDecay(drops, rates), momentum=0.9)
