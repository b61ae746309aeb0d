"""Files of one's own: every format gives the same x and y, and what is wrong with one is said."""

import bz2
import csv
import gzip
import io
import json
import os
import sys
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse
from PIL import Image
from sklearn.datasets import dump_svmlight_file

from dec_keras.data import dialect, reading, user_data
from dec_keras.data.datasets import load_data
from dec_keras.data.reading import Reading
from dec_keras.errors import InputError
from dec_keras.runs import command_line
from dec_keras.runs.config import RunConfig
from tests.helpers import load_arrays as load

X = np.round(np.random.default_rng(0).random((12, 5)) * 10, 3)
X[:, 3] = 0  # a feature that a sparse file leaves out
Y = np.arange(12) % 3
NAMES = ["length", "width", "weight", "nothing", "age, in years"]
TABLE = pd.DataFrame(X, columns=NAMES)


def written(path, save):
    save(path)
    return str(path)


def hdf5(arrays):
    def save(path):
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array

    return save


LABELLED = TABLE.assign(kind=Y)
ROWS = [f"P{i}" for i in range(12)]


def _with_names(path):
    LABELLED.set_axis(ROWS).to_csv(path, index_label="product")


def _bz2(path):
    path.write_bytes(bz2.compress(LABELLED.to_csv(index=False, sep="\t").encode()))


def _as_r(path):
    """The header has no name for the column of the rows' names."""
    path.write_text(LABELLED.set_axis(range(1, 13)).to_csv(index_label="r").removeprefix("r,"))


def _trailing(path):
    """Each line but the header ends in a separator."""
    path.write_text(TABLE.to_csv(index=False).replace("\n", ",\n").replace(",\n", "\n", 1))


FORMATS = {  # file: (writes it, how it is read, whether it has labels)
    "x.npy": (lambda path: np.save(path, X), {}, False),
    "xy.npz": (lambda path: np.savez(path, x=X, y=Y), {}, True),
    "Upper.npz": (lambda path: np.savez(path, X=X, Y=Y), {}, True),
    "named.npz": (lambda path: np.savez(path, x=X, kinds=Y), {"label_column": "kinds"}, True),
    "header.csv": (lambda path: TABLE.to_csv(path, index=False), {}, False),
    "no_header.csv": (lambda path: TABLE.to_csv(path, index=False, header=False), {}, False),
    "semicolons.csv": (lambda path: TABLE.to_csv(path, index=False, sep=";"), {}, False),
    "bom.csv": (lambda path: TABLE.to_csv(path, index=False, encoding="utf-8-sig"), {}, False),
    "label.csv": (lambda path: LABELLED.to_csv(path, index=False), {"label_column": "kind"}, True),
    "last.csv": (lambda path: LABELLED.to_csv(path, index=False, header=False), {"label_column": "-1"}, True),
    "middle.csv": (lambda path: _with_label_at(2).to_csv(path, index=False), {"label_column": "2"}, True),
    "spaces.csv": (lambda path: np.savetxt(path, X), {}, False),
    "bars.csv": (lambda path: TABLE.to_csv(path, index=False, sep="|"), {}, False),
    "utf16.csv": (lambda path: TABLE.to_csv(path, index=False, encoding="utf-16"), {}, False),
    "packed.csv.gz": (lambda path: LABELLED.to_csv(path, index=False), {"label_column": "kind"}, True),
    "packed.TSV.bz2": (_bz2, {"label_column": "kind"}, True),
    "decimal.csv": (lambda path: TABLE.to_csv(path, index=False, sep=";", decimal=","), {}, False),
    "no_header_decimal.csv": (
        lambda path: TABLE.to_csv(path, index=False, header=False, sep=";", decimal=","),
        {},
        False,
    ),
    "decimal.tsv": (lambda path: TABLE.to_csv(path, index=False, sep="\t", decimal=","), {}, False),
    "quoted_decimal.csv": (lambda path: TABLE.to_csv(path, index=False, decimal=","), {}, False),
    "by_number.csv": (lambda path: LABELLED.to_csv(path, index=False), {"label_column": "-1"}, True),
    "names.csv": (
        lambda path: LABELLED.set_axis(ROWS).to_csv(path, index_label="product"),
        {"label_column": "kind"},
        True,
    ),
    "r.csv": (_as_r, {"label_column": "kind"}, True),
    "trailing.csv": (_trailing, {}, False),
    "all_trailing.csv": (lambda path: path.write_text(TABLE.to_csv(index=False).replace("\n", ",\n")), {}, False),
    "aligned.csv": (lambda path: np.savetxt(path, X, fmt="%9.3f", newline=" \n"), {}, False),
    "commas.tsv": (lambda path: TABLE.to_csv(path, index=False), {}, False),
    "tabs.tsv": (lambda path: LABELLED.to_csv(path, index=False, sep="\t"), {"label_column": "kind"}, True),
    "table.parquet": (lambda path: LABELLED.to_parquet(path), {"label_column": "kind"}, True),
    "xy.h5": (hdf5({"x": X, "y": Y}), {}, True),
    "group.h5:/deep/data": (hdf5({"deep/data": X, "deep/label": Y, "x": X[:2]}), {}, True),
    "alone.hdf5:/mine": (hdf5({"mine": X, "other": X[:2]}), {}, False),
    "v5.mat": (lambda path: scipy.io.savemat(path, {"fea": X, "gnd": Y[:, None], "note": "text"}), {}, True),
    "sparse.mat": (lambda path: scipy.io.savemat(path, {"X": scipy.sparse.csc_matrix(X)}), {}, False),
    "v73.mat": (hdf5({"X": X.T, "Y": Y[None].astype(float)}), {}, True),
    "coo.npz": (lambda path: scipy.sparse.save_npz(path, scipy.sparse.coo_matrix(X)), {}, False),
    "sparse.npz": (lambda path: scipy.sparse.save_npz(path, scipy.sparse.csr_matrix(X)), {}, False),
    "one.svmlight": (lambda path: dump_svmlight_file(X, Y, str(path), zero_based=False), {}, True),
    "zero.libsvm": (lambda path: dump_svmlight_file(X, Y, str(path), zero_based=True), {}, True),
    "unlabelled.svm": (lambda path: dump_svmlight_file(X, Y * 0, str(path)), {}, False),
}


