"""The command line that DEC.py and IDEC.py share: arguments, one run, and what it prints."""

import argparse
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from time import time

import keras
import numpy as np
import tensorflow as tf

import metrics
from batches import ScaledRows, pieces
from clustering import STARTS
from datasets import ALIASES, DATASETS, check_data, load_data
from files import (
    InputError,
    check_number,
    check_share,
    check_whole,
    load_weights,
    read_attributes,
    whole_file,
    writable_folder,
)
from settings import (
    BATCH_SIZE,
    CODE_DIMS,
    MAX_SEED,
    MAXITER,
    PAPER_BATCHES,
    PRETRAINING,
    PROTOCOLS,
    TOL,
    Settings,
    get_settings,
)

STRATEGIES = {
    "none": tf.distribute.get_strategy,
    "mirrored": tf.distribute.MirroredStrategy,
    "multiworker": tf.distribute.MultiWorkerMirroredStrategy,
}
START_NAMES = {"kmeans": "k-means", "gmm": "GMM"}


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
    add("--maxiter", type=_whole(1), default=MAXITER, help="most batches of clustering (default: %(default)s)")
    add("--pretrain_epochs", type=_whole(1), help="epochs of pretraining (default: the protocol's)")
    add(
        "--gamma",
        type=_at_least_0,
        default=0.1,
        help="weight of IDEC's clustering loss; DEC ignores it (default: %(default)s)",
    )
    interval = "batches between two refreshes of P; 0: one epoch (default: the protocol's)"
    add("--update_interval", type=_whole(0), help=interval)
    add(
        "--tol", type=_share, default=TOL, help="stop when a smaller share of the labels changes (default: %(default)s)"
    )
    add("--pretrain", choices=PRETRAINING, help="how to pretrain (default: the protocol's)")
    add(
        "--start",
        choices=list(STARTS),
        help="the centres' start: k-means or a Gaussian mixture (default: the protocol's)",
    )
    add("--ae_weights", help="a pretrained autoencoder, .h5 (default: pretrain one)")
    scale = "what the data set's x is multiplied by, as --ae_weights were trained (default: theirs, or the protocol's)"
    add("--scale", type=_positive, help=scale)
    folder = f"results/{method.name.lower()}"
    add("--save_dir", help=f"folder of the results (default: results; with the first form of dataset: {folder})")
    add("--protocol", choices=list(PROTOCOLS), default="dec-keras", help="whose settings (default: %(default)s)")
    workers = "train on all GPUs of this machine, or on the hosts of TF_CONFIG (default: one device)"
    add("--strategy", choices=list(STRATEGIES), default="none", help=workers)
    seed = "of weights, batches and k-means: the same seed, the same result (default: %(default)s)"
    add("--seed", type=_whole(0, at_most=MAX_SEED), default=0, help=seed)
    add("--figures", action="store_true", help="draw the run at its end: figures/ and report.html, as figures.py does")
    args = parser.parse_args(arguments)
    if args.positional is not None and args.dataset is not None:
        parser.error("give the data set once: as the first argument or with --dataset")
    if args.save_dir is None:
        args.save_dir = "results" if args.positional is None else folder
    args.save_dir = Path(args.save_dir)
    args.dataset = next((name for name in (args.positional, args.dataset) if name is not None), "mnist")
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


_positive = _argument(lambda text: check_number("the value", text, above=0))
_at_least_0 = _argument(lambda text: check_number("the value", text, at_least=0))
_share = _argument(lambda text: check_share("the value", text))


def run(method, args):
    """Loads, pretrains (or loads pretrained weights), clusters, scores and saves; returns the trained method.

    With several hosts each does it all but for the training steps, which they share; the first saves to `--save_dir`,
    host i to its folder `worker<i>`.
    """
    strategy = STRATEGIES[args.strategy]()
    if args.strategy == "multiworker" and (host := strategy.cluster_resolver.task_id):
        args.save_dir = args.save_dir / f"worker{host}"
    with strategy.scope():
        return _run(method, args)


