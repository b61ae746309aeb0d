"""The stacked autoencoder d-500-500-2000-10 (DEC paper, section 3.2) and its pretraining."""

import random
import sys
from pathlib import Path

import keras
from keras import layers

import metrics
from batches import BatchTrainer, batches_per_epoch, checksum, endless_batches, predict
from checkpoint import Checkpoint, as_json
from clustering import check_finite, configuration, kmeans_start
from files import GrowingTable, InputError, check_number, check_whole, is_terminal
from settings import PAPER_BATCHES
from weights import load_weights, read_attributes, save_model


def autoencoder(dims, act="relu", init="glorot_uniform"):
    """Builds a symmetric, fully connected autoencoder with a linear code and a linear output.

    Args:
        dims: units of each encoder layer, the input's first and the code's last, e.g. [784, 500, 500, 2000, 10].
        act: activation of the inner layers.
        init: kernel initializer, a name, a Keras initializer, or its serialised form.

    Returns:
        (autoencoder, encoder): two Keras models that share the encoder's layers. Layers are named as in the seed
        repos: input, encoder_0 .. encoder_{n-1}, decoder_{n-1} .. decoder_0 for n = len(dims) - 1.

    Raises:
        InputError: if dims are fewer than two or not all whole numbers of at least 1.
    """
    if len(dims) < 2:
        raise InputError(f"dims are {list(dims)}: give at least two, the input's and the code's.")
    dims = [check_whole("a layer of dims", units, at_least=1) for units in dims]

    def dense(units, name, activation=None):
        kernel = keras.initializers.get(init)
        if isinstance(kernel, keras.initializers.Initializer):
            kernel = kernel.clone()  # a Keras 3 initializer gives the same numbers at each call, to every layer
        return layers.Dense(units, activation=activation, kernel_initializer=kernel, name=name)

    last = len(dims) - 2
    x = code = keras.Input(shape=(dims[0],), name="input")
    for i in range(last):
        code = dense(dims[i + 1], f"encoder_{i}", act)(code)
    code = dense(dims[-1], f"encoder_{last}")(code)

    y = code
    for i in range(last, 0, -1):
        y = dense(dims[i], f"decoder_{i}", act)(y)
    y = dense(dims[0], "decoder_0")(y)
    return keras.Model(x, y, name="AE"), keras.Model(x, code, name="encoder")


def pretrain(dec, x, y, *, optimizer, epochs, batch_size, save_dir, schedule, callbacks, resume):
    """Pretrains `dec.autoencoder` end to end to reconstruct x (mean squared error), as DEC-keras and IDEC-toy do.

    Writes `pretrain_log.csv` (epoch, loss; acc and nmi in the epochs scored), `ae_weights.h5`, and on the way
    `pretrain_checkpoint.npz`.

    Args:
        dec: a DEC or IDEC; its autoencoder is trained in place.
        x: samples of shape `(n, d)`, as `batches.rows` takes them.
        y: true labels of shape `(n,)`, or None; with them k-means on the codes is scored about ten times on the way.
        optimizer: a Keras optimizer.
        epochs: passes over x, at least 1.
        batch_size: samples a batch, at least 1; shuffled every epoch.
        save_dir: existing folder for the two files; None: they are not written.
        schedule: of the learning rate: "constant" as the optimizer has it, or "cosine": up to that in the first 5 % of
            the batches, then down to 0 along a cosine.
        callbacks: more Keras callbacks.
        resume: whether to go on with the same training from the files in `save_dir`, if one was cut off there, and
            from its weights, whatever those of `dec` are.

    Raises:
        FloatingPointError: if the training diverges; no weights are then written.
        InputError: if `resume` and the checkpoint is of another training, or damaged.
    """
    how = {"pretraining": "end-to-end", "optimizer": configuration(optimizer), "schedule": schedule}
    checkpoint = _begin(dec, x, epochs, batch_size, save_dir, resume, how)
    if checkpoint is None:
        return
    if schedule == "cosine":
        optimizer.learning_rate = _cosine(float(optimizer.learning_rate), epochs * batches_per_epoch(x, batch_size))
    _end_to_end(dec, x, y, optimizer, epochs, batch_size, save_dir, callbacks, checkpoint)


