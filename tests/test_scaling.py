"""How x is scaled: each way against its definition, in every form of x, and kept in a model's file."""

import keras
import numpy as np
import pytest
import scipy.sparse

import scaling
from batches import ScaledRows, rows
from dec_keras.data.reading import About
from files import InputError
from scaling import Scaler, fit
from weights import read_attributes, save_model

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
        assert one.transform(X).dtype == np.float32
        np.testing.assert_allclose(one.transform(X), EXPECTED[scale](X), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(one.transform(NEW), EXPECTED[scale](NEW), rtol=1e-5, atol=1e-6)
    read = scaler.transform(mapped)
    assert isinstance(read, np.memmap if scale == "none" else ScaledRows)
    np.testing.assert_array_equal(rows(read, np.array([3, 0, 3])), scaler.transform(X)[[3, 0, 3]])


def test_sparse_x_stays_sparse():
    x = scipy.sparse.csr_matrix(np.where(X > 1, X, 0))
    x[0, 1] = -20
    for scale, expected in (
        ("l2", x.toarray() / np.maximum(np.linalg.norm(x.toarray(), axis=1, keepdims=True), 1e-9) * 2),
        ("minmax", x.toarray() / np.maximum(np.abs(x.toarray()).max(axis=0), 1e-9)),
        (3.0, 3 * x.toarray()),
    ):
        scaler = fit(x, scale)
        assert scipy.sparse.issparse(scaler.transform(x))
        np.testing.assert_allclose(scaler.transform(x).toarray(), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(scaler.transform(x.toarray()), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="would fill a sparse x: choose l2"):
        fit(x, "standard")
    with pytest.raises(InputError, match="minmax would fill a sparse x"):
        fit(X, "minmax").transform(x)


SPARSE = scipy.sparse.random(30, 20, 0.1, format="csr", rng=RNG)
PIXELS = RNG.integers(0, 200, (9, 5))
PIXELS[4, 2] = 255


@pytest.mark.parametrize(
    ("x", "about", "scale", "why"),
    [
        (SPARSE, {}, "l2", "x is sparse and not negative"),
        (-SPARSE, {}, "minmax", "x is sparse and has negative values"),
        (X.clip(0, 1), {}, 1.0, "x lies in [0, 1]"),
        (PIXELS, {}, 1 / 255, "8-bit pixels"),
        (PIXELS // 3, {"eight_bit": True, "image_shape": (1, 5)}, 1 / 255, "8-bit pixels"),
        (PIXELS // 3, {"eight_bit": True}, "minmax", "from 0 to 85"),
        (PIXELS // 3 * 2, {"eight_bit": True}, 1 / 255, "8-bit pixels"),
        (PIXELS // 3, {}, "minmax", "from 0 to 85"),
        (PIXELS + 0.5, {}, "minmax", "from"),
        (np.eye(9), {"eight_bit": True}, 1.0, "x lies in [0, 1]"),
        (X, {}, "minmax", "x goes from -"),
        (scipy.sparse.csr_matrix(PIXELS), {}, 1 / 255, "8-bit pixels"),
    ],
)
def test_auto_says_what_it_chose_and_why(x, about, scale, why, capsys):
    x = x.astype(np.float32)
    chosen = fit(x, "auto", About(**about))
    assert scale == (pytest.approx(chosen.factor) if chosen.kind == "number" else chosen.kind)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert str(chosen) in printed
    assert why in printed


def test_the_papers_scale_makes_the_mean_square_one():
    assert np.square(fit(X, None).transform(X)).mean() == pytest.approx(1)
    assert fit(X * 0, None).factor == 1


def test_bad_scales_are_told():
    assert scaling.check_scale("2e1") == 20
    for bad in ("0", "some", "nan", "-1"):
        with pytest.raises(InputError, match="choose from auto, minmax"):
            scaling.check_scale(bad)
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
