"""The clustering phase that DEC and IDEC share (DEC paper, section 3.1; IDEC paper, Algorithm 1)."""

import math
import random
import zlib
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import keras
import numpy as np
import tensorflow as tf

from dec_keras import metrics
from dec_keras.console import Progress
from dec_keras.errors import InputError, check_finite
from dec_keras.files.atomic import GrowingTable
from dec_keras.files.models import save_model
from dec_keras.method.initial_centers import STARTS, Start
from dec_keras.method.model import target_distribution
from dec_keras.method.protocols import posterior_batches
from dec_keras.training.checkpoint import Checkpoint
from dec_keras.training.pipeline import batches_per_epoch, endless_batches, predict
from dec_keras.training.steps import Trainer, configuration

FASTER = 10  # the schedule "cosine" starts at this multiple of the optimizer's learning rate


@dataclass
class ClusteringResult:
    """What the clustering phase found.

    Attributes:
        labels: final cluster of each sample, int array of shape `(n,)`, values in 0..k-1.
        start: name of the start; for "auto" the name of the start that it chose; None if the caller gave a Start.
        start_labels: cluster of each sample at the start, shaped as labels.
        start_confidence: `metrics.confidence` of Q at the start.
        n_iter: number of batches trained.
        stop_reason: "tol" (fewer than tol of the labels changed in an interval) or "maxiter".
        log: rows of the log, one dict per interval.
        seconds: Time of the clustering phase in seconds, including the parts before an interruption.
        q, codes: final soft assignments, float32 array of shape `(n, k)`, and codes, of shape `(n, dims[-1])`.
    """

    labels: np.ndarray
    start_labels: np.ndarray
    n_iter: int
    stop_reason: str = "maxiter"
    log: list = field(default_factory=list)
    seconds: float | None = None
    q: np.ndarray | None = None
    codes: np.ndarray | None = None
    start: str | None = None
    start_confidence: tuple[float, float] | None = None


