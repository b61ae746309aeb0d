"""Figures and the report: every figure of small runs, what is in them, and the page in Chromium where there is one."""

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import matplotlib.colors
import matplotlib.text
import numpy as np
import pytest
import scipy.sparse
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from scipy.spatial.distance import pdist

import figures
from DEC import DEC
from dec_keras import metrics
from dec_keras.data.samples import Samples
from dec_keras.files.run_folder import RunFolder
from dec_keras.files.untrusted import read_log
from dec_keras.plots import clusters, curves, style
from dec_keras.plots import embedding as embedding_plots
from dec_keras.runs import drawing, saved_run, verdict
from dec_keras.runs import page as report
from IDEC import IDEC
from tests import helpers

EVIL = "</script><script>alert(1)</script> $x^ & <b>"


@pytest.fixture(scope="module")
def small():
    """60 images of 4 x 6 pixels in three kinds, the first class with a hostile name: x (60, 24), y (60,)."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(3, size=60)
    x = rng.random((3, 24))[kinds] * 0.8 + rng.random((60, 24)) * 0.2
    return x.astype(np.float32), np.array([EVIL, "b", "c"])[kinds]


@pytest.fixture(scope="module", params=[pytest.param(DEC, marks=pytest.mark.slow), IDEC])
def folder(request, small, tmp_path_factory):
    """What a short run of DEC or IDEC saves."""
    folder = tmp_path_factory.mktemp("run")
    x, y = small
    keras.utils.set_random_seed(0)
    dec = request.param([24, 16, 3], n_clusters=3, seed=0)
    dec.attributes = {"dataset": str(folder / "data.npz"), "protocol": "dec-keras", "scale": 0.5}
    np.savez(folder / "data.npz", x=x * 2, y=y)  # to be scaled
    dec.pretrain(x, y, epochs=20, save_dir=folder)
    dec.fit(x, y, maxiter=6, update_interval=2, tol=0, save_dir=folder)
    return folder


def load(folder, x, y, **more):
    return saved_run.load_run(saved_run.find_model(folder), x, y, **more)


def test_a_run_is_drawn_whole(folder, small, capsys, without_umap):
    x, y = small
    run = load(folder, x, y, image_shape=(4, 6), terms=[f"term {i}" for i in range(24)])
    drawn = drawing.draw(run)
    expected = {"training", "confusion", "sizes", "top_samples", "reconstructions", "top_terms"}
    assert expected | {"embedding_pca"} < set(drawn)
    assert set(drawn) - expected in ({"embedding_pca", "embedding_tsne"}, {"embedding_pca", "embedding_umap"})
    for name in drawn:
        assert Image.open(folder / "figures" / f"{name}.png").size[0] > 400
        assert (folder / "figures" / f"{name}.svg").read_text().rstrip().endswith("</svg>")
    page = (folder / "report.html").read_text()
    assert page.count("<figure>") == len(drawn)
    assert str(folder / "report.html") in capsys.readouterr().out


def test_the_run_is_what_was_trained(folder, small):
    x, y = small
    run = load(folder, x, y, image_shape=(4, 6))
    final = keras.models.load_model(folder / f"{run.method}_model_final.h5", compile=False).predict(x, verbose=0)
    np.testing.assert_allclose(run.q, final[0] if run.method == "IDEC" else final, atol=1e-6)
    autoencoder = keras.models.load_model(folder / "ae_weights.h5", compile=False)
    codes = keras.Model(autoencoder.input, autoencoder.get_layer("encoder_1").output).predict(x, verbose=0)
    np.testing.assert_allclose(run.start_z, codes, atol=1e-6)
    assert np.abs(run.z - run.start_z).max() > 1e-3
    log = read_log(folder / f"{run.method.lower()}_log.csv")
    assert metrics.acc(y, run.start_q.argmax(axis=1)) == pytest.approx(log["acc"][0], abs=1e-5)
    assert metrics.acc(y, run.labels) == pytest.approx(log["acc"][-1], abs=1e-5)
    names = ["sample", "autoencoder"] + ["IDEC"] * (run.method == "IDEC")
    rows, found, errors = drawing.one_each(run)
    assert list(rows) == names
    nearest = [
        np.abs(image.astype(int) - run.images(slice(None))).reshape(60, -1).max(axis=1).argmin()
        for image in rows["sample"]
    ]
    assert list(run.labels[nearest]) == found == sorted(set(run.labels))
    made = autoencoder.predict(x[nearest], verbose=0)
    np.testing.assert_allclose(errors["autoencoder"], np.square(made - x[nearest]).mean(axis=1), rtol=1e-4)
    np.testing.assert_array_equal(rows["autoencoder"], run.images(nearest, made))


def test_what_other_runs_left_in_the_folder_is_not_drawn_and_said(folder, small, tmp_path, capsys, without_umap):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    method = next(tmp_path.glob("*_model_final.h5")).name.split("_")[0]
    of_others = {"method": "IDEC" if method == "DEC" else "DEC", "gamma": 7}
    (tmp_path / "run.json").write_text(json.dumps({"version": "0.2.0", "settings": of_others}))
    assert "gamma" not in load(tmp_path, *small).settings
    given = {"method": method, "ae_weights": "elsewhere.h5"}
    (tmp_path / "run.json").write_text(json.dumps({"version": "0.2.0", "settings": given}))
    run = load(tmp_path, *small)
    assert run.settings.items() >= given.items()
    assert set(run.decoders) == ({"autoencoder", "IDEC"} if method == "IDEC" else set())  # IDEC's own start has one
    lines = drawing.run_figures(run, drawing.embedding_views(run))["training"][1].axes
    assert "pretraining" not in " ".join(axes.get_title() for axes in lines).lower()
    run.image_shape, run.sample = (4, 6), run.sample[:3]  # few, for speed
    drawing.draw(run)
    lacking = "the pretraining's curve" + " and reconstructions" * (method == "DEC")
    reason = "since the autoencoder was not pretrained in this run but given, elsewhere.h5."
    assert f"Left out: {lacking}, {reason}" in " ".join(capsys.readouterr().out.split())  # which is wrapped
    assert reason in (tmp_path / "report.html").read_text()


def test_the_command_line_reads_the_data_again(folder, monkeypatch):
    runs, papers = [], []
    monkeypatch.setattr(figures, "draw", lambda run, paper: (runs.append(run), papers.append(paper)))
    figures.main([str(folder)])
    moved = folder / "moved.npz"
    shutil.copy(folder / "data.npz", moved)
    words = folder / "words.txt"
    words.write_text("\n".join(f"wörd{i}" for i in range(24)), encoding="utf-8")
    figures.main([str(saved_run.find_model(folder)), "--dataset", str(moved), "--terms", str(words), "--paper"])
    assert papers == [False, True]
    for run in runs:
        with np.load(folder / "data.npz") as arrays:
            np.testing.assert_allclose(run.x.x, arrays["x"] / 2)
    assert runs[0].terms is None
    assert runs[1].terms[3] == "wörd3"


@pytest.mark.parametrize("folder", [IDEC], indirect=True)
def test_the_script_knows_the_layers_by_itself(folder, tmp_path):
    np.save(tmp_path / "narrow.npy", np.ones((60, 5)))
    command = [sys.executable, Path(figures.__file__), folder, "--dataset", tmp_path / "narrow.npy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"Drawing {folder}: embeddings, clusters and curves.")
    assert "The data have 5 features" in done.stderr  # said once the model is loaded


def test_bad_input_ends_in_one_sentence(folder, tmp_path, capsys):
    model = saved_run.find_model(folder)
    np.savez(tmp_path / "narrow.npz", x=np.ones((60, 5)))
    (tmp_path / "two.txt").write_text("a\nb")
    (tmp_path / "latin.txt").write_bytes("é\n".encode("latin1") * 24)
    keras.Sequential([keras.Input((24,)), keras.layers.Dense(2)]).save(tmp_path / "other.h5")
    data = str(folder / "data.npz")
    for arguments, message in (
        ([str(tmp_path)], "neither DEC_model_final.h5 nor IDEC_model_final.h5"),
        ([str(tmp_path / "other.h5")], "does not say what data"),
        ([str(tmp_path / "other.h5"), "--dataset", data], "no layers encoder_0 and clustering"),
        ([str(model), "--dataset", "nothing.npz"], "say where with --dataset"),
        ([str(model), "--dataset", str(tmp_path / "narrow.npz")], "have 5 features"),
        ([str(model), "--terms", str(tmp_path / "two.txt")], "2 names of terms for 24 features"),
        ([str(model), "--terms", str(tmp_path / "latin.txt")], "not text in UTF-8"),
        ([str(model), "--terms", str(tmp_path / "absent.txt")], "Cannot read the terms"),
    ):
        with pytest.raises(SystemExit) as end:
            figures.main(arguments)
        assert end.value.code == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("figures.py: error: ")
        assert message in error


def test_the_option_draws_at_the_end_of_a_run(small, tmp_path, without_umap, small_network, capsys):
    np.save(tmp_path / "x.npy", small[0])
    arguments = ["--dataset", str(tmp_path / "x.npy"), "--n_clusters", "2", "--pretrain_epochs", "1", "--maxiter", "2"]
    helpers.command(DEC, [*arguments, "--seed", "7", "--figures", "--save_dir", str(tmp_path / "out")])
    assert capsys.readouterr().out.endswith(f"Next: open {tmp_path / 'out' / 'report.html'} in a browser.\n")
    names = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert {"training.png", "training.svg", "embedding_pca.svg", "sizes.png"} <= names
    assert not any("confusion" in name or "samples" in name for name in names)  # no labels, no images
    assert json.loads((tmp_path / "out" / "run.json").read_text())["settings"]["seed"] == 7
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<th>seed</th><td>7</td>" in page
    assert "Scores</h2>" not in page
    assert list(cells(page, "Without labels")) == ["AE + k-means", "DEC"]


def made(k, n=300, dim=5):
    """A Run of k groups, and no files."""
    rng = np.random.default_rng(k)
    y = np.arange(n) % k
    centers = rng.normal(scale=4, size=(k, dim))
    z = centers[y] + rng.normal(size=(n, dim))
    q = 1 / (1 + np.square(z[:, None] - centers).sum(axis=2))
    x = rng.random((n, 24)).astype(np.float32)
    return saved_run.Run("DEC", None, x, y, q / q.sum(axis=1, keepdims=True), z, image_shape=(4, 6))


def test_a_sparse_x_is_drawn(tmp_path, without_umap):
    run = made(3, n=60)
    run.x, run.folder, run.terms = (
        Samples(scipy.sparse.csr_matrix(run.x.x)),
        RunFolder(tmp_path),
        [f"term {i}" for i in range(24)],
    )
    drawn = drawing.draw(run)
    assert {"top_terms", "top_samples"} < set(drawn)
    assert "60 samples in 3 clusters" in (tmp_path / "report.html").read_text()


def overlaps(figure, texts):
    """Pairs of texts of a drawn figure whose boxes overlap by more than a pixel, and the boxes."""
    boxes = [(t.get_text(), t.get_window_extent(figure.canvas.get_renderer())) for t in texts if t.get_text()]
    apart = [
        (a, b)
        for i, (a, p) in enumerate(boxes)
        for b, q in boxes[:i]
        if min(p.x1, q.x1) - max(p.x0, q.x0) > 1 and min(p.y1, q.y1) - max(p.y0, q.y0) > 1
    ]
    return apart, boxes


@pytest.mark.parametrize("k", [2, 30])
@pytest.mark.parametrize("name", ["short", "a class with a long name"])
def test_texts_do_not_overlap_and_groups_differ_without_colour(k, name):
    run = made(k)
    run.y = np.array([f"{name} {i}" if name != "short" else f"c{i}" for i in range(k)])[run.y]
    ((_, _, panels),) = list(drawing.embedding_panels(run, [("pca", "PCA", "after", *embedding_plots.pca(run.z))]))
    figure = embedding_plots.embedding(panels, "title", ("clusters", "labels"))
    FigureCanvasAgg(figure).draw()
    for axis, styles in zip(figure.axes, (panel[-1] for panel in panels[0]), strict=True):
        tags = list(axis.texts)
        assert len(tags) == k
        legend = axis.get_legend().get_texts()
        heading = axis.get_legend().get_title()
        found, boxes = overlaps(figure, [*tags, *legend, heading, axis.title, axis.xaxis.label])
        assert not found
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 for _, box in boxes)
        assert len({text.get_text() for text in legend}) == k
        assert len({(style.color, style.marker) for style in styles.values()}) == k


def inside(tick, axis):
    """Whether a tick is drawn: matplotlib keeps some beyond the limits."""
    low, high = sorted(axis.get_view_interval())
    return low <= tick.get_loc() <= high


@pytest.mark.parametrize("k", [2, 30])
def test_tick_labels_do_not_overlap(k):
    run = made(k)
    y = np.array([f"a class with a long name {i:02d}" for i in range(k)])[run.y]
    for figure in (
        clusters.confusion(y, run.labels, "title"),
        clusters.cluster_sizes(run.labels, k, "title"),
        clusters.top_samples(drawing.best_of_each(run), "title"),
        clusters.top_terms(run.x.x, run.labels, k, [f"a term with a long name {i}" for i in range(24)], "title"),
    ):
        FigureCanvasAgg(figure).draw()
        sides = [side for a in figure.axes for side in (a.xaxis, a.yaxis)]
        ticks = [tick for side in sides for tick in side.get_major_ticks() if inside(tick, side)]
        found, boxes = overlaps(figure, [tick.label1 for tick in ticks] + [a.title for a in figure.axes])
        assert len(boxes) >= k
        assert not found
        assert all(box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1 for _, box in boxes)


def test_the_legends_say_which_is_of_clusters_and_which_of_labels():
    run = made(3)
    view = ("pca", "PCA", "after", *embedding_plots.pca(run.z))
    run.folder, run.image_shape = RunFolder(Path("none")), None
    for y, headings in ((run.y, ["clusters", "labels"]), (None, ["clusters"])):
        run.y = y
        axes = drawing.run_figures(run, [view])["embedding_pca"][1].axes
        assert [axis.get_legend().get_title().get_text() for axis in axes] == headings


def test_a_tag_stands_above_a_group_that_it_would_hide():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(200, 2)), rng.normal(scale=0.01, size=(50, 2)) + 3, [[-2, -2]]])
    groups = np.repeat([0, 1], [200, 51])  # the small one with an outlier
    _, styles = style.group_styles(groups, {0: "large", 1: "small"})
    (_, small, of_small), (_, large, of_large) = embedding_plots._tag_places(points, groups, styles)
    assert (large == of_large).all()
    assert np.isclose(points[:200], large).all(axis=1).any()
    assert small[1] > points[200:250, 1].max()
    assert small[0] == pytest.approx(3, abs=0.01)
    assert of_small == pytest.approx([3, 3], abs=0.01)


def test_every_group_has_its_tag_and_none_is_hidden_by_one():
    rng = np.random.default_rng(0)
    sizes = [900] + [5] * 20
    middles = np.array([[0.0, 0.0]] + [[0.15 * (i % 5 - 2), 0.15 * (i // 5 - 2)] for i in range(20)])
    points = np.concatenate(
        [m + rng.normal(scale=s, size=(n, 2)) for m, n, s in zip(middles, sizes, [1, *[0.003] * 20], strict=True)]
    )
    groups = np.repeat(np.arange(21), sizes)
    styles = style.group_styles(groups, {i: str(i) for i in range(21)})[1]
    places = {tag: at for tag, at, _ in embedding_plots._tag_places(points, groups, styles)}
    assert places.keys() == set(map(str, range(21)))
    for tag, at in places.items():
        box = np.ptp(points, axis=0) * [0.015 + 0.022 * len(tag), 0.05]
        covered = (np.abs(points - at) < box / 2).all(axis=1)
        assert (np.bincount(groups[covered], minlength=21) <= 0.25 * np.array(sizes)).all()


def test_small_classes_are_merged_and_matched_ones_share_their_clusters_style():
    groups = np.repeat(np.arange(50), np.arange(50) + 1)
    merged, styles = style.group_styles(groups, {i: f"c{i}" for i in range(50)})
    assert len(styles) == len(set(merged)) == style.MAX_GROUPS
    drawn = [(style.tag, style.name) for style in styles.values()]
    assert drawn == [(f"c{i}", f"c{i}") for i in range(11, 50)] + [("…", "11 others")]
    assert (merged != groups).sum() == sum(range(1, 12)) - 11
    run = made(3)
    run.y = np.array(["x", "y", "z"])[(run.labels + 1) % 3]  # cluster 2 is class x
    _, styles = drawing.label_styles(run)
    assert {name: style.index for name, style in styles.items()} == {"x": 2, "y": 0, "z": 1}


# What is left of linear RGB without the cones of long, middle or short waves (Machado et al., 2009, severity 1).
WITHOUT_CONES = (
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
)
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def cielab(linear_rgb):
    xyz = linear_rgb @ TO_XYZ.T / TO_XYZ.sum(axis=1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def test_the_colours_stay_apart_to_the_colour_blind_and_in_grey():
    rgb = np.array([matplotlib.colors.to_rgb(color) for color in style.COLORS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    assert len(rgb) >= 10
    for matrix in (np.eye(3), *WITHOUT_CONES):
        assert pdist(cielab((linear @ np.transpose(matrix)).clip(0, 1))).min() > 23
    lightness = np.sort(cielab(linear)[:, 0])
    assert np.diff(lightness).min() > 5
    assert lightness[-1] < 85  # white paper hides lighter ones


def test_groups_share_no_colour_where_that_can_be_avoided():
    n = len(style.COLORS)
    _, clusters = style.group_styles(np.arange(25), {i: str(i) for i in range(25)})
    assert [style.marker for style in clusters.values()] == ["o"] * n + ["s"] * n + ["^"] * (25 - 2 * n)
    classes = {i: f"class {i}" for i in range(10)}
    matched = {0: 3, 1: 3 + n, 2: 0, 3: n, 4: 2 * n}  # by colour two pairs and more
    _, styles = style.group_styles(np.arange(10), classes, matched)
    assert len({style.color for style in styles.values()}) == 10
    assert [styles[i].index for i in (0, 2)] == [3, 0]
    many = {i: f"class {i}" for i in range(n + 5)}
    _, styles = style.group_styles(np.arange(n + 5), many, {i: n + 4 - i for i in many})
    assert [style.index for style in styles.values()] == list(range(n + 5))[::-1]  # it cannot: as the clusters


def test_top_samples_are_those_of_highest_score():
    q = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3], [0.95, 0.05]])
    x = np.arange(5)[:, None] * np.ones((1, 14 * 14))
    run = saved_run.Run("DEC", None, x, None, q, q, image_shape=(14, 14))
    assert list(run.ranked(0)) == [4, 0, 3, 1]
    assert list(run.ranked(1)) == [2]
    figure = clusters.top_samples(drawing.best_of_each(run), "t")
    picture = figure.axes[0].images[0].get_array()
    assert [picture[0, 15 * j] for j in range(5)] == [255, 0, 191, 64, 255]  # white where there are no more
    assert [picture[15, 15 * j] for j in range(2)] == [128, 255]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["0  (4)", "1  (1)"]


def test_confusion_counts_every_sample_on_the_matched_diagonal():
    y = np.array(["a"] * 5 + ["b"] * 4)
    labels = np.array([7, 7, 7, 7, 3, 3, 3, 3, 3])
    axis = clusters.confusion(y, labels, "t").axes[0]
    assert {t.get_position(): t.get_text() for t in axis.texts} == {(0, 0): "4", (1, 0): "1", (1, 1): "4"}
    assert [t.get_text() for t in axis.get_xticklabels()] == ["7", "3"]


@pytest.mark.parametrize("form", [np.array, scipy.sparse.csr_matrix])
def test_terms_tell_a_cluster_from_the_rest_by_signed_standard_deviations(form):
    x = np.array([[1, 5, 0], [1, 5, 0], [0, 5, 2], [0, 5, 4]], np.float32)
    labels, terms = np.array([0, 0, 1, 1]), ["a", "b", "c"]
    of_c = 3 / np.std([0, 0, 2, 4])
    found = clusters.distinctive_terms(form(x), labels, 3, terms)
    assert [[name for name, _ in best] for best in found] == [["a", "c"], ["c", "a"], []]  # b is constant, 2 is empty
    assert [value for best in found for _, value in best] == pytest.approx([2, -of_c, of_c, -2])
    assert clusters.distinctive_terms(form(x), labels, 2, terms, n=1) == [found[0][:1], found[1][1:]]
    assert clusters.distinctive_terms(form(x), labels * 0, 1, terms) == [[]]
    axes = clusters.top_terms(form(x), labels, 3, terms, "t").axes
    assert [[bar.get_width() for bar in axis.patches] for axis in axes] == [[v for _, v in best] for best in found]
    assert [[tick.get_text() for tick in axis.get_yticklabels()] for axis in axes] == [["a", "c"], ["c", "a"], []]
    assert len({axis.get_xlim() for axis in axes}) == 1


def test_terms_are_told_batch_by_batch():
    rng = np.random.default_rng(0)
    x, labels = rng.random((2500, 3), np.float32), rng.integers(2, size=2500)
    expected = (x[labels == 0].mean(axis=0) - x[labels == 1].mean(axis=0)) / x.std(axis=0)
    found = dict(clusters.distinctive_terms(x, labels, 2, "abc")[0])
    assert [found[term] for term in "abc"] == pytest.approx(expected, rel=1e-4)


def test_a_table_has_features_and_a_text_has_terms(tmp_path, monkeypatch):
    monkeypatch.delattr(Samples, "matrix")  # which reads a mapped file as a whole
    run = made(2)
    run.folder, run.terms = RunFolder(tmp_path), [f"column {i}" for i in range(24)]
    assert drawing.run_figures(run, [])["top_terms"][0] == "Top features"
    run.x = Samples(scipy.sparse.csr_matrix(run.x.x))
    assert drawing.run_figures(run, [])["top_terms"][0] == "Top terms"


@pytest.mark.parametrize("z", [np.zeros((5, 3), np.float32), np.arange(4, dtype=np.float32)[:, None], np.eye(2)])
def test_collapsed_one_number_and_very_few_codes_are_drawn(z):
    for points in (embedding_plots.pca(z)[0], embedding_plots.neighbours(z)[1]):
        assert points.shape == (len(z), 2)
        assert np.isfinite(points).all()


def test_curves_and_bars_are_the_numbers():
    nan = float("nan")
    log = {"iter": [0, 30, 60], "loss": [nan, 0.4, 0.3], "acc": [0.5, nan, 0.7], "delta_label": [0, 0.2, 0.1]}
    logs = ({"epoch": [0, 1], "loss": [0.6, 0.2], "acc": [nan, nan]}, log)
    pretraining, log = ({name: np.array(values) for name, values in log.items()} for log in logs)
    axes = curves.training_curves({"whole": pretraining}, log, "t", tol=0.001).axes
    assert len({axis.get_subplotspec().rowspan for axis in axes}) == 1
    assert [axis.get_ylabel() for axis in axes][:2] == ["reconstruction MSE", "KL(P‖Q)"]
    assert [
        (axis.get_title(), line.get_label(), line.get_xydata().tolist()) for axis in axes for line in axis.lines
    ] == [
        ("Pretraining", "whole", [[1, 0.6], [2, 0.2]]),
        ("Clustering", "KL(P‖Q)", [[30, 0.4], [60, 0.3]]),
        ("Scores", "ACC", [[0, 0.5], [60, 0.7]]),
        ("Changed labels", "tol = 0.001", [[0, 0.001], [1, 0.001]]),
        ("Changed labels", "changed", [[30, 0.2], [60, 0.1]]),
    ]
    (axis,) = clusters.cluster_sizes(np.array([0, 0, 0, 2]), 3, "t").axes
    assert [bar.get_height() for bar in axis.patches] == [3, 0, 1]
    assert axis.lines[0].get_ydata() == pytest.approx([4 / 3] * 2)


@pytest.mark.parametrize("title", ["t", None])
def test_no_legend_covers_curves_or_the_axis_label(title):
    rising, falling = np.linspace(0.1, 0.9, 50), np.linspace(0.9, 0.1, 50)
    log = {"iter": np.arange(50.0), "L": rising, "Lc": falling, "Lr": np.full(50, 0.5), "delta_label": falling}
    log |= {"acc": rising, "nmi": falling, "ari": np.full(50, 0.5)}
    pretraining = {name: {"epoch": np.arange(50.0), "loss": rising} for name in ("layer 0", "layer 1", "whole")}
    figure = curves.training_curves(pretraining, log, title, tol=0.001)
    FigureCanvasAgg(figure).draw()
    assert len(figure.axes) == 4
    for axis in figure.axes:
        legend = axis.get_legend().get_window_extent()
        assert not legend.overlaps(axis.bbox)
        assert not legend.overlaps(axis.xaxis.label.get_window_extent())
        assert legend.x0 >= 0
        assert legend.y0 >= 0
        assert legend.x1 <= figure.bbox.x1


def test_reconstructions_are_numbered_with_their_error():
    images = np.zeros((2, 4, 6), np.uint8)
    rows, errors = {"sample": images, "IDEC": images}, {"IDEC": np.array([0.5, 0.0123])}
    (axis,) = clusters.reconstructions(rows, "t", [3, 7], errors).axes
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["3", "7"]
    assert [text.get_text() for text in axis.texts] == ["0.5", "0.012"]
    assert [tick.get_loc() for tick in axis.xaxis.get_major_ticks()] == [text.get_position()[0] for text in axis.texts]


def test_figures_of_a_paper_have_no_title_a_columns_width_and_pdf(tmp_path, capsys, without_umap):
    run = made(10)
    run.folder, run.terms = RunFolder(tmp_path), [f"column {i}" for i in range(24)]
    run.decoders = {"DEC": lambda x: x / 2}
    drawn = drawing.draw(run, paper=True)
    assert {"embedding_pca", "confusion", "sizes", "top_samples", "reconstructions", "top_terms"} <= set(drawn)
    assert not (tmp_path / "report.html").exists()
    for name, (_, figure) in drawn.items():
        assert figure.get_suptitle() == ""
        assert figure.get_figwidth() == pytest.approx(style.COLUMN)
        assert (tmp_path / "figures" / "paper" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text() and text.get_visible()]
        assert max(text.get_fontsize() for text in texts) <= 7
    assert str(tmp_path / "figures" / "paper") in capsys.readouterr().out


def test_the_page_holds_all_samples_or_stays_small(monkeypatch):
    run = made(3)
    assert list(run.sample) == list(range(300))
    monkeypatch.setattr(report, "BYTES", 10_000)
    few = made(3).sample
    assert 20 < len(few) < 100
    assert sorted(set(few)) == list(few)


def test_the_page_tells_the_unusual_features_of_a_sample_without_image():
    x = np.array([[0, 1, 5], [0, 1, 5], [0, 1, 5], [10, 2, 5]], np.float32)
    for form in (x, scipy.sparse.csr_matrix(x)):
        found = report._unusual(Samples(form), np.array([0, 3]))
        assert [dict(of_sample) for of_sample in found] == [{0: -0.6, 1: -0.6, 2: 0}, {0: 1.7, 1: 1.7, 2: 0}]
    assert report._scatter(made(2), [], np.arange(300))["unusual"] == []  # images are shown


def test_logs_with_gaps_are_read(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,loss,acc\n0,0.5,NA\n1,0.25,0.9\n2\n")
    log = read_log(tmp_path / "log.csv")
    np.testing.assert_array_equal(log["loss"], [0.5, 0.25, np.nan])
    np.testing.assert_array_equal(log["acc"], [np.nan, 0.9, np.nan])
    (tmp_path / "empty.csv").write_text("iter,loss\n")
    assert read_log(tmp_path / "empty.csv") == read_log(tmp_path / "none.csv") == {}
    assert [a.get_title() for a in curves.training_curves({"whole": log}, {}, "t").axes] == ["Pretraining"]
    log = {name: np.array(values) for name, values in {"iter": [0, 30], "delta_label": [0, 0]}.items()}
    (axis,) = curves.training_curves({}, log, "t").axes
    for low, high in (axis.get_xlim(), axis.get_ylim()):
        assert low == pytest.approx(-0.04 * high)  # there are no shares below 0, nor batches


def test_the_same_run_gives_the_same_files(tmp_path, without_umap):
    run = made(4)
    for name in ("a", "b"):
        ((_, _, panels),) = drawing.embedding_panels(
            run, [("x", "t-SNE", "after", embedding_plots.neighbours(run.z)[1], None)]
        )
        style.save(embedding_plots.embedding(panels, "t"), tmp_path / name)
    for suffix in ("png", "svg"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


@pytest.fixture(scope="module")
def page(small, folder, tmp_path_factory):
    """In a folder of its own: another test draws into the other."""
    x, y = small
    folder = shutil.copytree(folder, tmp_path_factory.mktemp("page") / "run")
    names = [f"{EVIL}{i}.png" for i in range(60)]
    run = load(folder, x, y, image_shape=(4, 6), names=names)
    run.settings = {"data set": EVIL}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "umap", None)  # as `without_umap`
        drawing.draw(run)
    return folder / "report.html", run


def test_the_page_escapes_what_comes_from_outside_and_needs_no_network(page):
    text = page[0].read_text()
    assert "<script>alert" not in text
    assert text.count("</script>") == 1
    assert "&lt;script&gt;alert" in text
    assert not re.search(r"(?:src|href)=\"(?!data:)|url\((?!data:)|@import", text)
    data = json.loads(re.search(r"^const data = (.*);$", text, re.M)[1])
    assert data["names"][5] == f"{EVIL}5.png"


def test_the_page_says_how_clusters_and_scores_are(tmp_path):
    q = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3], [0.95, 0.05]])
    y = np.array(["a", "a", "b", "b", "a"])
    run = saved_run.Run("DEC", RunFolder(tmp_path), q, y, q, q, start_q=q[[2, 0, 1, 3, 4]])
    report.write(tmp_path / "page.html", run, [], [], {"a": 0, "b": 1}, [], [])
    text = (tmp_path / "page.html").read_text()
    shown = re.findall(r"(\d+) samples \((.*) %\), mean confidence (.*)<br>Labels: (.*)</p>", text)
    assert shown == [("4", "80.0", "0.79", "a (75 %), b (25 %)"), ("1", "20.0", "0.80", "b (100 %)")]
    assert "Scores</h2>" not in text  # no file of the run has any
    assert "Without labels</h2>" not in text


def cells(page, heading):
    """{row: its cells} of the table under a heading."""
    table = re.search(rf"{heading}</h2>(.*?)</table>", page, re.S)[1]
    return {name: re.findall("<td.*?>(.*?)</td>", row) for name, row in re.findall("<th>(.*?)</th>(<td.*)", table)}


def test_the_page_says_what_the_run_said(tmp_path):
    scores = {"acc": 0.5, "nmi": 0.25, "ari": 0.125}
    start = {"name": "AE + k-means", "scores": scores, "silhouette": 0.2, "confidence": 0.8, "unsure": 0.25}
    record = {
        "kmeans_on_x": scores | {"acc": 0.75, "samples": 5},
        "quality": {"start": start, "end": start | {"name": "DEC", "silhouette": 0.1}},
        "warning": "the clusters are <worse>",
    }
    q = np.eye(2)
    run = saved_run.Run("DEC", RunFolder(tmp_path), q, None, q, q, summary=verdict.summary(record))
    report.write(tmp_path / "page.html", run, [], [], {}, [], [])
    text = (tmp_path / "page.html").read_text()
    of_nets = ["0.5000", "0.2500", "0.1250"]
    assert cells(text, "Scores") == {
        "k-means on x": ["0.7500", "0.2500", "0.1250"],
        "AE + k-means": of_nets,
        "DEC": of_nets,
    }
    quality = {"AE + k-means": ["0.2000", "0.8000", "25.0%"], "DEC": ["0.1000", "0.8000", "25.0%"]}
    assert cells(text, "Without labels") == quality
    assert "Warning: the clusters are &lt;worse&gt;</p>" in text
    for when in ("start", "end"):
        record["quality"][when]["scores"] = {}
    del record["kmeans_on_x"], record["warning"]
    assert verdict.summary(record)["scores"] == {}
    assert verdict.summary({}) == {"scores": {}, "quality": {}, "warning": ""}
    for damaged in ({"quality": {"start": 3}}, {"quality": 3}, {"kmeans_on_x": {"acc": "<b>"}}):
        with pytest.raises((TypeError, ValueError)):  # which `load_run` tells in a sentence
            verdict.summary(damaged)


def test_the_pages_points_fill_its_square_and_stay_in_the_middle():
    points = report._whole(np.array([[-2.0, 1.0], [2.0, 1.0], [0.0, 2.0]]))
    assert points == [[0, 3750], [10_000, 3750], [5_000, 6250]]
    assert report._whole(np.ones((2, 2))) == [[5_000, 5_000]] * 2


def test_the_pages_thumbnails_are_the_samples(page):
    path, run = page
    text = path.read_text()
    data = json.loads(re.search(r"^const data = (.*);$", text, re.M)[1])
    sheet = np.asarray(
        Image.open(io.BytesIO(base64.b64decode(re.search(r"url\(data:image/png;base64,(.*?)\)", text)[1])))
    )
    for i in (0, 31, 59):
        row, column = divmod(data["thumbs"][i], report.SPRITE_COLUMNS)
        np.testing.assert_array_equal(sheet[4 * row : 4 * row + 4, 6 * column : 6 * column + 6], run.images([i])[0])
        assert data["clusters"][i] == run.labels[i]
        assert data["groupings"]["labels"]["names"][data["labels"][i]] == f"label {run.y[i]}"


def test_the_page_colours_by_the_clusters_of_the_start_and_of_the_end():
    run = made(3)
    run.start_q = run.q[:, [1, 2, 0]]
    rows = run.sample
    data, groupings = report._scatter(run, [], rows), report._groupings(run, dict.fromkeys(range(3), 0))
    for name, title, labels in (
        ("clusters", "cluster at the end", run.labels),
        ("clusters_at_start", "cluster at the start", run.start_q.argmax(axis=1)),
    ):
        assert data[name] == labels[rows].tolist()
        assert groupings[name]["title"] == title
        assert groupings[name]["sizes"] == np.bincount(labels).tolist()
    run.start_q = None
    assert list(report._groupings(run, dict.fromkeys(range(3), 0))) == ["clusters", "labels"]
    view = ("pca", "PCA", "before", run.z[:, :2], None)
    ((_, _, panels),) = drawing.embedding_panels(run, [view])
    assert panels[0][0][0] == "before clustering, by final cluster"


def test_the_page_in_chromium(page):
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    browser_file = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with playwright.sync_playwright() as p:
        try:
            browser = p.chromium.launch(executable_path=browser_file, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium starts here: {str(error).splitlines()[0]}")
        tab = browser.new_page(viewport={"width": 1100, "height": 900})
        messages = []
        tab.on("console", lambda message: messages.append(message.text))
        tab.on("pageerror", lambda error: messages.append(str(error)))
        tab.on("dialog", lambda dialog: (messages.append("dialog"), dialog.dismiss()))
        tab.on("request", lambda request: messages.append(request.url) if request.url.startswith("http") else None)
        tab.goto(page[0].as_uri())
        canvas, run = tab.locator("#canvas"), page[1]
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()

        x, y, i = tab.evaluate("order[7]")
        tab.mouse.move(box["x"] + x, box["y"] + y)
        tip = tab.locator("#tip")
        assert tip.is_visible()
        of_sample = rf"cluster \d, confidence [\d.]+\ncluster {run.start_q[i].argmax()} at the start"
        assert re.search(rf"{re.escape(EVIL)}\d+\.png\n{of_sample}", tip.inner_text())
        assert tip.locator(".thumb").count() == 1

        assert canvas.get_attribute("data-drawn") == "60"
        tab.locator("#legend button").nth(1).click()
        assert int(canvas.get_attribute("data-drawn")) == (run.labels != 1).sum()
        tab.locator("#legend button").nth(2).click(modifiers=["Shift"])
        assert int(canvas.get_attribute("data-drawn")) == (run.labels == 2).sum()
        tab.locator("#all").click()
        assert canvas.get_attribute("data-drawn") == "60"

        tab.mouse.move(box["x"] + x, box["y"] + y)
        tab.mouse.wheel(0, -300)
        tab.wait_for_function("zoom > 1.5")
        assert tab.evaluate(f"place({i})") == pytest.approx([x, y], abs=3)  # the point under the mouse stays there
        tab.mouse.down()
        tab.mouse.move(box["x"] + x + 40, box["y"] + y - 30)
        tab.mouse.up()
        assert tab.evaluate(f"place({i})") == pytest.approx([x + 40, y - 30], abs=4)
        tab.select_option("#view", "0")
        assert tab.evaluate("zoom") == 1
        tab.select_option("#by", "labels")
        names, sizes = np.unique(run.y, return_counts=True)
        legend = [f"label {name} ({size})" for name, size in zip(names, sizes, strict=True)]
        assert tab.locator("#legend button").all_inner_texts() == legend
        tab.locator("#legend button").nth(1).click()
        assert int(canvas.get_attribute("data-drawn")) == 60 - sizes[1]
        titles = ["cluster at the end", "cluster at the start", "label"]
        assert tab.locator("#by option").all_inner_texts() == titles
        tab.select_option("#by", "clusters_at_start")
        tab.locator("#legend button").nth(1).click()
        assert int(canvas.get_attribute("data-drawn")) == (run.start_q.argmax(axis=1) != 1).sum()
        tab.select_option("#by", "clusters")
        assert tab.locator("#legend button").nth(0).inner_text().startswith("cluster 0 (")
        assert canvas.get_attribute("data-drawn") == "60"
        pdf = tab.pdf()  # as printed without backgrounds, which browsers leave out by default
        assert pdf.count(b"/Width 6\n/Height 4\n") >= np.minimum(np.bincount(run.labels), 2 * report.GALLERY).sum()
        tab.set_viewport_size({"width": 390, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") == 390  # of a telephone: nothing sticks out
        tab.emulate_media(media="print")
        assert tab.evaluate("getComputedStyle(document.querySelector('table')).breakInside") == "avoid"
        browser.close()
    assert messages == []
