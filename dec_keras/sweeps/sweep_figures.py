"""Figures of a sweep: its scores, and their course over the clustering phase."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dec_keras.files.untrusted import read_log
from dec_keras.plots.style import COLORS
from dec_keras.sweeps.results import METHODS, by_trial


def scores_figure(rows, methods, published, label):
    """ACC by method and data set: a dot for every trial, a short line for the published value.

    Args:
        rows: rows of `read_rows`, at least one.
        methods: names of all methods, in order.
        published: {data set: {method: (ACC, NMI) in %}}; may lack data sets and methods.
        label: legend of the published values.

    Returns:
        matplotlib Figure.
    """
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    figure = Figure(figsize=(max(6.5, 2 + 2.2 * len(datasets)), 4), layout="constrained")
    axes = figure.add_subplot()
    found = {row["method"] for row in rows}
    width = 0.8 / len(found)
    for j, method in enumerate(filter(found.__contains__, methods)):
        at, values = [], []
        for i, dataset in enumerate(datasets):
            middle = i + (j - (len(found) - 1) / 2) * width
            accs = [100 * row["acc"] for row in by_trial(rows, dataset, method).values()]
            spread = np.linspace(-width / 4, width / 4, len(accs)) if len(accs) > 1 else np.zeros(len(accs))
            at += list(middle + spread)
            values += accs
            theirs = published.get(dataset, {}).get(method)
            if accs and theirs:
                tick = middle + 0.4 * width * np.array([-1, 1])
                axes.hlines(theirs[0], *tick, color="black", linewidth=1.5, label=label)
        dots = {"s": 20, "edgecolors": "white", "linewidths": 0.4, "zorder": 3}
        axes.scatter(at, values, color=COLORS[methods.index(method)], label=method, **dots)
    axes.set_xticks(range(len(datasets)), datasets)
    axes.set_xlim(-0.6, len(datasets) - 0.4)
    axes.set_ylabel("ACC in %")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    _legend(figure, [*methods, label])
    return figure


def iterations_figure(folder, rows):
    """ACC and NMI over the clustering phase's batches: the trials' mean, and a band from the lowest to the highest.

    The scores come from the trials' `dec_log.csv` and `idec_log.csv`. A trial that has stopped keeps its last score.

    Args:
        folder: Path of the sweep's folder.
        rows: rows of `read_rows`.

    Returns:
        matplotlib Figure, or None where there are no logs.
    """
    logs = {}
    for row in rows:
        path = folder / row["dataset"] / f"trial{row['trial']}" / f"{row['method'].lower()}_log.csv"
        if row["method"] in ("DEC", "IDEC") and path.exists():
            logs.setdefault(row["dataset"], {}).setdefault(row["method"], []).append(read_log(path))
    if not logs:
        return None
    figure = Figure(figsize=(9, 2.6 * len(logs) + 0.6), layout="constrained")
    grid = figure.subplots(len(logs), 2, squeeze=False)
    for line, (dataset, methods) in zip(grid, logs.items(), strict=True):
        for axes, score in zip(line, ("acc", "nmi"), strict=True):
            for method, trials in sorted(methods.items()):
                color = COLORS[METHODS.index(method)]
                known = [log for log in trials if {"iter", score} <= log.keys() and np.isfinite(log[score]).any()]
                if not known:
                    continue
                at, values = _on_one_axis(known, score)
                axes.plot(at, values.mean(axis=0), color=color, linewidth=1.3, label=method)
                axes.fill_between(at, values.min(axis=0), values.max(axis=0), color=color, alpha=0.2, linewidth=0)
            axes.set_title(f"{dataset}: {score.upper()} in %", fontsize="medium")
            axes.grid(alpha=0.3)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("batches")
    _legend(figure, ["DEC", "IDEC"])
    return figure


def _on_one_axis(logs, score):
    """The batches of all logs, and the score of each log in % at these batches, shape `(logs, batches)`."""
    at = np.unique(np.concatenate([log["iter"] for log in logs]))
    known = [np.isfinite(log[score]) for log in logs]
    return at, np.array(
        [np.interp(at, log["iter"][k], 100 * log[score][k]) for log, k in zip(logs, known, strict=True)]
    )


def _legend(figure, names):
    """One legend above all axes, with each of `names` that was drawn, once."""
    handles = {}
    for axes in figure.axes:
        handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    found = [name for name in names if name in handles]
    place = {"loc": "outside upper center", "ncols": min(4, len(found)), "columnspacing": 1, "handlelength": 1.2}
    figure.legend([handles[name] for name in found], found, frameon=False, fontsize="small", **place)
