"""Feeds every reader damaged files: each must end in an InputError or a correct read, within 5 s of work and 1 GB.

python -m tests.fuzz --mutations 2000            (prints the table of tests/README.md)
python -m tests.fuzz --mutations 2000 idx csv    (of these readers; -h lists them)

A mutation cuts, flips, overwrites, lengthens or replaces a small valid file, or one of the bombs that its format knows.
The seed, the reader's name and the mutation's number make it again; the folder of a fault is named.
"""

import argparse
import bz2
import contextlib
import gzip
import io
import json
import logging
import math
import random
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import h5py
import keras
import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse
from PIL import Image

from DEC import DEC
from dec_keras import metrics
from dec_keras.data import datasets, formats, reading, scaling
from dec_keras.data.samples import Samples, check_labels
from dec_keras.errors import InputError
from dec_keras.files import untrusted
from dec_keras.files.atomic import write_csv
from dec_keras.files.models import load_weights, read_attributes, save_model
from dec_keras.method import saved_model
from dec_keras.sweeps import numbers_of_clusters
from dec_keras.sweeps import results as tables
from dec_keras.sweeps.report import markdown
from dec_keras.training.checkpoint import Checkpoint
from tests import data_files as written

SECONDS, MEMORY = 5, 2**30
WAIT = 60  # seconds that a reader may take in all: it works for few of them where the machine is busy
SEED = 0
X = np.round(np.random.default_rng(0).random((12, 6)), 3)
Y = np.arange(12) % 3


@dataclass(frozen=True)
class Reader:
    """What is fuzzed.

    Attributes:
        write: writes valid files into a folder; the files are mutated one at a time.
        read: reads the file of that name there, or all, and raises AssertionError where what it gets is not what it
            promises.
        bombs: {name of a file: functions that write one of the same name that is a trap}.
    """

    write: Callable
    read: Callable
    bombs: dict = field(default_factory=dict)


# What a correct read is.


def check_samples(x, y):
    """What `load_data` promises."""
    assert x.ndim == 2
    assert min(x.shape) > 0
    assert x.dtype == np.float32
    assert scipy.sparse.issparse(x) or isinstance(x, np.ndarray)
    if scipy.sparse.issparse(x):
        x.check_format()
        assert np.isfinite(x.data).all()
    else:
        assert np.isfinite(x).all()
    assert y is None or y.shape == (x.shape[0],)
    assert y is None or all(0 <= score <= 1 for score in metrics.scores(y, np.zeros(len(y), int)).values())


def own(folder, file, **how):
    """Reads a file of one's own."""
    check_samples(*datasets.load_data(str(folder / file), reading.Reading(**how)))


def named(name, **changes):
    """Reads a data set's own files, which alone are looked for."""

    def read(folder, _):
        for kept in folder.glob("*.npz"):
            kept.unlink() if name == "reuters10k" else None  # what was prepared of the last one
        row = replace(datasets.DATASETS[name], mirrors=(), elsewhere=(), fallback=None, **changes)
        with _patched(datasets.Dataset, "folders", lambda _: [folder]):
            x, y = row.load()
        check_samples(Samples(x).x, check_labels(y, len(x)))

    return read


@contextlib.contextmanager
def _patched(owner, name, value):
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def images_as_features(images, folder):
    """In place of VGG16, which takes seconds and reads no file that is fuzzed."""
    return images.reshape(len(images), -1)[:, :4096].astype(np.float32)


def read_stl(folder, file):
    with _patched(formats, "vgg16_features", images_as_features):
        (folder / "stl_features.npz").unlink(missing_ok=True)
        named("stl")(folder, file)


def read_weights(folder, file):
    load_weights(model := small_dec().autoencoder, folder / file)
    assert all(np.isfinite(array).all() for array in model.get_weights())


def read_known(folder, file):
    """What a model's file says of its data."""
    attributes = read_attributes(folder / file)
    assert isinstance(attributes, dict)
    reading.from_attributes(attributes, n_features=6)
    scaler = scaling.from_attributes(attributes, folder / file)
    if scaler is not None:
        assert np.isfinite(scaler.transform(X.astype(np.float32)).x).all()


def read_model(folder, file):
    model = saved_model.load_model(folder / file)
    assert {"encoder_0", "clustering"} <= {layer.name for layer in model.layers}
    assert all(np.isfinite(array).all() for array in model.get_weights())


