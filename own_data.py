"""Files of one's own -> x, y and what goes along: arrays, tables, sparse matrices and folders of images.

Nothing is ever unpickled.
"""

import re
from dataclasses import replace
from pathlib import Path

from dec_keras.data.arrays import h5_file, mat_file, npy_file, npz_file, svmlight_file
from dec_keras.data.images import images
from dec_keras.data.reading import Reading
from dec_keras.data.tables import csv_file, parquet_file
from files import InputError
from untrusted import told

IN_HDF5 = re.compile(r"(.+\.(?:h5|hdf5)):(/.+)", re.I)


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
        reader = images
    elif not path.is_file():
        raise InputError(f"There is no file {path}: check the path.")
    else:
        reader = READERS[path.suffix.lower()]
    x, y, about = told(lambda paths: reader(paths[0], how, *([inside] if inside else [])), [path])
    return x, y, replace(about, reading=replace(about.reading, features=about.features))


READERS = {
    ".npy": npy_file,
    ".npz": npz_file,
    ".csv": csv_file,
    ".tsv": csv_file,
    ".parquet": parquet_file,
    ".h5": h5_file,
    ".hdf5": h5_file,
    ".mat": mat_file,
    ".svmlight": svmlight_file,
    ".svm": svmlight_file,
    ".libsvm": svmlight_file,
}
