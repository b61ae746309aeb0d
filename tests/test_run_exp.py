"""Sweeps: real ones on small data, killed and resumed, in several processes and on a dask cluster; their report."""

import contextlib
import csv
import fcntl
import inspect
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import distributed
import numpy as np
import psutil
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from sklearn.cluster import HDBSCAN
from sklearn.datasets import make_blobs
from sklearn.preprocessing import minmax_scale

import run_exp
from DEC import DEC
from dec_keras import metrics
from dec_keras.data import datasets
from dec_keras.errors import InputError
from dec_keras.files.run_folder import lock_folder
from dec_keras.method.initial_centers import N_NEIGHBORS
from dec_keras.runs.record import peak_memory
from dec_keras.sweeps import report, sweep_figures, trial
from dec_keras.sweeps import sweep as sweep_module
from dec_keras.sweeps.results import COLUMNS, METHODS, PHASE, read_rows, write_rows
from dec_keras.sweeps.trial import Trial
from IDEC import IDEC
from tests import helpers
from tests.helpers import ROOT
from tools import readme_tables

SCORES = ("dataset", "method", "trial", "protocol", "seed", "acc", "nmi", "ari", "iterations", "stop_reason")
SHORT = ("--pretrain_epochs", "3", "--maxiter", "40")
QUICK = tuple(method for method in METHODS if "UMAP" not in method)  # which compiles for half a minute in each process
FEW = ("k-means", "DEC")  # where the sweep matters and not what its methods do


@pytest.fixture(scope="module")
def blobs_folder(tmp_path_factory):
    """A folder with blobs.npz."""
    folder = tmp_path_factory.mktemp("reference")
    x, y = make_blobs(100, 6, centers=3, cluster_std=4, random_state=0)
    np.savez(folder / "blobs.npz", x=x / 10, y=y)
    return folder


def run_trials_here(patch):
    """Has trials run in this process, and not in their own, each of which would import TensorFlow first."""

    class Process:
        def __init__(self, command, **_):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                Trial(json.loads(command[-1]), {"DEC": DEC, "IDEC": IDEC}).run()
            self.stdout = out.getvalue().splitlines(keepends=True)

        def wait(self):
            return 0

    names = {"PIPE": subprocess.PIPE, "STDOUT": subprocess.STDOUT}
    patch.setattr(run_exp, "subprocess", SimpleNamespace(Popen=Process, **names))


@pytest.fixture
def in_this_process(monkeypatch):
    run_trials_here(monkeypatch)


@pytest.fixture(scope="module")
def reference(blobs_folder):
    """That folder, with an unbroken sweep of it: 2 trials."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(blobs_folder)
        run_trials_here(patch)
        code, _ = sweep("--datasets", "blobs.npz", "--trials", 2)
    assert code == 0
    return blobs_folder


@pytest.fixture
def npz(blobs_folder, tmp_path, monkeypatch):
    """The file, and in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return str(blobs_folder / "blobs.npz")


def sweep(*arguments):
    """Exit code and output of a sweep of the quick methods; its trials have processes of their own."""
    with contextlib.redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit) as end:
        run_exp.main([*SHORT, "--methods", *QUICK, *map(str, arguments)])
    return end.value.code, out.getvalue()


