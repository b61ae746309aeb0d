"""Arrays in files of one's own: which are taken, labels of every shape, sparse matrices in HDF5, and what is said."""

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse

from dec_keras.data import datasets
from dec_keras.data.choosing import as_labels
from dec_keras.data.reading import Reading
from dec_keras.errors import InputError

RNG = np.random.default_rng(0)
X = np.round(RNG.random((12, 5)) * 10, 3)
X[:, 3] = 0
Y = np.arange(12) % 3
KINDS = np.array(["oak", "elm", "ash"])[Y]
ONE_HOT = np.eye(3)[Y]
SPARSE = scipy.sparse.csr_matrix(X * (X > 5))
DENSE = SPARSE.toarray()


def save(path, arrays):
    """Writes arrays into a file of the kind that its name says; .mat is of format 5, .v73.mat of 7.3."""
    if path.name.endswith(".v73.mat"):
        with h5py.File(path, "w") as file:
            for name, value in arrays.items():
                file[name] = np.atleast_2d(np.asarray(value)).T
    elif path.suffix == ".mat":
        scipy.io.savemat(path, arrays)
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, value in arrays.items():
                file[name] = value


def load(path, inside="", **how):
    x, y = datasets.load_data(f"{path}:{inside}" if inside else str(path), Reading(**how))
    return x.toarray() if scipy.sparse.issparse(x) else x, y


FILES = ("a.npz", "a.h5", "a.mat", "a.v73.mat")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "names",
    [
        "x y",
        "data label",
        "data labels",
        "data target",
        "fea gnd",
        "features labels",
        "dtm classid",
        "A labels",
        "meas k",
    ],
)
def test_samples_and_labels_are_found_by_their_names_or_shapes(file, names, tmp_path, capsys):
    of_x, of_y = names.split()
    save(tmp_path / file, {of_x: X, of_y: Y, "note": np.arange(7)})
    x, y = load(tmp_path / file)
    np.testing.assert_allclose(x, X, rtol=1e-6)
    np.testing.assert_array_equal(y, Y)
    said = f"samples from {of_x} (12 x 5), labels from {of_y}; "
    assert (said in capsys.readouterr().out) == (names not in ("x y", "data label", "fea gnd"))


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("slash", ["", "/"])
def test_an_array_is_named_after_the_file(file, slash, tmp_path):
    save(tmp_path / file, {"x": X[:, :2], "y": Y, "dtm": X, "other": X[:7]})
    for how in ({}, {"label_column": "y"}):
        x, y = load(tmp_path / file, f"{slash}dtm", **how)
        np.testing.assert_allclose(x, X, rtol=1e-6)
        np.testing.assert_array_equal(y, Y)
    x, y = load(tmp_path / file, f"{slash}other")
    assert (len(x), y) == (7, None)
    with pytest.raises(InputError, match=r"no array /none: it holds .*dtm \(12 x 5\)"):
        load(tmp_path / file, f"{slash}none")


@pytest.mark.parametrize("file", FILES)
def test_train_comes_before_test(file, tmp_path, capsys):
    """As in Keras' own files; and images with validation, as in MedMNIST's."""
    parts = {"x_test": X[8:], "y_test": Y[8:], "x_train": X[:8], "y_train": Y[:8]}
    save(tmp_path / file, parts)
    x, y = load(tmp_path / file)
    np.testing.assert_allclose(x, X, rtol=1e-6)
    np.testing.assert_array_equal(y, Y)
    assert "samples from x_train + x_test (12 x 5), labels from y_train + y_test" in capsys.readouterr().out
    x, y = load(tmp_path / file, "x_test")
    np.testing.assert_allclose(x, X[8:], rtol=1e-6)
    np.testing.assert_array_equal(y, Y[8:])
    images = RNG.integers(0, 255, (12, 4, 3), np.uint8)
    splits = {"train": slice(0, 5), "val": slice(5, 9), "test": slice(9, 12)}
    parts = {f"{split}_images": images[rows] for split, rows in splits.items()}
    save(tmp_path / file, parts | {f"{split}_labels": Y[rows, None] for split, rows in splits.items()})
    x, y = load(tmp_path / file)
    np.testing.assert_array_equal(x, images.reshape(12, -1))
    np.testing.assert_array_equal(y, Y)


