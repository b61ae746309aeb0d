"""Degenerate data: every run ends well or in one sentence, and no NaN reaches a file."""

import csv
from itertools import cycle

import h5py
import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from DEC import DEC
from dec_keras import metrics
from dec_keras.errors import InputError
from estimators import DECClustering, IDECClustering
from IDEC import IDEC
from tests import helpers

pytestmark = pytest.mark.usefixtures("without_graphs")

RNG = np.random.default_rng(0)
X = RNG.random((24, 5)).astype(np.float32)


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


def numbers_in(path):
    """All numbers of a saved file, as one array."""
    if path.suffix == ".npy":
        return np.load(path).ravel()
    if path.suffix == ".csv":
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        cells = [cell for row in rows for name, cell in row.items() if name != "sample"]
        missing = () if path.name == "labels.csv" else ("", "NA")  # that a log may have
        return np.array([float(cell) for cell in cells if cell not in missing])
    found = []
    with h5py.File(path, "r") as file:
        file.visititems(lambda _, item: found.append(item[...].ravel()) if isinstance(item, h5py.Dataset) else None)
    return np.concatenate([array for array in found if array.dtype.kind in "fiu"])


def check_files(folder, at_least):
    """Every number in every file of a run is finite."""
    files = [path for path in folder.rglob("*") if path.suffix in (".npy", ".csv", ".h5")]
    assert {path.name for path in files} >= at_least
    for path in files:
        assert np.isfinite(numbers_in(path)).all(), path


def outlier(size):
    x = X.copy()
    x[7] = size
    return x


KINDS = np.arange(24) % 3
DATA = {  # what: x, k, batch size
    "constant columns": (X * [1, 0, 1, 0, 0] + [0, 1, 0, 0, 5], 3, 8),
    "all-zero rows": (X * (np.arange(24) % 2)[:, None], 3, 8),
    "zeros only": (np.zeros((24, 5)), 3, 8),
    "duplicates only": (np.tile(X[:1], (24, 1)), 3, 8),
    "fewer points than clusters": (np.tile(X[:2], (12, 1)), 4, 8),
    "an outlier": (outlier(1e3), 3, 8),
    "n below the batch size": (X, 3, 256),
    "n is whole batches": (X, 3, 12),
    "n is one more": (X[:17], 3, 8),
    "batches of one": (X[:6], 3, 1),
    "one feature": (X[:, :1], 3, 8),
    "k is 2": (X, 2, 8),
    "k is 1": (X, 1, 8),
    "k is n": (X[:9], 9, 8),
    "one sample": (X[:1], 1, 8),
    "bool": (X > 0.5, 3, 8),
    "sparse without a value": (scipy.sparse.csr_matrix((24, 5), dtype=np.float32), 3, 8),
}
LABELS = {
    "of text": np.array(["b", "", "a b"])[KINDS],
    "not 0..k-1": np.array([-7, 10**12, 40])[KINDS],
    "one for all": np.zeros(24),
    "more than clusters": np.arange(24),
    "of bool": KINDS > 1,
}


@pytest.mark.parametrize(("what", "method"), list(zip(DATA, cycle([DEC, IDEC]), strict=False)))
def test_degenerate_data_are_clustered(method, what, tmp_path):
    x, k, batch_size = DATA[what]
    n = x.shape[0]
    dec = method([x.shape[1], 4, 2], k, seed=0)
    dec.pretrain(x, epochs=2, batch_size=batch_size, save_dir=tmp_path)
    labels = dec.fit(x, maxiter=4, batch_size=batch_size, tol=0, update_interval=2, save_dir=tmp_path)
    assert labels.shape == (n,)
    assert set(labels.tolist()) <= set(range(k))
    np.testing.assert_allclose(dec.soft_labels(x).sum(axis=1), 1, atol=1e-5)
    assert np.isfinite(dec.extract_features(x)).all()
    log = f"{method.name.lower()}_log.csv"
    check_files(tmp_path, {log, "pretrain_log.csv", "ae_weights.h5", f"{method.name}_model_final.h5"})
    assert [int(row["iter"]) for row in dec.result.log] == [0, 2, 4]


def test_degenerate_labels_score(tmp_path):
    """In one network, since they have no part in the training."""
    dec = DEC([5, 4, 2], 3, seed=0)
    dec.pretrain(X, LABELS["of text"], epochs=1, batch_size=8, save_dir=tmp_path)
    check_files(tmp_path, {"pretrain_log.csv", "ae_weights.h5"})
    for what, y in LABELS.items():
        dec.fit(X, y, maxiter=1, batch_size=8, tol=0, update_interval=1, save_dir=tmp_path / what)
        check_files(tmp_path / what, {"dec_log.csv", "DEC_model_final.h5"})
        assert dec.result.log[-1]["acc"] == pytest.approx(metrics.acc(y, dec.result.labels), abs=1e-5), what


