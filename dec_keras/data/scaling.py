"""Scaling of x before training: chosen, fitted once, saved with the model, and applied to new data in the same way."""

import math
from dataclasses import dataclass

import numpy as np
from sklearn.preprocessing import MinMaxScaler, StandardScaler, normalize

from dec_keras.data.reading import SCALES, About, describe_factor
from dec_keras.data.samples import BATCH, Samples
from dec_keras.errors import InputError, check_number

# Limits that --scale auto uses if x is not negative and mostly zeros. Beside each limit are the values of real data:
# of text, biological cells and one-hot columns | of images (MNIST, Fashion-MNIST, USPS, digits).
ALIKE = 0.25  # mean correlation of neighbouring columns: up to 0.21 | from 0.27
BRIGHT = 0.2  # mean of the nonzero values / maximum: up to 0.18, except for logarithms and ones | from 0.5
AMOUNTS = 0.95  # share of ||x||^2 in 3 columns: up to 0.5; a table of ages or incomes and one-hot columns has 0.99


@dataclass(frozen=True)
class Scaler:
    """Scales x: `(x - shift) * factor`, or each row to the norm sqrt(d), as the papers scale their text data.

    Attributes:
        kind: "number" (factor is one), "minmax", "standard" or "l2".
        factor: float, or float64 array of shape `(d,)`; 0 for a constant feature, so that it becomes 0.
        shift: float64 array of shape `(d,)`, or None.
    """

    kind: str = "number"
    factor: float | np.ndarray = 1.0
    shift: np.ndarray | None = None

    @property
    def name(self):
        """The value of --scale for this Scaler: its kind, or a number."""
        return self.factor if self.kind == "number" else self.kind

    def __str__(self):
        if self.kind == "number":
            return describe_factor(self.factor)
        by_largest = self.kind == "minmax" and self.shift is None
        meaning = "each feature by its largest absolute value" if by_largest else SCALES[self.kind]
        return f"{self.kind}, {meaning}"

    def is_asked(self, scale):
        """Whether `scale`, a value of --scale, can give this Scaler; "auto" always can."""
        if self.kind == "number":
            scale = 1.0 if scale == "none" else scale
            return scale == "auto" or (isinstance(scale, float) and math.isclose(scale, self.factor))
        return scale in ("auto", self.kind)

    def transform(self, x):
        """Returns x scaled, as Samples; a memory map, or a sparse x that would become dense, is scaled when it is read.

        Args:
            x: Samples, or any x for `Samples(x)`, of shape `(n, d)`.

        Raises:
            InputError: if x has another number of features than the fitted data, or a result is beyond float32.
        """
        x = Samples.of(x)
        if np.ndim(self.factor) and len(self.factor) != x.shape[1]:
            raise InputError(f"The scaling was fitted to {len(self.factor)} features and the data have {x.shape[1]}.")
        if self.kind == "number" and self.factor == 1:
            return x
        with np.errstate(over="ignore", invalid="ignore"):
            if x.is_mapped or (x.is_sparse and np.any(self.shift)):
                return Samples(x.x, self.of_rows, x.image_shape)
            scaled = self._of_sparse(x.x) if x.is_sparse else self._of_array(x.x)
            return Samples(scaled, image_shape=x.image_shape)

    def _of_array(self, x):
        scaled = np.empty(x.shape, np.float32)
        for start in range(0, len(x), BATCH):
            scaled[start : start + BATCH] = self.of_rows(x[start : start + BATCH])
        return scaled

    def of_rows(self, x):
        """Dense rows of shape `(m, d)`, scaled, as float32."""
        if self.kind == "l2":
            return (_unit(np.asarray(x, np.float64)) * math.sqrt(x.shape[1])).astype(np.float32)
        if self.shift is None:
            return x * np.float32(self.factor)
        return ((x - self.shift) * self.factor).astype(np.float32)

    def _of_sparse(self, x):
        """Rounds as `of_rows` does, so that dense and sparse x give the same numbers."""
        if self.kind == "l2":
            return (normalize(x.astype(np.float64)) * math.sqrt(x.shape[1])).astype(np.float32)
        return x.multiply(np.float32(self.factor) if self.shift is None else self.factor).tocsr()

    def attributes(self):
        """Returns a dict from which `from_attributes` restores this Scaler."""
        if self.kind == "number":
            return {"scale": self.factor}
        arrays = {"scale_factor": self.factor, "scale_shift": self.shift} if self.kind != "l2" else {}
        return {"scale": self.kind, **{name: array for name, array in arrays.items() if array is not None}}


