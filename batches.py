"""How both phases get at x: an array, a file larger than memory, or a sparse matrix, a batch of dense rows at a time.

x stays where it is and is held once. NumPy or SciPy take a batch's rows out of it, read ahead of the training step; for
an array that costs as much as TensorFlow's own gather, which would need a second copy of it.
"""

import zlib
from functools import partial

import keras
import numpy as np
import scipy.sparse
import tensorflow as tf

PREDICT_BATCH = 1024  # samples; Keras' default of 32 makes a refresh of P several times slower
XLA_BATCHES = 1000  # a training of fewer is not worth XLA's compiling


def batches_per_epoch(x, batch_size):
    """Batches that hold every row of x once, the last one partial where batch_size does not divide them."""
    return -(-x.shape[0] // batch_size)


def rows(x, index):
    """Rows of x as a float32 array of shape `(m, d)`.

    Args:
        x: array, memory map, ScaledRows or CSR matrix of shape `(n, d)`.
        index: slice, or int array of shape `(m,)`.
    """
    part = x[index]
    return np.ascontiguousarray(part.toarray() if scipy.sparse.issparse(part) else part, dtype=np.float32)


class ScaledRows:
    """A mapped or sparse x whose rows are scaled as they are read, by the function `scale`: x may exceed the memory."""

    def __init__(self, x, scale):
        self.x, self.scale, self.shape, self.dtype = x, scale, x.shape, np.dtype(np.float32)

    def __getitem__(self, index):
        return self.scale(rows(self.x, index))


def pieces(x, size=PREDICT_BATCH):
    """Yields all rows of x in order, `size` at a time, as `rows` gives them."""
    for start in range(0, x.shape[0], size):
        yield rows(x, slice(start, start + size))


def predict(model, x):
    """`model.predict(x)` for any x of `pieces` and a model with one output, without Keras' copy of x.

    Where a tf.distribute strategy is at work, every replica predicts all: Keras' predict would give each row twice.
    """
    return np.concatenate([outputs.numpy() for _, outputs in predictions(model, x)])


def predictions(model, x):
    """Yields (piece, the model's output) for all of x, in a graph, which fuses bias and ReLU with the products."""
    if not hasattr(model, "in_graph"):
        model.in_graph = tf.function(partial(model, training=False), reduce_retracing=True)
    for piece in pieces(x):
        yield piece, model.in_graph(piece)


def checksum(x):
    """CRC-32 of x's rows."""
    crc = 0
    for piece in pieces(x):
        crc = zlib.crc32(piece, crc)
    return crc


def endless_batches(x, batch_size, shuffle=None, start=0):
    """An endless tf.data.Dataset of (indices, rows): int64 of shape `(m,)` and float32 of shape `(m, d)`.

    Args:
        x: as for `rows`.
        batch_size: samples a batch; the last of an epoch is smaller where batch_size does not divide them.
        shuffle: a seed, 0 to 2^31 - 1, or None for x's own order. Every epoch has a new order, which depends on the
            seed and the epoch alone. Keras 3's own shuffling of arrays repeats one order in every epoch once a seed is
            set, and tf.data's gives another one under a tf.distribute strategy.
        start: number of the first batch, from 0; those before it are left out.
    """
    passed, first = divmod(start, batches_per_epoch(x, batch_size))

    def epoch(number):
        order = tf.range(x.shape[0], dtype=tf.int64)
        if shuffle is not None:
            order = tf.random.experimental.stateless_shuffle(order, seed=(shuffle, number))
        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

    def read(indices):
        batch = tf.numpy_function(partial(rows, x), [indices], tf.float32)
        batch.set_shape((None, x.shape[1]))
        return indices, batch

    batches = tf.data.Dataset.counter(start=passed).flat_map(epoch).skip(first).map(read).prefetch(4)
    options = tf.data.Options()
    # A strategy's workers each take their share of every batch.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    # There is nothing to tune, and the end of a training would often wait for the tuner, which sleeps up to a minute.
    options.autotune.enabled = False
    return batches.with_options(options)


class BatchTrainer(keras.Model):
    """Lets Keras' `fit` train a compiled `model` on `endless_batches`; a long training in steps compiled by XLA.

    XLA fuses what lies between the matrix products (activations, losses, the optimizer): a step of the paper's network
    takes about 0.75 of the time. Keras' own choice ("auto") leaves it off on a CPU; it stands on a GPU, under a
    tf.distribute strategy of several replicas, and where compiling would take longer than it saves.

    Args:
        model: a compiled Keras model.
        prepare: takes a batch's (indices, rows), returns its (inputs, targets).
        n_batches: most batches of the training.
    """

    def __init__(self, model, prepare, n_batches):
        super().__init__()
        self.trained, self.prepare = model, prepare
        self.built = True
        model.optimizer.build(model.trainable_variables)  # takes longer while a step is traced
        replicas, gpus = self.distribute_strategy.num_replicas_in_sync, tf.config.list_physical_devices("GPU")
        worth_it = n_batches >= XLA_BATCHES and replicas == 1 and not gpus
        self.compile(optimizer=model.optimizer, jit_compile=True if worth_it else "auto")

    @property
    def metrics(self):  # what `fit` resets and reports
        return self.trained.metrics

    def train_step(self, batch):
        logs = self.trained.train_step(self.prepare(*batch))
        several_hosts = isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)
        return {name: value[None] if several_hosts else value for name, value in logs.items()}  # Keras takes their mean

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """All is built. Keras would reduce a batch over the workers of a strategy to learn its shape, and fails."""
