"""Codes in the plane."""

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

from dec_keras.plots.style import styled


def pca(z: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
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


def neighbours(z: np.ndarray) -> tuple[str, np.ndarray]:
    """UMAP, or t-SNE where umap-learn is not installed: its name, and points of shape `(n, 2)`, the same every time."""
    name, method = "t-SNE", TSNE(perplexity=min(30, (len(z) - 1) / 3), init="pca", random_state=0)
    with suppress(ImportError):
        from umap import UMAP  # pyright: ignore[reportMissingImports]

        if len(z) > 15:  # the neighbours that it looks at
            name, method = "UMAP", UMAP(random_state=0, n_jobs=1)
    if np.ptp(z, axis=0).max() == 0:  # all codes alike have no neighbourhoods
        return name, np.zeros((len(z), 2))
    with threadpool_limits(1, user_api="openmp"):  # several would add up in any order
        return name, method.fit_transform(_at_least_two(z).astype(np.float64))


@styled
def embedding(panels: Sequence[Sequence[tuple]], title: str) -> Figure:
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