def start(*arguments):
    """The same as a user starts it, in the current folder."""
    command = [sys.executable, str(ROOT / "run_exp.py"), *SHORT, "--methods", *QUICK, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def rows(folder):
    """What of a sweep's rows does not depend on time and memory."""
    return [{name: row[name] for name in SCORES} for row in read_rows(Path(folder, "results.csv"))]


def test_rows_are_the_command_lines(reference, tmp_path, monkeypatch):
    """DEC.py from the start == DEC.py from its weights == the row; IDEC.py from the same weights."""
    monkeypatch.chdir(tmp_path)

    def command_line(method, folder, *more):
        short = (*SHORT, "--dataset", str(reference / "blobs.npz"), "--seed", "1", "--save_dir", folder)
        helpers.command(method, [*short, *more])
        with open(Path(folder, f"{method.name.lower()}_log.csv"), newline="") as file:
            return list(csv.DictReader(file))

    start_to_end = command_line(DEC, "dec")
    from_weights = command_line(DEC, "dec2", "--ae_weights", "dec/ae_weights.h5")
    idec = command_line(IDEC, "idec", "--ae_weights", "dec/ae_weights.h5")
    assert start_to_end == from_weights
    by_method = {row["method"]: row for row in read_rows(reference / "results/exp1/results.csv") if row["trial"] == 2}
    assert tuple(by_method) == QUICK
    for method, line in (("AE+k-means", start_to_end[0]), ("DEC", start_to_end[-1]), ("IDEC", idec[-1])):
        for score in ("acc", "nmi", "ari"):
            assert by_method[method][score] == float(line[score]), method
    dec = by_method["DEC"]
    assert (dec["dataset"], dec["trial"], dec["seed"], dec["protocol"]) == ("blobs", 2, 1, "dec-keras")
    assert dec["iterations"] == int(start_to_end[-1]["iter"])
    assert (by_method["k-means"]["pretrain_seconds"], by_method["k-means"]["iterations"]) == (None, None)
    assert dec["pretrain_seconds"] > 0
    assert dec["cluster_seconds"] > 0
    assert 100 < dec["peak_memory_mb"] < 10_000
    assert dec["numpy"] == np.__version__
    assert not list(reference.rglob("*_model_[0-9]*.h5"))


def test_every_method_has_a_row(npz, in_this_process, monkeypatch):
    """Those on a manifold without it: it stands for itself in its own tests."""
    monkeypatch.setitem(trial.STARTS, "manifold", trial.STARTS["gmm"])
    monkeypatch.setattr(trial, "umap_of", lambda x, n_components, seed: x)
    assert sweep("--datasets", npz, "--trials", 1, "--methods", *METHODS)[0] == 0
    found = rows("results/exp1")
    assert tuple(row["method"] for row in found) == METHODS
    by_method = {row["method"]: [row[score] for score in ("acc", "nmi", "ari")] for row in found}
    assert by_method["UMAP+k-means"] == by_method["k-means"]
    data = np.load(npz)
    found = HDBSCAN(min_cluster_size=5, copy=True).fit_predict(minmax_scale(data["x"]))  # as the sweep scales it
    expected = metrics.scores(data["y"], found)
    assert by_method["UMAP+HDBSCAN"] == pytest.approx(list(expected.values()), abs=1e-5)
    assert by_method["AE+UMAP+GMM"] == by_method["AE+GMM"]


def test_a_sweep_of_few_samples_starts_auto_from_kmeans(tmp_path, in_this_process, monkeypatch):
    """UMAP needs more."""
    monkeypatch.chdir(tmp_path)
    x, y = make_blobs(N_NEIGHBORS, 3, centers=2, random_state=0)
    np.savez("few.npz", x=x, y=y)
    code, _ = sweep("--datasets", "few.npz", "--trials", 1, "--protocol", "best", "--methods", "AE+k-means", "DEC")
    assert (code, len(rows("results/exp1"))) == (0, 2)


def test_a_resumed_sweep_repeats_nothing_that_is_done(reference, npz, in_this_process):
    """A row that is lost but was kept in its folder, and a method that was cut off."""
    shutil.copytree(reference / "results", "results")
    folder = Path("results/exp1")
    weights = folder / "blobs/trial1/ae_weights.h5"
    pretrained = weights.stat().st_mtime_ns
    (folder / "blobs/trial1/IDEC.json").unlink()
    ours = [row for row in read_rows(folder / "results.csv") if row["trial"] == 1]
    write_rows(folder / "results.csv", ours[:-2])
    arguments = ("--datasets", npz, "--trials", 1)
    assert "blobs, trial 1: would run DEC, IDEC\n" in sweep(*arguments, "--dry-run")[1]
    code, _ = sweep(*arguments)
    assert (code, rows(folder)) == (0, [row for row in rows(reference / "results/exp1") if row["trial"] == 1])
    assert weights.stat().st_mtime_ns == pretrained
    log = (folder / "blobs/trial1/log.txt").read_text()
    assert (log.count("trial 1: DEC"), log.count("trial 1: IDEC")) == (1, 2)

    times = (folder / "results.csv").stat().st_mtime_ns
    code, _ = sweep(*arguments)
    assert code == 0
    assert (folder / "results.csv").stat().st_mtime_ns == times


def test_a_trial_has_the_sweeps_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tasks = []
    monkeypatch.setattr(sweep_module, "run", lambda args, todo, run_trial: tasks.extend(todo))
    sweep("--datasets", "digits", "--trials", 2, "--protocol", "idec", "--seed", 5)
    config = Trial(tasks[1], {}).config.with_protocol()
    assert (config.dataset, config.protocol, config.seed, config.maxiter) == ("digits", "idec", 6, 40)
    assert (config.pretrain_epochs, config.update_interval) == (3, 140)


def test_jobs_share_the_cores(tmp_path, monkeypatch):
    """A trial in whose place a script tells its environment."""
    script = tmp_path / "trial.py"
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    script.write_text("import json, os; json.dump(dict(os.environ), open('DEC.json', 'w'))")
    monkeypatch.chdir(tmp_path)
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OPENBLAS_NUM_THREADS")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")  # what is set already stays
    for jobs, threads in ((1, "8"), (3, "2"), (9, "1")):
        _, environments = run_exp.run_trial({"folder": str(tmp_path), "methods": ["DEC"], "script": str(script)}, jobs)
        assert [environments["DEC"][name] for name in (*names, "OMP_NUM_THREADS")] == [threads] * 3 + ["5"]


