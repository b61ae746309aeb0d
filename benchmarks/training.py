"""Times both phases against matrix products of the same shapes, a plain Keras loop and other projects; and the starts.

    python -m benchmarks.training products                      (pretraining against its matrix products)
    python -m benchmarks.training split                         (what a pretraining epoch is made of)
    python -m benchmarks.training epoch                         (a pretraining epoch against a plain Keras loop)
    python -m benchmarks.training augmentation                  (an epoch of augmented images against a plain one)
    python -m benchmarks.training interval --dataset usps       (an update interval against a plain Keras loop)
    python -m benchmarks.training starts                        (each start against the plain calls of the libraries)
    python -m benchmarks.training clustpy --rival_python P      (both phases against ClustPy in the interpreter P)
    python -m benchmarks.training opendeepclustering --rival_python P --opendeepclustering FOLDER    (a clone)

The rivals take turns in one process tree. Prints medians and their ratio. Install ClustPy in P: pip install clustpy.
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
import umap
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from DEC import DEC
from dec_keras.data.datasets import load
from dec_keras.method.initial_centers import gmm_start, kmeans_start, manifold_start
from dec_keras.method.model import target_distribution
from dec_keras.method.protocols import BATCH_SIZE, CODE_DIMS, get_settings
from dec_keras.training.pipeline import batches_per_epoch, endless_batches, predict
from dec_keras.training.steps import Trainer, get_optimizer

KINDS = ("products", "split", "epoch", "augmentation", "interval", "starts", "clustpy", "opendeepclustering")
LONG = 10_000  # batches: as in a real run, steps are compiled by XLA


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=KINDS)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--protocol", default="dec-keras")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rival_python", default=sys.executable)
    parser.add_argument("--opendeepclustering", default=".")
    args = parser.parse_args()
    x, y, _ = load(args.dataset)
    print(f"{args.what}, {args.dataset}, {args.protocol}, {os.cpu_count()} cores, TensorFlow {tf.__version__}")
    benchmark = Benchmark(x, y, get_settings(args.dataset, args.protocol), args)
    getattr(benchmark, args.what)()


class Benchmark:
    """The benchmarks; every rival is a function that does one round."""

    def __init__(self, x, y, settings, args):
        self.samples, self.x, self.n_clusters, self.settings, self.args = x, x.x, len(np.unique(y)), settings, args
        self.epoch_batches = batches_per_epoch(x, BATCH_SIZE)
        self.interval_batches = settings.update_interval or self.epoch_batches

    def products(self):
        dec = self.dec()
        seconds = self.pretraining(dec, {"matrix products": self.matrix_products(dec)})
        widths = [*dec.dims, *dec.dims[-2::-1]]
        flops = 6 * sum(a * b for a, b in itertools.pairwise(widths)) - 2 * widths[0] * widths[1]
        for name, time in seconds.items():
            print(f"{name:<32}{flops * BATCH_SIZE * self.epoch_batches / time / 1e9:9.1f} GFLOP/s")
        ours, theirs = seconds.values()
        print(f"pretraining reaches {theirs / ours:.2f} of the products' rate")

    def split(self):
        """A part is the extra time of its round over the round before it; all but the input's repeat one batch."""
        dec = self.dec()
        model, rows = dec.autoencoder, tf.constant(self.samples.rows(slice(BATCH_SIZE)))
        one_batch = tf.data.Dataset.from_tensors((tf.range(BATCH_SIZE), rows)).repeat()
        repeated = Trainer(model, one_batch, lambda _, batch: (batch, batch), LONG)
        read = self.trainer(self.dec())

        @tf.function(jit_compile=True)
        def gradients():
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(model(rows, training=True) - rows))
            return tape.gradient(loss, model.trainable_variables)

        medians = self.take_turns(
            {
                "matrix products, by XLA": self.matrix_products(dec, jit_compile=True),
                "activations, loss, gradients": lambda: [gradients() for _ in range(self.epoch_batches)],
                "optimizer, metrics, calls": lambda: train(repeated, self.epoch_batches),
                "input": lambda: train(read, self.epoch_batches),
            }
        )
        parts = np.diff(list(medians.values()), prepend=0)
        for name, part in zip(medians, parts, strict=True):
            print(f"{name:<32}{part / parts.sum():9.0%}")

    def epoch(self):
        print_ratio(self.pretraining(self.dec(), {"plain loop of train_on_batch": self.plain_epoch()}))

    def augmentation(self):
        plain = self.trainer(self.dec())
        print_ratio(self.pretraining(self.dec(), {"plain": lambda: train(plain, self.epoch_batches)}, augment=0))

    def interval(self):
        print_ratio(self.clustering({"plain Keras loop": self.plain_interval()}))

    def starts(self):
        """Uses the codes of ae_weights/. The plain mixture has 3 restarts, not 30; the manifold has one round."""
        dec, k = self.dec(), self.n_clusters
        dec.autoencoder.load_weights(f"ae_weights/{self.args.dataset}_ae_weights.h5")
        codes = predict(dec.encoder, self.samples)

        def umap_and_mixture():
            mapper = umap.UMAP(n_neighbors=20, min_dist=0.0, n_components=codes.shape[1], random_state=0)
            GaussianMixture(k, random_state=0).fit(mapper.fit_transform(codes))

        k_means = {"KMeans, 20 restarts": lambda: KMeans(k, n_init=20, random_state=0).fit(codes)}
        mixture = {"GaussianMixture, 3 restarts": lambda: GaussianMixture(k, n_init=3, random_state=0).fit(codes)}
        print_ratio(self.take_turns({"k-means": lambda: kmeans_start(codes, k, 0)} | k_means))
        print_ratio(self.take_turns({"mixture, 30 restarts": lambda: gmm_start(codes, k, 0)} | mixture))
        manifold = {"UMAP, GaussianMixture": umap_and_mixture}
        print_ratio(self.take_turns({"manifold": lambda: manifold_start(codes, k, 0)} | manifold, n=1))

    def clustpy(self):
        self.rival("ClustPy", "clustpy_rounds.py")

    def opendeepclustering(self):
        self.rival("OpenDeepClustering", "opendeepclustering_rounds.py", self.args.opendeepclustering)

    def rival(self, name, script, *more):
        """Both phases against an epoch of the rival. The rival takes P from each batch, so no refresh is timed."""
        with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as null:
            np.save(f"{folder}/x.npy", self.x)
            command = [self.args.rival_python, str(Path(__file__).with_name(script)), f"{folder}/x.npy", *more]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": null, "text": True}
            with subprocess.Popen(command, **pipes) as process:

                def turn(phase):
                    print(phase, file=process.stdin, flush=True)
                    process.stdout.readline()

                print("An epoch of each phase")
                print_ratio(self.pretraining(self.dec(), {name: lambda: turn("pretraining")}))
                self.interval_batches = self.epoch_batches
                print_ratio(self.clustering({name: lambda: turn("clustering")}, refresh=False))
                process.stdin.close()

    def dec(self):
        keras.utils.set_random_seed(0)
        dec = DEC([self.x.shape[1], *CODE_DIMS], self.n_clusters, init=self.settings.init, seed=0)
        dec.autoencoder.compile(get_optimizer(self.settings.pretrain_optimizer), "mse")
        return dec

    def trainer(self, dec, augment=None):
        batches = endless_batches(self.samples, BATCH_SIZE, shuffle=0, augment=augment)
        return Trainer(dec.autoencoder, batches, lambda _, batch: (batch, batch), LONG)

    def pretraining(self, dec, rival, augment=None):
        trainer = self.trainer(dec, augment)
        return self.take_turns({"pretraining, an epoch": lambda: train(trainer, self.epoch_batches)} | rival)

    def clustering(self, rival, refresh=True):
        dec = self.dec()
        dec.compile(self.settings.optimizer)
        p = tf.Variable(target_distribution(predict(dec.assigner, self.samples)[0]), trainable=False)

        def with_targets(indices, batch):
            return batch, tf.gather(p, indices)

        def round_():
            train(trainer, self.interval_batches)
            if refresh:
                p.assign(target_distribution(predict(dec.assigner, self.samples)[0]))

        trainer = Trainer(dec.model, endless_batches(self.samples, BATCH_SIZE), with_targets, LONG)
        return self.take_turns({"clustering, an interval": round_} | rival)

    def take_turns(self, rounds, n=None):
        """{name: median seconds} of {name: function that does a round}: n rounds by turns, after one to warm up."""
        rivals, n = rounds.values(), n or self.args.rounds
        times = np.array([[seconds(round_) for round_ in rivals] for _ in range(n + 1)])[1:]
        medians = dict(zip(rounds, np.median(times, axis=0), strict=True))
        for (who, median), its in zip(medians.items(), times.T, strict=True):
            print(f"{who:<32}{median:9.3f} s   ({its.min():.3f} to {its.max():.3f}, {n} rounds)")
        return medians

    def plain_epoch(self):
        """DEC-keras' pretraining without `fit`: `train_on_batch` in a shuffled order."""
        autoencoder, random = self.dec().autoencoder, np.random.default_rng(0)

        def epoch():
            order = random.permutation(self.x.shape[0])
            for start in range(0, self.x.shape[0], BATCH_SIZE):
                batch = self.x[order[start : start + BATCH_SIZE]]
                autoencoder.train_on_batch(batch, batch)

        return epoch

    def plain_interval(self):
        """DEC-keras' loop: P from `predict` at its default batches of 32, then `train_on_batch`."""
        dec = self.dec()
        dec.compile(self.settings.optimizer)
        model, n, starts = dec.model, self.x.shape[0], itertools.cycle(range(0, self.x.shape[0], BATCH_SIZE))

        def interval():
            p = target_distribution(model.predict(self.x, verbose=0))
            for start in itertools.islice(starts, self.interval_batches):
                rows = slice(start, min(start + BATCH_SIZE, n))
                model.train_on_batch(self.x[rows], p[rows])

        return interval

    def matrix_products(self, dec, jit_compile=False):
        """An epoch of only the matrix products: one forward and two backward per layer, one backward for the first."""
        widths = [*dec.dims, *dec.dims[-2::-1]]
        shapes = [((BATCH_SIZE, a), (a, b), (BATCH_SIZE, b)) for a, b in itertools.pairwise(widths)]
        layers = [[tf.random.normal(shape) for shape in layer] for layer in shapes]

        @tf.function(jit_compile=jit_compile)
        def batch():
            products = []
            for i, (x, weights, gradient) in enumerate(layers):
                products += [x @ weights, tf.matmul(x, gradient, transpose_a=True)]
                if i:
                    products.append(tf.matmul(gradient, weights, transpose_b=True))
            return tf.add_n([product[0, 0] for product in products])

        return lambda: [batch() for _ in range(self.epoch_batches)]


def train(trainer, n):
    trainer.reset()
    trainer.train(n)
    trainer.losses()


def seconds(round_):
    start = perf_counter()
    round_()
    return perf_counter() - start


def print_ratio(medians):
    ours, theirs = medians.values()
    print(f"ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
