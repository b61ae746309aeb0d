"""How x is scaled: each way against its definition, in every form of x, and kept in a model's file."""

import h5py
import keras
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse
from sklearn.datasets import load_digits

from DEC import DEC
from dec_keras import metrics
from dec_keras.data import scaling
from dec_keras.data.datasets import is_here, load_data
from dec_keras.data.reading import About, Reading, check_scale
from dec_keras.data.samples import Samples
from dec_keras.data.scaling import Scaler, fit
from dec_keras.errors import InputError
from dec_keras.files.models import read_attributes, save_model
from tests import helpers
from tests.helpers import load_arrays as load

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(50, 4)) * [1, 10, 0, 3] + [0, 5, 0.1, -2]).astype(np.float32)  # the third feature is constant
NEW = (X[:7] * 2 - 1).astype(np.float32)


def minmax(x):
    size = np.where(np.ptp(X, axis=0) > 0, np.ptp(X, axis=0), np.inf)
    return (x - X.min(axis=0)) / size


def standard(x):
    deviation = np.where(np.ptp(X, axis=0) > 0, X.std(axis=0, dtype=np.float64), np.inf)
    return (x - X.mean(axis=0, dtype=np.float64)) / deviation


def l2(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True) * 2


EXPECTED = {"minmax": minmax, "standard": standard, "l2": l2, "none": lambda x: x, 2.5: lambda x: 2.5 * x}


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "x.npy", X)
    return np.load(tmp_path / "x.npy", mmap_mode="r")


