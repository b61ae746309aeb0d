"""The user's own files -> x, y and their metadata: arrays, tables, sparse matrices and folders of images.

Nothing is ever unpickled.
"""

import re
from dataclasses import replace
from pathlib import Path

from dec_keras.data.arrays import h5_file, mat_file, npy_file, npz_file, svmlight_file
from dec_keras.data.images import IMAGES, images
from dec_keras.data.reading import FORMATS, Reading
from dec_keras.data.tables import csv_file, parquet_file
from dec_keras.errors import InputError
from dec_keras.files.untrusted import explain_errors

INSIDE = re.compile(r"(.+\.(?:h5|hdf5|h5ad|mat|npz)):(.+)", re.I)  # file:array


def is_own(name):
    """Whether `name` is a path: it ends as a kind of file that is read here, or it exists."""
    if INSIDE.fullmatch(str(name)) or _kind(name) in (*READERS, *IMAGES):
        return True
    return str(name) != "" and Path(name).exists()


def _kind(path):
    """The end of a file's name that says its format, such as .csv or .csv.gz."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    packed = suffixes[-1:] in ([".gz"], [".bz2"])
    return "".join(suffixes[-2:] if packed else suffixes[-1:])


def read(name, how=None):
    """Reads a file or a folder of images.

    Args:
        name: its path; `file:name` names an array inside a .npz, .mat or HDF5 file, where `name`
            may have groups, `/group/x`.
        how: a Reading; None: the defaults.

    Returns:
        x with the file's values, not scaled; y or None; and About.

    Raises:
        InputError: if it is missing, damaged, of a kind that is not read, or holds something else than samples.
    """
    how = how or Reading()
    named = None if Path(name).exists() else INSIDE.fullmatch(str(name))
    path, inside = named.groups() if named else (name, None)
    path = Path(path)
    suffix = _kind(path)
    if path.is_dir() and suffix not in (*READERS, ".zarr"):
        reader = images
    elif not (path.is_file() or (path.is_dir() and suffix == ".zarr")):
        raise InputError(f"There is no file {path}: check the path.")
    elif suffix in READERS:
        reader = READERS[suffix]
    elif suffix in IMAGES:
        raise InputError(f"{path} is one image, and each sample is an image: give the folder that holds them.")
    else:
        what_to_do = UNREAD.get(path.suffix.lower(), "save it as .csv, or its arrays by np.savez")
        raise InputError(f"{path} is of a kind that is not read{f', {suffix}' if suffix else ''}: {what_to_do}.")
    if reader not in (csv_file, parquet_file) and (how.id_column or how.drop_columns) and not how.n_features:
        raise InputError(f"{path} is no table: --id_column and --drop_columns are for tables, leave them out.")
    x, y, about = explain_errors(lambda paths: reader(paths[0], how, *([inside] if inside else [])), [path])
    return x, y, replace(about, reading=replace(about.reading, features=about.features))


READER_OF = {
    "npy": npy_file,
    "npz": npz_file,
    "csv": csv_file,
    "parquet": parquet_file,
    "hdf5": h5_file,
    "matlab": mat_file,
    "svmlight": svmlight_file,
}
READERS = {ending: READER_OF[name] for name, endings in FORMATS.items() for ending in endings}

# Advice for other kinds of files. They are not read here: some can run code, others need further packages.
_BY_PANDAS = "read it by pandas and save it, pandas.read_{}(path).to_csv('x.csv', index=False)"
_PICKLED = (
    "it can run code when it is read; where you trust it, load it and save its arrays, np.savez('x.npz', x=x, y=y)"
)
_OF_R = "save it in R, write.csv(x, 'x.csv', row.names=FALSE)"
_TEXT = "if it is a table, call it .csv (commas or semicolons) or .tsv (tabs)"
_PACKED = "unpack it"
UNREAD = {
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".pt", ".pth"), _PICKLED),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save it as .csv in a spreadsheet program"),
    **dict.fromkeys((".rds", ".rda", ".rdata"), _OF_R),
    **dict.fromkeys((".txt", ".dat", ".data"), _TEXT),
    **dict.fromkeys((".zip", ".gz", ".bz2", ".xz", ".tar", ".tgz", ".7z", ".zst"), _PACKED),
    ".arff": "save it as a table, pandas.DataFrame(scipy.io.arff.loadarff(path)[0]).to_csv('x.csv', index=False)",
    ".zarr": "save it as HDF5, anndata.read_zarr(path).write_h5ad('x.h5ad'), or its arrays by np.savez",
    ".loom": "save it as HDF5, anndata.read_loom(path).write_h5ad('x.h5ad')",
    ".h5mu": "save one modality, mudata.read(path)['rna'].write_h5ad('x.h5ad')",
    ".h5seurat": "save it as .h5ad, SeuratDisk::Convert(path, dest='h5ad')",
    ".mtx": "save it with samples in rows, scipy.sparse.save_npz('x.npz', scipy.io.mmread(path).tocsr())",
    ".nc": "save it as a table, xarray.open_dataset(path).to_dataframe().to_csv('x.csv', index=False)",
    ".json": _BY_PANDAS.format("json"),
    ".jsonl": "read it by pandas and save it, pandas.read_json(path, lines=True).to_csv('x.csv', index=False)",
    ".feather": _BY_PANDAS.format("feather"),
    ".orc": _BY_PANDAS.format("orc"),
    ".dta": _BY_PANDAS.format("stata"),
    ".sav": _BY_PANDAS.format("spss"),
    ".sas7bdat": _BY_PANDAS.format("sas"),
}
