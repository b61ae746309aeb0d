"""One run: load, scale, pretrain, cluster, score, save, and report."""

import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter

import keras
import numpy as np
import tensorflow as tf

from dec_keras.console import script_errors, wrapped
from dec_keras.data import reading
from dec_keras.data.datasets import load
from dec_keras.data.samples import Samples
from dec_keras.data.scaling import Scaler, fit, from_attributes
from dec_keras.errors import InputError
from dec_keras.files.atomic import atomic_write
from dec_keras.files.models import load_weights, read_attributes
from dec_keras.files.run_folder import lock_folder, run_folder
from dec_keras.method.clustering import cluster
from dec_keras.method.pretraining import pretrain, pretrain_layerwise
from dec_keras.method.protocols import IF_IMAGES
from dec_keras.plots import tensorboard
from dec_keras.runs.config import describe
from dec_keras.runs.predict import predict_file, write_labels
from dec_keras.runs.record import Record
from dec_keras.runs.verdict import report
from dec_keras.training.pipeline import predictions

LONG = 100  # epochs of pretraining that take long on 70,000 samples
STRATEGIES = {
    "none": tf.distribute.get_strategy,
    "mirrored": tf.distribute.MirroredStrategy,
    "multiworker": tf.distribute.MultiWorkerMirroredStrategy,
}


@dataclass
class Data:
    """What a run trains on.

    Attributes:
        x: scaled Samples.
        y: labels of shape `(n,)`, or None.
        n_clusters: number of clusters that was asked for, or else of classes.
        scaler: the Scaler of x.
        about: the `reading.About` of x.
    """

    x: Samples
    y: np.ndarray | None
    n_clusters: int
    scaler: Scaler
    about: reading.About


def run_script(method, config, options):
    """Runs DEC.py or IDEC.py with the results of `parse_run`; bad input prints one sentence and exits with code 2."""
    can_go_on = config is not None and options.strategy != "multiworker"
    how_to_go_on = " The same command with --resume goes on." if can_go_on else ""
    with script_errors(f"{method.name}.py", f"Stopped.{how_to_go_on}"):
        if config is None:
            predict_file(options)
        else:
            run(method, config, options)


def run(method, config, options):
    """Runs a method, from loading the data to saving the results; returns the trained DEC or IDEC.

    Several hosts share the training steps; each host does everything else itself. The first host saves to `save_dir`,
    host i to the folder `worker<i>` in it.

    Args:
        method: the class DEC or IDEC.
        config: RunConfig.
        options: RunOptions.

    Raises:
        InputError: if the data, the weights or a setting do not fit.
        FloatingPointError: if the training diverges.
    """
    begun = perf_counter()
    if options.tensorboard:
        tensorboard.check_installed()
    strategy = STRATEGIES[options.strategy]()
    host = strategy.cluster_resolver.task_id if options.strategy == "multiworker" else 0
    with strategy.scope():
        config, data = prepare(config)
        dec = build(method, config, data)
        folder = run_folder(options.save_dir / f"worker{host}" if host else options.save_dir)
        with lock_folder(folder.path):
            record = Record(folder, config.as_json() | {"dims": dec.dims}, data.x, options)
            if options.verbose:
                print_settings(record.values["settings"], folder)
            if record.is_finished:
                print(f"The run in {folder.path} came to its end; without --resume it begins anew.")
                dec.load_weights(folder.model(dec.name))
            else:
                if not config.ae_weights:
                    train = pretrain_layerwise if config.pretraining == "layerwise" else pretrain
                    train(dec, data.x, data.y, **config.pretrain_arguments(), **output(folder, "pretraining", options))
                start_error = reconstruction_error(dec, data.x)
                with finished_if_done(dec):
                    files = output(folder, dec.name, options) | {"save_models": options.save_models}
                    cluster(dec, data.x, data.y, **config.fit_arguments(), **files)
                save_assignments(dec, data, folder, options)
                errors = start_error, reconstruction_error(dec, data.x)
                said = report(dec, config, data, folder, errors, perf_counter() - begun, options)
                record.finish(dec, data.y, said)
            if options.figures:
                draw_figures(dec, data, folder)
    return dec


def prepare(config):
    """Loads and scales the data; returns the RunConfig with all settings resolved, and the Data.

    Raises:
        InputError: if the data or the weights' scale do not fit the settings.
    """
    asked, config = config.scale, config.with_protocol()
    scale = config.scale if config.ae_weights is None else _scale_of_weights(config.ae_weights, asked, config.scale)
    x, y, about = load(config.dataset, config.reading)
    n_clusters = number_of_clusters(config.n_clusters, x, y)
    scaler = fit(x, scale, about)
    if config.augment not in ("none", IF_IMAGES) and x.image_shape is None:
        raise InputError(f"{config.dataset} holds no images, which augmentation shifts and rotates: --augment none.")
    data = Data(scaler.transform(x), y, n_clusters, scaler, about)
    return settings_in_force(config, data), data


