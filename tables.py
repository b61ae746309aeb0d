"""A sweep's results: `results.csv`, and the tables and files that are made of it alone.

python tables.py     (puts the tables of every results/<name>/results.csv that git tracks into README.md)
"""

import csv
import re
import subprocess
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from files import InputError, errors_told, whole_file, write_csv, write_text
from settings import DATASETS
from untrusted import read_json, read_log

METHODS = ("k-means", "AE+k-means", "AE+GMM", "DEC", "IDEC")
SCORES = ("acc", "nmi", "ari")
VERSIONS = ("python", "tensorflow", "keras", "numpy", "scikit-learn")
COLUMNS = (
    *("dataset", "method", "trial", "protocol", "seed", *SCORES, "iterations", "stop_reason"),
    *("pretrain_seconds", "cluster_seconds", "peak_memory_mb", *VERSIONS),
)
WHOLE = ("trial", "seed", "iterations", "peak_memory_mb")
NEEDED = ("dataset", "method", "trial", "protocol", "seed", *SCORES, *VERSIONS)
FRACTIONS = (*SCORES, "pretrain_seconds", "cluster_seconds")
METHOD_COLORS = ("#8c8c8c", "#4c9f70", "#c9a227", "#3568a8", "#b5442e")  # k-means, AE+k-means, AE+GMM, DEC, IDEC


def read_rows(path):
    """The rows of a results.csv, one dict each, numbers as int or float, None where a column is empty; [] without file.

    Raises:
        InputError: if it is no such file.
    """
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        try:
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise InputError(f"{path} has other columns than a results.csv: move it away.")
            return [_parsed(row) for row in reader]
        except InputError:
            raise
        except (TypeError, ValueError, csv.Error) as error:
            raise InputError(f"{path} is damaged in line {reader.line_num} ({error}): mend or delete it.") from error


def _parsed(row):
    if row["method"] not in METHODS:
        raise ValueError(f"there is no method {row['method']!r}")
    if tuple(row) != COLUMNS or not all(row[name] for name in NEEDED):
        raise ValueError(f"it must have {len(COLUMNS)} columns, {', '.join(NEEDED)} not empty")
    kinds = {name: int for name in WHOLE} | {name: float for name in FRACTIONS}
    parsed = {name: kinds.get(name, str)(value) if value else None for name, value in row.items()}
    if not all(np.isfinite(parsed[name] or 0) for name in FRACTIONS):
        raise ValueError(f"{', '.join(FRACTIONS)} must be finite")
    return parsed


def write_rows(path, rows):
    """Writes results.csv anew, so that it is never there with half a row; sorted, so that one sweep has one order."""
    write_csv(path, COLUMNS, sorted(rows, key=row_order))


def row_order(row):
    """Data sets as they are listed, your own after them."""
    known = DATASETS.index(row["dataset"]) if row["dataset"] in DATASETS else len(DATASETS)
    return known, row["dataset"], row["trial"], METHODS.index(row["method"])


def write_report(folder):
    """Makes `README.md`, the figures and DEC-keras' `results_dec-keras.csv` of `folder/results.csv`.

    Raises:
        InputError: if there are no results.
    """
    rows = read_rows(folder / "results.csv")
    if not rows:
        raise InputError(f"{folder} has no results.csv with results: run the sweep first.")
    write_seeds_csv(folder, rows)
    drawn = [
        ("scores.png", "Every trial is a point, the bar their mean.", scores_figure(rows, METHODS)),
        ("iterations.png", "Scores over the clustering phase, a line for each trial.", iterations_figure(folder, rows)),
    ]
    drawn = [part for part in drawn if part[-1] is not None]
    for name, _, figure in drawn:
        with whole_file(folder / name) as temporary:
            figure.savefig(temporary, dpi=110)
    sections = [
        f"# {folder.name}",
        f"{commands(folder, rows)} made [results.csv](results.csv); `--report-only` made this of it.",
        tables(folder / "results.csv"),
        *(f"![{text}]({name})\n\n{text}" for name, text, _ in drawn),
        "`results_dec-keras.csv` has DEC's start and end in the layout of DEC-keras' `results.csv`.",
    ]
    write_text(folder / "README.md", "\n\n".join(sections) + "\n")


