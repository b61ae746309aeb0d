"""Data sets: every format in its exact form on disk, what is refused and what is said of it, and downloads.

Each test has an empty machine to itself: no data folders, caches or mirrors but those it makes.
"""

import bz2
import gzip
import hashlib
import http.server
import io
import os
import resource
import socket
import struct
import tarfile
import threading
import time
import zipfile
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial, partialmethod
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

from dec_keras.data import datasets, download, formats, reuters
from dec_keras.data.datasets import load_data
from dec_keras.data.download import Mirror
from dec_keras.data.samples import Samples, check_labels
from dec_keras.errors import InputError
from tests.data_files import (
    ROOTS,
    SMALL_CORPUS,
    TOKENS,
    Payload,
    corpus,
    idx,
    images,
    numbers,
    pickled_npy,
    pickled_npz,
    pickled_raw,
    put,
    unpickle,
    write_idx,
    write_pendigits,
    write_stl_binaries,
    write_tokens,
    write_usps_h5,
    write_usps_jf,
    write_usps_libsvm,
)

REAL = Path(os.environ.get("DEC_DATA_DIR") or Path(__file__).parents[1] / "../shared/data").resolve()
ROWS = dict(datasets.DATASETS)  # the table as it is, before `machine` takes the mirrors away


def offline(**_):
    raise OSError("no network")


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine with two empty data folders: `$DEC_DATA_DIR` (.given) and `data/` (.data)."""
    folders = SimpleNamespace(given=tmp_path / "given", data=tmp_path / "data", home=tmp_path / "home")
    for folder in vars(folders).values():
        folder.mkdir()
    monkeypatch.setenv("DEC_DATA_DIR", str(folders.given))
    monkeypatch.setenv("HOME", str(folders.home))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(datasets, "DATA", folders.data)
    monkeypatch.setattr(download, "PROTOCOLS", ("https://", "http://127.0.0.1"))
    monkeypatch.setattr(reuters, "fetch_rcv1", offline)
    for name, row in ROWS.items():
        monkeypatch.setitem(datasets.DATASETS, name, replace(row, mirrors=(), elsewhere=()))
    return folders


@pytest.fixture
def change(monkeypatch):
    """Changes a row of the table: `change(name, mirrors=..., elsewhere=...)`."""
    return lambda name, **values: monkeypatch.setitem(datasets.DATASETS, name, replace(ROWS[name], **values))


@contextmanager
def refused(*mentions):
    """The block raises InputError, of one line with all `mentions` in it; of a tuple, one is enough."""
    with pytest.raises(InputError) as info:
        yield
    message = str(info.value)
    assert len(message.splitlines()) == 1
    for mention in mentions:
        choices = mention if isinstance(mention, tuple) else (mention,)
        assert any(str(choice) in message for choice in choices), f"{mention} is not in: {message}"


def same(loaded, written):
    """`loaded` is x, y as a named set gives them, with the values of `written`."""
    (x, y), (x_written, y_written) = loaded, written
    assert x.dtype == np.float32
    assert y.dtype == np.int64
    assert x.flags.c_contiguous
    np.testing.assert_allclose(x, x_written, rtol=2e-6, atol=1e-7)
    np.testing.assert_array_equal(y, y_written)


# Writers: each makes one format's files in a folder and returns the x and y that they stand for.


def write_mnist_npz(folder, side=28, prepare=lambda x: x):
    x, y = images(side)
    np.savez(folder / "mnist.npz", x_train=prepare(x[:5]), y_train=y[:5], x_test=prepare(x[5:]), y_test=y[5:])
    return x.reshape(8, -1) / 255, y


def write_prepared(folder, file="reutersidf10k.npz", names=("x", "y"), d=20):
    x, y = numbers().random((6, d)), np.array([0, 3, 1, 2, 2, 0])
    np.savez(folder / file, **dict(zip(names, (x, y), strict=True)))
    return x, y


def write_stl_npy(folder, d=4096):
    x, y = numbers().random((6, d)).astype(np.float32), np.array([1, 10, 3, 4, 4, 2], np.uint8)
    np.save(folder / "stl_features.npy", x)
    y[:4].tofile(folder / "train_y.bin")
    y[4:].tofile(folder / "test_y.bin")
    return x, y.astype(int) - 1


FORMATS = {  # what: data set, its folder, writer
    "mnist.npz": ("mnist", "mnist", write_mnist_npz),
    "mnist-idx": ("mnist", "mnist", write_idx),
    "mnist-idx.gz": ("mnist", "mnist", partial(write_idx, suffix=".gz")),
    "fmnist-idx": ("fmnist", "fmnist", write_idx),
    "fmnist-idx.gz": ("fmnist", "fmnist", partial(write_idx, suffix=".gz")),
    "usps.jf": ("usps", "usps", write_usps_jf),
    "usps.jf.gz": ("usps", "usps", partial(write_usps_jf, suffix=".gz")),
    "usps.h5": ("usps", "usps", write_usps_h5),
    "usps.bz2": ("usps", "usps", write_usps_libsvm),
    "pendigits": ("pendigits", "pendigits", write_pendigits),
    "pendigits.gz": ("pendigits", "pendigits", partial(write_pendigits, suffix=".gz")),
    "reuters-tokens": ("reuters10k", "reuters", write_tokens),
    "reuters-tokens.gz": ("reuters10k", "reuters", partial(write_tokens, suffix=".gz")),
    "reuters-xie-tokens": ("reuters10k-xie", "reuters", partial(write_tokens, subset="xie")),
    "reuters-prepared": ("reuters10k", "reuters", write_prepared),
    "reuters-data-label": ("reuters10k", "reuters", partial(write_prepared, names=("data", "label"))),
    "reuters-xie-prepared": ("reuters10k-xie", "reuters", partial(write_prepared, file="reutersidf10k_xie.npz")),
    "rcv1-10k": ("rcv1-10k", "reuters", partial(write_prepared, file="reuters10k_like.npz")),
    "stl_features.npz": ("stl", "stl", partial(write_prepared, file="stl_features.npz", d=4096)),
    "stl_features.npy": ("stl", "stl", write_stl_npy),
}
WITH_BINARIES = FORMATS | {"stl-binaries": ("stl", "stl", write_stl_binaries)}


@pytest.fixture
def written(machine):
    """Writes a format's files into `$DEC_DATA_DIR`: `written(what)` -> data set's name, folder, (x, y)."""

    def write(what, **arguments):
        name, folder, writer = WITH_BINARIES[what]
        folder = machine.given / folder
        folder.mkdir(exist_ok=True)
        return name, folder, writer(folder, **arguments)

    return write


# Formats.


@pytest.mark.parametrize("what", FORMATS)
def test_a_set_loads_as_it_was_written(what, written, capsys):
    name, _, arrays = written(what)
    same(load_data(name), arrays)
    assert f"{name}: {len(arrays[1])} samples of {arrays[0].shape[1]} features" in capsys.readouterr().out


def test_digits_are_in_scikit_learn():
    x, y = load_digits(return_X_y=True)
    same(load_data("digits"), (x / 16, y))


@pytest.mark.parametrize("alias", ["reuters", "reutersidf10k"])
def test_aliases_of_reuters10k_are_guos_subset(alias, written):
    written("reuters-xie-prepared", names=("x", "y"), d=30)
    _, _, arrays = written("reuters-prepared")
    same(load_data(alias), arrays)


def test_folders_are_searched_in_order(machine, change):
    folders = [machine.given / "rcv", machine.data / "rcv", machine.home / "cache"]
    change("rcv1-10k", folder="rcv", elsewhere=(folders[2],))
    arrays = []
    for d, folder in enumerate(folders, 5):
        folder.mkdir()
        arrays.append(write_prepared(folder, "reuters10k_like.npz", d=d))
    for folder, expected in zip(folders, arrays, strict=True):
        same(load_data("rcv1-10k"), expected)
        (folder / "reuters10k_like.npz").unlink()


def test_data_folder_serves_without_the_environment_variable(machine, monkeypatch):
    monkeypatch.delenv("DEC_DATA_DIR")
    (machine.data / "mnist").mkdir()
    arrays = write_mnist_npz(machine.data / "mnist")
    same(load_data("mnist"), arrays)


def test_a_complete_format_is_preferred_to_an_incomplete_one(written):
    _, folder, _ = written("usps.jf")
    (folder / "usps_test.jf").unlink()
    name, _, arrays = written("usps.bz2")
    same(load_data(name), arrays)


def test_keras_cache_and_debians_package_are_searched():
    assert any(folder.parts[-2:] == (".keras", "datasets") for folder in ROWS["mnist"].elsewhere)
    assert Path("/usr/share/datasets/fashion-mnist") in ROWS["fmnist"].elsewhere


# REUTERS-10K.


@pytest.mark.parametrize(("name", "subset"), [("reuters10k", "guo"), ("reuters10k-xie", "xie")])
def test_reuters_takes_ten_thousand_documents_and_two_thousand_words(name, subset, machine):
    parts = corpus(documents_per_file=2400, vocabulary=2100)
    assert sum(len(classes) == 1 for part in parts for _, classes, _ in part) > 10_000  # so the two subsets differ
    x, y = write_tokens(machine.given / "reuters", parts, subset=subset)
    assert x.shape == (10_000, 2000)
    same(load_data(name), (x, y))


def test_documents_with_several_roots_or_none_are_dropped(written):
    name, _, _ = written("reuters-tokens")
    n_roots = [len(classes) for part in SMALL_CORPUS for _, classes, _ in part]
    assert {0, 1, 2} == set(n_roots)
    assert len(load_data(name)[1]) == n_roots.count(1)


@pytest.mark.parametrize(
    ("what", "cache"),
    [("reuters-tokens", "reutersidf10k.npz"), ("reuters-xie-tokens", "reutersidf10k_xie.npz")],
)
def test_prepared_reuters_is_kept_and_used_the_second_time(what, cache, written, capsys):
    name, folder, arrays = written(what)
    load_data(name)
    assert str(folder / cache) in capsys.readouterr().out
    for file in folder.iterdir():
        if file.name != cache:
            file.unlink()
    assert [file.name for file in folder.iterdir()] == [cache]  # and no temporary file
    same(load_data(name), arrays)


@pytest.mark.filterwarnings("ignore:.*ZipFile:pytest.PytestUnraisableExceptionWarning")  # NumPy 2.1 leaves its own open
def test_reuters_is_prepared_where_it_cannot_be_kept(written, capsys):
    name, folder, arrays = written("reuters-tokens")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # stands for a disk
    try:
        before = sorted(folder.iterdir())
        same(load_data(name), arrays)
        assert "not saved (Cannot write" in capsys.readouterr().out
        assert sorted(folder.iterdir()) == before
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (folder / "reutersidf10k.npz").mkdir()
    before = sorted(folder.iterdir())
    same(load_data(name), arrays)
    assert "not saved" in capsys.readouterr().out
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("name", ["reuters10k", "reuters10k-xie"])
def test_reuters_falls_back_on_scikit_learns_copy(name, monkeypatch, capsys):
    """In it, training documents come first, and not last as in the token files; its words are those in most of them."""
    rng, n, n_train = numbers(), 40, 15
    data = rng.random((n, 2100)) * (rng.random((n, 2100)) < np.linspace(0.9, 0.1, 2100))
    data /= np.linalg.norm(data, axis=1, keepdims=True)
    topics = np.array(["C15", "CCAT", "E11", "ECAT", "GCAT", "M11", "MCAT"])
    target = rng.random((n, 7)) < 0.3

    def fetch_rcv1(*, subset, shuffle):
        assert (subset, shuffle) == ("all", False)
        return Bunch(
            data=csr_matrix(data),
            target=csr_matrix(target.astype(np.uint8)),
            target_names=topics,
            sample_id=np.arange(2286, 2286 + n),
        )

    monkeypatch.setattr(reuters, "fetch_rcv1", fetch_rcv1)
    monkeypatch.setattr(reuters, "TRAIN_DOCUMENTS", n_train)
    loaded = load_data(name)

    x, y = [], []
    for i in [*range(n_train, n), *range(n_train)]:
        roots = [ROOTS.index(topic) for topic in topics[target[i]] if topic in ROOTS]
        if len(roots) == 1:
            x.append(data[i])
            y.append(roots[0])
    x, y = np.array(x), np.array(y)
    in_documents = (x > 0).sum(axis=0)
    words = sorted(sorted(range(2100), key=lambda word: (-in_documents[word], word))[:2000])
    x = x[:, words] / np.linalg.norm(x[:, words], axis=1, keepdims=True) * np.sqrt(2000)
    order = np.random.RandomState(1234).permutation(len(y))
    assert set(y) == {0, 1, 2, 3}
    same(loaded, (x[order], y[order]))
    out = capsys.readouterr().out
    assert "They differ" in out
    assert "get_data.sh" in out


def test_reuters_that_is_nowhere_says_how_to_get_it():
    with refused("run `bash data/reuters/get_data.sh`"):
        load_data("reuters10k")


# STL-10.


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory):
    """A random VGG16, and its weights in a file laid out as the published one."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.applications.VGG16(weights=None)
    path = tmp_path_factory.mktemp("vgg16") / "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}_{kind}_1:0" for kind in "Wb"[: len(layer.weights)]]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, layer.weights, strict=True):
                group[name] = weight.numpy()
    yield model, path
    path.unlink()


