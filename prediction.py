"""Clusters of new data by a saved model, and the files that say which sample is in which cluster.

python DEC.py predict --model results/DEC_model_final.h5 --dataset new.csv --out labels.csv
python DEC.py predict -h
"""

import argparse
from pathlib import Path

import keras
import numpy as np
import pandas as pd

import clustering  # noqa: F401  registers the layer that a saved model names
import own_data
import scaling
from batches import predict
from datasets import DATASETS, load
from files import InputError, read_attributes, whole_file, writable_folder


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
    model, attributes = load_model(args.model), read_attributes(args.model)
    x, _, about = load(args.dataset, own_data.from_attributes(attributes, n_features=model.input_shape[1]))
    check_fits(model, args.model, x)
    scaler = scaling.from_attributes(attributes, args.model)
    if scaler is None:
        print(f"Warning: {args.model} does not say what its x was scaled by; x is taken as it is.")
        scaler = scaling.Scaler()
    q = predict(keras.Model(model.input, model.get_layer("clustering").output), scaler.transform(x))
    writable_folder(args.out.parent)
    write_labels(args.out, q, about.names)
    sizes = np.bincount(q.argmax(axis=1), minlength=q.shape[1])
    print(f"Saved to {args.out}. Cluster sizes:", *sizes)


def load_model(path):
    """A Keras model that DEC or IDEC saved.

    Raises:
        InputError: if there is no such file, or it is none of theirs.
    """
    read_attributes(path)  # tells what is no HDF5 file
    try:
        model = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise InputError(f"{path} is no Keras model saved whole, or it is damaged ({error}).") from error
    if not {"clustering", "encoder_0"} <= {layer.name for layer in model.layers}:
        raise InputError(f"{path} has no layers encoder_0 and clustering: give a model saved by DEC or IDEC.")
    return model


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
