"""Files of one's own -> x, y and what goes along: arrays, tables, sparse matrices and folders of images.

Nothing is ever unpickled.
"""

import csv
import io
import math
import os
import re
import warnings
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse
from PIL import Image, ImageOps
from sklearn.datasets import load_svmlight_file

import mat5
from files import InputError, check_whole
from untrusted import arrays, check_expansion, check_features, open_h5, plain_array, text_array, told

LARGE_FILE = 2**30  # bytes; a larger .npy stays on disk
PAIRS = {"x": "y", "data": "label", "fea": "gnd"}  # arrays of samples and labels: ours, DEC-keras', D. Cai's .mat files
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "TIFF", "WEBP")  # Pillow would run Ghostscript for an EPS file
IN_HDF5 = re.compile(r"(.+\.(?:h5|hdf5)):(/.+)", re.I)
EMPTY = ("", "?", "na", "n/a", "#n/a", "nan", "null", "none")  # as pandas and UCI's files have it, in lower case
SHOWN = 10  # columns or rows named in an error
LOOKED_AT = 1000  # rows, for an example of what is wrong


@dataclass(frozen=True)
class Reading:
    """How a file is read. What reading it finds out takes the place of the defaults, so that new data are read alike.

    Attributes:
        label_column: of a table: the labels' column, its name or its number from 0, negative from the end; of a file
            of arrays: the name of the labels' array. None: a table has none, and arrays are named as in `PAIRS`.
        image_size: (height, width) that images are brought to; None: they must all have one size.
        color: images in red, green and blue, not in grey.
        labels_from_folders: an image's label is the name of the subfolder that it is in.
        zero_based: whether a svmlight file numbers its features from 0; None: it does if it has a feature 0.
        n_features: of the data that new data are to be like, which may lack labels; None: these are no new data.
        features: names of those data's features, in order, or None.
    """

    label_column: str | None = None
    image_size: tuple | None = None
    color: bool = False
    labels_from_folders: bool = False
    zero_based: bool | None = None
    n_features: int | None = None
    features: list | None = None


@dataclass(frozen=True)
class About:
    """What goes along with x and y.

    Attributes:
        names: of the samples, such as their files'; None: they are numbered from 0.
        features: names of the features, a list of str, or None.
        image_shape: (height, width) or (height, width, 3) of a sample that is an image, or None.
        eight_bit: the samples were stored as bytes.
        reading: the Reading for new data of this kind.
    """

    names: list | None = None
    features: list | None = None
    image_shape: tuple | None = None
    eight_bit: bool = False
    reading: Reading = field(default_factory=Reading)


def check_size(text):
    """(height, width) of text such as "32" or "32x48".

    Raises:
        InputError: if it is no such text.
    """
    sides = str(text).lower().split("x")
    if len(sides) > 2:
        raise InputError(f"the value is {text}: it must be HEIGHT or HEIGHTxWIDTH, such as 32x48.")
    sides = [check_whole("the value", side, at_least=1) for side in sides]
    return sides[0], sides[-1]


def is_own(name):
    """Whether `name` is the path of a folder or of a file in a format that is read here."""
    if IN_HDF5.fullmatch(str(name)) or Path(name).suffix.lower() in READERS:
        return True
    return str(name) != "" and Path(name).is_dir()


def read(name, how=None):
    """Reads a file or a folder of images.

    Args:
        name: its path; `file.h5:/group/x` names an array inside.
        how: a Reading; None: the defaults.

    Returns:
        x as it is in the file, y or None, and About.

    Raises:
        InputError: if it is missing, damaged, or holds something else than samples.
    """
    how = how or Reading()
    in_hdf5 = IN_HDF5.fullmatch(str(name))
    path, inside = in_hdf5.groups() if in_hdf5 else (name, None)
    path = Path(path)
    if path.is_dir() and path.suffix.lower() not in READERS:
        reader = _images
    elif not path.is_file():
        raise InputError(f"There is no file {path}: check the path.")
    else:
        reader = READERS[path.suffix.lower()]
    x, y, about = told(lambda paths: reader(paths[0], how, *([inside] if inside else [])), [path])
    return x, y, replace(about, eight_bit=x.dtype == np.uint8, reading=replace(about.reading, features=about.features))


def attributes(reading):
    """What `from_attributes` makes a Reading of again."""
    given = {name: value for name, value in asdict(reading).items() if value is not None and name != "n_features"}
    features = given.pop("features", None)
    given |= {"image_size": list(reading.image_size)} if reading.image_size else {}  # JSON has no tuples
    return {"reading": given} | ({} if features is None else {"features": np.array(features)})