def from_attributes(attributes, path):
    """Restores the Scaler from the attributes of the file `path`; None if they have no scale.

    Raises:
        InputError: if the attributes are not valid.
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


def fit(x, scale, about=None):
    """The Scaler that `scale` asks for, fitted to x.

    Args:
        x: Samples, or any x for `Samples(x)`, of shape `(n, d)`.
        scale: a number; one of `SCALES`; a Scaler, which is returned; or None, which makes the mean of ||x||^2 / d one
            (DEC paper, section 4). "auto" prints its choice and the reason.
        about: the `reading.About` of x, for "auto".
    """
    if isinstance(scale, Scaler):
        return scale
    x = Samples.of(x)
    if scale == "auto":
        scale, why = _automatic(x, about)
        scaler = fit(x, scale)
        print(f"Scale: {scaler}, since {why}; --scale says another.")
        return scaler
    if scale is None:
        mean_square = sum(np.square(p, dtype=np.float64).sum() for p in x.batches()) / math.prod(x.shape)
        return Scaler(factor=float(1 / np.sqrt(mean_square)) if mean_square > 0 else 1.0)
    if scale == "none":
        return Scaler()
    if scale == "l2":
        return Scaler("l2")
    return FITS[scale](x) if scale in FITS else Scaler(factor=float(scale))


def _automatic(x, about):
    """Returns what `--scale auto` chooses, and why: by x's numbers, dense or sparse, and whether samples are images."""
    of = _statistics(x)
    about = about or About()
    byte = of.whole and of.low >= 0 and of.high == 255
    if of.low >= 0 and of.zeros > 0.5 and not about.eight_bit:
        like_image = of.brightness >= BRIGHT and (byte or of.likeness >= ALIKE)
        if not like_image and of.amounts < AMOUNTS:
            return "l2", f"x is not negative and {math.floor(100 * of.zeros)}% zeros, as counts and tf-idf are"
    if of.low >= 0 and of.high <= 1:
        return "none", "x lies in [0, 1]"
    in_axes = about.image_shape is not None and of.whole and of.low >= 0 and 127 < of.high < 256
    if about.eight_bit or byte or in_axes:
        return 1 / 255, "x holds 8-bit pixels"
    return "minmax", f"x goes from {of.low:g} to {of.high:g}"


@dataclass(frozen=True)
class _Statistics:
    """Statistics of x of shape `(n, d)`.

    Attributes:
        low, high: minimum and maximum of x.
        whole: whether all values are whole numbers.
        zeros: share of zeros.
        brightness: mean of the nonzero values, divided by the maximum.
        likeness: mean correlation of neighbouring columns that both vary; 0 if there are none.
        amounts: mean share of a sample's squared norm in the 3 columns with the largest shares; 1 if x is all 0.
    """

    low: float
    high: float
    whole: bool
    zeros: float
    brightness: float
    likeness: float
    amounts: float


def _statistics(x):
    """Computes the _Statistics of x in one pass over its rows."""
    n, d = x.shape
    low, high, whole, filled = math.inf, -math.inf, True, 0
    sums, squares, shares, products = np.zeros(d), np.zeros(d), np.zeros(d), np.zeros(d - 1)
    for piece in x.batches():
        low, high = min(low, piece.min()), max(high, piece.max())
        whole = whole and np.array_equal(piece, np.round(piece))
        filled += np.count_nonzero(piece)
        piece = piece.astype(np.float64)
        sums += piece.sum(axis=0)
        products += np.einsum("ij,ij->j", piece[:, :-1], piece[:, 1:])
        squares += np.einsum("ij,ij->j", piece, piece)
        shares += np.square(_unit(piece)).sum(axis=0)
    variances = squares / n - (sums / n) ** 2
    varies = variances > 1e-9 * squares / n  # else the variance is a rounding error
    pairs = varies[:-1] & varies[1:]
    covariances = products / n - sums[:-1] * sums[1:] / n**2
    correlations = covariances[pairs] / np.sqrt(variances[:-1][pairs] * variances[1:][pairs])
    return _Statistics(
        low=low,
        high=high,
        whole=whole,
        zeros=1 - filled / (n * d),
        brightness=sums.sum() / filled / high if filled and high > 0 else 0.0,
        likeness=correlations.mean() if pairs.any() else 0.0,
        amounts=np.sort(shares)[-3:].sum() / shares.sum() if filled else 1.0,
    )


def _minmax(x):
    scaler = MinMaxScaler()
    for piece in x.batches():
        scaler.partial_fit(piece)
    return Scaler("minmax", _inverse(np.float64(scaler.data_max_) - scaler.data_min_), np.float64(scaler.data_min_))


def _standard(x):
    scaler = StandardScaler()
    for piece in x.batches():
        scaler.partial_fit(piece)
    deviation = np.sqrt(scaler.var_)
    varies = deviation == scaler.scale_  # `scale_` is 1 for a feature that is constant up to rounding
    return Scaler("standard", _inverse(np.where(varies, deviation, 0.0)), scaler.mean_)


def _unit(x):
    """Scales dense rows to norm 1; scikit-learn's `normalize` leaves rows with a norm below 2e-15 unchanged."""
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)


def _inverse(sizes):
    return np.divide(1.0, sizes, out=np.zeros(len(sizes)), where=sizes > 0)


FITS = {"minmax": _minmax, "standard": _standard}