def test_other_settings_are_refused(reference, npz, capsys):
    shutil.copytree(reference / "results", "results")
    assert sweep("--datasets", npz, "--seed", 1, "--protocol", "fast")[0] == 2
    assert "was made with protocol dec-keras, seed 0: give the same" in capsys.readouterr().err
    Path("other").mkdir()
    shutil.copy(npz, "other")
    assert sweep("--datasets", "other/blobs.npz")[0] == 2
    assert f"was made with blobs {npz}: give the same" in capsys.readouterr().err
    Path("results/exp1/settings.json").write_text("{")
    assert sweep("--datasets", npz)[0] == 2
    assert "settings.json: damaged" in capsys.readouterr().err


def killed_sweep(arguments, kills, most_seconds):
    """Starts the sweep `kills` times and kills it within one of the next four methods, then lets it end."""
    chance = random.Random(7)
    for _ in range(kills):
        until = begun() + chance.randint(1, 4)
        process = start(*arguments)
        while begun() < until:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.02)
        time.sleep(chance.uniform(0, most_seconds))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert sweep(*arguments)[0] == 0


def begun():
    """How many times methods of this folder's sweeps have begun."""
    return sum(times_begun(log) for log in Path().glob("results/*/*/*/log.txt"))


@pytest.mark.slow
def test_a_killed_sweep_ends_as_one_never_killed(reference, npz, in_this_process):
    killed_sweep(["--datasets", npz, "--trials", 1], kills=1, most_seconds=1)
    assert rows("results/exp1") == [row for row in rows(reference / "results/exp1") if row["trial"] == 1]


@pytest.mark.slow
def test_five_kills_on_digits(tmp_path, monkeypatch):
    """Each phase takes seconds, so that there are checkpoints to go on from and rows to keep."""
    arguments = ["--datasets", "digits", "--trials", 3, "--pretrain_epochs", 60, "--maxiter", 600]
    (tmp_path / "unbroken").mkdir()
    (tmp_path / "killed").mkdir()
    monkeypatch.chdir(tmp_path / "unbroken")
    assert sweep(*arguments)[0] == 0
    monkeypatch.chdir(tmp_path / "killed")
    killed_sweep(arguments, kills=5, most_seconds=5)
    assert rows("results/exp1") == rows(tmp_path / "unbroken/results/exp1")
    assert len(rows("results/exp1")) == 3 * len(QUICK)
    logs = [log.read_text() for log in Path("results/exp1/digits").glob("*/log.txt")]
    assert sum("Going on behind epoch" in log for log in logs) > 0
    assert sum(log.count(", trial ") > len(QUICK) for log in logs) > 1  # more than one trial was cut off


@pytest.mark.slow
def test_two_jobs_on_digits_give_the_same_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ("--datasets", "digits", "--trials", 2)
    assert sweep(*arguments)[0] == 0
    assert sweep(*arguments, "--jobs", 2, "--name", "two")[0] == 0
    assert rows("results/two") == rows("results/exp1")


