"""Reading what may be damaged or a trap: data, weights and models come from strangers. See SECURITY.md."""

import bz2
import csv
import gzip
import io
import json
import math
import struct
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError

import h5py
import numpy as np
import scipy.io
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic
from PIL import Image

from dec_keras.errors import InputError, float_or_nan
from dec_keras.files import guard

# What libraries raise where a file is damaged.
DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    MemoryError,
    NotImplementedError,
    SyntaxError,  # Pillow: a broken PNG
    RuntimeError,  # zipfile: encrypted, or compressed in an unknown way
    UnboundLocalError,  # SciPy: text of a matrix in no encoding
    TokenError,  # NumPy: a header cut off
    csv.Error,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
    scipy.io.matlab.MatReadError,
)
MANY_NUMBERS, MUCH_SMALLER = 2**26, 100
MAX_FEATURES = 2**20
PIECE = 10_000  # texts


def explain_errors(reader, paths, what="not in its format"):
    """Calls `reader(paths)`, in which libraries parse files, and tells their failures in one sentence.

    Args:
        reader: function of the list of paths.
        paths: list of Path.
        what: what a file is that is not damaged.

    Raises:
        InputError: instead of anything in `DAMAGED`.
    """
    try:
        with np.errstate(invalid="raise"):  # NaN cast to a label
            return reader(paths)
    except InputError:
        raise
    except DAMAGED as error:
        names = ", ".join(str(path) for path in paths)
        raise InputError(f"Cannot read {names}: damaged, or {what} ({in_brief(error)}); get it again.") from error


def in_brief(error):
    """An error's first line, no longer than a reader will read."""
    return next(iter(str(error).splitlines()), repr(error))[:300]


def read_json(path):
    """The dict that a file of JSON holds.

    Raises:
        InputError: if it holds none.
    """
    return explain_errors(
        lambda paths: dict(json.loads(paths[0].read_text(encoding="utf-8"))), [Path(path)], "no dict in JSON"
    )


def read_log(path):
    """The columns of a training's log as float arrays, NaN where it has no number; {} where there is no log, or no row.

    Raises:
        InputError: if it is no table.
    """
    rows = explain_errors(_rows, [path], "no table") if path.is_file() else []
    names = [name for name in rows[0] if name is not None] if rows else []  # None: what goes past the header
    return {name: np.array([float_or_nan(row[name]) for row in rows]) for name in names}


