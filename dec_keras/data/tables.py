"""Tables -> x, y: .csv, .tsv and .parquet."""

import codecs
import io
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd

from dec_keras.data import dialect
from dec_keras.data.reading import About, listed
from dec_keras.errors import InputError, nearest
from dec_keras.files import guard
from dec_keras.files.untrusted import check_expansion, in_brief, text_array, unpacked

LOOKED_AT = 1000  # rows in which to look for an example of a wrong cell
LINES, CHARACTERS = 100, 2**22  # limits of a file's beginning, from which its separator and header are detected
COMMAS = f"{dialect.THOUSANDS}|{dialect.DECIMAL}"
DATE = r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}\b.*|\d{1,2}:\d{2}\b.*"
WRITTEN_NUMBER = r"\W*\d[\d.,'\u2019\s]*\W*|\W*[.,]\d+\W*"  # such as 5 %, $3 and 1 234,5


def csv_file(path, how):
    lines = _first_lines(path)
    tabs = ".tsv" in (suffix.lower() for suffix in path.suffixes) and any("\t" in line for line in lines)
    separator = "\t" if tabs else dialect.separator(lines)
    rows = dialect.split(lines, separator)
    if not rows:
        raise InputError(f"{path} has no rows: it is empty.")
    named = _has_header(path, rows, how)
    if named and rows[0].count(how.label_column) > 1:
        raise InputError(f"{path} has several columns {how.label_column}: say --label_column with the number of one.")
    parsing = {
        "sep": r"\s+" if separator == " " else separator,
        "header": 0 if named else None,
        "index_col": _index_column(path, rows, named),
        "na_values": ["?"],
        "skipinitialspace": True,
        "low_memory": False,
    }
    if how.id_column is not None and how.n_features != len(rows[0]):  # as text, since 007 is not 7
        parsing["dtype"] = {_key(rows[0], how.id_column, named): str}
    frame = _parsed(path, parsing)
    if not (named and rows[0][-1].strip()) and frame.shape[1] > 1 and frame.iloc[:, -1].isna().all():
        parsing["usecols"] = range(len(rows[0]) - 1)  # the lines end in a separator
        frame = _parsed(path, parsing)
    texts = (frame.iloc[:, i].astype(str) for i, kind in enumerate(frame.dtypes) if not _is_numeric(kind))
    if any(column.str.strip().str.fullmatch(COMMAS).any() for column in texts):
        frame = _parsed(path, parsing | dialect.number_format(path, _parsed(path, parsing | {"dtype": str})))
    return _from_frame(path, frame, how, named)


def _key(first, asked, named):
    """pandas' key of a column, which the user names by its name or its number."""
    if named and asked in first:
        return asked
    try:
        at = range(len(first))[int(asked)]
    except (ValueError, IndexError):
        return asked  # `_column` raises the error later
    return first[at] if named else at


@contextmanager
def _text(path):
    """Opens the table as text: UTF-16 if it begins with that encoding's byte order mark, else UTF-8."""
    with unpacked(path) as file:
        start = file.peek(2)
        utf_16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and start[2:4] != b"\0\0"  # UTF-32
        try:
            if b"\0" in start and not utf_16:
                raise UnicodeError("it holds bytes of 0")
            with io.TextIOWrapper(file, "utf-16" if utf_16 else "utf-8-sig", newline="") as text:
                yield text
        except UnicodeError as error:
            raise InputError(f"{path} is not text in UTF-8 ({in_brief(error)}): save it as CSV in UTF-8.") from error


def _first_lines(path):
    lines, left = [], CHARACTERS
    with _text(path) as text:
        while left > 0 and len(lines) < LINES and (line := text.readline()):
            lines.append(line)
            left -= len(line)
    return lines


def _parsed(path, parsing):
    try:
        with _text(path) as text:
            return pd.read_csv(text, **parsing)
    except pd.errors.ParserError as error:
        raise InputError(
            f"{path} is no table ({in_brief(error)}): give each line as many cells as the first, and put a cell that "
            "holds the separator in quotes, in pairs."
        ) from error


def _has_header(path, rows, how):
    """Whether the first of the rows holds names. In new data, the model's feature names help to decide."""
    if how.header is not None:
        return how.header
    if how.features and set(how.features) <= set(rows[0]):
        return True
    named = dialect.has_header(rows)
    if named is None and how.n_features:
        return how.features is not None and 2 * len(set(how.features) & set(rows[0])) > len(how.features)
    if named is None:
        raise InputError(
            f"{path}: its first line, {listed(rows[0])}, may hold names of the columns or a sample: say --header yes "
            "or --header no."
        )
    return named


