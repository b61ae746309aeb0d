import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile

import h5py
import keras
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse

from dec_keras.data.datasets import load_data
from dec_keras.errors import InputError, check_number, check_share, check_whole
from dec_keras.files import guard, mat_to_npz
from dec_keras.files.atomic import GrowingTable, atomic_write, write_csv
from dec_keras.files.models import read_attributes, save_model
from dec_keras.files.run_folder import writable_folder
from tests.helpers import ROOT

IMPORT = "from dec_keras.console import script_errors\n"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "log.csv"
    with atomic_write(path) as temporary:
        temporary.write_text("old")
        assert not path.exists()
        assert temporary.suffix == ".csv"
    assert path.read_text() == "old"

    def interrupted():
        with atomic_write(path) as temporary:
            temporary.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]


@pytest.mark.parametrize("unbuffered", [(), ("-u",)])
def test_a_script_outlives_the_reader_of_its_output(unbuffered):
    """As `tee` and `head` go before it."""
    script = """
import sys
import tempfile
from dec_keras.console import script_errors
with script_errors("x.py"):
    for _ in range(20_000):
        print("a line")
    print("the end", file=sys.stderr)
"""
    command = [sys.executable, *unbuffered, "-c", script]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == "the end\n"
    assert process.wait() == 0


def test_a_scripts_output_is_whole():
    script = IMPORT + "with script_errors('x.py'):\n    print('\u00e9', end='')\nprint('!')"
    done = subprocess.run([sys.executable, "-X", "utf8", "-c", script], cwd=ROOT, capture_output=True)
    assert done.stdout.decode() == "\u00e9!\n"


def run_script(script, **environment):
    environment = os.environ | environment
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, env=environment)


def test_names_that_the_outputs_encoding_lacks_are_escaped():
    script = IMPORT + "with script_errors('x.py'):\n    print('\u8eab\u9ad8 \xe9')\nprint('\u8eab')"
    done = run_script(script, PYTHONIOENCODING="cp1252")
    assert done.stdout.rstrip() == rb"\u8eab\u9ad8 " + "\xe9".encode("cp1252")
    assert b"UnicodeEncodeError" in done.stderr  # outside a script's work it is as it was


def test_what_a_script_changes_of_its_process_is_given_back():
    """The handler of SIGTERM and the streams, for who calls it in Python."""
    script = """
import signal, sys
from dec_keras.console import script_errors
from dec_keras.errors import InputError
mine = lambda *_: None
for before in (mine, signal.SIG_DFL, signal.SIG_IGN):
    signal.signal(signal.SIGTERM, before)
    streams = sys.stdout, sys.stdout.errors, sys.stderr
    try:
        with script_errors("x.py"):
            assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
            raise InputError("bad")
    except SystemExit as end:
        assert end.code == 2
    assert signal.getsignal(signal.SIGTERM) is before
    assert streams == (sys.stdout, sys.stdout.errors, sys.stderr)
"""
    done = run_script(script)
    assert (done.returncode, done.stderr) == (0, 3 * b"x.py: error: bad\n")


@pytest.mark.parametrize("stream", ["None", "Bare()"])
def test_a_script_works_with_any_stream_and_in_any_thread(stream):
    script = f"""
import sys, threading
from dec_keras.console import script_errors
from dec_keras.errors import InputError
class Bare:
    def write(self, text): sys.__stdout__.write(text)
    def flush(self): pass
def work():
    with script_errors("x.py"):
        print("said")
        raise InputError("bad")
sys.stdout = sys.stderr = {stream}
thread = threading.Thread(target=work)
thread.start(), thread.join()
try: work()
except SystemExit as end: sys.__stdout__.write(str(end.code))
"""
    done = run_script(script)
    said = "" if stream == "None" else 2 * "said\nx.py: error: bad\n"
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, f"{said}2", b"")


def test_tables_are_in_utf_8_whatever_the_systems_encoding(tmp_path):
    script = """
from dec_keras.files.atomic import GrowingTable
table = GrowingTable("x.csv", ["\\u8eab"], [])
table.add({"\\u8eab": "\\u9ad8"})
"""
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=os.environ | locale, check=True)
    assert (tmp_path / "x.csv").read_text(encoding="utf-8").split() == ["\u8eab", "\u9ad8"]


