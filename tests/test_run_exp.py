"""Sweeps: real ones on small data, killed and resumed, in several processes and on a dask cluster; their report."""

import csv
import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import report
import run_exp
from report import COLUMNS, METHODS, read_rows, write_rows

ROOT = Path(__file__).resolve().parent.parent
SCORES = ("dataset", "method", "trial", "protocol", "seed", "acc", "nmi", "ari", "iterations", "stop_reason")
SHORT = ("--pretrain_epochs", "3", "--maxiter", "40")


@pytest.fixture
def npz(blobs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "blobs.npz", x=blobs[0], y=blobs[1])
    return "blobs.npz"


def start(*arguments, **options):
    """A sweep as a user starts it, in the current folder."""
    command = [sys.executable, str(ROOT / "run_exp.py"), *SHORT, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def sweep(*arguments):
    """Exit code, stdout and stderr of a sweep."""
    process = start(*arguments)
    out, err = process.communicate()
    return process.returncode, out, err


def rows(name="exp1"):
    """What of a sweep's rows does not depend on time and memory."""
    return [{name: row[name] for name in SCORES} for row in read_rows(Path("results", name, "results.csv"))]


def test_a_sweep_gives_the_command_lines_rows(npz, tmp_path):
    """DEC.py from the start == DEC.py from its weights == the row; IDEC.py from the same weights."""
    code, out, err = sweep("--datasets", npz, "--trials", 1, "--seed", 7)
    assert (code, err) == (0, "")
    assert "0 of 1 trials done; running: blobs 1; waiting: 0" in out
    assert "1 of 1 trials done" in out

    def command_line(script, folder, *more):
        short = (*SHORT, "--dataset", npz, "--seed", "7", "--save_dir", folder)
        subprocess.run([sys.executable, ROOT / script, *short, *more], check=True, capture_output=True)
        with open(Path(folder, f"{script[:-3].lower()}_log.csv"), newline="") as file:
            return list(csv.DictReader(file))

    start_to_end = command_line("DEC.py", "dec")
    from_weights = command_line("DEC.py", "dec2", "--ae_weights", "dec/ae_weights.h5")
    idec = command_line("IDEC.py", "idec", "--ae_weights", "dec/ae_weights.h5")
    assert start_to_end == from_weights
    by_method = {row["method"]: row for row in read_rows(Path("results/exp1/results.csv"))}
    assert tuple(by_method) == METHODS
    for method, line in (("AE+k-means", start_to_end[0]), ("DEC", start_to_end[-1]), ("IDEC", idec[-1])):
        for score in ("acc", "nmi", "ari"):
            assert by_method[method][score] == float(line[score]), method
    dec = by_method["DEC"]
    assert (dec["dataset"], dec["trial"], dec["seed"], dec["protocol"]) == ("blobs", 1, 7, "dec-keras")
    assert (dec["iterations"], dec["stop_reason"]) == (int(start_to_end[-1]["iter"]), "maxiter")
    assert (by_method["k-means"]["pretrain_seconds"], by_method["k-means"]["iterations"]) == (None, None)
    assert dec["pretrain_seconds"] > 0
    assert dec["cluster_seconds"] > 0
    assert 100 < dec["peak_memory_mb"] < 10_000
    assert dec["numpy"] == np.__version__
    assert not list(Path("results").rglob("*_model_[0-9]*.h5"))


def test_a_resumed_sweep_repeats_nothing_that_is_done(npz):
    """A second trial, a lost row, a half-done trial: only what is missing runs."""
    base = ("--datasets", npz, "--methods", "k-means", "AE+k-means", "AE+GMM")
    assert sweep(*base, "--trials", 1)[0] == 0
    expected, folder = rows(), Path("results/exp1")
    weights = folder / "blobs/trial1/ae_weights.h5"
    pretrained = weights.stat().st_mtime_ns
    (folder / "blobs/trial1/AE+GMM.json").unlink()
    write_rows(folder / "results.csv", [row for row in read_rows(folder / "results.csv") if row["method"] == "k-means"])
    code, out, _ = sweep(*base, "--trials", 2)
    assert code == 0
    assert [row for row in rows() if row["trial"] == 1] == expected
    assert [(row["trial"], row["seed"]) for row in rows()] == [(1, 0)] * 3 + [(2, 1)] * 3
    assert weights.stat().st_mtime_ns == pretrained
    assert "2 of 2 trials done" in out

    times = (folder / "results.csv").stat().st_mtime_ns
    code, out, _ = sweep(*base, "--trials", 2)
    assert code == 0
    assert "0 of 0 trials done" in out
    assert (folder / "results.csv").stat().st_mtime_ns == times
    code, _, err = sweep(*base, "--trials", 2, "--seed", 1)
    assert code == 2
    assert "was made with seed 0" in err


def killed_sweep(arguments, kills, seconds):
    """Starts the sweep `kills` times and kills it after so many seconds at most, then lets it end."""
    for _ in range(kills):
        process = start(*arguments)
        time.sleep(random.uniform(*seconds))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert sweep(*arguments)[0] == 0


def test_a_killed_sweep_ends_as_one_never_killed(npz):
    arguments = ("--datasets", npz, "--trials", 1)
    assert sweep(*arguments)[0] == 0
    killed_sweep([*arguments, "--name", "killed"], kills=1, seconds=(7, 11))
    assert rows("killed") == rows("exp1")


@pytest.mark.slow
def test_five_kills_on_digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ("--datasets", "digits", "--trials", 2)
    assert sweep(*arguments)[0] == 0
    killed_sweep([*arguments, "--name", "killed"], kills=5, seconds=(4, 25))
    assert rows("killed") == rows("exp1")
    assert len(rows("killed")) == 2 * len(METHODS)


@pytest.mark.slow
def test_two_jobs_on_digits_give_the_same_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ("--datasets", "digits", "--trials", 2)
    assert sweep(*arguments)[0] == 0
    assert sweep(*arguments, "--jobs", 2, "--name", "two")[0] == 0
    assert rows("two") == rows("exp1")


def test_two_jobs_give_the_same_rows(npz):
    arguments = ("--datasets", npz, "--trials", 2, "--methods", "AE+k-means")
    assert sweep(*arguments)[0] == 0
    assert sweep(*arguments, "--jobs", 2, "--name", "two")[0] == 0
    assert rows("two") == rows("exp1")


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
    yield address, processes[1:]
    for process in processes:
        process.kill()
        process.wait()


def dask_sweep(cluster, arguments, label):
    """Runs a sweep of two trials on the cluster; kills the worker whose trial is the first to have begun a method."""
    address, workers = cluster
    process = start(*arguments, "--dask", address, "--jobs", 2, "--name", "dask")
    logs = {trial: Path(f"results/dask/{label}/trial{trial}/log.txt") for trial in (1, 2)}
    until = time.monotonic() + 60
    while not (begun := [trial for trial, log in logs.items() if times_begun(log)]):
        assert time.monotonic() < until, "no worker has begun"
        time.sleep(0.1)
    task = f'"trial": {begun[0]},'
    (worker,) = [w for w in workers if any(task in Path(f"/proc/{pid}/cmdline").read_text() for pid in children(w))]
    worker.kill()
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert times_begun(logs[begun[0]]) == 2
    assert [w.poll() for w in workers if w is not worker] == [None]


def times_begun(log):
    return log.exists() and log.read_text().count(", trial ")


def children(process):
    """The processes that `process`, in any of its threads, has started."""
    lists = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(pid) for path in lists for pid in path.read_text().split()]


