"""The notebooks, from top to bottom as a newcomer runs them, in a folder of their own and on less training."""

import keras
import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from DEC import DEC
from dec_keras.data.datasets import load_data
from tests.helpers import ROOT


def execute(name, folder, monkeypatch, less=None):
    """Runs a copy of the notebook in `folder/notebooks`, `less` being {text of its code: what to put there}."""
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    for old, new in (less or {}).items():
        (cell,) = (cell for cell in notebook.cells if old in cell.source and cell.cell_type == "code")
        cell.source = cell.source.replace(old, new)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    (folder / "notebooks").mkdir()
    client = NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(folder / "notebooks")}})
    return client.execute()


def pictures(notebook):
    return sum("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))


def test_explore_shows_a_saved_model(tmp_path, monkeypatch):
    folder = tmp_path / "results" / "digits"
    x, _ = load_data("digits")
    keras.utils.set_random_seed(0)
    dec = DEC([64, 32, 5], n_clusters=10, seed=0)
    dec.attributes = {"dataset": "digits", "scale": 1.0}
    dec.pretrain(x, epochs=3, save_dir=folder)
    labels = dec.fit(x, maxiter=10, update_interval=5, save_dir=folder)
    notebook = execute("explore.ipynb", tmp_path, monkeypatch)
    assert pictures(notebook) == 4
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert f"first labels: {labels[:10]}" in printed


@pytest.mark.slow
def test_explore_trains_a_model_where_there_is_none(tmp_path, monkeypatch):
    execute(
        "explore.ipynb", tmp_path, monkeypatch, {'"--dataset", dataset,': '"--dataset", dataset, "--maxiter", "60",'}
    )
    assert (tmp_path / "results" / "digits" / "DEC_model_final.h5").exists()


def test_own_data_ends_in_a_labelled_table(tmp_path, monkeypatch):
    notebook = execute("own_data.ipynb", tmp_path, monkeypatch, {"pretrain_epochs=50": "pretrain_epochs=5"})
    assert pictures(notebook) == 2
    table, labelled = (pd.read_csv(tmp_path / "notebooks" / f"my_data{end}.csv") for end in ("", "_labelled"))
    assert labelled["cluster"].isin(range(10)).all()
    assert labelled["cluster"].nunique() > 5
    pd.testing.assert_frame_equal(labelled.drop(columns="cluster"), table)


@pytest.mark.parametrize("name", ["explore.ipynb", "own_data.ipynb"])
def test_notebooks_are_small_and_valid(name):
    path = ROOT / "notebooks" / name
    nbformat.validate(nbformat.read(path, as_version=4))
    assert path.stat().st_size < 500_000