@pytest.mark.parametrize("scale", EXPECTED)
def test_each_way_of_scaling_is_its_definition_and_is_kept_with_a_model(scale, mapped, tmp_path):
    scaler = fit(X, scale)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    save_model(model, tmp_path / "model.h5", scaler.attributes() | {"dataset": "mine"})
    kept = scaling.from_attributes(read_attributes(tmp_path / "model.h5"), "model.h5")
    keras.models.load_model(tmp_path / "model.h5")
    for one in (scaler, fit(mapped, scale), kept):
        assert one.transform(X).x.dtype == np.float32
        np.testing.assert_allclose(one.transform(X).x, EXPECTED[scale](X), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(one.transform(NEW).x, EXPECTED[scale](NEW), rtol=1e-5, atol=1e-6)
    read = scaler.transform(mapped)
    assert read.is_mapped
    np.testing.assert_array_equal(read.rows(np.array([3, 0, 3])), scaler.transform(X).x[[3, 0, 3]])


def test_sparse_x_is_scaled_as_its_dense_copy_and_stays_sparse_where_0_stays_0():
    x = scipy.sparse.csr_matrix(np.where(X > 1, X, 0))
    for scale, stays in (("l2", True), ("minmax", True), (3.0, True), ("standard", False)):
        scaler = fit(x, scale)
        scaled, dense = scaler.transform(x), fit(x.toarray(), scale).transform(x.toarray())
        assert scipy.sparse.issparse(scaled.matrix()) == stays
        np.testing.assert_array_equal(scaled.rows(slice(None)), dense.x)
        np.testing.assert_array_equal(scaler.transform(x.toarray()).x, dense.x)
    x[0, 1] = -20
    for scale in ("auto", "minmax"):
        scaled = fit(x, scale).transform(x)
        np.testing.assert_array_equal(scaled.rows([2, 0]), fit(x.toarray(), scale).transform(x.toarray()).x[[2, 0]])
    np.testing.assert_array_equal(
        fit(X, "minmax").transform(x).rows(slice(None)), fit(X, "minmax").transform(x.toarray()).x
    )


def test_a_minmax_of_sparse_x_that_was_saved_by_the_largest_absolute_value_stays_so():
    kept = scaling.from_attributes({"scale": "minmax", "scale_factor": np.array([0.5, 2.0])}, "a.h5")
    assert "largest absolute value" in str(kept)
    scaled = kept.transform(scipy.sparse.csr_matrix([[-2.0, 0.0], [1.0, 0.5]]))
    np.testing.assert_array_equal(scaled.x.toarray(), [[-1, 0], [0.5, 1]])


@pytest.mark.parametrize("of", [np.asarray, scipy.sparse.csr_matrix])
def test_l2_leaves_rows_of_zeros_and_takes_rows_of_any_size(of):
    x = of(np.array([[0, 0, 0, 0], [3e30, 4e30, 0, 0], [3e-30, 0, -4e-30, 0]], np.float32))
    scaled = fit(x, "l2").transform(x).rows(slice(None))
    np.testing.assert_allclose(scaled, [[0, 0, 0, 0], [1.2, 1.6, 0, 0], [1.2, 0, -1.6, 0]], rtol=1e-6)


SPARSE = scipy.sparse.random(30, 20, 0.1, format="csr", rng=RNG)
PIXELS = RNG.integers(0, 200, (9, 5))
PIXELS[4, 2] = 255
ONE_HOT = np.hstack([np.eye(k)[RNG.integers(0, k, 200)] for k in (7, 16, 8)])
INCOMES = np.hstack([RNG.lognormal(10, 0.5, (200, 1)).round(), ONE_HOT])


def counts(n=300, d=200, mean_length=60):
    """Words of texts on four subjects, one text a long one: x, int64 of shape `(n, d)`, and the subjects, `(n,)`."""
    rng = np.random.RandomState(0)
    subjects = rng.dirichlet(np.full(d, 0.05), 4) * 0.7 + rng.dirichlet(np.full(d, 0.05)) * 0.3
    y = rng.randint(4, size=n)
    lengths = rng.geometric(1 / mean_length, n) + 10
    lengths[0] = 1200
    return np.stack([rng.multinomial(length, subjects[c]) for length, c in zip(lengths, y, strict=True)]), y


def drawings(n=200, side=12):
    """Strokes of three pixels' breadth on an empty ground: bytes of shape `(n, side * side)`, the brightest 250."""
    x = np.zeros((n, side, side), np.uint8)
    for image, at in zip(x, RNG.integers(1, side - 1, (n, 2)), strict=True):
        image[at[0] - 1 : at[0] + 2, 2:-2] = RNG.integers(150, 251, (3, side - 4))
        image[2:-2, at[1]] = 250
    return x.reshape(n, -1)


COUNTS = counts()[0]
DRAWINGS = drawings()
IMAGES = {"image_shape": (12, 12)}
LONG_TEXT = np.minimum(COUNTS * np.where(np.arange(len(COUNTS)) == 0, 20, 1)[:, None], 255)  # cut off by bytes


@pytest.mark.parametrize(
    ("x", "about", "scale", "why"),
    [
        (COUNTS, {}, "l2", "x is not negative and 8"),
        (LONG_TEXT, {}, "l2", "% zeros, as counts and tf-idf are"),
        (LONG_TEXT, {"image_shape": (10, 20)}, "l2", "% zeros, as counts and tf-idf are"),
        (COUNTS > 0, {}, "l2", "% zeros"),
        (np.log1p(COUNTS), {}, "l2", "% zeros"),
        (COUNTS / np.linalg.norm(COUNTS, axis=1, keepdims=True), {}, "l2", "% zeros"),
        (COUNTS[:, np.argsort(-COUNTS.sum(axis=0))], {}, "l2", "% zeros"),
        (RNG.poisson(0.3, (300, 8)), {}, "l2", "% zeros"),
        (SPARSE, {}, "l2", "x is not negative and 90% zeros"),
        (ONE_HOT, {}, "l2", "x is not negative and 90% zeros"),
        (INCOMES, {}, "minmax", "x goes from 0 to"),
        (-SPARSE, {}, "minmax", "x goes from -"),
        (X.clip(0, 1), {}, 1.0, "x lies in [0, 1]"),
        (DRAWINGS, {}, "minmax", "from 0 to 250"),
        (DRAWINGS, IMAGES, 1 / 255, "8-bit pixels"),
        (DRAWINGS // 4, IMAGES, "minmax", "from 0 to 62"),
        (DRAWINGS // 4, IMAGES | {"eight_bit": True}, 1 / 255, "8-bit pixels"),
        (COUNTS, IMAGES | {"eight_bit": True}, 1 / 255, "8-bit pixels"),
        (np.where(DRAWINGS == 250, 255, DRAWINGS), {}, 1 / 255, "8-bit pixels"),
        (np.where(DRAWINGS == 250, 255, DRAWINGS)[:, RNG.permutation(144)], {}, 1 / 255, "8-bit pixels"),
        (DRAWINGS / 250, {}, 1.0, "x lies in [0, 1]"),
        (DRAWINGS > 0, {}, 1.0, "x lies in [0, 1]"),
        (DRAWINGS / 50, {}, "minmax", "from 0 to 5"),
        (PIXELS, {}, 1 / 255, "8-bit pixels"),
        (PIXELS // 3, {}, "minmax", "from 0 to 85"),
        (PIXELS // 3 * 2, {}, "minmax", "from 0 to 170"),
        (PIXELS + 0.5, {}, "minmax", "from"),
        (X, {}, "minmax", "x goes from -"),
        (X * 0, {}, 1.0, "x lies in [0, 1]"),
        (load_digits().data, {}, "minmax", "from 0 to 16"),
    ],
)
def test_auto_says_what_it_chose_and_why_whether_x_is_dense_or_sparse(x, about, scale, why, capsys):
    x = Samples(x).x
    sparse = scipy.sparse.csr_matrix(x)
    chosen, of_sparse = fit(x, "auto", About(**about)), fit(sparse, "auto", About(**about))
    assert scale == (pytest.approx(chosen.factor) if chosen.kind == "number" else chosen.kind)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert printed[0] == printed[1]
    assert str(chosen) in printed[0]
    assert why in printed[0]
    x = x if isinstance(x, np.ndarray) else x.toarray()
    np.testing.assert_allclose(of_sparse.transform(sparse).rows(slice(None)), chosen.transform(x).x, rtol=1e-6)


@pytest.mark.parametrize("name", ["mnist", "fmnist", "usps"])
def test_auto_takes_images_that_are_mostly_zeros_for_images(name):
    if not is_here(name):
        pytest.skip("needs the data set")
    x = load_data(name)[0][:3000]
    assert fit(x, "auto") == Scaler()
    assert fit(x > 0.5, "auto") == Scaler()
    if name != "usps":
        assert fit(np.round(x * 255), "auto") == Scaler(factor=1 / 255)


FORMS = [
    "u1.npz",
    "i8.npz",
    "f8.npz",
    "sparse.npz",
    "u1.npy",
    "f8.npy",
    "u1.mat",
    "f8.mat",
    "sparse.mat",
    "u1.h5",
    "f8.h5",
    "csv",
]


def saved(form, x, y, folder):
    """The path of a file that holds x in a form of FORMS, and y where the format has labels."""
    path = folder / f"x.{form}"
    of = {"u1": np.uint8, "i8": np.int64, "f8": np.float64, "sparse": scipy.sparse.csr_matrix}
    held = of.get(form.split(".")[0], np.asarray)(x)
    if form == "sparse.npz":
        scipy.sparse.save_npz(path, held.astype(np.float32))
    elif form.endswith(".npz"):
        np.savez(path, x=held, y=y)
    elif form.endswith(".npy"):
        np.save(path, held)
    elif form.endswith(".mat"):
        scipy.io.savemat(path, {"X": held.astype(np.float64) if form == "sparse.mat" else held, "Y": y})
    elif form.endswith(".h5"):
        with h5py.File(path, "w") as file:
            file["x"], file["y"] = held, y
    else:
        names = [f"word {i}" for i in range(x.shape[1])]
        pd.DataFrame(x, columns=names).assign(subject=y).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_counts_are_scaled_alike_in_every_container_and_type(form, tmp_path, capsys):
    x, y = counts()
    how = Reading(label_column="subject") if form == "csv" else None
    read, _, about = load(str(saved(form, x, y, tmp_path)), how)
    scaler = fit(read, "auto", about)
    assert "Scale: l2" in capsys.readouterr().out
    expected = x / np.linalg.norm(x, axis=1, keepdims=True) * np.sqrt(x.shape[1])
    np.testing.assert_allclose(scaler.transform(read).rows(slice(None)), expected, rtol=1e-6)


def test_counts_get_the_same_clusters_dense_or_sparse(small_network, tmp_path):
    x, y = counts()
    labels = []
    for form in ("u1.mat", "sparse.npz", "csv"):
        options = ["--n_clusters", "4", "--pretrain_epochs", "100", "--maxiter", "60", "--seed", "0"]
        options += ["--label_column", "subject"] if form == "csv" else []
        options += ["--save_dir", str(tmp_path / "out" / form)]
        helpers.command(DEC, ["--dataset", str(saved(form, x, y, tmp_path)), *options])
        labels.append(pd.read_csv(tmp_path / "out" / form / "labels.csv")["cluster"])
        assert metrics.acc(y, labels[-1].to_numpy()) > 0.9
        assert metrics.ari(labels[0], labels[-1]) > 0.98


def test_auto_and_l2_read_a_mapped_x_once(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", COUNTS.astype(np.float32))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    read = []
    x, batches = Samples(x), Samples.batches
    monkeypatch.setattr(Samples, "batches", lambda self: read.append(self is x) or batches(self))
    scaled = fit(x, "auto").transform(x)
    assert scaled.is_mapped
    assert read == [True, False]  # for the rule, and to check and sum the scaled ones


def test_the_papers_scale_makes_the_mean_square_one():
    assert np.square(fit(X, None).transform(X).x).mean() == pytest.approx(1)
    assert fit(X * 0, None).factor == 1


def test_bad_scales_are_told():
    assert check_scale("2e1") == 20
    for bad in ("0", "some", "nan", "-1"):
        with pytest.raises(InputError, match="choose from auto, minmax"):
            check_scale(bad)
    with pytest.raises(InputError, match="fitted to 4 features and the data have 3"):
        fit(X, "minmax").transform(X[:, :3])
    with pytest.raises(InputError, match="beyond float32"):
        fit(X, 1e39).transform(X)
    with pytest.raises(InputError, match=r"the scale in a\.h5 is many"):
        scaling.from_attributes({"scale": "many"}, "a.h5")


def test_a_scale_that_is_asked_for_again_is_the_same():
    for scaler, same, others in (
        (Scaler(factor=2.0), ("auto", 2.0), ("none", 3.0, "l2")),
        (Scaler(), ("auto", "none", 1.0), (2.0, "minmax")),
        (fit(X, "minmax"), ("auto", "minmax"), ("standard", "none", 1.0)),
    ):
        assert all(map(scaler.is_asked, same))
        assert not any(map(scaler.is_asked, others))
