"""How x is scaled before it is trained on: chosen, fitted once, kept with the model, and applied to new data alike."""

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler, normalize

from batches import PREDICT_BATCH, ScaledRows, pieces
from datasets import check_data
from files import InputError, check_number

SCALES = ("auto", "minmax", "standard", "l2", "none")


@dataclass(frozen=True)
class Scaler:
    """What is done to x: `(x - shift) * factor`, or each row brought to the norm sqrt(d), as the papers' text sets.

    Attributes:
        kind: "number" (factor is one), "minmax", "standard" or "l2".
        factor: float, or float64 array of shape `(d,)`; 0 for a constant feature, which so becomes 0.
        shift: float64 array of shape `(d,)`, or None.
    """

    kind: str = "number"
    factor: float | np.ndarray = 1.0
    shift: np.ndarray | None = None

    def __str__(self):
        if self.kind == "number":
            return f"x {self.factor:g}"
        told = {"minmax": "each feature to [0, 1]", "standard": "each feature to mean 0 and variance 1"}
        if self.shift is None:
            told["minmax"] = "each feature by its largest absolute value"
        return f"{self.kind}, {told.get(self.kind, 'each sample to the norm sqrt(d)')}"

    def is_asked(self, scale):
        """Whether `scale`, a value of --scale, asks for this Scaler, as "auto" may always do."""
        if self.kind == "number":
            scale = 1.0 if scale == "none" else scale
            return scale == "auto" or (isinstance(scale, float) and math.isclose(scale, self.factor))
        return scale in ("auto", self.kind)

    def transform(self, x):
        """x scaled: an array, a CSR matrix if x is sparse, or ScaledRows if x is mapped.

        Raises:
            InputError: if x has other features than were fitted, or what comes out is beyond float32.
        """
        if np.ndim(self.factor) and len(self.factor) != x.shape[1]:
            raise InputError(f"The scaling was fitted to {len(self.factor)} features and the data have {x.shape[1]}.")
        if self.kind == "number" and self.factor == 1:
            return x
        with np.errstate(over="ignore", invalid="ignore"):
            if isinstance(x, np.memmap):
                x = ScaledRows(x, self.of_rows)
            elif scipy.sparse.issparse(x):
                x = self._of_sparse(x)
            else:
                x = self._of_array(x)
            return check_data(x)[0]

    def _of_array(self, x):
        scaled = np.empty(x.shape, np.float32)
        for start in range(0, len(x), PREDICT_BATCH):
            scaled[start : start + PREDICT_BATCH] = self.of_rows(x[start : start + PREDICT_BATCH])
        return scaled

    def of_rows(self, x):
        """Dense rows of shape `(m, d)`, scaled, as float32."""
        if self.kind == "l2":
            return normalize(np.asarray(x, np.float32)) * np.float32(math.sqrt(x.shape[1]))
        if self.shift is None:
            return x * np.float32(self.factor)
        return ((x - self.shift) * self.factor).astype(np.float32)

    def _of_sparse(self, x):
        if self.kind == "l2":
            return normalize(x) * np.float32(math.sqrt(x.shape[1]))
        if self.shift is not None:
            raise InputError(f"Scaling by {self.kind} would fill a sparse x: make it dense, or choose --scale l2.")
        return x.multiply(np.float32(self.factor)).tocsr()

    def attributes(self):
        """What `from_attributes` makes it of again."""
        if self.kind == "number":
            return {"scale": self.factor}
        arrays = {"scale_factor": self.factor, "scale_shift": self.shift} if self.kind != "l2" else {}
        return {"scale": self.kind, **{name: array for name, array in arrays.items() if array is not None}}