def _with_label_at(i):
    return pd.concat([TABLE.iloc[:, :i], LABELLED[["kind"]], TABLE.iloc[:, i:]], axis=1)


def own(tmp_path, file):
    save, how, _ = FORMATS[file]
    save(tmp_path / file.partition(":")[0])
    return load(str(tmp_path / file), Reading(**how))


@pytest.mark.parametrize("file", FORMATS)
def test_every_format_gives_the_same_samples_and_labels(file, tmp_path):
    x, y, _ = own(tmp_path, file)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.toarray() if scipy.sparse.issparse(x) else x, X, rtol=1e-6)
    if FORMATS[file][2]:
        np.testing.assert_array_equal(y, Y)
    else:
        assert y is None


@pytest.mark.parametrize("file", FORMATS)
def test_new_data_are_read_as_the_old(file, tmp_path):
    """Also without their labels, with their last feature all 0, and through the model's attributes."""
    *_, about = own(tmp_path, file)
    attributes = reading.attributes(about.reading)
    again = reading.from_attributes(attributes, n_features=5)
    np.testing.assert_array_equal(*(_dense(load(str(tmp_path / file), how)[0]) for how in (about.reading, again)))
    suffix = file.partition(":")[0].rpartition(".")[2]
    new = tmp_path / f"new.{suffix}"
    if suffix in ("csv", "tsv"):
        columns = TABLE.iloc[:4, ::-1] if about.features else TABLE.iloc[:4]  # names may come in any order
        columns.to_csv(new, index=False, header=bool(about.features), sep="\t" if suffix == "tsv" else ",")
    elif suffix in ("svmlight", "libsvm", "svm"):
        x = X[:4].copy()
        x[:, 4] = 0
        dump_svmlight_file(x, Y[:4], str(new), zero_based=file != "one.svmlight")
        np.testing.assert_allclose(_dense(load(str(new), again)[0]), x, rtol=1e-6)
        return
    elif suffix == "npz" and "sparse" not in file:
        np.savez(new, x=X[:4])
    else:
        return
    x, y, _ = load(str(new), again)
    np.testing.assert_allclose(x, X[:4], rtol=1e-6)
    assert y is None


def _dense(x):
    return x.toarray() if scipy.sparse.issparse(x) else x


def test_a_table_says_the_names_of_its_features_and_rows(tmp_path, capsys):
    assert own(tmp_path, "label.csv")[2].features == NAMES
    assert "12 samples of 5 features (length, width, weight, ...)" in capsys.readouterr().out
    assert own(tmp_path, "no_header.csv")[2].features is None
    TABLE.set_axis([f"row {i}" for i in range(12)]).to_csv(tmp_path / "index.csv")
    x, _, about = load(str(tmp_path / "index.csv"))
    assert (x.shape, about.names[11]) == ((12, 5), "row 11")


RNG = np.random.default_rng(0)


