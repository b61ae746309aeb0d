"""Damaged files: a share of each reader's mutations here, 2,000 of each by `pytest -m fuzz`; see fuzz.py."""

import time

import pytest

from tests import fuzz

FEW = {"model": 40, "images": 40}  # slower than the others


def faults(name, count):
    found = fuzz.fuzz(name, count)
    assert found["error"] > 0
    assert found["read"] > 0
    assert found["error"] + found["read"] + len(found["faults"]) == count
    return found["faults"]


@pytest.mark.parametrize("name", fuzz.READERS)
def test_a_damaged_file_ends_in_an_error_or_a_correct_read(name):
    assert faults(name, FEW.get(name, 60)) == []


@pytest.mark.fuzz
@pytest.mark.parametrize("name", fuzz.READERS)
def test_two_thousand_damaged_files_do_too(name):
    assert faults(name, 2000) == []


def fails(error):
    def read(*_):
        raise error

    return read


def fills_the_memory(*_):
    bytearray(2**31)


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (fails(KeyError("no such")), "KeyError"),
        (fails(fuzz.InputError("one\ntwo")), "several lines"),
        (fails(AssertionError("x is not finite")), "AssertionError"),
        (fills_the_memory, "MemoryError"),
    ],
)
def test_the_fuzzer_finds_what_it_looks_for(read, said, tmp_path):
    assert fuzz.outcome(fuzz.Reader(None, read), tmp_path, "x").startswith(said)


def works(*_):
    until = time.process_time() + 3
    while time.process_time() < until:
        pass


def waits(*_):
    time.sleep(3)


@pytest.mark.parametrize(("limit", "read"), [("SECONDS", works), ("WAIT", waits)])
def test_the_fuzzer_ends_what_hangs(limit, read, monkeypatch, tmp_path):
    monkeypatch.setattr(fuzz, limit, 0.5)
    assert fuzz.outcome(fuzz.Reader(None, read), tmp_path, "x") == "hang"


def test_the_command_prints_a_table(capsys):
    with pytest.raises(SystemExit) as end:
        fuzz.main(["csv", "--mutations", "3"])
    assert end.value.code is None
    assert capsys.readouterr().out.splitlines()[-1].startswith("| csv | 3 | ")


@pytest.mark.parametrize("name", ["sparse.npz", "jf.gz", "mat"])
def test_mutants_are_the_same_every_time(name):
    """Also on another day."""
    first, weights = [data for *_, data in fuzz.mutants(name, 50)], fuzz.valid_files("weights")
    fuzz.valid_files.cache_clear()
    fuzz.small_dec.cache_clear()
    time.sleep(1)  # what gzip's clock shows
    assert [data for *_, data in fuzz.mutants(name, 50)] == first
    assert fuzz.valid_files("weights") == weights
    assert [data for *_, data in fuzz.mutants(name, 50, seed=1)] != first