def read_results(folder, file):
    for row in tables.read_rows(folder / file):
        assert tuple(row) == tables.COLUMNS
        assert row["method"] in tables.METHODS
        assert all(row[name] is None or isinstance(row[name], int) for name in tables.WHOLE)
        assert all(row[name] is None or np.isfinite(row[name]) for name in tables.FRACTIONS)


def read_columns(folder, file):
    columns = untrusted.read_log(folder / file)
    assert len({len(values) for values in columns.values()}) <= 1, "columns of different lengths"
    assert all(values.dtype == float for values in columns.values()), "not numbers"


def read_numbers_of_clusters(folder, _):
    for row in numbers_of_clusters.earlier_rows(folder, {}).values():
        assert tuple(row) == numbers_of_clusters.COLUMNS
        assert all((value is None and name in metrics.SCORES) or math.isfinite(value) for name, value in row.items())


def read_dict(folder, file):
    assert isinstance(untrusted.read_json(folder / file), dict), "not a dict"


# Valid files.


@cache
def small_dec():
    keras.utils.set_random_seed(0)
    dec = DEC([6, 4, 2], 3)
    features = {"features": np.array([f"f{i}" for i in range(6)])}
    dec.attributes = {"dataset": "mine.csv", "reading": {"image_size": [2, 3], "label_column": "kind"}} | features
    dec.attributes |= {"scale": "minmax", "scale_factor": np.ones(6), "scale_shift": np.zeros(6)}
    return dec


def write_numbers_of_clusters(folder):
    (folder / "settings.json").write_text("{}")
    columns = numbers_of_clusters.COLUMNS
    rows = [dict(zip(columns, (k, *[0.5] * 6, 20 * k, None, 0.25, 0.75), strict=True)) for k in (2, 3, 4)]
    write_csv(folder / "choose_k.csv", columns, rows)


def write_weights(folder):
    dec = small_dec()
    save_model(dec.model, folder / "weights.h5", dec.attributes)


def write_autoencoder(folder):
    dec = small_dec()
    save_model(dec.autoencoder, folder / "weights.h5", dec.attributes)


def write_h5(path, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=X, **options)
        file.create_dataset("y", data=Y)


def write_mats(folder):
    matrix = scipy.sparse.csc_matrix(X * (X > 0.5))
    scipy.io.savemat(folder / "plain.mat", {"fea": X, "gnd": Y[:, None], "note": "text"})
    scipy.io.savemat(folder / "packed.mat", {"x": X, "y": Y, "f": {"a": 1}}, do_compression=True)
    scipy.io.savemat(folder / "sparse.mat", {"x": matrix})
    for packed in (False, True):
        texts = np.array(["elm", "oak", "ash"], object)[Y][:, None]
        scipy.io.savemat(folder / f"texts{packed}.mat", {"meas": X, "species": texts}, do_compression=packed)


def write_sparse(folder):
    for form in ("csr", "csc", "coo", "bsr", "dia"):
        matrix = scipy.sparse.csr_matrix(X * (X > 0.5)).asformat(form)
        scipy.sparse.save_npz(folder / f"{form}.npz", matrix, compressed=form != "csr")


def write_cells(folder):
    """Sparse matrices as AnnData and 10x Genomics write them."""
    matrix = scipy.sparse.csr_matrix(X * (X > 0.5))
    for name, form in (("a.h5ad", "csr"), ("b.h5ad", "csc"), ("c.h5ad", None)):
        with h5py.File(folder / name, "w") as file:
            if form:
                put_sparse(file.create_group("X"), matrix.asformat(form))
                file["X"].attrs.update({"encoding-type": f"{form}_matrix", "shape": matrix.shape})
            else:
                file["X"] = X
            file.create_group("var")
            file.create_group("obs").attrs["_index"] = "cell"
            file["obs/cell"] = [f"cell {i}" for i in range(12)]
            file["obs/kind/categories"] = ["a", "b", "c"]
            file["obs/kind/codes"] = Y.astype("i1")
    with h5py.File(folder / "d.h5", "w") as file:
        put_sparse(file.create_group("matrix"), matrix.T.tocsc())
        file["matrix/shape"] = matrix.shape[::-1]
        file["matrix/barcodes"] = np.arange(12)


def put_sparse(group, matrix, names=("data", "indices", "indptr")):
    for name, values in zip(names, (matrix.data, matrix.indices, matrix.indptr), strict=True):
        group[name] = values


def read_cells(folder, file):
    own(folder, file, **({} if file == "d.h5" else {"label_column": "kind"}))


