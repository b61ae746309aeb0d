"""Tables -> x, y: .csv, .tsv and .parquet."""

import csv
import re
from itertools import islice

import numpy as np
import pandas as pd

from dec_keras.data.reading import About, listed
from files import InputError
from untrusted import check_expansion, text_array

EMPTY = ("", "?", "na", "n/a", "#n/a", "nan", "null", "none")  # as pandas and UCI's files have it, in lower case
LOOKED_AT = 1000  # rows, for an example of what is wrong


def csv_file(path, how):
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


def parquet_file(path, how):
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
    return f"column{'s'[: len(names) > 1]} {listed(names)}"


def _rows(rows, n):
    return f"{len(rows)} of {n} rows, {listed(rows)} (the first is row 0)"
