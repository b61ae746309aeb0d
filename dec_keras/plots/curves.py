"""Curves over a training, and over numbers of clusters."""

import textwrap
from typing import Any, TypeAlias

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from dec_keras.metrics import SCORES
from dec_keras.plots.style import COLORS, LINES, grid_of_axes, styled

Log: TypeAlias = dict[str, np.ndarray]


LOSSES = {"loss": "KL(P‖Q)", "L": "L = Lr + gamma Lc", "Lc": "Lc = KL(P‖Q)", "Lr": "Lr = MSE"}  # of log columns


@styled
def training_curves(pretraining: dict[str, Log], log: Log, title: str | None, tol: float | None = None) -> Figure:
    """Losses, scores and changed labels over the training.

    Args:
        pretraining: {name: log} of `pretrain_log.csv` and of the layers of a layer-wise pretraining; may be empty. A
            log is a dict {column: float array} from `read_log`; its arrays have the same length.
        log: log of the clustering phase, `dec_log.csv` or `idec_log.csv`; {} for none.
        title: title of the figure; None: no title, and the width of a paper's column.
        tol: share of changed labels below which the training stops, marked if given.

    Returns:
        matplotlib Figure.
    """

    def curves(logs, x):
        """{name: (x, y)} of the columns that have numbers."""
        known = {name: (rows[x], rows[column]) for name, rows, column in logs if column in rows}
        return {name: (x, y) for name, (x, y) in known.items() if np.isfinite(y).any()}

    changes = {name: column[1:] for name, column in log.items()}  # at the start nothing has changed yet
    epochs = [(name, rows | {"epoch": rows["epoch"] + 1}, "loss") for name, rows in pretraining.items()]
    losses = curves([(name, log, column) for column, name in LOSSES.items()], "iter")
    scores = [(name.upper(), log, name) for name in SCORES]
    panels = [
        ("Pretraining", "reconstruction MSE", "epoch", curves(epochs, "epoch")),
        ("Clustering", next(iter(losses), "") if len(losses) == 1 else "loss", "batches", losses),
        ("Scores", "score", "batches", curves(scores, "iter")),
        ("Changed labels", "share of the samples", "batches", curves([("changed", changes, "delta_label")], "iter")),
    ]
    panels = [panel for panel in panels if panel[-1]]
    figure, axes = grid_of_axes(len(panels), columns=4, width=3, height=2.8, title=title)
    for axis, (panel, y_label, x_label, lines) in zip(axes, panels, strict=True):
        values = [y for _, y in lines.values()]
        if panel == "Changed labels" and tol:
            axis.axhline(tol, color="black", linestyle="--", label=f"tol = {tol:g}")
            values.append(np.array([tol]))
        _lines(axis, lines)
        axis.set(title=panel, xlabel=x_label, ylabel=y_label)
        axis.set_xlim(left=-0.04 * axis.get_xlim()[1])  # from 0, with room for a marker at 0
        if panel == "Scores":
            axis.set_ylim(0, 1.02)
        elif 0 < 10 * min(map(np.nanmin, values)) < max(map(np.nanmax, values)):
            axis.set_yscale("log")
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))  # matplotlib's is math text
            axis.yaxis.set_minor_formatter(NullFormatter())
        else:
            axis.set_ylim(bottom=-0.04 * axis.get_ylim()[1])
    return figure


def _lines(axis, lines):
    for i, (name, (x, y)) in enumerate(lines.items()):
        known = np.isfinite(y)
        style = {"color": COLORS[i % len(COLORS)], "linestyle": LINES[i % len(LINES)]}
        dots = {"marker": "o", "markevery": max(1, known.sum() // 10)}
        axis.plot(x[known], y[known], label=name, **style, **dots)
    axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.grid(alpha=0.3)
    if len(axis.lines) > 1:
        _legend_below(axis)


def _legend_below(axis):
    """The legend under the axis' label, where no curve runs."""
    ticks_and_label = 3.4 * axis.xaxis.label.get_size() / 72  # inches
    below = axis.transAxes + ScaledTranslation(0, -ticks_and_label, axis.figure.dpi_scale_trans)
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "bbox_transform": below, "ncols": 2}
    axis.legend(fontsize="small", handlelength=1.5, labelspacing=0.3, columnspacing=1, borderaxespad=0, **place)


@styled
def numbers_of_clusters(
    rows: list[dict[str, Any]], best: dict[str, int], k: int | None, reason: str, title: str
) -> Figure:
    """The measurements of `choose_k.py` over the number of clusters.

    Args:
        rows: rows of `choose_k.csv` as dicts, sorted by k.
        best: {column: the k that this criterion alone would choose}, marked by a ring.
        k: suggested number of clusters, marked in every panel; None for no suggestion.
        reason: reason in words, written below the title.
        title: title of the figure.

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
    heading = f"{title}\n{textwrap.fill(reason, 95)}"
    figure, axes = grid_of_axes(len(panels), columns=2, width=3.75, height=2.3, title=heading)
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
