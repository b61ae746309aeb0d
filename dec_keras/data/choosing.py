"""Chooses which arrays of a file hold the samples and the labels, and brings labels of any shape to one per sample."""

import math
import re
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from dec_keras.data.reading import listed
from dec_keras.errors import InputError
from dec_keras.files.untrusted import check_expansion, text_array

PAIRS = {"x": "y", "data": "label", "fea": "gnd"}  # arrays of samples and labels: ours, DEC-keras', D. Cai's .mat files
LABELS = re.compile(r"y|.*(label|target|class|gnd|truth|categor).*")  # what arrays of labels are called, in lower case
TRAIN = re.compile("train(ing)?", re.I)
OTHERS = ("val", "valid", "validation", "test", "testing")  # stand in place of "train" in names
SPLIT = re.compile(rf"(?<![^\W_])(train|training|{'|'.join(OTHERS)})(?![^\W_])", re.I)
NUMBERS = "fiub"
ADVICE = {
    "struct": ", such as a field of it: save('x.mat', '-struct', 'NAME')",
    "cell": ", such as cell2mat(NAME)",
    "table": ", such as table2array(NAME)",
    "opaque": ", such as table2array(NAME) of a table",
}
READABLE = (*NUMBERS, "S", "U", "cell")


@dataclass(frozen=True)
class Array:
    """An array of a file, or several that are joined.

    Attributes:
        parts: names of the arrays in the file.
        shapes: shape of each part, samples first.
        kind: kind of the NumPy dtype; "cell" for a MATLAB cell array; or the name of another type, such as "struct".
    """

    parts: tuple
    shapes: tuple
    kind: str

    @property
    def shape(self):
        return (sum(shape[0] for shape in self.shapes), *self.shapes[0][1:]) if len(self.parts) > 1 else self.shapes[0]

    @property
    def name(self):
        """Name of the first part without its folder, in lower case."""
        return self.parts[0].rpartition("/")[2].lower()

    @property
    def stem(self):
        """The name without its folder and without words such as "train" or "test", in lower case."""
        name = (TRAIN if len(self.parts) > 1 else SPLIT).sub("", self.parts[0])
        return name.strip("/").rpartition("/")[2].strip("_-. ").lower()

    def __str__(self):
        return " + ".join(self.parts)

    def with_shape(self):
        return f"{self} ({' x '.join(map(str, self.shape)) or 'one value'})"


def array(name, shape, kind):
    return Array((name,), (tuple(map(int, shape)),), kind)


def choose(path, held, read, how, inside="", last_axis=False):
    """Reads x and y from a file of arrays, and prints which arrays they are unless the names in `PAIRS` make it clear.

    Args:
        path: path of the file.
        held: {name: Array} of all arrays in the file; a name may have folders, `a/b`.
        read: function that takes a name and returns the array or sparse matrix, samples first.
        how: a Reading; its label_column is the name of the labels' array.
        inside: name of the samples' array, or of a folder to search; "": the whole file is searched.
        last_axis: whether files of this kind often have samples along the last of three or more axes, so that labels
            must show which axis it is.

    Returns:
        x, and y or None.

    Raises:
        InputError: if there are no samples, several arrays may hold x or y, or the labels do not fit the samples.
    """
    inside = inside.strip("/")
    x, scope = samples(path, held, how, inside)
    if not x.shape:
        return read(x.parts[0]), None
    _check_kind(path, x)
    last = _lie_along_last(path, x, scope, how, must_be_known=last_axis and not inside)
    n = x.shape[-1 if last else 0]
    y = labels(path, scope, read, how, x, n, named=bool(inside))
    passed_over = any(_is_matrix(item) for item in scope if item is not x and item is not y)
    is_usual = x.name in PAIRS and (y is None or y.name == PAIRS[x.name]) and not passed_over
    if last or not is_usual:
        axis = " along its last axis" if last else ""
        others = f"{path}:NAME takes others" if how.n_features else f"{path}:NAME and --label_column NAME take others"
        print(f"{path}: samples from {x.with_shape()}{axis}, {f'labels from {y}' if y else 'no labels'}; {others}.")
    if y is not None and y.kind == "O":
        raise InputError(
            f"{path}: the labels are pickled objects, which can run code when they are read: save them as text, "
            f"{y.parts[0]}.astype(str)."
        )
    x_read = np.moveaxis(_joined(read, x), -1, 0) if last else _joined(read, x)
    return x_read, None if y is None else _fitting_labels(path, read, x, x_read, y, n)


def _fitting_labels(path, read, x, x_read, y, n):
    """Reads the Array y, the labels of the n samples in x_read; x_read was read from the Array x."""
    y_read = as_labels(path, _joined(read, y), n)
    if len(x.parts) > 1 and len(y_read) != n:
        raise InputError(
            f"{path}: {y} has {len(y_read)} labels for the {n} samples of {x}: name a part that has its labels, as "
            f"{path}:{x.parts[0]}."
        )
    if x_read.ndim == 2 and y_read.shape == (x_read.shape[1],) != (n,):
        raise InputError(
            f"{path}: {y} has shape {y_read.shape}, a label for each column of {x.with_shape()}: save samples in rows."
        )
    return y_read


