"""What strangers' files cannot do: run code, read other files, take the memory, or write into the report.

Each payload makes a file `made`, and is shown to do so where it is let.
"""

import base64
import io
import lzma
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
import threading
import zlib

import h5py
import keras
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from PIL import Image

import figures
from DEC import DEC
from dec_keras.data.datasets import load_data
from dec_keras.errors import InputError
from dec_keras.files.models import save_model
from dec_keras.files.untrusted import open_h5
from dec_keras.runs import saved_run
from estimators import DECClustering
from IDEC import IDEC
from tests import helpers
from tests.data_files import Payload, pickled_npy, pickled_npz, unpickle
from tests.helpers import ROOT

X = np.random.default_rng(0).random((20, 6)).astype(np.float32)


@pytest.fixture
def made(tmp_path):
    return tmp_path / "made"


def pickled(path, made):
    path.write_bytes(pickle.dumps(Payload(made)))


def unpickle_bytes(path):
    pickle.loads(path.read_bytes())


def pickle_in_h5(path, made):
    with h5py.File(path, "w") as file:
        file["x"] = np.void(pickle.dumps(Payload(made)))


def function_in_mat(path, made):
    """A cell whose class is turned into that of a function handle."""
    scipy.io.savemat(path, {"x": np.array([[f"@() system('mkdir {made}')"]], object)})
    data = bytearray(path.read_bytes())
    assert data[144] == 1  # the matrix' class: cell
    data[144] = 16
    path.write_bytes(data)


def object_in_mat(path, made):
    kind = scipy.io.matlab.MatlabObject(np.array([[(str(made),)]], [("path", object)]), "handle")
    scipy.io.savemat(path, {"x": kind})


DATA = {  # file: (writes it, runs its payload or None where only MATLAB does)
    "x.npy": (lambda path, made: pickled_npy(path, Payload(made)), unpickle),
    "x.npz": (lambda path, made: pickled_npz(path, Payload(made), x=None), unpickle),
    "y.npz": (lambda path, made: pickled_npz(path, Payload(made), x=X, y=None), unpickle),
    "x.h5": (pickle_in_h5, lambda path: pickle.loads(h5py.File(path)["x"][()].tobytes())),
    "function.mat": (function_in_mat, None),
    "object.mat": (object_in_mat, None),
    **{
        f"p.{suffix}": (pickled, unpickle_bytes) for suffix in ("npy", "npz", "h5", "mat", "csv", "parquet", "svmlight")
    },
}


@pytest.mark.parametrize("file", DATA)
def test_nothing_in_a_data_file_is_run(file, tmp_path, made, capsys):
    write, run = DATA[file]
    write(tmp_path / file, made)
    with pytest.raises(SystemExit) as end:
        helpers.command(
            DEC, ["--dataset", str(tmp_path / file), "--n_clusters", "2", "--save_dir", str(tmp_path / "out")]
        )
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / file) in line
    assert not made.exists()
    if run:
        run(tmp_path / file)
        assert made.exists()


def with_lambda(path, made):
    """A model like DEC's, which a Lambda layer is in."""
    x = keras.Input((6,), name="input")
    code = keras.layers.Dense(2, name="encoder_0")(x)
    code = keras.layers.Lambda(lambda x: (__import__("os").makedirs("made", exist_ok=True), x)[1])(code)
    keras.Model(x, keras.layers.Dense(3, name="clustering")(code)).save(path)
    shutil.rmtree(made)  # building the model has run it, too


