"""One trial of a sweep, in a process of its own, which `run_exp.py` starts: every method on one data set with one seed.

Its one argument is the task as JSON (see `run_exp.tasks`). Each method's row is kept in `<method>.json` in the trial's
folder as soon as it is there, so a trial that was cut off goes on behind it. The process ends when its stdin does, that
is with the sweep or the worker that started it.
"""

import json
import os
import re
import resource
import sys
import threading
import traceback
from functools import cached_property
from pathlib import Path
from time import time

import cli
import metrics
from clustering import gmm_start, kmeans_start
from DEC import DEC
from files import only_run, write_text
from IDEC import IDEC
from provenance import versions
from settings import in_numbers

STARTS = {"AE+k-means": kmeans_start, "AE+GMM": gmm_start}


class Trial:
    """What the methods of one trial share: the data, and the pretrained autoencoder in `ae_weights.h5`."""

    def __init__(self, task):
        self.task, self.folder = task, Path(task["folder"])
        self.weights = self.folder / "ae_weights.h5"
        self.pretraining_error = None

    def run(self):
        for method in self.task["methods"]:
            path = self.folder / f"{method}.json"
            if path.exists():
                continue
            try:
                outcome = {"row": self.row(method)}
            except Exception:
                outcome = {"error": traceback.format_exc()}
                print(outcome["error"], flush=True)
            write_text(path, json.dumps(outcome))

    def row(self, method):
        """A row of results.csv."""
        print(f"\n{self.task['label']}, trial {self.task['trial']}: {method}", flush=True)
        _, y, *_ = self.data
        pretrain_seconds = None if method == "k-means" else self.pretrain_seconds
        start = time()
        labels, clustering = self.cluster(method)
        return {
            "dataset": self.task["label"],
            "method": method,
            "trial": self.task["trial"],
            "protocol": self.task["protocol"],
            "seed": self.task["seed"],
            **{name: round(value, 5) for name, value in metrics.scores(y, labels).items()},
            "pretrain_seconds": pretrain_seconds,
            "cluster_seconds": round(time() - start, 1),
            **clustering,
            "peak_memory_mb": peak_memory(),
            **versions(),
        }

    def cluster(self, method):
        """Labels, and what else a row says of the clustering."""
        x, *_, n_clusters = self.data
        if method == "k-means":
            return kmeans_start(x, n_clusters, self.task["seed"])[1], {}
        if method in STARTS:
            dec, _, _ = self.build(DEC, "--ae_weights", str(self.weights))
            return STARTS[method](dec.extract_features(x), n_clusters, self.task["seed"])[1], {}
        dec, args, settings = self.build({"DEC": DEC, "IDEC": IDEC}[method], "--ae_weights", str(self.weights))
        cli.cluster(dec, *self.data[:2], args, settings)
        for path in self.folder.glob(f"{method}_model_[0-9]*.h5"):  # hundreds of MB in long runs
            path.unlink()
        result = dec.result
        how = {"iterations": result.n_iter, "stop_reason": result.stop_reason}
        return result.labels, how | {"cluster_seconds": round(result.seconds, 1)}

    def build(self, method, *more):
        """The method as its command line builds it, that command line, and its settings in force."""
        args, settings = self.settings(method, *more)
        settings = in_numbers(settings, self.data[0].shape[0], args.batch_size)
        return cli.build(method, args, settings, *self.data), args, settings

    def settings(self, method, *more):
        names = ("dataset", "protocol", "seed", "maxiter", "pretrain_epochs")
        given = {name: self.task[name] for name in names if self.task[name] is not None}
        arguments = [part for name, value in given.items() for part in (f"--{name}", str(value))]
        args = cli.parse(method, [*arguments, "--save_dir", str(self.folder), "--resume", *more])
        return args, cli.settings_in_force(cli.protocol_settings(method, args), args)

    @cached_property
    def data(self):
        return cli.prepare(*self.settings(DEC))

    @cached_property
    def pretrain_seconds(self):
        """Pretrains the autoencoder unless that was done; how long it took."""
        if self.pretraining_error is not None:
            raise self.pretraining_error
        try:
            dec, args, settings = self.build(DEC)
            cli.pretrain(dec, *self.data[:2], args, settings)
        except Exception as error:
            self.pretraining_error = error  # not to be tried again for each method
            raise
        return round(dec.pretrain_seconds, 1)


def peak_memory():
    """Of this process until now, in MB."""
    if sys.platform == "darwin":
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
    # Linux's ru_maxrss begins with the peak of the process that started this one.
    return round(int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) / 2**10)


def end_with_stdin():
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_stdin, daemon=True).start()
    trial = Trial(json.loads(sys.argv[1]))
    with only_run(trial.folder, wait=True):  # the process of a worker that was thought dead may still be ending
        trial.run()
