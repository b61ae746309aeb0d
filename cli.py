"""The command line that DEC.py and IDEC.py share: arguments, one run, and what it prints."""

import argparse
import json
import math
import shlex
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import board
import metrics
import prediction
from batches import checksum, predictions
from checkpoint import as_json
from clustering import STARTS
from datasets import ALIASES, DATASETS, load
from dec_keras.data import reading
from dec_keras.data.reading import Reading, check_size
from files import (
    InputError,
    check_number,
    check_share,
    check_whole,
    errors_told,
    only_run,
    whole_file,
    writable_folder,
    write_text,
)
from own_data import READERS
from provenance import environment
from scaling import SCALES, check_scale, fit, from_attributes
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
    in_numbers,
)
from untrusted import read_json
from weights import load_weights, read_attributes

STRATEGIES = {
    "none": tf.distribute.get_strategy,
    "mirrored": tf.distribute.MirroredStrategy,
    "multiworker": tf.distribute.MultiWorkerMirroredStrategy,
}
START_NAMES = {"kmeans": "k-means", "gmm": "GMM"}


def main(method, arguments=None):
    """Runs `method` (the class DEC or IDEC) from the command line; bad input ends in a sentence and exit code 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    predicts = arguments[:1] == ["predict"]
    args = prediction.parse(method, arguments[1:]) if predicts else parse(method, arguments)
    can_go_on = not predicts and args.strategy != "multiworker"
    how_to_go_on = " The same command with --resume goes on." if can_go_on else ""
    with errors_told(f"{method.name}.py", f"Stopped.{how_to_go_on}"):
        prediction.run(args) if predicts else run(method, args)


def parse(method, arguments=None):
    """The command line as a namespace; argparse ends the program with exit code 2 where it does not parse."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser(method)
    args = parser.parse_args(arguments)
    if args.positional is not None and args.dataset is not None:
        parser.error("give the data set once: as the first argument or with --dataset")
    if args.resume and args.strategy == "multiworker":
        parser.error("--resume is for one host: hosts cut off at different moments cannot go on together")
    if args.save_dir is None:
        args.save_dir = "results" if args.positional is None else f"results/{method.name.lower()}"
    args.command = shlex.join([parser.prog, *arguments])
    args.save_dir = Path(args.save_dir)
    args.dataset = next((name for name in (args.positional, args.dataset) if name is not None), "mnist")
    return args


def _parser(method):
    parser = argparse.ArgumentParser(
        prog=f"{method.name}.py",
        description=f"Cluster a data set with {method.name}, and score the clusters where it has labels.",
        epilog=f"New data: python {method.name}.py predict -h",
    )
    add = parser.add_argument
    files = f"or a folder of images; or a file: {', '.join(READERS)}; file.h5:/x names an array in it"
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
    scale = f"how x is scaled: {', '.join(SCALES)}, or a number that it is multiplied by"
    default = "as --ae_weights were trained, or the protocol's; of your own data auto, which says what it chose"
    add("--scale", type=_argument(check_scale), help=f"{scale} (default: {default})")
    column = "labels of a table: the column's name, or its number from 0, -1 for the last; of arrays: the array's name"
    add("--label_column", help=column)
    header = "whether the first line of a table names its columns (default: found out, or asked)"
    add("--header", choices=("yes", "no"), help=header)
    add("--image_size", type=_argument(check_size), help="HEIGHT or HEIGHTxWIDTH that images are brought to")
    add("--color", action="store_true", help="read images in colour, not in grey")
    add("--labels_from_folders", action="store_true", help="an image's label is the name of the subfolder it is in")
    folder = f"results/{method.name.lower()}"
    add("--save_dir", help=f"folder of the results (default: results; with the first form of dataset: {folder})")
    add("--protocol", choices=list(PROTOCOLS), default="dec-keras", help="whose settings (default: %(default)s)")
    workers = "train on all GPUs of this machine, or on the hosts of TF_CONFIG (default: one device)"
    add("--strategy", choices=list(STRATEGIES), default="none", help=workers)
    seed = "of weights, batches and k-means: the same seed, the same result (default: %(default)s)"
    resume = "go on with the run of the same settings in --save_dir that was cut off; what is not there begins anew"
    add("--resume", action="store_true", help=resume)
    add("--seed", type=_whole(0, at_most=MAX_SEED), default=0, help=seed)
    add("--figures", action="store_true", help="draw the run at its end: figures/ and report.html, as figures.py does")
    board = "log both phases and the embedding to tensorboard/, for `tensorboard --logdir`"
    add("--tensorboard", action="store_true", help=board)
    return parser


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
    if args.tensorboard:
        board.check_installed()
    data = prepare(args, settings)
    x, y, scaler, about, _ = data
    settings = in_numbers(settings, x.shape[0], args.batch_size)
    dec = build(method, args, settings, *data)
    with only_run(writable_folder(args.save_dir)):
        record = Record(args, x, print_settings(dec, args, settings, scaler))
        final = args.save_dir / f"{dec.name}_model_final.h5"
        if record.finished:
            print(f"The run in {args.save_dir} came to its end; without --resume it begins anew.")
            dec.load_weights(final)
        else:
            train(dec, x, y, args, settings, about)
            record.finish(dec, y)
        if args.figures:
            import figures  # takes a while

            figures.draw(figures.load_run(final, x, y, **figures.shown(about)))
    return dec