def fc1(model, rgb):
    """What VGG16 sees: pixels repeated up to 224 x 224, BGR, less ImageNet's mean."""
    import keras

    pixel = ((np.arange(224) + 0.5) * 96 / 224).astype(int)
    bgr = rgb[:, pixel][:, :, pixel, ::-1] - np.array([103.939, 116.779, 123.68], np.float32)
    return keras.Model(model.input, model.get_layer("fc1").output).predict(bgr, verbose=0)


@pytest.mark.slow
def test_stl_images_become_vgg16_features(written, vgg16):
    model, weights = vgg16
    name, folder, (rgb, y) = written("stl-binaries")
    (folder / weights.name).symlink_to(weights)
    x = load_data(name)[0]
    assert x.shape == (6, 4096)

    features, swapped = fc1(model, rgb), fc1(model, rgb.transpose(0, 2, 1, 3))
    lowest, highest = features.min(axis=0), features.max(axis=0)
    clear = highest - lowest > 1e-2 * highest.max()
    assert clear.sum() > 500
    expected = (features - lowest)[:, clear] / (highest - lowest)[clear]
    np.testing.assert_allclose(x[:, clear], expected, atol=2e-3)
    assert np.abs(features - swapped).max() > 0.1 * np.abs(features).max()  # so the test tells columns from rows
    assert x.min() == 0
    assert x.max() == pytest.approx(1, abs=1e-6)

    for file in folder.iterdir():
        if file.name != "stl_features.npz":
            file.unlink()
    same(load_data(name), (x, y))


