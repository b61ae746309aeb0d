"""Puts the tables of every results/<name>/results.csv that git tracks between the markers in docs/results.md.

python -m tools.readme_tables
"""

import re
import subprocess
from pathlib import Path

from dec_keras.console import script_errors
from dec_keras.errors import InputError
from dec_keras.files.atomic import write_text
from dec_keras.sweeps.report import tables

ROOT = Path(__file__).resolve().parent.parent
PAGE = "docs/results.md"
MARKERS = ("<!-- results -->", "<!-- /results -->")


def with_tables(text, results):
    """`text` of the page, with the tables of results.csv files between the markers."""
    names = [path.parent.name for path in results]
    parts = [f"## [{name}](../results/{name})\n\n{tables(path)}\n" for name, path in zip(names, results, strict=True)]
    between = "\n".join(["", *parts]) if parts else "\n"
    pattern = "(" + ").*?(".join(map(re.escape, MARKERS)) + ")"
    if not re.search(pattern, text, re.S):
        raise InputError(f"{PAGE} lacks the lines {' and '.join(MARKERS)}: put them where the tables belong.")
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
        raise InputError("The tables are made of the results that git tracks: run this in a clone.") from error
    return [ROOT / line for line in sorted(files.stdout.splitlines())]


if __name__ == "__main__":
    page = ROOT / PAGE
    with script_errors("readme_tables.py"):
        write_text(page, with_tables(page.read_text(encoding="utf-8"), tracked_results()))
