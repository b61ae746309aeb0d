"""One trial of a sweep, in a process that `run_exp.py` starts for it: every method on one data set with one seed.

Each method's row is written to `<method>.json` in the trial's folder at once, so an interrupted trial continues with
the next method.
"""

import json
import os
import threading
import traceback
from dataclasses import replace
from functools import cache, cached_property
from time import time

from sklearn.cluster import HDBSCAN

from dec_keras import metrics
from dec_keras.files.atomic import write_text
from dec_keras.files.run_folder import lock_folder, run_folder
from dec_keras.method.initial_centers import N_NEIGHBORS, STARTS, kmeans_start, umap_of
from dec_keras.runs.config import RunConfig
from dec_keras.runs.record import peak_memory, versions
from dec_keras.runs.run import build, prepare, settings_in_force
from dec_keras.sweeps.results import ON_X, PHASE

SMALLEST = 0.01  # HDBSCAN's smallest cluster, a share of the samples; its default of 5 gives hundreds of clusters
START_OF = {"AE+k-means": "kmeans", "AE+GMM": "gmm", "AE+UMAP+GMM": "manifold"}


def main(task, methods):
    """Runs a trial. The process ends when its stdin closes, so it ends with the sweep or worker that started it.

    Args:
        task: a task of `sweep.tasks`, as JSON.
        methods: {"DEC": the class DEC, "IDEC": the class IDEC}.
    """
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    trial = Trial(json.loads(task), methods)
    with lock_folder(trial.folder.path, wait=True):  # the process of a worker that was thought dead may still be ending
        trial.run()


class Trial:
    """What the methods of one trial share: the data, and the pretrained autoencoder in `ae_weights.h5`."""

    def __init__(self, task, methods):
        self.task, self.methods, self.folder = task, methods, run_folder(task["folder"])
        names = ("dataset", "protocol", "seed", "maxiter", "pretrain_epochs")
        self.asked = self.config = RunConfig("DEC", **{name: task[name] for name in names})
        self.data = None
        self.pretraining_error = None

    def run(self):
        for method in self.task["methods"]:
            path = self.folder.path / f"{method}.json"
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
        self.say(method)
        if self.data is None:
            self.config, self.data = prepare(self.asked)
        pretrain_seconds = None if method in ON_X else self.pretrain_seconds
        start = time()
        labels, clustering = self.cluster(method)
        return {
            "dataset": self.task["label"],
            "method": method,
            "trial": self.task["trial"],
            "protocol": self.task["protocol"],
            "seed": self.task["seed"],
            **{name: round(value, 5) for name, value in metrics.scores(self.data.y, labels).items()},
            "pretrain_seconds": pretrain_seconds,
            "cluster_seconds": round(time() - start, 1),
            **clustering,
            "peak_memory_mb": peak_memory(),
            **versions(),
        }

    def say(self, phase):
        """Prints the phase that begins, in a line that the sweep shows too."""
        print(f"{PHASE}{self.task['label']}, trial {self.task['trial']}: {phase}", flush=True)

    def cluster(self, method):
        """Labels, and a dict of the row's other columns that only the method knows."""
        x, n_clusters, seed = self.data.x, self.config.n_clusters, self.task["seed"]
        if method == "k-means":
            return kmeans_start(x.matrix(), n_clusters, seed).labels, {}
        if method in ON_X:
            on_manifold, seconds = self.umap_of_x
            begun = time()
            if method == "UMAP+k-means":
                labels = kmeans_start(on_manifold, n_clusters, seed).labels
            else:  # HDBSCAN finds the number of clusters; its noise counts as one more
                labels = HDBSCAN(min_cluster_size=max(5, int(SMALLEST * len(x))), copy=True).fit_predict(on_manifold)
            return labels, {"cluster_seconds": round(seconds + time() - begun, 1)}
        if method in START_OF:
            return self.start(START_OF[method])[0].labels, {}
        dec, config = self.pretrained(method)
        start, seconds = self.start(config.start)
        arguments = config.fit_arguments() | {"start": start}
        dec.fit(x, self.data.y, **arguments, save_dir=self.folder.path, resume=True)
        self.folder.model(method, 0).unlink(missing_ok=True)  # ae_weights.h5 has the encoder at the start
        result = dec.result
        more = {"iterations": result.n_iter, "stop_reason": result.stop_reason}
        return result.labels, more | {"cluster_seconds": round(seconds + result.seconds, 1)}

    @cached_property
    def umap_of_x(self):
        """UMAP embedding of x, with the dimensions of DEC's code, or of x if x has fewer; and its time in seconds."""
        begun = time()
        x = self.data.x.matrix()
        return umap_of(x, min(self.config.dims[-1], x.shape[1]), self.task["seed"]), time() - begun

    @cache  # noqa: B019 - one trial a process
    def start(self, name):
        """The Start of this name, which several methods share, and its time in seconds."""
        shared = name == "auto" and len(self.data.x) > N_NEIGHBORS
        known, before = self.start("manifold") if shared else (None, 0.0)
        begun = time()
        codes = self.pretrained("DEC")[0].extract_features(self.data.x)
        options = {"on_manifold": known} if known else {}
        start = STARTS[name](codes, self.config.n_clusters, self.task["seed"], verbose=1, **options)
        return start, before + time() - begun

    def pretrained(self, method):
        """DEC or IDEC with the trial's autoencoder, and its RunConfig."""
        asked = replace(self.asked, method=method, ae_weights=self.folder.ae_weights)
        config = settings_in_force(asked, self.data)
        return build(self.methods[method], config, self.data), config

    @cached_property
    def pretrain_seconds(self):
        """Time of the pretraining in seconds; pretrains the autoencoder unless this is done already."""
        if self.pretraining_error is not None:
            raise self.pretraining_error
        try:
            self.say("pretraining")
            dec = build(self.methods["DEC"], self.config, self.data)
            self.config.pretrain(dec, self.data.x, self.data.y, save_dir=self.folder.path, resume=True)
        except Exception as error:
            self.pretraining_error = error  # so that no other method tries again
            raise
        return round(dec.pretrain_seconds, 1)


def _end_with_stdin():
    while os.read(0, 1):
        pass
    os._exit(1)