def test_a_full_disk_is_told_and_the_old_file_stays(tmp_path):
    path, limits = tmp_path / "x.npy", resource.getrlimit(resource.RLIMIT_FSIZE)
    write_csv(tmp_path / "log.csv", ["a"], [{"a": 1}])
    table = GrowingTable(tmp_path / "grown.csv", ["a"], [])
    path.write_text("old")
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))  # stands for a disk
    try:
        with (
            pytest.raises(InputError, match=r"Cannot write .*x.npy \(.*\): make room"),
            atomic_write(path) as t,
        ):
            np.save(t, np.zeros(5000))
        with pytest.raises(InputError, match=r"Cannot write .*model.h5 .*make room"):
            save_model(keras.Sequential([keras.Input((50,)), keras.layers.Dense(500)]), tmp_path / "model.h5")
        with pytest.raises(InputError, match=r"Cannot write .*grown.csv"):
            table.add({"a": "x" * 20_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "old"
    assert {p.name for p in tmp_path.iterdir()} == {"log.csv", "grown.csv", "x.npy"}


def test_a_model_is_saved_whole_or_not_at_all_whatever_room_there_is(tmp_path):
    """The HDF5 library, which does not always notice, must not meet the end of a disk."""
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(30)])
    save_model(model, tmp_path / "model.h5")
    size, limits, saved = (tmp_path / "model.h5").stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE), 0
    for room in (*range(0, size, size // 20), size - 1, size):
        (tmp_path / "model.h5").unlink(missing_ok=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            with contextlib.suppress(InputError):
                save_model(model, tmp_path / "model.h5")
                saved += 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert (tmp_path / "model.h5").exists() == (room == size)
    assert saved == 1
    assert keras.models.load_model(tmp_path / "model.h5", compile=False).count_params() == 630


@pytest.mark.parametrize(("value", "whole"), [("2e4", 20_000), ("7", 7), (3.0, 3), (5, 5)])
def test_whole_numbers_are_read_in_any_form(value, whole):
    number = check_whole("n", value, at_least=1)
    assert (number, type(number)) == (whole, int)


@pytest.mark.parametrize("value", ["x", "1.5", None, float("inf"), float("nan"), 0, "-1", 11])
def test_other_numbers_are_told(value):
    with pytest.raises(InputError, match=f"n is {value}"):
        check_whole("n", value, at_least=1, at_most=10)


@pytest.mark.parametrize("value", [-0.1, 1.1, "x", None, float("nan")])
def test_shares_out_of_range_are_told(value):
    with pytest.raises(InputError, match="from 0 to 1"):
        check_share("tol", value)


def test_numbers_out_of_range_are_told():
    assert check_number("scale", "0.5", above=0) == 0.5
    for value, limits in ((0, {"above": 0}), (-1, {"at_least": 0}), ("x", {}), (float("inf"), {}), (10**400, {})):
        with pytest.raises(InputError, match=f"scale is {value}"):
            check_number("scale", value, **limits)


def test_unwritable_folder_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Cannot write to the folder"):
        writable_folder(tmp_path / "file" / "below")
    assert writable_folder(tmp_path / "a" / "b").is_dir()


def test_attributes_of_no_hdf5_file_are_told(tmp_path):
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(InputError, match="no HDF5 file"):
        read_attributes(tmp_path / "text")


CHANGED_GUARD = """
import os, resource, signal, sys
sys.path.insert(0, {root!r})
import h5py
from dec_keras.files import guard, mat_to_npz
{change}
guard.main()
"""
BROKEN = """
def loop(*_):
    while True: pass
def wait(*_): signal.pause()
def crash(*_): os.kill(os.getpid(), signal.SIGSEGV)
def fill(*_): bytearray(2**30)
def fail(*_): raise RuntimeError("no such object")
h5py.Group.visititems = {broken}
guard.SECONDS, guard.WAIT, guard.MEMORY = 0.2, 1, 2**28
"""


@pytest.fixture
def guard_that(tmp_path, monkeypatch):
    """Function of a change, in Python, of the process that reads files first."""

    def start(change):
        (tmp_path / "guard.py").write_text(CHANGED_GUARD.format(root=str(ROOT), change=change))
        monkeypatch.setattr(guard, "COMMAND", [sys.executable, str(tmp_path / "guard.py")])
        guard._process.cache_clear()

    yield start
    guard._process.cache_clear()


@pytest.mark.skipif(os.name != "posix", reason="no process reads files first there")
@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("loop", True),
        ("wait", True),
        ("crash", True),
        pytest.param(
            "fill", True, marks=pytest.mark.skipif(sys.platform != "linux", reason="no limit of memory there")
        ),
        ("fail", False),
    ],
)
def test_a_file_that_is_not_survived_is_told(broken, said, tmp_path, guard_that):
    """An exception is said where the file is read, if it is raised there too."""
    h5py.File(tmp_path / "x.h5", "w").close()
    guard_that(BROKEN.format(broken=broken))
    if said:
        with pytest.raises(InputError, match=r"x\.h5 is damaged or a trap: reading it crashes, or takes too much"):
            read_attributes(tmp_path / "x.h5")
    else:
        assert read_attributes(tmp_path / "x.h5") == {}


@pytest.mark.skipif(os.name != "posix", reason="no process reads files first there")
def test_a_sound_file_is_read_first_by_a_process_that_lasts(tmp_path, monkeypatch):
    """One for all kinds, wherever this one is."""
    guard._process.cache_clear()
    (tmp_path / "json.py").write_text("raise RuntimeError('not the json that is wanted')")
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).random((20, 3))
    scipy.io.savemat(tmp_path / "x.mat", {"x": x})
    pd.DataFrame(x).to_parquet(tmp_path / "x.parquet")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = x
    process = guard._process(os.getpid())
    for name in ("x.mat", "x.parquet", "x.h5"):
        np.testing.assert_allclose(load_data(str(tmp_path / name))[0], x, rtol=1e-6)
    assert guard._process(os.getpid()) is process
    assert process.poll() is None


