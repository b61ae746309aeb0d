"""Sparse matrices that a file keeps as three arrays: SciPy's, AnnData's, 10x Genomics' and MATLAB's."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse

from dec_keras.data.choosing import array
from dec_keras.errors import InputError
from dec_keras.files.untrusted import check_expansion, check_features

NAMES = (("indptr", "indices"), ("jc", "ir"))  # SciPy's, and MATLAB's


@dataclass(frozen=True)
class Parts:
    """The parts of a compressed sparse matrix in a file.

    Attributes:
        data, indices, indptr: names of its arrays in the file.
        shape: shape of the matrix, samples first.
        form: "csr" or "csc".
    """

    data: str
    indices: str
    indptr: str
    shape: tuple
    form: str


def find(path, held, read, attributes):
    """Finds the sparse matrices among a file's arrays: `a/data` or `a_data` makes a matrix `a`, and `data` makes "x".

    Args:
        path: path of the file.
        held: {name: Array} of the file.
        read: function that takes a name and returns the array.
        attributes: function that takes the prefix of `data`, such as `a/`, and returns a dict of its attributes.

    Returns:
        {name: Array} with the matrices in place of their parts, and {name: Parts} of the matrices.
    """
    rest, found = dict(held), {}
    for name in held:
        for indptr, indices in NAMES:
            prefix = name.removesuffix(indptr)
            if prefix != name and {f"{prefix}data", f"{prefix}{indices}"} <= set(held):
                described = _described(path, prefix, held, read, attributes(prefix), indptr)
                parts = Parts(f"{prefix}data", f"{prefix}{indices}", name, *described)
                matrix = _named(prefix)
                for part in (parts.data, parts.indices, parts.indptr, f"{prefix}shape"):
                    rest.pop(part, None)
                rest[matrix], found[matrix] = array(matrix, parts.shape, held[parts.data].kind), parts
    return rest, found


def _named(prefix):
    return prefix.strip("/_-. ") or "x"


def _described(path, prefix, held, read, attributes, indptr):
    """Returns the shape of a matrix, samples first, and its form, "csr" or "csc"."""

    def stated(*names):
        for name in names:
            if name in attributes:
                return attributes[name]
        return next((read(f"{prefix}{name}") for name in names if f"{prefix}{name}" in held), None)

    lengths = len(read(f"{prefix}{indptr}")) - 1
    if indptr == "jc":
        return (int(attributes.get("MATLAB_sparse", 0)), lengths), "csc"
    shape, form = stated("shape", "h5sparse_shape"), stated("encoding-type", "h5sparse_format", "format")
    if shape is None:
        raise InputError(f"{path}: the sparse matrix {_named(prefix)} lacks its shape: save it with one.")
    shape = tuple(int(side) for side in np.ravel(shape))
    if len(shape) != 2:
        raise ValueError(f"a sparse matrix of shape {shape}")
    if f"{prefix}barcodes" in held:  # of 10x Genomics: one column per cell
        return shape[::-1], "csr"
    forms = [name for name, side in (("csr", shape[0]), ("csc", shape[1])) if side == lengths]
    if form is not None:
        form = form.item() if isinstance(form, np.ndarray) else form
        form = form.decode() if isinstance(form, bytes) else str(form)
        forms = [name for name in ("csr", "csc") if name in form]
    if len(forms) != 1:
        raise InputError(
            f"{path} does not say whether the sparse matrix {_named(prefix)} is kept by rows or by columns: save it "
            "by scipy.sparse.save_npz."
        )
    return shape, forms[0]


def build(path, parts, read):
    """The matrix of `Parts`, as CSR or CSC.

    Raises:
        ValueError, InputError: if it is damaged or too large.
    """
    data, indices, indptr = (np.ravel(read(name)) for name in (parts.data, parts.indices, parts.indptr))
    if data.dtype.kind not in "fiub" or indices.dtype.kind not in "iu" or indptr.dtype.kind not in "iu":
        raise ValueError("a sparse matrix is not of numbers")
    form = {"csr": scipy.sparse.csr_matrix, "csc": scipy.sparse.csc_matrix}[parts.form]
    return sound(path, form((data, indices, indptr), shape=parts.shape))


def sound(path, x):
    """Returns x, but raises an error if a sparse x expands too much, or has indices outside its arrays.

    SciPy would follow such indices outside its memory.
    """
    if scipy.sparse.issparse(x) and x.ndim == 2:
        check_features(x.shape[1])
        check_expansion(path, x.shape[0], 8 * x.shape[0], path.stat().st_size)
    if hasattr(x, "indptr"):
        if (np.diff(x.indptr) < 0).any():  # `check_format` does not see it if the last one is 0
            raise ValueError("the matrix' rows overlap")
        x.check_format()
    return x