def test_two_jobs_give_the_same_rows(reference, npz):
    assert sweep("--datasets", npz, "--trials", 2, "--jobs", 2, "--methods", *FEW)[0] == 0
    assert rows("results/exp1") == [row for row in rows(reference / "results/exp1") if row["method"] in FEW]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def cluster():
    """A scheduler and two workers on loopback: its address, and the workers' processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
    address, quiet = f"tcp://127.0.0.1:{port}", {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
    processes = [subprocess.Popen([*command, "--no-dashboard"], **quiet) for command in (dask, worker, worker)]
    until = time.monotonic() + 300
    while not listens(port):
        assert time.monotonic() < until, "the scheduler does not listen"
        time.sleep(0.2)
    yield address, processes[1:]
    for process in processes:
        process.kill()
        process.wait()


def dask_sweep(cluster, arguments, label, methods):
    """Runs a sweep of two trials on the cluster; kills the worker whose trial is the first to have begun a method."""
    address, workers = cluster
    process = start(*arguments, "--methods", *methods, "--dask", address, "--jobs", 2, "--name", "dask")
    logs = {trial: Path(f"results/dask/{label}/trial{trial}/log.txt") for trial in (1, 2)}
    until = time.monotonic() + 300
    while not (begun := [trial for trial, log in logs.items() if times_begun(log)]):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < until, "no worker has begun"
        time.sleep(0.1)
    task = f'"trial": {begun[0]},'
    (worker,) = [w for w in workers if any(task in command for command in children(w).values())]
    worker.kill()
    out, _ = process.communicate()
    assert process.returncode == 0, out
    assert times_begun(logs[begun[0]]) == len(methods) + 1  # what was cut off began twice
    assert [w.poll() for w in workers if w is not worker] == [None]


def times_begun(log):
    lines = log.read_text().splitlines() if log.exists() else []
    return sum(line.startswith(PHASE) and line.rpartition(": ")[2] in METHODS for line in lines)  # not pretraining


def children(process):
    """The trials that `process` has started: {process id: command line}."""
    found = [one for one in psutil.process_iter(["ppid", "cmdline"]) if one.info["ppid"] == process.pid]
    commands = {one.pid: " ".join(one.info["cmdline"] or ()) for one in found}  # None of one that has just ended
    return {pid: command for pid, command in commands.items() if "run_exp.py" in command}


@pytest.mark.slow
def test_a_dask_worker_that_dies_has_its_trial_run_elsewhere(reference, npz, cluster):
    dask_sweep(cluster, ["--datasets", npz, "--trials", 2], "blobs", FEW)
    assert rows("results/dask") == [row for row in rows(reference / "results/exp1") if row["method"] in FEW]


@pytest.mark.slow
def test_dask_on_digits_gives_the_same_rows(tmp_path, monkeypatch, cluster):
    monkeypatch.chdir(tmp_path)
    arguments = ("--datasets", "digits", "--trials", 2)
    dask_sweep(cluster, arguments, "digits", ["DEC"])
    assert sweep(*arguments, "--methods", "DEC")[0] == 0
    assert rows("results/dask") == rows("results/exp1")


def test_a_trial_whose_parent_died_ends(tmp_path):
    """Its stdin ends with the parent's life; it would else run beside the resumed one."""
    task = {"folder": str(tmp_path), "methods": []}
    with open(tmp_path / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # it waits for this, after its imports
        process = subprocess.Popen(
            [sys.executable, ROOT / "run_exp.py", "trial", json.dumps(task)], stdin=subprocess.PIPE
        )
        process.stdin.close()
        assert process.wait(300) == 1


def test_damaged_and_missing_data_leave_the_rest_intact(reference, npz, in_this_process, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "DATA", tmp_path / "data")
    Path("broken.npz").write_bytes(Path(npz).read_bytes()[:500])
    Path("data/pendigits").mkdir(parents=True)
    for name in ("pendigits.tra", "pendigits.tes"):
        Path("data/pendigits", name).write_text("1,2\n3\n")
    monkeypatch.setenv("DEC_DATA_DIR", str(tmp_path / "data"))
    arguments = ("--trials", 1, "--methods", "k-means", "--datasets")
    code, out = sweep(*arguments, "broken.npz", "pendigits", npz, "rcv1-10k")
    assert code == 1
    assert rows("results/exp1") == rows(reference / "results/exp1")[:1]
    assert "Skipped rcv1-10k: No data" in out
    for text in ("FAILED: broken", "FAILED: pendigits"):
        assert text in out
    log = Path("results/exp1/errors.log").read_text()
    assert log.count("Traceback") >= 2
    assert "rcv1-10k" not in log
    code, out = sweep(*arguments, npz, "rcv1-10k")
    assert (code, rows("results/exp1")) == (0, rows(reference / "results/exp1")[:1])


def test_a_dry_run_says_what_is_not_here(npz, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "DATA", tmp_path / "data")
    monkeypatch.setenv("DEC_DATA_DIR", str(tmp_path / "data"))
    code, out = sweep("--datasets", npz, "digits", "stl", "--trials", 1, "--methods", "DEC", "--dry-run")
    assert code == 0
    assert out.splitlines() == [
        "blobs, trial 1: would run DEC",
        "digits, trial 1: would run DEC",
        "stl: its files are not here; they would be downloaded, or it would be skipped",
        "stl, trial 1: would run DEC",
        "3 of 3 trials would run.",
    ]


def test_a_trial_that_cannot_begin_leaves_the_rest_intact(reference, npz, in_this_process):
    """Its folder cannot be made; nor have data without labels a score."""
    shutil.copy(npz, "other.npz")
    np.savez("unlabelled.npz", x=np.load(npz)["x"])
    Path("results/exp1").mkdir(parents=True)
    Path("results/exp1/other").touch()
    arguments = ("--trials", 1, "--methods", "k-means", "--datasets")
    code, out = sweep(*arguments, "other.npz", "unlabelled.npz", npz)
    assert (code, rows("results/exp1")) == (1, rows(reference / "results/exp1")[:1])
    assert "FAILED: other, trial 1, k-means: NotADirectoryError" in out
    assert out.count("unlabelled has no labels to score by: give an .npz file with x and y.") == 1


def test_a_full_disk_is_no_fault_of_the_cluster(npz, monkeypatch, capsys):
    def full(*_):
        raise InputError("Cannot write results.csv: make room.")

    monkeypatch.setattr(sweep_module, "workers", lambda args: contextlib.nullcontext())
    monkeypatch.setattr(run_exp, "run_trial", lambda task, jobs: (task, {}))
    monkeypatch.setattr(sweep_module, "keep", full)
    assert sweep("--datasets", npz, "--dask", "tcp://127.0.0.1:9")[0] == 2
    assert "make room" in capsys.readouterr().err
    assert not Path("results/exp1/errors.log").exists()


def test_a_trials_memory_is_its_own():
    """Not that of the process which started it, as Linux's ru_maxrss is: here pytest's, with all of TensorFlow."""
    code = f"import re, sys\nfrom pathlib import Path\n{inspect.getsource(peak_memory)}\nprint(peak_memory())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1 < int(child.stdout) < 100 < peak_memory()


def test_a_trial_that_fails_is_logged_and_tried_again(npz, in_this_process):
    """Its k-means row is kept; pretraining cannot save its weights, and is tried once, not for each method."""
    in_the_way = Path("results/exp1/blobs/trial1/ae_weights.h5")
    in_the_way.mkdir(parents=True)
    arguments = ("--trials", 1, "--datasets", npz, "--methods", "k-means", "AE+k-means", "DEC")
    code, out = sweep(*arguments)
    assert code == 1
    assert out.count("FAILED: blobs, trial 1") == 2
    said = ["blobs, trial 1: k-means", "blobs, trial 1: AE+k-means", "blobs, trial 1: pretraining"]
    assert out.splitlines()[1:4] == said  # its phases, behind what is said of the data
    assert Path("results/exp1/errors.log").read_text().count("IsADirectoryError") >= 2
    assert Path("results/exp1/blobs/trial1/log.txt").read_text().count("Epoch 1/3") == 1
    assert [row["method"] for row in rows("results/exp1")] == ["k-means"]
    assert "blobs, trial 1: would run AE+k-means, DEC\n" in sweep(*arguments, "--dry-run")[1]
    in_the_way.rmdir()
    assert sweep(*arguments)[0] == 0
    assert [row["method"] for row in rows("results/exp1")] == ["k-means", "AE+k-means", "DEC"]


def test_a_trial_that_crashes_is_logged(npz):
    """Killed from outside, as for want of memory; nothing of it is taken for a result."""
    process = start("--datasets", npz, "--trials", 1)
    until = time.monotonic() + 300
    while not (trials := children(process)):
        assert time.monotonic() < until, "no trial has begun"
        time.sleep(0.1)
    for pid in trials:
        os.kill(pid, signal.SIGKILL)
    out, _ = process.communicate()
    assert process.returncode == 1
    assert "ended with code -9" in out
    assert "trial 1: done, 1 of 1\n" in out
    assert "trial/s" not in out  # that bar is for terminals
    assert rows("results/exp1") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--datasets", "imagenet"], "There is no data set or file 'imagenet'"),
        (["--datasets", "blobs.npz", "other/blobs.npz"], "Two data sets are called blobs"),
        (["--datasets", "other/usps.npz"], "other/usps.npz is called like the data set usps: rename it"),
        (["--datasets", "other/reuters.npz"], "other/reuters.npz is called like the data set reuters: rename it"),
        (["--trials", "0"], "--trials is 0"),
        (["--jobs", "two"], "--jobs is two"),
        (["--seed", "4294967290"], "at most 4294967286"),
        (["--name", "../exp1"], "the name of a folder"),
        (["--report-only"], "run the sweep first"),
        (["--datasets", "blobs.npz", "--dask", "tcp://127.0.0.1:9"], "no dask scheduler at tcp://127.0.0.1:9"),
    ],
)
def test_bad_input_ends_in_one_sentence(npz, capsys, monkeypatch, arguments, message):
    monkeypatch.setattr(sweep_module, "DASK_SECONDS", 0.5)
    Path("other").mkdir()
    for path in (".", "other", "other/usps.npz", "other/reuters.npz"):
        shutil.copy(npz, path)
    with pytest.raises(SystemExit) as end:
        run_exp.main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_dask_without_workers_is_told(npz, capsys, monkeypatch):
    monkeypatch.setattr(sweep_module, "DASK_SECONDS", 2)
    with distributed.LocalCluster(n_workers=0, dashboard_address=":0") as cluster:
        address = cluster.scheduler_address
        with pytest.raises(SystemExit) as end:
            run_exp.main(["--datasets", npz, "--trials", "1", "--dask", address])
    assert end.value.code == 2
    message = f"The dask scheduler at {address} has no workers: start some, `dask worker {address}`."
    assert message in capsys.readouterr().err


