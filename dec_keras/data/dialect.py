"""How a table of text is written: its separator, its header, and its numbers."""

import csv
import re
from itertools import islice

import numpy as np

from dec_keras.errors import InputError

EMPTY = ("", "?", "na", "n/a", "#n/a", "nan", "null", "none")  # empty cells of pandas and UCI's files, in lower case
SEPARATORS = "\t;,| "
CELLS = 10_000  # looked at to find the separator
FEW, MANY = 5, 50  # number of rows that are some evidence about a column, and strong evidence

THOUSANDS = r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?"  # 1,234.5
DECIMAL = r"[+-]?(?:\d+|[1-9]\d{0,2}(?:\.\d{3})+),\d+(?:[eE][+-]?\d+)?"  # 1234,5 and 1.234,5
POINT = r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?"  # 1234.5
POINTS = r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+"  # 1.234, which may be 1234


def as_number(cell):
    """The number in a cell, with a decimal point or a decimal comma; NaN if the cell holds no number."""
    if "_" in cell:  # float() allows it, as in 1_000
        return np.nan
    try:
        return float(cell)
    except ValueError:
        pass
    if re.fullmatch(THOUSANDS, cell):
        return float(cell.replace(",", ""))
    if re.fullmatch(DECIMAL, cell):
        return float(cell.replace(".", "").replace(",", "."))
    return np.nan


def is_number(cell):
    return not np.isnan(as_number(cell))


def is_empty(cell):
    return cell.strip().lower() in EMPTY


def split(lines, separator):
    """Splits lines into rows of cells, without blank rows."""
    lines = [line.strip() for line in lines] if separator == " " else lines
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    return [row for row in rows if any(cell.strip() for cell in row)]


def separator(lines):
    """The separator that gives the largest share of numbers; among equals, the one that splits most evenly.

    csv.Sniffer would count the commas in 1,5;2,5 and take letters for separators.
    """

    def merit(candidate):
        try:
            rows = split(lines, candidate)
        except csv.Error:  # a wide line is too long for one cell
            return 0, 0
        width = usual_width(rows)
        if width < 2:
            return 0, 0
        cells = list(islice((cell for row in rows[1:] or rows for cell in row if not is_empty(cell)), CELLS))
        numbers = sum(map(is_number, cells)) / max(len(cells), 1)
        return numbers, sum(len(row) == width for row in rows) / len(rows)

    merits = {candidate: merit(candidate) for candidate in SEPARATORS}
    spaces = merits.pop(" ")
    best = max(merits, key=merits.get)
    if spaces[0] == 1 or (spaces > (0, 0) and merits[best] == (0, 0)):  # else the spaces are within cells
        return " "
    return best if merits[best] > (0, 0) else ","


def usual_width(rows):
    return int(np.bincount([len(row) for row in rows]).argmax()) if rows else 0


def has_header(rows):
    """Whether the first of a table's rows holds names.

    Returns:
        bool; None if the row holds numbers that may be names or a sample, and nothing decides.
    """
    first, rest = rows[0], rows[1:]
    numbers = [i for i, cell in enumerate(first) if is_number(cell)]
    if not numbers:
        return True
    below = [[row[i] for row in rest if i < len(row) and not is_empty(row[i])] for i in range(len(first))]
    texts = [i for i in sorted({*range(len(first))} - {*numbers}) if not is_empty(first[i])]
    if any(below[i] and all(map(is_number, below[i])) for i in texts):
        return True
    if any(first[i] in below[i] for i in texts):  # a class that occurs below too
        return False
    if first[0].strip() == "" and below[0] and len(set(below[0])) == len(below[0]):  # the rows have names
        texts.append(0)
    numbered = [first[i] for i in numbers] == [str(i) for i in range(len(numbers))]  # pandas' default names
    if numbered and len(numbers) > (1 if texts else 3):
        return True
    cells = [[row[i] if i < len(row) else "" for i in numbers] for row in rows]
    of_classes = [i for i in texts if len(set(below[i])) < len(below[i])]
    if len(numbers) + len(texts) > 1 and _may_be_names(cells[0], cells[1:]):
        return True if of_classes or (texts and _whole_over_decimals(cells[0], cells[1:])) else None
    alone = any(min(map(below[i].count, set(below[i]))) > 1 for i in of_classes)  # its class has no other row
    return None if alone and len(rest) >= FEW else False


