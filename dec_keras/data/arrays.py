"""Files of arrays -> x, y: .npy, .npz, HDF5, MATLAB's and svmlight's. Nothing is ever unpickled."""

import io
from dataclasses import replace

import h5py
import numpy as np
import scipy.sparse
from sklearn.datasets import load_svmlight_file

from dec_keras.data import sparse
from dec_keras.data.choosing import array, choose
from dec_keras.data.hdf5 import read_hdf5, read_v73
from dec_keras.data.matlab import read_v5
from dec_keras.data.reading import About, Reading
from dec_keras.data.samples import image_shape_of
from dec_keras.errors import InputError
from dec_keras.files.untrusted import arrays, check_features, headers, text_array

LARGE_FILE = 2**30  # bytes; a larger .npy stays on disk
OF_SAVE_NPZ = {"format", "shape", "data", "indices", "indptr", "row", "col", "offsets", "coords", "_is_array"}
NO_NUMBERS = {  # {kind of a dtype: advice for samples of it}
    "c": "complex numbers are not read: save their real part, or their size, abs(x)",
    "O": "Python objects are not read: save numbers",
    "V": "it must hold numbers: save the fields side by side, or as a .csv",
    "M": "it must hold numbers: turn the dates into some",
    "m": "it must hold numbers: turn the spans of time into some",
    "S": "it must hold numbers, x.astype(float)",
    "U": "it must hold numbers, x.astype(float)",
}


def npy_file(path, how):
    """A large file is not read but mapped: it stays on disk."""
    x = arrays(path)
    if isinstance(x, np.lib.npyio.NpzFile):
        raise InputError(f"{path} is an archive of arrays, as np.savez writes it: call it .npz.")
    if how.label_column is not None and not how.n_features:
        raise InputError(
            f"{path} holds one array, and none of labels for --label_column: save both, np.savez('x.npz', x=x, y=y)."
        )
    x = np.array(x) if isinstance(x, np.memmap) and path.stat().st_size <= LARGE_FILE else x
    return x, None, _about_array(path, x, how)


def npz_file(path, how, inside=""):
    x, y = npz([path], how, inside)
    return x, y, _about_array(path, x, how)


def npz(paths, how=None, inside=""):
    """Reads x and, if present, y (DEC-keras: data and label) of a .npz file, or the matrix of scipy.sparse.save_npz."""
    path, how = paths[0], how or Reading()
    with arrays(path) as file:
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise InputError(f"{path} is one array, as np.save writes it: call it .npy.")
        held = {name: array(name, shape, dtype.kind) for name, (shape, dtype) in headers(file.zip).items()}

        if {"format", "shape"} <= set(held):
            matrix = sparse.sound(path, scipy.sparse.load_npz(path))
            held = {name: item for name, item in held.items() if name not in OF_SAVE_NPZ}
            held |= {"x": array("x", matrix.shape, matrix.dtype.kind)}
            return choose(path, held, lambda name: matrix if name == "x" else file[name], how, inside)
        every, matrices = sparse.find(path, held, file.get, lambda _: {})

        def read(name):
            return sparse.build(path, matrices[name], file.get) if name in matrices else file[name]

        return choose(path, every, read, how, inside)


def h5_file(path, how, inside=""):
    x, y, names = read_hdf5(path, how, inside)
    return x, y, replace(_about_array(path, x, how), names=names)


def mat_file(path, how, inside=""):
    """Reads a MATLAB file of format 7.3, which is HDF5, or of an older format."""
    x, y = (read_v73 if h5py.is_hdf5(path) else read_v5)(path, how, inside)
    return x, y, _about_array(path, x, how)


def svmlight_file(path, how):
    """Reads rows of `label feature:value feature:value`; the label may be text, or be missing in all rows."""
    if how.label_column is not None and not how.n_features:
        raise InputError(f"{path} has the label first in each row: leave --label_column out.")
    try:
        x, y = load_svmlight_file(str(path), dtype=np.float32, zero_based=True)
    except ValueError:
        x, y = _without_numbers(path)
    check_features(x.shape[1])
    zero_based = bool(x[:, [0]].nnz) if how.zero_based is None else how.zero_based
    x = x if zero_based else x[:, 1:]
    if how.n_features and x.shape[1] < how.n_features:  # its last features are all 0
        x = scipy.sparse.csr_matrix((x.data, x.indices, x.indptr), shape=(x.shape[0], how.n_features))
    if y.dtype.kind == "U":
        return x, y, About(reading=replace(how, zero_based=zero_based))
    y = y.astype(np.int64) if np.array_equal(y, np.round(y)) else y
    y = y if len(np.unique(y)) > 1 else None  # files without labels have one number in all rows
    return x, y, About(reading=replace(how, zero_based=zero_based))


def _without_numbers(path):
    """Returns x and y of a file whose labels are text, or are missing in all rows: then y is 0 for all."""
    rows = [row.split(None, 1) for row in (line.split(b"#")[0] for line in path.read_bytes().splitlines())]
    rows = [row for row in rows if row]
    first = [row[0].decode("utf-8", "backslashreplace") for row in rows]
    lacking = [i for i, text in enumerate(first) if ":" in text]
    if several := [text for text in first if "," in text and ":" not in text]:
        raise InputError(
            f"{path} has several labels in {len(several)} rows, such as {several[0][:40]!r}: keep one a row."
        )
    if 0 < len(lacking) < len(rows):
        raise InputError(
            f"{path} has no label in {len(lacking)} of {len(rows)} rows, first in row {lacking[0]}: give each row one, "
            "or none any."
        )
    features = [b" ".join(row) if lacking else b"".join(row[1:]) for row in rows]
    try:
        rows = io.BytesIO(b"\n".join(b"0 " + row for row in features))
        x, y = load_svmlight_file(rows, dtype=np.float32, zero_based=True)
    except ValueError as error:
        if "sorted" in str(error):
            raise InputError(f"{path} has rows whose features are not in order: sort them, each once.") from error
        raise
    return x, y if lacking else text_array(path, first)


def _about_array(path, x, how):
    """Checks that x holds numbers. A sample may be an image if it has two axes, or three with 1 or 3 colours last."""
    if not (isinstance(x, np.ndarray) or scipy.sparse.issparse(x)):
        raise ValueError("it holds no array")
    if x.dtype.kind in NO_NUMBERS:
        raise InputError(f"{path}: x has the type {str(x.dtype)[:60]}; {NO_NUMBERS[x.dtype.kind]}.")
    return About(image_shape=image_shape_of(x), reading=how)