def test_dask_missing_is_told(npz, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SystemExit) as end:
        run_exp.main(["--datasets", npz, "--dask", "tcp://127.0.0.1:8786"])
    assert end.value.code == 2
    assert "pip install distributed" in capsys.readouterr().err


def test_two_sweeps_do_not_share_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results" / "exp1").mkdir(parents=True)
    with lock_folder(tmp_path / "results" / "exp1"), pytest.raises(SystemExit) as end:
        run_exp.main(["--datasets", "digits"])
    assert end.value.code == 2
    assert "Another run writes to" in capsys.readouterr().err
    assert not (tmp_path / "results" / "exp1" / "settings.json").exists()


def test_defaults_are_those_of_the_seed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = run_exp.parse([])
    assert list(args.datasets) == ["usps", "reuters10k", "stl", "mnist", "fmnist"]
    assert (args.trials, args.protocol, args.jobs) == (10, "dec-keras", 1)
    assert args.folder == tmp_path / "results" / "exp1"
    assert not (tmp_path / "results").exists()


# The report.


def made_up(datasets=("usps", "mine"), methods=METHODS, trials=3):
    """Rows with known scores."""
    rng = np.random.default_rng(0)
    blank = dict.fromkeys(COLUMNS, "1")
    return [
        blank
        | {"dataset": dataset, "method": method, "trial": t, "seed": t - 1, "protocol": "fast", "stop_reason": "tol"}
        | {name: round(rng.uniform(0.5, 0.9), 5) for name in ("acc", "nmi", "ari")}
        for dataset in datasets
        for t in range(1, trials + 1)
        for method in methods
    ]