def _index_column(path, rows, named):
    """Returns `index_col` of pandas.read_csv, for a column of row names that has no name in the header."""
    first, rest = rows[0], rows[1:]
    usual = dialect.usual_width(rest) if rest else len(first)
    if named and len(first) + 1 == usual:
        whole = [row for row in rest if len(row) == usual]
        if not any(row[-1].strip() for row in whole):
            return False  # the lines end in a separator
        names = [row[0] for row in whole]
        numbered = names == [str(i + 1) for i in range(len(names))]
        is_names = numbered or (len(set(names)) == len(names) and not any(map(dialect.is_number, names)))
        if is_names and dialect.has_header(rest) is not True:
            return None  # R writes tables so, and pandas sees it by itself
    if len(first) < usual:
        raise InputError(
            f"{path}: its first line has fewer cells, {len(first)}, than those below, {usual}: the header is not in "
            "the first line, or cells hold the separator, as decimal commas may: drop what is above it, or quote them."
        )
    if named and rest and len(first) > max(map(len, rest)):
        raise InputError(
            f"{path}: its first line has more cells, {len(first)}, than those below, {usual}: give each as many; a # "
            "before the names is one, which numpy.savetxt leaves out with comments=''."
        )
    if wide := next((row for row in rest if len(row) > len(first)), None):
        raise InputError(
            f"{path}: the line that begins with {wide[0][:40]!r} has {len(wide)} cells and the first one {len(first)}: "
            "give each as many, and put a cell that holds the separator in quotes."
        )
    return 0 if named and len(first) > 1 and first[0].strip() == "" else None  # as pandas saves them


def _is_numeric(kind):
    return pd.api.types.is_numeric_dtype(kind)


def parquet_file(path, how):
    try:
        import pyarrow.parquet

        guard.check(path, "pandas")
        held = pyarrow.parquet.read_metadata(path)
        numbers = held.num_rows * held.num_columns
        check_expansion(path, numbers, 8 * numbers, path.stat().st_size)
        frame = guard.read_parquet(path)
    except ImportError as error:
        raise InputError(f"{path} needs one package more: pip install pyarrow.") from error
    return _from_frame(path, frame, how, named=True)


def _from_frame(path, frame, how, named):
    """Returns x, y and About of a table. New data may lack the labels; named columns may come in any order."""
    frame.columns = frame.columns.map(str)
    dropped, ids = _unused(path, frame, how)
    is_found = ids is None and frame.shape[1] > 1 and frame.columns[0] not in dropped
    is_found = is_found and _names_samples(frame.iloc[:, 0])
    ids = frame.columns[0] if is_found else ids
    label = _label_column(path, frame, how, frame.shape[1] - (ids is not None) - len(dropped))
    y = None if label is None else _labels(path, frame[label], label)
    if is_found and ids != label:
        print(f"{path}: {f'column {ids}' if named else 'the first column'}, all different, names the samples.")
    if ids is not None and not (is_found and ids == label):
        frame = frame.set_index(ids)
    if named and how.features is not None:
        if lacking := [name for name in how.features if name not in frame]:
            raise InputError(f"{path} lacks {_columns(lacking)}, which the model was trained on.")
        x = frame[how.features]
    else:
        left_out = dropped if label is None else [*dropped, label]
        x = frame.drop(columns=left_out, errors="ignore") if left_out else frame  # a copy takes seconds if it is wide
    _check_numbers(path, x)
    names = None if isinstance(frame.index, pd.RangeIndex) else [str(name) for name in frame.index]
    features = x.columns.tolist() if named else None
    how = replace(how, label_column=label) if named and label is not None else how  # new data may have it elsewhere
    return x.to_numpy(np.float64), y, About(names, features, reading=how)


def _unused(path, frame, how):
    """Returns the names of the columns that `drop_columns` means, and the name of the `id_column` or None."""
    if how.n_features == frame.shape[1]:
        return [], None  # new data with only the features
    dropped = [_column(path, frame, name, "drop_columns", how) for name in how.drop_columns or ()]
    ids = None if how.id_column is None else _column(path, frame, how.id_column, "id_column", how)
    if ids is not None and ids in dropped:
        raise InputError(f"{path}: column {ids} cannot both name the samples and be dropped: take one of the options.")
    if ids is not None and (repeated := int(frame[ids].duplicated().sum())):
        print(f"Warning: in {path} column {ids} repeats names, in {repeated} of {len(frame)} rows.")
    return sorted({name for name in dropped if name is not None}), ids


def _column(path, frame, asked, option, how):
    """Name of a column that is given by its name or its number; None if new data lack it."""
    if asked in frame:
        return asked
    try:
        return frame.columns[int(asked)]
    except (ValueError, IndexError):
        if how.n_features:
            return None
        raise InputError(
            f"{path} has no column {asked!r} for --{option}: it has the {_columns(frame.columns)}; or give a number "
            f"from 0 to {frame.shape[1] - 1}.{nearest(asked, frame.columns)}"
        ) from None


