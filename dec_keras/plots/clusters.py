"""Figures of the contents of clusters: samples, terms, classes and sizes."""

import math
from collections.abc import Mapping, Sequence
from itertools import count
from types import MappingProxyType

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.preprocessing import StandardScaler

from dec_keras import metrics
from dec_keras.data.samples import BATCH, Samples, SamplesLike
from dec_keras.plots.style import COLORS, grid_of_axes, sheet, shorten, styled

NONE: Mapping = MappingProxyType({})
TOP = 10  # samples or terms shown per cluster; the paper's figure has 10


@styled
def top_samples(rows: dict[str, np.ndarray], title: str | None) -> Figure:
    """The samples of each cluster that score highest, one row per cluster (DEC paper, the figure of section 4.3).

    Args:
        rows: {name of a cluster: its best samples, the best first}, as `best_of_each` gives them: uint8 images of shape
            `(m, height, width)` or `(m, height, width, 3)`, m at most `TOP`.
        title: title of the figure; None: no title, and the width of a paper's column.

    Returns:
        matplotlib Figure.
    """
    return _montage(rows, TOP, title, "cluster (samples)", "best of each cluster, in order")


@styled
def reconstructions(
    rows: dict[str, np.ndarray],
    title: str | None,
    clusters: Sequence[int] = (),
    errors: Mapping[str, np.ndarray] = NONE,
) -> Figure:
    """Images above their reconstructions by the autoencoder.

    Args:
        rows: {name: uint8 images of shape `(m, height, width)` or `(m, height, width, 3)`}, the originals first.
        title: title of the figure; None: no title, and the width of a paper's column.
        clusters: clusters of the m images, written above them.
        errors: {name: error of each of its m images}, written below them.

    Returns:
        matplotlib Figure.
    """
    below = {name: [f"{error:.2g}" for error in values] for name, values in errors.items()}
    x_label = "a sample of each cluster" + ("; below, its MSE" if below else "")
    return _montage(rows, max(map(len, rows.values())), title, "", x_label, clusters, below)


def _montage(rows, columns, title, y_label, x_label, above=(), below: Mapping = NONE):
    """Draws rows of images as one picture, faster than with axes for each image; `above` and `below` are texts."""
    height, width, *colours = next(row.shape[1:] for row in rows.values() if len(row))
    gap = max(1, height // 14)
    pitch = height + (round(height / 2.5) if below else gap)
    picture = np.full((len(rows) * pitch - gap, columns * (width + gap) - gap, *colours), 255, np.uint8)
    for i, row in enumerate(rows.values()):
        for j, image in enumerate(row):
            top, left = i * pitch, j * (width + gap)
            picture[top : top + height, left : left + width] = image
    cell = min(0.55, 9 / columns)
    size = (max(4.5, cell * columns + 1.6), cell * len(rows) * pitch / (width + gap) + 0.9)
    figure, _ = sheet(*size, title)
    axis = figure.subplots()
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set_yticks([i * pitch + height / 2 for i in range(len(rows))], list(rows))
    middles = [j * (width + gap) + width / 2 - 0.5 for j in range(columns)]
    axis.set(xticks=[], ylabel=y_label, xlabel=x_label)
    if len(above):
        axis.set_xticks(middles[: len(above)], above)
    for i, name in enumerate(rows):
        for middle, text in zip(middles, below.get(name, ()), strict=False):
            axis.text(middle, i * pitch + height, text, ha="center", va="top", fontsize="x-small")
    axis.tick_params(length=0, labeltop=True, labelbottom=False)
    axis.spines[:].set_visible(False)
    return figure


@styled
def top_terms(x: SamplesLike, labels: np.ndarray, n_clusters: int, terms: Sequence[str], title: str | None) -> Figure:
    """The features that distinguish each cluster from the others, by higher or lower values.

    Args:
        x: samples, shape `(n, d)`, such as tf-idf or the columns of a table.
        labels: cluster of each sample, shape `(n,)`.
        n_clusters: number of clusters k.
        terms: names of the d features.
        title: title of the figure; None: no title, and the width of a paper's column.

    Returns:
        matplotlib Figure.
    """
    bests = distinctive_terms(x, labels, n_clusters, terms)
    figure, axes = grid_of_axes(n_clusters, columns=3, width=2.8, height=2.1, title=title)
    letters = 20 if title is not None else 12
    farthest = 1.05 * max((abs(value) for best in bests for _, value in best), default=1.0)
    for cluster, (best, axis) in enumerate(zip(bests, axes, strict=True)):
        values = [value for _, value in best]
        axis.barh(range(len(best)), values, color=[COLORS[0] if value > 0 else COLORS[1] for value in values])
        axis.axvline(0, color="black", linewidth=0.6)
        axis.set_yticks(range(len(best)), [shorten(name, letters) for name, _ in best], fontsize="small")
        axis.set(xlim=(-farthest, farthest), title=f"cluster {cluster} ({np.sum(labels == cluster):,})")
        axis.set_ylim(max(map(len, bests)) - 0.5, -0.5)  # bars of one height in all panels
        axis.tick_params(axis="y", length=0)
        axis.xaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10)))
        axis.grid(axis="x", alpha=0.3)
        axis.set_axisbelow(True)
    figure.supxlabel("mean in the cluster less that of the others, in standard deviations", fontsize="medium")
    return figure