def test_tables_hold_mean_deviation_range_and_published(tmp_path):
    results = made_up()
    write_rows(tmp_path / "results.csv", results)
    text = report.tables(tmp_path / "results.csv")
    acc = 100 * np.array([row["acc"] for row in results if (row["dataset"], row["method"]) == ("usps", "DEC")])
    spread = f"{acc.mean():.1f} ± {acc.std(ddof=1):.1f} ({acc.min():.1f}..{acc.max():.1f})"
    assert f"| usps | DEC | 3 | 0-2 | {spread} |" in text
    assert "|  | acc, published | 67 |  |  | 70.9 |  |  | 76.4 | 76.1 |  |" in text
    assert text.index("| usps | acc |") < text.index("| mine | acc |")
    assert "mine | acc" in text
    assert text.count("published |") == 2  # none of mine
    assert "protocol `fast`" in text


def test_dec_da_stands_beside_what_its_paper_published(tmp_path):
    rows = [row | {"protocol": "dec-da"} for row in made_up()]
    assert report.published(rows) is report.DEC_DA
    assert report.published([*rows, made_up()[0]]) is report.SEEDS
    write_rows(tmp_path / "results.csv", rows)
    text = report.tables(tmp_path / "results.csv")
    assert "|  | acc, published |  |  |  | 93.6 |  |  | 98.0 | 98.4 |  |" in text
    assert "below ours what was published: FcDEC-DA's and FcIDEC-DA's." in text