def _lie_along_last(path, x, scope, how, must_be_known):
    """Whether x has three or more axes, and its samples lie along the last axis instead of the first."""
    first = len(x.shape) < 3 or _counts_samples(0, x, scope, how)
    last = _counts_samples(-1, x, scope, how)
    if must_be_known and not (first or last):
        raise InputError(
            f"{path}: {x.with_shape()} has {len(x.shape)} axes, and nothing says which of them counts the samples: if "
            f"it is the first, give {path}:{x}; else save samples in rows, as reshape({x}, [], {x.shape[-1]}) makes of "
            "an image's spectra."
        )
    return last and not first


def _counts_samples(axis, x, scope, how):
    """Whether an axis of x is as long as an array of labels, or the other axes have the known number of features."""
    n = x.shape[axis]
    return bool(_vectors(scope, x, n)) or how.n_features == math.prod(x.shape) // max(n, 1)


def _check_kind(path, x):
    if x.kind == "O":
        raise InputError(
            f"{path}: {x} holds pickled Python objects, which can run code when they are read: save it as numbers, "
            f"{x.parts[0]}.astype(float)."
        )
    if len(x.kind) > 1:
        whose = "MATLAB's type" if path.suffix.lower() == ".mat" else "the type"
        raise InputError(f"{path}: {x} is of {whose} {x.kind}: it must be an array of numbers{ADVICE.get(x.kind, '')}.")


def samples(path, held, how, inside=""):
    """Returns the Array of samples, and the list of Arrays in which to look for its labels.

    Raises:
        InputError: if no array can hold the samples, or several can.
    """
    if inside in held:
        folder = inside.rpartition("/")[0]
        return held[inside], [item for name, item in held.items() if name.rpartition("/")[0] == folder]
    scope = {name: item for name, item in held.items() if not inside or name.startswith(f"{inside}/")}
    if inside and not scope:
        raise InputError(f"{path} has no array /{inside}: it holds {_list(held.values())}.")
    top = {name: item for name, item in scope.items() if name.rpartition("/")[0] == inside}
    scope = _folded(top if any(map(_is_matrix, top.values())) else scope)
    found = [item for item in scope if _is_matrix(item)]
    found = [item for item in found if not LABELS.fullmatch(item.stem)] or found
    found = [item for item in found if math.prod(item.shape[1:]) == how.n_features] or found
    by_name = [item for name in PAIRS for item in found or scope if name in (item.name, item.stem)]
    by_name = [item for item in by_name if item.stem == by_name[0].stem]
    by_name = [item for item in by_name if item.name == item.stem] or by_name
    if len(found) > 1 and len(by_name) != 1:
        raise InputError(
            f"{path} holds {_list(found)}, and each may hold the samples: name one, as {path}:{found[0].parts[0]}."
        )
    found = by_name or found or (scope if len(scope) == 1 else [])
    if not found:
        for item in scope:  # some kinds have their own error message
            _check_kind(path, item)
        raise InputError(
            f"{path} holds {_list(scope)}: it must hold an array x of samples in rows, and y if there are labels."
        )
    return found[0], scope


def labels(path, scope, read, how, x, n, named=False):
    """The Array of the labels of the n samples in x, or None.

    Args:
        path, read, how: as in `choose`.
        scope: Arrays to search.
        x: the Array of samples.
        n: number of samples.
        named: whether the user named x; then it is no error if several arrays may hold the labels.

    Raises:
        InputError: if label_column names no array, or several arrays may hold the labels.
    """
    others = sorted((item for item in scope if item is not x), key=lambda item: _split(item) != _split(x))
    if how.label_column is not None:
        wanted = how.label_column.strip("/")
        for item in others:
            if wanted in (*item.parts, item.stem, *(part.rpartition("/")[2] for part in item.parts)):
                return item
        if how.n_features:
            return None
        raise InputError(f"{path} holds {_list(scope)}: there is no array {how.label_column!r} for --label_column.")
    if pair := [item for item in others if item.stem == PAIRS.get(x.stem)]:
        nearest = [item for item in pair if _split(item) == _split(pair[0])]
        if len(nearest) == 1 or named or how.n_features:
            return nearest[0]
    fitting = _vectors(others, x, n)
    if len(x.parts) == 1 and (here := [item for item in fitting if _split(item) == _split(x)]):
        fitting = here
    called = [item for item in fitting if LABELS.fullmatch(item.stem)] or [
        item
        for item in others
        if LABELS.fullmatch(item.stem) and len(item.shape) == 2 and _labels_of(path, item, read, n) is not None
    ]
    found = called or [item for item in fitting if item.kind != "O" and _are_classes(path, item, read, n)]
    if len(found) > 1 and not named and not how.n_features:
        raise InputError(
            f"{path} holds {_list(found)}, and each may hold the labels: name one by --label_column, or name the "
            f"samples, as {path}:{x.parts[0]}, to have none."
        )
    return found[0] if len(found) == 1 else None


