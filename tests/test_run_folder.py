"""What a run leaves in its folder, and what it finds there."""

import shutil

import numpy as np
import pytest

from DEC import DEC
from IDEC import IDEC
from tests import helpers

pytestmark = pytest.mark.usefixtures("small_network", "without_umap")
LAYERWISE = ("--pretrain", "layerwise", "--save_models", "--batch_size", "50")


def train(method, folder, *more):
    short = ("--pretrain_epochs", 2, "--maxiter", 20, "--update_interval", 10, "--tol", 0)
    return helpers.run(method, ["--dataset", folder.parent / "blobs.npz", "--save_dir", folder, *short, *more])


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(blobs, tmp_path):
    np.savez(tmp_path / "blobs.npz", x=blobs[0], y=blobs[1])
    return tmp_path / "out"


def test_a_new_run_leaves_nothing_of_the_old_one_and_all_that_is_the_users(folder, capsys):
    train(DEC, folder, *LAYERWISE, "--figures", "--tensorboard")
    old = names(folder)
    assert {"DEC_model_20.h5", "pretrain_layer_0_log.csv", "report.html", "figures/sizes.svg"} <= old
    mine = {"DEC_model_best.h5", "DEC_model_10_mine.h5", "pretrain_layer_x_log.csv", "figures/mine.png", "notes.csv"}
    mine.add("tensorboard/mine/events.out.tfevents.1")
    for name in mine:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    shutil.copy(folder / "ae_weights.h5", folder.parent / "weights.h5")
    train(DEC, folder, "--ae_weights", folder.parent / "weights.h5")
    assert names(folder) - mine == {
        *("DEC_model_0.h5", "DEC_model_final.h5", "dec_log.csv", "run.json", "labels.csv", ".lock"),
        *("embedding.npy", "centers.npy"),
    }
    assert mine <= names(folder)
    assert f"Replacing the earlier run in {folder}: {len(old) - 1} of its files" in capsys.readouterr().out


def test_the_other_methods_model_stays_and_so_do_the_weights_that_are_given(folder):
    train(DEC, folder, *LAYERWISE)
    kept = {"DEC_model_final.h5", "dec_log.csv", "ae_weights.h5", "pretrain_log.csv", "pretrain_layer_1_log.csv"}
    before = {name: (folder / name).read_bytes() for name in kept}
    train(IDEC, folder, "--ae_weights", folder / "ae_weights")
    assert {name: (folder / name).read_bytes() for name in kept} == before
    assert (folder / "IDEC_model_final.h5").exists()


def test_data_that_lie_in_the_folder_stay(folder, monkeypatch):
    train(DEC, folder)
    codes = (folder / "embedding.npy").read_bytes()
    monkeypatch.setattr("dec_keras.runs.run.pretrain", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        helpers.run(DEC, ["--dataset", folder / "embedding.npy", "--n_clusters", 2, "--save_dir", folder])
    assert (folder / "embedding.npy").read_bytes() == codes
    assert not (folder / "labels.csv").exists()


def test_a_run_that_goes_on_deletes_nothing(folder, capsys):
    train(DEC, folder, "--save_models")
    before = names(folder)
    train(DEC, folder, "--resume")
    assert names(folder) == before
    assert "Replacing" not in capsys.readouterr().out


def test_a_folder_without_a_run_is_left_as_it_is(folder):
    folder.mkdir()
    (folder / "pretrain_log.csv").write_text("mine")
    train(DEC, folder.parent / "first", "--save_models")
    train(DEC, folder, "--ae_weights", folder.parent / "first" / "ae_weights.h5")
    assert (folder / "pretrain_log.csv").read_text() == "mine"