def test_dots_are_the_scores_and_ticks_what_was_published():
    results = made_up()
    figure = sweep_figures.scores_figure(results, METHODS, report.SEEDS.scores, report.SEEDS.label)
    (axes,), (legend,) = figure.axes, figure.legends
    assert legend.get_texts()[-1].get_text() == "published (DEC-keras, IDEC)"
    FigureCanvasAgg(figure).draw()
    assert legend.get_window_extent().width < figure.bbox.width
    dots = {
        part.get_label(): part.get_offsets()[:, 1].tolist() for part in axes.collections if len(part.get_offsets()) > 1
    }
    assert list(dots) == list(METHODS)
    for method in METHODS:
        rows = [
            row for name in ("usps", "mine") for row in results if (row["dataset"], row["method"]) == (name, method)
        ]
        assert dots[method] == pytest.approx([100 * row["acc"] for row in rows])
    ticks = [part.get_segments()[0][0][1] for part in axes.collections if part.get_label() == report.SEEDS.label]
    assert ticks == [67, 70.9, 76.4, 76.1]
    assert axes.get_ylim()[0] > min(100 * row["acc"] for row in results) - 10


def test_the_band_of_the_iterations_spans_the_trials_and_keeps_the_last_score_of_each(tmp_path):
    for number, log in ((1, "0,0.5\n30,0.7\n"), (2, "0,0.3\n30,\n60,0.5\n")):
        (tmp_path / "usps" / f"trial{number}").mkdir(parents=True)
        (tmp_path / "usps" / f"trial{number}" / "dec_log.csv").write_text("iter,acc\n" + log)
    acc, nmi = sweep_figures.iterations_figure(tmp_path, made_up(["usps"])).axes
    assert acc.lines[0].get_xydata() == pytest.approx(np.array([[0, 40], [30, 55], [60, 60]]))
    band = acc.collections[0].get_paths()[0].vertices[:, 1]
    assert [band.min(), band.max()] == pytest.approx([30, 70])
    assert not nmi.lines


@pytest.mark.parametrize(("seeds", "text"), [([0, 1, 2, 5], "0-2, 5"), ([4], "4"), ([3, 1], "1, 3"), ([2, 1], "1-2")])
def test_ranges(seeds, text):
    assert report.ranges(seeds) == text


def test_the_report_depends_on_the_results_alone(tmp_path, monkeypatch):
    """The same bytes again, rows in any order; figures and DEC-keras' layout too."""
    folder = tmp_path / "results" / "mine"
    (folder / "usps" / "trial1").mkdir(parents=True)
    (folder / "usps" / "trial1" / "dec_log.csv").write_text("iter,acc,nmi,ari\n0,0.5,0.4,0.3\n30,0.6,0.5,0.4\n")
    results = made_up()
    lines = [axes.lines for axes in sweep_figures.iterations_figure(folder, results).axes]
    assert [[line.get_xydata().tolist() for line in panel] for panel in lines] == [
        [[[0, 50], [30, 60]]],
        [[[0, 40], [30, 50]]],
    ]
    write_rows(folder / "results.csv", results)
    report.write_report(folder)
    names = ("results.csv", "README.md", "table.tex", "results_dec-keras.csv", "scores.png", "iterations.png")
    before = {name: (folder / name).read_bytes() for name in names}
    write_rows(folder / "results.csv", results[::-1])
    for name in names[1:]:
        (folder / name).unlink()
    monkeypatch.chdir(tmp_path)
    message = f"Results: {Path('results/mine/README.md').resolve()}\n"
    assert sweep("--report-only", "--name", "mine") == (0, message)
    assert {name: (folder / name).read_bytes() for name in names} == before
    text = (folder / "README.md").read_text()
    assert "python run_exp.py --name mine --datasets usps mine --trials 3 --protocol fast" in text
    assert report.tables(folder / "results.csv") in text

    with open(folder / "results_dec-keras.csv", newline="") as file:
        seeds = list(csv.DictReader(file))
    assert [row["trials"] for row in seeds] == ["usps", "0", "1", "2", " ", "0", "1", "2", " "] + [
        *("mine", "0", "1", "2", " ", "0", "1", "2", " ")
    ]
    start = [row["acc"] for row in results if (row["dataset"], row["method"]) == ("usps", "AE+k-means")]
    dec = [row["acc"] for row in results if (row["dataset"], row["method"]) == ("usps", "DEC")]
    assert [float(row["acc"]) for row in seeds[1:4]] == [0.5, *start[1:]]  # by the log, which one trial has
    assert [seeds[1][score] for score in ("nmi", "ari")] == ["0.4", "0.3"]
    assert [float(row["acc"]) for row in seeds[5:8]] == dec
    assert float(seeds[8]["acc"]) == pytest.approx(np.mean(dec), abs=1e-6)