def commands(folder, rows):
    """The command lines that give these rows: one for the data sets that have as many trials."""
    path = folder / "settings.json"
    settings = read_json(path) if path.exists() else {"protocol": rows[0]["protocol"]}
    files = settings.pop("files", {})
    options = [f"--{name} {value}" for name, value in settings.items() if value is not None]
    methods = [method for method in METHODS if method in {row["method"] for row in rows}]
    options += [] if len(methods) == len(METHODS) else ["--methods", *methods]
    by_trials = {}
    for dataset in dict.fromkeys(row["dataset"] for row in sorted(rows, key=row_order)):
        trials = max(row["trial"] for row in rows if row["dataset"] == dataset)
        by_trials.setdefault(trials, []).append(files.get(dataset, dataset))
    return " and ".join(
        " ".join([f"`python run_exp.py --name {folder.name} --datasets", *names, f"--trials {trials}", *options]) + "`"
        for trials, names in by_trials.items()
    )


# What was published, (ACC, NMI) in %: DEC-keras' README (k-means) and its results.csv (AE+k-means and DEC, means of 10
# trials), and the IDEC paper; the DEC paper's ACC as DEC-keras' README has it. pendigits: IDEC-toy's README.
PUBLISHED = {
    "mnist": {"k-means": (53, 50), "AE+k-means": (87.9, 80.7), "DEC": (91.2, 86.9), "IDEC": (88.1, None)},
    "fmnist": {"k-means": (47, 51), "AE+k-means": (60.6, 63.7), "DEC": (61.8, 65.1)},
    "usps": {"k-means": (67, 63), "AE+k-means": (70.9, 68.4), "DEC": (76.4, 78.7), "IDEC": (76.1, 78.5)},
    "pendigits": {"AE+k-means": (68.6, None), "DEC": (68.8, None), "IDEC": (69.8, None)},
    "reuters10k": {"k-means": (52, 31), "AE+k-means": (76.3, 51.9), "DEC": (77.8, 57.1), "IDEC": (75.6, None)},
    "stl": {"k-means": (70, 71), "AE+k-means": (78.6, 72.5), "DEC": (85.9, 82.0)},
}
PAPER = {"mnist": 84, "reuters10k": 72}


def tables(results_csv):
    """Two Markdown tables of a results.csv: means beside the published ones, in the form of DEC-keras' Table 1; and
    each method's mean, standard deviation, range and seeds.

    Args:
        results_csv: Path of a results.csv.

    Returns:
        str without a line end at its end; the same file gives the same text.
    """
    groups = {}
    for row in sorted(read_rows(results_csv), key=row_order):
        groups.setdefault(row["dataset"], {}).setdefault(row["method"], []).append(row)
    rows = [row for methods in groups.values() for rows in methods.values() for row in rows]
    protocols = ", ".join(f"`{name}`" for name in dict.fromkeys(row["protocol"] for row in rows))
    return "\n\n".join(
        [
            f"Mean ACC and NMI in %, protocol {protocols}; below ours what was published: DEC-keras', for IDEC the "
            "IDEC paper's, and for pendigits IDEC-toy's.",
            table_1(groups),
            "Mean ± standard deviation (lowest..highest) in % of n trials, and their mean times. Methods other than "
            "k-means share a trial's pretraining.",
            table_2(groups),
            f"Versions: {versions(rows)}.",
        ]
    )


def table_1(groups):
    lines = [["data set", "", *METHODS, "DEC paper"]]
    for dataset, methods in groups.items():
        published = PUBLISHED.get(dataset, {})
        for i, score in enumerate(("acc", "nmi")):
            means = {name: 100 * np.mean([row[score] for row in rows]) for name, rows in methods.items()}
            lines.append(["" if i else dataset, score, *(_cell(means.get(name), ".1f") for name in METHODS), ""])
            theirs = [published.get(name, (None, None))[i] for name in METHODS] + [None if i else PAPER.get(dataset)]
            if any(theirs):
                lines.append(["", f"{score}, published", *map(_cell, theirs)])
    return markdown(lines)


def _cell(number, form=""):
    return "" if number is None else format(number, form)