def write_mats_73(folder):
    """MATLAB's sparse matrices and texts in HDF5."""
    with h5py.File(folder / "sparse.mat", "w", userblock_size=512) as file:
        put_sparse(file.create_group("x"), scipy.sparse.csc_matrix(X * (X > 0.5)), ("data", "ir", "jc"))
        file["x"].attrs["MATLAB_sparse"] = np.uint64(12)
        file["y"] = Y[None]
    with h5py.File(folder / "cells.mat", "w", userblock_size=512) as file:
        file["x"] = X.T
        texts = [file.create_dataset(f"#refs#/{i}", data=np.array([[97 + i % 3]], "u2")) for i in range(12)]
        y = file.create_dataset("y", (1, 12), h5py.ref_dtype)
        y[0] = [text.ref for text in texts]
        y.attrs["MATLAB_class"] = np.bytes_("cell")


def write_svmlight(folder):
    from sklearn.datasets import dump_svmlight_file

    dump_svmlight_file(X, Y, str(folder / "x.svmlight"), zero_based=False)


def write_images(folder):
    pixels = (np.random.default_rng(0).random((8, 5, 4, 3)) * 255).astype(np.uint8)
    for suffix, image in zip(("png", "jpg", "bmp", "gif", "tif", "webp", "jpeg", "ppm"), pixels, strict=True):
        Image.fromarray(image).save(folder / f"image.{suffix}")


def write_results(folder):
    values = {"trial": 1, "seed": 3, "iterations": 7, "peak_memory_mb": 500, "stop_reason": "tol", "python": "3.12"}
    row = dict.fromkeys(tables.COLUMNS, "1.0") | values | {"dataset": "mnist", "protocol": "paper"}
    row |= dict.fromkeys(tables.FRACTIONS, 0.5)
    tables.write_rows(folder / "results.csv", [row | {"method": method} for method in tables.METHODS])


# Traps: files that are small and valid but for what they announce or unpack to.


def npy(shape, data=b"", dtype="<f8"):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    return b"\x93NUMPY\2\0" + struct.pack("<I", len(header)) + header + data


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, compresslevel=1)
    return file.getvalue()


def zeros(size):
    return bytes(size)


def huge_in_npz():
    return zipped({"x.npy": npy((10**9, 100))})


def bomb_npz():
    return zipped({"x.npy": npy((10**8,), zeros(10**8), "|u1")})


def long_texts_npz():
    """350 labels of a million characters."""
    return zipped(
        {"x.npy": npy((350, 2), zeros(350 * 2 * 8)), "y.npy": npy((350,), zeros(350 * 4 * 10**6), "<U1000000")}
    )


def wide_csr():
    """Ten rows of 10^12 features."""
    arrays = {"indices": np.array([5]), "indptr": np.array([0] + [1] * 10), "data": np.ones(1)}
    arrays |= {"format": np.array(b"csr"), "shape": np.array([10, 10**12])}
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def unallocated_h5():
    file = io.BytesIO()
    with h5py.File(file, "w") as held:
        held.create_dataset("x", (10**6, 10**5), "f4", chunks=(1000, 1000))
    return file.getvalue()


def long_texts_h5():
    """1,000 labels, one of them of 100,000 characters; others take its place in an array."""
    file = io.BytesIO()
    with h5py.File(file, "w") as held:
        held["x"] = np.zeros((1000, 2))
        held.create_dataset("y", data=["a" * 100_000, *"b" * 999], dtype=h5py.string_dtype())
    return file.getvalue()


def unallocated_texts_h5():
    file = io.BytesIO()
    with h5py.File(file, "w") as held:
        held["x"] = np.zeros((500, 2))
        held.create_dataset("y", (500,), "S1000000", chunks=(1,))
    return file.getvalue()


def repeated_text_h5():
    """2 million labels, packed in some kB, all of which stand for one text of 4,000 characters."""
    n, file = 2_000_000, io.BytesIO()
    with h5py.File(file, "w") as held:
        held["x"] = np.zeros((4, 3))
        one = held.create_dataset("one", data=["a" * 4000], dtype=h5py.string_dtype())
        held.flush()
        where = file.getvalue()[one.id.get_offset() :][:16]
        y = held.create_dataset("y", (n,), h5py.string_dtype(), chunks=(n,), compression="gzip")
        y.id.write_direct_chunk((0,), zlib.compress(where * n))
    return file.getvalue()