def test_the_report_names_the_commands_of_its_rows(tmp_path):
    rows = made_up(["usps"], METHODS[:1], 1) + made_up(["mine", "digits"], METHODS[:1], 2)
    (tmp_path / "settings.json").write_text(
        json.dumps({"protocol": "fast", "seed": 0, "files": {"mine": "/d/mine.npz"}})
    )
    start = f"`python run_exp.py --name {tmp_path.name} --datasets"
    options = "--protocol fast --seed 0 --methods k-means`"
    first, second = report.commands(tmp_path, rows).split(" and ")
    assert first == f"{start} usps --trials 1 {options}"
    assert second == f"{start} digits /d/mine.npz --trials 2 {options}"


def test_damaged_results_are_told(tmp_path):
    path = tmp_path / "results.csv"
    write_rows(path, made_up())
    path.write_text(path.read_text().replace(",fast,0,", ",fast,zero,", 1))
    with pytest.raises(InputError, match=r"is damaged in line 2"):
        read_rows(path)
    write_rows(path, [row | {"keras": ""} for row in made_up()])
    with pytest.raises(InputError, match=r"is damaged in line 2 .*keras, .*not empty"):
        read_rows(path)
    path.write_text("trials,acc\n0,1\n")
    with pytest.raises(InputError, match="other columns"):
        read_rows(path)


def test_the_table_for_latex_has_means_and_deviations():
    table = report.latex(report.grouped(made_up(["usps", "my_own"], ("k-means", "DEC"))))
    assert table.splitlines()[:5] == [
        "% Mean ACC and NMI in % of 3 trials, and standard deviations.",
        r"\begin{tabular}{llrr}",
        r"\toprule",
        r" &  & k-means & DEC \\",
        r"\midrule",
    ]
    acc = [100 * row["acc"] for row in made_up(["usps", "my_own"], ("k-means", "DEC")) if row["dataset"] == "my_own"]
    cells = [rf"{np.mean(acc[i::2]):.1f} $\pm$ {np.std(acc[i::2], ddof=1):.1f}" for i in range(2)]
    assert rf"my\_own & ACC & {' & '.join(cells)} \\" in table
    single = report.latex(report.grouped(made_up(["usps"], ("DEC",), 1)))
    assert "pm" not in single
    assert "of 1 trial," in single
    assert "$n$" not in table + single


def test_the_table_for_latex_says_where_the_trials_differ():
    rows = made_up(["usps"], ("k-means",)) + made_up(["usps"], ("DEC",), 1) + made_up(["mine"], ("DEC",), 2)
    table = report.latex(report.grouped(rows))
    assert "% Mean ACC and NMI in % of n trials" in table
    assert [line for line in table.splitlines() if "$n$" in line] == [r" & $n$ & 3 & 1 \\", r" & $n$ &  & 2 \\"]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no clone: git does not say which results are tracked")
def test_the_pages_have_the_tables_of_the_committed_results():
    for page, filled in readme_tables.PAGES.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        assert filled(text, readme_tables.tracked_results()) == text


def test_tables_are_put_between_the_markers(tmp_path, monkeypatch):
    monkeypatch.setattr(readme_tables, "ROOT", tmp_path)
    path = tmp_path / "results" / "exp1" / "results.csv"
    path.parent.mkdir(parents=True)
    write_rows(path, made_up())
    text = "before\n\n<!-- results -->\nold\n<!-- /results -->\n\nafter\n"
    new = readme_tables.with_tables(text, [path])
    assert new.startswith("before\n\n<!-- results -->\n## [exp1](../results/exp1)\n\n")
    assert report.tables(path) in new
    assert new.endswith("\n<!-- /results -->\n\nafter\n")
    assert "old" not in new
    assert readme_tables.with_tables(new, [path]) == new
    usps = [row for row in made_up() if (row["dataset"], row["method"]) == ("usps", "DEC")]
    acc, nmi = (100 * np.mean([row[score] for row in usps]) for score in ("acc", "nmi"))
    ours = f"{acc:.1f} / {nmi:.1f} ({len(usps)})"
    row = f"| USPS | DEC | 76.4 / 78.7 |  | {ours} |  | 98.0 / 94.5, DEC-DA |\n"
    assert row in readme_tables.with_summary(text, [path])
    with pytest.raises(InputError, match="run this in a clone"):
        readme_tables.tracked_results()
    with pytest.raises(InputError, match="lacks the lines"):
        readme_tables.with_tables("no markers", [path])
