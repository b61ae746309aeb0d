"""What a run was made with: enough to make it again, or to see why another differs."""

import os
import platform
import subprocess
from pathlib import Path

import joblib
import keras
import numpy
import sklearn
import tensorflow

from dec_keras import __version__

PACKAGES = {"tensorflow": tensorflow, "keras": keras, "numpy": numpy, "scikit-learn": sklearn}
THREADS = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
)  # one core each where they are not set


def versions():
    """{name: version} of Python and of the packages that results depend on."""
    return {"python": platform.python_version()} | {name: package.__version__ for name, package in PACKAGES.items()}


def environment():
    """This project's version and commit, the packages' versions, threads and machine: a dict of what JSON holds."""
    threads = {"cores": joblib.cpu_count()} | {name: os.environ[name] for name in THREADS if name in os.environ}
    return {
        "version": __version__,
        "versions": versions(),
        "threads": threads,
        "machine": platform.platform(),
        "git_commit": git_commit(),
    }


def git_commit():
    """The commit of this code, with `-dirty` behind it if it was changed; None where git does not know it."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--match="]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