@pytest.mark.slow
def test_vgg16_features_do_not_depend_on_the_batch_size(vgg16):
    model, weights = vgg16
    rgb = numbers().integers(0, 256, (5, 96, 96, 3), dtype=np.uint8)
    before = rgb.copy()
    features = formats.vgg16_features(rgb, weights.parent, batch_size=2)
    np.testing.assert_allclose(features, fc1(model, rgb), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(rgb, before)


@pytest.mark.slow
def test_damaged_vgg16_weights_are_refused(written):
    name, folder, _ = written("stl-binaries")
    path = folder / "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
    path.write_text("<html>Not Found</html>")
    with refused(path.name):
        load_data(name)


# Files of one's own.


def test_npy_file_gives_samples_without_labels(tmp_path):
    x = numbers().random((5, 4, 3))
    np.save(tmp_path / "own.npy", x)
    loaded, y = load_data(str(tmp_path / "own.npy"))
    np.testing.assert_array_equal(loaded, x.reshape(5, 12).astype(np.float32))
    assert y is None


@pytest.mark.parametrize("labels", [None, np.array([3, 1, 1, 2, 3]), np.array(list("abbca")), np.arange(5) // 2 * 1.0])
def test_npz_file_gives_samples_and_its_labels_as_they_are(labels, tmp_path):
    x = numbers().random((5, 4))
    np.savez(tmp_path / "own.npz", x=x, **({} if labels is None else {"y": labels}))
    loaded, y = load_data(tmp_path / "own.npz")
    np.testing.assert_array_equal(loaded, x.astype(np.float32))
    if labels is None:
        assert y is None
    else:
        assert y.dtype == labels.dtype
        np.testing.assert_array_equal(y, labels)


# Samples and labels.


def test_float32_samples_are_not_copied():
    x = numbers().random((5, 4)).astype(np.float32)
    assert np.shares_memory(Samples(x).x, x)
    assert np.shares_memory(Samples(x.reshape(5, 2, 2)).x, x)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "bool", "float16", "float64", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_samples_become_float32(dtype, order):
    values = np.arange(24).reshape(4, 2, 3) % 5
    x = np.array(values, dtype=dtype, order=order)
    before = x.copy()
    samples = Samples(x).x
    assert samples.dtype == np.float32
    assert samples.shape == (4, 6)
    np.testing.assert_array_equal(samples, values.astype(dtype).reshape(4, 6))
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_samples_become_rows_in_memory(dtype):
    x = np.asfortranarray(numbers().random((4, 3)).astype(dtype))
    samples = Samples(x).x
    assert samples.flags.c_contiguous
    np.testing.assert_array_equal(samples, x.astype(np.float32))


def test_samples_may_be_lists():
    x, y = Samples([[1, 2], [3, 4]]).x, check_labels([0, 1], 2)
    np.testing.assert_array_equal(x, np.array([[1, 2], [3, 4]], np.float32))
    np.testing.assert_array_equal(y, [0, 1])


X = numbers().random((4, 3))


def with_value(value, dtype=np.float64):
    x = X.astype(dtype)
    x[2, 1] = value
    return x


BAD_ARRAYS = {  # what: x, y, what the message says
    "1-D": (X[0], None, "(3,)"),
    "0-D": (np.float64(1), None, "()"),
    "no samples": (X[:0], None, "(0, 3)"),
    "no features": (X[:, :0], None, "(4, 0)"),
    "strings": (X.astype(str), None, "<U"),
    "complex": (X + 1j, None, "complex128"),
    "dates": (np.zeros((4, 3), "datetime64[s]"), None, "datetime64"),
    "NaN": (with_value(np.nan), None, "1 of 4 samples, first in row 2, column 1"),
    "inf": (with_value(-np.inf, np.float32), None, "row 2, column 1"),
    "float16 inf": (with_value(np.inf, np.float16), None, "row 2, column 1"),
    "beyond float32": (with_value(1e39), None, "row 2, column 1"),
    "y too short": (X, np.arange(3), "(3,)"),
    "y too long": (X, np.arange(5), "(5,)"),
    "y of rows": (X, X[:, :2], "(4, 2)"),
    "y with NaN": (X, np.array([0, 1, np.nan, 1]), "NaN"),
}


@pytest.mark.parametrize("what", BAD_ARRAYS)
def test_bad_samples_and_labels_are_refused(what):
    x, y, message = BAD_ARRAYS[what]
    with refused(message):
        check_labels(y, len(Samples(x)))


@pytest.mark.parametrize("what", BAD_ARRAYS)
def test_a_file_with_bad_samples_or_labels_is_named(what, tmp_path):
    x, y, message = BAD_ARRAYS[what]
    path = tmp_path / ("own.npy" if y is None else "own.npz")
    if y is None:
        np.save(path, x)
    else:
        np.savez(path, x=x, y=y)
    with refused(path, message):
        load_data(path)


# Damaged files.


@pytest.mark.parametrize("what", WITH_BINARIES)
@pytest.mark.parametrize(
    "damage",
    [lambda data: data[: 2 * len(data) // 5], lambda _: b"", lambda _: b"<html><h1>404 Not Found</h1></html>\n"],
    ids=["truncated", "empty", "web page"],
)
def test_a_damaged_file_is_refused_and_named(what, damage, written):
    name, folder, _ = written(what)
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        path.write_bytes(damage(data))
        with refused((path, f"{name}:")):
            load_data(name)
        path.write_bytes(data)


@pytest.mark.parametrize("lines", [1, 2, 1.5])
def test_usps_text_without_its_terminator_is_refused(lines, written):
    """Cut at a line's end or in the middle of one, it would be read as fewer digits."""
    name, folder, _ = written("usps.jf")
    path = folder / "usps_train.jf"
    text = path.read_text().splitlines(keepends=True)
    cut = len("".join(text[-int(lines) :])) + (100 if lines % 1 else 0)
    path.write_text("".join(text)[:-cut])
    with refused(path):
        load_data(name)


@pytest.mark.parametrize(
    ("what", "file", "old", "new"),
    [
        ("usps.jf", "usps_train.jf", b" ", b" x"),
        ("usps.jf", "usps_test.jf", b"\n8 ", b"\nx "),
        ("usps.jf", "usps_test.jf", b"\n8 ", b"\nnan "),
        ("usps.bz2", "usps.t.bz2", b":", b":x"),
        ("usps.bz2", "usps.bz2", b" ", b" x"),
        ("pendigits", "pendigits.tra", b", ", b",x"),
        ("pendigits", "pendigits.tes", b",  9", b",nan"),
        ("pendigits.gz", "pendigits.tes.gz", b", ", b",x"),
        ("reuters-tokens", "rcv1-v2.topics.qrels", b"CCAT ", b"CCAT x"),
        ("reuters-tokens", "rcv1-v2.topics.qrels", b" 1\n", b"\n"),
        ("reuters-tokens", "lyrl2004_tokens_test_pt2.dat", b".I ", b".I x"),
        ("reuters-tokens", "lyrl2004_tokens_test_pt2.dat", b"stem", b"\xff"),
    ],
)
def test_text_where_a_number_should_be_is_refused(what, file, old, new, written):
    name, folder, _ = written(what)
    path = folder / file
    data = path.read_bytes()
    data = {".gz": gzip.decompress, ".bz2": bz2.decompress}.get(path.suffix, bytes)(data)
    head, found, tail = data.rpartition(old)
    assert found
    put(path, head + new + tail)
    with refused(path):
        load_data(name)


@pytest.mark.parametrize("lost", TOKENS)
def test_a_token_file_cut_after_a_document_is_refused(lost, written):
    name, folder, _ = written("reuters-tokens")
    text = (folder / lost).read_text()
    (folder / lost).write_text(text[: text.rindex(".I ")])
    with refused(folder / lost):
        load_data(name)
    assert not (folder / "reutersidf10k.npz").exists()


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("train-images-idx3-ubyte", b"\0\0\x0d\3" + idx(images()[0][:5])[4:]),
        ("train-images-idx3-ubyte", b"\1" + idx(images()[0][:5])[1:]),
        ("train-images-idx3-ubyte", struct.pack(">HBB3I", 0, 8, 3, 6, 28, 28) + bytes(5 * 784)),
        ("train-images-idx3-ubyte", struct.pack(">HBB3I", 0, 8, 3, 4, 28, 28) + bytes(5 * 784)),
        ("train-images-idx3-ubyte", struct.pack(">HBB3I", 0, 8, 3, *3 * [2**32 - 1]) + bytes(5 * 784)),
        ("train-images-idx3-ubyte", b"\0\0\x08\xff" + bytes(5000)),
        ("train-images-idx3-ubyte", idx(images()[0][:5].reshape(5, 784))),
        ("train-labels-idx1-ubyte", struct.pack(">HBBI", 0, 8, 1, 6) + bytes(5)),
        ("train-labels-idx1-ubyte", idx(np.zeros(6, np.uint8))),
        ("t10k-labels-idx1-ubyte", idx(images()[0][5:])),
    ],
    ids=[
        "floats", "magic", "promises more", "holds more", "promises 2^96", "255 axes", "flat images",
        "promises more labels", "more labels", "images for labels",
    ],
)  # fmt: skip
def test_an_idx_file_that_contradicts_itself_is_refused(file, data, written):
    name, folder, _ = written("mnist-idx")
    (folder / file).write_bytes(data)
    with refused((folder / file, name)):
        load_data(name)


@pytest.mark.parametrize(
    ("what", "arguments"),
    [
        ("mnist.npz", {"side": 20}),
        ("mnist-idx", {"side": 20}),
        ("fmnist-idx.gz", {"side": 29}),
        ("usps.jf", {"d": 255}),
        ("usps.jf", {"d": 257}),
        ("usps.h5", {"d": 255}),
        ("usps.bz2", {"d": 257}),
        ("pendigits", {"d": 15}),
        ("pendigits", {"d": 17}),
        ("stl_features.npy", {"d": 4095}),
        ("stl_features.npz", {"d": 1428}),
    ],
)
def test_a_wrong_number_of_features_is_refused(what, arguments, written):
    name, folder, _ = written(what, **arguments)
    with refused(folder):
        load_data(name)


@pytest.mark.parametrize(
    "prepare",
    [lambda x: x.reshape(len(x), -1), lambda x: x[..., None], lambda x: x / 255, lambda x: x.astype(np.int64)],
    ids=["flat", "with channels", "scaled", "int64"],
)
def test_mnist_images_of_another_shape_or_type_are_refused(prepare, written):
    name, folder, _ = written("mnist.npz", prepare=prepare)
    with refused(folder / "mnist.npz"):
        load_data(name)


@pytest.mark.parametrize(
    ("name", "path", "arrays"),
    [
        ("mnist", "mnist/mnist.npz", {"x": X}),
        ("reuters10k", "reuters/reutersidf10k.npz", {"y": np.arange(4)}),
        ("reuters10k", "reuters/reutersidf10k.npz", {"x": np.float64(1)}),
        ("reuters10k", "reuters/reutersidf10k.npz", {"x": with_value(np.nan), "y": np.arange(4)}),
        ("reuters10k", "reuters/reutersidf10k.npz", {"x": X, "y": np.arange(3)}),
        ("reuters10k", "reuters/reutersidf10k.npz", {"x": X, "y": np.array([0, 1, np.nan, 2])}),
        ("reuters10k", "reuters/reutersidf10k.npz", {"x": X, "y": np.array(["CCAT", "GCAT", "MCAT", "ECAT"])}),
        ("stl", "stl/stl_features.npz", {"x": np.float64(1), "y": np.arange(4)}),
        ("stl", "stl/stl_features.npz", {"x": np.zeros((2, 4096)), "y": np.array([0, np.inf])}),
    ],
)
def test_a_named_set_of_the_wrong_arrays_is_refused(name, path, arrays, machine):
    path = machine.given / path
    path.parent.mkdir()
    np.savez(path, **arrays)
    with refused((path, name)):
        load_data(name)


@pytest.mark.parametrize("lacks", ["train", "test/target"])
def test_usps_h5_without_a_part_is_refused(lacks, written):
    name, folder, _ = written("usps.h5")
    with h5py.File(folder / "usps.h5", "a") as file:
        del file[lacks]
    with refused(folder / "usps.h5"):
        load_data(name)


@pytest.mark.parametrize("path", ["nowhere.npy", "nowhere/own.npz", "folder.npy"])
def test_a_missing_file_is_named(path, tmp_path):
    (tmp_path / "folder.npy").mkdir()
    with refused(tmp_path / path):
        load_data(str(tmp_path / path))


@pytest.mark.parametrize("name", ["mnits", "", "x.txt", "MNIST"])
def test_an_unknown_set_is_told_with_all_names(name):
    with refused(repr(name), ", ".join(ROWS)):
        load_data(name)


def test_an_npz_file_without_x_tells_what_it_holds(tmp_path):
    np.savez(tmp_path / "own.npz", first=X, second=X, y=np.arange(4))
    with refused(tmp_path / "own.npz", "first (4 x "):
        load_data(tmp_path / "own.npz")


def npy(shape, padding=0):
    """An .npy file that promises `shape` and has room for little."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': %a, }" % (shape,) + b" " * padding + b"\n"
    return b"\x93NUMPY\2\0" + struct.pack("<I", len(header)) + header + bytes(99)


def in_zip(data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", data)
    return file.getvalue()


def saved(save):
    file = io.BytesIO()
    save(file, numbers().random((30, 20)))
    return file.getvalue()


def flipped(data, i):
    return data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :]


NPY, NPZ = saved(np.save), saved(lambda file, x: np.savez_compressed(file, x=x))


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("empty.npy", b""),
        ("empty.npz", b""),
        ("text.npy", b"1.0 2.0\n3.0 4.0\n"),
        ("text.npz", b"1.0 2.0\n3.0 4.0\n"),
        ("truncated.npy", NPY[:-1]),
        ("truncated_header.npy", NPY[:40]),
        ("truncated.npz", NPZ[:-1]),
        ("flipped_magic.npy", b"\x92" + NPY[1:]),
        ("flipped_header.npy", NPY.replace(b"descr", b"desc\n")),
        ("flipped_brace.npy", NPY.replace(b"}", b"]")),
        ("flipped_quote.npy", NPY.replace(b"'shape'", b"'shape(")),
        ("open_brace.npy", NPY.replace(b"}", b" ")),
        ("flipped_data.npz", flipped(NPZ, 500)),
        ("unknown_compression.npz", flipped(NPZ, NPZ.index(b"PK\1\2") + 10)),
        ("encrypted.npz", flipped(NPZ, NPZ.index(b"PK\1\2") + 8)),
        ("huge.npy", npy((10**15, 784))),
        ("huge.npz", in_zip(npy((10**15, 784)))),
        ("long_header.npy", npy((3, 4), padding=20_000)),
        ("long_header.npz", in_zip(npy((3, 4), padding=20_000))),
        ("really_npz.npy", NPZ),
        ("really_npy.npz", NPY),
        ("no_arrays.npz", in_zip(b"not an array")),
    ],
)
def test_a_damaged_file_of_ones_own_is_refused(file, data, tmp_path):
    (tmp_path / file).write_bytes(data)
    with refused(tmp_path / file):
        load_data(tmp_path / file)


@pytest.mark.parametrize(
    ("name", "path", "write"),
    [
        (None, "own.npy", pickled_npy),
        (None, "own.npy", pickled_raw),
        (None, "own.npz", pickled_raw),
        (None, "own.npz", partial(pickled_npz, x=None)),
        (None, "own.npz", partial(pickled_npz, x=X, y=None)),
        ("mnist", "mnist/mnist.npz", partial(pickled_npz, x_train=None)),
        ("reuters10k", "reuters/reutersidf10k.npz", pickled_raw),
        ("reuters10k", "reuters/reutersidf10k.npz", partial(pickled_npz, x=None, y=np.arange(4))),
        ("rcv1-10k", "reuters/reuters10k_like.npz", partial(pickled_npz, x=X, y=None)),
        ("stl", "stl/stl_features.npz", partial(pickled_npz, data=None, label=np.arange(4))),
    ],
)
def test_nothing_is_unpickled(name, path, write, machine, tmp_path):
    path, made = machine.given / path, tmp_path / "made"
    path.parent.mkdir(exist_ok=True)
    write(path, Payload(made))
    with refused(path, "pickle"):
        load_data(name or path)
    assert not made.exists()
    unpickle(path)
    assert made.exists()  # so the payload works


def test_a_pickled_stl_features_npy_is_not_unpickled(written, tmp_path):
    name, folder, _ = written("stl_features.npy")
    pickled_npy(folder / "stl_features.npy", Payload(tmp_path / "made"))
    with refused(folder / "stl_features.npy"):
        load_data(name)
    assert not (tmp_path / "made").exists()


# Downloads.


@pytest.fixture
def server(tmp_path):
    """A web server on 127.0.0.1: its `url`, the `folder` that it serves, and the `requests` that it had."""
    folder, requests = tmp_path / "www", []
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{http_server.server_port}/"
        yield SimpleNamespace(url=url, folder=folder, requests=requests, handler=Handler)
        http_server.shutdown()
        thread.join()


def checksums(folder, algorithm="sha256"):
    return {p.name: f"{algorithm}:{hashlib.new(algorithm, p.read_bytes()).hexdigest()}" for p in folder.iterdir()}


@pytest.fixture
def closed_url():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_download_lands_in_the_data_folder_and_is_made_once(algorithm, server, machine, change):
    arrays = write_pendigits(server.folder)
    change("pendigits", mirrors=(Mirror(server.url, checksums(server.folder, algorithm)),))
    same(load_data("pendigits"), arrays)
    assert sorted(server.requests) == ["/pendigits.tes", "/pendigits.tra"]
    assert checksums(machine.data / "pendigits") == checksums(server.folder)
    assert not list(machine.given.iterdir())
    same(load_data("pendigits"), arrays)
    assert len(server.requests) == 2


def test_a_download_needs_no_standard_error(server, machine, change, monkeypatch):
    """Which pythonw does not have."""
    arrays = write_pendigits(server.folder)
    change("pendigits", mirrors=(Mirror(server.url, checksums(server.folder, "md5")),))
    monkeypatch.setattr("sys.stderr", None)
    same(load_data("pendigits"), arrays)


def test_a_download_that_was_cut_off_goes_on_with_the_missing_file(server, machine, change):
    arrays = write_pendigits(server.folder)
    change("pendigits", mirrors=(Mirror(server.url, checksums(server.folder)),))
    put(machine.data / "pendigits" / "pendigits.tra", (server.folder / "pendigits.tra").read_bytes())
    same(load_data("pendigits"), arrays)
    assert server.requests == ["/pendigits.tes"]


def test_a_download_with_the_wrong_checksum_is_refused_and_deleted(server, machine, change):
    write_mnist_npz(server.folder)
    change("mnist", mirrors=(Mirror(server.url, {"mnist.npz": "md5:" + 32 * "0"}),))
    with refused("mnist.npz", "hash", server.url):
        load_data("mnist")
    assert server.requests == ["/mnist.npz"]
    assert not list((machine.data / "mnist").iterdir())


def test_the_first_mirror_that_works_serves(server, closed_url, change):
    (server.folder / "second").mkdir()
    arrays = write_mnist_npz(server.folder / "second")
    files = checksums(server.folder / "second")
    mirrors = [Mirror(url, files) for url in (closed_url, f"{server.url}first/", f"{server.url}second/")]
    unneeded = Mirror(f"{server.url}third/", {"other.npz": "md5:" + 32 * "0"})
    change("mnist", mirrors=(*mirrors, unneeded))
    same(load_data("mnist"), arrays)
    assert server.requests == ["/first/mnist.npz", "/second/mnist.npz"]


def test_a_download_larger_than_it_can_be_is_cut_off(server, machine, change):
    write_mnist_npz(server.folder)
    size = (server.folder / "mnist.npz").stat().st_size
    mirror = Mirror(server.url, checksums(server.folder), largest=size - 1)
    change("mnist", mirrors=(mirror,))
    with refused(f"more than the {size - 1} bytes", f"{server.url}mnist.npz"):
        load_data("mnist")
    assert not list((machine.data / "mnist").iterdir())
    change("mnist", mirrors=(replace(mirror, largest=size),))
    load_data("mnist")


def test_an_endless_download_is_cut_off(machine, change):
    class Endless(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(bytes(2**20))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless) as http_server:
        threading.Thread(target=http_server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{http_server.server_port}/"
        change("mnist", mirrors=(Mirror(url, {"mnist.npz": "md5:" + 32 * "0"}),))
        with refused("more than the 67108864 bytes"):
            load_data("mnist")
        http_server.shutdown()
    assert not list((machine.data / "mnist").iterdir())


@pytest.mark.parametrize("redirected", [False, True])
def test_only_https_is_downloaded_over(redirected, server, machine, change, monkeypatch):
    write_mnist_npz(server.folder)
    url = server.url
    if redirected:  # from a server that may be asked to one that may not
        url = server.url.replace("127.0.0.1", "localhost")
        monkeypatch.setattr(server.handler, "do_GET", partialmethod(redirect, f"{server.url}mnist.npz"))
    monkeypatch.setattr(download, "PROTOCOLS", ("https://", "http://localhost") if redirected else ("https://",))
    change("mnist", mirrors=(Mirror(url, checksums(server.folder)),))
    with refused("http://127.0.0.1", "which is not HTTPS"):
        load_data("mnist")
    assert not list((machine.data / "mnist").iterdir())


def redirect(handler, url):
    handler.send_response(302)
    handler.send_header("Location", url)
    handler.end_headers()


def test_a_page_that_is_gone_is_told(server, change):
    change("mnist", mirrors=(Mirror(server.url, {"mnist.npz": "md5:" + 32 * "0"}),))
    with refused("404", server.url):
        load_data("mnist")


def test_a_server_that_cannot_be_reached_is_told_at_once(closed_url, machine, change):
    change("mnist", mirrors=(Mirror(closed_url, {"mnist.npz": "md5:" + 32 * "0"}),))
    start = time.monotonic()
    with refused("mnist.npz", machine.given / "mnist", machine.data / "mnist", closed_url):
        load_data("mnist")
    assert time.monotonic() - start < 5


def test_a_data_folder_that_cannot_be_written_is_told(server, machine, change):
    write_mnist_npz(server.folder)
    change("mnist", mirrors=(Mirror(server.url, checksums(server.folder)),))
    (machine.data / "mnist").write_text("a file in the folder's place")
    with refused(machine.data / "mnist"):
        load_data("mnist")


def archived(server, folder, files):
    """Serves `files` and one more in `folder` of a .tar.gz; returns the archive's mirror less its members."""
    with tarfile.open(server.folder / "archive.tar.gz", "w:gz") as archive:
        for file in files:
            archive.add(file, f"{folder}/{file.name}")
        archive.add(__file__, f"{folder}/unlabeled_X.bin")
    return server.url, checksums(server.folder)


def test_an_archive_is_downloaded_and_its_members_unpacked(server, machine, change, tmp_path):
    arrays = write_pendigits(tmp_path)
    url, files = archived(server, "uci", [tmp_path / "pendigits.tra", tmp_path / "pendigits.tes"])
    members = ("uci/pendigits.tra", "uci/pendigits.tes")
    unpacked = machine.data / "pendigits" / "uci"
    change("pendigits", mirrors=(Mirror(url, files, members),), elsewhere=(unpacked,))
    same(load_data("pendigits"), arrays)
    assert sorted(path.name for path in unpacked.iterdir()) == ["pendigits.tes", "pendigits.tra"]
    same(load_data("pendigits"), arrays)
    assert server.requests == ["/archive.tar.gz"]


def member(name, size=3, **more):
    info = tarfile.TarInfo(name)
    info.size = size
    for attribute, value in more.items():
        setattr(info, attribute, value)
    return info


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (member("../outside"), "outside the destination"),
        (member("uci/../../../outside"), "outside the destination"),
        (member("link", 0, type=tarfile.SYMTYPE, linkname="/etc/passwd"), "absolute path"),
        (member("link", 0, type=tarfile.SYMTYPE, linkname="../../outside"), "outside the destination"),
        (member("device", 0, type=tarfile.CHRTYPE), "special file"),
        (None, "not found"),
    ],
)
def test_an_archive_reaches_no_path_outside(info, reason, server, machine, change, tmp_path):
    """Even a member that we ask for by name."""
    with tarfile.open(server.folder / "archive.tar.gz", "w:gz") as archive:
        if info is not None:
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    mirror = Mirror(server.url, checksums(server.folder), (info.name if info else "nothing",))
    change("pendigits", mirrors=(mirror,))
    with refused("archive.tar.gz", reason):
        load_data("pendigits")
    assert not list(tmp_path.rglob("outside"))
    assert not (machine.data / "pendigits" / "link").is_symlink()


def test_an_absolute_path_in_an_archive_is_taken_below_the_folder(server, machine, change, tmp_path):
    name = str(tmp_path / "outside")
    with tarfile.open(server.folder / "archive.tar.gz", "w:gz") as archive:
        archive.addfile(member(name), io.BytesIO(b"abc"))
    change("pendigits", mirrors=(Mirror(server.url, checksums(server.folder), (name,)),))
    with refused("pendigits.tra"):
        load_data("pendigits")
    assert not (tmp_path / "outside").exists()
    assert (machine.data / "pendigits" / name.lstrip("/")).read_bytes() == b"abc"


def test_stls_archive_gives_its_four_binaries(server, machine, change, tmp_path):
    write_stl_binaries(tmp_path)
    (mirror,) = ROWS["stl"].mirrors
    url, files = archived(server, "stl10_binary", [tmp_path / Path(member).name for member in mirror.members])
    unpacked = machine.data / "stl" / "stl10_binary"
    change("stl", mirrors=(replace(mirror, url=url, files=files),), elsewhere=(unpacked,))
    stl = datasets.DATASETS["stl"]
    assert stl.download() == []
    _, paths = stl.find()
    assert paths == [unpacked / name for name in ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")]
    assert [path.read_bytes() for path in paths] == [(tmp_path / path.name).read_bytes() for path in paths]
    assert len(list(unpacked.iterdir())) == 4


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.mirrors])
def test_every_mirror_completes_a_format(name):
    formats = [set(names) for names, _ in ROWS[name].formats]
    for mirror in ROWS[name].mirrors:
        assert mirror.url.startswith("https://")
        assert mirror.url.endswith("/")
        assert {Path(file).name.removesuffix(".gz") for file in mirror.members or mirror.files} in formats