def packed_h5():
    file = io.BytesIO()
    with h5py.File(file, "w") as held:
        held.create_dataset("x", data=np.zeros((2**14, 2**13), np.uint8), chunks=(2**12, 2**12), compression=9)
    return file.getvalue()


def virtual_h5():
    file = io.BytesIO()
    with h5py.File(file, "w") as held:
        layout = h5py.VirtualLayout((10**5, 10**5), "f4")
        layout[0] = h5py.VirtualSource("other.h5", "x", (10**5,))
        held.create_virtual_dataset("x", layout)
    return file.getvalue()


def linked_h5():
    """Another file in place of x, which would be waited for."""
    file = io.BytesIO()
    with h5py.File(file, "w") as held:
        held["x"] = h5py.ExternalLink("/dev/tty", "x")
        held.create_dataset("y", (12,), "i8", external=[("/dev/tty", 0, 96)])
    return file.getvalue()


def repeated_cells():
    """2 million cells of one text."""
    n, file = 2_000_000, io.BytesIO()
    with h5py.File(file, "w") as held:
        held["x"] = np.zeros((4, 3))
        cell = held.create_dataset("#refs#/a", data=np.full((1, 4000), 97, "u2"))
        y = held.create_dataset("y", (n,), h5py.ref_dtype, chunks=(n,), compression="gzip")
        address = struct.pack("<Q", h5py.h5o.get_info(cell.id).addr)
        y.id.write_direct_chunk((0,), zlib.compress(address * n))
        y.attrs["MATLAB_class"] = np.bytes_("cell")
    return file.getvalue()


def wide_h5ad(shape=(10, 10**12)):
    """A sparse matrix of one number that announces very many."""
    file = io.BytesIO()
    with h5py.File(file, "w") as held:
        put_sparse(held.create_group("X"), scipy.sparse.csr_matrix(np.eye(10, 1)))
        held["X"].attrs.update({"encoding-type": "csr_matrix", "shape": shape})
        held.create_group("obs")
        held.create_group("var")
    return file.getvalue()


def long_h5ad():
    """10^9 rows, whose pointers are packed in few bytes."""
    file = io.BytesIO()
    with h5py.File(file, "w") as held:
        group = held.create_group("X")
        group["data"], group["indices"] = np.ones(1), np.zeros(1, int)
        group.create_dataset("indptr", (10**9 + 1,), "i8", chunks=(10**6,), compression=9)
        group.attrs.update({"encoding-type": "csr_matrix", "shape": (10**9, 5)})
        held.create_group("obs")
        held.create_group("var")
    return file.getvalue()


def mat_of(rows, data, announced=None):
    """A compressed MATLAB 5 matrix x of bytes with one column."""
    element = struct.pack("<IIII", 6, 8, 9, 0) + struct.pack("<IIii", 5, 8, rows, 1)
    element += struct.pack("<HH4s", 1, 1, b"x") + struct.pack("<II", 2, announced or len(data)) + data
    element = zlib.compress(struct.pack("<II", 14, len(element)) + element, 6)
    return (
        b"MATLAB 5.0 MAT-file".ljust(124)
        + struct.pack("<H2s", 0x100, b"IM")
        + struct.pack("<II", 15, len(element))
        + element
    )


def many_cells_mat(n=2_000_000):
    """Texts for labels, each of them the same few bytes."""
    flags, one, name = struct.pack("<IIII", 6, 8, 4, 0), struct.pack("<IIii", 5, 8, 1, 1), struct.pack("<II", 1, 0)
    cell = flags + one + name + struct.pack("<HH4s", 16, 1, b"a")
    cells = (struct.pack("<II", 14, len(cell)) + cell) * n
    element = struct.pack("<IIII", 6, 8, 1, 0) + struct.pack("<IIii", 5, 8, n, 1) + struct.pack("<HH4s", 1, 1, b"y")
    element = zlib.compress(struct.pack("<II", 14, len(element) + len(cells)) + element + cells, 6)
    return mat_of(n, zeros(n)) + struct.pack("<II", 15, len(element)) + element


def wide_texts_parquet(n=18):
    """Rows of 64 million characters each, in groups of their own, packed in some kB."""
    import pyarrow as pa
    import pyarrow.parquet

    file, columns = io.BytesIO(), pa.schema({"a": pa.float64(), "b": pa.string()})
    fast = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
    with pa.parquet.ParquetWriter(file, columns, **fast) as writer:
        for i in range(n):
            writer.write_table(pa.table({"a": [0.0], "b": [str(i) + "a" * 2**26]}))
    return file.getvalue()


