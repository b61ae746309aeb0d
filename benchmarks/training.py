"""Seconds of both phases beside matrix products of the same shapes, a plain Keras loop, and ClustPy.

    python -m benchmarks.training products                      (pretraining against its matrix products)
    python -m benchmarks.training epoch                         (a pretraining epoch against a plain Keras loop)
    python -m benchmarks.training interval --dataset usps       (an update interval against a plain Keras loop)
    python -m benchmarks.training clustpy --clustpy_python P    (both phases against ClustPy in the interpreter P)

The rivals take turns in one process tree; printed are medians and their ratio. In P: pip install clustpy.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import keras
import numpy as np
import tensorflow as tf

import clustering
from batches import BatchTrainer, batches_per_epoch, endless_batches
from datasets import load_data
from DEC import DEC
from settings import BATCH_SIZE, CODE_DIMS, MAXITER, get_settings

LONG = 10_000  # batches: as in a real run, steps are compiled by XLA


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("products", "epoch", "interval", "clustpy"))
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--protocol", default="dec-keras")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clustpy_python", default=sys.executable)
    args = parser.parse_args()
    x, y = load_data(args.dataset)
    print(f"{args.what}, {args.dataset}, {args.protocol}, {os.cpu_count()} cores, TensorFlow {tf.__version__}")
    Benchmark(x, y, get_settings(args.dataset, args.protocol), args).run()


class Benchmark:
    """The rivals, each a function that does one round."""

    def __init__(self, x, y, settings, args):
        self.x, self.n_clusters, self.settings, self.args = x, len(np.unique(y)), settings, args
        self.epoch = batches_per_epoch(x, BATCH_SIZE)
        self.interval = settings.update_interval or self.epoch

    def run(self):
        {"products": self.products, "epoch": self.an_epoch, "interval": self.an_interval, "clustpy": self.clustpy}[
            self.args.what
        ]()

    def products(self):
        dec = self.dec()
        seconds = self.take_turns({"pretraining": self.pretraining(dec), "matrix products": self.matrix_products(dec)})
        widths = [*dec.dims, *dec.dims[-2::-1]]
        flops = 6 * sum(a * b for a, b in itertools.pairwise(widths)) - 2 * widths[0] * widths[1]
        for name, time in seconds.items():
            print(f"{name:<32}{flops * BATCH_SIZE * self.epoch / time / 1e9:9.1f} GFLOP/s")
        print(f"pretraining reaches {seconds['matrix products'] / seconds['pretraining']:.2f} of the products' rate")

    def an_epoch(self):
        self.compare({"pretraining, an epoch": self.pretraining(self.dec()), "train_on_batch": self.plain_epoch()})

    def an_interval(self):
        self.compare({"an update interval": self.clustering(), "plain Keras loop": self.plain_interval()})

    def clustpy(self):
        """ClustPy takes P from each batch and has no refresh over all samples: none is timed."""
        with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as null:
            np.save(f"{folder}/x.npy", self.x)
            script = [self.args.clustpy_python, str(Path(__file__).with_name("clustpy_rounds.py")), f"{folder}/x.npy"]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": null, "text": True}
            with subprocess.Popen(script, **pipes) as rival:
                pretraining, clustering_ = self.pretraining(self.dec()), self.clustering(refresh=False)
                rows = [self.clustpy_round(rival, pretraining, clustering_) for _ in range(self.args.rounds + 1)]
                rival.stdin.close()
        ours, theirs, ours_batch, theirs_batch = np.median(rows[1:], axis=0)
        print(f"an epoch of pretraining: {ours:.2f} s, ClustPy {theirs:.2f} s, ratio {ours / theirs:.2f}")
        print(f"a batch of clustering: {ours_batch * 1e3:.1f} ms, ClustPy {theirs_batch * 1e3:.1f} ms, ", end="")
        print(f"ratio {ours_batch / theirs_batch:.2f}")

    def clustpy_round(self, rival, pretraining, clustering_):
        ours = seconds_of(pretraining)
        ours_batch = seconds_of(clustering_) / self.interval
        print(file=rival.stdin, flush=True)
        theirs, theirs_epoch = map(float, rival.stdout.readline().split())
        return ours, theirs, ours_batch, theirs_epoch / self.epoch

    def dec(self):
        keras.utils.set_random_seed(0)
        dec = DEC([self.x.shape[1], *CODE_DIMS], self.n_clusters, init=self.settings.init, seed=0)
        dec.autoencoder.compile(clustering.get_optimizer(self.settings.pretrain_optimizer), "mse")
        dec.compile(self.settings.optimizer)
        return dec

    def pretraining(self, dec):
        trainer = BatchTrainer(dec.autoencoder, lambda _, batch: (batch, batch), LONG)
        return self.fit(trainer, shuffle=True, steps=self.epoch)

    def clustering(self, refresh=True):
        dec = self.dec()
        labels = np.zeros(self.x.shape[0], int)
        log = open(os.devnull, "w")  # noqa: SIM115
        interval_end = clustering._IntervalEnd(dec, self.x, None, labels, 0, MAXITER, log)
        interval_end.refresh({})

        def with_targets(indices, batch):
            return batch, tf.gather(interval_end.p, indices)

        train = self.fit(BatchTrainer(dec.model, with_targets, LONG), shuffle=False, steps=self.interval)
        return lambda: (train(), refresh and interval_end.refresh({}))

    def fit(self, trainer, shuffle, steps):
        batches = endless_batches(self.x, BATCH_SIZE, shuffle)
        return lambda: trainer.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)

    def plain_epoch(self):
        """DEC-keras' pretraining without `fit`: batches of a shuffled copy."""
        autoencoder, random = self.dec().autoencoder, np.random.default_rng(0)

        def epoch():
            order = random.permutation(self.x.shape[0])
            for start in range(0, self.x.shape[0], BATCH_SIZE):
                batch = self.x[order[start : start + BATCH_SIZE]]
                autoencoder.train_on_batch(batch, batch)

        return epoch

    def plain_interval(self):
        """DEC-keras' loop: P from `predict` at its default batches of 32, then `train_on_batch`."""
        model, n, starts = self.dec().model, self.x.shape[0], itertools.cycle(range(0, self.x.shape[0], BATCH_SIZE))

        def interval():
            p = clustering.target_distribution(model.predict(self.x, verbose=0))
            for start in itertools.islice(starts, self.interval):
                rows = slice(start, min(start + BATCH_SIZE, n))
                model.train_on_batch(self.x[rows], p[rows])

        return interval

    def matrix_products(self, dec):
        """An epoch of nothing but the products: one forward and two back for each layer, one back for the first."""
        widths = [*dec.dims, *dec.dims[-2::-1]]
        shapes = [((BATCH_SIZE, a), (a, b), (BATCH_SIZE, b)) for a, b in itertools.pairwise(widths)]
        layers = [[tf.random.normal(shape) for shape in layer] for layer in shapes]

        @tf.function
        def batch():
            products = []
            for i, (x, weights, gradient) in enumerate(layers):
                products += [x @ weights, tf.matmul(x, gradient, transpose_a=True)]
                if i:
                    products.append(tf.matmul(gradient, weights, transpose_b=True))
            return tf.add_n([product[0, 0] for product in products])

        return lambda: [batch() for _ in range(self.epoch)]

    def compare(self, rivals):
        ours, theirs = self.take_turns(rivals).values()
        print(f"ratio {ours / theirs:.2f}")

    def take_turns(self, rivals):
        """{name: median seconds}, after one round to warm up."""
        rounds = [[seconds_of(rival) for rival in rivals.values()] for _ in range(self.args.rounds + 1)]
        medians = dict(zip(rivals, np.median(rounds[1:], axis=0), strict=True))
        for (name, median), times in zip(medians.items(), np.transpose(rounds[1:]), strict=True):
            print(f"{name:<32}{median:9.3f} s   ({times.min():.3f} to {times.max():.3f}, {self.args.rounds} rounds)")
        return medians


def seconds_of(function):
    start = perf_counter()
    function()
    return perf_counter() - start


if __name__ == "__main__":
    main()
