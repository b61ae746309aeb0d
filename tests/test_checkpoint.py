"""Runs that are cut off, in this process and by signals, and go on: they end as if nothing had happened."""

import json
import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from DEC import DEC
from dec_keras.errors import InputError
from dec_keras.files import atomic
from dec_keras.files.models import read_attributes
from dec_keras.files.run_folder import lock_folder
from dec_keras.method import clustering
from dec_keras.method.initial_centers import Start
from dec_keras.runs import run as run_module
from dec_keras.runs.command_line import parse_run
from dec_keras.training import checkpoint
from dec_keras.training.checkpoint import Checkpoint
from IDEC import IDEC
from tests import helpers
from tests.helpers import DIMS, ROOT, assert_same_end, three_groups


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


class Cut(Exception):
    """In place of a power cut."""


class CutAtEpoch(keras.callbacks.Callback):
    """Cuts a training off in the first batch of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise Cut


def keep_every_epoch(patch):
    """Checkpoints at the end of every epoch; else tests, which take no time, would have none."""
    patch.setattr(checkpoint, "PAUSE", 0)
    patch.setattr(checkpoint, "SHARE", 1e9)


@pytest.fixture
def every_epoch(monkeypatch):
    keep_every_epoch(monkeypatch)


def trained(method, data, folder, resume=False, layerwise=False, pretrain_cut=None, cluster_cut=None, tol=0, **phases):
    """A method with both phases run on x in batches of 30: 4 an epoch, and 3 an interval."""
    x, y = data
    augment = phases.pop("augment", False)
    keras.utils.set_random_seed(3)
    dec = method(DIMS, 3, seed=3)
    how = {"epochs": 6, "batch_size": 30, "save_dir": folder, "resume": resume, "augment": augment}
    cut = [] if pretrain_cut is None else [CutAtEpoch(pretrain_cut)]
    if layerwise:
        dec.pretrain_layerwise(x, y, callbacks=cut, **how)
    else:
        dec.pretrain(x, y, schedule="cosine", callbacks=cut, **how)
    cut = [] if cluster_cut is None else [CutAtEpoch(cluster_cut)]
    how = {"maxiter": 20, "batch_size": 30, "update_interval": 3, "save_dir": folder, "resume": resume}
    dec.compile("adam")
    dec.fit(x, y, tol=tol, callbacks=cut, augment=augment, **phases, **how)
    return dec


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A function of a method: its training that is never cut off, and the folder of it."""

    @cache
    def of(method):
        folder = tmp_path_factory.mktemp("whole")
        return trained(method, three_groups(), folder), folder

    return of


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    """A function of where DEC is cut off, and of a folder: it copies there what that leaves."""

    @cache
    def made(**cut):
        folder = tmp_path_factory.mktemp("cut")
        with pytest.MonkeyPatch.context() as patch:
            keep_every_epoch(patch)
            with pytest.raises(Cut):
                trained(DEC, three_groups(), folder, **cut)
        return folder

    return lambda folder, **cut: shutil.copytree(made(**cut), folder, dirs_exist_ok=True)


@pytest.mark.parametrize(
    ("method", "cut"),
    [
        *((DEC, {"pretrain_cut": 3}), (IDEC, {"cluster_cut": 1})),
        *(slow(DEC, {"pretrain_cut": 5}), slow(DEC, {"cluster_cut": 1}), slow(DEC, {"cluster_cut": 5})),
        *(slow(IDEC, {"pretrain_cut": 3}), slow(IDEC, {"pretrain_cut": 5}), slow(IDEC, {"cluster_cut": 5})),
    ],
)
def test_a_training_cut_off_in_any_epoch_goes_on_to_the_same_end(
    method, cut, whole, blobs, tmp_path, every_epoch, capsys
):
    unbroken, folder = whole(method)
    with pytest.raises(Cut):
        trained(method, blobs, tmp_path, **cut)
    capsys.readouterr()
    again = trained(method, blobs, tmp_path, resume=True)
    assert f"Going on behind epoch {next(iter(cut.values()))}" in capsys.readouterr().out
    assert_same_end(folder, tmp_path)
    np.testing.assert_array_equal(again.result.labels, unbroken.result.labels)
    np.testing.assert_array_equal(again.result.start_labels, unbroken.result.start_labels)
    assert again.result.log == unbroken.result.log
    assert (again.result.n_iter, again.result.stop_reason) == (20, "maxiter")


