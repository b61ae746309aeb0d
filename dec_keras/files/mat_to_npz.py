"""MATLAB's files up to format 7.2 as .npz files, which are safe to read: SciPy's reader crashes of crafted ones.

So only guard.py's process runs it, and on Windows, where there is none, the user's.
"""

import json

import numpy as np
import scipy.io
import scipy.sparse

SPARSE = ("data", "indices", "indptr")


def write_npz(path, file):
    """Writes what a MATLAB file holds into an open .npz file.

    Its `listing` is JSON: [name, shape, MATLAB's type, error or None] of each array, and why they cannot be listed, or
    None. The array at place i is the member `i/dense`; a cell array of texts is `i/texts`, in JSON; a sparse matrix is
    those of SPARSE, `i/data` and so on. Other kinds have no member, nor has what cannot be read.
    """
    listed, error = _attempt(scipy.io.whosmat, path, appendmat=False)
    whole, _ = _attempt(scipy.io.loadmat, path, appendmat=False)  # one at a time goes through the file each time
    arrays, members = [], {}
    for i, array in enumerate(listed or ()):
        parts, why_not = _attempt(_parts, path, array[0], whole)
        arrays.append([*array, why_not])
        members |= {f"{i}/{part}": values for part, values in (parts or {}).items()}
    np.savez(file, listing=_as_json([arrays, error]), **members)


def _attempt(read, *arguments, **options):
    """What `read` returns, and None; or None, and why it fails. Too little memory is not told but raised."""
    try:
        return read(*arguments, **options), None
    except MemoryError:
        raise
    except Exception as error:
        return None, str(error) or repr(error)


def _parts(path, name, whole):
    """{part of an array: its values}, from all arrays by name, or None where they cannot be read together."""
    values = (whole or scipy.io.loadmat(path, appendmat=False, variable_names=[name]))[name]
    if isinstance(values, str):  # SciPy puts an error there
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