def train(dec, x, y, args, settings, about):
    """Both phases, what they give, and the report of it."""
    if not args.ae_weights:
        pretrain(dec, x, y, args, settings)
    start_mse = reconstruction_error(dec, x)
    cluster(dec, x, y, args, settings)
    save_assignments(dec, x, y, args, about)
    report(dec, y, args, settings, errors=(start_mse, reconstruction_error(dec, x)))


class Record:
    """`run.json`: what a run was made with, and, once it came to its end, what came out.

    Attributes:
        finished: whether a run that is to be resumed is at its end.

    Raises:
        InputError: if a run is to be resumed that had other settings or data.
    """

    def __init__(self, args, x, settings):
        self.path = args.save_dir / "run.json"
        data = {"samples": x.shape[0], "features": x.shape[1], "checksum_of_scaled_x": f"{checksum(x):08x}"}
        self.values = as_json({"command": args.command, "settings": settings, "data": data, **environment()})
        earlier = self._earlier() if args.resume else {}
        if not earlier:  # what an older run that was cut off has left
            for phase in ("pretrain", "dec", "idec"):  # by name: a file of the user's may end alike
                (args.save_dir / f"{phase}_checkpoint.npz").unlink(missing_ok=True)
        self.finished = "finished" in earlier
        if not self.finished:
            self._write(started=earlier.get("started", _now()))

    def _earlier(self):
        """What is there of the run that is to be resumed; {} if nothing is."""
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
        if differ := [f"{name} {had.get(name)} (now {has[name]})" for name in has if had.get(name) != has[name]]:
            raise InputError(
                f"The run in {self.path.parent} had {', '.join(differ)}: give the same, or leave --resume out."
            )
        return earlier

    def finish(self, dec, y):
        result = dec.result
        scores = {} if y is None else {"scores": metrics.scores(y, result.labels)}
        seconds = {"pretraining": dec.pretrain_seconds, "clustering": result.seconds}
        how = {"batches": result.n_iter, "stop_reason": result.stop_reason}
        self._write(finished=_now(), **how, seconds=seconds, **scores)

    def _write(self, **more):
        self.values |= more
        write_text(self.path, json.dumps(self.values, indent=1) + "\n")


def _now():
    return datetime.now().astimezone().isoformat(timespec="seconds")


def protocol_settings(method, args):
    return get_settings(ALIASES.get(args.dataset, args.dataset), args.protocol, method.name)


def prepare(args, settings):
    """Loads the data: x, scaled, y, the Scaler, `reading.About` them, and the number of clusters."""
    how = ("label_column", "image_size", "color", "labels_from_folders")
    header = None if args.header is None else args.header == "yes"
    x, y, about = load(args.dataset, Reading(header=header, **{name: getattr(args, name) for name in how}))
    n_clusters = number_of_clusters(args.n_clusters, x, y)
    scaler = fit(x, settings.scale, about)
    return scaler.transform(x), y, scaler, about, n_clusters


def build(method, args, settings, x, y, scaler, about, n_clusters):
    """Seeds everything, and builds `method` with the weights of --ae_weights, or new ones."""
    keras.utils.set_random_seed(args.seed)
    if tf.config.list_physical_devices("GPU"):  # CPU kernels give the same bits every time as they are
        tf.config.experimental.enable_op_determinism()

    dec = method([x.shape[1], *CODE_DIMS], n_clusters, init=settings.init, seed=args.seed)
    dec.attributes = {"dataset": ALIASES.get(args.dataset, args.dataset), "protocol": args.protocol}
    dec.attributes |= scaler.attributes()
    if dec.attributes["dataset"] not in DATASETS:
        dec.attributes |= reading.attributes(about.reading)
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
    trained_with = from_attributes(read_attributes(args.ae_weights), args.ae_weights) if args.ae_weights else None
    if args.ae_weights and trained_with is None and args.scale is None:
        print(
            f"Warning: {args.ae_weights} does not say what its x was scaled by; taking the protocol's scale. If it was "
            "another, the clusters are wrong: say it with --scale (5.1 for MNIST weights trained on pixels / 50)."
        )
    if trained_with is not None:
        if args.scale is not None and not trained_with.is_asked(args.scale):
            was = trained_with.factor if trained_with.kind == "number" else trained_with.kind
            was, asked = (scale if isinstance(scale, str) else f"{scale:g}" for scale in (was, args.scale))
            raise InputError(f"{args.ae_weights} was trained with --scale {was}: leave --scale {asked} out.")
        given["scale"] = trained_with
    return replace(settings, **{name: value for name, value in given.items() if value is not None})