def long_parquet():
    file = io.BytesIO()
    pd.DataFrame({"a": np.zeros(7 * 10**7, bool)}).to_parquet(file)
    return file.getvalue()


def long_texts_parquet(column):
    """A text of a million characters in each of 1,500 rows, stored once."""
    import pyarrow as pa
    import pyarrow.parquet

    file = io.BytesIO()
    texts = pa.DictionaryArray.from_arrays(np.zeros(1500, np.int32), ["a" * 10**6])
    pa.parquet.write_table(pa.table({"a": np.zeros(1500), column: texts}), file, store_schema=False)
    return file.getvalue()


def wide_png():
    """A grey image of 13,000 x 13,000 pixels, under Pillow's own limit."""
    file = io.BytesIO()
    Image.new("1", (13_000, 13_000)).save(file, "PNG")
    return file.getvalue()


def encapsulated_postscript():
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 5\n%%EndComments\n(made) (w) file closefile\nshowpage\n"


def unstored_layer(layer, shapes, **config):
    """A model's file whose layer announces weights of these shapes, with nothing stored, and has that in its config."""

    def write():
        with tempfile.TemporaryDirectory() as folder:
            write_weights(Path(folder))
            path = Path(folder, "weights.h5")
            with h5py.File(path, "a") as file:
                group = file[f"model_weights/{layer}"]
                for name, shape in zip(list(group.attrs["weight_names"]), shapes, strict=True):
                    del group[name]
                    group.create_dataset(name, shape, "f4")
                model = json.loads(file.attrs["model_config"])
                (described,) = (one for one in model["config"]["layers"] if one["config"]["name"] == layer)
                described["config"] |= config
                file.attrs["model_config"] = json.dumps(model)
            return path.read_bytes()

    return write


IDX_BOMBS = [lambda: struct.pack(">HBB3I", 0, 8, 3, 2**31, 28, 28) + bytes(99)]
H5_BOMBS = [unallocated_h5, repeated_text_h5, packed_h5, virtual_h5, linked_h5]
WEIGHT_BOMBS = [
    *(unstored_layer("encoder_0", [(6, units), (units,)], units=units) for units in (10**5, 10**8, 2**31)),
    unstored_layer("clustering", [(120_000_000, 2)]),
    *H5_BOMBS,
]


def to_gz(make):
    return lambda: gzip.compress(make(), 6, mtime=0)


# One row a reader. A reader of one file more, such as a checkpoint, is one line more.


def same_name(bombs, *names):
    return {name: bombs for name in names}


IMAGE_NAMES = [f"image.{suffix}" for suffix in ("png", "jpg", "gif", "tif", "ppm")]
JF = b"10 256\n"
WEIGHTS = (keras.Variable(np.ones((4, 3), np.float32)), keras.Variable(np.zeros(3, np.float32)))


def write_checkpoint(folder):
    checkpoint = Checkpoint(folder / "checkpoint.npz", {"seed": 0})
    checkpoint.begin(WEIGHTS)
    checkpoint.epoch, checkpoint.kept["log"] = 3, [{"iter": 0, "acc": 0.5}]
    checkpoint.write()


def read_checkpoint(folder, _):
    checkpoint = Checkpoint(folder / "checkpoint.npz", {"seed": 0}, resume=True)
    checkpoint.begin(WEIGHTS)
    assert checkpoint.epoch >= 0, "epochs"
    assert all(np.isfinite(weight.numpy()).all() for weight in WEIGHTS), "weights are not finite"