@pytest.mark.skipif(os.name != "posix", reason="no process reads files first there")
def test_a_question_that_was_broken_off_does_not_answer_the_next(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"no HDF5")
    process = guard._process(os.getpid())
    process.stdin.write(json.dumps(["0", str(tmp_path / "x.h5"), "h5py"]) + "\n")
    h5py.File(tmp_path / "x.h5", "w").close()
    guard.check(tmp_path / "x.h5", "h5py")


@pytest.mark.skipif(os.name != "posix", reason="no process reads files first there")
def test_a_process_that_was_killed_is_started_again(tmp_path):
    h5py.File(tmp_path / "x.h5", "w").close()
    killed = guard._process(os.getpid())
    killed.kill()
    killed.wait()
    guard.check(tmp_path / "x.h5", "h5py")
    guard.check(tmp_path / "x.h5", "h5py")
    assert guard._process(os.getpid()).poll() is None


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """An empty folder for temporary files."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def write_mat(path):
    x = np.random.default_rng(0).random((20, 3))
    scipy.io.savemat(path, {"x": x, "sparse": scipy.sparse.csc_matrix(x > 0.5), "y": np.array(["ö", "p"] * 10, object)})
    return x


@pytest.mark.parametrize("forks", [True, False])
def test_a_mat_file_is_read_with_and_without_another_process(forks, temporary, tmp_path, monkeypatch):
    """And nothing of it is left where temporary files are."""
    x = write_mat(tmp_path / "x.mat")
    (tmp_path / "damaged.mat").write_bytes((tmp_path / "x.mat").read_bytes()[:300])
    monkeypatch.setattr(guard, "FORKS", forks and guard.FORKS)
    read, y = load_data(f"{tmp_path / 'x.mat'}:x")
    np.testing.assert_allclose(read, x, rtol=1e-6)
    assert y.tolist() == ["ö", "p"] * 10
    np.testing.assert_array_equal(load_data(f"{tmp_path / 'x.mat'}:sparse")[0].toarray(), x > 0.5)
    with pytest.raises(InputError, match=r"Cannot read .*damaged\.mat: damaged"):
        load_data(str(tmp_path / "damaged.mat"))
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="no process reads files first there")
def test_scipy_reads_mat_files_in_the_other_process_alone(tmp_path, monkeypatch):
    write_mat(tmp_path / "x.mat")
    for name in ("loadmat", "whosmat"):
        monkeypatch.delattr(scipy.io, name)
    assert load_data(f"{tmp_path / 'x.mat'}:x")[0].shape == (20, 3)


def test_the_arrays_of_a_mat_file_lie_in_no_file_with_a_name(tmp_path, monkeypatch):
    """While they are written, so that the file is gone whichever process is killed."""
    named = []
    monkeypatch.setattr(mat_to_npz, "write_npz", lambda path, file: named.append(os.path.exists(file.name)))
    (tmp_path / "arrays.npz").touch()
    guard.read_matlab("x.mat", tmp_path / "arrays.npz")
    assert named == [False]


@pytest.mark.skipif(os.name != "posix", reason="no process reads files first there")
@pytest.mark.parametrize("write", ["pass", "file.write(b'PK\\3\\4 cut off')"])
def test_arrays_of_a_mat_file_without_room_are_told(write, temporary, tmp_path, guard_that):
    write_mat(tmp_path / "x.mat")
    guard_that(
        f"""
from dec_keras.files import mat_to_npz
def no_room(path, file):
    {write}
    raise OSError("No space left on device")
mat_to_npz.write_npz = no_room
"""
    )
    with pytest.raises(InputError, match=rf"x\.mat was not read: {temporary} has no room for its arrays, or"):
        load_data(str(tmp_path / "x.mat"))
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="no limit of memory there")
def test_arrays_of_a_mat_file_take_no_more_room_than_allowed(temporary, tmp_path, guard_that):
    scipy.io.savemat(tmp_path / "x.mat", {"x": np.random.default_rng(0).random((400, 400))})
    guard_that("guard.FOR_A_BYTE = 0; guard.MEMORY = 2**20; resource.RLIMIT_DATA = resource.RLIMIT_CORE")
    with pytest.raises(InputError, match="has no room for its arrays"):
        load_data(str(tmp_path / "x.mat"))
    assert list(temporary.iterdir()) == []