def from_attributes(attributes, n_features=None):
    """The Reading that a file's attributes tell of, for data that are to be like those; the default without any.

    Raises:
        InputError: if they tell of one that cannot be.
    """
    features = attributes.get("features")
    features = None if features is None else np.asarray(features).astype(str).ravel().tolist()
    known = attributes.get("reading", {})
    try:
        reading = Reading(**known | {"features": features, "n_features": n_features})
        if reading.image_size is not None:
            height, width = (check_whole("a side of images", side, at_least=1) for side in reading.image_size)
            reading = replace(reading, image_size=(height, width))
        return replace(reading, label_column=None if reading.label_column is None else str(reading.label_column))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The model's file says that its data were read by {known}, which is damaged ({error})."
        ) from error


# Arrays


def npz(paths, how=None):
    """x and, if it is there, y (DEC-keras calls them data and label); or a matrix by scipy.sparse.save_npz."""
    how = how or Reading()
    with arrays(paths[0]) as held:
        if {"format", "shape"} <= set(held):
            return _sound(paths[0], scipy.sparse.load_npz(paths[0])), held.get(how.label_column or "y")
        x, y = _pick(paths[0], held, how)
        return held[x], None if y is None else held[y]


def _sound(path, x):
    """x, unless it is a sparse matrix larger than what is there, or with indices beyond its arrays.

    SciPy would follow those out of its memory.
    """
    if scipy.sparse.issparse(x) and x.ndim == 2:
        check_features(x.shape[1])
        check_expansion(path, x.shape[0], 8 * x.shape[0], path.stat().st_size)
    if hasattr(x, "indptr"):
        if (np.diff(x.indptr) < 0).any():  # which `check_format` overlooks where the last of them is 0
            raise ValueError("the matrix' rows overlap")
        x.check_format()
    return x


def _pick(path, held, how, x=None):
    """Names of the arrays of samples and of labels (or None) among those `held`; upper case serves too."""
    held = list(held)
    lower = {name.lower(): name for name in reversed(held)}
    x = x or next((lower[name] for name in PAIRS if name in lower), None)
    if x is None:
        raise InputError(f"{path} holds {held}: it must hold an array x, and y if there are labels.")
    if how.label_column is None or (how.n_features and how.label_column not in held):
        return x, lower.get(PAIRS.get(x.lower()))
    if how.label_column not in held:
        raise InputError(f"{path} holds {held}: there is no array {how.label_column!r} for --label_column.")
    return x, how.label_column


def _npy_file(path, how):
    """A large file is not read but mapped: it stays on disk."""
    x = arrays(path)
    x = np.array(x) if isinstance(x, np.memmap) and path.stat().st_size <= LARGE_FILE else x
    return x, None, _about_array(x, how)


def _npz_file(path, how):
    x, y = npz([path], how)
    return x, y, _about_array(x, how)


def _h5_file(path, how, inside=None):
    x, y = _h5(path, how, inside)
    return x, y, _about_array(x, how)


def _h5(path, how, inside=None):
    """The arrays of a group of an HDF5 file, the root by default."""
    with open_h5(path) as file:
        parent, _, x = (inside or "/").rpartition("/")
        group = file.get(parent or "/")
        group = group if isinstance(group, h5py.Group) else {}
        held = [name for name, item in group.items() if isinstance(item, h5py.Dataset)]
        if x and x not in held:
            raise InputError(f"{path} has no array {inside}: {parent or '/'} holds {held}.")
        x, y = _pick(path, held, how, x or None)
        return tuple(None if name is None else plain_array(path, group[name]) for name in (x, y))


def _mat_file(path, how):
    """MATLAB's format 5, or 7.3, which is HDF5 with its axes turned round."""
    if h5py.is_hdf5(path):
        x, y = (None if part is None else part.T for part in _h5(path, how))
    else:
        data = path.read_bytes()
        mat5.check(path, data)
        held = scipy.io.whosmat(io.BytesIO(data))
        kinds = {name: kind for name, _, kind in held}
        if len(kinds) < len(held):
            raise ValueError("two arrays have the same name")
        x, y = _pick(path, kinds, how)
        picked = [x] if y is None else [x, y]
        for name in picked:
            if kinds[name] in ("cell", "struct", "object", "function", "opaque", "unknown"):
                raise InputError(f"{path}: {name} is of MATLAB's type {kinds[name]}: it must be an array of numbers.")
        loaded = scipy.io.loadmat(io.BytesIO(data), variable_names=picked)
        x, y = _sound(path, loaded[x]), loaded.get(y)
    if y is not None and y.ndim == 2 and 1 in y.shape:  # MATLAB has no vectors
        y = y.ravel()
    return x, y, _about_array(x, how)


