"""Embeddings of the codes in the plane."""

import math
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from dec_keras.plots.style import sheet, styled

HIDDEN = 0.25  # share of a group's points that a tag may cover


def pca(z: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """The first two principal components: points of shape `(n, 2)`, and the axes' names with variance shares."""
    z = _at_least_two(z)
    components = PCA(2, random_state=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # equal codes have no variance
        points = components.fit_transform(z)
    shares = np.nan_to_num(components.explained_variance_ratio_)
    return points, tuple(f"component {i} ({share:.0%} of variance)" for i, share in enumerate(shares, start=1))


def _at_least_two(z):
    """Codes with at least two columns: codes of one number get a column of zeros."""
    return np.pad(z, ((0, 0), (0, max(0, 2 - z.shape[1]))))


def neighbours(z: np.ndarray) -> tuple[str, np.ndarray]:
    """Name and points of UMAP, or of t-SNE without umap-learn or up to 15 codes: `(n, 2)`, the same every time."""
    name, method = "t-SNE", TSNE(perplexity=min(30, (len(z) - 1) / 3), init="pca", random_state=0)
    with suppress(ImportError):
        from umap import UMAP  # pyright: ignore[reportMissingImports]

        if len(z) > 15:  # UMAP's default number of neighbours
            name, method = "UMAP", UMAP(random_state=0, n_jobs=1)
    if np.ptp(z, axis=0).max() == 0:  # equal codes have no neighbourhoods
        return name, np.zeros((len(z), 2))
    with threadpool_limits(1, user_api="openmp"):  # the sums of several threads vary
        return name, method.fit_transform(_at_least_two(z).astype(np.float64))


@styled
def embedding(panels: Sequence[Sequence[tuple]], title: str | None, legends: Sequence[str] = ()) -> Figure:
    """Points in the plane, coloured by group.

    Args:
        panels: rows of panels, each panel (its title, points of shape `(n, 2)`, names of the axes or None, groups of
            shape `(n,)`, styles as `group_styles` gives them).
        title: title of the figure; None: no title, and the width of a paper's column.
        legends: heading of the legend of each column; () for none.

    Returns:
        matplotlib Figure.
    """
    rows, columns = len(panels), len(panels[0])
    widest = 60 if title is not None or columns == 1 else 36  # maximum letters in a row of a legend
    widths = [_legend_columns(panel[-1], widest) for panel in panels[-1]]
    legend_rows = max(math.ceil(len(panel[-1]) / n) for panel, n in zip(panels[-1], widths, strict=True)) + bool(
        legends
    )
    height = 3.9 * rows + 0.6 + 0.16 * legend_rows * (1 if title is not None else 2)
    figure, shrunk = sheet(4.2 * columns, height, title)
    axes = figure.subplots(rows, columns, squeeze=False)
    for row, line in zip(panels, axes, strict=True):
        for (panel, points, names, groups, styles), axis in zip(row, line, strict=True):
            axis.set(title=panel, xticks=[], yticks=[])
            if names is not None:
                axis.set_xlabel(names[0], fontsize="small")
                axis.set_ylabel(names[1], fontsize="small")
            _scatter(axis, points, groups, styles, shrunk)
    for (*_, styles), axis, n, heading in zip(panels[-1], axes[-1], widths, legends or [None] * columns, strict=True):
        _legend(axis, styles, n, heading)
    return figure


def _scatter(axis, points, groups, styles, shrunk):
    size = 11 * shrunk * np.clip(2000 / len(points), 0.2, 1)
    for group, style in styles.items():
        x, y = points[groups == group].T
        axis.scatter(x, y, s=size, linewidths=0, alpha=0.75, rasterized=True, marker=style.marker, color=style.color)
    axis.margins(0.08)  # room for tags at the edge
    halo = {"path_effects": [withStroke(linewidth=2.5 * shrunk, foreground="white")]}
    for tag, at, middle in _tag_places(points, groups, styles, 0.8 / shrunk if shrunk < 1 else 1):
        axis.plot(*zip(at, middle, strict=True), color="black", linewidth=0.6 * shrunk)
        axis.text(*at, tag, ha="center", va="center", fontweight="bold", **halo)


def _tag_places(points, groups, styles, letters=1.0):
    """Yields (tag, its place, the point that it marks) of each group, small groups first, since they have few places.

    The place is the point, or a place beside it if a tag at the point would hide a group or another tag. `letters` is
    the size of the letters relative to the panel.
    """
    low, size = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 1e-12)
    shares = (points - low) / size  # positions and all lengths below are shares of the panel's size
    _, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)

    def is_free(at, box):
        under = group_of[(np.abs(shares - at) < box / 2).all(axis=1)]
        hides_one = (np.bincount(under, minlength=len(sizes)) > HIDDEN * sizes).any()
        return not hides_one and all((np.abs(at - place) >= (box + other) / 2).any() for place, other in taken)

    taken = []
    for group, style in sorted(styles.items(), key=lambda item: np.sum(groups == item[0])):
        members = shares[groups == group]
        if len(members) == 0:
            continue
        box = letters * np.array([0.015 + 0.022 * len(style.tag), 0.05])
        inside = _from_the_middle(members)
        places = np.concatenate([inside, _around(inside[0], box)])
        at = next((place for place in places if is_free(place, box)), inside[0])
        taken.append((at, box))
        is_inside = (inside == at).all(axis=1).any()
        yield style.tag, low + at * size, low + (at if is_inside else inside[0]) * size


def _from_the_middle(members):
    """At most 100 of a group's points, the nearest to its middle first; not the outer half, near other groups."""
    distance = np.linalg.norm(members - np.median(members, axis=0), axis=1)
    inner = members[np.argsort(distance, kind="stable")[: (len(members) + 1) // 2]]
    return inner[:: -(-len(inner) // 100)]


def _around(middle, box):
    """Places around a point in the panel, the nearest first; of equally near places the one above the point first."""
    angles = np.pi * (0.5 + np.arange(16) / 8)
    rings = np.arange(0.5, 20, 0.25)[:, None, None] * box * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    places = middle + rings.reshape(-1, 2)
    return places[((places > -0.05) & (places < 1.05)).all(axis=1)]


def _legend_columns(styles, widest):
    return max(1, min(5, widest // (max(len(style.name) for style in styles.values()) + 4)))


def _legend(axis, styles, columns, heading):
    handles = [
        Line2D([], [], linestyle="", markersize=5, marker=style.marker, color=style.color) for style in styles.values()
    ]
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.08), "ncols": columns}
    names = [style.name for style in styles.values()]
    sizes = {"fontsize": "small", "title_fontsize": "small"}
    axis.legend(handles, names, title=heading, **sizes, handletextpad=0.1, columnspacing=0.8, **place)
