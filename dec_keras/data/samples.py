"""The samples x of a run: checked once, with a checksum, kept in memory once, and read in batches of dense rows."""

import math
import zlib
from typing import TypeAlias

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike

from dec_keras.errors import InputError
from dec_keras.files.untrusted import check_features

BATCH = 1024  # rows that are read at a time


class Samples:
    """Samples of shape `(n, d)`: an array, a memory map larger than memory, or a sparse matrix.

    Args:
        x: numeric array or np.memmap of shape `(n, ...)`, whose axes after the first are flattened; or a SciPy sparse
            matrix of shape `(n, d)`. A float32 array and a memory map are not copied.
        scale: function that takes float32 rows of shape `(m, d)` and returns them scaled, each time rows are read.
        image_shape: (height, width) or (height, width, 3) of a row that is an image. Default: `image_shape_of(x)`.

    Attributes:
        x: float32 array, CSR matrix of float32, or memory map, of shape `(n, d)`.
        shape: (n, d).
        image_shape: shape of a sample that is an image, or None.
        checksum: CRC-32 of the rows, an int; the same for every form of x.

    Raises:
        InputError: if the shape is wrong, x is not numeric, or a value is NaN, infinite or beyond float32.
    """

    def __init__(self, x, scale=None, image_shape=None):
        self.image_shape = image_shape or image_shape_of(x)
        self.x, self._scale = _two_axes(x), scale
        self.shape = self.x.shape
        self.checksum = self._check_and_sum()

    @classmethod
    def of(cls, x: "SamplesLike") -> "Samples":
        """Returns x itself if it is Samples, which are checked already; else `Samples(x)`."""
        return x if isinstance(x, cls) else cls(x)

    def __len__(self):
        return self.shape[0]

    @property
    def is_sparse(self):
        return scipy.sparse.issparse(self.x)

    @property
    def is_mapped(self):
        return isinstance(self.x, np.memmap)

    def rows(self, index):
        """Returns rows as a float32 array of shape `(m, d)`; index is a slice, an int array or a bool array."""
        part = self.x[index].toarray() if self.is_sparse else self.x[index]
        with np.errstate(over="ignore", invalid="ignore"):  # the check finds such values
            part = np.ascontiguousarray(part, dtype=np.float32)
            return np.ascontiguousarray(self._scale(part), dtype=np.float32) if self._scale else part

    def batches(self, size=BATCH):
        """Yields all rows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.rows(slice(start, start + size))

    def take(self, index):
        """Samples of some rows, copied into memory; index as for `rows`."""
        rows = self.x[index] if self.is_sparse and not self._scale else self.rows(index)
        return Samples(rows, image_shape=self.image_shape)

    def matrix(self):
        """All rows in memory: an array, or a CSR matrix if x is sparse."""
        return self.rows(slice(None)) if self.is_mapped or self._scale else self.x

    def _check_and_sum(self):
        crc, bad_rows, first = 0, 0, None
        for i, rows in enumerate(self.batches()):
            crc = zlib.crc32(rows, crc)
            bad = ~np.isfinite(rows)
            if bad.any():
                row, column = np.argwhere(bad)[0]
                bad_rows += bad.any(axis=1).sum()
                first = first or (i * BATCH + row, column)
        if first:
            raise InputError(
                f"x holds NaN, infinity or a value beyond float32 in {bad_rows} of {len(self)} samples, first in "
                f"row {first[0]}, column {first[1]}: fill or drop them."
            )
        return crc


SamplesLike: TypeAlias = Samples | ArrayLike | scipy.sparse.spmatrix | scipy.sparse.sparray


def image_shape_of(x):
    """Returns (height, width) or (height, width, 3) for x of shape `(n, height, width[, 1 or 3])`, else None."""
    axes = () if scipy.sparse.issparse(x) else np.shape(x)[1:]
    if len(axes) == 3:
        return {1: axes[:2], 3: axes}.get(axes[2])
    return axes if len(axes) == 2 else None


def _two_axes(x):
    """x with two axes, as float32 unless it is mapped."""
    if scipy.sparse.issparse(x):
        x = x.tocsr() if x.ndim == 2 else x
    elif not isinstance(x, np.memmap):
        x = np.asarray(x)
    if x.dtype.kind not in "fiub":
        raise InputError(f"x has the type {x.dtype}: it must hold numbers.")
    if x.ndim < 2 or 0 in x.shape or (scipy.sparse.issparse(x) and x.ndim > 2):
        raise InputError(f"x has shape {x.shape}: it must be (samples, features), neither of them 0.")
    check_features(math.prod(x.shape[1:]))
    with np.errstate(over="ignore"):
        if scipy.sparse.issparse(x):
            return x.astype(np.float32, copy=False)
        x = x.reshape(len(x), -1) if x.ndim > 2 else x
        return x if isinstance(x, np.memmap) else np.ascontiguousarray(x, dtype=np.float32)


def check_labels(y, n):
    """Labels of n samples as an array of shape `(n,)`, or None for None.

    Raises:
        InputError: if there is not one label a sample, or one is neither a number nor text.
    """
    if y is None:
        return None
    y = np.asarray(y)
    if y.shape != (n,):
        raise InputError(f"y has shape {y.shape}: it must have one label for each of the {n} samples.")
    if y.dtype.kind not in "fiubUS":
        raise InputError(f"y has the type {y.dtype}: labels must be numbers or text.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise InputError("y holds NaN or infinity: leave y out, or drop the samples without a label.")
    if y.dtype.kind == "U":
        try:
            "".join(y.tolist()).encode()
        except (ValueError, SystemError):
            raise InputError("y holds what is no text in Unicode: save the labels as text or numbers.") from None
    return y


def check_classes(y):
    """Checks that the labels of a file are classes, so that clusters can be counted and scored by them.

    Fractions are measurements. If there are more different labels than half of the samples, they are names or numbers
    of the samples; scikit-learn's `type_of_target` has the same two limits. For whole numbers with gaps, which may be
    measurements, the limit is a third. Both limits leave room for rare classes in small data.

    Args:
        y: labels of shape `(n,)`, which `check_labels` has passed.

    Raises:
        InputError: if the labels are not classes.
    """
    if y.dtype.kind == "f" and (parts := y[y != np.round(y)]).size:
        raise InputError(
            f"the labels are measurements, such as {parts[0]:g}, and not classes: leave them out, or turn them into "
            "whole numbers or text."
        )
    classes = np.unique(y)
    gaps = y.dtype.kind in "iuf" and len(y) >= 20 and float(classes[-1]) - float(classes[0]) >= len(classes)
    if (3 if gaps else 2) * len(classes) > len(y) + 4:
        text = ", or turn them into text if they are classes" if gaps else ""
        raise InputError(
            f"{len(y)} samples have {len(classes)} different labels, as names or measurements are, and not classes: "
            f"leave them out{text}."
        )
