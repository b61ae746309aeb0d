"""The stacked autoencoder d-500-500-2000-10 (DEC paper, section 3.2) and its pretraining."""

import sys
from pathlib import Path

import keras
from keras import layers

import metrics
from clustering import check_finite, kmeans_start
from files import InputError, save_model


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
    if len(dims) < 2 or any(int(d) != d or d < 1 for d in dims):
        raise InputError(f"dims are {list(dims)}: give at least two whole numbers, each at least 1.")

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


def pretrain(dec, x, y=None, *, optimizer, epochs, batch_size, save_dir):
    """Pretrains `dec.autoencoder` end to end to reconstruct x (mean squared error), as DEC-keras and IDEC-toy do.

    Writes `pretrain_log.csv` (epoch, loss; acc and nmi in the epochs scored) and `ae_weights.h5`.

    Args:
        dec: a DEC or IDEC; its autoencoder is trained in place.
        x: samples, float32 array of shape `(n, d)`.
        y: true labels of shape `(n,)`, or None; with them k-means on the codes is scored about ten times on the way.
        optimizer: a Keras optimizer, its name, or its serialised form.
        epochs: passes over x, at least 1.
        batch_size: samples a batch, at least 1; shuffled every epoch.
        save_dir: existing folder for the two files.

    Raises:
        FloatingPointError: if the training diverges; no weights are then written.
    """
    save_dir = Path(save_dir)
    callbacks = [_StopOnNaN(), keras.callbacks.CSVLogger(save_dir / "pretrain_log.csv")]
    if y is not None:
        callbacks.insert(1, _ScoreCodes(dec, x, y, every=max(1, epochs // 10)))  # before the logger: it adds columns
    dec.autoencoder.compile(optimizer=keras.optimizers.get(optimizer), loss="mse")
    dec.autoencoder.fit(
        x,
        x,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=callbacks,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    save_model(dec.autoencoder, save_dir / "ae_weights.h5")


class _StopOnNaN(keras.callbacks.Callback):
    """Ends a training whose loss is no longer a number."""

    def on_epoch_end(self, epoch, logs=None):
        check_finite(logs["loss"], "the reconstruction loss")


class _ScoreCodes(keras.callbacks.Callback):
    """Scores k-means on the codes in every `every`-th epoch: how fit the codes are for clustering, which loss hides."""

    def __init__(self, dec, x, y, every):
        super().__init__()
        self.dec, self.x, self.y, self.every = dec, x, y, every

    def on_epoch_end(self, epoch, logs=None):
        if epoch % self.every == 0:
            _, labels = kmeans_start(self.dec.extract_features(self.x), self.dec.n_clusters, self.dec.seed)
            logs["acc"], logs["nmi"] = metrics.acc(self.y, labels), metrics.nmi(self.y, labels)
            print(f"{' ' * 8}|==>  acc: {logs['acc']:.4f},  nmi: {logs['nmi']:.4f}  <==|", flush=True)
