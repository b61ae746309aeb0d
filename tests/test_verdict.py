"""What a run says at its end."""

import json
import re

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from DEC import DEC
from dec_keras import metrics
from dec_keras.data.samples import Samples
from dec_keras.runs import verdict
from dec_keras.runs.verdict import Quality
from tests import helpers

pytestmark = pytest.mark.usefixtures("small_network")


def train(folder, *more):
    short = ("--pretrain_epochs", 3, "--maxiter", 20, "--update_interval", 10, "--tol", 0, "--save_dir", folder)
    return helpers.run(DEC, [*short, *more])


def test_a_run_says_how_good_its_clusters_are_and_what_is_next(blobs, tmp_path, capsys):
    x, y = blobs
    np.savez(tmp_path / "blobs.npz", x=x, y=y)
    dec = train(tmp_path / "my run", "--dataset", tmp_path / "blobs.npz", "--scale", "none")
    printed = capsys.readouterr().out
    (first,) = re.findall(r"^k-means on x +([\d.]+) +([\d.]+) +([\d.]+) +[\d.]+ s$", printed, re.M)
    assert first == ("1.0000",) * 3
    assert "k-means on x: 5 restarts, on 100 of 100 samples." in printed
    quality = json.loads((tmp_path / "my run" / "run.json").read_text())["quality"]
    highest = dec.result.q.max(axis=1)
    found = {"confidence": highest.mean(), "unsure": np.mean(highest < 0.5)}
    found["silhouette"] = silhouette_score(x, dec.result.labels)
    assert {name: quality["end"][name] for name in found} == pytest.approx(found, abs=1e-6)
    assert quality["end"]["scores"] == metrics.scores(y, dec.result.labels)
    begun = DEC([6, 16, 3], 3)
    begun.load_weights(tmp_path / "my run" / "DEC_model_0.h5")
    assert quality["start"]["confidence"] == pytest.approx(begun.soft_labels(x).max(axis=1).mean(), abs=1e-6)
    for name, when in (("AE + k-means", "start"), ("DEC", "end")):
        values = f"{quality[when]['silhouette']:.4f} +{quality[when]['confidence']:.4f} +{quality[when]['unsure']:.1%}"
        assert re.search(rf"^{re.escape(name)} +{values}$", printed, re.M)
    *_, total, next_command = printed.splitlines()
    assert re.fullmatch(r"Total: \d+ s, peak memory [\d.]+ GB\.", total)
    assert next_command == f"Next: python figures.py '{tmp_path / 'my run'}'"


def test_clusters_that_got_worse_are_told(blobs, tmp_path, capsys, monkeypatch):
    np.save(tmp_path / "x.npy", blobs[0])
    arguments = ("--dataset", tmp_path / "x.npy", "--n_clusters", 3)
    monkeypatch.setattr(Quality, "fell_since", lambda *_: {})
    train(tmp_path / "a", *arguments)
    assert "Warning" not in capsys.readouterr().out
    monkeypatch.setattr(Quality, "fell_since", lambda *_: {"silhouette": (0.5, 0.4)})
    train(tmp_path / "b", *arguments)
    message = "worse than at the start (silhouette 0.5000 -> 0.4000); DEC_model_0.h5 has those of the start."
    assert message in capsys.readouterr().out
    assert message in json.loads((tmp_path / "b" / "run.json").read_text())["warning"]


def of_labels(acc, nmi):
    return Quality({"acc": acc, "nmi": nmi, "ari": 0.5}, 0.2, 0.9, 0.0)


def without_labels(silhouette, confidence):
    return Quality({}, silhouette, confidence, 0.0)


@pytest.mark.parametrize(
    ("start", "end", "fell"),
    [
        (of_labels(0.8, 0.7), of_labels(0.7, 0.6), {"ACC": (0.8, 0.7), "NMI": (0.7, 0.6)}),
        (of_labels(0.8, 0.7), of_labels(0.7, 0.8), {}),  # one of both says so
        (of_labels(0.8, 0.7), of_labels(0.8, 0.7), {}),
        (without_labels(0.2, 0.8), without_labels(0.1, 0.9), {"silhouette": (0.2, 0.1)}),
        (without_labels(0.2, 0.8), without_labels(0.19, 0.9), {}),  # by chance
        (without_labels(0.2, 0.8), without_labels(0.3, 0.7), {"mean confidence": (0.8, 0.7)}),
        (
            without_labels(0.2, 0.8),
            without_labels(0.1, 0.7),
            {"silhouette": (0.2, 0.1), "mean confidence": (0.8, 0.7)},
        ),
        (without_labels(0.2, 0.8), without_labels(0.3, 0.9), {}),
        (without_labels(0.2, 0.8), without_labels(0.3, 0.79999), {}),  # the same, as printed
    ],
)
def test_what_is_worse_names_what_fell(start, end, fell):
    assert end.fell_since(start) == fell


def test_kmeans_on_x_is_bounded(blobs, monkeypatch):
    x, y = blobs
    fitted = []
    fit = KMeans.fit
    monkeypatch.setattr(
        KMeans, "fit", lambda kmeans, points: fitted.append((kmeans.n_init, *points.shape)) or fit(kmeans, points)
    )
    monkeypatch.setattr(verdict, "KMEANS_SAMPLE", 40)
    scores, _, n = verdict.kmeans_on_x(Samples(x), y, 3, seed=0)
    assert (fitted, n) == ([(5, 40, 6)], 40)
    assert scores["acc"] == 1
