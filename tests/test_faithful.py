"""A guard: short runs on real data must repeat to the bit, and stay in their bands of scores.

The bands hold what several seeds gave when they were drawn (tests/README.md), with room on both sides: a change that
leaves them has changed the method.
"""

import os
from pathlib import Path

import keras
import numpy as np
import pytest

from DEC import DEC
from dec_keras import metrics
from dec_keras.data.datasets import MissingData, load_data
from IDEC import IDEC
from tests import helpers
from tests.helpers import read_log


def short_run(method, dataset, epochs, batches, folder, *more):
    lengths = ["--pretrain_epochs", str(epochs), "--maxiter", str(batches), "--update_interval", "40", "--tol", "0"]
    return helpers.run(method, ["--dataset", dataset, *lengths, "--save_dir", str(folder), *more])


def scores(y, labels):
    return tuple(round(100 * metrics.scores(y, labels)[name], 1) for name in ("acc", "nmi"))


def check_band(dataset, epochs, batches, folder, start, end, improved):
    """Runs DEC, and IDEC on its autoencoder, and checks (ACC, NMI) in % of start and end."""
    y = load_data(dataset)[1]
    dec = short_run(DEC, dataset, epochs, batches, folder / "dec")
    weights = str(folder / "dec" / "ae_weights.h5")
    idec = short_run(IDEC, dataset, epochs, batches, folder / "idec", "--ae_weights", weights)
    np.testing.assert_array_equal(dec.result.start_labels, idec.result.start_labels)
    for labels, band in ((dec.result.start_labels, start), (dec.result.labels, end), (idec.result.labels, end)):
        found = scores(y, labels)
        assert all(low <= score <= high for score, (low, high) in zip(found, band, strict=True)), (found, band)
    for method in (dec, idec):
        assert scores(y, method.result.labels)[1] - scores(y, method.result.start_labels)[1] >= improved


def test_digits_stay_in_their_band(tmp_path):
    check_band("digits", 40, 200, tmp_path, start=((68, 80), (70, 77)), end=((69, 82), (73, 82)), improved=1)


@pytest.mark.skipif("DEC_DATA_DIR" not in os.environ, reason="needs USPS: set DEC_DATA_DIR")
def test_usps_stays_in_its_band(tmp_path):
    try:
        load_data("usps")
    except MissingData as error:
        pytest.skip(str(error))
    check_band("usps", 8, 240, tmp_path, start=((66, 71), (62.5, 67)), end=((68.5, 74.5), (67.5, 74.5)), improved=3)


@pytest.mark.parametrize("method", [DEC, pytest.param(IDEC, marks=pytest.mark.slow)])
def test_a_seed_gives_the_same_bits_on_digits(method, tmp_path):
    first, second = (short_run(method, "digits", 3, 80, tmp_path / name, "--seed", "5") for name in "ab")
    for a, b in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for name in ("pretrain_log.csv", f"{method.name.lower()}_log.csv", "labels.csv"):
        assert Path(tmp_path, "a", name).read_bytes() == Path(tmp_path, "b", name).read_bytes()
    files = (tmp_path / name / f"{method.name}_model_final.h5" for name in "ab")
    models = [keras.models.load_model(file, compile=False) for file in files]
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(a, b)
    short_run(method, "digits", 1, 1, tmp_path / "c", "--seed", "6")
    first, other = (read_log(tmp_path / name / "pretrain_log.csv")[0] for name in "ac")
    assert first["loss"] != other["loss"]