def _table(first, row):
    """Text of a table with 30 rows below the first."""
    return "\n".join(",".join(map(str, cells)) for cells in [first, *(row() for _ in range(30))])


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("a,b\n1,2\n3,4", True),
        ("1,2\n3,4", False),
        ("a,2020\n1,2\n3,4", True),
        ("5.1,setosa\n4.9,setosa", False),
        ("length,kind\n5.1,setosa", True),
        ("1,?\n2,3", False),
        ("nan,1\n2,3", False),
        ("0,1,2,3\n7,7,8,9", True),
        (",0,1,2,3\n0,7,7,8,9", True),
        ("0,1\n1,1", False),
        ("5.1,setosa\n4.9,virginica", False),
        ("0,1,kind\n3,4,u\n4,3,v\n5,6,u", True),
        (_table([400, 500, 600, 700], lambda: RNG.random(4).round(3)), None),
        (_table([900, 700, 600, 400], lambda: RNG.random(4).round(3)), None),
        (_table([2001, 2002, 2003, 2004], lambda: RNG.integers(0, 5000, 4)), None),
        (_table([2001, 2003, 2007, 2009, 2011], lambda: RNG.integers(0, 50, 5)), None),
        (_table([2001, 2002], lambda: RNG.integers(0, 50, 2)), None),
        (_table([0, 1, 2], lambda: RNG.random(3).round(3)), None),
        (_table([0, 1, 2, 3], lambda: RNG.integers(0, 9, 4)), True),
        (_table([443, 490, 560], lambda: [*RNG.random(2).round(3), RNG.integers(2)]), False),
        (_table([400, 500, "kind"], lambda: [*RNG.random(2).round(3), "uv"[RNG.integers(2)]]), True),
        (_table(["kind", 400, 500, 600], lambda: ["uv"[RNG.integers(2)], *RNG.integers(0, 5000, 3)]), True),
        (_table(["kind", 443, 490], lambda: ["uv"[RNG.integers(2)], *RNG.integers(0, 5000, 2)]), None),
        (_table(["name", 400, 500], lambda: [f"P{RNG.random()}", *RNG.random(2).round(3)]), True),
        (_table(["", 400, 500], lambda: [f"P{RNG.random()}", *RNG.random(2).round(3)]), True),
        (_table([5.1, 3.5, "setosa"], lambda: [*RNG.normal(4, 1, 2).round(1), "setosa"]), False),
    ],
)
def test_a_header_is_told_from_data(lines, named):
    assert dialect.has_header(list(csv.reader(io.StringIO(lines)))) is named


NUMBERS = {
    "normal": lambda shape: RNG.normal(size=shape).round(3),
    "one decimal": lambda shape: RNG.normal(4, 1, shape).round(1),
    "one digit": lambda shape: RNG.integers(0, 10, shape),
    "pixels": lambda shape: RNG.integers(0, 256, shape),
    "counts": lambda shape: RNG.poisson(0.3, shape),
    "walks": lambda shape: RNG.normal(0.3, 1, shape).cumsum(axis=1).round(3),
    "times": lambda shape: np.arange(shape[0])[:, None] + RNG.random(shape).round(3),
    "curves": lambda shape: np.sin(RNG.uniform(0, 6, shape[:1])[:, None] + np.linspace(0, 3, shape[1])).round(3),
    "sizes": lambda shape: (np.sort(RNG.pareto(1, shape[0]))[::-1, None] * RNG.lognormal(12, 0.5, shape)).astype(int),
}


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("width", [2, 4, 10])
def test_random_numbers_are_seldom_taken_for_a_header(numbers, width):
    """A row in order, or evenly spaced, comes about by chance."""
    tables = [NUMBERS[numbers]((50, width)) for _ in range(40)]
    assert sum(dialect.has_header([[f"{x:g}" for x in row] for row in table]) is not False for table in tables) <= 1


SPECTRA = pd.DataFrame(np.random.default_rng(0).random((20, 4)).round(3), columns=[400, 500, 600, 700])


def test_names_of_numbers_are_found_or_asked_for(tmp_path, capsys):
    path = tmp_path / "x.csv"
    SPECTRA.assign(kind=["u", "v"] * 10).to_csv(path, index=False)
    for label_column in ("kind", "-1", "4"):
        x, y, about = load(str(path), Reading(label_column=label_column))
        np.testing.assert_allclose(x, SPECTRA, rtol=1e-6)
        assert y.tolist() == ["u", "v"] * 10
        assert about.features == ["400", "500", "600", "700"]
        assert about.reading.label_column == "kind"  # wherever it is in new data
    SPECTRA.to_csv(path, index=False)
    with pytest.raises(InputError, match="400, 500, 600 and 700, may hold names of the columns or a sample"):
        load(str(path))
    assert load(str(path), Reading(header=True))[0].shape == (20, 4)
    x, _, about = load(str(path), Reading(header=False))
    assert x[0].tolist() == [400, 500, 600, 700]
    again = reading.from_attributes(reading.attributes(about.reading), n_features=4)
    assert load(str(path), again)[0].shape == (21, 4)


