"""A sweep's results: `results.csv` and what is made of it."""

import csv

from files import InputError, whole_file

METHODS = ("k-means", "AE+k-means", "AE+GMM", "DEC", "IDEC")
COLUMNS = (
    *("dataset", "method", "trial", "protocol", "seed", "acc", "nmi", "ari", "iterations", "stop_reason"),
    *("pretrain_seconds", "cluster_seconds", "peak_memory_mb"),
    *("python", "tensorflow", "keras", "numpy", "scikit-learn"),
)
WHOLE = ("trial", "seed", "iterations", "peak_memory_mb")
FRACTIONS = ("acc", "nmi", "ari", "pretrain_seconds", "cluster_seconds")


def read_rows(path):
    """The rows of a results.csv, one dict each, numbers as int or float, None where a column is empty; [] without file.

    Raises:
        InputError: if it is no such file.
    """
    if not path.exists():
        return []
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError(f"{path} has other columns than a results.csv: move it away.")
        try:
            return [_parsed(row) for row in reader]
        except (TypeError, ValueError) as error:
            raise InputError(f"{path} is damaged in line {reader.line_num} ({error}): mend or delete it.") from error


def _parsed(row):
    kinds = {name: int for name in WHOLE} | {name: float for name in FRACTIONS}
    return {name: kinds.get(name, str)(value) if value else None for name, value in row.items()}


def write_rows(path, rows):
    """Writes results.csv anew, so that it is never there with half a row; sorted, so that one sweep has one order."""
    with whole_file(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(sorted(rows, key=row_order))


def row_order(row):
    return row["dataset"], row["trial"], METHODS.index(row["method"])
