"""Files of arrays -> x, y: .npy, .npz, HDF5, MATLAB's and svmlight's. Nothing is ever unpickled."""

import io
from dataclasses import replace

import h5py
import numpy as np
import scipy.io
import scipy.sparse
from sklearn.datasets import load_svmlight_file

import mat5
from dec_keras.data.reading import About, Reading
from files import InputError
from untrusted import arrays, check_expansion, check_features, open_h5, plain_array

LARGE_FILE = 2**30  # bytes; a larger .npy stays on disk
PAIRS = {"x": "y", "data": "label", "fea": "gnd"}  # arrays of samples and labels: ours, DEC-keras', D. Cai's .mat files


def npz(paths, how=None):
    """x and, if it is there, y (DEC-keras calls them data and label); or a matrix by scipy.sparse.save_npz."""
    how = how or Reading()
    with arrays(paths[0]) as held:
        if {"format", "shape"} <= set(held):
            return _sound(paths[0], scipy.sparse.load_npz(paths[0])), held.get(how.label_column or "y")
        x, y = _pick(paths[0], held, how)
        return held[x], None if y is None else held[y]


def _sound(path, x):
    """x, unless it is a sparse matrix larger than what is there, or with indices beyond its arrays.

    SciPy would follow those out of its memory.
    """
    if scipy.sparse.issparse(x) and x.ndim == 2:
        check_features(x.shape[1])
        check_expansion(path, x.shape[0], 8 * x.shape[0], path.stat().st_size)
    if hasattr(x, "indptr"):
        if (np.diff(x.indptr) < 0).any():  # which `check_format` overlooks where the last of them is 0
            raise ValueError("the matrix' rows overlap")
        x.check_format()
    return x


def _pick(path, held, how, x=None):
    """Names of the arrays of samples and of labels (or None) among those `held`; upper case serves too."""
    held = list(held)
    lower = {name.lower(): name for name in reversed(held)}
    x = x or next((lower[name] for name in PAIRS if name in lower), None)
    if x is None:
        raise InputError(f"{path} holds {held}: it must hold an array x, and y if there are labels.")
    if how.label_column is None or (how.n_features and how.label_column not in held):
        return x, lower.get(PAIRS.get(x.lower()))
    if how.label_column not in held:
        raise InputError(f"{path} holds {held}: there is no array {how.label_column!r} for --label_column.")
    return x, how.label_column


def npy_file(path, how):
    """A large file is not read but mapped: it stays on disk."""
    x = arrays(path)
    x = np.array(x) if isinstance(x, np.memmap) and path.stat().st_size <= LARGE_FILE else x
    return x, None, _about_array(x, how)


def npz_file(path, how):
    x, y = npz([path], how)
    return x, y, _about_array(x, how)


def h5_file(path, how, inside=None):
    x, y = _h5(path, how, inside)
    return x, y, _about_array(x, how)


def _h5(path, how, inside=None):
    """The arrays of a group of an HDF5 file, the root by default."""
    with open_h5(path) as file:
        parent, _, x = (inside or "/").rpartition("/")
        group = file.get(parent or "/")
        group = group if isinstance(group, h5py.Group) else {}
        held = [name for name, item in group.items() if isinstance(item, h5py.Dataset)]
        if x and x not in held:
            raise InputError(f"{path} has no array {inside}: {parent or '/'} holds {held}.")
        x, y = _pick(path, held, how, x or None)
        return tuple(None if name is None else plain_array(path, group[name]) for name in (x, y))


def mat_file(path, how):
    """MATLAB's format 5, or 7.3, which is HDF5 with its axes turned round."""
    if h5py.is_hdf5(path):
        x, y = (None if part is None else part.T for part in _h5(path, how))
    else:
        data = path.read_bytes()
        mat5.check(path, data)
        held = scipy.io.whosmat(io.BytesIO(data))
        kinds = {name: kind for name, _, kind in held}
        if len(kinds) < len(held):
            raise ValueError("two arrays have the same name")
        x, y = _pick(path, kinds, how)
        picked = [x] if y is None else [x, y]
        for name in picked:
            if kinds[name] in ("cell", "struct", "object", "function", "opaque", "unknown"):
                raise InputError(f"{path}: {name} is of MATLAB's type {kinds[name]}: it must be an array of numbers.")
        loaded = scipy.io.loadmat(io.BytesIO(data), variable_names=picked)
        x, y = _sound(path, loaded[x]), loaded.get(y)
    if y is not None and y.ndim == 2 and 1 in y.shape:  # MATLAB has no vectors
        y = y.ravel()
    return x, y, _about_array(x, how)


def svmlight_file(path, how):
    x, y = load_svmlight_file(str(path), dtype=np.float32, zero_based=True)
    check_features(x.shape[1])
    zero_based = bool(x[:, [0]].nnz) if how.zero_based is None else how.zero_based
    x = x if zero_based else x[:, 1:]
    if how.n_features and x.shape[1] < how.n_features:  # its last features are all 0
        x = scipy.sparse.csr_matrix((x.data, x.indices, x.indptr), shape=(x.shape[0], how.n_features))
    y = y.astype(np.int64) if np.array_equal(y, np.round(y)) else y
    y = y if len(np.unique(y)) > 1 else None  # the format has no way to say "unknown": 0 for all
    return x, y, About(reading=replace(how, zero_based=zero_based))


def _about_array(x, how):
    """Samples of two axes, or of three with one or three colours, may be images."""
    if not (isinstance(x, np.ndarray) or scipy.sparse.issparse(x)):
        raise ValueError("it holds no array")
    shape = x.shape[1:] if x.ndim in (3, 4) else None
    if x.ndim == 4:
        shape = {1: shape[:2], 3: shape}.get(shape[2])
    return About(image_shape=shape, reading=how)
