"""The options that DEC.py, IDEC.py and choose_k.py share. Loads no TensorFlow, so that -h and errors come at once."""

import shlex
import sys
from dataclasses import fields
from pathlib import Path

from dec_keras.console import Parser, import_tensorflow, script_errors
from dec_keras.data.reading import ALIASES, DATASETS, ENDINGS, SCALES, Reading, check_size
from dec_keras.errors import InputError, nearest
from dec_keras.files.run_folder import resolve_h5
from dec_keras.method.protocols import AUGMENT, BATCH_SIZE, PRETRAINING, PROTOCOLS, STARTS
from dec_keras.runs.config import RunConfig, RunOptions

STRATEGIES = ("none", "mirrored", "multiworker")


def parse_run(method, arguments=None):
    """Parses the command line of DEC.py or IDEC.py; if it is wrong, the program exits with code 2.

    Args:
        method: "DEC" or "IDEC".
        arguments: list of str; None: the program's.

    Returns:
        RunConfig and RunOptions; for `predict`, None and the namespace of `predict_parser`.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["predict"]:
        return None, predict_parser(method).parse_args(arguments[1:])
    parser = run_parser(method)
    args = parser.parse_args(arguments)
    if args.positional is not None and args.dataset is not None:
        parser.error("give the data set once: as the first argument or with --dataset")
    if args.resume and args.strategy == "multiworker":
        parser.error("--resume is for one host: hosts cut off at different moments cannot go on together")
    save_dir = args.save_dir or ("results" if args.positional is None else f"results/{method.lower()}")
    config = config_of(parser, method, args, args.positional or args.dataset or "mnist", args.n_clusters)
    how = {"save_dir": Path(save_dir), "command": shlex.join([parser.prog, *arguments])}
    return config, RunOptions(**_given(RunOptions, args) | how)


def start_run(method):
    """`parse_run` for a script, then the import of TensorFlow: wrong arguments end it before that slow import."""
    sys.excepthook = _without_traceback_of_ctrl_c  # this and the script's own imports take seconds
    config, options = parse_run(method)
    if config is not None:
        with script_errors(f"{method}.py"):
            check_paths(config)
    import_tensorflow()
    return config, options


def _without_traceback_of_ctrl_c(kind, error, traceback):
    if issubclass(kind, KeyboardInterrupt):
        print("\nStopped.", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


def config_of(parser, method, args, dataset, n_clusters):
    """The RunConfig of a namespace; an invalid value prints one sentence and ends the program with exit code 2."""
    try:
        reading = Reading(**_given(Reading, args))
        what = {"method": method, "dataset": dataset, "reading": reading, "n_clusters": n_clusters}
        return RunConfig(**_given(RunConfig, args) | what)
    except InputError as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")


def _given(kind, args):
    """{name: value} of a dataclass' fields that a namespace has."""
    return {field.name: getattr(args, field.name) for field in fields(kind) if hasattr(args, field.name)}


def run_parser(method):
    parser = Parser(
        prog=f"{method}.py",
        description=f"Cluster a data set with {method}, and score the clusters where it has labels.",
        epilog=f"New data: python {method}.py predict -h",
    )
    data, of_method, training, output = add_shared_options(parser)
    data.add_argument("positional", metavar="dataset", nargs="?", help="the same as --dataset")
    of_method.add_argument("--n_clusters", help="number of clusters (default: the number of classes)")
    add = output.add_argument
    folder = f"results/{method.lower()}"
    add("--save_dir", help=f"folder of the results (default: results; with the first form of dataset: {folder})")
    resume = "go on with the run of the same settings in --save_dir that was cut off; what is not there begins anew"
    add("--resume", action="store_true", help=resume)
    models = "save the model every five epochs of the clustering phase too, or at every refresh of P if that is rarer"
    add("--save_models", action="store_true", help=models)
    add("--figures", action="store_true", help="draw the run at its end: figures/ and report.html, as figures.py does")
    board = "log both phases and the embedding to tensorboard/, for `tensorboard --logdir`"
    add("--tensorboard", action="store_true", help=board)
    workers = "train on all GPUs of this machine, or on the hosts of TF_CONFIG (default: one device)"
    training.add_argument("--strategy", choices=STRATEGIES, default="none", help=workers)
    return parser


