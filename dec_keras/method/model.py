"""The papers' model: the stacked autoencoder, the soft assignment Q (eq. 1) and the target distribution P (eq. 3)."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import ArrayLike

from dec_keras.errors import InputError, check_dims, check_number, check_whole

if keras.backend.backend() != "tensorflow":
    raise ImportError("DEC needs Keras' TensorFlow backend: set KERAS_BACKEND=tensorflow before you start Python.")


def soft_assign(z: Any, centers: Any, alpha: float = 1.0) -> Any:
    """Student's t soft assignment Q (DEC paper, eq. 1).

    q_ij = (1 + ||z_i - mu_j||^2 / alpha)^(-(alpha + 1) / 2), normalised over j.

    Args:
        z: codes, shape `(n, d)`, float tensor or array.
        centers: cluster centres mu, shape `(k, d)`.
        alpha: degrees of freedom of the t distribution, > 0.

    Returns:
        tensor of shape `(n, k)`; rows sum to 1.
    """
    squared = ops.sum(ops.square(ops.expand_dims(z, 1) - centers), axis=2)
    q = (1.0 + squared / alpha) ** (-(alpha + 1.0) / 2.0)
    return q / ops.sum(q, axis=1, keepdims=True)


def target_distribution(q: ArrayLike) -> np.ndarray:
    """Target distribution P (DEC paper, eq. 3): p_ij = (q_ij^2 / f_j) / sum_j' (q_ij'^2 / f_j'), f_j = sum_i q_ij.

    Args:
        q: soft assignments of *all* samples, array of shape `(n, k)`; the frequencies f_j are taken over its rows.

    Returns:
        array of q's shape and dtype; rows sum to 1.
    """
    q = np.asarray(q)
    weight = q**2 / q.sum(axis=0, dtype=np.float64)
    return (weight.T / weight.sum(axis=1)).T.astype(q.dtype)


@keras.saving.register_keras_serializable(package="DEC")
class ClusteringLayer(layers.Layer):
    """Turns codes into soft assignments to clusters; its one weight, `clusters`, holds the centres.

    Args:
        n_clusters: number of clusters, k.
        weights: initial centres, an array of shape `(k, d)` or a list with that one array. Default: Glorot uniform.
        alpha: degrees of freedom of Student's t distribution, > 0. Default 1, as in the paper.

    Input shape:
        `(batch, d)`.

    Output shape:
        `(batch, k)`.
    """

    def __init__(
        self, n_clusters: int, weights: np.ndarray | Sequence | None = None, alpha: float = 1.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.n_clusters = check_whole("n_clusters", n_clusters, at_least=1)
        self.alpha = check_number("alpha", alpha, above=0)
        self.initial_centers = weights
        self.input_spec = layers.InputSpec(ndim=2)

    def build(self, input_shape):
        shape = (self.n_clusters, input_shape[-1])
        self.clusters = self.add_weight(shape=shape, initializer="glorot_uniform", name="clusters")
        if self.initial_centers is not None:
            centers = self.initial_centers
            centers = np.asarray(centers[0] if len(centers) == 1 and np.ndim(centers[0]) == 2 else centers)
            if centers.shape != shape:
                raise InputError(f"weights have shape {centers.shape}: the centres of this layer have shape {shape}.")
            self.clusters.assign(centers)
            self.initial_centers = None

    def call(self, inputs):
        return soft_assign(inputs, self.clusters, self.alpha)

    def compute_output_shape(self, input_shape):
        return input_shape[0], self.n_clusters

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n_clusters": self.n_clusters, "alpha": self.alpha}


def autoencoder(
    dims: Sequence[int], act: str = "relu", init: Any = "glorot_uniform"
) -> tuple[keras.Model, keras.Model]:
    """Builds a symmetric, fully connected autoencoder with a linear code and a linear output (DEC paper, section 3.2).

    Args:
        dims: number of units of each encoder layer, from the input to the code, e.g. [784, 500, 500, 2000, 10].
        act: activation of the inner layers.
        init: kernel initializer, a name, a Keras initializer, or its serialised form.

    Returns:
        (autoencoder, encoder): two Keras models that share the encoder's layers. Layers are named as in the seed
        repos: input, encoder_0 .. encoder_{n-1}, decoder_{n-1} .. decoder_0 for n = len(dims) - 1.

    Raises:
        InputError: if dims are fewer than two or not all whole numbers of at least 1.
    """
    dims = check_dims("dims", dims)
    if len(dims) < 2:
        raise InputError(f"dims are {list(dims)}: give at least two, the input's and the code's.")

    def dense(units, name, activation=None):
        kernel = keras.initializers.get(init)
        if isinstance(kernel, keras.initializers.Initializer):
            kernel = kernel.clone()  # a Keras 3 initializer gives every layer the same numbers
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