READERS = {
    "idx": Reader(partial(written.write_idx), named("mnist"), same_name(IDX_BOMBS, "train-images-idx3-ubyte")),
    "idx.gz": Reader(
        partial(written.write_idx, suffix=".gz"),
        named("mnist"),
        same_name([to_gz(lambda: zeros(2 * 10**8)), to_gz(IDX_BOMBS[0])], "train-images-idx3-ubyte.gz"),
    ),
    "jf": Reader(written.write_usps_jf, named("usps")),
    "jf.gz": Reader(
        partial(written.write_usps_jf, suffix=".gz"),
        named("usps"),
        same_name([to_gz(lambda: JF + b"\n" * 10**7), to_gz(lambda: JF + b"0 " * 10**7)], "usps_train.jf.gz"),
    ),
    "usps.bz2": Reader(
        written.write_usps_libsvm,
        named("usps"),
        same_name([lambda: bz2.compress(b"1 1:1\n" * 10**6), lambda: bz2.compress(b"1 99999999:1\n")], "usps.bz2"),
    ),
    "usps.h5": Reader(written.write_usps_h5, named("usps"), same_name(H5_BOMBS, "usps.h5")),
    "pendigits": Reader(written.write_pendigits, named("pendigits")),
    "rcv1": Reader(written.write_tokens, named("reuters10k")),
    "rcv1.gz": Reader(
        partial(written.write_tokens, suffix=".gz"),
        named("reuters10k"),
        same_name([to_gz(lambda: b".I 1\n.W\n" + b"word " * 10**7)], "lyrl2004_tokens_train.dat.gz"),
    ),
    "stl": Reader(written.write_stl_binaries, read_stl),
    "npz": Reader(
        lambda folder: (np.savez(folder / "a.npz", x=X, y=Y), np.savez_compressed(folder / "b.npz", x=X, y=Y)),
        own,
        same_name([huge_in_npz, bomb_npz, long_texts_npz], "a.npz", "b.npz"),
    ),
    "npy": Reader(
        lambda folder: np.save(folder / "x.npy", X),
        own,
        same_name([lambda: npy((10**9, 100)), lambda: npy((2**62, 4)), lambda: npy((10**12, 0))], "x.npy"),
    ),
    "sparse.npz": Reader(write_sparse, own, same_name([wide_csr, huge_in_npz], "csr.npz")),
    "h5": Reader(
        lambda folder: (write_h5(folder / "a.h5"), write_h5(folder / "b.h5", chunks=(3, 2), compression=4)),
        own,
        same_name([*H5_BOMBS, long_texts_h5, unallocated_texts_h5], "a.h5"),
    ),
    "cells.h5": Reader(write_cells, read_cells, same_name([*H5_BOMBS, wide_h5ad, long_h5ad], "a.h5ad")),
    "v7.3.mat": Reader(write_mats_73, own, same_name([*H5_BOMBS, repeated_cells], "sparse.mat")),
    "csv": Reader(
        lambda folder: pd.DataFrame(X).assign(kind=Y).to_csv(folder / "x.csv", index=False),
        partial(own, label_column="kind"),
        same_name(
            [
                lambda: b"a,b\n1," + b"9" * 10**6 + b"\n",
                lambda: b'a,b\n1,"' + b"\n" * 10**6,
                lambda: b"a,kind\n" + b"1," + b"k" * 10**5 + b"\n1,k" * 3000,
                lambda: (b"1," * 10**5 + b"1\n") * 2,
            ],
            "x.csv",
        ),
    ),
    "csv.gz": Reader(
        lambda folder: (folder / "x.csv.gz").write_bytes(to_gz(lambda: pd.DataFrame(X).to_csv(sep=";").encode())()),
        own,
        same_name([to_gz(lambda: b"1," * 10**5 + b"1\n" + zeros(10**8)), to_gz(lambda: b"1,2\n" * 10**7)], "x.csv.gz"),
    ),
    "mat": Reader(
        write_mats,
        own,
        same_name(
            [
                partial(mat_of, 10**8, zeros(10**8)),
                partial(mat_of, 1, zeros(10**8)),
                partial(mat_of, 2**30, b"", announced=2**32 - 8),
                many_cells_mat,
            ],
            "packed.mat",
        ),
    ),
    "svmlight": Reader(
        write_svmlight,
        own,
        same_name([lambda: b"1 2147483647:1\n" * 9, lambda: b"1 99999999999999:1\n" * 9], "x.svmlight"),
    ),
    "parquet": Reader(
        lambda folder: pd.DataFrame(X, columns=list("abcdef")).assign(kind=Y).to_parquet(folder / "x.parquet"),
        partial(own, label_column="kind"),
        same_name(
            [
                long_parquet,
                wide_texts_parquet,
                partial(long_texts_parquet, "kind"),
                partial(long_texts_parquet, "other"),
            ],
            "x.parquet",
        ),
    ),
    "images": Reader(
        write_images,
        lambda folder, _: own(folder, "", image_size=(4, 4)),
        same_name([wide_png, encapsulated_postscript], *IMAGE_NAMES),
    ),
    "weights": Reader(write_autoencoder, read_weights, same_name(WEIGHT_BOMBS, "weights.h5")),
    "attributes": Reader(write_weights, read_known, same_name(WEIGHT_BOMBS, "weights.h5")),
    "model": Reader(write_weights, read_model, same_name(WEIGHT_BOMBS, "weights.h5")),
    "checkpoint": Reader(write_checkpoint, read_checkpoint, same_name([huge_in_npz, bomb_npz], "checkpoint.npz")),
    "results.csv": Reader(write_results, read_results),
    "log": Reader(lambda folder: (folder / "log.csv").write_text("iter,acc\n0,0.5\n9,NA\n" * 9), read_columns),
    "choose_k.csv": Reader(write_numbers_of_clusters, read_numbers_of_clusters),
    "run.json": Reader(lambda folder: (folder / "run.json").write_text(json.dumps({"a": [1, {"b": "ä"}]})), read_dict),
}


