"""`results.csv`: the rows of a sweep."""

import csv

import numpy as np

from dec_keras.data.reading import DATASETS
from dec_keras.errors import InputError
from dec_keras.files.atomic import write_csv
from dec_keras.metrics import SCORES

ON_X = ("k-means", "UMAP+k-means", "UMAP+HDBSCAN")
METHODS = (*ON_X, "AE+k-means", "AE+GMM", "AE+UMAP+GMM", "DEC", "IDEC")
PHASE = "== "  # beginning of the lines in which a trial prints its current phase
VERSIONS = ("python", "tensorflow", "keras", "numpy", "scikit-learn")
COLUMNS = (
    *("dataset", "method", "trial", "protocol", "seed", *SCORES, "iterations", "stop_reason"),
    *("pretrain_seconds", "cluster_seconds", "peak_memory_mb", *VERSIONS),
)
WHOLE = ("trial", "seed", "iterations", "peak_memory_mb")
NEEDED = ("dataset", "method", "trial", "protocol", "seed", *SCORES, *VERSIONS)
FRACTIONS = (*SCORES, "pretrain_seconds", "cluster_seconds")


def read_rows(path):
    """The rows of a results.csv, one dict each, numbers as int or float, None for an empty cell; [] without a file.

    Raises:
        InputError: if it is no results.csv, or damaged.
    """
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        try:
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise InputError(f"{path} has other columns than a results.csv: move it away.")
            return [_parsed(row) for row in reader]
        except InputError:
            raise
        except (TypeError, ValueError, csv.Error) as error:
            raise InputError(f"{path} is damaged in line {reader.line_num} ({error}): mend or delete it.") from error


def _parsed(row):
    if row["method"] not in METHODS:
        raise ValueError(f"there is no method {row['method']!r}")
    if tuple(row) != COLUMNS or not all(row[name] for name in NEEDED):
        raise ValueError(f"it must have {len(COLUMNS)} columns, {', '.join(NEEDED)} not empty")
    kinds = {name: int for name in WHOLE} | {name: float for name in FRACTIONS}
    parsed = {name: kinds.get(name, str)(value) if value else None for name, value in row.items()}
    if not all(np.isfinite(parsed[name] or 0) for name in FRACTIONS):
        raise ValueError(f"{', '.join(FRACTIONS)} must be finite")
    return parsed


def write_rows(path, rows):
    """Writes results.csv as a whole, so that it never has half a row, and sorted, so that a sweep has one order."""
    write_csv(path, COLUMNS, sorted(rows, key=row_order))


def row_order(row):
    """Sort key: data sets in the order of `DATASETS`, then your own; then trial and method."""
    known = DATASETS.index(row["dataset"]) if row["dataset"] in DATASETS else len(DATASETS)
    return known, row["dataset"], row["trial"], METHODS.index(row["method"])


def by_trial(rows, dataset, method):
    return {row["trial"]: row for row in rows if (row["dataset"], row["method"]) == (dataset, method)}
