"""Weight files as the seed repos saved them, made here by Keras 2 (tf_keras), load with the same predictions."""

import numpy as np
import pytest

from DEC import DEC
from dec_keras.errors import InputError
from dec_keras.files.models import load_weights
from IDEC import IDEC

tf_keras = pytest.importorskip("tf_keras", reason="needs Keras 2: pip install tf_keras")

DIMS = [6, 16, 12, 3]


class ClusteringLayer(tf_keras.layers.Layer):
    """The seeds' layer, as far as its weight file goes."""

    def build(self, input_shape):
        self.clusters = self.add_weight(shape=(4, input_shape[1]), initializer="glorot_uniform", name="clusters")

    def call(self, z):
        import tensorflow as tf

        q = 1.0 / (1.0 + tf.reduce_sum(tf.square(tf.expand_dims(z, 1) - self.clusters), axis=2))
        return q / tf.reduce_sum(q, axis=1, keepdims=True)


@pytest.fixture
def old(tmp_path):
    """The seeds' three models in Keras 2, each with the file of its `save_weights`."""
    dense = tf_keras.layers.Dense
    x = tf_keras.Input((DIMS[0],), name="input")
    h = dense(DIMS[1], "relu", name="encoder_0")(x)
    h = dense(DIMS[2], "relu", name="encoder_1")(h)
    z = dense(DIMS[3], name="encoder_2")(h)
    h = dense(DIMS[2], "relu", name="decoder_2")(z)
    h = dense(DIMS[1], "relu", name="decoder_1")(h)
    y = dense(DIMS[0], name="decoder_0")(h)
    q = ClusteringLayer(name="clustering")(z)
    models = {
        "autoencoder": tf_keras.Model(x, y),
        "dec": tf_keras.Model(x, q),
        "idec": tf_keras.Model(x, [q, y]),
        "encoder": tf_keras.Model(x, z),
    }
    for name, model in models.items():
        model.save_weights(tmp_path / f"{name}.h5")
    return models


@pytest.fixture
def x():
    return np.random.default_rng(0).random((20, DIMS[0])).astype("float32")


def predict(model, x):
    return model.predict(x, verbose=0)


def test_autoencoder_file_loads(old, x, tmp_path):
    dec = DEC(DIMS, 4)
    load_weights(dec.autoencoder, tmp_path / "autoencoder")
    np.testing.assert_allclose(predict(dec.autoencoder, x), predict(old["autoencoder"], x), atol=1e-5)
    np.testing.assert_allclose(dec.extract_features(x), predict(old["encoder"], x), atol=1e-5)


def test_dec_file_loads(old, x, tmp_path):
    dec = DEC(DIMS, 4)
    dec.load_weights(tmp_path / "dec.h5")
    np.testing.assert_allclose(dec.soft_labels(x), predict(old["dec"], x), atol=1e-5)


def test_idec_file_loads(old, x, tmp_path):
    idec = IDEC(DIMS, 4)
    idec.load_weights(tmp_path / "idec.h5")
    for ours, theirs in zip(predict(idec.model, x), predict(old["idec"], x), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_encoder_takes_its_part_of_an_autoencoders_file(old, x, tmp_path):
    dec = DEC(DIMS, 4)
    load_weights(dec.encoder, tmp_path / "autoencoder.h5")
    np.testing.assert_allclose(dec.extract_features(x), predict(old["encoder"], x), atol=1e-5)


@pytest.mark.parametrize(
    ("dims", "n_clusters", "file", "message"),
    [
        ([6, 16, 9, 3], 4, "dec", r"layer encoder_1 has shapes \[\(16, 12\), \(12,\)\], this model's has \[\(16, 9\)"),
        (DIMS, 5, "dec", r"layer clustering has shapes \[\(4, 3\)\], this model's has \[\(5, 3\)\]"),
        (DIMS, 4, "autoencoder", "no weights for the layer clustering"),
    ],
)
def test_file_that_does_not_fit_names_the_layer_and_the_shapes(old, tmp_path, dims, n_clusters, file, message):
    with pytest.raises(InputError, match=message):
        DEC(dims, n_clusters).load_weights(tmp_path / f"{file}.h5")
