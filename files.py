"""What every other module needs of files: errors told in a sentence, whole files, and weights that fit.

A file is written under a temporary name and then renamed, so that it is there whole or not at all.
"""

import csv
import gc
import json
import logging
import os
import signal
import struct
import sys
import uuid
import warnings
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError

import h5py
import numpy as np
import scipy.io
from PIL import Image

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
H5_SECONDS = 1  # of work that going through an HDF5 file may take, without large arrays
LAYERS = ("InputLayer", "Dense", "Dropout", "ClusteringLayer")
KERAS_FILE = "no HDF5 file with Keras weights"


class InputError(ValueError):
    """Bad input: the message says in one sentence what was wrong and what to do."""


def told(reader, paths, what="not in its format"):
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
    return next(iter(str(error).splitlines()), repr(error))


def check_expansion(path, numbers, size, stored):
    """Raises InputError where a few bytes stand for very many numbers, before memory is taken for them.

    Args:
        path: of the file.
        numbers: how many its header announces.
        size: their bytes.
        stored: the bytes that are there of them.
    """
    if numbers > MANY_NUMBERS and size > MUCH_SMALLER * stored:
        raise InputError(
            f"{path} is damaged or a trap: {stored} bytes are to become {size}; save it uncompressed, or x as a sparse "
            "matrix."
        )


def check_whole(name, value, at_least, at_most=None):
    """Returns `value` as an int.

    Args:
        name: what it is called in the error.
        value: a number, or text such as "20000" or "2e4".
        at_least: the smallest value allowed.
        at_most: the largest value allowed, or None.

    Raises:
        InputError: if it is no whole number, too small or too large.
    """
    try:
        number = float(value)
        whole = int(number) == number
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole or number < at_least:
        raise InputError(f"{name} is {value}: it must be a whole number of at least {at_least}.")
    if at_most is not None and number > at_most:
        raise InputError(f"{name} is {value}: it must be at most {at_most}.")
    return int(number)


def check_share(name, value):
    """Returns `value` as a float.

    Raises:
        InputError: if it is no number in [0, 1].
    """
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = float("nan")
    if not 0 <= share <= 1:
        raise InputError(f"{name} is {value}: it must be a number from 0 to 1.")
    return share