def test_a_dask_worker_that_dies_has_its_trial_run_elsewhere(npz, cluster):
    arguments = ("--datasets", npz, "--trials", 2, "--methods", "AE+k-means")
    dask_sweep(cluster, arguments, "blobs")
    assert sweep(*arguments)[0] == 0
    assert rows("dask") == rows("exp1")


@pytest.mark.slow
def test_dask_on_digits_gives_the_same_rows(tmp_path, monkeypatch, cluster):
    monkeypatch.chdir(tmp_path)
    arguments = ("--datasets", "digits", "--trials", 2, "--methods", "DEC")
    dask_sweep(cluster, arguments, "digits")
    assert sweep(*arguments)[0] == 0
    assert rows("dask") == rows("exp1")


def test_a_trial_whose_parent_died_ends(npz):
    """Its stdin ends with the parent's life; it would else run beside the resumed one."""
    task = {"folder": str(Path.cwd()), "methods": []}
    with open(".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # it waits for this, after its imports
        process = subprocess.Popen([sys.executable, ROOT / "trial.py", json.dumps(task)], stdin=subprocess.PIPE)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(8)
        process.stdin.close()
        assert process.wait(20) == 1


def test_damaged_and_missing_data_leave_the_rest_intact(npz, tmp_path, monkeypatch):
    monkeypatch.setenv("DEC_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens there: no network
    (tmp_path / "broken.npz").write_bytes((tmp_path / npz).read_bytes()[:500])
    (tmp_path / "data" / "pendigits").mkdir(parents=True)
    for name in ("pendigits.tra", "pendigits.tes"):
        (tmp_path / "data" / "pendigits" / name).write_text("1,2\n3\n")
    arguments = ("--trials", 2, "--methods", "k-means", "--datasets")
    code, out, err = sweep(*arguments, "broken.npz", npz, "pendigits", "rcv1-10k")
    assert (code, err) == (1, "")
    assert [(row["dataset"], row["trial"]) for row in rows()] == [("blobs", 1), ("blobs", 2)]
    assert "Skipped rcv1-10k: No data" in out
    for text in ("FAILED: broken", "FAILED: pendigits"):
        assert text in out
    log = Path("results/exp1/errors.log").read_text()
    assert log.count("Traceback") >= 2
    assert "rcv1-10k" not in log
    code, out, _ = sweep(*arguments, npz, "rcv1-10k", "--name", "missing")
    assert code == 0
    assert rows("missing") == rows()


def test_a_trial_that_fails_is_logged_and_tried_again(blobs, npz):
    """Its k-means row is kept; pretraining diverges, and is tried once, not for each method."""
    np.savez("huge.npz", x=blobs[0] * np.float32(1e30), y=blobs[1])
    arguments = ("--trials", 1, "--datasets", "huge.npz")
    code, out, _ = sweep(*arguments)
    assert code == 1
    assert out.count("FAILED: huge, trial 1") == 4
    assert Path("results/exp1/errors.log").read_text().count("Training diverged") == 4
    assert Path("results/exp1/huge/trial1/log.txt").read_text().count("Epoch 1/3") == 1
    assert [row["method"] for row in rows()] == ["k-means"]
    code, out, _ = sweep(*arguments, "--dry-run")
    assert "huge, trial 1: would run AE+k-means, AE+GMM, DEC, IDEC" in out
    np.savez("huge.npz", x=blobs[0], y=blobs[1])
    assert sweep(*arguments)[0] == 0
    assert [row["method"] for row in rows()] == list(METHODS)


def test_a_trial_that_crashes_is_logged(npz):
    """Killed from outside, as for want of memory; nothing of it is taken for a result."""
    process = start("--datasets", npz, "--trials", 1)
    until = time.monotonic() + 30
    while not (trials := children(process)):
        assert time.monotonic() < until, "the trial has not begun"
        time.sleep(0.1)
    for pid in trials:
        os.kill(pid, signal.SIGKILL)
    out, _ = process.communicate()
    assert process.returncode == 1
    assert "ended with code -9" in out
    assert rows() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--datasets", "imagenet"], "There is no data set or file 'imagenet'"),
        (["--datasets", "blobs.npz", "other/blobs.npz"], "Two data sets are called blobs"),
        (["--trials", "0"], "--trials is 0"),
        (["--jobs", "two"], "--jobs is two"),
        (["--seed", "4294967290"], "at most 4294967286"),
        (["--name", "../exp1"], "the name of a folder"),
        (["--report-only"], "run the sweep first"),
        (["--datasets", "blobs.npz", "--dask", "tcp://127.0.0.1:9"], "no dask scheduler at tcp://127.0.0.1:9"),
    ],
)
def test_bad_input_ends_in_one_sentence(npz, capsys, monkeypatch, arguments, message):
    Path("other").mkdir()
    Path("other/blobs.npz").write_bytes(Path(npz).read_bytes())
    with pytest.raises(SystemExit) as end:
        run_exp.main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_dask_missing_is_told(npz, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SystemExit) as end:
        run_exp.main(["--datasets", npz, "--dask", "tcp://127.0.0.1:8786"])
    assert end.value.code == 2
    assert "pip install distributed" in capsys.readouterr().err


