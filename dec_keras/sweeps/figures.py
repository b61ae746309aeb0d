"""Figures of a sweep: its scores, and how they came about."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dec_keras.files.untrusted import read_log
from dec_keras.sweeps.results import by_trial

METHOD_COLORS = ("#8c8c8c", "#4c9f70", "#c9a227", "#8e6bad", "#3568a8", "#b5442e")  # in the order of METHODS


def scores_figure(rows, methods):
    """ACC by method and data set: every trial a point, the mean a bar.

    Args:
        rows: of `read_rows`, at least one.
        methods: names of all methods, in order.

    Returns:
        matplotlib Figure.
    """
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    figure = Figure(figsize=(max(6.5, 2 + 2.2 * len(datasets)), 4), layout="constrained")
    axes = figure.add_subplot()
    for j, (method, color) in enumerate(zip(methods, METHOD_COLORS, strict=True)):
        at, means = [], []
        for i, dataset in enumerate(datasets):
            values = [100 * row["acc"] for row in by_trial(rows, dataset, method).values()]
            if not values:
                continue
            middle = i + (j - (len(methods) - 1) / 2) * 0.16
            at.append(middle)
            means.append(np.mean(values))
            spread = np.linspace(-0.045, 0.045, len(values)) if len(values) > 1 else [0.0]
            points = {"s": 14, "color": "black", "edgecolors": "white", "linewidths": 0.5, "zorder": 3}
            axes.scatter(middle + np.array(spread), values, **points)
        if at:
            axes.bar(at, means, width=0.145, color=color, label=method)
    axes.set_xticks(range(len(datasets)), datasets)
    axes.set_xlim(-0.6, len(datasets) - 0.4)
    axes.set_ylim(0, 100)
    axes.set_ylabel("ACC in %")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(methods), frameon=False, columnspacing=1, handlelength=1)
    return figure


def iterations_figure(folder, rows):
    """ACC and NMI over the clustering phase's batches, from the `dec_log.csv` and `idec_log.csv` of a sweep's trials.

    Args:
        folder: Path of the sweep's folder.
        rows: of `read_rows`.

    Returns:
        matplotlib Figure, or None where there are no logs.
    """
    logs = {}
    for row in rows:
        path = folder / row["dataset"] / f"trial{row['trial']}" / f"{row['method'].lower()}_log.csv"
        if row["method"] in ("DEC", "IDEC") and path.exists():
            logs.setdefault(row["dataset"], []).append((row["method"], read_log(path)))
    if not logs:
        return None
    figure = Figure(figsize=(9, 2.6 * len(logs) + 0.6), layout="constrained")
    grid = figure.subplots(len(logs), 2, squeeze=False)
    for line, (dataset, trials) in zip(grid, logs.items(), strict=True):
        for axes, score in zip(line, ("acc", "nmi"), strict=True):
            for method, log in trials:
                if not {"iter", score} <= log.keys():
                    continue
                color = METHOD_COLORS[3] if method == "DEC" else METHOD_COLORS[4]
                axes.plot(log["iter"], 100 * log[score], color=color, alpha=0.7, linewidth=1, label=method)
            axes.set_title(f"{dataset}: {score.upper()} in %", fontsize="medium")
            axes.grid(alpha=0.3)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("batches")
    handles = {}
    for axes in figure.axes:
        handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    names = sorted(handles)
    figure.legend([handles[name] for name in names], names, loc="outside upper center", ncols=2, frameon=False)
    return figure
