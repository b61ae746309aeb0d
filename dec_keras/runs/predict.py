"""Assigns new data to the clusters of a saved model, and writes the file of clusters.

python DEC.py predict --model results/DEC_model_final.h5 --dataset new.csv --out labels.csv
python DEC.py predict -h
"""

from pathlib import Path

import keras
import numpy as np
import pandas as pd

from dec_keras import metrics
from dec_keras.data import reading, scaling
from dec_keras.data.datasets import load
from dec_keras.errors import InputError, check_assigned
from dec_keras.files.atomic import atomic_write
from dec_keras.files.models import read_attributes
from dec_keras.files.run_folder import resolve_h5, writable_folder
from dec_keras.method.saved_model import load_model
from dec_keras.training.pipeline import predict


def predict_file(args):
    """Writes the table of clusters of new data, and scores them by labels, if there are any.

    Args:
        args: namespace of `command_line.predict_parser`.
    """
    if args.out.is_dir():
        raise InputError(f"--out {args.out} is a folder: name a file in it, such as {args.out / 'labels.csv'}.")
    read = (resolve_h5(args.model), args.dataset, args.dataset.rpartition(":")[0])  # a file:name holds the data too
    if args.out.resolve() in [Path(path).resolve() for path in read]:
        raise InputError(f"--out {args.out} is the file of the data or of the model: name another file.")
    writable_folder(args.out.parent)
    model, attributes = load_model(args.model), read_attributes(args.model)
    x, y, about = load(args.dataset, reading.from_attributes(attributes, n_features=model.input_shape[1]))
    check_fits(model, args.model, x)
    scaler = scaling.from_attributes(attributes, args.model)
    if scaler is None:
        print(f"Warning: {args.model} does not say what its x was scaled by; x is taken as it is.")
        scaler = scaling.Scaler()
    q = predict(keras.Model(model.input, model.get_layer("clustering").output), scaler.transform(x))
    check_assigned(q)
    write_labels(args.out, q, about.names)
    labels = q.argmax(axis=1)
    sizes = np.bincount(labels, minlength=q.shape[1])
    print(f"Saved to {args.out}. Cluster sizes:", *sizes)
    if y is not None:
        scores = [f"{name.upper()} {value:.4f}" for name, value in metrics.scores(y, labels).items()]
        print(f"By the labels: {', '.join(scores)}.")


def check_fits(model, path, x):
    """Raises InputError unless x has as many features as the model at `path` takes."""
    if x.shape[1] != model.input_shape[1]:
        raise InputError(f"The data have {x.shape[1]} features and {path} takes {model.input_shape[1]}.")


def write_labels(path, q, names=None):
    """Writes a table of (sample, cluster, confidence), one row per sample, from q of shape `(n, k)`.

    Args:
        path: path of the CSV file.
        q: soft assignments. The highest q of a sample is its confidence and determines its cluster.
        names: names of the n samples; None: their numbers from 0.
    """
    names = range(len(q)) if names is None else names
    table = pd.DataFrame({"sample": names, "cluster": q.argmax(axis=1), "confidence": q.max(axis=1).round(6)})
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False)