def table_2(groups):
    lines = [["data set", "method", "n", "seeds", "ACC", "NMI", "ARI", "pretraining", "clustering"]]
    for dataset, methods in groups.items():
        for method in sorted(methods, key=METHODS.index):
            rows = methods[method]
            scores = [spread([row[score] for row in rows]) for score in SCORES]
            times = [mean_time([row[column] for row in rows]) for column in ("pretrain_seconds", "cluster_seconds")]
            lines.append([dataset, method, str(len(rows)), ranges(row["seed"] for row in rows), *scores, *times])
    return markdown(lines)


def spread(values):
    """Mean ± sample standard deviation (lowest..highest) in %; one value stands alone."""
    percent = 100 * np.array(values)
    if len(percent) == 1:
        return f"{percent[0]:.1f}"
    return f"{percent.mean():.1f} ± {percent.std(ddof=1):.1f} ({percent.min():.1f}..{percent.max():.1f})"


def mean_time(seconds):
    return "" if None in seconds else f"{np.mean(seconds):.0f} s"


def ranges(numbers):
    """0, 1, 2, 5 -> "0-2, 5"."""
    runs = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def versions(rows):
    return ", ".join(f"{name} {' and '.join(sorted({row[name] for row in rows}))}" for name in VERSIONS)


def markdown(lines):
    head, *body = ("| " + " | ".join(cells) + " |" for cells in lines)
    return "\n".join([head, "|" + "---|" * len(lines[0]), *body])


def write_seeds_csv(folder, rows):
    """DEC-keras' layout: of each data set its name, then the scores that DEC starts from and their mean, then DEC's."""
    lines = []
    for dataset in dict.fromkeys(row["dataset"] for row in sorted(rows, key=row_order)):
        lines.append({"trials": dataset})
        for trials in (starts(folder, rows, dataset), by_trial(rows, dataset, "DEC")):
            for trial in sorted(trials):
                lines.append({"trials": trial - 1, **{name: trials[trial][name] for name in SCORES}})
            if trials:
                means = {name: round(float(np.mean([row[name] for row in trials.values()])), 6) for name in SCORES}
                lines.append({"trials": " ", **means})
    write_csv(folder / "results_dec-keras.csv", ["trials", *SCORES], lines)


def starts(folder, rows, dataset):
    """{trial: scores before DEC's clustering phase}: its log's first row, or AE+k-means' where there is no log."""
    found = by_trial(rows, dataset, "AE+k-means")
    for trial in by_trial(rows, dataset, "DEC"):
        log = read_log(folder / dataset / f"trial{trial}" / "dec_log.csv")
        if log.keys() >= {*SCORES}:
            found[trial] = {name: float(log[name][0]) for name in SCORES}
    return found


def by_trial(rows, dataset, method):
    return {row["trial"]: row for row in rows if (row["dataset"], row["method"]) == (dataset, method)}


# The tables in the project's README.

ROOT = Path(__file__).resolve().parent
MARKERS = ("<!-- results -->", "<!-- /results -->")


def with_tables(text, results):
    """`text` with the tables of results.csv files between the markers; README.md's test compares the two."""
    parts = [f"### [{path.parent.name}]({path.parent.relative_to(ROOT)})\n\n{tables(path)}\n" for path in results]
    between = "\n".join(["", *parts]) if parts else "\n"
    pattern = "(" + ").*?(".join(map(re.escape, MARKERS)) + ")"
    if not re.search(pattern, text, re.S):
        raise InputError(f"README.md lacks the lines {' and '.join(MARKERS)}: put them where the tables belong.")
    return re.sub(pattern, lambda match: f"{match[1]}\n{between.lstrip()}{match[2]}", text, flags=re.S)


def tracked_results():
    """The results.csv of the sweeps that git tracks, in order of name.

    Raises:
        InputError: if this is no git repository.
    """
    command = ["git", "ls-files", "results/*/results.csv"]
    try:
        files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError("README's tables are made of the results that git tracks: run this in a clone.") from error
    return [ROOT / line for line in sorted(files.stdout.splitlines())]


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


if __name__ == "__main__":
    readme = ROOT / "README.md"
    with errors_told("tables.py"):
        write_text(readme, with_tables(readme.read_text(encoding="utf-8"), tracked_results()))