@pytest.mark.parametrize(("method", "pretrained", "size"), [(DEC, True, 3e38), (IDEC, True, 3e38), (DEC, False, 1e19)])
def test_a_huge_outlier_ends_in_one_sentence_and_leaves_no_nan(method, pretrained, size, tmp_path):
    """Its square is beyond float32. `pretrained`: on data without it, so that it meets the clustering phase first."""
    dec = method([5, 4, 2], 3, seed=0)
    run, options = dec.pretrain, {"epochs": 2}
    if pretrained:
        dec.pretrain(X, epochs=1, save_dir=tmp_path)
        run, options = dec.fit, {"maxiter": 4, "tol": 0, "update_interval": 1}
    with pytest.raises(FloatingPointError, match=r"^Training diverged: .*scale the data"):
        run(outlier(size), save_dir=tmp_path, **options)
    check_files(tmp_path, set())
    assert not (tmp_path / f"{method.name}_model_final.h5").exists()


@pytest.mark.parametrize("call", ["pretrain", "fit"])
def test_nan_among_the_labels_is_told_before_anything_is_written(call, tmp_path):
    y = np.where(KINDS == 1, np.nan, KINDS)
    with pytest.raises(InputError, match="y holds NaN"):
        getattr(DEC([5, 4, 2], 3), call)(X, y, save_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


FROM_FILES = {  # what: x, y, options
    "constant columns": (X * [1, 0, 1, 0, 0], None, []),
    "zeros only": (np.zeros((24, 5)), None, ["--scale", "l2"]),
    "duplicates only, standardized": (np.tile(X[:1], (24, 1)), None, ["--scale", "standard"]),
    "the paper's scale of zeros": (np.zeros((24, 5)), None, ["--protocol", "paper", "--pretrain", "end-to-end"]),
    "an outlier": (outlier(3e38), None, []),
    "one feature": (X[:, :1] * 1e6, None, []),
    "labels of text": (X, np.array(["b", "<i>", "a,b"])[KINDS], []),
    "labels that are not 0..k-1": (X, np.array([-7, 10**12, 40])[KINDS], []),
    "bool": (X > 0.5, None, ["--batch_size", "23"]),
}


@pytest.mark.parametrize(("what", "method"), list(zip(FROM_FILES, cycle([IDEC, DEC]), strict=False)))
def test_degenerate_files_are_clustered_from_the_command_line(method, what, tmp_path, small_network):
    x, y, options = FROM_FILES[what]
    np.savez(tmp_path / "x.npz", x=x, **({} if y is None else {"y": y}))
    short = ["--pretrain_epochs", "2", "--maxiter", "3", "--update_interval", "1", "--tol", "0"]
    arguments = ["--dataset", str(tmp_path / "x.npz"), "--save_dir", str(tmp_path / "out"), *short, *options]
    helpers.command(method, [*arguments, *(["--n_clusters", "3"] if y is None else [])])
    table = pd.read_csv(tmp_path / "out" / "labels.csv")
    assert len(table) == len(x)
    assert set(table["cluster"]) <= {0, 1, 2}
    check_files(tmp_path / "out", {"labels.csv", "embedding.npy", "centers.npy", f"{method.name}_model_final.h5"})
    model = str(tmp_path / "out" / f"{method.name}_model_final.h5")
    helpers.command(
        method, ["predict", "--model", model, "--dataset", str(tmp_path / "x.npz"), "--out", str(tmp_path / "l.csv")]
    )
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "l.csv"), table, atol=1e-5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # of clusters that are empty
@pytest.mark.parametrize(
    ("estimator", "what"), [(DECClustering, "constant columns"), (IDECClustering, "k is n"), (DECClustering, "bool")]
)
def test_degenerate_data_are_clustered_by_the_estimators(estimator, what):
    x, k, batch_size = DATA[what]
    made = estimator(k, dims=(4, 2), pretrain_epochs=1, maxiter=2, batch_size=batch_size, random_state=0).fit(x)
    assert set(made.labels_.tolist()) <= set(range(k))
    np.testing.assert_array_equal(made.predict(x), made.labels_)
    assert np.isfinite(made.transform(x)).all()