# Mutations: each takes a file's bytes and a random.Random, and returns other bytes.


def cut(data, rng):
    return data[: rng.randrange(len(data))]


def flip(data, rng):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        data[_place(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(data)


def announce(data, rng):
    """A number in the header, or anywhere, becomes another or huge one, in either order of bytes."""
    size = rng.choice((1, 2, 4, 8))
    number = rng.choice(
        (0, 1, 2 ** (8 * size - 1), 2 ** (8 * size - 1) - 1, 2 ** (8 * size) - 1, rng.getrandbits(8 * size))
    )
    at = _place(data, rng)
    return data[:at] + number.to_bytes(size, rng.choice(("little", "big"))) + data[at + size :]


def announce_in_text(data, rng):
    """A number in text becomes another, or none."""
    numbers = list(re.finditer(rb"\d[\d.]*", data))
    if not numbers:
        return announce(data, rng)
    found = rng.choice(numbers)
    others = (
        b"0",
        b"-1",
        b"1e400",
        b"nan",
        b"inf",
        b"4294967296",
        b"9" * 30,
        b"9" * 5000,
        b"1_0",
        b"",
        b"\xff\xfe",
        b"'\"",
    )
    return data[: found.start()] + rng.choice(others) + data[found.end() :]


def lengthen(data, rng):
    """A part is there several times, or other bytes are put in."""
    start = rng.randrange(len(data))
    part = data[start : start + rng.choice((1, 8, 100, 1000))]
    put_in = rng.choice((part * rng.choice((1, 2, 500)), zeros(1000), b"\n" * 50, b",;\t", b"\xff" * 100))
    return data[:start] + put_in + data[start:]


def blank(data, rng):
    start, size = rng.randrange(len(data)), rng.choice((1, 16, 256))
    return data[:start] + zeros(len(data[start : start + size])) + data[start + size :]


def drop(data, rng):
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.choice((1, 16, 256)) :]


def empty(data, rng):
    return b""


def inside(data, rng):
    """Mutates what is packed, so that checksums fit; what is not packed is flipped."""
    change = rng.choice((cut, flip, announce, announce_in_text, lengthen, blank, drop, empty))
    if data[:2] == b"\x1f\x8b":
        return gzip.compress(change(gzip.decompress(data), rng), 1, mtime=0)
    if data[:3] == b"BZh":
        return bz2.compress(change(bz2.decompress(data), rng))
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = rng.choice(list(members))
        return zipped(members | {name: change(members[name], rng)})
    if data[:6] == b"MATLAB" and data[128] == 15:  # packed elements, of which the first is changed
        (size,) = struct.unpack_from("<I", data, 132)
        element = zlib.compress(change(zlib.decompress(data[136 : 136 + size]), rng), 1)
        return data[:132] + struct.pack("<I", len(element)) + element + data[136 + size :]
    return change(data, rng)


def _place(data, rng):
    return rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(len(data), 512))


MUTATIONS = (cut, flip, flip, announce, announce, announce_in_text, lengthen, blank, drop, inside, inside)


def wrong_type(reader, rng):
    """Another reader's file."""
    others = [data for name in OFTEN if name != reader for data in valid_files(name).values()]
    return rng.choice(others)


OFTEN = ("npz", "npy", "h5", "csv", "mat", "parquet", "images", "idx", "jf.gz", "results.csv")


@cache
def valid_files(name):
    """{file: its bytes} of a reader."""
    with tempfile.TemporaryDirectory() as folder:
        READERS[name].write(Path(folder))
        return {path.name: _undated(path.read_bytes()) for path in sorted(Path(folder).iterdir())}


def _undated(data):
    """Without what is another every time: the time in gzip's and MATLAB's headers, and addresses in Keras' configs."""
    if data[:2] == b"\x1f\x8b":
        return data[:4] + zeros(4) + data[8:]
    if data[:6] == b"MATLAB":
        return data[:20].ljust(116) + data[116:]
    return re.sub(rb'(?<="shared_object_id": )\d+', lambda found: b"1" * len(found[0]), data)


