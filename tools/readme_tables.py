"""Writes tables between the markers of two pages, from the results/<name>/results.csv files that git tracks.

docs/results.md gets their tables and that of the ablation; README.md the means of DEC and IDEC, and published ones.

python -m tools.readme_tables
"""

import re
import subprocess
from pathlib import Path

import numpy as np

from benchmarks import ablation
from dec_keras.console import script_errors
from dec_keras.errors import InputError
from dec_keras.files.atomic import write_text
from dec_keras.sweeps.report import DEC_DA, SEEDS, markdown, tables
from dec_keras.sweeps.results import read_rows

ROOT = Path(__file__).resolve().parent.parent
NAMES = {
    **{"mnist": "MNIST", "mnist-test": "MNIST-test", "fmnist": "Fashion-MNIST", "usps": "USPS"},
    "pendigits": "pendigits",
}
PROTOCOLS = ("dec-keras", "fast", "best")
# The best published scores of the network d-500-500-2000-10: DEC-DA's; for Fashion-MNIST N2D's (ICPR 2020, one trial).
BEST_PUBLISHED = {
    (dataset, method): f"{acc} / {nmi}, {method}-DA"
    for dataset, methods in DEC_DA.scores.items()
    for method, (acc, nmi) in methods.items()
} | {("fmnist", method): "67.2 / 68.4, N2D" for method in ("DEC", "IDEC")}


def with_tables(text, results):
    """`text` of docs/results.md, with the tables of results.csv files between the markers."""
    parts = [f"## [{path.parent.name}](../results/{path.parent.name})\n\n{tables(path)}\n" for path in results]
    return between_markers(text, "results", parts)


def with_ablation(text):
    """`text` of docs/results.md, with the table of results/ablation/*.csv between its markers."""
    rows = [row for path in tracked_results("ablation/*.csv") for row in ablation.read_rows(path)]
    return between_markers(text, "ablation", [ablation.table(rows) + "\n"])


def with_summary(text, results):
    """`text` of README.md, with the mean ACC / NMI of DEC and IDEC by each protocol between the markers."""
    rows = [row for path in results for row in read_rows(path)]
    lines = [["data set", "method", "seed repos", *(f"ours, `{name}`" for name in PROTOCOLS), "best published"]]
    for dataset, name in NAMES.items():
        for method in ("DEC", "IDEC"):
            ours = [mean_scores(rows, dataset, method, protocol) for protocol in PROTOCOLS]
            if any(ours):
                theirs = SEEDS.scores.get(dataset, {}).get(method, ())
                published = BEST_PUBLISHED.get((dataset, method), "")
                lines.append([name, method, " / ".join(map(str, filter(None, theirs))), *ours, published])
    return between_markers(text, "results", [markdown(lines) + "\n"])


def mean_scores(rows, dataset, method, protocol):
    """ "ACC / NMI (trials)" in %; "" without trials."""
    mine = [row for row in rows if (row["dataset"], row["method"], row["protocol"]) == (dataset, method, protocol)]
    acc, nmi = (100 * np.mean([row[score] for row in mine] or [0]) for score in ("acc", "nmi"))
    return f"{acc:.1f} / {nmi:.1f} ({len(mine)})" if mine else ""


def between_markers(text, name, parts):
    markers = [f"<!-- {name} -->", f"<!-- /{name} -->"]
    pattern = "(" + ").*?(".join(map(re.escape, markers)) + ")"
    if not re.search(pattern, text, re.S):
        raise InputError(f"The page lacks the lines {' and '.join(markers)}: put them where the tables belong.")
    between = "\n".join(["", *parts]) if parts else "\n"
    return re.sub(pattern, lambda match: f"{match[1]}\n{between.lstrip()}{match[2]}", text, flags=re.S)


PAGES = {
    "docs/results.md": lambda text, results: with_ablation(with_tables(text, results)),
    "README.md": with_summary,
}


def tracked_results(names="*/results.csv"):
    """The files of `results/` that git tracks, by default the results.csv of the sweeps, in order of name.

    Raises:
        InputError: if this is no git repository.
    """
    command = ["git", "ls-files", f"results/{names}"]
    try:
        files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError("The tables are made of the results that git tracks: run this in a clone.") from error
    return [ROOT / line for line in sorted(files.stdout.splitlines())]


if __name__ == "__main__":
    with script_errors("readme_tables.py"):
        for page, filled in PAGES.items():
            text = (ROOT / page).read_text(encoding="utf-8")
            write_text(ROOT / page, filled(text, tracked_results()))
