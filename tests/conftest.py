import inspect
import os
import sys

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores: threads of one would wait for those of the other
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")

import pytest

from DEC import DEC
from tests.helpers import DIMS, make_network_small, three_groups


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
    make_network_small(monkeypatch)


@pytest.fixture
def without_graphs():
    """Every training has models of its own, and making graphs of them takes longer than a few batches."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def without_umap(monkeypatch):
    """Runs are drawn by t-SNE, as where umap-learn is missing: UMAP compiles for half a minute in each process."""
    monkeypatch.setitem(sys.modules, "umap", None)


@pytest.fixture
def recorded(monkeypatch):
    """A function of a class or module and a name in it: the arguments of every call, by name; it runs all the same."""

    def record(method, name):
        function, calls = getattr(method, name), []

        def recording(*args, **options):
            calls.append(inspect.signature(function).bind(*args, **options).arguments)
            return function(*args, **options)

        monkeypatch.setattr(method, name, recording)
        return calls

    return record
