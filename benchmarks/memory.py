"""Peak memory of training on data larger than memory; seconds per sample as the number of samples grows.

    python -m benchmarks.memory sparse                                   (CSR of 685,071 x 2,000, 60 non-zeros a row)
    python -m benchmarks.memory mapped --gigabytes 20 --folder /big      (a float32 .npy file of that size)
    python -m benchmarks.memory growth               (10k, 100k and 1M samples; 10, 30 and 100 clusters)

Anonymous memory is what the process itself holds; mapped files count as the system's cache. DEC.py prints the time and
memory of a whole run at its end.
"""

import argparse
import resource
import tempfile
import threading
import time
from pathlib import Path
from time import perf_counter

import keras
import numpy as np
import scipy.sparse
import tensorflow as tf

from DEC import DEC
from dec_keras.data.datasets import load
from dec_keras.data.samples import Samples
from dec_keras.method.initial_centers import kmeans_start
from dec_keras.method.model import target_distribution
from dec_keras.method.protocols import BATCH_SIZE, CODE_DIMS
from dec_keras.training.pipeline import endless_batches, predict
from dec_keras.training.steps import Trainer

ROUNDS = 5
SAMPLES, FEATURES, NON_ZEROS = 685_071, 2_000, 60  # the DEC paper's full REUTERS, with about its words per document


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("sparse", "mapped", "growth"))
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="of mapped's file (default: %(default)s)")
    args = parser.parse_args()
    {"sparse": sparse, "mapped": mapped, "growth": growth}[args.what](args)


class AnonymousMemory(threading.Thread):
    """Samples this process' anonymous memory twenty times a second; `peak` in GB. Linux only."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak = 0.0

    def run(self):
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self.peak = max(self.peak, kilobytes / 2**20)
            time.sleep(0.05)


def train(x, n_clusters=10, steps=200):
    """Seconds of training on x: for a batch of each phase, for encoding x, for k-means, and for a refresh of P."""
    keras.utils.set_random_seed(0)
    dec = DEC([x.shape[1], *CODE_DIMS], n_clusters, seed=0)
    dec.autoencoder.compile("adam", "mse")
    dec.compile()
    times = {"pretraining batch": fit(dec.autoencoder, x, lambda _, batch: (batch, batch), 0, steps)}

    start = perf_counter()
    codes = predict(dec.encoder, x)
    times["encoding"] = perf_counter() - start
    start = perf_counter()
    centers = kmeans_start(codes, n_clusters, 0).centers
    times["k-means"] = perf_counter() - start

    dec.model.get_layer("clustering").set_weights([centers])
    p = tf.Variable(target_distribution(predict(dec.assigner, x)[0]), trainable=False)
    start = perf_counter()
    p.assign(target_distribution(predict(dec.assigner, x)[0]))
    times["refresh of P"] = perf_counter() - start
    targets = lambda indices, batch: (batch, tf.gather(p, indices))  # noqa: E731
    times["clustering batch"] = fit(dec.model, x, targets, None, steps)
    return times


def fit(model, x, prepare, shuffle, steps):
    """Seconds per batch: the median of `ROUNDS` rounds, after one that compiles the step."""
    trainer, times = Trainer(model, endless_batches(x, BATCH_SIZE, shuffle), prepare, n_batches=10_000), []
    for _ in range(ROUNDS + 1):
        start = perf_counter()
        trainer.train(steps // ROUNDS)
        trainer.losses()
        times.append(perf_counter() - start)
    return np.median(times[1:]) / (steps // ROUNDS)


def sparse(_):
    random = np.random.default_rng(0)
    columns = random.integers(FEATURES, size=(SAMPLES, NON_ZEROS), dtype=np.int32)
    values = random.uniform(0, 10, SAMPLES * NON_ZEROS).astype(np.float32)
    starts = np.arange(0, SAMPLES * NON_ZEROS + 1, NON_ZEROS)
    x = scipy.sparse.csr_matrix((values, columns.ravel(), starts), (SAMPLES, FEATURES))
    report(f"CSR of {x.shape}, {NON_ZEROS} non-zeros a row", train(Samples(x), n_clusters=4))
    print_peak()


def print_peak():
    print(f"peak memory until now: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


def mapped(args):
    d = 784
    n = int(args.gigabytes * 1e9 / 4 / d)
    path = Path(args.folder) / "mapped.npy"
    memory = AnonymousMemory()
    try:
        x = np.lib.format.open_memmap(path, "w+", np.float32, (n, d))
        random = np.random.default_rng(0)
        for start in range(0, n, 100_000):
            x[start : start + 100_000] = random.random((min(100_000, n - start), d), dtype=np.float32)
        del x
        memory.start()
        x, _, _ = load(str(path))
        report(f"mapped file of {x.shape}, {x.x.nbytes / 1e9:.1f} GB", train(x))
    finally:
        path.unlink(missing_ok=True)
    print(f"peak of anonymous memory: {memory.peak:.2f} GB")


def growth(_):
    random = np.random.default_rng(0)
    for n, k in ((10_000, 10), (100_000, 10), (100_000, 30), (100_000, 100), (1_000_000, 10)):
        x = random.random((n, 100), dtype=np.float32)
        times = train(Samples(x), k)
        each = {f"{name}, a sample": times[name] / n for name in ("encoding", "k-means", "refresh of P")}
        each |= {f"{name}, a sample": times[name] / BATCH_SIZE for name in ("pretraining batch", "clustering batch")}
        report(f"{n} samples of 100 features, {k} clusters", each)
        print_peak()


def report(title, times):
    print(f"{title}\n" + "\n".join(f"  {name:<32}{time_ * 1e6:14.2f} microseconds" for name, time_ in times.items()))


if __name__ == "__main__":
    main()