def _names_samples(column):
    """Whether a column holds a different text in each row, and none of the texts is a number in unusual notation."""
    if _is_numeric(column.dtype) or len(column) < 2 or column.isna().any() or not column.is_unique:
        return False
    return not column.astype(str).str.fullmatch(WRITTEN_NUMBER).any()


def _label_column(path, frame, how, n_columns):
    """Name of the labels' column, or None. A name that is another column's number is an error, but not in new data."""
    columns, asked = frame.columns, how.label_column
    if how.n_features == n_columns and (how.features is None or asked not in frame):
        return None  # new data without labels
    try:
        at_number = None if asked is None else int(asked)
        by_number = None if at_number is None else columns[at_number]
    except (ValueError, IndexError):
        at_number = by_number = None
    if asked is None or asked in frame:
        if by_number not in (None, asked) and how.features is None:
            by_name, at = columns.get_loc(asked), at_number % len(columns)
            raise InputError(
                f"{path} has a column named {asked} and another column, {by_number}, at number {asked}: say "
                f"--label_column {_sure_number(columns, by_name)} for the one and {_sure_number(columns, at)} for the "
                "other."
            )
        return asked
    if by_number is None and not how.n_features:
        raise InputError(
            f"{path} has no column {asked!r} for --label_column: it has the {_columns(columns)}; or give a number from "
            f"0 to {len(columns) - 1}.{nearest(asked, columns)}"
        )
    return by_number


def _sure_number(columns, at):
    """The number of a column, from the front or the end, that is not a column's name too; else the column's name."""
    return next((str(number) for number in (at, at - len(columns)) if str(number) not in columns), columns[at])


def _labels(path, column, name):
    if (rows := np.flatnonzero(column.isna())).size:
        raise InputError(f"{path}: the label column {name} is empty in {_rows(rows, len(column))}: fill it.")
    if _is_numeric(column.dtype):
        return column.to_numpy()
    if isinstance(column.dtype, pd.CategoricalDtype):
        return text_array(path, np.array([str(text) for text in column.cat.categories], object)[column.cat.codes])
    return text_array(path, column.astype(str))


def _check_numbers(path, x):
    """Raises InputError, which names the columns or rows, for text and for missing values."""
    if x.empty:
        raise InputError(f"{path} has {len(x)} rows and {x.shape[1]} columns of numbers: it must have some of both.")
    missing = x.isna().to_numpy()
    if missing.all(axis=0).any():
        empty = _columns(x.columns[missing.all(axis=0)])
        raise InputError(f"{path}: values are missing in all {len(x)} rows, in {empty}: drop that.")
    texts = {name: _what_text(x[name]) for name, kind in zip(x, x.dtypes, strict=True) if not _is_numeric(kind)}
    if texts:
        advice, example = next(iter(texts.values()))
        alike = [name for name, (other, _) in texts.items() if other == advice]
        raise InputError(f"{path} holds no numbers in {_columns(alike)}{example}: {advice}.")
    if missing.any():
        where = _columns(x.columns[missing.any(axis=0)])
        rows = _rows(np.flatnonzero(missing.any(axis=1)), len(x))
        raise InputError(f"{path}: values are missing in {rows}, in {where}: fill them or drop the rows.")


def _what_text(column):
    """What to do about a column of text, and an example of it in brackets."""
    cells = column.reset_index(drop=True).dropna().iloc[:LOOKED_AT].astype(str).str.strip()
    cells = cells[~cells.map(dialect.is_empty)]
    others = cells[~cells.map(_is_plain_number)]
    example = f" ({others.iloc[0][:40]!r} in row {others.index[0]})" if len(others) else ""
    if others.str.fullmatch(DATE).any():
        advice = "turn its dates or times into numbers, or leave it out with --drop_columns"
    elif others.str.fullmatch(WRITTEN_NUMBER).any():
        advice = "write its numbers with a decimal point, without commas or spaces between thousands, signs and units"
    elif 2 * len(others) <= len(cells):
        advice = "correct that, or drop the row"
    elif len(column) > 2 and len(others) == len(column[:LOOKED_AT]) and column.is_unique:
        advice = "it differs in each row: --id_column if it names the samples, else leave it out with --drop_columns"
    else:
        advice = "--label_column if it holds the labels; else turn it into numbers or leave it out with --drop_columns"
    return advice, example


def _is_plain_number(cell):
    return dialect.is_number(cell) and "," not in cell


def _columns(names):
    names = list(names)
    return f"column{'s'[: len(names) > 1]} {listed(names)}"


def _rows(rows, n):
    return f"{len(rows)} of {n} rows, {listed(rows)} (the first is row 0)"