# The run.


class TooLong(BaseException):
    """Not an Exception: nothing that is tried may catch it."""


def _too_long(*_):
    raise TooLong


@contextlib.contextmanager
def limits():
    """SECONDS of work in WAIT, and MEMORY more than this process has: what cannot be had is a MemoryError, a fault."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
    timers = {signal.ITIMER_PROF: (signal.SIGPROF, SECONDS), signal.ITIMER_REAL: (signal.SIGALRM, WAIT)}
    for timer, (number, seconds) in timers.items():
        signal.signal(number, _too_long)
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)


def outcome(reader, folder, file):
    """ "error" or "read", or what is wrong."""
    try:
        with limits(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)  # which computing with garbage gives
            reader.read(folder, file)
    except InputError as error:
        cause = error
        while cause is not None:
            if isinstance(cause, MemoryError):
                return f"memory: {error}"
            cause = cause.__cause__ or cause.__context__
        return "error" if len(str(error).splitlines()) == 1 else f"several lines: {error}"
    except TooLong:
        return "hang"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "read"


def mutants(name, count, seed=SEED):
    """Yields (number, file, its bytes) of a reader's mutants: every bomb and the empty files first."""
    files = valid_files(name)
    made = cache(lambda bomb: bomb())  # once, for all files of a format
    fixed = [(file, made(bomb)) for file, bombs in READERS[name].bombs.items() for bomb in bombs]
    fixed += [(file, b"") for file in files]
    for i in range(count):
        rng = random.Random(f"{seed} {name} {i}")
        file = rng.choice(list(files))
        if i < len(fixed):
            yield i, *fixed[i]
        elif i % 20 == 0:
            yield i, file, wrong_type(name, rng)
        else:
            yield i, file, rng.choice(MUTATIONS)(files[file], rng)


def fuzz(name, count, seed=SEED, kept=None):
    """Counts of a reader's clean errors and correct reads, and its faults, as {"error": n, "read": n, "faults": [...]}.

    Args:
        name: of READERS.
        count: mutations.
        seed: int.
        kept: folder for the files that made a fault, and for the one at work, which so survives a crash; or None.
    """
    logging.getLogger("absl").setLevel(logging.ERROR)
    found = {"error": 0, "read": 0, "faults": []}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work, "files")
        files = valid_files(name)
        reset(folder, files)
        for file in files:  # what libraries load at first is not the file's memory
            with contextlib.redirect_stdout(io.StringIO()):
                READERS[name].read(folder, file)
        for i, file, data in mutants(name, count, seed):
            (folder / file).write_bytes(data)
            if kept:
                Path(kept, f"{name}-at-work-{file}").write_bytes(data)
            result = outcome(READERS[name], folder, file)
            if result in found:
                found[result] += 1
            else:
                found["faults"].append(f"{i} {file}: {result}")
                if kept:
                    Path(kept, f"{name}-{i}-{file}").write_bytes(data)
            (folder / file).write_bytes(files[file])
    return found


def reset(folder, files):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("readers", nargs="*", help=f"of {', '.join(READERS)} (default: all)")
    parser.add_argument("--mutations", type=int, default=100, help="of each reader (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="default: %(default)s")
    parser.add_argument("--kept", type=Path, help="folder for the files that made a fault")
    args = parser.parse_args(arguments)
    if unknown := set(args.readers) - set(READERS):
        parser.error(f"there is no reader {', '.join(sorted(unknown))}")
    if args.kept:
        args.kept.mkdir(parents=True, exist_ok=True)
    print(markdown([["reader", "mutations", "clean errors", "correct reads", "faults"]]), flush=True)
    faults, process = [], None
    for name in args.readers or READERS:
        process = process or ProcessPoolExecutor(1, get_context("spawn"))  # which a library may crash
        try:
            found = process.submit(fuzz, name, args.mutations, args.seed, args.kept).result()
        except BrokenProcessPool:
            found, process = {"error": 0, "read": 0, "faults": ["the process crashed"]}, None
        numbers = map(str, (args.mutations, found["error"], found["read"], len(found["faults"])))
        print(f"| {name} | {' | '.join(numbers)} |", flush=True)
        faults += [f"{name} {fault}" for fault in found["faults"]]
    sys.exit("\n".join(faults) or None)


if __name__ == "__main__":
    main()