ENTRIES = {
    "ae_weights": lambda path: helpers.command(DEC, ["--dataset", "digits", "--ae_weights", path]),
    "predict": lambda path: helpers.command(DEC, ["predict", "--model", path, "--dataset", "digits"]),
    "figures": lambda path: figures.main([path, "--dataset", "digits"]),
    "notebook": lambda path: saved_run.load_run(path, X),
    "estimator": lambda path: DECClustering(2, dims=(2,), ae_weights=path).fit(X),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(
    ("write", "suffix"), [(with_lambda, "h5"), (with_lambda, "keras"), (pickled, "h5"), (pickled, "keras")]
)
def test_nothing_in_a_models_file_is_run(entry, write, suffix, tmp_path, made, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"DEC_model_final.{suffix}"
    write(path, made)
    with pytest.raises((SystemExit, InputError)) as end:
        ENTRIES[entry](str(path))
    message = capsys.readouterr().err.splitlines()[-1] if end.type is SystemExit else str(end.value)
    assert str(path) in message
    assert len(message.splitlines()) == 1
    assert not made.exists()
    if write is with_lambda:
        with pytest.raises(ValueError, match="Lambda"):  # Keras' own safe mode
            keras.models.load_model(path)
        keras.models.load_model(path, safe_mode=False)
    else:
        unpickle_bytes(path)
    assert made.exists()


def test_an_image_is_not_given_to_ghostscript(tmp_path, made, monkeypatch):
    """Pillow knows an EPS file by its content, whatever its name, and runs `gs` for it."""
    gs = tmp_path / "bin" / "gs"
    gs.parent.mkdir()
    gs.write_text(f"#!/bin/sh\nmkdir -p {made}\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", f"{gs.parent}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 5\n%%EndComments\nshowpage\n")
    with pytest.raises(InputError, match=r"a\.png"):
        load_data(str(folder))
    assert not made.exists()
    with pytest.raises(OSError), Image.open(folder / "a.png") as image:  # noqa: PT011
        image.load()
    assert made.exists()


def external(file, secret):
    file.create_dataset("x", (3, 4), "f4", external=[(str(secret), 0, 48)])


def virtual(file, secret):
    with h5py.File(secret.with_suffix(".h5"), "w") as other:
        other["x"] = np.ones((3, 4), np.float32)
    layout = h5py.VirtualLayout((3, 4), "f4")
    layout[:] = h5py.VirtualSource(secret.with_suffix(".h5"), "x", (3, 4))
    file.create_virtual_dataset("x", layout)


def linked(file, secret):
    with h5py.File(secret.with_suffix(".h5"), "w") as other:
        other["x"] = np.ones((3, 4), np.float32)
    file["x"] = h5py.ExternalLink(secret.with_suffix(".h5"), "x")


@pytest.mark.parametrize("link", [external, virtual, linked])
def test_an_hdf5_file_does_not_take_in_others(link, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(np.ones(12, np.float32).tobytes())
    with h5py.File(tmp_path / "x.h5", "w") as file:
        link(file, secret)
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["x"][...].sum() == 12  # so it is to be had
    with pytest.raises(InputError, match="takes /x from other files"):
        load_data(str(tmp_path / "x.h5"))


@pytest.mark.parametrize(
    ("how", "number"),
    [
        ({"scaleoffset": True}, 6),
        ({"compression": "szip"}, 4),
        ({"compression": 32001, "allow_unknown_filter": True}, 32001),
    ],
)
def test_an_array_packed_by_an_unusual_filter_is_refused(how, number, tmp_path):
    """Some are in the HDF5 library, with faults of their own, some in plugins that it would load."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        if how.get("compression") == "szip" and not h5py.h5z.filter_avail(number):
            pytest.skip("szip is not there")
        data = {"data": np.ones((64, 64), int)} if number < 32000 else {"shape": (64, 64), "dtype": int}
        file.create_dataset("x", chunks=(64, 64), **data, **how)
    with pytest.raises(InputError, match=rf"/x in .* is packed by HDF5's filter {number}: save it uncompressed"):
        load_data(str(tmp_path / "x.h5"))


@pytest.mark.parametrize("how", [{"compression": "gzip", "shuffle": True, "fletcher32": True}, {"compression": "lzf"}])
def test_an_array_packed_as_usual_is_read(how, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=np.eye(5), **how)
    np.testing.assert_array_equal(load_data(str(tmp_path / "x.h5"))[0], np.eye(5))


def test_an_array_of_negative_dimensions_is_refused(tmp_path):
    """SciPy 1.17 takes -3 for what is missing."""
    scipy.io.savemat(tmp_path / "x.mat", {"x": np.ones((3, 4))})
    data = bytearray((tmp_path / "x.mat").read_bytes())
    struct.pack_into("<i", data, data.index(struct.pack("<4I", 5, 8, 3, 4)) + 8, -3)
    (tmp_path / "x.mat").write_bytes(data)
    with pytest.raises(InputError, match="negative dimensions"):
        load_data(str(tmp_path / "x.mat"))


def test_a_mat_file_of_no_order_of_bytes_is_refused(tmp_path):
    """SciPy takes it for big-endian."""
    scipy.io.savemat(tmp_path / "x.mat", {"x": np.ones((3, 4))})
    data = bytearray((tmp_path / "x.mat").read_bytes())
    data[126:128] = b"XX"
    (tmp_path / "x.mat").write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        load_data(str(tmp_path / "x.mat"))


def nested_cells(depth):
    """Of which SciPy reads each in a call of its own."""
    element = b""
    for _ in range(depth):
        element = struct.pack("<IIII IIii HH4s", 6, 8, 1, 0, 5, 8, 1, 1, 1, 1, b"x") + element
        element = struct.pack("<II", 14, len(element)) + element
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H2s", 0x100, b"IM") + element


def of_type(number):
    """Numbers of a type that there is not, for which SciPy looks beyond its table."""
    file = io.BytesIO()
    scipy.io.savemat(file, {"x": np.ones((3, 4))})
    return file.getvalue().replace(struct.pack("<II", 9, 96), struct.pack("<II", number, 96))


def behind_another(data):
    """The same behind an array that SciPy raises an exception for, and that is not asked for."""
    file = io.BytesIO()
    scipy.io.savemat(file, {"a": np.ones((3, 4))})
    other = file.getvalue()[128:].replace(struct.pack("<II", 9, 96), struct.pack("<II", 1, 96))
    return data[:128] + other + data[128:]


def packed(data):
    """The same in compressed elements."""
    element = zlib.compress(data[128:])
    return data[:128] + struct.pack("<II", 15, len(element)) + element


@pytest.mark.skipif(os.name != "posix", reason="no other process reads files first")
@pytest.mark.parametrize(
    "data",
    [of_type(8), of_type(50), packed(of_type(8)), behind_another(of_type(8)), nested_cells(20_000)],
    ids=["no type", "beyond the table", "packed", "behind another", "nested"],
)
def test_a_mat_file_that_scipy_crashes_of_is_refused(data, tmp_path):
    (tmp_path / "x.mat").write_bytes(data)
    reading = f"import scipy.io; scipy.io.loadmat({str(tmp_path / 'x.mat')!r}, variable_names=['x'])"
    command = [sys.executable, "-c", reading]
    assert subprocess.run(command, capture_output=True).returncode < 0
    with pytest.raises(InputError, match="damaged or a trap: reading it crashes"):
        load_data(f"{tmp_path / 'x.mat'}:x")


def test_two_arrays_of_one_name_are_refused(tmp_path):
    """SciPy lists the last and reads the first, which may be of a kind that is not checked since it is never read."""
    for name, array in (("a", np.array([[{}], [1]], object)), ("b", np.ones((3, 4)))):
        scipy.io.savemat(tmp_path / f"{name}.mat", {"x": array})
    a, b = ((tmp_path / f"{name}.mat").read_bytes() for name in "ab")
    (tmp_path / "x.mat").write_bytes(a + b[128:])
    assert scipy.io.whosmat(tmp_path / "x.mat")[-1] == ("x", (3, 4), "double")
    with pytest.raises(InputError, match="two arrays have the same name"):
        load_data(str(tmp_path / "x.mat"))


# An HDF5 file of an x and a group whose list of links is packed by the filter scale-offset, which HDF5 1.14 dies of.
PACKED_LINKS = """
/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4ArcAZ9dAESSBIRvent3SsbY+flIxMzCMUjdwFgGamqKStsvC5Pal9gbaIkEtz988Non
vy2CK1Z5G4DokfdzJ1C3mQzQmL/1r/OIudTYYEOwapUxC+2WMbixNX1BF0JhjeNTDam1Gz6CefyhsrtYYZtV/wAvMFHVM0Bs4/C8
QllvPWJ8HiIeOd+ElpEtwetfdnb1eyUL45W4a3O0vm3fDcfaOEXOSxp8qAC2s7+vwyKB41LNxw0oWyyh81fKW/3cbhbz87WXiq2Y
b5s+xEGcIdHablJbCVvR9LoePBvx+pRM5ds2qbme2aq6fbdBQ4uRdO2sn7sqSUCS89rCSEhfPnCd3vpSUJZL6DE65FiMHKEh9lFa
+dkGRRaP2W5Md+H4Yra3KAmojalI0nDCo5gZswlAHHgtoQAU9u7Ism+L1KKpZqtkiSMKr47hw0zYXojDeAjGtFctujT8UQhBZdjD
HFkFCSfUCppttbMCmJps1wAprWdJwgBtxoRnNNkk0dP6hjGqDH9gyiuaWNFwiQa1OsWlWy/bqbPR2Om9ns7mWspjJK3a7AAAAMdm
zmWwtD2IAAG7A90VAABkTSs6scRn+wIAAAAABFla
"""


@pytest.mark.skipif(os.name != "posix", reason="no other process goes through files")
def test_an_hdf5_file_whose_links_cannot_be_listed_is_refused(tmp_path):
    (tmp_path / "x.h5").write_bytes(lzma.decompress(base64.b64decode(PACKED_LINKS)))
    with pytest.raises(InputError, match="reading it crashes"):
        load_data(str(tmp_path / "x.h5"))


def test_what_cannot_be_read_of_an_hdf5_file_does_not_end_the_other_processs_way_through_it(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        of_time = h5py.h5a.create(file.id, b"when", h5py.h5t.UNIX_D32LE, h5py.h5s.create(h5py.h5s.SCALAR))
        damaged = file.create_dataset("a", data=np.arange(1000), compression="gzip")
        at = damaged.id.get_chunk_info(0).byte_offset
        file["b"] = np.ones(3)
        del of_time
    data = bytearray((tmp_path / "x.h5").read_bytes())
    data[at : at + 20] = b"\xff" * 20
    (tmp_path / "x.h5").write_bytes(data)
    with h5py.File(tmp_path / "x.h5") as file:
        for read in (lambda: file.attrs["when"], lambda: file["a"][...]):
            with pytest.raises((OSError, TypeError)):
                read()
    telling = """
import sys, h5py
from dec_keras.files import guard
read = h5py.Dataset.__getitem__
def telling(item, index):
    print(item.name, len(read(item, index)), flush=True)
h5py.Dataset.__getitem__ = telling
guard.go_through(sys.argv[1], 'h5py')
"""
    command = [sys.executable, "-c", telling, str(tmp_path / "x.h5")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "/b 3\n")


def test_the_process_that_goes_through_files_loads_no_plugins():
    """The one that imports this project keeps its own."""
    assert h5py.h5pl.size()
    command = [
        sys.executable,
        "-c",
        "import h5py; from dec_keras.files import guard; guard.main(); print(h5py.h5pl.size())",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (0, "0\n")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
@pytest.mark.parametrize("link", [external, linked])
def test_a_file_that_would_be_waited_for_is_not_opened(link, tmp_path):
    """Nobody writes into the pipe."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        link(file, tmp_path / "secret")
    (tmp_path / "secret.h5").unlink(missing_ok=True)
    for name in ("secret", "secret.h5", "a.png"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="takes /x from other files"):
        load_data(str(tmp_path / "x.h5"))
    with pytest.raises(InputError, match="holds no images"):
        load_data(str(tmp_path))


def test_hdf5_files_can_be_opened_by_threads_at_once(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.ones(3)
    done = []
    threads = [
        threading.Thread(target=lambda: done.extend(open_h5(tmp_path / "x.h5").close() for _ in range(20)), daemon=True)
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 60


def test_an_hdf5_file_of_many_arrays_is_sound(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w", libver="latest") as file:
        file["x"] = X
        for i in range(30_000):
            file.create_group(f"g{i}")
    np.testing.assert_array_equal(load_data(f"{tmp_path / 'x.h5'}:/x")[0], X)


@pytest.mark.parametrize(("array", "i", "value"), [("indices", 3, 10**6), ("indices", 0, -1), ("indptr", 6, 0)])
def test_a_sparse_matrix_that_points_out_of_its_memory_is_refused(array, i, value, tmp_path):
    """SciPy would follow it, and crash."""
    x = scipy.sparse.random(20, 6, 0.5, format="csc", rng=np.random.default_rng(0))
    getattr(x, array)[i] = value
    scipy.sparse.save_npz(tmp_path / "x.npz", x)
    with pytest.raises(InputError, match="damaged"):
        load_data(str(tmp_path / "x.npz"))


@pytest.mark.parametrize("method", [DEC, IDEC])
def test_weights_that_are_no_numbers_are_refused_and_change_nothing(method, tmp_path):
    dec = method([6, 4, 2], 3)
    before = dec.model.get_weights()
    broken = method([6, 4, 2], 3)
    broken.encoder.layers[-1].bias.assign([np.nan, 1.0])
    save_model(broken.model, tmp_path / "broken.h5")
    with pytest.raises(InputError, match=r"encoder_1.* holds NaN or infinity"):
        dec.load_weights(tmp_path / "broken.h5")
    for old, new in zip(before, dec.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


EVIL = "<script>alert(1)<b>&"


def test_the_page_escapes_names_of_files_columns_and_classes(tmp_path, small_network, without_umap, without_graphs):
    path = tmp_path / f"{EVIL}.csv"
    lines = [f"{EVIL} column,b,{EVIL} kind", *(f"{a},{b},{EVIL} {i % 2}" for i, (a, b) in enumerate(X[:, :2]))]
    path.write_text("\n".join(lines))
    short = ["--pretrain_epochs", "1", "--maxiter", "2", "--figures", "--save_dir", str(tmp_path / "out")]
    helpers.command(DEC, ["--dataset", str(path), "--label_column", f"{EVIL} kind", *short])
    drawn = {file.name: file.read_text() for file in (tmp_path / "out").rglob("*.svg")}
    assert "top_terms.svg" in drawn
    for text in (*drawn.values(), (tmp_path / "out" / "report.html").read_text()):
        assert "<script>alert" not in text
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("</script>") == 1
    assert "&lt;script&gt;alert(1)" in page
    assert re.search(r"\\u003cscript\\u003ealert\(1\)", page)  # in the script's own data