def _may_be_names(first, rest):
    """Whether the numbers in the first row are unlike a sample: all different, and whole above decimals or in order.

    Numbers in order, such as wavelengths and years, must also be evenly spaced, many, or far from the numbers below.
    Fewer than 1 in 100 tables of random numbers have such a row.
    """
    if len(set(map(as_number, first))) < len(first) or len(rest) < FEW:
        return False
    if _whole_over_decimals(first, rest):
        return True
    names, values = _values([first], len(first))[0], _values(rest, len(first))
    with np.errstate(all="ignore"):
        steps, others = np.diff(names), np.diff(values, axis=1)
        if len(steps) == 0 or not (steps * steps[0] > 0).all():
            return False
        in_order = (others * steps[0] > 0).all(axis=1).mean()
        if len(names) > 6 and len(rest) >= MANY and in_order == 0:  # 2 of 7! orders; smooth curves are often in order
            return True
        low, high = np.fmin.reduce(values), np.fmax.reduce(values)
        outside = bool(((names < 2 * low - high) | (names > 2 * high - low)).all()) and len(rest) >= 2 * FEW
        even = np.allclose(steps, steps[0], rtol=1e-3)
        if even and len(names) > 2 and np.isclose(others, others[:, :1], rtol=1e-3).all(axis=1).mean() < 0.1:
            return outside or (values != names).all(axis=0).mean() >= 0.5
        return outside and bool((np.abs(steps) == 1).all() or (in_order <= 0.5 and len(names) > 4))


def _whole_over_decimals(first, rest):
    names, values = _values([first], len(first)), _values(rest, len(first))
    whole = _whole(names).all() and not _whole(values).any()
    return bool(whole and values.size >= 4 * FEW and not np.isnan(values).all(axis=0).any())


def _values(rows, width):
    return np.array([[as_number(cell) for cell in row] for row in rows], float).reshape(len(rows), width)


def _whole(values):
    return values == np.round(values)


def number_format(path, text):
    """Finds the arguments of pandas.read_csv for a table in which some numbers have commas.

    Args:
        path: path of the file.
        text: DataFrame of str, the table's cells.

    Returns:
        dict of the arguments `decimal` and `thousands`, as far as they are needed.

    Raises:
        InputError: if a number can be read in two ways, or two ways are mixed.
    """
    found = {}  # kind: a cell of that kind, and its column
    for name in text:
        for kind, where in _kinds(text[name].dropna().str.strip().drop_duplicates()):
            if kind not in found and len(where):
                found[kind] = f"{where.iloc[0]!r} in column {name}"
    thousands_dots = "1.234,5" in found
    decimal = "1,5" in found or thousands_dots
    clashes = ["1,2,3", "1.5", *([] if thousands_dots else ["1.234"])] if decimal else ["1,2,3"]
    commas = [kind for kind in ("1.234,5", "1,5", "1,234.5", "1,234") if kind in found]
    if decimal and "1,234.5" in found:
        clashes.insert(0, "1,234.5")
    if clash := next((found[kind] for kind in clashes if commas and kind in found), None):
        raise _unclear(path, f"{found[commas[0]]} and {clash}")
    if commas == ["1,234"]:
        raise _unclear(path, f"{found['1,234']}, whose comma may stand before decimals or between thousands")
    if decimal:
        return {"decimal": ",", "thousands": "." if thousands_dots else None}
    return {"thousands": ","} if commas else {}


def _kinds(cells):
    """Yields pairs: a kind of number, named by an example, and the cells that are of that kind only."""
    comma, dot = (cells.str.contains(mark, regex=False) for mark in ",.")
    thousands, decimal, points = (cells.str.fullmatch(kind) for kind in (THOUSANDS, DECIMAL, POINTS))
    yield "1.234,5", cells[decimal & dot]
    yield "1,5", cells[decimal & ~dot & ~thousands]
    yield "1,234.5", cells[thousands & ~decimal]
    yield "1,234", cells[thousands & decimal]
    yield "1.234", cells[points]
    yield "1.5", cells[cells.str.fullmatch(POINT) & ~points]
    yield "1,2,3", cells[comma & cells.str.fullmatch(r"[-+\d.,]+") & ~thousands & ~decimal]


def _unclear(path, what):
    return InputError(
        f"{path} holds {what}: write its numbers with a decimal point and without separators between thousands."
    )
