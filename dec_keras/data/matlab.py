"""MATLAB files up to format 7.2 -> x, y. Another process reads them, since crafted files crash SciPy's reader."""

import json
import math
import tempfile
import zipfile
from contextlib import contextmanager

import scipy.sparse

from dec_keras.data import sparse
from dec_keras.data.choosing import array, choose
from dec_keras.errors import InputError
from dec_keras.files import guard
from dec_keras.files.mat_to_npz import SPARSE, write_npz
from dec_keras.files.untrusted import arrays, check_expansion, text_array

# {MATLAB's type, without the number of bits at its end: kind of the NumPy dtype}
KINDS = {"double": "f", "single": "f", "sparse": "f", "logical": "u", "int": "i", "uint": "u", "char": "U"}


def read_v5(path, how, inside=""):
    """x and y of a file of format 4 to 7.2."""
    with _as_npz(path) as file:
        listed, error = json.loads(file["listing"].item())
        if error:
            raise ValueError(error)
        held = {name: array(name, shape, KINDS.get(kind.rstrip("0123456789"), kind)) for name, shape, kind, _ in listed}
        if len(held) < len(listed):
            raise ValueError("two arrays have the same name")
        for name, shape, kind, _ in listed:
            if min(shape, default=0) < 0:
                raise ValueError(f"{name} has negative dimensions")
            numbers = 0 if kind == "sparse" else math.prod(shape)
            check_expansion(path, numbers, numbers, path.stat().st_size)  # a number takes at least a byte

        def read(name):
            i = list(held).index(name)
            return _values(path, file, i, *listed[i])

        return choose(path, held, read, how, inside, last_axis=True)


@contextmanager
def _as_npz(path):
    """Opens a file's arrays as a temporary .npz file by `write_npz`. It is deleted at the end, even after an error."""
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/arrays.npz", "w+b") as file:
        if guard.FORKS:
            guard.check(path, "scipy.io", file.name)
        else:
            write_npz(path, file)
            file.seek(0)
        try:
            written = arrays(file)
        except (EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path} was not read: {tempfile.gettempdir()} has no room for its arrays, or the process that reads "
                "them was ended; set TMPDIR to another folder, or try again."
            ) from error
        with written:
            yield written


def _values(path, file, i, name, shape, kind, error):
    """Reads the array at index i of a file that `write_npz` wrote."""
    if error:
        raise ValueError(error)
    if f"{i}/dense" in file:
        return file[f"{i}/dense"]
    if f"{i}/texts" in file:
        return text_array(path, json.loads(file[f"{i}/texts"].item()))
    if f"{i}/indptr" in file:
        parts = tuple(file[f"{i}/{part}"] for part in SPARSE)
        return sparse.sound(path, scipy.sparse.csc_matrix(parts, shape=shape))
    raise InputError(f"{path}: {name} is of MATLAB's type {kind} and holds something else than texts: save texts.")