@pytest.mark.parametrize("layerwise", [False, slow(True)])
def test_augmented_images_are_those_of_an_uncut_training(layerwise, blobs, tmp_path, every_epoch):
    data = blobs[0].reshape(100, 2, 3), blobs[1]
    options = {"augment": True, "layerwise": layerwise}
    trained(IDEC, data, tmp_path / "whole", **options)
    with pytest.raises(Cut):
        trained(IDEC, data, tmp_path / "cut", pretrain_cut=3, **options)
    with pytest.raises(InputError, match=r"augment True \(now None\)"):
        trained(IDEC, data, tmp_path / "cut", resume=True, layerwise=layerwise)
    with pytest.raises(Cut):
        trained(IDEC, data, tmp_path / "cut", resume=True, cluster_cut=2, **options)
    trained(IDEC, data, tmp_path / "cut", resume=True, **options)
    assert_same_end(tmp_path / "whole", tmp_path / "cut")


def test_p_is_the_starts_posterior_for_its_epochs_resumed_too(blobs, tmp_path, every_epoch, monkeypatch):
    monkeypatch.setattr(clustering, "posterior_batches", lambda _: 4)
    labels = blobs[1]
    start = Start(np.eye(3, dtype="float32"), labels, np.eye(3, dtype="float32")[labels])
    options = {"start": start, "tol": 0, "schedule": "cosine"}
    losses = [row["loss"] for row in trained(DEC, blobs, tmp_path / "whole", **options).result.log[1:]]
    assert min(losses[:2]) > 0.9  # to labels that Q did not have
    assert max(losses[2:]) < 0.01  # to its own, from iteration 6
    for cut in (1, 5):  # P is the posterior, and no more, as the row before says
        folder = tmp_path / f"cut{cut}"
        with pytest.raises(Cut):
            trained(DEC, blobs, folder, cluster_cut=cut, **options)
        trained(DEC, blobs, folder, resume=True, **options)
        assert_same_end(tmp_path / "whole", folder)


def test_one_training_can_be_cut_off_again_and_again(whole, blobs, tmp_path, every_epoch):
    for epoch in (1, 3, 5):
        with pytest.raises(Cut):
            trained(DEC, blobs, tmp_path / "cut", resume=True, pretrain_cut=epoch)
    for epoch in (1, 3, 5):
        with pytest.raises(Cut):
            trained(DEC, blobs, tmp_path / "cut", resume=True, cluster_cut=epoch)
    trained(DEC, blobs, tmp_path / "cut", resume=True)
    assert_same_end(whole(DEC)[1], tmp_path / "cut")


def test_layerwise_pretraining_goes_on_within_any_layer(blobs, tmp_path, every_epoch, monkeypatch):
    trained(DEC, blobs, tmp_path / "whole", layerwise=True)
    writes = []
    write = Checkpoint.write

    def cut(self):
        write(self)
        writes.append(self.stage)
        if len(writes) % 3 == 0:
            raise Cut

    monkeypatch.setattr(Checkpoint, "write", cut)
    for _ in range(20):
        try:
            trained(DEC, blobs, tmp_path / "cut", layerwise=True, resume=True)
            break
        except Cut:
            continue
    assert set(writes) == {0, 1, 2, 3}  # three layers, and all together, but for the clustering, which is stage 0
    assert_same_end(tmp_path / "whole", tmp_path / "cut")


class CtrlC(keras.callbacks.Callback):
    """Ctrl-C in the first batch of an epoch, or SIGTERM where a script has it do the same, `times` times."""

    def __init__(self, epoch, number=signal.SIGINT, times=1):
        super().__init__()
        self.epoch, self.number, self.times = epoch, number, times

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            for _ in range(self.times):
                signal.raise_signal(self.number)


