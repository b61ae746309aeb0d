"""Curves of a training, and of numbers of clusters."""

import textwrap
from typing import Any, TypeAlias

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from dec_keras.plots.style import COLORS, LINES, MARKERS, grid_of_axes, styled

Log: TypeAlias = dict[str, np.ndarray]


@styled
def training_curves(pretraining: dict[str, Log], log: Log, title: str) -> Figure:
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
    figure, axes = grid_of_axes(len(panels), columns=2, width=7.5, height=2.6)
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
def numbers_of_clusters(
    rows: list[dict[str, Any]], best: dict[str, int], k: int | None, reason: str, title: str
) -> Figure:
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
    figure, axes = grid_of_axes(len(panels), columns=2, width=7.5, height=2.3)
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
