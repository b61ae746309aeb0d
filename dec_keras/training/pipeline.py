"""How both phases read x: batches of rows with their indices, read ahead of the training step.

NumPy or SciPy reads the rows of a batch from x. For an array this costs as much as TensorFlow's gather, which would
need a second copy of x.
"""

from functools import partial

import numpy as np
import tensorflow as tf

from dec_keras.training.augmentation import shift_and_rotate


def batches_per_epoch(x, batch_size):
    """Number of batches that hold every row of x once; the last is smaller if batch_size does not divide n."""
    return -(-x.shape[0] // batch_size)


def endless_batches(x, batch_size, shuffle=None, start=0, augment=None):
    """An endless tf.data.Dataset of (indices, rows): int64 of shape `(m,)` and float32 of shape `(m, d)`.

    Args:
        x: Samples of shape `(n, d)`.
        batch_size: samples per batch; the last batch of an epoch is smaller if batch_size does not divide n.
        shuffle: Random seed for the order, 0 to 2^31 - 1, or None for the order of x. Every epoch has a new order that
            depends on the seed and the epoch alone. Keras 3's own shuffling of arrays repeats one order in every epoch
            once a seed is set; that of tf.data gives another order under a tf.distribute strategy.
        start: index of the first batch, from 0; earlier batches are skipped.
        augment: Random seed for shifting and rotating each image, 0 to 2^31 - 1, anew in every batch; None for no
            augmentation. Needs x with an `image_shape`.
    """
    passed, first = divmod(start, batches_per_epoch(x, batch_size))

    def epoch(number):
        order = tf.range(x.shape[0], dtype=tf.int64)
        if shuffle is not None:
            order = tf.random.experimental.stateless_shuffle(order, seed=(shuffle, number))
        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

    def read(number, indices):
        batch = tf.numpy_function(x.rows, [indices], tf.float32)
        batch.set_shape((None, x.shape[1]))
        if augment is not None:
            batch = shift_and_rotate(batch, x.image_shape, seed=(augment, number))
        return indices, batch

    indices = tf.data.Dataset.counter(start=passed).flat_map(epoch).skip(first)
    batches = indices.enumerate(start).map(read).prefetch(4)
    options = tf.data.Options()
    # A strategy's workers each take their share of every batch.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    # There is nothing to tune, and the end of a training would often wait for the tuner, which sleeps up to a minute.
    options.autotune.enabled = False
    return batches.with_options(options)


def predictions(model, x):
    """Yields (rows, the model's output) for all of x; runs as a graph, which fuses bias and ReLU with the products."""
    if not hasattr(model, "in_graph"):
        model.in_graph = tf.function(partial(model, training=False), reduce_retracing=True)
    for rows in x.batches():
        yield rows, model.in_graph(rows)


def predict(model, x):
    """`model.predict(x)` of Samples, without Keras' copy of x: an array, or arrays nested like the model's outputs.

    Under a tf.distribute strategy every host predicts all rows, since Keras' predict would return each row twice.
    """
    parts = [tf.nest.map_structure(np.asarray, outputs) for _, outputs in predictions(model, x)]  # off a GPU at once
    return tf.nest.map_structure(lambda *arrays: np.concatenate(arrays), *parts)
