"""Runs that are killed as users' runs are: by a signal, at any moment, in any write, and by a full disk."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from dec_keras.files.atomic import TEMPORARY
from tests.helpers import ROOT, assert_same_end

LONG = ["--pretrain_epochs", "150", "--maxiter", "900", "--update_interval", "10", "--tol", "0"]
MIDDLE = ["--pretrain_epochs", "100", "--maxiter", "120", "--update_interval", "10", "--tol", "0"]
SHORT = ["--pretrain_epochs", "5", "--maxiter", "80", "--update_interval", "20", "--tol", "0"]
# Has the network of `conftest.small_network`.
SMALL = """
from dataclasses import replace
from dec_keras.runs import config
settings = config.get_settings
config.get_settings = lambda *args: replace(settings(*args), dims=(16, 3))
"""
# Keeps a checkpoint of every epoch, so that each run has the same writes.
BRISK = """
import sys
from dec_keras.training import checkpoint
from tests import helpers
from DEC import DEC
from IDEC import IDEC
checkpoint.PAUSE, checkpoint.SHARE = 0, 1e9
helpers.command({"DEC.py": DEC, "IDEC.py": IDEC}[sys.argv[1]], sys.argv[2:])
"""
# And ends itself instead of giving a file its name for the n-th time.
DYING_IN_WRITE = (
    """
import os, signal, sys
from dec_keras.files import atomic
left, replace = [int(sys.argv.pop(1))], os.replace
def dying(source, target):
    left[0] -= 1
    if left[0] == 0:
        print("WRITING", os.path.basename(target), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
atomic.os.replace = dying
"""
    + BRISK
)


def start(command, folder, *lengths):
    command = [sys.executable, *command, "--dataset", "digits", *lengths, "--save_dir", str(folder)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, cwd=ROOT, text=True, **streams)


def finished(process):
    """What it printed, once it has come to a good end."""
    output = process.communicate()[0]
    assert process.returncode == 0, output
    return output


def under_way(process):
    """Reads until the training is past its first epoch or interval, whose step had to be compiled."""
    lines = 0
    for line in process.stdout:
        lines += line.startswith(("Epoch", "Iter"))
        if lines == 2:
            return
    assert process.wait() == 0, "It failed before its training."  # else it had little left to do


def phase(folder):
    return "clustering" if (folder / "ae_weights.h5").exists() else "pretraining"


def test_a_run_that_gets_a_signal_and_is_resumed_ends_like_an_unbroken_one(tmp_path):
    """At once when it is under way, since the small network needs but milliseconds an epoch."""
    phases, output = kill_again_and_again(["-c", SMALL + BRISK, "DEC.py"], [signal.SIGTERM], MIDDLE, 0, tmp_path)
    assert phases
    assert "Going on behind epoch" in output


@pytest.mark.slow
@pytest.mark.parametrize("script", ["DEC.py", "IDEC.py"])
def test_a_run_killed_at_twenty_random_moments_and_resumed_ends_like_an_unbroken_one(script, tmp_path):
    phases, _ = kill_again_and_again([script], 10 * [signal.SIGTERM, signal.SIGKILL], LONG, 1 / 5, tmp_path)
    print(script, len(phases), "kills:", phases)
    assert set(phases) == {"pretraining", "clustering"}


def kill_again_and_again(command, signals, lengths, share, tmp_path):
    """Sends each signal to a run at a random moment of its training's next seconds, and resumes it.

    Args:
        share: of the seconds that a whole run takes here.

    Returns:
        the phases that it was killed in, and what the last run printed.
    """
    chance, whole, cut = random.Random(7), tmp_path / "whole", tmp_path / "cut"
    began = time.monotonic()
    finished(start(command, whole, *lengths))
    seconds, phases = share * (time.monotonic() - began), []
    while len(phases) < len(signals):
        how = signals[len(phases)]
        process = start(command, cut, *lengths, "--resume")
        under_way(process)
        time.sleep(chance.uniform(0, seconds))
        process.send_signal(how)
        output = process.communicate()[0]
        if process.returncode == 0:  # it was at its end already: another one is begun
            assert_same_end(whole, cut)
            cut = tmp_path / f"cut{len(phases)}"
            continue
        phases.append(phase(cut))
        if how == signal.SIGTERM:
            assert process.returncode == 130
            assert output.splitlines()[-1] == "Stopped. The same command with --resume goes on."
            assert not list(cut.glob(f"{TEMPORARY}*"))
    output = finished(start(command, cut, *lengths, "--resume"))
    assert_same_end(whole, cut)
    assert (whole / "labels.csv").read_bytes() == (cut / "labels.csv").read_bytes()
    scores = [json.loads((folder / "run.json").read_text())["scores"] for folder in (whole, cut)]
    assert scores[0] == scores[1]
    return phases, output


@pytest.mark.slow
@pytest.mark.parametrize("script", ["DEC.py", "IDEC.py"])
def test_a_run_killed_in_every_kind_of_write_goes_on(script, tmp_path):
    """The first run dies in its first write, the next one in its second, and so on until one gets through."""
    whole, written = tmp_path / "whole", []
    finished(start([script], whole, *SHORT))
    for number in range(1, 60):
        cut = tmp_path / str(number)
        process = start(["-c", DYING_IN_WRITE, str(number), script], cut, *SHORT)
        output = process.communicate()[0]
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, output
        assert list(cut.glob(f"{TEMPORARY}*"))  # half-written, which the next run clears
        written.append(output.splitlines()[-1].removeprefix("WRITING "))
        finished(start([script], cut, *SHORT, "--resume"))
        assert_same_end(whole, cut)
    name = script.removesuffix(".py")
    print(script, len(written), "kills:", written)
    assert {"run.json", "pretrain_checkpoint.npz", "ae_weights.h5", f"{name.lower()}_checkpoint.npz"} <= set(written)
    assert {f"{name}_model_final.h5", "labels.csv", "embedding.npy", "centers.npy"} <= set(written)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_ends_in_a_sentence_and_keeps_what_is_whole(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    for megabytes in (4, 36):
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("cannot mount a small disk here")
        try:
            process = start(["DEC.py"], disk / "run", *LONG)
            last = process.communicate()[0].splitlines()[-1]
            assert process.returncode == 2
            assert last.startswith("DEC.py: error: Cannot write ")
            assert "(No space left on device): make room" in last
            assert not list((disk / "run").glob(f"{TEMPORARY}*"))
            checkpoint = disk / "run" / "pretrain_checkpoint.npz"
            assert checkpoint.exists() == (megabytes == 36)
            if checkpoint.exists():  # is whole: a disk with room lets it go on
                subprocess.run(["cp", "-r", str(disk / "run"), str(tmp_path / "roomy")], check=True)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    assert "Going on behind epoch" in finished(start(["DEC.py"], tmp_path / "roomy", *LONG, "--resume"))


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    process = start(["DEC.py"], tmp_path / "locked", *SHORT)
    assert "Cannot write to the folder" in process.communicate()[0].splitlines()[-1]
    assert process.returncode == 2
