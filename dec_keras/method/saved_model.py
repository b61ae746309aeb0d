"""Rebuilds models that DEC and IDEC saved."""

from itertools import pairwise

import keras

from dec_keras.errors import InputError
from dec_keras.files.models import KERAS_FILE, described_layers, load_weights, stored_weights
from dec_keras.files.run_folder import resolve_h5
from dec_keras.files.untrusted import check_expansion, explain_errors, extent, open_h5
from dec_keras.method.model import ClusteringLayer, autoencoder

NONE_OF_OURS = "{} has no layers encoder_0 and clustering: give a model saved by DEC or IDEC."


def load_model(path):
    """A Keras model that DEC or IDEC saved; see `load_network`."""
    model = load_network(path)
    if "clustering" not in {layer.name for layer in model.layers}:
        raise InputError(NONE_OF_OURS.format(path))
    return model


def load_network(path):
    """A Keras model that DEC or IDEC saved, or the autoencoder of `ae_weights.h5`.

    The model is rebuilt here and gets the file's weights. Keras does not build the model that the file describes, since
    the description can hold code (a Lambda layer) or a path on this machine, or exceed the memory.

    Raises:
        InputError: if the file is missing, or neither DEC nor IDEC saved it.
    """
    dims, parts, n_clusters, alpha = explain_errors(lambda paths: _layout(paths[0]), [resolve_h5(path)], KERAS_FILE)
    if n_clusters is None:
        model = autoencoder(dims)[0 if "decoder_0" in parts else 1]
    else:
        whole, encoder = autoencoder(dims)
        q = ClusteringLayer(n_clusters, alpha=alpha, name="clustering")(encoder.output)
        model = keras.Model(encoder.input, [q, whole.output] if "decoder_0" in parts else q)
    load_weights(model, path)
    return model


def _layout(path):
    """(dims, {layer name: weights}, n_clusters or None, alpha or None) of the model in a file."""
    with open_h5(path) as file:
        stored = stored_weights(file)
        kernels = [stored[f"encoder_{i}"][0] for i in range(len(stored)) if f"encoder_{i}" in stored]
        if not kernels:
            raise InputError(NONE_OF_OURS.format(path))
        items = [item for weights in stored.values() for item in weights]
        numbers, size, there = (sum(numbers) for numbers in zip(*map(extent, items), strict=True))
        check_expansion(path, numbers, size, there)
        dims = [kernels[0].shape[0], *(kernel.shape[1] for kernel in kernels)]
        if [kernel.shape for kernel in kernels] != list(pairwise(dims)):
            raise ValueError("its layers do not fit together")
        if "clustering" not in stored:
            return dims, stored, None, None
        configs = (layer["config"] for layer in described_layers(file))
        alpha = next((config.get("alpha", 1.0) for config in configs if config["name"] == "clustering"), 1.0)
        return dims, stored, stored["clustering"][0].shape[0], alpha