def _svmlight_file(path, how):
    x, y = load_svmlight_file(str(path), dtype=np.float32, zero_based=True)
    check_features(x.shape[1])
    zero_based = bool(x[:, [0]].nnz) if how.zero_based is None else how.zero_based
    x = x if zero_based else x[:, 1:]
    if how.n_features and x.shape[1] < how.n_features:  # its last features are all 0
        x = scipy.sparse.csr_matrix((x.data, x.indices, x.indptr), shape=(x.shape[0], how.n_features))
    y = y.astype(np.int64) if np.array_equal(y, np.round(y)) else y
    y = y if len(np.unique(y)) > 1 else None  # the format has no way to say "unknown": 0 for all
    return x, y, About(reading=replace(how, zero_based=zero_based))


def _about_array(x, how):
    """Samples of two axes, or of three with one or three colours, may be images."""
    if not (isinstance(x, np.ndarray) or scipy.sparse.issparse(x)):
        raise ValueError("it holds no array")
    shape = x.shape[1:] if x.ndim in (3, 4) else None
    if x.ndim == 4:
        shape = {1: shape[:2], 3: shape}.get(shape[2])
    return About(image_shape=shape, reading=how)


# Tables


def _csv_file(path, how):
    with open(path, encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
        file.seek(0)
        header = _has_header(list(islice(csv.reader(file, delimiter=delimiter), 100)))
    frame = pd.read_csv(
        path,
        sep=delimiter,
        header=0 if header else None,
        index_col=0 if header and re.match(rf'(""|\s*){delimiter}', first) else None,  # row names, as pandas saves them
        na_values=["?"],
        skipinitialspace=True,
        encoding="utf-8-sig",
        low_memory=False,
    )
    return _from_frame(path, frame, how, named=header)


def _has_header(rows):
    """Whether the first of a table's rows holds names: no number, or text over numbers, or pandas' own 0, 1, 2..."""
    if not rows:
        raise ValueError("it is empty")
    first, rest = rows[0], rows[1:]
    if not any(map(_is_number, first)):
        return True
    numbers = first[1:] if first[0] == "" else first
    if len(numbers) > 3 and numbers == [str(i) for i in range(len(numbers))]:
        return True
    for i, cell in enumerate(first):
        below = [row[i] for row in rest if i < len(row) and row[i].strip().lower() not in EMPTY]
        is_text = cell.strip().lower() not in EMPTY and not _is_number(cell)
        if is_text and below and all(map(_is_number, below)):
            return True
    return False


def _is_number(text):
    try:
        return not np.isnan(float(text))
    except ValueError:
        return False


def _parquet_file(path, how):
    try:
        import pyarrow.parquet

        held = pyarrow.parquet.read_metadata(path)
        numbers = held.num_rows * held.num_columns
        check_expansion(path, numbers, 8 * numbers, path.stat().st_size)
        texts = [column.name for column in pyarrow.parquet.read_schema(path) if "string" in str(column.type)]
        frame = pd.read_parquet(path, engine="pyarrow", read_dictionary=texts)  # a text that is there once, once
    except ImportError as error:
        raise InputError(f"{path} needs one package more: pip install pyarrow.") from error
    return _from_frame(path, frame, how, named=True)


def _from_frame(path, frame, how, named):
    """x and y of a table; new data may lack the labels, and have their columns in any order if they are named."""
    frame.columns = frame.columns.map(str)
    label = _label_column(path, frame, how)
    y = None if label is None else _labels(path, frame[label], label)
    if named and how.features is not None:
        if lacking := [name for name in how.features if name not in frame]:
            raise InputError(f"{path} lacks {_columns(lacking)}, which the model was trained on.")
        x = frame[how.features]
    else:
        x = frame.drop(columns=[] if label is None else [label])
    _check_numbers(path, x)
    names = None if isinstance(frame.index, pd.RangeIndex) else [str(name) for name in frame.index]
    features = x.columns.tolist() if named else None
    return x.to_numpy(np.float64), y, About(names, features, reading=how)


def _label_column(path, frame, how):
    """Name of the labels' column, or None."""
    if how.n_features == frame.shape[1] and (how.features is None or how.label_column not in frame):
        return None  # new data that have none
    if how.label_column is None or how.label_column in frame:
        return how.label_column
    try:
        return frame.columns[int(how.label_column)]
    except (ValueError, IndexError) as error:
        if how.n_features:
            return None
        raise InputError(
            f"{path} has no column {how.label_column!r} for --label_column: it has the {_columns(frame.columns)}; "
            f"or give a number from 0 to {frame.shape[1] - 1}."
        ) from error


def _labels(path, column, name):
    if (rows := np.flatnonzero(column.isna())).size:
        raise InputError(f"{path}: the label column {name} is empty in {_rows(rows, len(column))}: fill it.")
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy()
    if isinstance(column.dtype, pd.CategoricalDtype):
        return text_array(path, np.array([str(text) for text in column.cat.categories], object)[column.cat.codes])
    return text_array(path, column.astype(str))


def _check_numbers(path, x):
    """Raises InputError, which names the columns or rows, for text and for missing values."""
    if x.empty:
        raise InputError(f"{path} has {len(x)} rows and {x.shape[1]} columns of numbers: it must have some of both.")
    text = [name for name, kind in zip(x, x.dtypes, strict=True) if not pd.api.types.is_numeric_dtype(kind)]
    if text:
        first = [str(x[text[0]].iloc[row])[:40] for row in range(min(LOOKED_AT, len(x)))]
        row = next((i for i, cell in enumerate(first) if cell.lower() not in EMPTY and not _is_number(cell)), None)
        example = "" if row is None else f" ({first[row]!r} in row {row})"
        raise InputError(
            f"{path} holds no numbers in {_columns(text)}{example}: drop that or turn it into numbers, or name it with "
            "--label_column if it holds the labels."
        )
    missing = x.isna().to_numpy()
    if missing.any():
        where = _columns(x.columns[missing.any(axis=0)])
        rows = _rows(np.flatnonzero(missing.any(axis=1)), len(x))
        raise InputError(f"{path}: values are missing in {rows}, in {where}: fill them or drop the rows.")


def _columns(names):
    names = list(names)
    return f"column{'s'[: len(names) > 1]} {_listed(names)}"


def _rows(rows, n):
    return f"{len(rows)} of {n} rows, {_listed(rows)} (the first is row 0)"


def _listed(items):
    items = [str(item) for item in items]
    if len(items) > SHOWN:
        items = [*items[:SHOWN], f"{len(items) - SHOWN} more"]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


# Images


def _images(folder, how):
    """All images in a folder and below, in the order of their names."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGES and path.name[0] != ".")
    paths = sorted(path for path in found if path.is_file())
    if not paths:
        raise InputError(f"{folder} holds no images ({', '.join(IMAGES)}): give a folder of images, or a file.")
    names = [Path(_in_unicode(path.relative_to(folder))) for path in paths]
    y = None
    if how.labels_from_folders and not how.n_features:  # new ones may lie anywhere
        if stray := [str(name) for name in names if len(name.parts) == 1]:
            raise InputError(f"{folder}: {_listed(stray)} lie in no subfolder that --labels_from_folders could label.")
        y = np.array([name.parts[0] for name in names])
    first = told(lambda paths: _pixels(paths[0], how), paths[:1])
    x = np.empty((len(paths), *first.shape), np.uint8)
    for i, path in enumerate(paths):
        image = told(lambda paths: _pixels(paths[0], how), [path])
        if image.shape != first.shape:
            sizes = ["{}x{}".format(*pixels.shape) for pixels in (first, image)]
            raise InputError(
                f"{paths[0]} has {sizes[0]} pixels (height x width) and {path} {sizes[1]}: bring all to one size, "
                f"such as --image_size {sizes[0]}."
            )
        x[i] = image
    about = About([name.as_posix() for name in names], image_shape=first.shape)
    return x, y, replace(about, reading=replace(how, image_size=first.shape[:2]))


def _in_unicode(path):
    """A path's name, as text that can be written: a byte that is no character becomes its number."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _pixels(path, how):
    """An image as bytes of shape `(height, width)`, or `(height, width, 3)` in colour."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # its error stays
        image = Image.open(path, formats=FORMATS)
    with image:
        numbers = math.prod(image.size) * len(image.getbands())
        check_expansion(path, numbers, numbers, path.stat().st_size)
        if image.mode.startswith("I;16"):  # 16 bits of grey, which Pillow would cut off at 255
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        elif image.mode in ("I", "F"):
            raise InputError(f"{path} has more than 16 bits a pixel: save it as an image of 8 bits.")
        image = ImageOps.exif_transpose(image).convert("RGB" if how.color else "L")
        if how.image_size is not None:
            height, width = how.image_size
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image)


READERS = {
    ".npy": _npy_file,
    ".npz": _npz_file,
    ".csv": _csv_file,
    ".tsv": _csv_file,
    ".parquet": _parquet_file,
    ".h5": _h5_file,
    ".hdf5": _h5_file,
    ".mat": _mat_file,
    ".svmlight": _svmlight_file,
    ".svm": _svmlight_file,
    ".libsvm": _svmlight_file,
}
