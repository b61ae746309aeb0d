"""Tables, figures and files made from a sweep's `results.csv` and logs."""

import re
from itertools import groupby
from typing import NamedTuple

import numpy as np

from dec_keras.errors import InputError
from dec_keras.files.atomic import atomic_write, write_csv, write_text
from dec_keras.files.untrusted import read_json, read_log
from dec_keras.sweeps.results import METHODS, SCORES, VERSIONS, by_trial, read_rows, row_order
from dec_keras.sweeps.sweep_figures import iterations_figure, scores_figure


def write_report(folder):
    """Makes `README.md`, `table.tex`, the figures and DEC-keras' `results_dec-keras.csv` from `folder/results.csv`.

    Raises:
        InputError: if there are no results.
    """
    rows = read_rows(folder / "results.csv")
    if not rows:
        raise InputError(f"{folder} has no results.csv with results: run the sweep first.")
    write_seeds_csv(folder, rows)
    band = (
        "Scores over the clustering phase: the trials' mean, and a band from the lowest to the highest; "
        "a trial that has stopped keeps its last score."
    )
    theirs = published(rows)
    dots = f"Every trial is a dot, what was published a line: {theirs.sources}."
    drawn = [("scores.png", dots, scores_figure(rows, METHODS, theirs.scores, theirs.label))]
    if (figure := iterations_figure(folder, rows)) is not None:
        drawn.append(("iterations.png", band, figure))
    for name, _, figure in drawn:
        with atomic_write(folder / name) as temporary:
            figure.savefig(temporary, dpi=110)
    write_text(folder / "table.tex", latex(grouped(rows)))
    sections = [
        f"# {folder.name}",
        f"{commands(folder, rows)} made [results.csv](results.csv); `--report-only` made this of it.",
        tables(folder / "results.csv"),
        *(f"![{text}]({name})\n\n{text}" for name, text, _ in drawn),
        "[table.tex](table.tex) has means and standard deviations for LaTeX (package booktabs), and n, the trials. "
        "`results_dec-keras.csv` has DEC's start and end in the layout of DEC-keras' `results.csv`.",
    ]
    write_text(folder / "README.md", "\n\n".join(sections) + "\n")
    print(f"Results: {folder / 'README.md'}")


def commands(folder, rows):
    """The command lines that produce these rows: one for all data sets with the same number of trials."""
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
    start = f"python run_exp.py --name {folder.name} --datasets"
    lines = [" ".join([start, *names, f"--trials {n}", *options]) for n, names in by_trials.items()]
    return " and ".join(f"`{line}`" for line in lines)


class Published(NamedTuple):
    """Published scores, {data set: {method: (ACC, NMI) in %}}, and their sources: in a sentence, and in a legend."""

    scores: dict
    sources: str
    label: str


# DEC-keras' README (k-means) and its results.csv (AE+k-means and DEC, means of 10 trials), the IDEC paper, and for
# pendigits IDEC-toy's README. PAPER: the DEC paper's ACC, from DEC-keras' README.
SEEDS = Published(
    {
        "mnist": {"k-means": (53, 50), "AE+k-means": (87.9, 80.7), "DEC": (91.2, 86.9), "IDEC": (88.1, None)},
        "fmnist": {"k-means": (47, 51), "AE+k-means": (60.6, 63.7), "DEC": (61.8, 65.1)},
        "usps": {"k-means": (67, 63), "AE+k-means": (70.9, 68.4), "DEC": (76.4, 78.7), "IDEC": (76.1, 78.5)},
        "pendigits": {"AE+k-means": (68.6, None), "DEC": (68.8, None), "IDEC": (69.8, None)},
        "reuters10k": {"k-means": (52, 31), "AE+k-means": (76.3, 51.9), "DEC": (77.8, 57.1), "IDEC": (75.6, None)},
        "stl": {"k-means": (70, 71), "AE+k-means": (78.6, 72.5), "DEC": (85.9, 82.0)},
    },
    "DEC-keras', for IDEC the IDEC paper's, and for pendigits IDEC-toy's",
    "published (DEC-keras, IDEC)",
)
PAPER = {"mnist": 84, "reuters10k": 72}
# Guo, Zhu, Liu, Yin, ACML 2018: FcDEC-DA and FcIDEC-DA, means of 5 trials; both phases with augmentation.
DEC_DA = Published(
    {
        "mnist": {"AE+k-means": (96.0, 90.6), "DEC": (98.5, 95.9), "IDEC": (98.6, 96.2)},
        "mnist-test": {"AE+k-means": (90.4, 81.6), "DEC": (97.9, 94.5), "IDEC": (98.1, 95.0)},
        "fmnist": {"AE+k-means": (56.6, 62.8), "DEC": (57.7, 65.2), "IDEC": (58.0, 65.2)},
        "usps": {"AE+k-means": (93.6, 86.3), "DEC": (98.0, 94.5), "IDEC": (98.4, 95.4)},
    },
    "FcDEC-DA's and FcIDEC-DA's",
    "published (DEC-DA)",
)