@styled
def confusion(y: np.ndarray, labels: np.ndarray, title: str | None) -> Figure:
    """Classes against clusters; each cluster stands opposite its matched class (Hungarian algorithm).

    Args:
        y: true labels, shape `(n,)`.
        labels: cluster of each sample, shape `(n,)`.
        title: title of the figure; None: no title, and the width of a paper's column.

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
    figure, shrunk = sheet(max(4, size * columns + 2.6), max(3, size * rows + 1.4), title)
    size *= shrunk
    axis = figure.subplots()
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    in_cells = min(8 if title is not None else 6, 72 * size / (max(3, len(str(counts.max()))) * 0.75))
    for i, j in zip(*np.nonzero(counts), strict=True):
        color = "white" if shares[i, j] > 0.65 else "black"
        axis.text(j, i, str(counts[i, j]), ha="center", va="center", color=color, fontsize=in_cells)
    beside = min(9 if title is not None else 7, 72 * size * 0.8)
    axis.set_xticks(range(columns), clusters[order], fontsize=beside)
    axis.set_yticks(range(rows), [shorten(name, 20) for name in names], fontsize=beside)
    axis.set(xlabel="cluster, matched to the classes", ylabel="class")
    axis.spines[:].set_visible(True)
    figure.colorbar(image, ax=axis, label="share of the class", shrink=0.8)
    return figure


@styled
def cluster_sizes(labels: np.ndarray, n_clusters: int, title: str | None) -> Figure:
    """Sizes of the clusters as bars, and a line at the size of equal clusters.

    Args:
        labels: cluster of each sample, shape `(n,)`.
        n_clusters: number of clusters k; some may be empty.
        title: title of the figure; None: no title, and the width of a paper's column.

    Returns:
        matplotlib Figure.
    """
    sizes = np.bincount(labels, minlength=n_clusters)
    figure, _ = sheet(min(14, max(4.5, 0.42 * n_clusters + 1.5)), 3, title)
    axis = figure.subplots()
    bars = axis.bar(range(n_clusters), sizes, color=COLORS[4], edgecolor="black", linewidth=0.6)
    over_the_line = {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6}, "zorder": 3}
    axis.bar_label(bars, fontsize="small", padding=2, rotation=90 if n_clusters > 15 else 0, **over_the_line)
    axis.axhline(len(labels) / n_clusters, color="black", linestyle="--", linewidth=1, label="all equal")
    axis.margins(x=0.02, y=0.2)
    axis.set(xlabel="cluster", ylabel="samples")
    axis.set_xticks(range(0, n_clusters, math.ceil(n_clusters / 40)))
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def distinctive_terms(
    x: SamplesLike, labels: np.ndarray, n_clusters: int, terms: Sequence[str], n: int = TOP
) -> list[list[tuple[str, float]]]:
    """[(term, mean in the cluster minus mean of the others, in the term's standard deviations)] of each cluster.

    A list has the n differences farthest from 0, the highest first; it is [] if a cluster has no or all samples.
    """
    x = Samples.of(x)
    mean, deviation = mean_and_deviation(x)
    sizes, sums = np.bincount(labels, minlength=n_clusters), np.zeros((n_clusters, len(mean)))
    for start, piece in zip(count(0, BATCH), x.batches(), strict=False):
        sums += np.eye(n_clusters)[labels[start : start + BATCH]].T @ piece
    found = []
    for size, total in zip(sizes, sums, strict=True):
        difference = np.zeros(len(mean))
        if 0 < size < len(x):
            difference = (total / size - mean) / deviation / (1 - size / len(x))  # from the mean of the others
        best = np.argsort(-np.abs(difference), kind="stable")[:n]
        best = best[np.argsort(-difference[best], kind="stable")]
        found.append([(str(terms[i]), float(difference[i])) for i in best if abs(difference[i]) > 1e-6])
    return found


def mean_and_deviation(x: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature, shape `(d,)`; a constant feature's deviation is infinite."""
    scaler = StandardScaler()
    for piece in x.batches():
        scaler.partial_fit(piece)
    deviation = np.sqrt(scaler.var_)
    return scaler.mean_, np.where(deviation == scaler.scale_, deviation, np.inf)  # scale_ is 1 if constant


def as_images(x: np.ndarray, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    """Samples of shape `(m, d)` as uint8 images of shape `(m, *shape)`: `low` becomes black and `high` white."""
    shades = (x - low) / max(float(high - low), 1e-12)
    return (shades.clip(0, 1) * 255).round().astype(np.uint8).reshape(len(x), *shape)
