import inspect
import os

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores: threads of one would wait for those of the other
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")

import csv
from pathlib import Path

import numpy as np
import pytest

from DEC import DEC

ROOT = Path(__file__).resolve().parent.parent
DIMS = [6, 16, 16, 3]


def read_log(path):
    """The rows of a CSV file as dicts."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def three_groups():
    """Three groups of 6-D points in [0, 1]: x float32 of shape (100, 6), y of shape (100,)."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=100)
    centers = np.array([[0.1] * 6, [0.9] * 6, [0.1, 0.9] * 3])
    x = centers[y] + rng.normal(scale=0.05, size=(100, 6))
    return x.clip(0, 1).astype(np.float32), y


@pytest.fixture
def blobs():
    return three_groups()


@pytest.fixture
def dec():
    import keras

    keras.utils.set_random_seed(0)
    return DEC(DIMS, n_clusters=3, seed=0)


@pytest.fixture
def small_network(monkeypatch):
    """Of the command line."""
    monkeypatch.setattr("cli.CODE_DIMS", (16, 3))


@pytest.fixture
def recorded(monkeypatch):
    """A function of a class and a method's name: the arguments of every call, by name; the method runs all the same."""

    def record(method, name):
        function, calls = getattr(method, name), []

        def recording(*args, **options):
            calls.append(inspect.signature(function).bind(*args, **options).arguments)
            return function(*args, **options)

        monkeypatch.setattr(method, name, recording)
        return calls

    return record