@pytest.mark.parametrize("header", [None, True])
def test_new_data_have_a_header_if_it_holds_the_models_features(header, tmp_path):
    path = tmp_path / "x.csv"
    new = Reading(features=["400", "500", "600", "700"], n_features=4, header=header)
    SPECTRA.iloc[:, ::-1].to_csv(path, index=False)
    np.testing.assert_allclose(load(str(path), new)[0], SPECTRA, rtol=1e-6)
    SPECTRA.iloc[:, :3].to_csv(path, index=False)
    with pytest.raises(InputError, match="lacks column 700"):
        load(str(path), new)
    if header is None:  # a sample like any other
        SPECTRA.set_axis([1, 2, 3, 4], axis=1).to_csv(path, index=False)
        assert load(str(path), new)[0].shape == (21, 4)


def test_the_first_column_of_text_names_the_samples_if_all_differ(tmp_path, capsys):
    path = tmp_path / "x.csv"
    for header in (["product", *NAMES], False):
        TABLE.set_axis(ROWS).to_csv(path, header=header and NAMES, index_label=header and "product")
        x, _, about = load(str(path))
        np.testing.assert_allclose(x, X, rtol=1e-6)
        assert about.names == ROWS
        which = "column product" if header else "the first column"
        assert f"{which}, all different, names the samples" in capsys.readouterr().out
    new = Reading(n_features=5)
    assert load(str(path), new)[2].names == ROWS
    with pytest.raises(InputError, match="12 samples have 12 different labels"):
        load(str(path), Reading(label_column="0"))


@pytest.mark.parametrize("cell", ["2,5 %", "x"])
def test_a_first_column_of_numbers_but_for_one_names_no_samples(cell, tmp_path):
    (tmp_path / "x.csv").write_text(f"a;b\n1;2\n{cell};2\n3;4\n")
    with pytest.raises(InputError, match=f"column a .'{cell}' in row 1"):
        load(str(tmp_path / "x.csv"))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("a;b\n1,5;2\n2,25;3", [[1.5, 2], [2.25, 3]]),
        ("1,5;2,5\n0,125;3,5", [[1.5, 2.5], [0.125, 3.5]]),
        ("a;b\n1.234,5;2.500\n1,125;3", [[1234.5, 2500], [1.125, 3]]),
        ('a,b\n"1,234.5",2\n"2,500",3', [[1234.5, 2], [2500, 3]]),
        ("a\tb\n1,234,567\t2.5\n2\t3", [[1234567, 2.5], [2, 3]]),
        ("a;b\n-1,5e3;2\n2;3", [[-1500, 2], [2, 3]]),
        ("a;b\n1,234;2,5\n2;3", [[1.234, 2.5], [2, 3]]),
        ("a,flag\n1,True\n2,False", [[1, 1], [2, 0]]),
    ],
)
def test_numbers_are_read_as_they_were_written(lines, expected, tmp_path):
    (tmp_path / "x.csv").write_text(lines)
    np.testing.assert_allclose(load_data(str(tmp_path / "x.csv"))[0], expected)


@pytest.mark.parametrize("separator", [",", "\t"])
def test_a_wide_table_is_read(separator, tmp_path):
    """Its lines are longer than the csv module lets a cell be."""
    wide = pd.DataFrame(np.ones((2, 15_000)), columns=[f"a long name {i}" for i in range(15_000)])
    wide.to_csv(tmp_path / "x.csv", index=False, sep=separator)
    assert load_data(str(tmp_path / "x.csv"))[0].shape == (2, 15_000)


