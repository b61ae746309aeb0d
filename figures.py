"""Everything that is drawn: the figures of a run, as PNG and SVG, and its page `report.html`.

    python figures.py results                            # a run's folder: what DEC.py or IDEC.py saved
    python figures.py results/IDEC_model_final.h5        # one of two models in a folder
    python figures.py results --dataset moved/data.npz   # where the data are now
    python figures.py results --terms words.txt          # names of the features, one a line: the top terms too

The drawing functions take plain arrays and return a matplotlib Figure. Every group (cluster or class) has a colour,
safe for the colour-blind, a marker, and its name beside it: a copy in grey can be read too.
"""

import argparse
import math
import textwrap
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import keras
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

import batches
import metrics
import report
import scaling
from datasets import load
from dec_keras.data import reading
from files import InputError, errors_told, whole_file, writable_folder
from prediction import check_fits, load_model, load_network
from untrusted import read_json, read_log
from weights import read_attributes

SAMPLE = 2000  # samples in the embedding's figures and in the report
TOP = 10  # samples or terms of a cluster; the paper's figure has 10
MAX_GROUPS = 40  # told apart in a scatter; the smallest beyond it are drawn as one
IMAGE_SHAPES = {"mnist": (28, 28), "fmnist": (28, 28), "usps": (16, 16), "digits": (8, 8)}

# Okabe and Ito's colours but yellow, which white paper hides. 7 colours and 10 markers: 70 different pairs.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
LINES = ("-", "--", ":")
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.parse_math": False,  # names of classes and terms may hold a $
    "svg.hashsalt": "DEC",  # the same ids, so the same file, every time
}
styled = matplotlib.rc_context(rc=STYLE)


# Curves


@styled
def training_curves(pretraining, log, title):
    """Losses, scores and changed labels over the training.

    Args:
        pretraining: {name: log} of `pretrain_log.csv` and, of layer-wise pretraining, of its layers; may be empty. A
            log is a dict of equally long float arrays by column, as `read_log` gives it.
        log: of the clustering phase, `dec_log.csv` or `idec_log.csv`; {} for none.
        title: of the figure.

    Returns:
        matplotlib Figure.
    """

    def curves(logs, x):
        """{name: (x, y)} of the columns that have numbers."""
        known = {name: (rows[x], rows[column]) for name, rows, column in logs if column in rows}
        return {name: (x, y) for name, (x, y) in known.items() if np.isfinite(y).any()}

    changes = {name: column[1:] for name, column in log.items()}  # at the start nothing has changed yet
    epochs = [(name, rows | {"epoch": rows["epoch"] + 1}, "loss") for name, rows in pretraining.items()]
    losses = [(name, log, name) for name in ("loss", "L", "Lc", "Lr")]
    scores = [(name.upper(), log, name) for name in ("acc", "nmi", "ari")]
    panels = [
        ("Pretraining", "reconstruction loss", "epoch", curves(epochs, "epoch")),
        ("Clustering", "loss", "batches", curves(losses, "iter")),
        ("Scores", "score", "batches", curves(scores, "iter")),
        ("Changed labels", "share of the samples", "batches", curves([("changed", changes, "delta_label")], "iter")),
    ]
    panels = [panel for panel in panels if panel[-1]]
    figure, axes = _grid(len(panels), columns=2, width=7.5, height=2.6)
    figure.suptitle(title)
    for axis, (panel, y_label, x_label, lines) in zip(axes, panels, strict=True):
        _lines(axis, lines)
        axis.set(title=panel, xlabel=x_label, ylabel=y_label)
        axis.set_xlim(left=-0.04 * axis.get_xlim()[1])  # from 0 on, with room for its marker
        if panel == "Scores":
            axis.set_ylim(0, 1.02)
        elif 0 < 10 * min(np.nanmin(y) for _, y in lines.values()) < max(np.nanmax(y) for _, y in lines.values()):
            axis.set_yscale("log")
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))  # matplotlib's own is math
            axis.yaxis.set_minor_formatter(NullFormatter())
        else:
            axis.set_ylim(bottom=-0.04 * axis.get_ylim()[1])
    return figure