def settings_in_force(config, data):
    """The RunConfig with nothing left open, for these data."""
    config = config.resolved(len(data.x), data.x.image_shape is not None)
    return replace(config, n_clusters=data.n_clusters, scale=data.scaler.name)


def _scale_of_weights(path, asked, of_protocol):
    """The Scaler that the weights were trained with; if it is unknown, the scale asked for or the protocol's."""
    scaler = from_attributes(read_attributes(path), path)
    if scaler is None:
        if asked is None:
            print(
                f"Warning: {path} does not say what its x was scaled by; taking the protocol's scale. If it was "
                "another, the clusters are wrong: say it with --scale (5.1 for MNIST weights trained on pixels / 50)."
            )
        return of_protocol
    if asked is not None and not scaler.is_asked(asked):
        had, has = (scale if isinstance(scale, str) else f"{scale:g}" for scale in (scaler.name, asked))
        raise InputError(f"{path} was trained with --scale {had}: leave --scale {has} out.")
    return scaler


def number_of_clusters(asked, x, y):
    if asked is None and y is None:
        raise InputError("The data have no labels to count classes by: say how many clusters with --n_clusters.")
    if asked == 1:
        raise InputError("n_clusters is 1: it must be a whole number of at least 2.")
    n_clusters = asked or len(np.unique(y))
    if n_clusters < 2:
        raise InputError("All samples have the same label: say how many clusters with --n_clusters.")
    if n_clusters > len(x):
        raise InputError(f"{n_clusters} clusters of {len(x)} samples: there cannot be more clusters than samples.")
    return n_clusters


def build(method, config, data):
    """Seeds everything, and builds `method` with the weights of ae_weights, or new ones."""
    keras.utils.set_random_seed(config.seed)
    if tf.config.list_physical_devices("GPU"):  # CPU kernels are deterministic without it
        tf.config.experimental.enable_op_determinism()
    dec = method([data.x.shape[1], *config.dims], config.n_clusters, init=config.init, seed=config.seed)
    dec.attributes = {"dataset": config.dataset_name, "protocol": config.protocol} | data.scaler.attributes()
    if config.is_user_data:
        dec.attributes |= reading.attributes(data.about.reading)
    if config.ae_weights:
        load_weights(dec.autoencoder, config.ae_weights)
    dec.compile(config.optimizer, **config.compile_arguments())
    return dec


@contextmanager
def finished_if_done(dec):
    """Ignores a Ctrl-C in the last interval of the clustering, since the rest of the run takes only seconds."""
    try:
        yield
    except KeyboardInterrupt:
        if dec.result is None:
            raise


def output(folder, phase, options):
    """The arguments of a phase that say where its files go, and what it prints."""
    callbacks = [tensorboard.log(folder.tensorboard(phase), keep=options.resume)] if options.tensorboard else []
    return {"folder": folder, "resume": options.resume, "callbacks": callbacks, "verbose": options.verbose}


def save_assignments(dec, data, folder, options):
    """Saves the clusters of the samples, the codes and the centres, also for TensorBoard if it is on."""
    q, codes, names = dec.result.q, dec.result.codes, data.about.names
    write_labels(folder.labels, q, names)
    for path, array in ((folder.embedding, codes), (folder.centers, dec.centers)):
        with atomic_write(path) as temporary:
            np.save(temporary, array)
    if options.tensorboard:
        columns = {"sample": range(len(q)) if names is None else names, "cluster": dec.result.labels, "label": data.y}
        tensorboard.write_embedding(folder.tensorboard(dec.name), codes, **columns)


def draw_figures(dec, data, folder):
    """Draws the saved run's figures and its page."""
    print("Drawing embeddings, clusters and curves: this takes about a minute.", flush=True)
    from dec_keras.runs.drawing import draw  # takes a while
    from dec_keras.runs.saved_run import load_run, shown

    draw(load_run(folder.model(dec.name), data.x, data.y, **shown(data.about)))
    print(f"Next: open {folder.report} in a browser.")


def reconstruction_error(dec, x):
    """Mean squared error of the autoencoder, whose encoder the clustering phase trains too."""
    errors = (np.square(y - rows).sum(dtype=np.float64) for rows, y in predictions(dec.autoencoder, x))
    return float(sum(errors) / math.prod(x.shape))


def print_settings(settings, folder):
    is_long = settings["pretrain_epochs"] >= LONG and not settings["ae_weights"]
    if settings["dataset"] in ("mnist", "fmnist") and is_long:
        print("This takes 25 to 80 minutes on one or two CPU cores; --protocol fast takes minutes.")
    print("Settings")
    for name, value in (describe(settings) | {"results": folder.path}).items():
        print(wrapped(f"  {name:<16} {value}", indent=19), flush=True)