def pretrain_layerwise(dec, x, y, *, epochs, batch_size, save_dir, callbacks, resume):
    """Pretrains `dec.autoencoder` as the DEC paper does (section 3.2): greedily, layer by layer, then end to end.

    Layer i is a denoising autoencoder of the codes of the layers below, which stay as they are: dropout of 20 % on its
    input and, but for the last layer, on its code, before `encoder_i` and `decoder_i` (eq. 6-9). All layers are then
    fine-tuned together without dropout by `pretrain`, whose files are written, beside a `pretrain_layer_<i>_log.csv`
    for each layer.

    Args:
        epochs: of the fine-tuning; a layer takes half as many. None: the paper's 100,000 batches, 50,000 a layer.
        callbacks: more Keras callbacks, of the fine-tuning.

    Other arguments and errors as for `pretrain`.
    """
    epochs = epochs or -(-PAPER_BATCHES // batches_per_epoch(x, batch_size))
    checkpoint = _begin(dec, x, epochs, batch_size, save_dir, resume, {"pretraining": "layerwise"})
    if checkpoint is None:
        return

    n_layers = len(dec.dims) - 1
    for i in range(checkpoint.stage, n_layers):
        _reseed(dec.seed, i)
        print(f"Layer {i}: {dec.dims[i]}-{dec.dims[i + 1]}-{dec.dims[i]}")
        how = {"epochs": -(-epochs // 2), "batch_size": batch_size, "checkpoint": checkpoint, "stage": i}
        log = save_dir and Path(save_dir, f"pretrain_layer_{i}_log.csv")
        _reconstruct(dec, _denoiser(dec, i), x, _sgd_with_drops(), log=log, below=_below(dec, i), **how)

    _reseed(dec.seed, n_layers)
    _end_to_end(dec, x, y, _sgd_with_drops(), epochs, batch_size, save_dir, callbacks, checkpoint, n_layers)


def _begin(dec, x, epochs, batch_size, save_dir, resume, how):
    """The Checkpoint of a pretraining; None if one that is to be resumed came to its end: its weights are loaded.

    Args:
        how: dict of what, beside the other arguments, a pretraining has to share with another to end like it.
    """
    if not save_dir:
        return Checkpoint(None, {})
    run = how | {"dims": dec.dims, "epochs": epochs, "batch_size": batch_size, "seed": dec.seed}
    run |= {"samples": x.shape[0], "checksum": checksum(x)}
    if resume and _load_finished(dec, save_dir, run):
        return None
    return Checkpoint(Path(save_dir, "pretrain_checkpoint.npz"), run, resume)


def _load_finished(dec, save_dir, run):
    """Loads the weights of a pretraining that came to its end, if it is there; returns whether it was."""
    path = Path(save_dir, "ae_weights.h5")
    pretraining = read_attributes(path).get("pretraining") if path.is_file() else None
    if not isinstance(pretraining, dict) or pretraining.get("run") != as_json(run):
        return False
    load_weights(dec.autoencoder, path)
    dec.pretrain_seconds = check_number(f"the pretraining's time in {path}", pretraining.get("seconds"), at_least=0)
    print(f"Pretrained already: {path}")
    return True


def _end_to_end(dec, x, y, optimizer, epochs, batch_size, save_dir, callbacks, checkpoint, stage=0):
    """Trains all layers together, and saves them."""
    if y is not None:
        callbacks = [_ScoreCodes(dec, x, y, every=max(1, epochs // 10)), *callbacks]
    log = save_dir and Path(save_dir, "pretrain_log.csv")
    _reconstruct(dec, dec.autoencoder, x, optimizer, epochs, batch_size, checkpoint, stage, log, callbacks)
    dec.pretrain_seconds = checkpoint.seconds
    if save_dir:
        pretraining = {"run": checkpoint.run, "seconds": dec.pretrain_seconds}
        save_model(dec.autoencoder, Path(save_dir, "ae_weights.h5"), dec.attributes | {"pretraining": pretraining})
    checkpoint.end()


def _denoiser(dec, i):
    """Layer i and its decoder with dropout before each: y = g2(W2 drop(g1(W1 drop(x) + b1)) + b2), eq. 6-9.

    The last layer's code, 10 numbers that x is to be told from, is not dropped: so does the authors' Caffe code.
    """
    encode, decode = (dec.autoencoder.get_layer(f"{part}_{i}") for part in ("encoder", "decoder"))
    x = keras.Input(shape=(dec.dims[i],))
    h = encode(layers.Dropout(0.2)(x))
    if i < len(dec.dims) - 2:
        h = layers.Dropout(0.2)(h)
    return keras.Model(x, decode(h))


def _below(dec, i):
    """The model, without dropout, of the layers below layer i: of x, what layer i is to reconstruct. None if i is 0."""
    return keras.Model(dec.autoencoder.input, dec.autoencoder.get_layer(f"encoder_{i - 1}").output) if i else None


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


def _reconstruct(dec, model, x, optimizer, epochs, batch_size, checkpoint, stage, log, callbacks=(), below=None):
    """Trains `model` with a Keras optimizer to reconstruct x, or the codes that the model `below` makes of it.

    Codes are made batch by batch: of all samples they can be larger than x.
    """
    model.compile(optimizer=optimizer, loss="mse")

    def to_itself(_, batch):
        codes = below(batch, training=False) if below else batch
        return codes, codes

    steps = batches_per_epoch(x, batch_size)
    trainer = BatchTrainer(model, to_itself, epochs * steps)
    checkpoint.begin([*dec.autoencoder.variables, *model.variables, *optimizer.variables], stage)
    shuffle = checkpoint.kept.setdefault("shuffle", random.getrandbits(31))
    rows = checkpoint.kept.setdefault("log", [])
    with checkpoint.stoppable():
        trainer.fit(
            endless_batches(x, batch_size, shuffle, start=checkpoint.epoch * steps),
            initial_epoch=checkpoint.epoch,
            epochs=epochs,
            steps_per_epoch=steps,
            shuffle=False,
            callbacks=[_StopOnNaN(), *callbacks, _LossLog(log, rows), checkpoint],
            verbose=0 if sys.stdout is None else 1 if is_terminal(sys.stdout) else 2,
        )


class _StopOnNaN(keras.callbacks.Callback):
    """Ends a training whose loss is no longer a number."""

    def on_epoch_end(self, epoch, logs=None):
        check_finite(logs["loss"], "the reconstruction loss")


class _LossLog(keras.callbacks.Callback):
    """Logs each epoch's loss, and its scores if it was scored."""

    def __init__(self, path, rows):
        super().__init__()
        self.table = GrowingTable(path, ["epoch", "loss", "acc", "nmi"], rows)

    def on_epoch_end(self, epoch, logs=None):
        self.table.add({"epoch": epoch} | {name: logs.get(name, "NA") for name in self.table.columns[1:]})


class _ScoreCodes(keras.callbacks.Callback):
    """Scores k-means on the codes in every `every`-th epoch: how fit the codes are for clustering, which loss hides."""

    def __init__(self, dec, x, y, every):
        super().__init__()
        self.dec, self.x, self.y, self.every = dec, x, y, every

    def on_epoch_end(self, epoch, logs=None):
        if epoch % self.every == 0:
            _, labels = kmeans_start(predict(self.dec.encoder, self.x), self.dec.n_clusters, self.dec.seed)
            logs["acc"], logs["nmi"] = metrics.acc(self.y, labels), metrics.nmi(self.y, labels)
            print(f"{' ' * 8}|==>  acc: {logs['acc']:.4f},  nmi: {logs['nmi']:.4f}  <==|", flush=True)
