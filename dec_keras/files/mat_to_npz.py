"""Converts MATLAB files up to format 7.2 to .npz files, which are safe to read: crafted files crash SciPy's reader.

So only guard.py's process runs this module; on Windows, which has no such process, the user's process does.
"""

import json

import numpy as np
import scipy.io
import scipy.sparse

SPARSE = ("data", "indices", "indptr")


def write_npz(path, file):
    """Writes the arrays of a MATLAB file into an open .npz file.

    The member `listing` is JSON: [name, shape, MATLAB's type, error or None] for each array, and the error if they
    cannot be listed, or None. Array i is the member `i/dense`; a cell array of texts is `i/texts`, in JSON;
    a sparse matrix is `i/data`, `i/indices` and `i/indptr`. Other kinds, and unreadable arrays, have no member.
    """
    listed, error = _attempt(scipy.io.whosmat, path, appendmat=False)
    whole, _ = _attempt(scipy.io.loadmat, path, appendmat=False)  # one by one, each would read through the file
    arrays, members = [], {}
    for i, array in enumerate(listed or ()):
        parts, why_not = _attempt(_parts, path, array[0], whole)
        arrays.append([*array, why_not])
        members |= {f"{i}/{part}": values for part, values in (parts or {}).items()}
    np.savez(file, listing=_as_json([arrays, error]), **members)


def _attempt(read, *arguments, **options):
    """Returns the result of `read` and None; or None and the error message. A MemoryError is raised."""
    try:
        return read(*arguments, **options), None
    except MemoryError:
        raise
    except Exception as error:
        return None, str(error) or repr(error)


def _parts(path, name, whole):
    """{part of an array: its values}. `whole` is {name: array} of the file, or None if it cannot be read in one go."""
    values = (whole or scipy.io.loadmat(path, appendmat=False, variable_names=[name]))[name]
    if isinstance(values, str):  # SciPy's error message, in place of the array
        raise ValueError(values)
    if scipy.sparse.issparse(values):
        matrix = values.tocsc()
        return {part: getattr(matrix, part) for part in SPARSE}
    if not values.dtype.hasobject:
        return {"dense": values}
    cells = values.ravel("F").tolist()  # MATLAB's order
    if not all(isinstance(cell, np.ndarray) and cell.dtype.kind == "U" and cell.size <= 1 for cell in cells):
        return {}
    return {"texts": _as_json(["".join(cell).rstrip() for cell in cells])}


def _as_json(values):
    return np.array(json.dumps(values, default=int).encode())
