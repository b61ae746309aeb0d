"""Clusters of new data by a saved model, and the files that say which sample is in which cluster.

python DEC.py predict --model results/DEC_model_final.h5 --dataset new.csv --out labels.csv
python DEC.py predict -h
"""

import argparse
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
import pandas as pd

import scaling
from autoencoder import autoencoder
from batches import predict
from clustering import check_assigned
from datasets import DATASETS, load
from DEC import DEC
from dec_keras.data import reading
from files import InputError, whole_file, writable_folder
from IDEC import IDEC
from untrusted import check_expansion, extent, open_h5, told
from weights import KERAS_FILE, described_layers, load_weights, read_attributes, resolve_h5, stored_weights

NONE_OF_OURS = "{} has no layers encoder_0 and clustering: give a model saved by DEC or IDEC."


def parse(method, arguments):
    """The command line behind `predict` as a namespace."""
    parser = argparse.ArgumentParser(
        prog=f"{method.name}.py predict",
        description="Assign new data to the clusters of a saved model of DEC or IDEC; they are read and scaled as the "
        "data that it was trained on.",
    )
    add = parser.add_argument
    add("--model", required=True, help="DEC_model_final.h5 or IDEC_model_final.h5")
    add("--dataset", required=True, help=f"{', '.join(DATASETS)}; or a file or a folder of images, as for training")
    add("--out", default="labels.csv", type=Path, help="where to (default: %(default)s)")
    return parser.parse_args(arguments)


def run(args):
    """Writes the table of clusters of new data."""
    writable_folder(args.out.parent)
    model, attributes = load_model(args.model), read_attributes(args.model)
    x, _, about = load(args.dataset, reading.from_attributes(attributes, n_features=model.input_shape[1]))
    check_fits(model, args.model, x)
    scaler = scaling.from_attributes(attributes, args.model)
    if scaler is None:
        print(f"Warning: {args.model} does not say what its x was scaled by; x is taken as it is.")
        scaler = scaling.Scaler()
    q = predict(keras.Model(model.input, model.get_layer("clustering").output), scaler.transform(x))
    check_assigned(q)
    write_labels(args.out, q, about.names)
    sizes = np.bincount(q.argmax(axis=1), minlength=q.shape[1])
    print(f"Saved to {args.out}. Cluster sizes:", *sizes)


def load_model(path):
    """A Keras model that DEC or IDEC saved; see `load_network`."""
    model = load_network(path)
    if "clustering" not in {layer.name for layer in model.layers}:
        raise InputError(NONE_OF_OURS.format(path))
    return model


def load_network(path):
    """A Keras model that DEC or IDEC saved, or the autoencoder of `ae_weights.h5`.

    It is built anew and given the file's weights. Keras is not asked to make what the file says that it is, which can
    be code (a Lambda layer), a path on this machine, or larger than the memory.

    Raises:
        InputError: if there is no such file, or it is none of theirs.
    """
    dims, parts, n_clusters, alpha = told(lambda paths: _layout(paths[0]), [resolve_h5(path)], KERAS_FILE)
    if n_clusters is None:
        model = autoencoder(dims)[0 if "decoder_0" in parts else 1]
    else:
        model = (IDEC if "decoder_0" in parts else DEC)(dims, n_clusters, alpha).model
    load_weights(model, path)
    return model


def _layout(path):
    """(dims, names of layers, n_clusters or None, alpha) of the model in a file."""
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


def check_fits(model, path, x):
    """Raises InputError unless x has as many features as the model at `path` takes."""
    if x.shape[1] != model.input_shape[1]:
        raise InputError(f"The data have {x.shape[1]} features and {path} takes {model.input_shape[1]}.")


def write_labels(path, q, names=None):
    """Writes a table of (sample, cluster, confidence), a row a sample, from q of shape `(n, k)`.

    Args:
        path: of the CSV file.
        q: soft assignments; a sample's cluster is the one of its highest q, which is the confidence.
        names: of the n samples; None: their numbers from 0.
    """
    names = range(len(q)) if names is None else names
    table = pd.DataFrame({"sample": names, "cluster": q.argmax(axis=1), "confidence": q.max(axis=1).round(6)})
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False)
