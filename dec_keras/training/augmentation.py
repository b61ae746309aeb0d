"""Random shifts and rotations of images (DEC-DA: Guo, Zhu, Liu, Yin, ACML 2018)."""

import math

import tensorflow as tf

SHIFT = 0.1  # largest shift in each direction, as a share of the side
ROTATION = 10  # largest rotation in each direction, in degrees
INTERPOLATION = "BILINEAR"


def shift_and_rotate(rows, shape, seed):
    """Rotates and shifts each image at random, both in one interpolation; each image has its own random numbers.

    Args:
        rows: float32 tensor of shape `(m, d)`, flattened images.
        shape: (height, width) or (height, width, channels) of an image.
        seed: Random seed, an int tensor of shape `(2,)`. The same seed gives the same transformations.

    Returns:
        float32 tensor of shape `(m, d)`: bilinear between pixels, the nearest pixel beyond the edge of the image.
    """
    height, width = shape[:2]
    images = tf.reshape(rows, (-1, height, width, math.prod(shape[2:])))
    limits = tf.constant([math.radians(ROTATION), SHIFT * height, SHIFT * width])
    drawn = tf.random.stateless_uniform((tf.shape(rows)[0], 3), seed, -limits, limits)
    angle, down, right = tf.unstack(drawn, axis=1)
    cos, sin = tf.cos(angle), tf.sin(angle)
    x, y = (width - 1) / 2, (height - 1) / 2  # the centre of the image, about which it rotates
    zeros = tf.zeros_like(angle)
    # Where each pixel of the result comes from: x' = cos x - sin y + ..., y' = sin x + cos y + ...
    to_x = [cos, -sin, x - cos * x + sin * y + right]
    to_y = [sin, cos, y - sin * x - cos * y + down]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([*to_x, *to_y, zeros, zeros], axis=1),
        output_shape=(height, width),
        interpolation=INTERPOLATION,
        fill_mode="NEAREST",
        fill_value=0.0,
    )
    return tf.reshape(moved, tf.shape(rows))
