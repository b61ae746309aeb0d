"""What several tests need."""

import csv
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from dec_keras.data.datasets import load
from dec_keras.files.atomic import TEMPORARY
from dec_keras.method import protocols
from dec_keras.runs.command_line import parse_run
from dec_keras.runs.run import run as run_config
from dec_keras.runs.run import run_script

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


def make_network_small(patch):
    """That of the command line, by a MonkeyPatch."""

    def settings(*args):
        return replace(protocols.get_settings(*args), dims=(16, 3))

    patch.setattr("dec_keras.runs.config.get_settings", settings)


def run(method, arguments):
    """A run of DEC.py or IDEC.py in this process, by its arguments; returns the trained DEC or IDEC."""
    return run_config(method, *parse_run(method.name, [str(argument) for argument in arguments]))


def command(method, arguments):
    """The same as a script does it: errors end it with an exit code."""
    run_script(method, *parse_run(method.name, [str(argument) for argument in arguments]))


def assert_same_end(a, b):
    """The same bits in all that two runs' folders hold, but for the times in the weight files."""
    names = {path.name for path in a.iterdir()}
    assert names == {path.name for path in b.iterdir()}
    assert not any("checkpoint" in name or name.startswith(TEMPORARY) for name in names)
    for name in names:
        if name.endswith((".csv", ".npy")):
            assert (a / name).read_bytes() == (b / name).read_bytes(), name
        elif name.endswith(".h5"):
            weights = [keras.models.load_model(folder / name, compile=False).get_weights() for folder in (a, b)]
            assert all((first == second).all() for first, second in zip(*weights, strict=True)), name


def numpy_q(z, mu, alpha):
    q = (1 + ((z[:, None] - mu) ** 2).sum(2) / alpha) ** (-(alpha + 1) / 2)
    return q / q.sum(1, keepdims=True)


def numpy_p(q):
    p = q**2 / q.sum(0)
    return p / p.sum(1, keepdims=True)


def load_arrays(name, reading=None):
    """x of a data set or file as an array, CSR matrix or memory map, y, and `reading.About`."""
    x, y, about = load(name, reading)
    return x.x, y, about