def _folded(scope):
    """Lists the Arrays; those whose names differ only by "train" and "test" become one, training samples first.

    This project's data sets are joined in the same order, such as MNIST from Keras' mnist.npz.
    """
    items, used = [], set()
    by_lower = {name.lower(): name for name in scope}
    for name, item in scope.items():
        parts = [name]
        if train := TRAIN.search(name):
            twins = [(name[: train.start()] + other + name[train.end() :]).lower() for other in OTHERS]
            parts += [by_lower[twin] for twin in twins if twin in by_lower]
        alike = all(
            scope[part].kind == item.kind
            and len(scope[part].shape) == len(item.shape) > 0
            and (scope[part].shape[1:] == item.shape[1:] or 1 in item.shape)
            for part in parts
        )
        if len(parts) > 1 and alike:
            shapes = tuple(_rows_first(scope[part].shape) for part in parts)
            items.append((name, Array(tuple(parts), shapes, item.kind)))
            used |= set(parts)
        else:
            items.append((name, item))
    return [item for name, item in items if len(item.parts) > 1 or name not in used]


def _rows_first(shape):
    """Turns the shape of a row vector, as MATLAB often has it, into that of a column; keeps other shapes."""
    return shape[::-1] if len(shape) == 2 and shape[0] == 1 else shape


def _is_matrix(item):
    """Whether an Array may hold samples: numbers in two axes or more. A length of 1 in two axes makes it a vector."""
    return item.kind in NUMBERS and len(item.shape) > 1 and not (len(item.shape) == 2 and 1 in item.shape)


def _vectors(scope, x, n):
    """Arrays with one value for each of n samples. If x has parts, the array must have parts of the same lengths."""
    found = [item for item in scope if item is not x and item.kind in (*READABLE, "O")]
    found = [item for item in found if [side for side in item.shape if side != 1] == [n]]
    if len(x.parts) == 1:
        return found
    lengths = [shape[0] for shape in x.shapes]
    return [item for item in found if [shape[0] for shape in item.shapes] == lengths]


def _split(item):
    """The word in an Array's name for the kind of data, such as "train" or "test"; None if there is none."""
    found = SPLIT.search(item.parts[0])
    return found and found[0].lower()


def _labels_of(path, item, read, n):
    """The n labels that an array turns out to hold, or None."""
    with suppress(InputError):
        y = as_labels(path, _joined(read, item), n)
        return y if y.shape == (n,) else None


def _are_classes(path, item, read, n):
    """Whether values may be classes: no fractions, as measurements have, and at most n / 2 different ones."""
    y = _labels_of(path, item, read, n)
    if y is None or (y.dtype.kind == "f" and not np.array_equal(y, np.round(y))):
        return False
    return len(np.unique(y)) <= n / 2


def _joined(read, item):
    parts = [read(name) for name in item.parts]
    if len(parts) == 1:
        return parts[0]
    if scipy.sparse.issparse(parts[0]):
        return scipy.sparse.vstack(parts, format="csr")
    return np.concatenate([part.reshape(_rows_first(part.shape)) for part in parts])


def _list(items):
    items = list(items)
    return listed(item.with_shape() for item in items) if items else "no arrays"


def as_labels(path, y, n):
    """Brings labels from any of the shapes below to an array of shape `(n,)`, if there is one label per sample.

    Args:
        path: path of the file.
        y: array of shape `(n,)`, `(n, 1)` or `(1, n)`; one-hot of shape `(n, k)` or `(k, n)`; texts as str or bytes, or
            in rows of characters; or one-hot in a sparse matrix.
        n: number of samples.

    Raises:
        InputError: if a row marks more than one class, or none.
    """
    if scipy.sparse.issparse(y):
        check_expansion(path, math.prod(y.shape), 8 * math.prod(y.shape), path.stat().st_size)
        y = y.toarray()
    y = np.asarray(y)
    is_text = y.dtype.kind in "SU"
    if is_text and y.ndim == 2 and 1 not in y.shape and y.dtype.itemsize == np.dtype(f"{y.dtype.kind}1").itemsize:
        y = np.ascontiguousarray(y).view(f"{y.dtype.kind}{y.shape[1]}")
    if y.dtype.kind == "S":
        texts = [text.decode("utf-8", "backslashreplace") for text in y.ravel().tolist()]
        y = text_array(path, texts).reshape(y.shape)
    if is_text:
        y = np.strings.rstrip(y)
    if y.ndim == 2 and 1 in y.shape:
        y = y.ravel()
    if y.ndim == 2 and n in y.shape and y.dtype.kind in NUMBERS and ((y == 0) | (y == 1)).all():
        y = y if y.shape[0] == n else y.T
        if (odd := np.flatnonzero(y.sum(axis=1) != 1)).size:
            raise InputError(
                f"{path}: the labels mark several of {y.shape[1]} classes, or none, in {len(odd)} of {n} samples, "
                f"first in sample {odd[0]}: keep one class a sample."
            )
        y = y.argmax(axis=1)
    return y
