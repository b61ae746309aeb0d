"""`run.json`: all that is needed to repeat a run, or to see why another run differs, and the results."""

import json
import os
import platform
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import joblib
import keras
import numpy
import sklearn
import tensorflow

from dec_keras import CHECKOUT, __version__, metrics
from dec_keras.console import THREADS
from dec_keras.errors import InputError, differences
from dec_keras.files.atomic import write_text
from dec_keras.files.run_folder import PHASES
from dec_keras.files.untrusted import read_json
from dec_keras.training.checkpoint import as_json

PACKAGES = {"tensorflow": tensorflow, "keras": keras, "numpy": numpy, "scikit-learn": sklearn}


def versions():
    """{name: version} of Python and of the packages that results depend on."""
    return {"python": platform.python_version()} | {name: package.__version__ for name, package in PACKAGES.items()}


def environment():
    """This project's version and commit, the packages' versions, threads and machine: a dict of JSON's types."""
    threads = {"cores": joblib.cpu_count()} | {name: os.environ[name] for name in THREADS if name in os.environ}
    return {
        "version": __version__,
        "versions": versions(),
        "threads": threads,
        "machine": platform.platform(),
        "git_commit": git_commit(),
    }


def git_commit():
    """The commit of this code, followed by `-dirty` if the code was changed; None if git does not know it."""
    if CHECKOUT is None:
        return None
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--match="]
    try:
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def peak_memory():
    """Peak memory of this process so far, in MB of 2^20 bytes; None if the system does not report it."""
    if sys.platform == "darwin":
        import resource  # Windows has none

        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
    # Linux's ru_maxrss would include the peak of the process that started this one.
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    return found and round(int(found[1]) / 2**10)


class Record:
    """`run.json`: the settings, data and environment of a run, and its results once it is finished.

    Attributes:
        is_finished: whether `resume` is set and the run in the folder is finished already.

    Raises:
        InputError: if `resume` is set and the run in the folder had other settings or data.
    """

    def __init__(self, folder, settings, x, options):
        self.path = folder.record
        data = {"samples": x.shape[0], "features": x.shape[1], "checksum_of_scaled_x": f"{x.checksum:08x}"}
        self.values = as_json({"command": options.command, "settings": settings, "data": data, **environment()})
        earlier = self._earlier() if options.resume else {}
        if not earlier:
            self._clear(folder, settings)
        self.is_finished = "finished" in earlier
        if not self.is_finished:
            self._write(started=earlier.get("started", _now()))

    def _earlier(self):
        """The record of the run to resume, {} if there is none; raises InputError if its settings or data differ."""
        if not self.path.is_file():
            return {}
        earlier = read_json(self.path)
        try:
            had, has = (dict(values["settings"], **values["data"]) for values in (earlier, self.values))
        except (LookupError, TypeError) as error:
            raise InputError(f"{self.path} is damaged ({error}): begin anew, without --resume.") from error
        if "tol" not in had:
            raise InputError(
                f"{self.path} is of an earlier version, which rounded its settings: begin anew, without --resume."
            )
        if differ := differences(had, has):
            raise InputError(
                f"The run in {self.path.parent} had {', '.join(differ)}: give the same, or leave --resume out."
            )
        return earlier

    @staticmethod
    def _clear(folder, settings):
        """Deletes the files of older runs, since nobody could say which file belongs to which run."""
        for phase in PHASES:
            folder.checkpoint(phase).unlink(missing_ok=True)
        weights = settings["ae_weights"]
        keep = [settings["dataset"], settings["dataset"].rpartition(":")[0]]  # the file in file:name
        keep += [] if weights is None else [weights, f"{weights}.h5"]
        if folder.ae_weights.resolve() in [Path(path).resolve() for path in keep]:  # then keep its logs too
            keep += [folder.pretrain_log, *map(folder.layer_log, range(len(settings["dims"])))]
        if cleared := folder.clear(settings["method"], keep):
            print(f"Replacing the earlier run in {folder.path}: {cleared} of its files are deleted.")

    def finish(self, dec, y, said):
        """Adds the results; `said` comes from `verdict.report`."""
        result = dec.result
        scores = {} if y is None else {"scores": metrics.scores(y, result.labels)}
        seconds = {"pretraining": dec.pretrain_seconds, "clustering": result.seconds}
        how = {"batches": result.n_iter, "stop_reason": result.stop_reason}
        self._write(finished=_now(), **how, seconds=seconds, **scores, **said)

    def _write(self, **more):
        self.values |= more
        write_text(self.path, json.dumps(self.values, indent=1) + "\n")


def _now():
    return datetime.now().astimezone().isoformat(timespec="seconds")