@pytest.fixture
def usual_signals():
    """As a shell has them in the foreground; who runs the tests in the background may have them ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def interrupted(data, folder, pretraining=(), clustering=(), resume=False):
    """DEC with both phases on x, 4 batches an epoch or interval."""
    x, y = data
    keras.utils.set_random_seed(3)
    dec = DEC(DIMS, 3, seed=3)
    how = {"batch_size": 30, "save_dir": folder, "resume": resume}
    dec.pretrain(x, y, epochs=4, callbacks=pretraining, **how)
    dec.fit(x, y, maxiter=16, update_interval=4, tol=0, callbacks=clustering, **how)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    interrupted(three_groups(), folder)
    return folder


@pytest.mark.parametrize(
    ("phase", "number"),
    [
        *(("pretraining", signal.SIGINT), ("clustering", signal.SIGTERM)),
        *(slow("pretraining", signal.SIGTERM), slow("clustering", signal.SIGINT)),
    ],
)
def test_ctrl_c_saves_the_epoch_that_is_under_way(phase, number, uninterrupted, blobs, tmp_path, capfd, usual_signals):
    with pytest.raises(KeyboardInterrupt):
        interrupted(blobs, tmp_path, **{phase: [CtrlC(1, number)]})
    assert "Stopping when this epoch" in capfd.readouterr().err
    assert signal.getsignal(number) is signal.default_int_handler
    interrupted(blobs, tmp_path, resume=True)
    assert "Going on behind epoch 2" in capfd.readouterr().out
    assert_same_end(uninterrupted, tmp_path)


def test_a_second_ctrl_c_stops_at_once(blobs, tmp_path, usual_signals):
    with pytest.raises(KeyboardInterrupt):
        interrupted(blobs, tmp_path, clustering=[CtrlC(1, times=2)])
    assert not (tmp_path / "dec_checkpoint.npz").exists()


def test_ctrl_c_in_the_last_interval_stops_when_all_is_there(blobs, tmp_path, usual_signals):
    dec = DEC(DIMS, 3, seed=3)
    with pytest.raises(KeyboardInterrupt):
        dec.fit(blobs[0], maxiter=16, update_interval=8, tol=0, save_dir=tmp_path, callbacks=[CtrlC(1)])
    assert dec.result.n_iter == 16
    assert {path.name for path in tmp_path.glob("dec_*")} == {"dec_log.csv"}
    assert (tmp_path / "DEC_model_final.h5").exists()


def test_ctrl_c_in_a_pretrainings_last_epoch_stops_behind_it(blobs, tmp_path, capsys, usual_signals):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    with pytest.raises(KeyboardInterrupt):
        interrupted(blobs, tmp_path, pretraining=[CtrlC(0), Stop()])
    assert not (tmp_path / "dec_log.csv").exists()
    interrupted(blobs, tmp_path, resume=True)
    assert "Pretrained already" in capsys.readouterr().out


def test_ctrl_c_in_a_commands_last_interval_lets_it_finish(tmp_path, monkeypatch, usual_signals, small_network):
    output = run_module.output
    more = {"DEC": {"callbacks": [CtrlC(1)]}}
    monkeypatch.setattr(run_module, "output", lambda *args: output(*args) | more.get(args[1], {}))
    short = ["--dataset", "digits", "--pretrain_epochs", "1", "--maxiter", "4", "--update_interval", "2", "--tol", "0"]
    helpers.command(DEC, [*short, "--save_dir", str(tmp_path)])
    assert "finished" in json.loads((tmp_path / "run.json").read_text())
    assert (tmp_path / "labels.csv").exists()


def test_a_callbacks_own_handler_stays(blobs, tmp_path, usual_signals):
    class Own(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            signal.signal(signal.SIGINT, mine)

    def mine(*_):
        pass

    interrupted(blobs, tmp_path, clustering=[Own()])
    assert signal.getsignal(signal.SIGINT) is mine


def test_without_a_folder_ctrl_c_stops_at_once(blobs, usual_signals):
    class Never(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            pytest.fail("It went on.")

    with pytest.raises(KeyboardInterrupt):
        interrupted(blobs, None, pretraining=[CtrlC(0), Never()])


def test_training_leaves_signals_alone_that_do_something_else(blobs, tmp_path, usual_signals):
    asked = []
    signal.signal(signal.SIGINT, lambda *_: asked.append("mine"))
    interrupted(blobs, tmp_path, clustering=[CtrlC(1)])
    assert asked == ["mine"]


def test_a_training_in_another_thread_handles_no_signals(blobs, tmp_path):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(interrupted, blobs, tmp_path).result()
    assert (tmp_path / "DEC_model_final.h5").exists()


@pytest.mark.parametrize(("method", "step"), [(IDEC, 10), *(slow(method, 1) for method in (DEC, IDEC))])
def test_a_run_cut_off_in_a_write_leaves_whole_files_and_goes_on(
    method, step, whole, blobs, tmp_path, every_epoch, monkeypatch
):
    """In every step-th of its writes, each in a run of its own."""
    _, unbroken = whole(method)
    replace, written = os.replace, []

    def cut(source, target):
        written.append(Path(target).name)
        if len(written) == cut.at:
            raise Cut
        replace(source, target)

    monkeypatch.setattr(atomic.os, "replace", cut)
    for cut.at in range(1, 100, step):
        folder = tmp_path / f"cut{cut.at}"
        written.clear()
        try:
            trained(method, blobs, folder)
        except Cut:
            cut.at = 0
            assert not list(folder.glob(f"{atomic.TEMPORARY}*"))
            for path in folder.glob("*.h5"):
                read_attributes(path)
            trained(method, blobs, folder, resume=True)
            assert_same_end(unbroken, folder)
        else:
            break
    kinds = {"pretrain_log.csv", "ae_weights.h5", "pretrain_checkpoint.npz", f"{method.name.lower()}_log.csv"}
    assert kinds | {f"{method.name}_model_0.h5", f"{method.name}_model_final.h5"} <= set(written)


def test_a_clustering_that_stopped_on_tol_is_not_gone_past(blobs, tmp_path, every_epoch, monkeypatch):
    x, _ = blobs

    def clustered(folder, resume=False):
        keras.utils.set_random_seed(3)
        dec = DEC(DIMS, 3, seed=3)
        dec.fit(x, batch_size=30, maxiter=200, update_interval=3, tol=0.01, save_dir=folder, resume=resume)
        return dec.result

    whole = clustered(tmp_path / "whole")
    assert whole.stop_reason == "tol"
    with monkeypatch.context() as patch:
        patch.setattr("dec_keras.method.clustering.save_model", lambda model, path, *_: "final" in path.name and 1 / 0)
        with pytest.raises(ZeroDivisionError):
            clustered(tmp_path / "cut")
    again = clustered(tmp_path / "cut", resume=True)
    assert (again.n_iter, again.stop_reason, again.log) == (whole.n_iter, "tol", whole.log)
    np.testing.assert_array_equal(again.labels, whole.labels)


def test_a_checkpoint_of_another_training_is_told(cut_off, blobs, tmp_path, every_epoch):
    x, y = blobs
    cut_off(tmp_path, pretrain_cut=3)
    dec = DEC(DIMS, 3, seed=3)
    for how, message in (({"epochs": 7}, r"epochs 6 \(now 7\)"), ({"batch_size": 20}, r"batch_size 30 \(now 20\)")):
        with pytest.raises(InputError, match=message):
            dec.pretrain(
                x, save_dir=tmp_path, resume=True, **{"epochs": 6, "batch_size": 30, "schedule": "cosine"} | how
            )
    with pytest.raises(InputError, match="is of a run with checksum"):
        trained(DEC, (x[::-1], y), tmp_path, resume=True)
    with pytest.raises(InputError, match=r"samples 100 \(now 99\)"):
        trained(DEC, (x[1:], y[1:]), tmp_path, resume=True)
    with pytest.raises(InputError, match="is of a run with pretraining end-to-end"):
        trained(DEC, blobs, tmp_path, layerwise=True, resume=True)
    cut_off(tmp_path, cluster_cut=3)
    dec.load_weights(tmp_path / "DEC_model_0.h5")
    with pytest.raises(InputError, match="start kmeans"):
        dec.fit(x, maxiter=20, batch_size=30, update_interval=3, tol=0, save_dir=tmp_path, start="gmm", resume=True)
    with pytest.raises(InputError, match=r"samples 100 \(now 99\).*checksum_of_weights \d+ \(now \d+\)"):
        dec.fit(x[1:], maxiter=20, batch_size=30, update_interval=3, tol=0, save_dir=tmp_path, resume=True)


def test_without_resume_a_training_begins_anew(whole, cut_off, blobs, tmp_path, every_epoch, capsys):
    cut_off(tmp_path, pretrain_cut=3)
    trained(DEC, blobs, tmp_path)
    assert "Going on" not in capsys.readouterr().out
    assert_same_end(whole(DEC)[1], tmp_path)


def test_a_damaged_checkpoint_is_told(cut_off, blobs, tmp_path, every_epoch):
    cut_off(tmp_path, pretrain_cut=3)
    path = tmp_path / "pretrain_checkpoint.npz"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (b"", whole[:100], whole[: len(whole) // 2], bytes(flipped), b"text"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"pretrain_checkpoint.npz is no checkpoint, or it is damaged"):
            trained(DEC, blobs, tmp_path, resume=True)
    np.savez(path, state=np.array([{"epoch": 1}], dtype=object))
    with pytest.raises(InputError, match="damaged"):
        trained(DEC, blobs, tmp_path, resume=True)


def altered(path, without=(), arrays=None, **state):
    """The same checkpoint with other values in its state, and without some arrays or with others."""
    with np.load(path) as file:
        held = {name: file[name] for name in file.files if not (without == "numbers" and name.isdigit())}
    held["state"] = json.dumps(json.loads(str(held["state"])) | state)
    np.savez(path, **{name: held[name] for name in held if name not in without} | (arrays or {}))


@pytest.mark.parametrize(
    "change",
    [
        {"without": "numbers"},
        {"without": ["start_labels"]},
        {"arrays": {"start_labels": np.zeros(3, int)}},
        {"epoch": 10**30},
        {"stage": -1},
        {"kept": {"log": 5}},
        {"kept": {"log": [5]}},
        {"kept": {"shuffle": "x"}},
    ],
    ids=str,
)
def test_a_checkpoint_that_lacks_a_part_is_told(change, cut_off, blobs, tmp_path, every_epoch):
    cut_off(tmp_path, cluster_cut=3)
    altered(tmp_path / "dec_checkpoint.npz", **change)
    with pytest.raises(InputError, match=r"dec_checkpoint.npz .*damaged .*the run begins anew"):
        trained(DEC, blobs, tmp_path, resume=True)


@pytest.mark.parametrize("pretraining", [[], {"run": None}, "x"])
def test_weights_that_do_not_say_their_pretraining_are_pretrained_anew(pretraining, whole, blobs, tmp_path, capsys):
    shutil.copytree(whole(DEC)[1], tmp_path, dirs_exist_ok=True)
    attributes = read_attributes(tmp_path / "ae_weights.h5")
    with h5py.File(tmp_path / "ae_weights.h5", "a") as file:
        file.attrs["dec"] = json.dumps(attributes | {"pretraining": pretraining})
    capsys.readouterr()
    with pytest.raises(Cut):
        trained(DEC, blobs, tmp_path, resume=True, cluster_cut=0)
    assert "Pretrained already" not in capsys.readouterr().out
    with h5py.File(tmp_path / "ae_weights.h5", "a") as file:
        file.attrs["dec"] = json.dumps(attributes | {"pretraining": attributes["pretraining"] | {"seconds": "x"}})
    with pytest.raises(InputError, match=r"the pretraining's time in .*ae_weights.h5 is x"):
        trained(DEC, blobs, tmp_path, resume=True)


def test_checkpoints_take_a_small_share_of_the_time(monkeypatch, tmp_path):
    now = [0.0]
    monkeypatch.setattr(checkpoint, "perf_counter", lambda: now[0])
    keeper = Checkpoint(tmp_path / "c.npz", {})
    keeper.begin([])
    written = []

    def write():
        written.append(now[0])
        now[0] += 0.2
        keeper.written, keeper.took = now[0], 0.2

    monkeypatch.setattr(keeper, "write", write)
    for epoch in range(100):
        now[0] += 0.5
        keeper.keep(epoch)
    assert written[0] == pytest.approx(2.5)
    assert len(written) == 5  # of 50 seconds, 10 apart


# The command line.

SHORT = ["--dataset", "digits", "--pretrain_epochs", "3", "--maxiter", "60", "--update_interval", "20", "--tol", "0"]


def run(folder, *more):
    return helpers.run(DEC, [*SHORT, "--save_dir", str(folder), *more])


def test_the_command_line_goes_on_and_says_when_all_is_done(tmp_path, every_epoch, monkeypatch, capsys, small_network):
    dec = run(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("dec_keras.runs.run.save_assignments", lambda *_: (_ for _ in ()).throw(Cut))
        with pytest.raises(Cut):
            run(tmp_path / "cut")
    record = json.loads((tmp_path / "cut" / "run.json").read_text())
    assert "finished" not in record
    again = run(tmp_path / "cut", "--resume")
    np.testing.assert_array_equal(again.result.labels, dec.result.labels)
    for name in ("labels.csv", "dec_log.csv", "pretrain_log.csv"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "cut" / name).read_text()
    finished = json.loads((tmp_path / "cut" / "run.json").read_text())
    assert finished["started"] == record["started"] <= finished["finished"]
    assert finished["scores"]["acc"] == pytest.approx(again.result.log[-1]["acc"], abs=1e-5)
    capsys.readouterr()
    drawn = []
    monkeypatch.setattr("dec_keras.runs.drawing.draw", drawn.append)
    finished = run(tmp_path / "cut", "--resume", "--figures")
    assert "came to its end" in capsys.readouterr().out
    np.testing.assert_array_equal(drawn[0].labels, dec.result.labels)
    np.testing.assert_array_equal(finished.predict(drawn[0].x), dec.result.labels)

    with pytest.raises(InputError, match=r"had .*seed 0 \(now 1\): give the same"):
        run(tmp_path / "cut", "--resume", "--seed", "1")
    with pytest.raises(InputError, match=r"had tol 0\.0 \(now 1e-06\): give the same"):  # either is 0.00%
        run(tmp_path / "cut", "--resume", "--tol", "1e-6")
    finished = json.loads((tmp_path / "cut" / "run.json").read_text())
    finished["settings"]["stop"] = f"after {finished['settings'].pop('maxiter')} batches, or when fewer than 0.00% ..."
    del finished["settings"]["tol"]
    (tmp_path / "cut" / "run.json").write_text(json.dumps(finished))
    with pytest.raises(InputError, match=r"run\.json is of an earlier version.*begin anew, without --resume"):
        run(tmp_path / "cut", "--resume")
    (tmp_path / "cut" / "run.json").write_text("{}")
    with pytest.raises(InputError, match=r"run.json is damaged .*without --resume"):
        run(tmp_path / "cut", "--resume")


def test_run_json_says_what_a_run_was_made_with(tmp_path, small_network):
    run(tmp_path, "--maxiter", "1", "--pretrain_epochs", "1")
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["command"] == f"DEC.py {' '.join(SHORT)} --save_dir {tmp_path} --maxiter 1 --pretrain_epochs 1"
    assert record["versions"]["keras"] == keras.__version__
    assert record["data"]["samples"] == 1797
    assert record["settings"]["seed"] == 0
    assert record["threads"]["cores"] >= 1
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    assert (record["git_commit"] or "").startswith(head)


def test_a_second_run_in_a_folder_is_told_and_leftovers_are_cleared(tmp_path):
    leftover = tmp_path / f"{atomic.TEMPORARY}1234-labels.csv"
    leftover.touch()
    with lock_folder(tmp_path):
        assert not leftover.exists()
        with pytest.raises(InputError, match="Another run writes to"):
            run(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".lock"}
    with lock_folder(tmp_path):  # it is free again
        pass


def test_hosts_are_not_resumed(capsys):
    with pytest.raises(SystemExit):
        parse_run(DEC.name, ["--resume", "--strategy", "multiworker"])
    assert "--resume is for one host" in capsys.readouterr().err


def test_what_an_older_run_has_left_does_not_stand_in_the_way(tmp_path, monkeypatch, small_network):
    (tmp_path / "dec_checkpoint.npz").write_bytes(b"of an older run")
    (tmp_path / "my_checkpoint.npz").write_bytes(b"of the user's")
    with monkeypatch.context() as patch:
        patch.setattr("dec_keras.runs.run.pretrain", lambda *_, **__: (_ for _ in ()).throw(Cut))
        with pytest.raises(Cut):
            run(tmp_path)
    run(tmp_path, "--resume")
    assert (tmp_path / "my_checkpoint.npz").exists()