@pytest.mark.parametrize("name", [name for name in ROWS if name != "digits"])
def test_a_set_that_is_nowhere_is_told_with_what_to_do(name, change, closed_url):
    change(name, mirrors=tuple(replace(mirror, url=closed_url) for mirror in ROWS[name].mirrors), elsewhere=())
    wanted = ROWS[name].formats[0][0][0]
    with refused(wanted, closed_url if ROWS[name].mirrors else ROWS[name].by_hand):
        load_data(name)


# Real data, where there are any.


class TestRealData:
    @pytest.fixture(autouse=True)
    def _real_folder(self, machine, monkeypatch):
        monkeypatch.setenv("DEC_DATA_DIR", str(REAL))

    def load(self, name, folder):
        if not (REAL / folder).is_dir():
            pytest.skip(f"there is no {folder} in {REAL}")
        return load_data(name)

    @pytest.mark.parametrize(
        ("name", "d", "counts"),
        [
            ("mnist", 784, [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]),
            ("fmnist", 784, [7000] * 10),
            ("usps", 256, [1553, 1269, 929, 824, 852, 716, 834, 792, 708, 821]),
            ("pendigits", 16, [1143, 1143, 1144, 1055, 1144, 1055, 1056, 1142, 1055, 1055]),
        ],
    )
    def test_classes_are_as_many_as_published(self, name, d, counts):
        x, y = self.load(name, name)
        assert x.shape == (sum(counts), d)
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        assert (x.min(), x.max()) == (0, 1)
        assert np.bincount(y).tolist() == counts

    def test_training_samples_come_first(self):
        x, y = self.load("mnist", "mnist")
        assert y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
        assert y[60_000:60_010].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
        assert x[0].mean() == pytest.approx(35.108 / 255, rel=1e-4)

    def test_rcv1_10k_has_its_classes_and_scale(self):
        x, y = self.load("rcv1-10k", "reuters")
        assert x.shape == (10_000, 2000)
        assert np.bincount(y).tolist() == [4080, 2240, 2872, 808]
        assert np.mean(x**2) == pytest.approx(1, abs=0.01)

    def test_checksums_of_pendigits_are_those_of_the_real_files(self):
        self.load("pendigits", "pendigits")
        assert checksums(REAL / "pendigits") == ROWS["pendigits"].mirrors[0].files