def cluster(
    dec,
    x,
    y,
    *,
    maxiter,
    batch_size,
    tol,
    update_interval,
    schedule,
    augment,
    folder,
    start,
    callbacks,
    resume,
    save_models,
    verbose,
):
    """Runs the clustering phase: initial centres, then KL(P || Q) until `tol` or `maxiter`.

    Q cannot reproduce the posterior of a start at once. P is then this posterior for `protocols.posterior_batches`
    batches, and eq. 3 of Q after them.

    Args:
        dec: a compiled DEC or IDEC with a pretrained autoencoder. Its model is trained in place, and its `result` is
            set to a ClusteringResult.
        x: Samples of shape `(n, d)`.
        y: true labels of shape `(n,)`, or None; they only add scores to the log.
        maxiter: maximum number of batches, at least 1.
        batch_size: samples per batch, at least 1; reduced to n if larger. Batches go through x in order.
        tol: stop when a smaller share of the labels than this, in [0, 1], changed since the last refresh of P.
        update_interval: batches between two refreshes of P; 0 = one epoch.
        schedule: learning rate while P is a posterior: "constant" is the optimizer's; "cosine" falls along a cosine
            from `FASTER` times the optimizer's to the optimizer's, and changes once per interval.
        augment: whether to shift and rotate every image of a batch at random, anew each time (DEC-DA). Q, P, labels
            and the start come from x without augmentation. Needs x with an `image_shape`.
        folder: RunFolder for the log, and for the model at the start and at the end; None writes nothing.
        start: a name of `initial_centers.STARTS`, or a Start.
        callbacks: Keras callbacks. Their epoch is an interval: they are called at its start and end, and their logs
            have the losses, scores and delta_label of its row.
        resume: whether to continue this clustering from the checkpoint in `folder`, if it was interrupted.
        save_models: whether to save the model in `folder` every five epochs too, but at most once per refresh of P.
        verbose: 0 is silent, 1 shows progress in one line or about ten lines, 2 prints one line per interval.

    Raises:
        FloatingPointError: if the training diverges; models saved before stay in `folder`.
        InputError: if `resume` is true and the checkpoint is damaged or belongs to another clustering.
    """
    batch_size = min(batch_size, len(x))
    epoch = batches_per_epoch(x, batch_size)
    update_interval = update_interval or epoch
    save_interval = max(5 * epoch, update_interval)
    ranges = {"maxiter": maxiter, "batch_size": batch_size, "tol": tol, "update_interval": update_interval}
    run = ranges | _identity(dec, x, start, schedule, augment) if folder else {}
    checkpoint = Checkpoint(folder and folder.checkpoint(dec.name), run, resume)
    result = _initialize(dec, x, start, update_interval, checkpoint, verbose)
    callbacks = keras.callbacks.CallbackList(callbacks, model=dec.model)
    optimizer = dec.model.optimizer
    target = _Target(checkpoint.arrays, optimizer, schedule, posterior_batches(epoch))
    p = tf.Variable(tf.zeros((len(x), dec.n_clusters)), trainable=False)

    def inputs_and_targets(indices, batch):  # not in the pipeline: it reads ahead, so P would be older
        return batch, dec.targets(batch, tf.gather(p, indices))

    def save_if_due():
        if folder and (save_models or result.n_iter == 0) and result.n_iter % save_interval == 0:
            save_model(dec.model, folder.model(dec.name, result.n_iter), dec.attributes)

    seed = _augmentation_seed(dec, checkpoint) if augment else None
    batches = endless_batches(x, batch_size, start=result.n_iter, augment=seed)
    trainer = Trainer(dec.model, batches, inputs_and_targets, maxiter)
    checkpoint.begin([*dec.model.variables, *optimizer.variables])
    if result.n_iter == 0:
        for older in folder.intermediate_models(dec.name) if folder else ():
            older.unlink(missing_ok=True)
        save_if_due()
    progress = Progress(dec.name, maxiter, result.n_iter, verbose, at_most=True)
    log = _Log(folder and folder.log(dec.name), dec, y, result.log, progress)
    with checkpoint.stoppable(), progress:
        callbacks.on_train_begin()
        losses = {}
        for interval in count(checkpoint.epoch):  # checkpoint.epoch intervals are done
            q, result.codes = predict(dec.assigner, x)  # eq. 1, for all samples
            check_finite(q, "the soft assignment")
            before, result.q, result.labels = result.labels, q, q.argmax(axis=1)
            delta_label = float(np.mean(result.labels != before))
            if "start_confidence" not in checkpoint.kept:
                checkpoint.kept["start_confidence"] = metrics.confidence(q)
            if interval == len(result.log):  # else the checkpoint has the row of this interval
                row = log.add(result, losses, delta_label)
                if interval > 0:
                    callbacks.on_epoch_end(interval - 1, row)
                    if result.n_iter == maxiter:
                        break
                    if delta_label < tol and not target.is_posterior:
                        result.stop_reason = "tol"
                        break
                    checkpoint.keep(interval)
            p.assign(target.of(q, result.n_iter))  # eq. 3, or the start's posterior
            callbacks.on_epoch_begin(interval)
            trainer.reset()
            end = min(result.n_iter + update_interval, maxiter)
            while result.n_iter < end:
                until = min(end, (result.n_iter // save_interval + 1) * save_interval)
                trainer.train(until - result.n_iter, partial(log.rewrite, result.n_iter))
                result.n_iter, losses = until, trainer.losses()
                check_finite(losses["loss"], "the loss")
                save_if_due()
        callbacks.on_train_end()
    target.end()
    result.start, result.start_confidence = checkpoint.kept.get("start"), checkpoint.kept["start_confidence"]
    result.seconds = checkpoint.seconds
    if folder:
        save_model(dec.model, folder.model(dec.name), dec.attributes)
    dec.result = result
    checkpoint.end()


class _Target:
    """Gives P: the start's posterior at first, if there is one, then eq. 3 of Q. Sets the learning rate meanwhile.

    Args:
        arrays: arrays of the checkpoint; they hold `posterior` while P is the posterior.
        optimizer: optimizer whose learning rate is set.
        schedule: as for `cluster`.
        batches: number of batches for which P is the posterior.
    """

    def __init__(self, arrays, optimizer, schedule, batches):
        self.arrays, self.optimizer, self.schedule, self.batches = arrays, optimizer, schedule, batches
        self.learning_rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))

    @property
    def is_posterior(self):
        return "posterior" in self.arrays

    def of(self, q, n_iter):
        """Returns P for Q after `n_iter` batches, and sets the learning rate."""
        if n_iter >= self.batches:
            self.arrays.pop("posterior", None)
        if self.schedule == "cosine":
            share = n_iter / self.batches if self.is_posterior else 1
            times = 1 + (FASTER - 1) * (1 + math.cos(math.pi * share)) / 2
            self.optimizer.learning_rate = self.learning_rate * times
        return self.arrays["posterior"] if self.is_posterior else target_distribution(q)

    def end(self):
        """Restores the optimizer's learning rate."""
        if self.schedule == "cosine":
            self.optimizer.learning_rate = self.learning_rate