CLASSES = {  # what: (labels, whether they are classes)
    "a few": (["u", "v"] * 6, True),
    "half as many": ([*"abcdef"] * 2, True),
    "some of one": ([*"aabbccddefgg"], True),
    "names": ([f"P{i}" for i in range(12)], False),
    "names, two the same": ([f"P{i}" for i in range(11)] + ["P0"], False),
    "numbers of samples": (list(range(12)), False),
    "numbers": (Y, True),
    "whole": (Y * 1.0, True),
    "halves": (Y / 2, False),
    "measurements": (X[:, 0], False),
    "scores, as text": ([f"s{7 * (i // 2)}" for i in range(24)], True),
    "scores": ([7 * (i // 2) for i in range(24)], False),
    "persons": ([i // 2 for i in range(24)], True),
}


@pytest.mark.parametrize("what", CLASSES)
@pytest.mark.parametrize("file", ["x.csv", "x.parquet", "x.npz", "x.h5"])
def test_labels_that_are_no_classes_are_refused_in_every_file(file, what, tmp_path):
    labels, are_classes = CLASSES[what]
    x = np.resize(X, (len(labels), 5))
    table = pd.DataFrame(x, columns=NAMES).assign(kind=labels)
    save = {
        "x.csv": lambda path: table.to_csv(path, index=False),
        "x.parquet": table.to_parquet,
        "x.npz": lambda path: np.savez(path, x=x, kind=labels),
        "x.h5": hdf5({"x": x, "kind": labels}),
    }
    save[file](tmp_path / file)
    how = Reading(label_column="kind")
    if are_classes:
        assert load_data(str(tmp_path / file), how)[1].tolist() == list(labels)
        return
    with pytest.raises(InputError, match="not classes: leave them out"):
        load_data(str(tmp_path / file), how)
    assert load_data(str(tmp_path / file), replace(how, n_features=5))[0].shape == x.shape  # new data


def test_two_samples_of_two_classes_are_a_data_set(tmp_path):
    (tmp_path / "x.csv").write_text("a,b,kind\n1,2,u\n3,4,v\n")
    assert load_data(str(tmp_path / "x.csv"), Reading(label_column="kind"))[1].tolist() == ["u", "v"]


def text(content):
    return lambda path: path.write_text(content)


def save_cube(path):
    scipy.sparse.save_npz(path, scipy.sparse.coo_array(np.ones((12, 2, 2))))


# SciPy 1.15 does not read what it saved.
CUBE_TOLD = "index arrays for shape" if scipy.__version__.startswith("1.15.") else "must be (samples, features)"
BAD_FILES = {  # what: (file, writes it, how it is read, what the message says)
    "missing": (
        "x.csv",
        lambda path: TABLE.mask(TABLE.index.to_numpy()[:, None] % 5 == [0, 1, 9, 9, 9]).to_csv(path, index=False),
        {},
        "missing in 6 of 12 rows, 0, 1, 5, 6, 10 and 11 (the first is row 0), in columns length and width",
    ),
    "all missing": ("x.csv", text("a,b\n" + "1,\n" * 30), {}, "missing in all 30 rows, in column b: drop that"),
    "many missing": ("x.csv", text("a,b\n1,2\n" + "1,\n" * 30), {}, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 20 more"),
    "question marks": ("x.csv", text("1,2\n3,?\n"), {}, "missing in 1 of 2 rows, 1 "),
    "text": ("x.csv", text("a,b\n1,2\n3,x\n"), {}, "holds no numbers in column b ('x' in row 1)"),
    "no such label": ("x.csv", text("a,b\n1,2\n"), {"label_column": "c"}, "it has the columns a and b"),
    "no such number": ("x.csv", text("a,b\n1,2\n"), {"label_column": "2"}, "number from 0 to 1"),
    "empty label": (
        "x.csv",
        text("a,b\n1,u\n2,\n"),
        {"label_column": "b"},
        "label column b is empty in 1 of 2",
    ),
    "ragged": ("x.csv", text("a,b\n1,2\n1,2,3,4\n1,2"), {}, "begins with '1' has 4 cells and the first one 2"),
    "ragged further down": ("x.csv", text("a,b\n" + "1,2\n" * 200 + "1,2,3\n"), {}, "Expected 2 fields in line 202"),
    "an open quote": ("x.csv", text('a,b\n1,2\n3,"4\n5,6\n'), {}, "EOF inside string"),
    "preamble": ("x.csv", text("A logger\n\na,b,c\n1,2,3\n4,5,6\n"), {}, "the header is not in the first line"),
    "preamble of two": ("x.csv", text("A logger\nname,b\nP,2\nQ,5\n"), {}, "the header is not in the first line"),
    "comments": ("x.csv", text("# by hand\na,b\n1,2\n"), {}, "the header is not in the first line"),
    "no rows": ("x.csv", text("a,b\n"), {}, "has 0 rows and 2 columns"),
    "empty": ("x.csv", text(""), {}, "it is empty"),
    "not UTF-8": ("x.csv", lambda path: path.write_bytes("a,b\né,1".encode("latin1")), {}, "save it as CSV in UTF-8"),
    "UTF-16 without its mark": ("x.csv", lambda path: path.write_bytes("a,b\n1,2".encode("utf-16-le")), {}, "in UTF-8"),
    "UTF-32": ("x.csv", lambda path: path.write_bytes("a,b\n1,2".encode("utf-32")), {}, "save it as CSV in UTF-8"),
    "a footer": (
        "x.csv",
        text("a,b\n1,2\n3,4\nTotal: 2,\n"),
        {},
        "('Total: 2' in row 2): correct that, or drop the row",
    ),
    "a workbook": ("x.csv", lambda path: path.write_bytes(b"PK\3\4\x14\0\6\0"), {}, "save it as CSV in UTF-8"),
    "not packed": ("x.csv.gz", text("a,b\n1,2\n3,4\n"), {}, "is not packed: leave .gz out"),
    "a # before the names": ("x.csv", text("# a b c\n1 2 3\n4 5 6\n"), {}, "more cells, 4, than those below, 3"),
    "packed twice": ("x.csv.gz", lambda path: path.write_bytes(gzip.compress(gzip.compress(b"1"))), {}, "in UTF-8"),
    "cut off": ("x.csv.gz", lambda path: path.write_bytes(gzip.compress(b"1,2\n" * 99)[:-9]), {}, "damaged"),
    "a trap": ("x.csv.gz", lambda path: path.write_bytes(gzip.compress(b"1,2\n" * 10**6)), {}, "more than 100 times"),
    "another kind": ("x.txt", text("1 2\n"), {}, "if it is a table, call it .csv"),
    "packed kind": ("x.npy.gz", text(""), {}, "is of a kind that is not read, .npy.gz: unpack it"),
    "dates": (
        "x.csv",
        text("a,on\n1,2021-01-01\n2,2021-01-01\n"),
        {},
        "('2021-01-01' in row 0): turn its dates or times into numbers, or leave it out with --drop_columns",
    ),
    "names": ("x.csv", text("a,id\n1,P\n2,Q\n3,R\n"), {}, "--id_column if it names the samples"),
    "per cent": (
        "x.csv",
        text("a,b\n1,5%\n2,7%\n"),
        {},
        "column b ('5%' in row 0): write its numbers with",
    ),
    "Swiss": ("x.csv", text("a,b\n1'234.5,5\n2,7\n"), {}, 'column a ("1\'234.5" in row 0): write its numbers'),
    "spaces": ("x.csv", text("a;b\n1 234,5;5\n1 235,5;7\n"), {}, "write its numbers with a decimal point"),
    "one comma": (
        "x.csv",
        text("a;b\n1,234;5\n2;7\n"),
        {},
        "'1,234' in column a, whose comma may stand before",
    ),
    "two ways": (
        "x.csv",
        text("a;b\n1,5;5\n2;7.5\n"),
        {},
        "'1,5' in column a and '7.5' in column b: write",
    ),
    "two commas": (
        "x.csv",
        text('a,b\n"1,5",5\n2,"1,234.5"\n'),
        {},
        "'1,5' in column a and '1,234.5' in column b",
    ),
    "one point": ("x.csv", text("a;b\n1,5;5\n2;7.500\n"), {}, "'1,5' in column a and '7.500' in column b"),
    "lakhs": ("x.csv", text('a,b\n"1,00,000",5\n"2,500.5",7\n'), {}, "'1,00,000' in column a"),
    "wavelengths": (
        "x.csv",
        text("400,500,600\n" + "0.1,0.2,0.1\n0.2,0.1,0.3\n" * 9),
        {},
        "say --header yes or --header no",
    ),
    "years": ("x.csv", text("2001,2002,2003\n" + "15,20,3000\n2,2500,30\n" * 9), {}, "say --header yes or --header no"),
    "a class of one": ("x.csv", text("443,490,kind\n" + "15,4000,u\n900,30,v\n" * 9), {}, "say --header yes or"),
    "name and number": (
        "x.csv",
        text("kind,0,1\nu,4,5\nv,4,5\n"),
        {"label_column": "0"},
        "named 0 and another column, kind, at number 0: say --label_column -2 for the one and -3 for",
    ),
    "name and number from the end": (
        "x.csv",
        text("-1,0,1,kind\n" + "3.5,4.5,5.5,u\n6.5,4.5,5.5,v\n" * 9),
        {"label_column": "-1"},
        "say --label_column -4 for the one and 3 for",
    ),
    "two labels of a name": ("x.csv", text("a,k,k\n1,0,1\n2,1,0\n"), {"label_column": "k"}, "several columns k"),
    "no parquet": ("x.parquet", text("nothing"), {}, "damaged"),
    "no hdf5": ("x.h5", text("nothing"), {}, "damaged"),
    "no mat": ("x.mat", text("nothing"), {}, "damaged"),
    "no svmlight": ("x.svm", text("not numbers\n"), {}, "damaged"),
    "other array": ("x.h5", hdf5({"z": X[0], "u": X[1]}), {}, "holds u (5) and z (5): it must hold an array x"),
    "array not there": ("x.h5:/g/z", hdf5({"g/x": X}), {}, "has no array /g/z: it holds g/x (12 x 5)"),
    "group not there": ("x.h5:/q/z", hdf5({"g/x": X}), {}, "has no array /q/z"),
    "label array": ("x.npz", lambda path: np.savez(path, x=X), {"label_column": "y"}, "no array 'y'"),
    "mat cell": (
        "x.mat",
        lambda path: scipy.io.savemat(path, {"x": np.array([[{}], [1]], object)}),
        {},
        "MATLAB's type cell",
    ),
    "long label": (
        "x.csv",
        text("a,b\n1," + "u" * 10**5 + "\n1,u" * 3000),
        {"label_column": "b"},
        "has a text of 100000 characters where 3001 are to be labels: shorten it",
    ),
    "long text": ("x.csv", text(f"a,b\n1,{'x' * 1000}\n"), {}, f"('{'x' * 40}' in row 0)"),
    "infinite label": ("x.csv", text("a,b\n1,0\n2,inf\n"), {"label_column": "b"}, "y holds NaN or infinity"),
    "label beyond Unicode": (
        "x.npz",
        lambda path: np.savez(path, x=X, y=np.array([2**31 - 1] * 12, np.uint32).view("U1")),
        {},
        "y holds what is no text in Unicode",
    ),
    "half of a character": (
        "x.npz",
        lambda path: np.savez(path, x=X, y=np.array(["\ud800"] * 12)),
        {},
        "y holds what is no text in Unicode",
    ),
    "three axes, sparse": ("x.npz", save_cube, {}, CUBE_TOLD),
    "compound": ("x.h5", hdf5({"x": np.zeros(3, [("a", "f4")])}), {}, "must hold numbers"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_bad_file_is_named_with_what_is_wrong(what, tmp_path):
    file, save, how, message = BAD_FILES[what]
    save(tmp_path / file.partition(":")[0])
    with pytest.raises(InputError) as error:
        load_data(str(tmp_path / file), Reading(**how))
    assert message in str(error.value)
    assert str(tmp_path / file.partition(":")[0]) in str(error.value)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    FORMATS["table.parquet"][0](tmp_path / "x.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(InputError, match="pip install pyarrow"):
        load_data(str(tmp_path / "x.parquet"))


def test_new_data_that_lack_a_column_are_told(tmp_path):
    TABLE.drop(columns=["width"]).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(InputError, match="lacks column width, which the model was trained on"):
        load_data(str(tmp_path / "x.csv"), Reading(features=NAMES, n_features=5))


# Images


@pytest.fixture
def folder(tmp_path):
    """Four images of 4 x 6 in two subfolders, a grey one with 16 bits among them, and files that are none."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 4, 6, 3)).astype(np.uint8)
    pixels[3] = pixels[3, :, :, :1]
    for name, image in zip(("b/2.png", "a/1.bmp", "a/10.png"), pixels[:3], strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / name)
    Image.fromarray(pixels[3, :, :, 0].astype(np.uint16) * 256 + 3).save(tmp_path / "b" / "3.png")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "a" / ".hidden.png").write_text("no image")
    order = [1, 2, 0, 3]
    return tmp_path, pixels[order]


def test_a_folder_of_images_is_read_in_order_in_colour_or_grey(folder):
    path, pixels = folder
    x, y, about = load(str(path), Reading(color=True))
    np.testing.assert_array_equal(x, pixels.reshape(4, -1))
    assert (y, about.names) == (None, ["a/1.bmp", "a/10.png", "b/2.png", "b/3.png"])
    assert (about.image_shape, about.eight_bit) == ((4, 6, 3), True)
    grey, _, about = load(str(path))
    np.testing.assert_allclose(grey.reshape(4, 4, 6), pixels @ [0.299, 0.587, 0.114], atol=1)  # ITU-R 601
    assert about.image_shape == (4, 6)


def test_images_are_brought_to_a_size_and_new_ones_to_the_same(folder, tmp_path_factory):
    path, _ = folder
    *_, about = load(str(path), Reading(image_size=(8, 3)))
    assert about.image_shape == (8, 3)
    new = tmp_path_factory.mktemp("new")
    Image.new("L", (50, 40), 255).save(new / "large.png")
    again = reading.from_attributes(reading.attributes(about.reading), n_features=24)
    np.testing.assert_array_equal(load_data(str(new), again)[0], np.full((1, 24), 255))


def test_labels_come_from_folders_only_when_asked(folder):
    path, _ = folder
    assert load_data(str(path), Reading(labels_from_folders=True))[1].tolist() == list("aabb")
    Image.new("L", (6, 4)).save(path / "stray.png")
    with pytest.raises(InputError, match=r"stray\.png lie in no subfolder"):
        load_data(str(path), Reading(labels_from_folders=True))


@pytest.mark.skipif(sys.platform != "linux", reason="names are text there")
def test_names_that_are_no_text_are_read_as_such(folder, tmp_path):
    """Else they could not be written to labels.csv, after the training."""
    path, _ = folder
    os.rename(path / "b", os.fsencode(path) + b"/caf\xe9")
    _, y, about = load(str(path), Reading(labels_from_folders=True))
    assert about.names[2:] == [r"caf\xe9/2.png", r"caf\xe9/3.png"]
    assert y.tolist() == ["a", "a", r"caf\xe9", r"caf\xe9"]


def test_bad_images_are_told(folder):
    path, _ = folder
    Image.new("L", (7, 4)).save(path / "wide.png")
    with pytest.raises(InputError, match=r"1\.bmp has 4x6 pixels .*wide\.png 4x7: .* --image_size 4x6"):
        load_data(str(path))
    data = (path / "b" / "2.png").read_bytes()
    for broken in (b"", data[:60], data[:-40]):
        (path / "wide.png").write_bytes(broken)
        with pytest.raises(InputError, match=r"Cannot read .*wide\.png"):
            load_data(str(path), Reading(image_size=(4, 6)))
    (path / "wide.png").unlink()
    Image.new("F", (6, 4)).save(path / "float.tiff")
    with pytest.raises(InputError, match="floating-point"):
        load_data(str(path))
    (path / "none").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        load_data(str(path / "none"))


@pytest.mark.parametrize(("size", "expected"), [("32", (32, 32)), ("32x48", (32, 48))])
def test_a_size_is_a_height_or_a_height_and_a_width(size, expected):
    assert reading.check_size(size) == expected
    for bad in ("0", "1x2x3", "x", "3x"):
        with pytest.raises(InputError, match="the value is"):
            reading.check_size(bad)


def test_arrays_of_images_have_their_shape(tmp_path):
    for shape, expected in (((4, 5, 6), (5, 6)), ((4, 5, 6, 3), (5, 6, 3)), ((4, 5, 6, 1), (5, 6)), ((4, 5), None)):
        np.save(tmp_path / "x.npy", np.zeros(shape, np.uint8))
        assert load(str(tmp_path / "x.npy"))[2].image_shape == expected


CELLS = "id,a,junk,b,kind\n007,1,x,2,u\n008,3,y,4,v\n009,5,z,6,u\n"


@pytest.mark.parametrize(
    "how",
    [
        {"label_column": "kind", "id_column": "id", "drop_columns": ["junk"]},
        {"label_column": "-1", "id_column": "0", "drop_columns": ["2"]},
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_columns_are_dropped_and_one_names_the_samples(tmp_path, how, named):
    if not named and how["id_column"] == "id":
        how = {"label_column": "4", "id_column": "-5", "drop_columns": ["-3"]}
    (tmp_path / "x.csv").write_text(CELLS if named else CELLS.partition("\n")[2])
    x, y, about = user_data.read(tmp_path / "x.csv", Reading(**how, header=named))
    assert x.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert (list(y), about.names) == (["u", "v", "u"], ["007", "008", "009"])
    kept = reading.attributes(about.reading)
    kept["reading"] = json.loads(json.dumps(kept["reading"]))  # as a model's file holds it
    new = reading.from_attributes(kept, n_features=2)
    assert user_data.read(tmp_path / "x.csv", new)[0].tolist() == x.tolist()
    (tmp_path / "alone.csv").write_text("a,b\n1,2\n3,4\n" if named else "1,2\n3,4\n")
    new_x, _, new_about = user_data.read(tmp_path / "alone.csv", new)
    assert (new_x.tolist(), new_about.names) == ([[1, 2], [3, 4]], None)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"id_column": "idd"}, r"no column 'idd' for --id_column: it has the columns id, .* Did you mean id\?$"),
        ({"drop_columns": ["Junk"]}, r"no column 'Junk' for --drop_columns: .* from 0 to 4\. Did you mean junk\?$"),
        ({"label_column": "knid"}, r"no column 'knid' for --label_column: .* Did you mean kind\?$"),
        ({"drop_columns": ["9"]}, r"no column '9' for --drop_columns"),
        ({"drop_columns": ["junk"], "id_column": "2"}, r"column junk cannot both name the samples and be dropped"),
    ],
)
def test_a_column_that_is_not_there_is_told_and_guessed(tmp_path, how, message):
    (tmp_path / "x.csv").write_text(CELLS)
    with pytest.raises(InputError, match=message):
        user_data.read(tmp_path / "x.csv", Reading(**how))


def test_names_that_repeat_are_told(tmp_path, capsys):
    (tmp_path / "x.csv").write_text("id,a\nP,1\nQ,2\nP,3\n")
    assert user_data.read(tmp_path / "x.csv", Reading(id_column="id"))[2].names == ["P", "Q", "P"]
    assert "column id repeats names, in 1 of 3 rows" in capsys.readouterr().out


def test_columns_of_what_is_no_table_are_told(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    with pytest.raises(InputError, match=r"x\.npy is no table"):
        user_data.read(tmp_path / "x.npy", Reading(id_column="id"))


@pytest.mark.parametrize(("name", "guess"), [("usp", "usps"), ("MNIST", "mnist"), ("reutres", "reuters")])
def test_a_data_set_that_is_nearly_one_is_guessed(name, guess):
    with pytest.raises(InputError, match=rf"no data set '{name}': choose from .* Did you mean {guess}\?$"):
        command_line.check_paths(RunConfig(dataset=name))
    with pytest.raises(InputError, match=rf"Did you mean {guess}\?$"):
        load(name)
    with pytest.raises(InputError) as raised:
        command_line.check_paths(RunConfig(dataset="imagenet-21k"))
    assert "Did you mean" not in str(raised.value)