def _run(method, args):
    settings = settings_in_force(protocol_settings(method, args), args)
    data = prepare(args, settings)
    dec = build(method, args, settings, *data)
    x, y, *_ = data
    writable_folder(args.save_dir)
    print_settings(dec, args, settings)

    start = time()
    if not args.ae_weights:
        pretrain(dec, x, y, args, settings)
    pretrained = time()
    start_mse = reconstruction_error(dec, x)
    cluster(dec, x, y, args, settings)
    seconds = pretrained - start, time() - pretrained
    report(dec, y, args, settings, seconds, errors=(start_mse, reconstruction_error(dec, x)))
    if args.figures:
        import figures  # takes a while

        figures.draw(figures.load_run(args.save_dir / f"{dec.name}_model_final.h5", x, y))
    return dec


def protocol_settings(method, args):
    return get_settings(ALIASES.get(args.dataset, args.dataset), args.protocol, method.name)


def prepare(args, settings):
    """Loads the data: x, scaled, y, the scale, and the number of clusters."""
    x, y = load_data(args.dataset)
    x, scale = scaled(x, settings.scale)
    return x, y, scale, number_of_clusters(args.n_clusters, x, y)


def build(method, args, settings, x, y, scale, n_clusters):
    """Seeds everything, and builds `method` with the weights of --ae_weights, or new ones."""
    keras.utils.set_random_seed(args.seed)
    if tf.config.list_physical_devices("GPU"):  # CPU kernels give the same bits every time as they are
        tf.config.experimental.enable_op_determinism()

    dec = method([x.shape[1], *CODE_DIMS], n_clusters, init=settings.init, seed=args.seed)
    dec.attributes = {"dataset": ALIASES.get(args.dataset, args.dataset), "protocol": args.protocol, "scale": scale}
    if args.ae_weights:
        load_weights(dec.autoencoder, args.ae_weights)
    return dec


def settings_in_force(settings, args):
    """A protocol's settings with what the command line and the weights file override."""
    if args.pretrain not in (None, settings.pretraining):  # has a length of its own
        epochs = None if args.pretrain == "layerwise" else Settings.pretrain_epochs
        settings = replace(settings, pretraining=args.pretrain, pretrain_epochs=epochs)
    given = {
        "pretrain_epochs": args.pretrain_epochs,
        "update_interval": args.update_interval,
        "start": args.start,
        "scale": args.scale,
    }
    trained_with = read_attributes(args.ae_weights) if args.ae_weights else {}
    if args.ae_weights and "scale" not in trained_with and args.scale is None:
        print(
            f"Warning: {args.ae_weights} does not say what its x was scaled by; taking the protocol's scale. If it was "
            "another, the clusters are wrong: say it with --scale (5.1 for MNIST weights trained on pixels / 50)."
        )
    if "scale" in trained_with:
        check_number(f"the scale in {args.ae_weights}", trained_with["scale"], above=0)
        if args.scale is not None and not math.isclose(args.scale, trained_with["scale"]):
            raise InputError(
                f"{args.ae_weights} was trained on x times {trained_with['scale']:g}: leave --scale {args.scale:g} out."
            )
        given["scale"] = trained_with["scale"]
    return replace(settings, **{name: value for name, value in given.items() if value is not None})


def scaled(x, scale):
    """x times `scale`, and that scale; None: what makes the mean of ||x||^2 / d one (DEC paper, section 4)."""
    if scale is None:
        mean_square = sum(np.square(p, dtype=np.float64).sum() for p in pieces(x)) / math.prod(x.shape)
        scale = float(1 / np.sqrt(mean_square)) if mean_square > 0 else 1.0
    if scale == 1:
        return x, scale
    with np.errstate(over="ignore", invalid="ignore"):
        x = ScaledRows(x, scale) if isinstance(x, np.memmap) else x * np.float32(scale)
        return check_data(x)[0], scale


def pretrain(dec, x, y, args, settings):
    if settings.pretraining == "layerwise":
        dec.pretrain_layerwise(x, y, settings.pretrain_epochs, args.batch_size, args.save_dir)
    else:
        how = {"optimizer": settings.pretrain_optimizer, "schedule": settings.pretrain_schedule}
        dec.pretrain(x, y, epochs=settings.pretrain_epochs, batch_size=args.batch_size, save_dir=args.save_dir, **how)


