"""choose_k.py: short runs with a small network on blobs, its suggestion on made-up rows, and bad input."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import choose_k
from DEC import DEC
from dec_keras.errors import InputError
from dec_keras.plots import curves
from dec_keras.runs.config import RunConfig
from dec_keras.sweeps import numbers_of_clusters
from tests import helpers
from tests.helpers import make_network_small, read_log

pytestmark = pytest.mark.usefixtures("small_network")


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    """Four far groups of 6-D points in [0, 1]."""
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=120)
    centers = np.array([[0.1] * 6, [0.9] * 6, [0.1, 0.9] * 3, [0.9, 0.1] * 3])
    x = (centers[y] + rng.normal(scale=0.05, size=(120, 6))).clip(0, 1).astype(np.float32)
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, x=x, y=y)
    return path


@pytest.fixture(scope="module")
def two_compared(npz, tmp_path_factory):
    """A folder with the comparison of 2 and 3 clusters."""
    folder = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        make_network_small(patch)
        compare(npz, folder, "--k", "2:3")
    return folder


def compare(data, save_dir, *more):
    """A short run; returns k and the reason."""
    short = ["--k", "2:6", "--pretrain_epochs", 30, "--maxiter", 4]
    arguments = ["--dataset", data, "--save_dir", save_dir, *short, *more]
    args, config = choose_k.parse(list(map(str, arguments)))
    return numbers_of_clusters.choose_k(DEC, config, args.k, args.validation, args.save_dir)


def read(folder):
    return read_log(folder / "choose_k.csv")


def test_it_suggests_the_four_groups(npz, tmp_path, capsys):
    k, reason = compare(npz, tmp_path / "out")
    assert k == 4
    assert reason.startswith("Suggestion: 4 clusters.")
    printed = capsys.readouterr().out.splitlines()
    assert reason in " ".join(line.strip() for line in printed)
    assert max(len(line) for line in printed if "/" not in line) <= 80  # but for paths
    rows = read(tmp_path / "out")
    assert [int(row["k"]) for row in rows] == [2, 3, 4, 5, 6]
    for row in rows:
        ratio = float(row["train_loss"]) / float(row["validation_loss"])
        assert float(row["generalizability"]) == pytest.approx(ratio)
    assert float(rows[2]["nmi"]) == 1
    assert Image.open(tmp_path / "out" / "choose_k.png").size[0] > 400
    assert "<svg" in (tmp_path / "out" / "choose_k.svg").read_text()


def test_a_k_does_not_depend_on_the_others_nor_is_it_repeated(npz, tmp_path, monkeypatch):
    measured = []
    measure = numbers_of_clusters.measure
    monkeypatch.setattr(
        numbers_of_clusters,
        "measure",
        lambda method, config, *rest: measured.append(config.n_clusters) or measure(method, config, *rest),
    )
    compare(npz, tmp_path / "whole", "--k", "2:4")
    compare(npz, tmp_path / "parts", "--k", "3:4")
    compare(npz, tmp_path / "parts", "--k", "2:4")
    assert measured == [2, 3, 4, 3, 4, 2]
    assert read(tmp_path / "whole") == read(tmp_path / "parts")


def test_the_autoencoder_is_that_of_dec(npz, tmp_path):
    compare(npz, tmp_path / "a", "--k", "2:3", "--seed", 1)
    run = ["--dataset", npz, "--pretrain_epochs", 30, "--maxiter", 4, "--seed", 1, "--save_dir", tmp_path / "dec"]
    helpers.command(DEC, list(map(str, run)))
    compare(npz, tmp_path / "b", "--k", "2:3", "--seed", 1, "--ae_weights", tmp_path / "dec" / "ae_weights.h5")
    assert not (tmp_path / "b" / "ae_weights.h5").exists()
    assert read(tmp_path / "a") == read(tmp_path / "b")


def test_labels_only_score(npz, two_compared, tmp_path):
    with np.load(npz) as arrays:
        np.save(tmp_path / "x.npy", arrays["x"])
    compare(tmp_path / "x.npy", tmp_path / "b", "--k", "2:3")
    for labelled, unlabelled in zip(read(two_compared), read(tmp_path / "b"), strict=True):
        scores = {name: labelled.pop(name) for name in ("acc", "nmi", "ari")}
        assert all(scores.values())
        assert not any(unlabelled.pop(name) for name in scores)
        assert labelled == unlabelled


def test_held_out_rows_are_a_share_by_the_seed():
    masks = [numbers_of_clusters.validation_rows(100, 0.2, RunConfig(n_clusters=5, seed=int(seed))) for seed in "001"]
    assert [mask.sum() for mask in masks] == [20] * 3
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()


def test_held_out_rows_are_not_trained_on(npz, tmp_path, monkeypatch):
    trained = []
    fit = DEC.fit
    monkeypatch.setattr(DEC, "fit", lambda dec, x, *rest, **more: trained.append(x) or fit(dec, x, *rest, **more))
    compare(npz, tmp_path / "out", "--k", "2:3", "--validation", 0.3)
    with np.load(npz) as arrays:
        x = arrays["x"]
    held_out = numbers_of_clusters.validation_rows(120, 0.3, RunConfig(n_clusters=3))
    assert held_out.sum() == 36
    for rows in trained:
        np.testing.assert_array_equal(rows.x, x[~held_out])


def test_the_loss_is_the_divergence_of_the_target_distribution():
    q = np.random.default_rng(0).dirichlet([1, 1, 1], size=50)
    p = q**2 / q.sum(axis=0)
    p /= p.sum(axis=1, keepdims=True)
    assert numbers_of_clusters.clustering_loss(q) == pytest.approx(np.mean(np.sum(p * np.log(p / q), axis=1)))


def made_up(silhouette_x, silhouette, first=2):
    """Rows of these scores by k; inertia and G are at odds with them."""
    return [
        {
            "k": k,
            "silhouette_x": a,
            "silhouette": b,
            "inertia": 1 / k,
            "generalizability": 1.0 if k < first + 2 else 0.5,
        }
        for k, (a, b) in enumerate(zip(silhouette_x, silhouette, strict=True), start=first)
    ]


@pytest.mark.parametrize(
    ("rows", "k", "reason"),
    [
        (made_up([0.1, 0.2, 0.3, 0.2], [0.1, 0.2, 0.3, 0.2]), 4, "there too."),
        (made_up([0.1, 0.2, 0.3, 0.297], [0.1, 0.2, 0.2, 0.3]), 4, "k-means' on the codes at 5. Nearly as good: 5."),
        (made_up([0.3, 0.2, 0.1], [0.3, 0.2, 0.1]), 2, "Suggestion: 2 clusters."),
        (made_up([0.1, 0.2, 0.3], [0.3, 0.2, 0.3]), None, "compare larger ones"),
        (made_up([-0.2, -0.1, -0.3], [0.1, 0.2, 0.1]), None, "separate (silhouette -0.100"),
        (made_up([0.3, 0.2, 0.1], [0.3, 0.2, 0.1], first=3), None, "compare smaller ones"),
        (made_up([0.1, 0.2, 0.3, 0.2], [0.3, 0.2, 0.2, 0.2]), None, "k-means' on the codes at 2"),
    ],
)
def test_the_suggestion_and_its_reason(rows, k, reason):
    suggested, words = numbers_of_clusters.suggest(rows)
    assert suggested == k
    assert reason in words
    assert words.startswith("No clear answer" if k is None else "Suggestion")


def test_each_criterion_by_itself():
    rows = made_up([0.1, 0.3, 0.2, 0.2, 0.2], [0.1, 0.2, 0.3, 0.2, 0.2])
    best = {"silhouette_x": 3, "silhouette": 4, "inertia": 3, "generalizability": 3}
    assert numbers_of_clusters.best(rows) == best
    rows = [row | {"nmi": row["k"] / 10} for row in rows]
    axes = curves.numbers_of_clusters(rows, best, 4, "reason", "title").axes
    for axis, name in zip(axes, [*best, "nmi"], strict=True):
        values = {row["k"]: row[name] for row in rows}
        curve, suggestion, *ring = axis.lines
        assert dict(curve.get_xydata()) == values
        assert list(suggestion.get_xdata()) == [4, 4]
        ringed = [{best[name]: values[best[name]]}] if name in best else []
        assert [dict(line.get_xydata()) for line in ring] == ringed


def test_data_that_are_all_alike_have_no_answer(tmp_path):
    np.save(tmp_path / "alike.npy", np.full((60, 4), 0.5, np.float32))
    k, reason = compare(tmp_path / "alike.npy", tmp_path / "out", "--k", "2:3")
    assert k is None
    assert "at no number are the clusters separate" in reason
    assert read(tmp_path / "out")[0]["generalizability"] == "1.0"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--k", "5:2"], "give the smallest"),
        (["--k", "1:4"], "at least 2"),
        (["--k", "ten"], "such as 2:20. See"),
        (["--n_clusters", "3"], "unrecognized arguments"),
        (["--figures"], "unrecognized arguments"),
        (["--tensorboard"], "unrecognized arguments"),
        (["--strategy", "mirrored"], "unrecognized arguments"),
        (["--validation", "0.01"], "holds out 1 of 120 samples"),
        (["--validation", "2"], "from 0 to 1"),
        (["--k", "2:200"], "200 clusters of 120 samples"),
        (["--no_such_option"], "--no_such_option"),
    ],
)
def test_bad_input_ends_in_a_sentence(npz, tmp_path, capsys, arguments, sentence):
    with pytest.raises(SystemExit) as end:
        choose_k.main(["--dataset", str(npz), "--save_dir", str(tmp_path / "out"), *arguments])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert not (tmp_path / "out" / "choose_k.csv").exists()


def test_rows_of_other_settings_are_not_mixed(npz, two_compared, tmp_path, capsys):
    shutil.copytree(two_compared, tmp_path, dirs_exist_ok=True)
    with pytest.raises(SystemExit) as end:
        choose_k.main(["--dataset", str(npz), "--save_dir", str(tmp_path), "--seed", "1"])
    assert end.value.code == 2
    assert "choose another --save_dir" in capsys.readouterr().err


def test_each_data_set_has_a_folder_of_its_own(npz, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(npz, tmp_path)
    with np.load(npz) as held:
        np.savez(tmp_path / "others.npz", x=1 - held["x"], y=held["y"])
    short = ["--k", "2:3", "--pretrain_epochs", "2", "--maxiter", "2"]
    for dataset in ("blobs.npz", "others.npz:x"):
        choose_k.main(["--dataset", dataset, *short])
    assert len(read(tmp_path / "results" / "choose_k" / "blobs")) == 2
    assert len(read(tmp_path / "results" / "choose_k" / "others")) == 2


@pytest.mark.parametrize(("dataset", "name"), [("reuters", "reuters10k"), ("here/photos/", "photos"), ("..", "work")])
def test_the_folder_is_called_like_the_data(tmp_path, monkeypatch, dataset, name):
    (tmp_path / "work" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "here")
    assert choose_k.parse(["--dataset", dataset])[0].save_dir == Path("results/choose_k", name)


def test_a_damaged_table_is_told(npz, two_compared, tmp_path):
    shutil.copytree(two_compared, tmp_path, dirs_exist_ok=True)
    table = tmp_path / "choose_k.csv"
    table.write_text(table.read_text().replace("\n2,", "\n2,nan,"))
    with pytest.raises(InputError, match=r"choose_k.csv: damaged.*nan in place of a number"):
        compare(npz, tmp_path, "--k", "2:3")


def test_weights_of_dec_serve_whatever_the_scale_and_others_are_told_apart(npz, tmp_path):
    with np.load(npz) as held:
        np.savez(tmp_path / "wide.npz", x=held["x"] * 9 - 4, y=held["y"])
    short = ["--dataset", str(tmp_path / "wide.npz"), "--pretrain_epochs", "2", "--maxiter", "2"]
    given = [tmp_path / "wide.npz", tmp_path / "out", "--ae_weights", tmp_path / "dec" / "ae_weights.h5", "--k"]
    for seed in ("0", "1"):
        if seed == "1":
            compare(*given, "2:3")
        helpers.run(DEC, [*short, "--save_dir", str(tmp_path / "dec"), "--seed", seed])
    with pytest.raises(InputError, match="other data or settings"):
        compare(*given, "2:4")
