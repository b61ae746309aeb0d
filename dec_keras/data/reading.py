"""Options for reading user files, and the metadata of x and y."""

from dataclasses import asdict, dataclass, field, replace

import numpy as np

from dec_keras.errors import InputError, check_number, check_whole

BACKGROUNDS = ("white", "black", "grey")  # of transparent images, in the order of preference
SHOWN = 10  # columns or rows named in an error
# Names for the command line. They are here since it must load fast; the readers are in `datasets` and `user_data`.
DATASETS = (
    *("mnist", "mnist-train", "mnist-test", "fmnist", "reuters10k", "reuters10k-xie", "rcv1-10k"),
    *("usps", "stl", "pendigits", "digits"),
)
ALIASES = {"reuters": "reuters10k", "reutersidf10k": "reuters10k"}
FORMATS = {  # {format: ends of file names}
    "npy": (".npy",),
    "npz": (".npz",),
    "csv": (".csv", ".tsv", ".csv.gz", ".csv.bz2", ".tsv.gz", ".tsv.bz2"),
    "parquet": (".parquet",),
    "hdf5": (".h5", ".hdf5", ".h5ad"),
    "matlab": (".mat",),
    "svmlight": (".svmlight", ".svm", ".libsvm"),
}
ENDINGS = tuple(ending for endings in FORMATS.values() for ending in endings)
SCALES = {
    "auto": "as its numbers ask for",
    "minmax": "each feature to [0, 1]",
    "standard": "each feature to mean 0 and variance 1",
    "l2": "each sample to the norm sqrt(d)",
    "none": "as it is",
}


@dataclass(frozen=True)
class Reading:
    """How a file is read. The reader replaces defaults by what it detects, so that new data are read in the same way.

    Attributes:
        label_column: in a table, the labels' column: its name, or its number from 0, negative from the end. In a file
            of arrays, the name of the labels' array. None: a table has no labels; `choosing.labels` looks for an array.
        id_column: in a table, the column that names the samples: its name or number; None: detected.
        drop_columns: in a table, names or numbers of columns to leave out; None: none.
        header: whether the first line of a text table holds the column names; None: detected.
        image_size: (height, width) to which images are resized; None: they must all have one size.
        color: whether images are read in red, green and blue, not in grey.
        background: one of `BACKGROUNDS`, behind transparent images; None: `images.images` chooses it.
        bits: number of bits of the highest value in images of 16 bits, from 8 to 16; None: detected.
        labels_from_folders: whether an image's label is the name of its top-level subfolder.
        zero_based: whether a svmlight file numbers its features from 0; None: it does if it has a feature 0.
        n_features: for new data, which may lack labels: number of features of the training data; None: no new data.
        features: for new data: names of the training data's features, in order, or None.
    """

    label_column: str | None = None
    id_column: str | None = None
    drop_columns: tuple | list | None = None
    header: bool | None = None
    image_size: tuple | None = None
    color: bool = False
    background: str | None = None
    bits: int | None = None
    labels_from_folders: bool = False
    zero_based: bool | None = None
    n_features: int | None = None
    features: list | None = None


@dataclass(frozen=True)
class About:
    """Metadata of x and y.

    Attributes:
        names: names of the samples, such as those of their files; None: they are numbered from 0.
        features: names of the features, a list of str, or None.
        image_shape: (height, width) or (height, width, 3) of a sample that is an image, or None.
        eight_bit: whether the samples were read from images, as pixels from 0 to 255.
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


def check_scale(value):
    """The value of --scale: one of `SCALES`, or a number above 0.

    Raises:
        InputError: if it is neither.
    """
    if value in SCALES:
        return value
    try:
        return check_number("scale", value, above=0)
    except InputError as error:
        raise InputError(f"{error} Or choose from {', '.join(SCALES)}.") from error


def describe_factor(factor):
    """Returns the factor of x as text that is easy to read: "none" for 1, "/ 255" for 1/255, "x 5.1" for 5.1."""
    if factor == 1:
        return "none"
    divisor = 1 / factor
    return f"/ {divisor:.0f}" if divisor > 1 and abs(divisor - round(divisor)) < 1e-6 * divisor else f"x {factor:g}"


def attributes(reading):
    """Converts a Reading, except n_features, to a dict from which `from_attributes` restores it."""
    given = {name: value for name, value in asdict(reading).items() if value is not None and name != "n_features"}
    features = given.pop("features", None)
    given |= {"image_size": list(reading.image_size)} if reading.image_size else {}  # JSON has no tuples
    return {"reading": given} | ({} if features is None else {"features": np.array(features)})


def from_attributes(attributes, n_features=None):
    """Restores the Reading of new data from a model file's attributes; without attributes, it has the defaults.

    Raises:
        InputError: if the attributes are not valid.
    """
    features = attributes.get("features")
    features = None if features is None else np.asarray(features).astype(str).ravel().tolist()
    known = attributes.get("reading", {})
    try:
        reading = Reading(**known | {"features": features, "n_features": n_features})
        if reading.image_size is not None:
            height, width = (check_whole("a side of images", side, at_least=1) for side in reading.image_size)
            reading = replace(reading, image_size=(height, width))
        if reading.bits is not None:
            reading = replace(reading, bits=check_whole("bits", reading.bits, at_least=8, at_most=16))
        if reading.background not in (None, *BACKGROUNDS):
            raise ValueError(f"no background {reading.background}")
        label, identifier = (None if name is None else str(name) for name in (reading.label_column, reading.id_column))
        dropped = None if reading.drop_columns is None else list(map(str, reading.drop_columns))
        return replace(reading, label_column=label, id_column=identifier, drop_columns=dropped)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The model's file says that its data were read by {known}, which is damaged ({error})."
        ) from error


def listed(items):
    items = [str(item) for item in items]
    if len(items) > SHOWN:
        items = [*items[:SHOWN], f"{len(items) - SHOWN} more"]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
