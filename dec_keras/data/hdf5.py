"""HDF5 files -> x, y: general ones, MATLAB's -v7.3, AnnData's .h5ad and 10x Genomics' .h5."""

from contextlib import suppress

import h5py

from dec_keras.data import sparse
from dec_keras.data.choosing import array, as_labels, choose, samples
from dec_keras.data.reading import listed
from dec_keras.errors import InputError
from dec_keras.files.untrusted import (
    DAMAGED,
    as_dataset,
    check_expansion,
    check_text_length,
    open_h5,
    plain_array,
    text_array,
)


def read_hdf5(path, how, inside=""):
    """Returns x, y or None, and the names of the samples or None.

    Args:
        path: path of the file.
        how: a Reading; its label_column names an array, or a column of AnnData's obs.
        inside: name of an array, of a sparse matrix' group, or of a group that holds one of these; "": the root.
    """
    with open_h5(path) as file:
        held, read = _arrays(path, file, how, inside, turned=False)
        if not {"obs", "var"} <= set(file):
            return *choose(path, held, read, how, inside), None
        x, _ = samples(path, held, how, inside.strip("/") or ("X" if "X" in held else ""))
        x = read(x.parts[0])
        y = _observed(path, file["obs"], how, x.shape[0])
        return x, y, _names(path, file["obs"], x.shape[0])


def read_v73(path, how, inside=""):
    """Returns x and y of a file in MATLAB's format 7.3, which is HDF5 with the axes in reverse order."""
    with open_h5(path) as file:
        held, read = _arrays(path, file, how, inside, turned=True)
        return choose(path, held, read, how, inside, last_axis=True)


def _arrays(path, file, how, inside, turned):
    """Returns {name: Array} of a file, and a function that reads an array by its name, samples first."""
    items = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith("#"):  # MATLAB's own
            with suppress(*DAMAGED):  # a damaged array is left out, and is no error if no one asks for it
                items[name] = array(name, item.shape[::-1] if turned else item.shape, _kind(item))

    file.visititems(visit)
    for name in (inside.strip("/"), (how.label_column or "").strip("/")):
        if name and name not in items:  # `visititems` skips links and second names
            visit(name, file.get(name))

    def attributes(prefix):
        group = file[prefix or "/"]
        return {name: group.attrs[name] for name in group.attrs}

    def plain(name):
        return plain_array(path, file[name])

    held, matrices = sparse.find(path, items, plain, attributes)

    def read(name):
        if name in matrices:
            return sparse.build(path, matrices[name], plain)
        item, kind = file[name], held[name].kind
        if kind == "cell":
            return _cells(path, file, item)
        values = plain(name)
        values = values.T if turned else values
        if _of_matlab(item) == "char":
            return text_array(path, [_characters(row) for row in values]) if values.ndim == 2 else values
        return values

    return held, read


def _kind(item):
    """Kind of a dataset, as in `choosing.Array`: that of its dtype, or its MATLAB type."""
    of_matlab = _of_matlab(item)
    if of_matlab == "cell":
        return "cell"
    if of_matlab == "char" or h5py.check_string_dtype(item.dtype):
        return "U"
    if "MATLAB_object_decode" in item.attrs or of_matlab in ("struct", "function_handle"):
        return of_matlab
    return "ragged array or references" if item.dtype.kind == "O" else item.dtype.kind


def _of_matlab(item):
    name = item.attrs.get("MATLAB_class", b"")
    return name.decode() if isinstance(name, bytes) else str(name)


def _cells(path, file, item):
    """Reads the texts of a MATLAB cell array, which holds references to them."""
    references, texts = plain_array(path, item).ravel(), []
    if len(references) > path.stat().st_size // 100:  # each cell is an HDF5 item with a header
        raise ValueError("it has more cells than it has room for")
    for reference in references:
        cell = as_dataset(file[reference])
        check_text_length(path, cell.size, len(references))
        texts.append(_characters(plain_array(path, cell)))
    return text_array(path, texts)


def _characters(codes):
    """Decodes UTF-16 numbers to text, without the blanks that pad texts to one length."""
    if codes.dtype.kind != "u":
        raise InputError(
            "A cell array of something else than texts cannot hold the labels: save them as texts or numbers."
        )
    return codes.ravel().astype("<u2").tobytes().decode("utf-16-le", "replace").rstrip().rstrip("\0")


# AnnData: the table obs has one row per sample. It is a group of columns or, in old files, one array of rows.


def _observed(path, obs, how, n):
    """The labels, a column of obs, or None."""
    columns = [name for name in (obs.dtype.names or () if isinstance(obs, h5py.Dataset) else obs) if name[0] != "_"]
    if how.label_column is None:
        if columns and not how.n_features:
            print(f"{path}: obs has the columns {listed(columns)}; --label_column names that of the labels.")
        return None
    name = how.label_column.removeprefix("/").removeprefix("obs/")
    if name not in columns:
        if how.n_features:
            return None
        raise InputError(
            f"{path} has no column {name!r} of obs for --label_column: it has {listed(columns) if columns else 'none'}."
        )
    if isinstance(obs, h5py.Dataset):
        return as_labels(path, plain_array(path, obs)[name], n)
    return as_labels(path, _column(path, obs, name), n)


def _column(path, obs, name):
    """Reads a column's values, which are stored plain, as codes of categories, or with a mask of missing values."""
    item, missing = obs[name], None
    if isinstance(item, h5py.Group) and "categories" in item:
        values, missing = _of_categories(path, item["codes"], item["categories"])
    elif isinstance(item, h5py.Group):
        values = plain_array(path, item["values"])
        missing = plain_array(path, item["mask"]) if "mask" in item else None
    elif name in obs.get("__categories", ()):
        values, missing = _of_categories(path, item, obs["__categories"][name])
    else:
        values = plain_array(path, item)
    if missing is not None and missing.any():
        raise InputError(
            f"{path}: {name} is missing in {int(missing.sum())} of {missing.size} samples: drop them, or name another "
            "column by --label_column."
        )
    return values


def _of_categories(path, codes, categories):
    codes, categories = plain_array(path, codes), plain_array(path, categories)
    if codes.dtype.kind not in "iu" or categories.ndim != 1 or (codes.size and codes.max() >= len(categories)):
        raise ValueError("its categories are damaged")
    missing = codes < 0
    check_expansion(path, codes.size, codes.size * categories.itemsize, path.stat().st_size)
    return (codes if missing.any() else categories[codes]), missing


def _names(path, obs, n):
    """Names of the samples, the index of obs, or None."""
    index = obs.attrs.get("_index", "index") if isinstance(obs, h5py.Group) else None
    index = index.decode() if isinstance(index, bytes) else index
    if not (isinstance(index, str) and isinstance(obs.get(index), h5py.Dataset)):
        return None
    names = plain_array(path, obs[index])
    return names.astype(str).tolist() if names.shape == (n,) and names.dtype.kind in "USiu" else None