def _rows(paths):
    with open(paths[0], newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check_expansion(path, numbers, size, stored):
    """Raises InputError where a few bytes stand for very many numbers, before memory is taken for them.

    Args:
        path: of the file.
        numbers: how many its header announces.
        size: their bytes.
        stored: the bytes that are there of them.
    """
    if max(numbers, size // 8) > MANY_NUMBERS and size > MUCH_SMALLER * stored:
        raise InputError(
            f"{path} is damaged or a trap: {stored} bytes are to become {size}; save it uncompressed, or x as a sparse "
            "matrix."
        )


def unpacked(path):
    """A file opened for reading its bytes, unpacked on the way if it is a .gz or .bz2."""
    file = open(path, "rb")  # noqa: SIM115
    unpack, mark = {".gz": (gzip.open, b"\x1f"), ".bz2": (bz2.open, b"B")}.get(path.suffix.lower(), (None, b""))
    if not file.peek(1).startswith(mark):
        file.close()
        raise InputError(f"{path} is not packed: leave {path.suffix} out of its name, or get it again.")
    return file if unpack is None else io.BufferedReader(_Unpacked(path, file, unpack))


class _Unpacked(io.RawIOBase):
    """A compressed file, until more comes out of it than of any real one."""

    def __init__(self, path, file, unpack):
        self.path, self.file, self.content = path, file, unpack(file)
        self.left = 2**20 + MUCH_SMALLER * path.stat().st_size

    def readable(self):
        return True

    def readinto(self, buffer):
        size = self.content.readinto(buffer)
        self.left -= size
        if self.left < 0:
            raise InputError(
                f"{self.path} is damaged or a trap: it unpacks to more than {MUCH_SMALLER} times its size; if you "
                "trust it, unpack it first."
            )
        return size

    def close(self):
        self.content.close()
        self.file.close()  # which the other does not
        super().close()


def check_features(n):
    """Raises InputError where samples have more features than the network can have weights for."""
    if n > MAX_FEATURES:
        raise InputError(
            f"x has {n} features, and the first layer has weights for each: choose, hash or count fewer, at most "
            f"{MAX_FEATURES}."
        )


def open_h5(path):
    """h5py.File for reading.

    Raises:
        InputError: if another process has not survived it, or it takes items from other files.
    """
    guard.check(path, "h5py")
    file = h5py.File(path, "r")
    if name := _link_out(file):
        file.close()
        raise _from_elsewhere(path, f"/{name}")
    return file


def _from_elsewhere(path, name):
    return InputError(f"{path} takes {name} from other files: save the array itself.")


def _link_out(file):
    """Name of a link of an open HDF5 file to another one, which opening the item would open; None without."""
    try:
        return file.visititems_links(lambda name, link: name if isinstance(link, h5py.ExternalLink) else None)
    except SystemError as error:  # Cython's, of an exception on the way
        raise ValueError("its links are damaged") from error


def plain_array(path, item):
    """A dataset of the HDF5 file `path` as an array, text as str.

    Raises:
        InputError: if it lies in another file, which who made this one may want to be told of, is a trap, or is packed
            by a filter that is not read here.
    """
    item = as_dataset(item)
    if item.external or item.is_virtual:
        raise _from_elsewhere(path, item.name)
    if unusual := guard.unusual_filters(item):
        numbers = ", ".join(map(str, sorted(unusual)))
        raise InputError(
            f"{item.name} in {path} is packed by HDF5's filter {numbers}: save it uncompressed or by gzip."
        )
    check_expansion(path, *extent(item))
    return _texts(path, item) if h5py.check_string_dtype(item.dtype) else item[...]


def _texts(path, item):
    """An HDF5 dataset of text, checked on the way: a long one may stand in very many places."""
    texts = np.empty(item.shape, dtype=object)
    for where in [slice(i, i + PIECE) for i in range(0, len(item), PIECE)] if item.ndim else [()]:
        texts[where] = item.asstr()[where]
        _check_texts(path, texts[where], item.size)
    return text_array(path, texts)


def extent(item):
    """How many numbers an HDF5 dataset has, their bytes in memory, and the bytes that are there of them."""
    in_unicode = 4 if item.dtype.kind == "S" else 1
    return item.size, in_unicode * item.nbytes, item.id.get_storage_size()


def text_array(path, texts):
    """An array of str of texts, each of which takes the longest one's place.

    Raises:
        InputError: if that would be too much.
    """
    texts = np.asarray(texts, dtype=object)
    _check_texts(path, texts, texts.size)
    return texts.astype(str)


def _check_texts(path, texts, number):
    """Raises InputError if `number` texts, some of which are here, would be too much as an array of str."""
    check_text_length(path, max(map(len, np.ravel(texts)), default=0), number)


def check_text_length(path, longest, number):
    """Raises InputError if `number` texts would be too much as an array of str, the longest of which has a length."""
    if number * longest > MANY_NUMBERS:
        raise InputError(f"{path} has a text of {longest} characters where {number} are to be labels: shorten it.")


def as_dataset(item):
    if not isinstance(item, h5py.Dataset):
        raise ValueError(f"{item.name} is no array")
    return item


def arrays(path):
    """np.load without unpickling, of an .npz file or of an .npy file, which is mapped: so it must hold what it says."""
    try:
        with np.errstate(over="raise"):  # of a shape's product
            held = np.load(path, allow_pickle=False, mmap_mode="r")
        if isinstance(held, np.lib.npyio.NpzFile):
            _check_members(path, held.zip)
        return held
    except ValueError as error:
        if "Python objects" in str(error):
            raise InputError(
                f"{path} holds pickled Python objects, which can run code when they are read: save plain numbers, "
                "np.save('x.npy', x.astype(float))."
            ) from error
        if "pickle" not in str(error):
            raise
        raise InputError(
            f"{path} is damaged or holds pickled Python objects, which can run code when they are read: save plain "
            "numeric arrays, np.savez('x.npz', x=x, y=y)."
        ) from error


def _check_members(path, archive):
    """Raises ValueError or InputError where an array is larger than what is there of it, before memory is taken."""
    for member, shape, dtype in _headers(archive):
        numbers = math.prod(shape)
        if not dtype.hasobject and numbers * dtype.itemsize > member.file_size:
            raise ValueError(f"{member.filename} announces shape {shape} and has {member.file_size} bytes")
        check_expansion(path, numbers, member.file_size, member.compress_size)


def headers(archive):
    """{name: (shape, dtype)} of the arrays in an .npz file's ZipFile."""
    return {member.filename.removesuffix(".npy"): (shape, dtype) for member, shape, dtype in _headers(archive)}


def _headers(archive):
    for member in archive.infolist():
        if member.filename.endswith(".npy"):
            with archive.open(member) as file:
                header = {(1, 0): read_array_header_1_0}.get(read_magic(file), read_array_header_2_0)  # 3.0: UTF-8
                shape, _, dtype = header(file)
            yield member, shape, dtype