def published(rows):
    """The Published scores that belong beside these rows."""
    return DEC_DA if {row["protocol"] for row in rows} == {"dec-da"} else SEEDS


def tables(results_csv):
    """Two Markdown tables of a results.csv. The first has the means and the published means, as in DEC-keras' Table 1;
    the second has the mean, standard deviation, range and seeds of each method.

    Args:
        results_csv: Path of a results.csv.

    Returns:
        str without a final newline; the same file gives the same text.
    """
    groups = grouped(read_rows(results_csv))
    rows = [row for methods in groups.values() for rows in methods.values() for row in rows]
    protocols = ", ".join(f"`{name}`" for name in dict.fromkeys(row["protocol"] for row in rows))
    versions = [f"{name} {' and '.join(sorted({row[name] for row in rows}))}" for name in VERSIONS]
    theirs = published(rows)
    parts = [
        f"Mean ACC and NMI in %, protocol {protocols}; below ours what was published: {theirs.sources}.",
        table_1(groups, theirs.scores),
        "Mean ± standard deviation (lowest..highest) in % of n trials, and their mean times. The methods with a "
        "time of pretraining share a trial's.",
        table_2(groups),
        f"Versions: {', '.join(versions)}.",
    ]
    return "\n\n".join(parts)


def grouped(rows):
    """{data set: {method: its rows}}, in the order of the tables."""
    groups = {}
    for row in sorted(rows, key=row_order):
        groups.setdefault(row["dataset"], {}).setdefault(row["method"], []).append(row)
    return groups


def table_1(groups, published_scores):
    lines = [["data set", "", *METHODS, "DEC paper"]]
    for dataset, methods in groups.items():
        of_methods = published_scores.get(dataset, {})
        for i, score in enumerate(("acc", "nmi")):
            means = {name: 100 * np.mean([row[score] for row in rows]) for name, rows in methods.items()}
            lines.append(["" if i else dataset, score, *(_cell(means.get(name), ".1f") for name in METHODS), ""])
            theirs = [of_methods.get(name, (None, None))[i] for name in METHODS] + [None if i else PAPER.get(dataset)]
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


def latex(groups):
    """A table for LaTeX, with the package booktabs: mean ACC and NMI in % of each method, and standard deviations.

    A comment gives the number of trials. If methods have different numbers, a row n of each data set gives them.
    """
    found = {method for methods in groups.values() for method in methods}
    methods = [method for method in METHODS if method in found]
    trials = {len(rows) for methods in groups.values() for rows in methods.values()}
    of = "n trials" if len(trials) > 1 else f"{max(trials)} trial{'s'[: max(trials) > 1]}"
    lines = [f"% Mean ACC and NMI in % of {of}, and standard deviations."]
    lines += [r"\begin{tabular}{ll" + "r" * len(methods) + "}", r"\toprule", _tex_row(["", "", *methods])]
    for dataset, rows in groups.items():
        lines.append(r"\midrule")
        for i, score in enumerate(("acc", "nmi")):
            spreads = [spread([row[score] for row in rows[method]]) if method in rows else "" for method in methods]
            cells = [text.split(" (")[0].replace("±", r"$\pm$") for text in spreads]
            lines.append(_tex_row(["" if i else dataset, score.upper(), *cells]))
        if len(trials) > 1:
            numbers = [str(len(rows[method])) if method in rows else "" for method in methods]
            lines.append(_tex_row(["", "$n$", *numbers]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _tex_row(cells):
    return " & ".join(re.sub(r"([_&%#])", r"\\\1", cell) for cell in cells) + r" \\"


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
    runs = [list(run) for _, run in groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0][1]}-{run[-1][1]}" if len(run) > 1 else str(run[0][1]) for run in runs)


def markdown(lines):
    head, *body = ("| " + " | ".join(cells) + " |" for cells in lines)
    return "\n".join([head, "|" + "---|" * len(lines[0]), *body])


def write_seeds_csv(folder, rows):
    """Writes DEC-keras' layout: the name of each data set, the scores before DEC and their mean, then those of DEC."""
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
    """{trial: scores before DEC's clustering phase}: the first row of its log, or without a log those of AE+k-means."""
    found = by_trial(rows, dataset, "AE+k-means")
    for trial in by_trial(rows, dataset, "DEC"):
        log = read_log(folder / dataset / f"trial{trial}" / "dec_log.csv")
        if log.keys() >= {*SCORES}:
            found[trial] = {name: float(log[name][0]) for name in SCORES}
    return found