def test_parts_of_which_one_lacks_labels_are_told(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=X[:8], y_train=Y[:8], x_test=X[8:])
    with pytest.raises(
        InputError, match=r"y_train has 8 labels for the 12 samples of x_train \+ x_test: .*a\.npz:x_train"
    ):
        load(tmp_path / "a.npz")
    np.testing.assert_array_equal(load(tmp_path / "a.npz", "x_train")[1], Y[:8])


def test_links_in_hdf5_can_be_named(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/signal"] = X
        file["entry/kind"] = Y
        file["shown/x"], file["shown/y"] = h5py.SoftLink("/entry/signal"), h5py.SoftLink("/entry/kind")
    for how in ({}, {"label_column": "/shown/y"}):
        x, y = load(tmp_path / "a.h5", "/shown/x", **how)
        np.testing.assert_allclose(x, X, rtol=1e-6)
        assert (y is not None) == bool(how)


def test_groups_are_searched_where_the_root_holds_no_samples(tmp_path):
    save(tmp_path / "usps.h5", {"train/data": X[:8], "train/target": Y[:8], "test/data": X[8:], "test/target": Y[8:]})
    x, y = load(tmp_path / "usps.h5")
    np.testing.assert_allclose(x, X, rtol=1e-6)
    np.testing.assert_array_equal(y, Y)
    x, y = load(tmp_path / "usps.h5", "/test")
    np.testing.assert_allclose(x, X[8:], rtol=1e-6)
    np.testing.assert_array_equal(y, Y[8:])


def test_the_only_array_is_x(tmp_path):
    np.savez(tmp_path / "a.npz", X)
    np.testing.assert_allclose(load(tmp_path / "a.npz")[0], X, rtol=1e-6)
    np.savez(tmp_path / "a.npz", X[0])
    with pytest.raises(InputError, match=r"x has shape \(5,\): it must be \(samples, features\)"):
        load(tmp_path / "a.npz")


def test_where_two_arrays_may_be_meant_the_file_asks(tmp_path, capsys):
    save(tmp_path / "a.npz", {"first": X, "second": X[:, :2]})
    with pytest.raises(InputError, match=r"first \(12 x 5\) and second \(12 x 2\), and each .* as .*a\.npz:first\."):
        load(tmp_path / "a.npz")
    assert load(tmp_path / "a.npz", n_features=2)[0].shape == (12, 2)  # new data say which
    save(tmp_path / "a.npz", {"first": X, "kind": Y, "batch": Y % 2})
    with pytest.raises(
        InputError, match=r"kind \(12\) and batch \(12\), and each may hold the labels: .*--label_column"
    ):
        load(tmp_path / "a.npz")
    np.testing.assert_array_equal(load(tmp_path / "a.npz", label_column="batch")[1], Y % 2)
    assert load(tmp_path / "a.npz", "first")[1] is None
    assert "no labels" in capsys.readouterr().out
    with pytest.raises(InputError, match="no array 'none' for --label_column"):
        load(tmp_path / "a.npz", label_column="none")


def test_measures_and_numbers_of_samples_are_no_labels(tmp_path):
    for other in (X[:, 0], np.arange(12), np.arange(12).astype(str)):
        save(tmp_path / "a.npz", {"first": X, "other": other})
        assert load(tmp_path / "a.npz")[1] is None


def test_labels_tell_the_axis_of_samples_in_matlabs_images(tmp_path, capsys):
    """As in SVHN: X is (32, 32, 3, n)."""
    images = RNG.integers(0, 255, (12, 4, 6, 3), np.uint8)
    save(tmp_path / "a.mat", {"X": images.transpose(1, 2, 3, 0), "y": Y[:, None]})
    x, y = load(tmp_path / "a.mat")
    np.testing.assert_array_equal(x, images.reshape(12, -1))
    np.testing.assert_array_equal(y, Y)
    assert "along its last axis" in capsys.readouterr().out
    save(tmp_path / "a.mat", {"cube": images[..., 0]})
    with pytest.raises(
        InputError,
        match=r"cube \(12 x 4 x 6\) has 3 axes, and nothing says .*a\.mat:cube; else .* reshape\(cube, \[\], 6\)",
    ):
        load(tmp_path / "a.mat")
    assert load(tmp_path / "a.mat", "cube")[0].shape == (12, 24)
    assert load(tmp_path / "a.mat", n_features=24)[0].shape == (12, 24)
    np.testing.assert_array_equal(load(tmp_path / "a.mat", n_features=48)[0], images[..., 0].reshape(48, 6).T)
    save(tmp_path / "a.mat", {"X": X.T, "y": Y[:, None]})
    with pytest.raises(InputError, match=r"y has shape \(12,\), a label for each column of X \(5 x 12\): save"):
        load(tmp_path / "a.mat")


# Labels.

LABELS = {  # shape: (labels, what they become)
    "column": (Y[:, None], Y),
    "row": (Y[None], Y),
    "whole floats": (Y.astype(float), Y),
    "bool": (Y == 1, Y == 1),
    "one-hot": (ONE_HOT, Y),
    "one-hot, bool": (ONE_HOT.astype(bool), Y),
    "one-hot, transposed": (ONE_HOT.T, Y),
    "one-hot, sparse": (scipy.sparse.csr_matrix(ONE_HOT), Y),
    "text": (KINDS, KINDS),
    "text in a column": (KINDS[:, None], KINDS),
    "bytes": (np.char.encode(KINDS), KINDS),
    "characters": (KINDS.view("U1").reshape(12, 3), KINDS),
    "bytes of characters": (np.char.encode(KINDS).view("S1").reshape(12, 3), KINDS),
    "padded": (np.char.ljust(KINDS, 9), KINDS),
}


@pytest.mark.parametrize("shape", LABELS)
def test_labels_of_every_shape_are_one_a_sample(shape, tmp_path):
    labels, expected = LABELS[shape]
    y = as_labels(tmp_path, labels, 12) if not scipy.sparse.issparse(labels) else as_labels(_file(tmp_path), labels, 12)
    np.testing.assert_array_equal(y, expected)
    assert y.shape == (12,)


def _file(folder):
    (folder / "file").write_bytes(b"x" * 100)
    return folder / "file"


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("shape", ["column", "row", "bool", "one-hot", "one-hot, transposed"])
def test_every_container_takes_such_labels(file, shape, tmp_path):
    labels, expected = LABELS[shape]
    save(tmp_path / file, {"features": X, "labels": labels.astype(float) if file == "a.v73.mat" else labels})
    x, y = load(tmp_path / file)
    np.testing.assert_allclose(x, X, rtol=1e-6)
    np.testing.assert_array_equal(y, expected)


def test_several_classes_a_sample_are_told(tmp_path):
    several = ONE_HOT.copy()
    several[4] = 1
    save(tmp_path / "a.npz", {"x": X, "y": several})
    with pytest.raises(InputError, match=r"several of 3 classes, or none, in 1 of 12 samples, first in sample 4"):
        load(tmp_path / "a.npz")


@pytest.mark.parametrize("packed", [False, True])
def test_matlabs_texts_are_labels(packed, tmp_path):
    """A cell array of texts, as in MATLAB's own fisheriris, and a matrix of characters."""
    texts = np.array(["oak", "älm", "Ωsh"], object)[Y]
    for labels in (texts[:, None], texts.astype(str)):
        scipy.io.savemat(tmp_path / "a.mat", {"meas": X, "species": labels}, do_compression=packed)
        x, y = load(tmp_path / "a.mat")
        np.testing.assert_allclose(x, X, rtol=1e-6)
        np.testing.assert_array_equal(y, texts.astype(str))
    nested = np.empty((12, 1), object)
    nested[:] = [[X]]
    scipy.io.savemat(tmp_path / "a.mat", {"meas": X, "species": nested})
    assert load(tmp_path / "a.mat")[1] is None
    with pytest.raises(InputError, match="type cell and holds something else than texts: save texts"):
        load(tmp_path / "a.mat", label_column="species")
    scipy.io.savemat(tmp_path / "a.mat", {"data": {"x": X}, "note": 1})
    with pytest.raises(InputError, match=r"data is of MATLAB's type struct: .* save\('x\.mat', '-struct', 'NAME'\)"):
        load(tmp_path / "a.mat")


def write_v73_texts(path):
    """As MATLAB writes a cell array of texts and a matrix of characters."""
    with h5py.File(path, "w") as file:
        file["meas"] = X.T
        references = []
        for i, text in enumerate(KINDS):
            item = file.create_dataset(f"#refs#/{i}", data=np.frombuffer(text.encode("utf-16-le"), "<u2")[:, None])
            item.attrs["MATLAB_class"] = np.bytes_("char")
            references.append(item.ref)
        species = file.create_dataset("species", (1, 12), h5py.ref_dtype)
        species[0] = references
        species.attrs["MATLAB_class"] = np.bytes_("cell")
        codes = np.frombuffer("".join(KINDS).encode("utf-16-le"), "<u2").reshape(12, 3)
        file.create_dataset("kind", data=codes.T).attrs["MATLAB_class"] = np.bytes_("char")


def test_texts_of_format_73_are_labels(tmp_path):
    write_v73_texts(tmp_path / "a.mat")
    for name in ("species", "kind"):
        x, y = load(tmp_path / "a.mat", label_column=name)
        np.testing.assert_allclose(x, X, rtol=1e-6)
        np.testing.assert_array_equal(y, KINDS)


def test_pickled_labels_are_told(tmp_path):
    save(tmp_path / "a.npz", {"x": X, "y": KINDS.astype(object)})
    with pytest.raises(
        InputError, match=r"a\.npz: the labels are pickled objects, .*: save them as text, y\.astype\(str\)"
    ):
        load(tmp_path / "a.npz")
    save(tmp_path / "a.npz", {"x": X, "words": np.array(["a", "b"], object)})  # nobody asked for them
    assert load(tmp_path / "a.npz")[1] is None


# Sparse matrices.


def put(group, matrix, names=("data", "indices", "indptr"), **attributes):
    for name, values in zip(names, (matrix.data, matrix.indices, matrix.indptr), strict=True):
        group[name] = values
    group.attrs.update(attributes)


def write_h5ad(path, form="csr"):
    """As AnnData 0.10 writes it."""
    with h5py.File(path, "w") as file:
        kind = {"encoding-type": f"{form}_matrix", "shape": SPARSE.shape}
        put(file.create_group("X"), SPARSE.asformat(form), **kind)
        file["layers/log"] = np.log1p(DENSE)
        put(file.create_group("raw/X"), (2 * SPARSE).asformat(form), **kind)
        file.create_group("var")
        file.create_group("obs").attrs["_index"] = "_index"
        file["obs/_index"] = [f"cell {i}" for i in range(12)]
        file["obs/batch"] = Y % 2
        file["obs/type/categories"] = ["oak", "elm", "ash"]
        file["obs/type/codes"] = Y.astype("i1")
        file["obs/mixed/categories"] = ["a", "b"]
        file["obs/mixed/codes"] = np.minimum(Y - 1, 1).astype("i1")
        file["obs/maybe/values"] = Y
        file["obs/maybe/mask"] = np.zeros(12, bool)


@pytest.mark.parametrize("form", ["csr", "csc"])
def test_anndata_is_read(form, tmp_path, capsys):
    write_h5ad(tmp_path / "a.h5ad", form)
    x, y = load(tmp_path / "a.h5ad")
    np.testing.assert_allclose(x, DENSE, rtol=1e-6)
    assert y is None
    assert "obs has the columns batch, maybe, mixed and type; --label_column names" in capsys.readouterr().out
    for column, expected in (("type", KINDS), ("batch", Y % 2), ("maybe", Y), ("obs/type", KINDS)):
        np.testing.assert_array_equal(load(tmp_path / "a.h5ad", label_column=column)[1], expected)
    np.testing.assert_allclose(load(tmp_path / "a.h5ad", "/layers/log")[0], np.log1p(DENSE), rtol=1e-6)
    x, y = load(tmp_path / "a.h5ad", "raw/X", label_column="type")
    np.testing.assert_allclose(x, 2 * DENSE, rtol=1e-6)
    np.testing.assert_array_equal(y, KINDS)
    with pytest.raises(InputError, match=r"no column 'none' of obs for --label_column: it has batch,"):
        load(tmp_path / "a.h5ad", label_column="none")
    assert load(tmp_path / "a.h5ad", label_column="none", n_features=5)[1] is None
    with pytest.raises(InputError, match=r"mixed is missing in 4 of 12 samples"):
        load(tmp_path / "a.h5ad", label_column="mixed")
    about = datasets.load(str(tmp_path / "a.h5ad"))[2]
    assert about.names[11] == "cell 11"


def test_older_anndata_are_read(tmp_path):
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        put(file.create_group("X"), SPARSE, h5sparse_format="csr", h5sparse_shape=SPARSE.shape)
        file.create_group("var")
        file["obs"] = np.array(list(zip(KINDS.astype("S"), Y, strict=True)), [("index", "S3"), ("type", "i1")])
    x, y = load(tmp_path / "a.h5ad", label_column="type")
    np.testing.assert_allclose(x, DENSE, rtol=1e-6)
    np.testing.assert_array_equal(y, Y)
    with h5py.File(tmp_path / "b.h5ad", "w") as file:
        file["X"] = DENSE
        file.create_group("var")
        file["obs/type"] = Y.astype("i1")
        file["obs/__categories/type"] = ["oak", "elm", "ash"]
    x, y = load(tmp_path / "b.h5ad", label_column="type")
    np.testing.assert_allclose(x, DENSE, rtol=1e-6)
    np.testing.assert_array_equal(y, KINDS)


@pytest.mark.parametrize("group", ["matrix", "GRCh38"])
def test_a_cell_is_a_sample_in_10x_genomics_files(group, tmp_path):
    """They keep genes x cells, by columns."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        put(file.create_group(group), SPARSE.T.tocsc())
        file[group]["shape"] = SPARSE.shape[::-1]
        file[group]["barcodes"] = np.array([f"cell {i}" for i in range(12)], "S")
        file[group]["features/id" if group == "matrix" else "genes"] = np.array(list("abcde"), "S")
    x, y = load(tmp_path / "a.h5")
    np.testing.assert_allclose(x, DENSE, rtol=1e-6)
    assert y is None


def test_matlabs_sparse_matrices_of_format_73_are_read(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        put(file.create_group("fea"), SPARSE.tocsc(), ("data", "ir", "jc"), MATLAB_sparse=np.uint64(12))
        file["gnd"] = Y[None].astype(float)
    x, y = load(tmp_path / "a.mat")
    np.testing.assert_allclose(x, DENSE, rtol=1e-6)
    np.testing.assert_array_equal(y, Y)


def test_parts_of_a_sparse_matrix_in_an_npz_file_are_put_together(tmp_path):
    parts = {"attr_data": SPARSE.data, "attr_indices": SPARSE.indices, "attr_indptr": SPARSE.indptr}
    np.savez(tmp_path / "a.npz", **parts, attr_shape=SPARSE.shape, labels=Y)
    x, y = load(tmp_path / "a.npz")
    np.testing.assert_allclose(x, DENSE, rtol=1e-6)
    np.testing.assert_array_equal(y, Y)
    np.savez(tmp_path / "a.npz", **parts)
    with pytest.raises(InputError, match="sparse matrix attr lacks its shape"):
        load(tmp_path / "a.npz")


def test_a_square_matrix_says_how_it_is_kept(tmp_path):
    square = scipy.sparse.random(12, 12, 0.3, "csr", random_state=0)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        put(file.create_group("m"), square, shape=square.shape)
    with pytest.raises(InputError, match="does not say whether the sparse matrix m is kept by rows or by columns"):
        load(tmp_path / "a.h5")


@pytest.mark.parametrize(
    "damage",
    [
        {"indices": SPARSE.indices + 5},
        {"indices": SPARSE.indices.astype(np.int64) - 9},
        {"indices": SPARSE.indices + np.uint64(2**63)},
        {"indices": SPARSE.indices.astype(float)},
        {"indptr": SPARSE.indptr[::-1].copy()},
        {"indptr": SPARSE.indptr[:-2]},
        {"indptr": SPARSE.indptr + 1},
        {"data": SPARSE.data[:-1]},
        {"shape": [-12, 5]},
        {"shape": [12, 2**40]},
        {"shape": [2**40, 5]},
        {"shape": [12]},
    ],
    ids=str,
)
def test_a_damaged_sparse_matrix_is_refused(damage, tmp_path):
    parts = {"data": SPARSE.data, "indices": SPARSE.indices, "indptr": SPARSE.indptr, "shape": SPARSE.shape} | damage
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        group = file.create_group("X")
        group.attrs.update({"shape": parts.pop("shape"), "encoding-type": "csr_matrix"})
        for name, values in parts.items():
            group[name] = values
    with pytest.raises(InputError):
        load(tmp_path / "a.h5ad")


# svmlight.


def rows(*labels):
    features = (" ".join(f"{j + 1}:{value:g}" for j, value in enumerate(row) if value) for row in X)
    return "".join(
        f"{label} {row}\n".lstrip() for label, row in zip(labels * (12 // len(labels)), features, strict=True)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rows(0, 1, 2), Y),
        (rows("0 qid:7", "1 qid:7", "2 qid:8"), Y),
        ("# made by us\n\n" + rows(0, 1, 2).replace("\n", " # a comment\n"), Y),
        (rows("oak", "elm", "ash"), KINDS),
        (rows(""), None),
        ("# no labels\n\n" + rows("").replace("\n", " # a comment\n"), None),
    ],
)
def test_svmlight_files_of_all_kinds_are_read(text, expected, tmp_path):
    (tmp_path / "a.svm").write_text(text)
    x, y = load(tmp_path / "a.svm")
    np.testing.assert_allclose(x, X, rtol=1e-5)
    np.testing.assert_array_equal(y, expected) if expected is not None else None
    assert (y is None) == (expected is None)


def test_svmlight_files_of_other_labels_are_told(tmp_path):
    (tmp_path / "a.svm").write_text(rows("1,3", "2", "1"))
    with pytest.raises(InputError, match="several labels in 4 rows, such as '1,3': keep one a row"):
        load(tmp_path / "a.svm")
    (tmp_path / "a.svm").write_text(rows("1", "2", ""))
    with pytest.raises(InputError, match="no label in 4 of 12 rows, first in row 2: give each row one"):
        load(tmp_path / "a.svm")
    with pytest.raises(InputError, match="leave --label_column out"):
        load(tmp_path / "a.svm", label_column="0")
    (tmp_path / "a.svm").write_text(rows("0", "1", "2"))
    assert load(tmp_path / "a.svm", label_column="0", n_features=5)[0].shape == (12, 5)


# The same numbers.


@pytest.mark.parametrize("dtype", ["u1", "i8", "f8", "f4", ">f8", "?"])
def test_the_same_numbers_give_the_same_x_in_every_container(dtype, tmp_path):
    x = (X if dtype != "?" else X > 5).astype(dtype)
    expected = x.astype(np.float32)
    for order in "CF":
        x = np.asarray(x, order=order)
        np.save(tmp_path / "a.npy", x)
        for file in FILES:
            save(tmp_path / file, {"x": x})
        pd.DataFrame(x.astype(float)).to_csv(tmp_path / "a.csv", index=False, header=list("abcde"))
        for file in (*FILES, "a.npy", "a.csv"):
            np.testing.assert_array_equal(load(tmp_path / file)[0], expected)


# What is not read.

NOT_READ = {
    "structured": (np.zeros(3, [("a", "f4"), ("b", "f4")]), "save the fields side by side, or as a .csv"),
    "one axis": (X[0], "x has shape (5,): it must be (samples, features)"),
    "one value": (np.float64(1), "x has shape ()"),
    "complex": (X + 1j, "complex numbers are not read: save their real part"),
    "text": (X.astype(str), "it must hold numbers, x.astype(float)"),
    "dates": (np.zeros((4, 3), "datetime64[s]"), "turn the dates into some"),
    "objects": (X.astype(object), "holds pickled Python objects, which can run code when they are read"),
}


@pytest.mark.parametrize("what", NOT_READ)
@pytest.mark.parametrize("file", ["a.npy", "a.npz"])
def test_arrays_of_no_numbers_are_told_and_not_called_damaged(what, file, tmp_path):
    values, message = NOT_READ[what]
    np.save(tmp_path / file, values) if file == "a.npy" else np.savez(tmp_path / file, x=values)
    with pytest.raises(InputError) as error:
        load(tmp_path / file)
    assert message in str(error.value)
    assert "damaged" not in str(error.value)


def test_an_npy_file_has_no_labels(tmp_path):
    np.save(tmp_path / "a.npy", X)
    with pytest.raises(InputError, match=r"holds one array, and none of labels .* np\.savez\('x\.npz', x=x, y=y\)"):
        load(tmp_path / "a.npy", label_column="y")
    assert load(tmp_path / "a.npy", label_column="y", n_features=5)[1] is None  # of the data trained on


def test_one_of_several_arrays_of_usual_names_is_not_guessed(tmp_path, capsys):
    x, y = np.random.RandomState(0).rand(40, 6), np.repeat([0, 1], 20)
    path = tmp_path / "several.npz"
    for arrays in ({"x": x, "X": x + 1, "y": y}, {"a/x": x, "a/y": y, "b/x": x + 1, "b/y": 1 - y}):
        np.savez(path, **arrays)
        with pytest.raises(InputError, match="each may hold the samples"):
            load(path)
    np.savez(path, x=x, y=y, Y=1 - y)
    with pytest.raises(InputError, match="each may hold the labels"):
        load(path)
    np.savez(path, x=x, data=x + 1, y=y)
    np.testing.assert_array_equal(load(path)[0], x.astype(np.float32))
    assert "samples from x" in capsys.readouterr().out


def test_rows_of_svmlight_that_are_not_sorted_are_no_damage(tmp_path):
    (tmp_path / "x.svm").write_text("\n".join(f"{i % 2} 3:{i}.5 1:2" for i in range(30)))
    with pytest.raises(InputError, match="features are not in order: sort them"):
        load(tmp_path / "x.svm")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("a.pkl", "can run code when it is read"),
        ("a.xlsx", "save it as .csv in a spreadsheet program"),
        ("a.RData", "write.csv"),
        ("a.arff", "scipy.io.arff.loadarff"),
        ("a.loom", "read_loom"),
        ("a.json", "pandas.read_json"),
        ("a.txt", "call it .csv"),
        ("a.npy.gz", "unpack it"),
        ("a.unheard", "save it as .csv, or its arrays by np.savez"),
        ("a", "save it as .csv, or its arrays by np.savez"),
    ],
)
def test_a_file_of_another_kind_is_named_with_what_to_do(file, message, tmp_path):
    (tmp_path / file).write_bytes(b"something")
    with pytest.raises(InputError) as error:
        load(tmp_path / file)
    assert "is of a kind that is not read" in str(error.value)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_folder_of_zarr_is_named_too(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(InputError, match="read_zarr"):
        load(tmp_path / "a.zarr")