def from_attributes(attributes, path):
    """The Scaler that a file's attributes tell of, or None.

    Raises:
        InputError: if they tell of one that cannot be.
    """
    scale = attributes.get("scale")
    if scale is None:
        return None
    if scale in ("minmax", "standard", "l2"):
        arrays = [attributes.get("scale_factor", 1.0), attributes.get("scale_shift")]
        if not all(array is None or (np.ndim(array) < 2 and _is_finite(array)) for array in arrays):
            raise InputError(f"The scale in {path} is damaged: it holds something else than numbers.")
        return Scaler(scale, *arrays)
    return Scaler(factor=check_number(f"the scale in {path}", scale, above=0))


def _is_finite(array):
    return np.asarray(array).dtype.kind == "f" and bool(np.isfinite(array).all())


def check_scale(text):
    """Returns the value of --scale: one of `SCALES`, or a number above 0.

    Raises:
        InputError: if it is neither.
    """
    if text in SCALES:
        return text
    try:
        return check_number("the value", text, above=0)
    except InputError as error:
        raise InputError(f"{error} Or choose from {', '.join(SCALES)}.") from error


def fit(x, scale, about=None):
    """The Scaler that `scale` asks for, fitted to x.

    Args:
        x: samples of shape `(n, d)`, as `batches.rows` takes them.
        scale: a number, one of `SCALES`, or a Scaler that is there already; None: what makes the mean of ||x||^2 / d
            one (DEC paper, section 4). "auto" says what it chose, and why.
        about: `reading.About` x, for "auto".

    Raises:
        InputError: if a sparse x would be filled.
    """
    if isinstance(scale, Scaler):
        return scale
    if scale == "auto":
        scale, why = _automatic(x, about)
        scaler = fit(x, scale)
        print(f"Scale: {scaler}, since {why}; --scale says another.")
        return scaler
    if scale is None:
        mean_square = sum(np.square(p, dtype=np.float64).sum() for p in pieces(x)) / math.prod(x.shape)
        return Scaler(factor=float(1 / np.sqrt(mean_square)) if mean_square > 0 else 1.0)
    if scale == "none":
        return Scaler()
    if scale == "l2":
        return Scaler("l2")
    return FITS[scale](x) if scale in FITS else Scaler(factor=float(scale))


def _automatic(x, about):
    """What `--scale auto` comes to, and why."""
    low, high, whole = math.inf, -math.inf, True
    for piece in pieces(x):
        low, high = min(low, piece.min()), max(high, piece.max())
        whole = whole and np.array_equal(piece, np.round(piece))
    if scipy.sparse.issparse(x) and x.nnz < math.prod(x.shape) / 2:
        if low >= 0:
            return "l2", "x is sparse and not negative, as counts and tf-idf are"
        return "minmax", "x is sparse and has negative values"
    if low >= 0 and high <= 1:
        return "none", "x lies in [0, 1]"
    bytes_of_images = about is not None and about.eight_bit and (about.image_shape is not None or high > 127)
    if bytes_of_images or (whole and low >= 0 and high == 255):
        return 1 / 255, "x holds 8-bit pixels"
    return "minmax", f"x goes from {low:g} to {high:g}"


def _minmax(x):
    if scipy.sparse.issparse(x):  # a shift would fill it
        return Scaler("minmax", _inverse(MaxAbsScaler().fit(x).max_abs_))
    scaler = MinMaxScaler()
    for piece in pieces(x):
        scaler.partial_fit(piece)
    return Scaler("minmax", _inverse(np.float64(scaler.data_max_) - scaler.data_min_), np.float64(scaler.data_min_))


def _standard(x):
    if scipy.sparse.issparse(x):
        raise InputError("--scale standard would fill a sparse x: choose l2 or minmax, or make it dense.")
    scaler = StandardScaler()
    for piece in pieces(x):
        scaler.partial_fit(piece)
    deviation = np.sqrt(scaler.var_)
    varies = deviation == scaler.scale_  # which is 1 for a feature that is constant but for rounding
    return Scaler("standard", _inverse(np.where(varies, deviation, 0.0)), scaler.mean_)


def _inverse(sizes):
    return np.divide(1.0, sizes, out=np.zeros(len(sizes)), where=sizes > 0)


FITS = {"minmax": _minmax, "standard": _standard}