def _lines(axis, lines):
    for i, (name, (x, y)) in enumerate(lines.items()):
        known = np.isfinite(y)
        marker = {"marker": MARKERS[i % len(MARKERS)], "markersize": 4, "markevery": max(1, known.sum() // 10)}
        style = {"color": COLORS[i % len(COLORS)], "linestyle": LINES[i % len(LINES)]}
        axis.plot(x[known], y[known], label=name, linewidth=1.3, **style, **marker)
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axis.grid(alpha=0.3)
    if len(lines) > 1:
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)


@styled
def numbers_of_clusters(rows, best, k, reason, title):
    """What `choose_k.py` measured, over the number of clusters.

    Args:
        rows: dicts of `choose_k.csv`, by k.
        best: {column: the k that it would choose by itself}, ringed.
        k: the suggestion, marked in every panel; None for none.
        reason: in words, below the title.
        title: of the figure.

    Returns:
        matplotlib Figure.
    """
    panels = {
        "silhouette_x": "DEC's clusters: silhouette in x",
        "silhouette": "k-means on the codes: silhouette",
        "inertia": "k-means on the codes: inertia",
        "generalizability": "DEC: training / validation loss (G)",
        "nmi": "DEC: NMI with the labels",
    }
    panels = {name: panel for name, panel in panels.items() if rows[0][name] is not None}
    figure, axes = _grid(len(panels), columns=2, width=7.5, height=2.3)
    figure.suptitle(f"{title}\n{textwrap.fill(reason, 95)}", fontsize=10)
    ks = np.array([row["k"] for row in rows])
    for axis, (name, panel) in zip(axes, panels.items(), strict=True):
        values = np.array([row[name] for row in rows], float)
        _lines(axis, {panel: (ks, values)})
        axis.set(title=panel, xlabel="number of clusters")
        if k is not None:
            axis.axvline(k, color="black", linestyle="--", linewidth=1)
        if name in best:
            at = best[name]
            ring = {"markersize": 11, "markeredgecolor": "black", "markerfacecolor": "none"}
            axis.plot(at, values[ks == at], "o", **ring)
            axis.annotate(
                f"{at}", (at, values[ks == at][0]), xytext=(7, 6), textcoords="offset points", fontweight="bold"
            )
        axis.margins(y=0.2)
    return figure


# Embedding


def pca(z):
    """The first two principal components: points of shape `(n, 2)`, and the axes' names with their variance's share."""
    z = _at_least_two(z)
    components = PCA(2, random_state=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # all codes alike: no variance to share
        points = components.fit_transform(z)
    shares = np.nan_to_num(components.explained_variance_ratio_)
    return points, tuple(f"component {i} ({share:.0%} of the variance)" for i, share in enumerate(shares, start=1))


def _at_least_two(z):
    """Codes, those of one number with a 0 beside it."""
    return np.pad(z, ((0, 0), (0, max(0, 2 - z.shape[1]))))


def neighbours(z):
    """UMAP, or t-SNE where umap-learn is not installed: its name, and points of shape `(n, 2)`, the same every time."""
    name, method = "t-SNE", TSNE(perplexity=min(30, (len(z) - 1) / 3), init="pca", random_state=0)
    with suppress(ImportError):
        from umap import UMAP

        if len(z) > 15:  # the neighbours that it looks at
            name, method = "UMAP", UMAP(random_state=0, n_jobs=1)
    if np.ptp(z, axis=0).max() == 0:  # all codes alike have no neighbourhoods
        return name, np.zeros((len(z), 2))
    with threadpool_limits(1, user_api="openmp"):  # several would add up in any order
        return name, method.fit_transform(_at_least_two(z).astype(np.float64))


@styled
def embedding(panels, title):
    """Points in the plane, coloured by group.

    Args:
        panels: rows of panels, each panel (its title, points of shape `(n, 2)`, names of the axes or None, groups of
            shape `(n,)`, styles as `group_styles` gives them).
        title: of the figure.

    Returns:
        matplotlib Figure.
    """
    rows, columns = len(panels), len(panels[0])
    legends = [_legend_columns(panel[-1]) for panel in panels[-1]]
    legend_rows = max(math.ceil(len(panel[-1]) / n) for panel, n in zip(panels[-1], legends, strict=True))
    figure = Figure(figsize=(4.2 * columns, 3.9 * rows + 0.6 + 0.16 * legend_rows), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False)
    for row, line in zip(panels, axes, strict=True):
        for (panel, points, names, groups, styles), axis in zip(row, line, strict=True):
            axis.set(title=panel, xticks=[], yticks=[])
            if names is not None:
                axis.set(xlabel=names[0], ylabel=names[1])
            _scatter(axis, points, groups, styles)
    for (*_, styles), axis, n in zip(panels[-1], axes[-1], legends, strict=True):
        _legend(axis, styles, n)
    return figure


def _scatter(axis, points, groups, styles):
    for group, style in styles.items():
        x, y = points[groups == group].T
        axis.scatter(x, y, s=11, linewidths=0, alpha=0.75, rasterized=True, marker=style.marker, color=style.color)
    halo = {"path_effects": [withStroke(linewidth=2.5, foreground="white")]}
    for tag, at in _tag_places(points, groups, styles):
        axis.annotate(tag, at, ha="center", va="center", fontsize=9, fontweight="bold", **halo)


def _tag_places(points, groups, styles):
    """(tag, point) of each group: the one of its points nearest to its middle where the tag covers no other's.

    Above a group that is about as small as its tag, which would hide it.
    """
    low, size = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 1e-12)
    taken = []
    for group, style in styles.items():
        members = points[groups == group]
        if len(members) == 0:
            continue
        box = np.array([0.015 + 0.022 * len(style.tag), 0.05])  # of the panel's size, at this size of letters
        nearest = members[np.argsort(np.linalg.norm((members - np.median(members, axis=0)) / size, axis=1))]
        if (np.ptp(members, axis=0) / size <= 0.06).all():
            above = np.median(members[:, 0]), members[:, 1].max() + 0.7 * box[1] * size[1]
            nearest = [np.array(above), *nearest]
        for at in nearest[:200]:
            middle = (at - low) / size
            if all((np.abs(middle - other) >= (box + other_box) / 2).any() for other, other_box in taken):
                taken.append((middle, box))
                yield style.tag, at
                break


def _legend_columns(styles):
    return max(1, min(5, 60 // (max(len(style.name) for style in styles.values()) + 4)))


def _legend(axis, styles, columns):
    handles = [
        Line2D([], [], linestyle="", markersize=5, marker=style.marker, color=style.color) for style in styles.values()
    ]
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.08), "ncols": columns}
    names = [style.name for style in styles.values()]
    axis.legend(handles, names, fontsize=7.5, handletextpad=0.1, columnspacing=0.8, **place)


@dataclass(frozen=True)
class GroupStyle:
    """How a group is drawn: its name in the legend, its tag among its points, and the index of colour and marker."""

    name: str
    tag: str
    index: int

    @property
    def color(self):
        return COLORS[self.index % len(COLORS)]

    @property
    def marker(self):
        return MARKERS[self.index % len(MARKERS)]


def group_styles(groups, names, matched=None):
    """How each group is drawn.

    Args:
        groups: of the samples, shape `(n,)`.
        names: {group: name} of all groups, in order.
        matched: {group: index of colour and marker}, for classes in their clusters' styles; or None: in order.

    Returns:
        groups of shape `(n,)` in which the smallest of more than `MAX_GROUPS` are one, and {group: GroupStyle}.
    """
    matched, order, others = matched or {}, list(names), None
    if len(order) > MAX_GROUPS:
        sizes = {group: np.sum(groups == group) for group in order}
        small = sorted(order, key=lambda group: -sizes[group])[MAX_GROUPS - 1 :]
        others = small[0]
        groups = np.where(np.isin(groups, small), others, groups)
        order = [group for group in order if group not in small] + [others]
        names = names | {others: f"{len(small)} others"}
    unused = iter(sorted(set(range(len(order) + len(matched))) - set(matched.values())))
    short = all(len(names[group]) <= 4 for group in order if group != others)
    styles = {}
    for i, group in enumerate(order):
        tag, name = (names[group], names[group]) if short else (str(i), f"{i} = {_short(names[group], 18)}")
        tag, name = ("…", names[group]) if group == others else (tag, name)
        styles[group] = GroupStyle(name, tag, matched[group] if group in matched else next(unused))
    return groups, styles


# Clusters


@styled
def top_samples(rows, title):
    """The samples of each cluster that score highest, one row a cluster (DEC paper, the figure of section 4.3).

    Args:
        rows: {name of a cluster: its best samples, the best first}, as `best_of_each` gives them: uint8 images of shape
            `(m, height, width)` or `(m, height, width, 3)`, m at most `TOP`.
        title: of the figure.

    Returns:
        matplotlib Figure.
    """
    return _montage(rows, TOP, title, "cluster (samples)", "best of each cluster, in order")


@styled
def reconstructions(rows, title):
    """Images over what the autoencoder makes of them.

    Args:
        rows: {name: uint8 images of shape `(m, height, width)` or `(m, height, width, 3)`}, the originals first.
        title: of the figure.

    Returns:
        matplotlib Figure.
    """
    return _montage(rows, max(map(len, rows.values())), title, "", "one sample of each cluster")


def _montage(rows, columns, title, y_label, x_label):
    """Rows of images side by side as one picture, which draws faster than axes for each."""
    height, width, *colours = next(row.shape[1:] for row in rows.values() if len(row))
    gap = max(1, height // 14)
    picture = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, *colours), 255, np.uint8)
    for i, row in enumerate(rows.values()):
        for j, image in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            picture[top : top + height, left : left + width] = image
    cell = min(0.55, 9 / columns)
    size = (max(4.5, cell * columns + 1.6), cell * len(rows) * (height + gap) / (width + gap) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    axis = figure.subplots()
    axis.set_title(title)
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set_yticks([i * (height + gap) + height / 2 for i in range(len(rows))], list(rows))
    axis.set(xticks=[], ylabel=y_label, xlabel=x_label)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return figure


@styled
def top_terms(x, labels, n_clusters, terms, title):
    """The terms that tell each cluster from the rest: highest mean in it, less the mean of the others.

    Args:
        x: samples, shape `(n, d)`, such as tf-idf.
        labels: cluster of each sample, shape `(n,)`.
        n_clusters: k.
        terms: names of the d features.
        title: of the figure.

    Returns:
        matplotlib Figure.
    """
    bests = [distinctive_terms(x, labels, cluster, terms) for cluster in range(n_clusters)]
    figure, axes = _grid(n_clusters, columns=3, width=8.5, height=2.1)
    figure.suptitle(title)
    for cluster, (best, axis) in enumerate(zip(bests, axes, strict=True)):
        if not best:
            axis.set(xticks=[], yticks=[])
        axis.barh([_short(name, 20) for name, _ in best], [value for _, value in best], color=COLORS[0])
        axis.set_title(f"cluster {cluster} ({np.sum(labels == cluster):,})")
        axis.set_ylim(max(map(len, bests)) - 0.5, -0.5)  # bars of one height in all panels
        axis.tick_params(axis="y", labelsize=8, length=0)
        axis.xaxis.set_major_locator(MaxNLocator(3))
    figure.supxlabel("mean in the cluster, less the mean of the others", fontsize=9)
    return figure


@styled
def confusion(y, labels, title):
    """Classes against clusters, each cluster in the place of the class it is matched to (Hungarian algorithm).

    Args:
        y: true labels, shape `(n,)`.
        labels: cluster of each sample, shape `(n,)`.
        title: of the figure.

    Returns:
        matplotlib Figure.
    """
    counts, names, clusters, pairs = metrics.match(y, labels)
    order = [cluster for _, cluster in sorted(pairs)]
    order += [cluster for cluster in range(len(clusters)) if cluster not in order]
    counts = counts[:, order]
    shares = counts / counts.sum(axis=1, keepdims=True)
    rows, columns = counts.shape
    size = min(0.5, 9 / max(rows, columns))
    figure = Figure(figsize=(max(4, size * columns + 2.6), max(3, size * rows + 1.4)), layout="constrained")
    axis = figure.subplots()
    axis.set_title(title)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    letters = {"fontsize": min(8, 72 * size / (max(3, len(str(counts.max()))) * 0.75))}
    for i, j in zip(*np.nonzero(counts), strict=True):
        color = "white" if shares[i, j] > 0.65 else "black"
        axis.text(j, i, counts[i, j], ha="center", va="center", color=color, **letters)
    small = {"fontsize": min(9, 72 * size * 0.8)}
    axis.set_xticks(range(columns), clusters[order], **small)
    axis.set_yticks(range(rows), [_short(name, 20) for name in names], **small)
    axis.set(xlabel="cluster, matched to the classes", ylabel="class")
    axis.spines[:].set_visible(True)
    figure.colorbar(image, ax=axis, label="share of the class", shrink=0.8)
    return figure


@styled
def cluster_sizes(labels, n_clusters, title):
    """Samples of each cluster as bars, and where they would all be equal.

    Args:
        labels: cluster of each sample, shape `(n,)`.
        n_clusters: k; some may be empty.
        title: of the figure.

    Returns:
        matplotlib Figure.
    """
    sizes = np.bincount(labels, minlength=n_clusters)
    figure = Figure(figsize=(min(14, max(4.5, 0.42 * n_clusters + 1.5)), 3), layout="constrained")
    figure.suptitle(title)
    axis = figure.subplots()
    bars = axis.bar(range(n_clusters), sizes, color="#56B4E9", edgecolor="black", linewidth=0.6)
    over_the_line = {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6}, "zorder": 3}
    axis.bar_label(bars, fontsize=7, padding=2, rotation=90 if n_clusters > 15 else 0, **over_the_line)
    axis.axhline(len(labels) / n_clusters, color="black", linestyle="--", linewidth=1, label="all equal")
    axis.margins(x=0.02, y=0.2)
    axis.set(xlabel="cluster", ylabel="samples")
    axis.set_xticks(range(0, n_clusters, math.ceil(n_clusters / 40)))
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _grid(panels, columns, width, height):
    """A figure, and its axes row by row, as many as there are panels."""
    columns = min(columns, panels)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(width, height * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[panels:]:
        axis.remove()
    return figure, axes[:panels]


def _short(name, length):
    name = str(name)
    return name if len(name) <= length else f"{name[: length - 1 - length // 3]}…{name[-(length // 3) :]}"


def distinctive_terms(x, labels, cluster, terms, n=TOP):
    """[(term, mean in the cluster less the mean of the others)] of the n highest above 0; [] for an empty cluster."""
    inside = labels == cluster
    if not inside.any():
        return []
    outside = x[~inside].mean(axis=0) if not inside.all() else 0.0
    difference = np.asarray(x[inside].mean(axis=0) - outside).ravel()
    best = np.argsort(-difference, kind="stable")[:n]
    return [(str(terms[i]), float(difference[i])) for i in best if difference[i] > 0]


def as_images(x, shape, low, high):
    """Samples of shape `(m, d)` as uint8 images of shape `(m, *shape)`: `low` becomes black and `high` white."""
    shades = (x - low) / max(float(high - low), 1e-12)
    return (shades.clip(0, 1) * 255).round().astype(np.uint8).reshape(len(x), *shape)


# A run


@dataclass
class Run:
    """A finished run, as plain arrays.

    Attributes:
        method: "DEC" or "IDEC".
        folder: where its files are.
        x, y: samples as they were trained on, shape `(n, d)`, and true labels of shape `(n,)` or None.
        q, z: soft assignments, shape `(n, k)`, and codes, shape `(n, code)`.
        start_q, start_z: the same before the clustering; None where the run's files do not say.
        decoders: {name: function from x to its reconstruction}.
        image_shape: (height, width) or (height, width, 3) of a sample that is an image, or None.
        terms: names of the d features, or None.
        names: names of the n samples, or None.
        settings: {name: value} to be shown.
    """

    method: str
    folder: Path
    x: np.ndarray
    y: np.ndarray | None
    q: np.ndarray
    z: np.ndarray
    start_q: np.ndarray | None = None
    start_z: np.ndarray | None = None
    decoders: dict = field(default_factory=dict)
    image_shape: tuple | None = None
    terms: list | None = None
    names: list | None = None
    settings: dict = field(default_factory=dict)

    def __post_init__(self):
        self.labels = self.q.argmax(axis=1)
        self.n_clusters = self.q.shape[1]
        self.sample = np.sort(np.random.default_rng(0).permutation(len(self.q))[:SAMPLE])
        extremes = [(piece.min(), piece.max()) for piece in batches.pieces(self.x)]
        self.shades = float(np.min(extremes)), float(np.max(extremes))

    @property
    def title(self):
        return f"{self.method} on {Path(str(self.settings.get('data set', 'data'))).name}"

    def ranked(self, cluster):
        """Rows of the cluster's samples, the surest (highest q, nearest to the centre) first."""
        members = np.flatnonzero(self.labels == cluster)
        return members[np.argsort(-self.q[members, cluster], kind="stable")]

    def images(self, rows, x=None):
        """The rows of x, or of samples like them, as uint8 images."""
        return as_images(batches.rows(self.x, rows) if x is None else x, self.image_shape, *self.shades)


def find_model(path):
    """The model of a run: `path` itself, or the newer of the two that its folder may have.

    Raises:
        InputError: if there is none.
    """
    path = Path(path)
    models = [path / f"{method}_model_final.h5" for method in ("DEC", "IDEC")]
    found = [path] if path.is_file() else sorted(filter(Path.is_file, models), key=lambda file: file.stat().st_mtime)
    if not found:
        raise InputError(
            f"{path} has neither DEC_model_final.h5 nor IDEC_model_final.h5: give the folder that a run was saved to."
        )
    if len(found) > 1:
        print(f"{path} has two models: drawing the newer, {found[-1].name}; for the other give its file.")
    return found[-1]


def load_run(model_file, x, y=None, image_shape=None, terms=None, names=None):
    """Reads a run's files and predicts what is drawn of it.

    Args:
        model_file: the `DEC_model_final.h5` or `IDEC_model_final.h5` in the run's folder. Where they are beside it,
            `<method>_model_0.h5` or `ae_weights.h5` say how it was before the clustering, and `run.json` how it was
            trained.
        x: its samples, float array of shape `(n, d)`, scaled as in training.
        y: labels of shape `(n,)`, or None.
        image_shape, terms, names: see `Run`. image_shape by default that of the data set that the model names.

    Raises:
        InputError: if the model is none of ours, or x or `terms` do not fit it.
    """
    model_file = Path(model_file)
    folder, attributes = model_file.parent, read_attributes(model_file)
    model = load_model(model_file)
    check_fits(model, model_file, x)
    if terms is not None and len(terms) != x.shape[1]:
        raise InputError(f"There are {len(terms)} names of terms for {x.shape[1]} features: give one for each.")
    method = "IDEC" if any(layer.name == "decoder_0" for layer in model.layers) else "DEC"
    q, z, decode = _predict(model, x)
    dataset = attributes.get("dataset")
    settings = _settings(folder, method)
    settings = settings or {"data set": dataset, "protocol": attributes.get("protocol"), "clusters": q.shape[1]}
    start_q, start_z, decode_start = _before(folder, method, x, pretrained_here(settings))
    decoders = {"autoencoder": decode_start, method: decode}
    return Run(
        method=method,
        folder=folder,
        x=x,
        y=y,
        q=q,
        z=z,
        start_q=start_q,
        start_z=start_z,
        decoders={name: decode for name, decode in decoders.items() if decode},
        image_shape=image_shape or IMAGE_SHAPES.get(dataset),
        terms=terms,
        names=names,
        settings=settings,
    )


def _settings(folder, method):
    """The settings that `run.json` has of the method's run; {} if there is none, or it is of the other method's."""
    record = folder / "run.json"
    settings = read_json(record).get("settings") if record.is_file() else None
    return settings if isinstance(settings, dict) and settings.get("method") == method else {}


def pretrained_here(settings):
    """Whether a run of these settings pretrained its autoencoder; else what its folder has of that is another's."""
    return not str(settings.get("pretraining")).startswith("none")


def _before(folder, method, x, pretrained):
    """What `_predict` gives of the model before the clustering; None for what the run's files do not say."""
    q = z = None
    files = [folder / f"{method}_model_0.h5"] + [folder / "ae_weights.h5"] * pretrained
    for file in filter(Path.is_file, files):
        start = load_network(file)
        if start.input_shape[1] != x.shape[1]:  # an earlier run's, on other data
            continue
        at_start, codes, decode = _predict(start, x)
        q, z = at_start if q is None else q, codes if z is None else z
        if decode:
            return q, z, decode
    return q, z, None


def _predict(model, x):
    """q, codes, and a function from samples to their reconstructions; None for what a saved model does not have."""
    parts = [layer.name for layer in model.layers]
    code = [name for name in parts if name.startswith("encoder_")][-1]
    wanted = keras.Model(
        model.input, {name: model.get_layer(name).output for name in ("clustering", code) if name in parts}
    )
    outputs = [output for _, output in batches.predictions(wanted, x)]
    q, z = (
        np.concatenate([output[name] for output in outputs]) if name in parts else None for name in ("clustering", code)
    )
    if "decoder_0" not in parts:
        return q, z, None
    decoder = keras.Model(model.input, model.get_layer("decoder_0").output)
    return q, z, lambda samples: np.asarray(decoder(samples))


def draw(run):
    """Draws all that applies to a run into `<run>/figures/`, as PNG and SVG, and writes `<run>/report.html`.

    Args:
        run: a Run.

    Returns:
        {name: (caption, matplotlib Figure)}.

    Raises:
        InputError: if the folder cannot be written to.
    """
    folder = writable_folder(run.folder / "figures")
    views = embedding_views(run)
    figures = {name: made for name, made in run_figures(run, views).items() if made[1] is not None}
    for name, (_, figure) in figures.items():
        save(figure, folder / name)
    drawn = [(caption, folder / f"{name}.svg") for name, (caption, _) in figures.items()]
    y, styles = label_styles(run)
    by_label = None if y is None else np.array([styles[name].index for name in y.tolist()])
    report.write(run.folder / "report.html", run, drawn, views, by_label, COLORS, MARKERS)
    print(f"Figures saved to {folder}: {', '.join(figures)}; the page to look at: {run.folder / 'report.html'}")
    return figures


@matplotlib.rc_context(rc=STYLE)
def save(figure, path):
    """Saves a Figure as `path` + ".png" and ".svg", byte for byte the same every time."""
    for suffix, options in ((".png", {"dpi": 150}), (".svg", {"dpi": 150, "metadata": {"Date": None}})):
        with whole_file(f"{path}{suffix}") as temporary:
            figure.savefig(temporary, **options)


def run_figures(run, views):
    """{file name: (caption, Figure, or None where it does not apply)} of a run; views are `embedding_views`'."""
    log = read_log(run.folder / f"{run.method.lower()}_log.csv")
    layerwise = str(run.settings.get("pretraining", "layerwise")).startswith("layerwise")
    files = {f"layer {i}": f"pretrain_layer_{i}_log.csv" for i in range(100)} if layerwise else {}
    files |= {"whole": "pretrain_log.csv"} if pretrained_here(run.settings) else {}
    pretraining = {name: rows for name, file in files.items() if (rows := read_log(run.folder / file))}
    made = {"training": ("Training", training_curves(pretraining, log, run.title) if log or pretraining else None)}
    for name, method, panels in embedding_panels(run, views):
        shown = "" if len(run.sample) == len(run.q) else f", {len(run.sample):,} of {len(run.q):,} samples"
        made[f"embedding_{name}"] = f"Embedding, {method}", embedding(panels, f"{run.title}: codes by {method}{shown}")
    if run.y is not None:
        made["confusion"] = "Classes and clusters", confusion(run.y, run.labels, f"{run.title}: classes and clusters")
    made["sizes"] = "Cluster sizes", cluster_sizes(run.labels, run.n_clusters, f"{run.title}: samples of each cluster")
    if run.image_shape is not None:
        made["top_samples"] = "Top samples", top_samples(best_of_each(run), f"{run.title}: surest samples")
        if run.decoders:
            made["reconstructions"] = "Reconstructions", reconstructions(one_each(run), f"{run.title}: reconstructions")
    if run.terms is not None:
        terms = top_terms(run.x, run.labels, run.n_clusters, run.terms, f"{run.title}: terms of each cluster")
        made["top_terms"] = "Top terms", terms
    return made


def embedding_views(run):
    """The sample's codes in the plane: [(file name, method, when, points `(m, 2)`, names of the axes or None)]."""
    views = []
    for when, z in (("before", run.start_z), ("after", run.z)):
        if z is not None:
            points, axes = pca(z[run.sample])
            views.append(("pca", "PCA", when, points, axes))
            name, points = neighbours(z[run.sample])
            views.append((name.lower().replace("-", ""), name, when, points, None))
    return views


def embedding_panels(run, views):
    """(file name, method, panels) for `embedding`, of each method: before over after, by cluster beside by label."""
    clusters = {cluster: str(cluster) for cluster in range(run.n_clusters)}
    start_labels = run.labels if run.start_q is None else run.start_q.argmax(axis=1)
    y, y_styles = label_styles(run)
    for name, method in dict((view[0], view[1]) for view in views).items():
        panels = []
        for _, _, when, points, axes in (view for view in views if view[0] == name):
            labels, styles = group_styles(start_labels if when == "before" else run.labels, clusters)
            row = [(f"{when} clustering, by cluster", points, axes, labels[run.sample], styles)]
            if y_styles is not None:
                row.append((f"{when} clustering, by label", points, axes, y[run.sample], y_styles))
            panels.append(row)
        yield name, method, panels


def label_styles(run):
    """`group_styles` of the true labels, each class in the style of the cluster that it is matched to; or two None."""
    if run.y is None:
        return None, None
    _, classes, found, pairs = metrics.match(run.y, run.labels)
    classes = classes.tolist()
    matched = {classes[row]: int(found[column]) for row, column in pairs}
    return group_styles(run.y, {name: str(name) for name in classes}, matched)


def best_of_each(run):
    """The best samples of each cluster, and how many it has in its name: {name: images}, for `top_samples`."""
    ranked = map(run.ranked, range(run.n_clusters))
    return {f"{cluster}  ({len(rows):,})": run.images(rows[:TOP]) for cluster, rows in enumerate(ranked)}


def one_each(run, most=20):
    """One sample of each cluster, and what each decoder makes of them: {name: images}, for `reconstructions`."""
    rng = np.random.default_rng(0)
    clusters = [np.flatnonzero(run.labels == cluster) for cluster in range(run.n_clusters)]
    rows = np.array([rng.choice(members) for members in clusters if len(members)][:most])
    decoded = {name: run.images(rows, decode(batches.rows(run.x, rows))) for name, decode in run.decoders.items()}
    return {"sample": run.images(rows), **decoded}


# Command line


def main(arguments=None):
    """`python figures.py <run>`; bad input ends in a sentence and exit code 2."""
    parser = argparse.ArgumentParser(prog="figures.py", description="Draw a run of DEC.py or IDEC.py.")
    parser.add_argument("run", help="the folder that it was saved to, or the model's file in it")
    parser.add_argument("--dataset", help="the data set's name or file (default: as the model's file says)")
    parser.add_argument("--terms", help="text file of the features' names, one a line: draws each cluster's top terms")
    args = parser.parse_args(arguments)
    with errors_told("figures.py"):
        model_file = find_model(args.run)
        x, y, about = training_data(model_file, args.dataset)
        known = shown(about) | ({"terms": _lines_of(args.terms)} if args.terms else {})
        draw(load_run(model_file, x, y, **known))


def training_data(model_file, dataset=None):
    """The samples that a model was trained on, scaled as they were, their labels or None, and `reading.About` them.

    Args:
        model_file: a `.h5` file that DEC.py or IDEC.py saved.
        dataset: the data set's name or file; None: as the model's file says.

    Raises:
        InputError: if the data are not there, or the file does not say what they are.
    """
    attributes = read_attributes(model_file)
    dataset = dataset or attributes.get("dataset")
    if dataset is None:
        raise InputError(f"{model_file} does not say what data it was trained on: say it with --dataset.")
    try:
        x, y, about = load(dataset, reading.from_attributes(attributes))
    except InputError as error:
        raise InputError(f"{error} If the data are elsewhere now, say where with --dataset.") from error
    scaler = scaling.from_attributes(attributes, model_file) or scaling.Scaler()
    return scaler.transform(x), y, about


def shown(about):
    """What `reading.About` the data tells `load_run`; the terms of an image would be its pixels."""
    terms = about.features if about.image_shape is None else None
    return {"image_shape": about.image_shape, "terms": terms, "names": about.names}


def _lines_of(path):
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"Cannot read the terms in {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8 ({error.reason}): save it so, one term a line.") from error


if __name__ == "__main__":
    main()
