import inspect
import os

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores: threads of one would wait for those of the other
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")

from dataclasses import replace

import pytest

from DEC import DEC
from dec_keras.method import protocols
from tests.helpers import DIMS, three_groups


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

    def settings(*args):
        return replace(protocols.get_settings(*args), dims=(16, 3))

    monkeypatch.setattr("dec_keras.runs.config.get_settings", settings)


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
