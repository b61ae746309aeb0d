"""Safe reading of files that may be damaged or malicious: data and models come from strangers. See SECURITY.md."""

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
PIECE = 10_000  # texts read at a time


def explain_errors(reader, paths, what="not in its format"):
    """Returns `reader(paths)`, and turns errors of the libraries that parse the files into one sentence.

    Args:
        reader: function that takes the list of paths.
        paths: list of Path.
        what: other possible cause of an error, if the file is not damaged, for the message.

    Raises:
        InputError: in place of any error in `DAMAGED`.
    """
    try:
        with np.errstate(invalid="raise"):  # raise if NaN is cast to an int label
            return reader(paths)
    except InputError:
        raise
    except DAMAGED as error:
        names = ", ".join(str(path) for path in paths)
        raise InputError(f"Cannot read {names}: damaged, or {what} ({in_brief(error)}); get it again.") from error


def in_brief(error):
    """First line of an error message, cut to 300 characters."""
    return next(iter(str(error).splitlines()), repr(error))[:300]


def read_json(path):
    """Returns the dict in a JSON file.

    Raises:
        InputError: if the file holds no dict.
    """
    return explain_errors(
        lambda paths: dict(json.loads(paths[0].read_text(encoding="utf-8"))), [Path(path)], "no dict in JSON"
    )


def read_log(path):
    """Returns a training log's columns as float arrays, with NaN for cells without a number; {} without a log or row.

    Raises:
        InputError: if the file is not a table.
    """
    rows = explain_errors(_rows, [path], "no table") if path.is_file() else []
    names = [name for name in rows[0] if name is not None] if rows else []  # None: cells beyond the header
    return {name: np.array([float_or_nan(row[name]) for row in rows]) for name in names}


def _rows(paths):
    with open(paths[0], newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check_expansion(path, numbers, size, stored):
    """Raises InputError if few bytes of a file expand to very many numbers, before memory is allocated for them.

    Args:
        path: path of the file.
        numbers: number of values that the file's header announces.
        size: size of these values in memory, in bytes.
        stored: size of these values in the file, in bytes.
    """
    if max(numbers, size // 8) > MANY_NUMBERS and size > MUCH_SMALLER * stored:
        raise InputError(
            f"{path} is damaged or a trap: {stored} bytes are to become {size}; save it uncompressed, or x as a sparse "
            "matrix."
        )


def unpacked(path):
    """Opens a file for reading bytes; a .gz or .bz2 file is decompressed while it is read."""
    file = open(path, "rb")  # noqa: SIM115
    unpack, mark = {".gz": (gzip.open, b"\x1f"), ".bz2": (bz2.open, b"B")}.get(path.suffix.lower(), (None, b""))
    if not file.peek(1).startswith(mark):
        file.close()
        raise InputError(f"{path} is not packed: leave {path.suffix} out of its name, or get it again.")
    return file if unpack is None else io.BufferedReader(_Unpacked(path, file, unpack))


class _Unpacked(io.RawIOBase):
    """A compressed file. Reading raises InputError if it expands more than any real file does."""

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
        self.file.close()  # closing `content` leaves it open
        super().close()


def check_features(n):
    """Raises InputError where samples have more features than the network can have weights for."""
    if n > MAX_FEATURES:
        raise InputError(
            f"x has {n} features, and the first layer has weights for each: choose, hash or count fewer, at most "
            f"{MAX_FEATURES}."
        )


def open_h5(path):
    """Opens an HDF5 file for reading.

    Raises:
        InputError: if the file kills the process that reads it first, or links to items in other files.
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
    """Name of a link from an open HDF5 file to another file, or None. To open the item would open that other file."""
    try:
        return file.visititems_links(lambda name, link: name if isinstance(link, h5py.ExternalLink) else None)
    except SystemError as error:  # Cython's, after another exception in the visit
        raise ValueError("its links are damaged") from error


def plain_array(path, item):
    """Returns a dataset of the HDF5 file `path` as an array; text becomes str.

    Raises:
        InputError: if the dataset lies in another file, whose content the author of `path` may want to learn, if it
            expands too much, or if it is packed by a filter outside `guard.FILTERS`.
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
    """Reads an HDF5 dataset of text, and checks its size piece by piece: one long text may fill very many cells."""
    texts = np.empty(item.shape, dtype=object)
    for where in [slice(i, i + PIECE) for i in range(0, len(item), PIECE)] if item.ndim else [()]:
        texts[where] = item.asstr()[where]
        _check_texts(path, texts[where], item.size)
    return text_array(path, texts)


def extent(item):
    """Returns the number of values in an HDF5 dataset, their size in memory and their size in the file, in bytes."""
    in_unicode = 4 if item.dtype.kind == "S" else 1
    return item.size, in_unicode * item.nbytes, item.id.get_storage_size()


def text_array(path, texts):
    """Returns texts as an array of str, in which each text takes as much memory as the longest one.

    Raises:
        InputError: if the array would be too large.
    """
    texts = np.asarray(texts, dtype=object)
    _check_texts(path, texts, texts.size)
    return texts.astype(str)


def _check_texts(path, texts, number):
    """Raises InputError if an array of `number` texts as long as the longest of `texts` would be too large."""
    check_text_length(path, max(map(len, np.ravel(texts)), default=0), number)


def check_text_length(path, longest, number):
    """Raises InputError if an array of `number` texts, the longest of `longest` characters, would be too large."""
    if number * longest > MANY_NUMBERS:
        raise InputError(f"{path} has a text of {longest} characters where {number} are to be labels: shorten it.")


def as_dataset(item):
    if not isinstance(item, h5py.Dataset):
        raise ValueError(f"{item.name} is no array")
    return item


def arrays(path):
    """np.load of .npz or .npy without unpickling. A .npy is memory-mapped, so it must be as long as its header says."""
    try:
        with np.errstate(over="raise"):  # if the product of a shape overflows
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
    """Raises ValueError or InputError if a header announces more than the file holds, before memory is allocated."""
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