def check_number(name, value, above=None, at_least=None):
    """Returns `value` as a float.

    Raises:
        InputError: if it is no finite number, or not `above` or `at_least` the number given.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not abs(number) < float("inf"):
        raise InputError(f"{name} is {value}: it must be a number.")
    if above is not None and not number > above:
        raise InputError(f"{name} is {value}: it must be above {above}.")
    if at_least is not None and number < at_least:
        raise InputError(f"{name} is {value}: it must be at least {at_least}.")
    return number


def check_features(n):
    """Raises InputError where samples have more features than the network can have weights for."""
    if n > MAX_FEATURES:
        raise InputError(
            f"x has {n} features, and the first layer has weights for each: choose, hash or count fewer, at most "
            f"{MAX_FEATURES}."
        )


@contextmanager
def whole_file(path):
    """Gives a temporary path beside `path` to write to, and renames it to `path` if the block ends without an error.

    Args:
        path: str or Path; its folder must exist. An older file of that name is replaced.

    Yields:
        Path with the same suffix, since Keras and NumPy choose the format by it.
    """
    path = Path(path)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path, text):
    """Writes a file of text in UTF-8, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def writable_folder(path):
    """Makes the folder `path` if need be and returns it as a Path.

    Raises:
        InputError: if it cannot be made or written to.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".{uuid.uuid4().hex[:8]}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"Cannot write to the folder {path} ({error.strerror}): choose another.") from error
    return path


def save_model(model, path, attributes=None):
    """Saves a Keras model whole (architecture and weights, no optimizer) as HDF5, the format of the seed repos' names.

    Args:
        model: a Keras model.
        path: str or Path that ends in `.h5`.
        attributes: dict for `read_attributes`, such as the scale of x, of what JSON holds and of arrays; or None.
    """
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)  # Keras advises `.keras` at every save; `.h5` is what this field's users share
    try:
        with whole_file(path) as temporary:
            model.save(temporary, include_optimizer=False)
            with h5py.File(temporary, "a") as file:
                attributes = attributes or {}
                arrays = {name: value for name, value in attributes.items() if isinstance(value, np.ndarray)}
                small = {name: value for name, value in attributes.items() if name not in arrays}
                file.attrs["dec"] = json.dumps(small)  # HDF5 allows it 64 KB
                for name, array in arrays.items():
                    text = h5py.string_dtype() if array.dtype.kind == "U" else None
                    file.create_dataset(f"dec/{name}", data=array.astype(object) if text else array, dtype=text)
    finally:
        absl.setLevel(level)


def read_attributes(path):
    """The attributes that `save_model` wrote; {} for a file by anyone else.

    Raises:
        InputError: if there is no such file, or it is no HDF5 file.
    """

    def read(paths):
        with open_h5(paths[0]) as file:
            small = json.loads(file.attrs.get("dec", "{}"))
            return small | {name: plain_array(paths[0], file["dec"][name]) for name in file.get("dec", ())}

    return told(read, [resolve_h5(path)], KERAS_FILE)


def open_h5(path):
    """h5py.File for reading, after a child process has gone through the file and come to an end.

    On some damaged files the HDF5 library loops for ever, or crashes, where no exception can end it.

    Raises:
        InputError: if the child did not.
    """
    if sys.platform == "linux":  # elsewhere a fork beside TensorFlow's threads is not safe
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of that fork: the child touches HDF5 alone
            child = os.fork()
        if child == 0:
            _go_through(path)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGALRM:
            raise InputError(f"{path} is damaged so that the HDF5 library does not get through it: get it again.")
    return h5py.File(path, "r")


def _go_through(path):
    """Reads what can be read in an HDF5 file, and ends this process: by SIGPROF if that is too much work.

    SIGALRM ends one that waits for a thread that the fork left behind, which says nothing of the file.
    """
    gc.disable()  # TensorFlow's objects would wait for their threads
    for name, timer, seconds in (("SIGPROF", signal.ITIMER_PROF, H5_SECONDS), ("SIGALRM", signal.ITIMER_REAL, 30)):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
        signal.setitimer(timer, seconds)
    left = 2**26  # bytes of arrays to read: a loop shows in few

    def visit(_, item):
        nonlocal left
        dict(item.attrs)
        if isinstance(item, h5py.Dataset) and item.nbytes <= left:
            left -= item.nbytes
            item[...]

    try:
        with h5py.File(path, "r") as file:
            visit("", file)
            file.visititems(visit)
    finally:
        os._exit(0)  # an exception will be raised again, and told, where the file is read


def plain_array(path, item):
    """A dataset of the HDF5 file `path` as an array, text as str.

    Raises:
        InputError: if it lies in another file, which who made this one may want to be told of, or is a trap.
    """
    item = _dataset(item)
    if item.file.filename != str(path) or item.external or item.is_virtual:
        raise InputError(f"{path} takes {item.name} from other files: save the array itself.")
    check_expansion(path, item.size, item.nbytes, item.id.get_storage_size())
    return item.asstr()[...].astype(str) if h5py.check_string_dtype(item.dtype) else item[...]


def load_weights(model, path):
    """Loads a `.h5` file's weights into the layers of `model` that have the same names.

    Args:
        model: a Keras model. Every layer of it that has weights must be in the file, with the same shapes; the file
            may hold more (an autoencoder's file serves an encoder).
        path: str or Path of a `.h5` file: a whole model by Keras 3 or 2 (`model.save`), or weights alone by Keras 2
            (`save_weights`). A missing `.h5` is added.

    Raises:
        InputError: if the file is missing, is no HDF5 file, does not fit, or holds NaN; `model` is then unchanged.
    """
    layers = [layer for layer in model.layers if layer.weights]
    weights = told(lambda paths: _fitting_weights(layers, model.name, paths[0]), [resolve_h5(path)], KERAS_FILE)
    for layer, arrays in zip(layers, weights, strict=True):
        layer.set_weights(arrays)


def _fitting_weights(layers, model_name, path):
    """The arrays of each of `layers`, which must be in the file with the same shapes."""
    weights = []
    with open_h5(path) as file:
        stored = stored_weights(file)
        for layer in layers:
            if layer.name not in stored:
                raise InputError(
                    f"{path} has no weights for the layer {layer.name}, which {model_name} needs: is it another "
                    "model's?"
                )
            found = [item.shape for item in stored[layer.name]]
            shapes = [tuple(weight.shape) for weight in layer.weights]
            if found != shapes:
                raise InputError(
                    f"{path} does not fit: its layer {layer.name} has shapes {found}, this model's has {shapes}. "
                    "It was made with other dims or another number of clusters."
                )
            weights.append([_finite(path, item) for item in stored[layer.name]])
    return weights


def _finite(path, item):
    with np.errstate(over="ignore"):
        array = plain_array(path, item).astype(np.float32, casting="same_kind")
    if not np.isfinite(array).all():
        raise InputError(f"{path} is damaged: {item.name} holds NaN or infinity; get it again.")
    return array


def resolve_h5(path):
    """Returns `path`, or `path` + ".h5" where only that exists.

    Raises:
        InputError: if neither is a file.
    """
    for candidate in (Path(path), Path(f"{path}.h5")):
        if candidate.is_file():
            return candidate
    raise InputError(f"There is no weights file {path}, nor {path}.h5: check the path.")


def stored_weights(file):
    """{layer name: [HDF5 dataset of each weight]} of an open file that Keras wrote.

    Raises:
        InputError: if it is laid out otherwise, or is of a model with other layers than DEC and IDEC have: one can be
            code (Lambda), and what the others do would be left out.
    """
    for layer in described_layers(file):
        if (kind := layer["class_name"].rpartition(">")[2]) not in LAYERS:
            raise InputError(
                f"{file.filename} has a layer of the kind {kind}: give weights of {', '.join(LAYERS)} alone."
            )
    layers = file.get("model_weights", file)
    if "layer_names" not in layers.attrs:
        raise InputError(f"{file.filename} is not laid out as a model saved whole: save it by `model.save('name.h5')`.")
    return {
        name: [_dataset(layers[name][weight]) for weight in _names(layers[name], "weight_names")]
        for name in _names(layers, "layer_names")
    }


def described_layers(file):
    """What an open file says of its model's layers, a list of dicts as Keras makes them; [] if it has weights alone."""
    described = json.loads(file.attrs.get("model_config", '{"config": []}'))["config"]
    return described["layers"] if isinstance(described, dict) else described


def _dataset(item):
    if not isinstance(item, h5py.Dataset):
        raise ValueError(f"{item.name} is no array")
    return item


def _names(group, attribute):
    # absent in weight groups of layers without weights; bytes when Keras wrote it, str when h5py did
    return [name.decode() if isinstance(name, bytes) else name for name in group.attrs.get(attribute, [])]