def test_two_sweeps_do_not_share_a_folder(tmp_path):
    with (
        run_exp.only_sweep(tmp_path),
        pytest.raises(run_exp.InputError, match=r"Another run_exp\.py"),
        run_exp.only_sweep(tmp_path),
    ):
        pass


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
    assert "|  | acc, published | 67 | 70.9 |  | 76.4 | 76.1 |  |" in text
    assert text.index("| usps | acc |") < text.index("| mine | acc |")
    assert "mine | acc" in text
    assert text.count("published |") == 2  # none of mine
    assert "protocol `fast`" in text


@pytest.mark.parametrize(("seeds", "text"), [([0, 1, 2, 5], "0-2, 5"), ([4], "4"), ([3, 1], "1, 3"), ([2, 1], "1-2")])
def test_ranges(seeds, text):
    assert report.ranges(seeds) == text


def test_the_report_depends_on_the_results_alone(tmp_path):
    """The same bytes again, rows in any order; figures and DEC-keras' layout too."""
    folder = tmp_path / "mine"
    (folder / "usps" / "trial1").mkdir(parents=True)
    (folder / "usps" / "trial1" / "dec_log.csv").write_text("iter,acc,nmi\n0,0.5,0.4\n30,0.6,0.5\n")
    results = made_up()
    write_rows(folder / "results.csv", results)
    report.write_report(folder)
    names = ("results.csv", "README.md", "results_dec-keras.csv", "scores.png", "iterations.png")
    before = {name: (folder / name).read_bytes() for name in names}
    write_rows(folder / "results.csv", results[::-1])
    report.write_report(folder)
    assert {name: (folder / name).read_bytes() for name in names} == before
    text = (folder / "README.md").read_text()
    assert "python run_exp.py --name mine --datasets usps mine --trials 3 --protocol fast" in text
    assert report.tables(folder / "results.csv") in text

    with open(folder / "results_dec-keras.csv", newline="") as file:
        seeds = list(csv.DictReader(file))
    assert [row["trials"] for row in seeds] == ["usps", "0", "1", "2", " ", "0", "1", "2", " "] + [
        *("mine", "0", "1", "2", " ", "0", "1", "2", " ")
    ]
    dec = [row["acc"] for row in results if (row["dataset"], row["method"]) == ("usps", "DEC")]
    assert [float(row["acc"]) for row in seeds[5:8]] == dec
    assert float(seeds[8]["acc"]) == pytest.approx(np.mean(dec), abs=1e-6)