def pretrain(dec, x, y, args, settings):
    how = {"epochs": settings.pretrain_epochs, "batch_size": args.batch_size, "save_dir": args.save_dir}
    how |= {"callbacks": logs(args, "pretraining"), "resume": args.resume}
    if settings.pretraining == "layerwise":
        dec.pretrain_layerwise(x, y, **how)
    else:
        dec.pretrain(x, y, optimizer=settings.pretrain_optimizer, schedule=settings.pretrain_schedule, **how)


def cluster(dec, x, y, args, settings):
    compile_options = {"gamma": args.gamma} if dec.name == "IDEC" else {}
    dec.compile(settings.optimizer, **compile_options)
    ranges = args.maxiter, args.batch_size, args.tol, settings.update_interval
    try:
        dec.fit(x, y, *ranges, args.save_dir, settings.start, logs(args, dec.name), args.resume)
    except KeyboardInterrupt:
        if dec.result is None:
            raise  # else it came in the last interval, and what is left to do takes seconds


def logs(args, phase):
    return [board.log(args.save_dir / "tensorboard" / phase, keep=args.resume)] if args.tensorboard else []


def save_assignments(dec, x, y, args, about):
    """Saves which sample is in which cluster, the codes and the centres; for TensorBoard too."""
    q, z = dec.soft_labels(x), dec.extract_features(x)
    prediction.write_labels(args.save_dir / "labels.csv", q, about.names)
    for name, array in (("embedding", z), ("centers", dec.model.get_layer("clustering").get_weights()[0])):
        with whole_file(args.save_dir / f"{name}.npy") as temporary:
            np.save(temporary, array)
    if args.tensorboard:
        names = range(len(q)) if about.names is None else about.names
        folder = args.save_dir / "tensorboard" / dec.name
        board.write_embedding(folder, z, sample=names, cluster=q.argmax(axis=1), label=y)


def reconstruction_error(dec, x):
    """Mean squared error of the autoencoder, whose encoder the clustering phase trains too."""
    errors = (np.square(y - piece).sum(dtype=np.float64) for piece, y in predictions(dec.autoencoder, x))
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


def print_settings(dec, args, settings, scaler):
    """Prints the settings in force, one a line, and returns them as a dict, not rounded."""
    epochs = f"{settings.pretrain_epochs} epochs" if settings.pretrain_epochs else f"{PAPER_BATCHES} batches"
    pretraining = f"{settings.pretraining}, {epochs}"
    if settings.pretraining == "end-to-end":
        pretraining += f", {settings.pretrain_optimizer}, learning rate {settings.pretrain_schedule}"
    rows = {
        "method": dec.name,
        "data set": args.dataset,
        "protocol": f"{args.protocol} ({settings.source})",
        "network": "-".join(map(str, dec.dims)),
        "clusters": dec.n_clusters,
        "scale of x": str(scaler),
        "initializer": settings.init,
        "pretraining": f"none, {args.ae_weights}" if args.ae_weights else pretraining,
        "start": START_NAMES[settings.start],
        "optimizer": settings.optimizer,
        "batch size": args.batch_size,
        "update interval": f"{settings.update_interval} batches" if settings.update_interval else "one epoch",
        "maxiter": args.maxiter,
        "tol": args.tol,
        "seed": args.seed,
    }
    if dec.name == "IDEC":
        rows["gamma"] = args.gamma
    print("Settings")
    for name, value in rows.items():
        print(f"  {name:<16} {value}")
    print(f"  {'results':<16} {args.save_dir}", flush=True)
    return rows


def report(dec, y, args, settings, errors):
    """Scores, times and reconstruction errors of the start and the end, cluster sizes, warnings, and the files."""
    result = dec.result
    print(f"\n{'':<14}{'ACC':>8}{'NMI':>8}{'ARI':>8}{'time':>10}{'reconstruction MSE':>21}")
    rows = zip(
        (f"AE + {START_NAMES[settings.start]}", dec.name),
        (result.start_labels, result.labels),
        (dec.pretrain_seconds or 0.0, result.seconds),
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
    files = [f"{dec.name}_model_final.h5", f"{dec.name.lower()}_log.csv", "labels.csv", "embedding.npy", "centers.npy"]
    files += [] if args.ae_weights else ["ae_weights.h5", "pretrain_log.csv"]
    print(f"Saved to {args.save_dir}: {', '.join(files)}")


def report_sizes(sizes):
    print("Cluster sizes:", " ".join(map(str, sizes)))
    if (empty := np.flatnonzero(sizes == 0)).size:
        numbers = f"number{'s'[: empty.size > 1]} {reading.listed(empty)}"
        print(f"Warning: {empty.size} of {len(sizes)} clusters are empty, {numbers}; fewer may fit the data better.")
    if sizes.max() > min(0.9, max(0.5, 2 / len(sizes))) * sizes.sum():
        share = 100 * sizes.max() // sizes.sum()
        print(
            f"Warning: one cluster holds {share}% of the samples; a longer pretraining, another seed or data scaled "
            "to about [0, 1] may help."
        )
