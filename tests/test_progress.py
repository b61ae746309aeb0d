"""What the phases say while they are at work: in a terminal, in a pipe, and as they are asked to."""

import io
import re
import sys

import pytest

from DEC import DEC
from dec_keras.console import Progress
from dec_keras.errors import InputError
from dec_keras.method.initial_centers import gmm_start
from tests import helpers


class Terminal(io.StringIO):
    def isatty(self):
        return True

    @property
    def text(self):
        """What is on the screen at the end: each line as it was written last."""
        return [line.split("\r")[-1].rstrip() for line in self.getvalue().split("\n")]


def terminal(monkeypatch):
    """Standard output is one from now on; not of a fixture, since pytest sets its own between that and the test."""
    monkeypatch.setattr(sys, "stdout", Terminal())
    return sys.stdout


def phases(dec, x, y, **how):
    dec.pretrain(x, y, epochs=40, batch_size=50, **how)
    dec.fit(x, y, maxiter=60, update_interval=1, tol=0, **how)


def test_in_a_terminal_a_phase_is_one_line_that_is_rewritten(dec, blobs, monkeypatch):
    screen = terminal(monkeypatch)
    phases(dec, *blobs)
    pretraining, start, clustering, last = screen.text
    assert re.search(r"^Pretraining \d\d:\d\d, epoch 40/40, loss \S+; acc \S+ at epoch 37$", pretraining)
    assert start == "Start: kmeans of 100 codes"
    assert re.search(r"^DEC \d\d:\d\d, batch 60 of at most 60, loss \S+, \S+% changed, nmi \S+$", clustering)
    assert last == ""
    assert re.search(r"\rPretraining \|.*\| \S+ left, epoch", screen.getvalue())  # while it was at work
    assert not re.search(r"\rDEC .*left", screen.getvalue())  # tol ends it: nobody knows when


def test_elsewhere_a_phase_is_about_ten_lines(dec, blobs, capsys):
    phases(dec, *blobs)
    printed = capsys.readouterr().out.splitlines()
    epochs, rows = ([line for line in printed if line.startswith(word)] for word in ("Epoch", "Iter"))
    assert [int(re.search(r"\d+", line)[0]) for line in epochs] == [*range(1, 40, 4), 40]
    assert [int(re.search(r"\d+", line)[0]) for line in rows] == [0, 1, 2, 5, 10, 20, 50, 60]
    assert len(printed) == len(epochs) + len(rows) + 1


@pytest.mark.parametrize(("verbose", "lines"), [(0, 0), (2, 40 + 61 + 1)])
def test_verbose_is_as_in_keras(dec, blobs, monkeypatch, verbose, lines):
    screen = terminal(monkeypatch)
    phases(dec, *blobs, verbose=verbose)
    assert len(screen.getvalue().splitlines()) == lines


def test_verbose_that_is_none_is_told(dec, blobs):
    for phase in (dec.pretrain, dec.pretrain_layerwise, dec.fit):
        with pytest.raises(InputError, match="verbose is 3: it must be at most 2"):
            phase(blobs[0], verbose=3)


def test_layers_are_silent_too(dec, blobs, capsys):
    dec.pretrain_layerwise(blobs[0], epochs=2, verbose=0)
    assert capsys.readouterr().out == ""


def test_a_mixtures_restarts_are_shown_if_asked_to(blobs, capsys):
    gmm_start(blobs[0], 3, seed=0)
    assert capsys.readouterr().out == ""
    gmm_start(blobs[0], 3, seed=0, verbose=1)
    said = re.findall(r"^Mixture: restart (\d+)/30, [\d:]+ left$", capsys.readouterr().out, re.M)
    assert said == ["1", "11", "21", "30"]


def interrupted():
    with Progress("Work", 3) as progress:
        progress.rewrite(1, "one")
        raise KeyboardInterrupt


def test_the_line_of_a_phase_that_fails_is_ended(monkeypatch):
    screen = terminal(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert re.search(r"^Work \d\d:\d\d, one$", screen.text[0])
    assert screen.text[1] == ""


def test_a_whole_run_prints_under_60_lines_and_less_if_it_is_to_be_quiet(tmp_path, capfd, small_network):
    def run(folder, *more):
        """What a run on digits prints in a pipe."""
        short = ("--pretrain_epochs", "12", "--maxiter", "60", "--tol", "0", "--update_interval", "3")
        helpers.command(DEC, ["--dataset", "digits", *short, "--save_dir", folder, *more])
        return capfd.readouterr().out.splitlines()

    whole, quiet = run(tmp_path / "a"), run(tmp_path / "b", "--quiet")
    assert 40 < len(whole) < 60
    assert not [line for line in quiet if line.startswith(("Settings", "Epoch", "Iter", "Start"))]
    assert quiet[-1].startswith("Next: ")