def cluster(dec, x, y, args, settings):
    compile_options = {"gamma": args.gamma} if dec.name == "IDEC" else {}
    dec.compile(settings.optimizer, **compile_options)
    dec.fit(x, y, args.maxiter, args.batch_size, args.tol, settings.update_interval, args.save_dir, settings.start)


def reconstruction_error(dec, x):
    """Mean squared error of the autoencoder, whose encoder the clustering phase trains too."""
    errors = (np.square(dec.autoencoder(p, training=False) - p).sum(dtype=np.float64) for p in pieces(x))
    return float(sum(errors) / math.prod(x.shape))


def number_of_clusters(asked, x, y):
    if asked is None and y is None:
        raise InputError("The data have no labels to count classes by: say how many clusters with --n_clusters.")
    n_clusters = asked or len(np.unique(y))
    if n_clusters < 2:
        raise InputError("All samples have the same label: say how many clusters with --n_clusters.")
    if n_clusters > x.shape[0]:
        raise InputError(f"{n_clusters} clusters of {x.shape[0]} samples: there cannot be more clusters than samples.")
    return n_clusters


def print_settings(dec, args, settings):
    """Prints the settings in force, one a line, and keeps them as `settings.json`."""
    epochs = f"{settings.pretrain_epochs} epochs" if settings.pretrain_epochs else f"{PAPER_BATCHES} batches"
    pretraining = f"{settings.pretraining}, {epochs}"
    if settings.pretraining == "end-to-end":
        pretraining += f", {settings.pretrain_optimizer}, learning rate {settings.pretrain_schedule}"
    rows = {
        "data set": args.dataset,
        "protocol": f"{args.protocol} ({settings.source})",
        "network": "-".join(map(str, dec.dims)),
        "clusters": dec.n_clusters,
        "scale of x": f"x {dec.attributes['scale']:g}",
        "initializer": settings.init,
        "pretraining": f"none, {args.ae_weights}" if args.ae_weights else pretraining,
        "start": START_NAMES[settings.start],
        "optimizer": settings.optimizer,
        "batch size": args.batch_size,
        "update interval": f"{settings.update_interval} batches" if settings.update_interval else "one epoch",
        "stop": f"after {args.maxiter} batches, or when fewer than {args.tol:.2%} of the labels change",
        "seed": args.seed,
        "results": args.save_dir,
    }
    if dec.name == "IDEC":
        rows["gamma"] = args.gamma
    print("Settings")
    for name, value in rows.items():
        print(f"  {name:<16} {value}")
    with whole_file(args.save_dir / "settings.json") as temporary:
        temporary.write_text(json.dumps(rows, indent=1, default=str))


def report(dec, y, args, settings, seconds, errors):
    """Scores, times and reconstruction errors of the start and the end, cluster sizes, warnings, and the files."""
    result = dec.result
    print(f"\n{'':<14}{'ACC':>8}{'NMI':>8}{'ARI':>8}{'time':>10}{'reconstruction MSE':>21}")
    rows = zip(
        (f"AE + {START_NAMES[settings.start]}", dec.name),
        (result.start_labels, result.labels),
        seconds,
        errors,
        strict=True,
    )
    for name, labels, time_taken, error in rows:
        values = ["-"] * 3 if y is None else [f"{value:.4f}" for value in metrics.scores(y, labels).values()]
        print(f"{name:<14}" + "".join(f"{value:>8}" for value in values) + f"{time_taken:8.1f} s{error:21.6f}")
    why = f"fewer than {args.tol:.2%} of the labels changed" if result.stop_reason == "tol" else "--maxiter was reached"
    print(f"Batches trained: {result.n_iter}. Stopped since {why}.")
    changed = int(np.sum(result.labels != result.start_labels))
    print(f"{changed} of {len(result.labels)} samples changed their cluster since the start.")
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