def _augmentation_seed(dec, checkpoint):
    """Random seed for augmentation: the model's, so that resumed runs and sweeps draw as an uninterrupted run does."""
    drawn = random.getrandbits(31) if dec.seed is None else int(dec.seed)
    return checkpoint.kept.setdefault("augmentation", drawn)


def _initialize(dec, x, start, update_interval, checkpoint, verbose):
    """Sets the centres, unless the checkpoint has them; returns the ClusteringResult so far."""
    if not checkpoint.epoch:
        codes = predict(dec.encoder, x)
        with np.errstate(over="ignore"):
            check_finite(np.square(codes).sum(), "the codes' square, which distances are made of,")
        if not isinstance(start, Start):
            if verbose:
                print(f"Start: {start} of {len(codes)} codes", flush=True)
            name, start = start, STARTS[start](codes, dec.n_clusters, dec.seed, verbose=verbose)
            took = "kmeans" if start.posterior is None else "manifold"
            checkpoint.kept["start"] = took if name == "auto" else name
        dec.model.get_layer("clustering").set_weights([start.centers])
        checkpoint.arrays["start_labels"] = start.labels
        if start.posterior is not None:
            checkpoint.arrays["posterior"] = start.posterior
    labels, log = checkpoint.arrays.get("start_labels"), checkpoint.kept.setdefault("log", [])
    posterior = checkpoint.arrays.get("posterior", np.empty((len(x), dec.n_clusters)))
    if np.shape(labels) != (len(x),) or posterior.shape != (len(x), dec.n_clusters):
        raise InputError(f"{checkpoint.path} is damaged (it lacks labels): delete it, and the run begins anew.")
    return ClusteringResult(labels, labels, checkpoint.epoch * update_interval, log=log)


def _identity(dec, x, start, schedule, augment):
    """The settings that must match to resume a clustering, except `ranges` in `cluster`."""
    run = {"start": zlib.crc32(np.asarray(start.centers).tobytes()) if isinstance(start, Start) else start}
    run |= {"augment": True} if augment else {}
    run |= {"schedule": schedule} if schedule != "constant" else {}
    run |= {"dims": dec.dims, "clusters": dec.n_clusters, "alpha": dec.alpha, "seed": dec.seed}
    run |= {"optimizer": configuration(dec.model.optimizer), "samples": len(x), "checksum": x.checksum}
    compiled = dec.model.get_compile_config()
    run |= {name: compiled[name] for name in ("loss", "loss_weights")}
    weights = b"".join(weight.tobytes() for weight in dec.autoencoder.get_weights())
    return run | {"checksum_of_weights": zlib.crc32(weights)}


class _Log:
    """Writes the rows of `dec_log.csv` or `idec_log.csv`, and prints some or all of them."""

    def __init__(self, path, dec, y, rows, progress):
        self.losses, self.y, self.progress, self.last = dec.losses, y, progress, ""
        self.table = GrowingTable(path, ["iter", "acc", "nmi", "ari", *dec.losses.values(), "delta_label"], rows)

    def add(self, result, losses, delta_label):
        """Adds a row; returns it as Keras' callbacks expect it, with Keras' names of the losses."""
        scores = {} if self.y is None else metrics.scores(self.y, result.labels)
        values = scores | {column: losses[name] for name, column in self.losses.items() if name in losses}
        row = {name: round(float(value), 5) for name, value in (values | {"delta_label": delta_label}).items()}
        text = ", ".join(f"{name} = {value:.5f}" for name, value in row.items())
        is_due = str(len(self.table.rows)).rstrip("0") in ("", "1", "2", "5")  # rows 0, 1, 2, 5, 10, 20, 50, ...
        self.progress.line(f"Iter {result.n_iter}: {text}", is_due)
        shown = [f"loss {row[name]:.4g}" for name in list(self.losses.values())[:1] if name in row]
        shown += [f"{delta_label:.2%} changed", *([f"nmi {row['nmi']:.4f}"] if scores else [])]
        self.last = ", ".join(shown)
        self.rewrite(result.n_iter, 0)
        self.table.add({"iter": result.n_iter} | row)
        return losses | scores | {"delta_label": delta_label}

    def rewrite(self, begun, done):
        """Updates the terminal's progress line: `begun` + `done` batches are done; shows the values of the last row."""
        self.progress.rewrite(begun + done, f"batch {begun + done} of at most {self.progress.total}, {self.last}")