def test_damaged_results_are_told(tmp_path):
    path = tmp_path / "results.csv"
    write_rows(path, made_up())
    path.write_text(path.read_text().replace(",fast,0,", ",fast,zero,", 1))
    with pytest.raises(report.InputError, match=r"is damaged in line 2"):
        read_rows(path)
    path.write_text("trials,acc\n0,1\n")
    with pytest.raises(report.InputError, match="other columns"):
        read_rows(path)


def test_readme_has_the_tables_of_the_committed_results():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert report.with_tables(text, report.tracked_results()) == text


def test_tables_are_put_between_the_markers(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "ROOT", tmp_path)
    path = tmp_path / "results" / "exp1" / "results.csv"
    path.parent.mkdir(parents=True)
    write_rows(path, made_up())
    text = "before\n\n<!-- results -->\nold\n<!-- /results -->\n\nafter\n"
    new = report.with_tables(text, [path])
    assert new.startswith("before\n\n<!-- results -->\n### [exp1](results/exp1)\n\n")
    assert report.tables(path) in new
    assert new.endswith("\n<!-- /results -->\n\nafter\n")
    assert "old" not in new
    assert report.with_tables(new, [path]) == new
    with pytest.raises(report.InputError, match="lacks the lines"):
        report.with_tables("no markers", [path])