def add_shared_options(parser):
    """Adds the options of a RunConfig in groups; returns the groups data, method, training and output."""
    data, method, training, output = map(parser.add_argument_group, ("data", "method", "training", "output"))
    add = data.add_argument
    files = f"or a folder of images; or a file: {', '.join(ENDINGS)}; file:name names an array in it"
    add("--dataset", help=f"{', '.join(DATASETS)}; {files} (default: mnist)")
    column = "labels of a table: the column's name, or its number from 0, -1 for the last; of arrays: the array's name"
    add("--label_column", help=column)
    identifier = "column of a table that names its samples, by name or number: labels.csv has it as its samples' names"
    add("--id_column", help=identifier)
    add("--drop_columns", nargs="+", metavar="COLUMN", help="columns of a table that are not used, by name or number")
    header = "whether the first line of a table names its columns (default: found out, or asked)"
    add("--header", type=_yes_or_no, metavar="yes|no", help=header)
    add("--image_size", type=check_size, help="HEIGHT or HEIGHTxWIDTH that images are brought to")
    add("--color", action="store_true", help="read images in colour, not in grey")
    add("--labels_from_folders", action="store_true", help="an image's label is the name of the subfolder it is in")
    scale = f"how x is scaled: {', '.join(SCALES)}, or a number that it is multiplied by"
    default = "as --ae_weights were trained, or the protocol's; of your own data auto, which says what it chose"
    add("--scale", help=f"{scale} (default: {default})")
    add = method.add_argument
    add("--protocol", choices=list(PROTOCOLS), default="dec-keras", help="whose settings (default: %(default)s)")
    start = "the centres' start: k-means, a Gaussian mixture, one on UMAP of the codes, or auto: that where it finds"
    start += " separate clusters, else k-means (default: the protocol's)"
    add("--start", choices=STARTS, help=start)
    gamma = "weight of IDEC's clustering loss; DEC ignores it (default: %(default)s)"
    add("--gamma", default=0.1, help=gamma)
    add("--update_interval", help="batches between two refreshes of P; 0: one epoch (default: the protocol's)")
    add("--tol", help="stop when a smaller share of the labels changes (default: the protocol's, mostly 0.001)")
    add("--maxiter", help="most batches of clustering (default: the protocol's, mostly 20000)")
    add = training.add_argument
    add("--ae_weights", help="a pretrained autoencoder, .h5 (default: pretrain one)")
    add("--pretrain", dest="pretraining", choices=PRETRAINING, help="how to pretrain (default: the protocol's)")
    add("--pretrain_epochs", help="epochs of pretraining (default: the protocol's)")
    augment = "phases in which images are shifted and rotated at random (default: the protocol's)"
    add("--augment", choices=AUGMENT, help=augment)
    add("--batch_size", default=BATCH_SIZE, help="samples a batch, in both phases (default: %(default)s)")
    seed = "of weights, batches and k-means: the same seed, the same result (default: %(default)s)"
    add("--seed", default=0, help=seed)
    add = output.add_mutually_exclusive_group().add_argument
    add("--quiet", dest="verbose", action="store_const", const=0, default=1, help="show neither settings nor progress")
    add("--verbose", action="store_const", const=2, help="print a line for every epoch and every refresh of P")
    return data, method, training, output


def check_paths(config):
    """Raises InputError if data or weights do not exist; reading them finds all other faults."""
    name = config.dataset
    if config.is_user_data and not any(Path(part).exists() for part in (name, name.rpartition(":")[0]) if part):
        if "".join(Path(name.partition(":")[0]).suffixes).lower() in ENDINGS:
            raise InputError(f"There is no file {name}: check the path.")
        raise InputError(
            f"There is no data set {name!r}: choose from {', '.join(DATASETS)}, or give an existing path."
            + nearest(name, (*DATASETS, *ALIASES))
        )
    if config.ae_weights is not None:
        resolve_h5(config.ae_weights)


def _yes_or_no(text):
    if text not in ("yes", "no"):
        raise InputError(f"the value is {text}: give yes or no.")
    return text == "yes"


def predict_parser(method):
    parser = Parser(
        prog=f"{method}.py predict",
        description="Assign new data to the clusters of a saved model of DEC or IDEC; they are read and scaled as the "
        "data that it was trained on.",
    )
    add = parser.add_argument
    add("--model", required=True, help="DEC_model_final.h5 or IDEC_model_final.h5")
    add("--dataset", required=True, help=f"{', '.join(DATASETS)}; or a file or a folder of images, as for training")
    add("--out", default="labels.csv", type=Path, help="where to (default: %(default)s)")
    return parser
