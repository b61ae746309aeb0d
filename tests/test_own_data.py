"""Files of one's own: every format gives the same x and y, and what is wrong with one is told."""

import csv
import io
import os
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse
from PIL import Image
from sklearn.datasets import dump_svmlight_file

from datasets import load, load_data
from dec_keras.data import reading, tables
from dec_keras.data.reading import Reading
from files import InputError

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
    ],
)
def test_a_header_is_told_from_data(lines, named):
    assert tables._has_header(list(csv.reader(io.StringIO(lines)))) == named


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
    "all missing": ("x.csv", text("a,b\n" + "1,\n" * 30), {}, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 20 more"),
    "question marks": ("x.csv", text("1,2\n3,?\n"), {}, "missing in 1 of 2 rows, 1 "),
    "text": ("x.csv", text("a,b\n1,2\n3,x\n"), {}, "holds no numbers in column b ('x' in row 1)"),
    "decimal commas": ("x.csv", text("a;b\n1,5;2\n"), {}, "in column a ('1,5' in row 0)"),
    "no such label": ("x.csv", text("a,b\n1,2\n"), {"label_column": "c"}, "it has the columns a and b"),
    "no such number": ("x.csv", text("a,b\n1,2\n"), {"label_column": "2"}, "number from 0 to 1"),
    "empty label": (
        "x.csv",
        text("a,b\n1,u\n2,\n"),
        {"label_column": "b"},
        "label column b is empty in 1 of 2",
    ),
    "ragged": ("x.csv", text("a,b\n1,2\n1,2,3,4\n1,2"), {}, "damaged"),
    "no rows": ("x.csv", text("a,b\n"), {}, "has 0 rows and 2 columns"),
    "empty": ("x.csv", text(""), {}, "it is empty"),
    "not UTF-8": ("x.csv", lambda path: path.write_bytes("a,b\né,1".encode("latin1")), {}, "damaged"),
    "no parquet": ("x.parquet", text("nothing"), {}, "damaged"),
    "no hdf5": ("x.h5", text("nothing"), {}, "damaged"),
    "no mat": ("x.mat", text("nothing"), {}, "damaged"),
    "no svmlight": ("x.svm", text("not numbers\n"), {}, "damaged"),
    "other array": ("x.h5", hdf5({"z": X}), {}, "['z']"),
    "array not there": ("x.h5:/g/z", hdf5({"g/x": X}), {}, "has no array /g/z: /g holds ['x']"),
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
    with pytest.raises(InputError, match="more than 16 bits"):
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
