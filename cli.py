"""The command line that DEC.py and IDEC.py share: arguments, one run, and what it prints."""

import argparse
import math
import sys
from pathlib import Path
from time import time

import keras
import numpy as np
import tensorflow as tf

import metrics
from datasets import ALIASES, DATASETS, load_data
from files import InputError, check_share, check_whole, load_weights, writable_folder
from settings import BATCH_SIZE, CODE_DIMS, MAXITER, PROTOCOLS, TOL, get_settings


def main(method, arguments=None):
    """Runs `method` (the class DEC or IDEC) from the command line; bad input ends in a sentence and exit code 2."""
    args = parse(method, arguments)
    try:
        run(method, args)
    except (InputError, FloatingPointError, OSError) as error:
        print(f"{method.name}.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"\nStopped. What was saved is in {args.save_dir}.", file=sys.stderr)
        sys.exit(130)


def parse(method, arguments=None):
    """The command line as a namespace; argparse ends the program with exit code 2 where it does not parse."""
    parser = argparse.ArgumentParser(
        prog=f"{method.name}.py",
        description=f"Cluster a data set with {method.name}, and score the clusters where it has labels.",
    )
    add = parser.add_argument
    files = "or the path of a .npy file (x) or an .npz file (x, and y if there are labels)"
    add("positional", metavar="dataset", nargs="?", help="the same as --dataset")
    add("--dataset", help=f"{', '.join(DATASETS)}; {files} (default: mnist)")
    add("--n_clusters", type=_whole(2), help="number of clusters (default: the number of classes)")
    add(
        "--batch_size",
        type=_whole(1),
        default=BATCH_SIZE,
        help="samples a batch, in both phases (default: %(default)s)",
    )
    add("--maxiter", type=_whole(1), default=MAXITER, help="most batches of clustering (default: 2e4)")
    add("--pretrain_epochs", type=_whole(1), help="epochs of pretraining (default: the protocol's)")
    add(
        "--gamma",
        type=float,
        default=0.1,
        help="weight of IDEC's clustering loss; DEC ignores it (default: %(default)s)",
    )
    interval = "batches between two refreshes of P; 0: one epoch (default: the protocol's)"
    add("--update_interval", type=_whole(0), help=interval)
    add(
        "--tol", type=_share, default=TOL, help="stop when a smaller share of the labels changes (default: %(default)s)"
    )
    add("--ae_weights", help="a pretrained autoencoder, .h5 (default: pretrain one)")
    folder = f"results/{method.name.lower()}"
    add("--save_dir", help=f"folder of the results (default: results; with the first form of dataset: {folder})")
    add("--protocol", choices=list(PROTOCOLS), default="dec-keras", help="whose settings (default: %(default)s)")
    seed = "of weights, batches and k-means: the same seed, the same result (default: %(default)s)"
    add("--seed", type=_whole(0, at_most=2**32 - 1), default=0, help=seed)
    args = parser.parse_args(arguments)
    if args.positional and args.dataset:
        parser.error("give the data set once: as the first argument or with --dataset")
    args.save_dir = Path(args.save_dir or (folder if args.positional else "results"))
    args.dataset = args.positional or args.dataset or "mnist"
    return args


def _whole(at_least, at_most=None):
    return _argument(lambda text: check_whole("the value", text, at_least, at_most))


def _argument(check):
    """`check` as an argparse type: its InputError becomes argparse's."""

    def convert(text):
        try:
            return check(text)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


_share = _argument(lambda text: check_share("the value", text))


def run(method, args):
    """Loads, pretrains (or loads pretrained weights), clusters, scores and saves; returns the trained method."""
    settings = get_settings(ALIASES.get(args.dataset, args.dataset), args.protocol)
    x, y = load_data(args.dataset)
    x = scaled(x, settings.scale)
    n_clusters = number_of_clusters(args.n_clusters, x, y)
    keras.utils.set_random_seed(args.seed)
    if tf.config.list_physical_devices("GPU"):  # CPU kernels give the same bits every time as they are
        tf.config.experimental.enable_op_determinism()

    dec = method([x.shape[1], *CODE_DIMS], n_clusters, init=settings.init, seed=args.seed)
    if args.ae_weights:
        load_weights(dec.autoencoder, args.ae_weights)
    writable_folder(args.save_dir)
    print_settings(dec, args, settings)

    start = time()
    if not args.ae_weights:
        epochs = args.pretrain_epochs or settings.pretrain_epochs
        if settings.pretraining == "layerwise":
            dec.pretrain_layerwise(x, y, epochs, args.batch_size, args.save_dir)
        else:
            dec.pretrain(x, y, settings.pretrain_optimizer, epochs, args.batch_size, args.save_dir)
    pretrained = time()
    dec.compile(settings.optimizer)
    update_interval = settings.update_interval if args.update_interval is None else args.update_interval
    dec.fit(x, y, args.maxiter, args.batch_size, args.tol, update_interval, args.save_dir)
    report(dec, y, args, pretrain_seconds=pretrained - start, cluster_seconds=time() - pretrained)
    return dec


def scaled(x, scale):
    """x times `scale`; None: times what makes the mean of ||x||^2 / d one (DEC paper, section 4.3)."""
    if scale is None:
        mean_square = np.mean(np.square(x), dtype=np.float64)
        scale = 1 / math.sqrt(mean_square) if mean_square > 0 else 1.0
    return x if scale == 1 else x * np.float32(scale)


def number_of_clusters(asked, x, y):
    if asked is None and y is None:
        raise InputError("The data have no labels to count classes by: say how many clusters with --n_clusters.")
    n_clusters = asked or len(np.unique(y))
    if not 2 <= n_clusters <= len(x):
        raise InputError(f"{n_clusters} clusters of {len(x)} samples: --n_clusters must be from 2 to {len(x)}.")
    return n_clusters


def print_settings(dec, args, settings):
    """The settings in force, one a line."""
    interval = settings.update_interval if args.update_interval is None else args.update_interval
    epochs = args.pretrain_epochs or settings.pretrain_epochs
    pretraining = f"{settings.pretraining}, {f'{epochs} epochs' if epochs else '100,000 batches'}"
    if settings.pretraining == "end-to-end":
        pretraining += f", {settings.pretrain_optimizer}"
    rows = {
        "data set": args.dataset,
        "protocol": f"{args.protocol} ({settings.source})",
        "network": "-".join(map(str, dec.dims)),
        "clusters": dec.n_clusters,
        "scale of x": "mean ||x||^2 / d = 1" if settings.scale is None else f"x {settings.scale:g}",
        "initializer": settings.init,
        "pretraining": f"none, {args.ae_weights}" if args.ae_weights else pretraining,
        "optimizer": settings.optimizer,
        "batch size": args.batch_size,
        "update interval": f"{interval} batches" if interval else "one epoch",
        "stop": f"after {args.maxiter} batches, or when fewer than {args.tol:.2%} of the labels change",
        "seed": args.seed,
        "results": args.save_dir,
    }
    print("Settings")
    for name, value in rows.items():
        print(f"  {name:<16} {value}")


def report(dec, y, args, pretrain_seconds, cluster_seconds):
    """Scores before and after, times, cluster sizes, warnings, and where the files are."""
    result = dec.result
    print(f"\n{'':<14}{'ACC':>8}{'NMI':>8}{'ARI':>8}{'time':>10}")
    for name, labels, seconds in (
        ("AE + k-means", result.start_labels, pretrain_seconds),
        (dec.name, result.labels, cluster_seconds),
    ):
        values = ["-"] * 3 if y is None else [f"{value:.4f}" for value in metrics.scores(y, labels).values()]
        print(f"{name:<14}" + "".join(f"{value:>8}" for value in values) + f"{seconds:8.1f} s")
    why = f"fewer than {args.tol:.2%} of the labels changed" if result.stop_reason == "tol" else "--maxiter was reached"
    print(f"Stopped after {result.n_iter} batches: {why}.")
    changed = int(np.sum(result.labels != result.start_labels))
    print(f"{changed} of {len(result.labels)} samples changed their cluster since the k-means start.")
    report_sizes(np.bincount(result.labels, minlength=dec.n_clusters))
    print(f"Saved to {args.save_dir}: {dec.name}_model_final.h5, {dec.name.lower()}_log.csv", end="")
    print("" if args.ae_weights else ", ae_weights.h5, pretrain_log.csv")


def report_sizes(sizes):
    print("Cluster sizes:", " ".join(map(str, sizes)))
    if (empty := int(np.sum(sizes == 0))) > 0:
        print(f"Warning: {empty} of {len(sizes)} clusters are empty; fewer clusters may fit the data better.")
    if sizes.max() > max(0.5, 2 / len(sizes)) * sizes.sum():
        share = sizes.max() / sizes.sum()
        print(
            f"Warning: one cluster holds {share:.0%} of the samples; a longer pretraining, another seed or data scaled "
            "to about [0, 1] may help."
        )
