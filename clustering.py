"""The clustering phase that DEC and IDEC share: soft assignment Q, target distribution P, k-means start and the loop.

The loop is one Keras `fit`. Its "epoch" is one update interval; its data are batches of x and of their *indices*, in
order and never shuffled; the training step gathers P by them. P can so be refreshed in place between two intervals:
gathered in the data pipeline it would be stale, since the pipeline reads ahead.
"""

import sys
import warnings
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from scipy.stats import entropy
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

import metrics
from batches import BatchTrainer, batches_per_epoch, checksum, endless_batches, pieces, predict
from checkpoint import Checkpoint
from files import GrowingTable, InputError, check_number, check_whole, is_terminal
from weights import save_model

if keras.backend.backend() != "tensorflow":
    raise ImportError("DEC needs Keras' TensorFlow backend: set KERAS_BACKEND=tensorflow before you start Python.")

MANY_CODES = 100_000  # past these k-means goes through the codes in mini-batches, and a mixture is fitted to a sample
MINI_BATCH = 4096  # codes, of k-means in mini-batches
SEARCH_CODES = 15_000  # among which a mixture's restarts are compared


def get_optimizer(optimizer):
    """`keras.optimizers.get` for a name, an optimizer or its serialised form, a dict that Keras would change.

    An optimizer that has trained something is copied, without its state: Keras 3 has it train nothing else.
    """
    found = keras.optimizers.get(dict(optimizer) if isinstance(optimizer, dict) else optimizer)
    return type(found).from_config(found.get_config()) if found.built else found


def configuration(optimizer):
    """What an optimizer is and does, as a dict; not its name, since Keras numbers them."""
    config = {name: value for name, value in optimizer.get_config().items() if name != "name"}
    return {"class": type(optimizer).__name__} | config


def soft_assign(z, centers, alpha=1.0):
    """Student's t soft assignment Q (DEC paper, eq. 1).

    q_ij = (1 + ||z_i - mu_j||^2 / alpha)^(-(alpha + 1) / 2), normalised over j.

    Args:
        z: codes, shape `(n, d)`, float tensor or array.
        centers: cluster centres mu, shape `(k, d)`.
        alpha: degrees of freedom of the t distribution, > 0.

    Returns:
        tensor of shape `(n, k)`; rows sum to 1.
    """
    squared = ops.sum(ops.square(ops.expand_dims(z, 1) - centers), axis=2)
    q = (1.0 + squared / alpha) ** (-(alpha + 1.0) / 2.0)
    return q / ops.sum(q, axis=1, keepdims=True)


def target_distribution(q):
    """Target distribution P (DEC paper, eq. 3): p_ij = (q_ij^2 / f_j) / sum_j' (q_ij'^2 / f_j'), f_j = sum_i q_ij.

    Args:
        q: soft assignments of *all* samples, array of shape `(n, k)`; the frequencies f_j are taken over its rows.

    Returns:
        array of q's shape and dtype; rows sum to 1.
    """
    q = np.asarray(q)
    weight = q**2 / q.sum(axis=0, dtype=np.float64)
    return (weight.T / weight.sum(axis=1)).T.astype(q.dtype)


@keras.saving.register_keras_serializable(package="DEC")
class ClusteringLayer(keras.layers.Layer):
    """Turns codes into soft assignments to clusters; its one weight, `clusters`, holds the centres.

    Args:
        n_clusters: number of clusters, k.
        weights: initial centres, an array of shape `(k, d)` or a list with that one array. Default: Glorot uniform.
        alpha: degrees of freedom of Student's t distribution, > 0. Default 1, as in the paper.

    Input shape:
        `(batch, d)`.

    Output shape:
        `(batch, k)`.
    """

    def __init__(self, n_clusters, weights=None, alpha=1.0, **kwargs):
        super().__init__(**kwargs)
        self.n_clusters = check_whole("n_clusters", n_clusters, at_least=1)
        self.alpha = check_number("alpha", alpha, above=0)
        self.initial_centers = weights
        self.input_spec = keras.layers.InputSpec(ndim=2)

    def build(self, input_shape):
        shape = (self.n_clusters, input_shape[-1])
        self.clusters = self.add_weight(shape=shape, initializer="glorot_uniform", name="clusters")
        if self.initial_centers is not None:
            centers = self.initial_centers
            centers = np.asarray(centers[0] if len(centers) == 1 and np.ndim(centers[0]) == 2 else centers)
            if centers.shape != shape:
                raise InputError(f"weights have shape {centers.shape}: the centres of this layer have shape {shape}.")
            self.clusters.assign(centers)
            self.initial_centers = None

    def call(self, inputs):
        return soft_assign(inputs, self.clusters, self.alpha)

    def compute_output_shape(self, input_shape):
        return input_shape[0], self.n_clusters

    def get_config(self):
        return {**super().get_config(), "n_clusters": self.n_clusters, "alpha": self.alpha}


def kmeans_start(codes, n_clusters, seed=None, n_init=20):
    """k-means on the codes: the restart of lowest inertia (DEC paper, sections 3.2 and 4.3: 20 restarts).

    More than `MANY_CODES` codes are clustered in mini-batches (Sculley, WWW 2010), which is said.

    Args:
        codes: array or CSR matrix of shape `(n, d)`.
        n_clusters: k, from 1 to n.
        seed: int, or None for NumPy's global random state.
        n_init: number of restarts.

    Returns:
        centers of shape `(k, d)` and labels of shape `(n,)`.
    """
    kmeans = KMeans(n_clusters, n_init=n_init, random_state=seed)
    if codes.shape[0] > MANY_CODES:
        print(f"k-means in mini-batches, since there are more than {MANY_CODES} samples.")
        kmeans = MiniBatchKMeans(n_clusters, n_init=n_init, random_state=seed, batch_size=MINI_BATCH)
    with _repeatable():
        kmeans.fit(codes)
    if (found := len(np.unique(kmeans.labels_))) < n_clusters:
        print(f"Warning: k-means found only {found} different codes for {n_clusters} clusters: some will be empty.")
    return kmeans.cluster_centers_, kmeans.labels_


def gmm_start(codes, n_clusters, seed=None, n_init=30):
    """A Gaussian mixture with full covariances on the codes: the restart that separates best.

    That is the one of highest ICL (Biernacki, Celeux, Govaert, PAMI 2000) for equal proportions: its likelihood, less
    the entropy of its assignments, and less what the likelihood gains by unequal proportions, which DEC's Q and P do
    not have. The likelihood alone often takes two classes for one and cuts another in two. Restarts, half from k-means
    and half from random codes, are compared on a sample of `SEARCH_CODES`; the best is fitted to all codes, or to
    `MANY_CODES` of more, which is said.

    Args, returns: as for `kmeans_start`; the centres are the components' means, a label is the likeliest component.

    Raises:
        InputError: if there are too few different codes for such a mixture.
    """
    random = check_random_state(seed)
    order = random.permutation(len(codes))
    if len(codes) > MANY_CODES:
        print(f"The mixture is fitted to {MANY_CODES} of the codes.")
    with _repeatable():
        restarts = [_restart(codes[order[:SEARCH_CODES]], n_clusters, i, random) for i in range(n_init)]
        best = max(filter(None, restarts), key=itemgetter(0), default=None)
        if best is None:
            raise InputError(
                f"There are too few different codes for a mixture of {n_clusters} Gaussians: ask for fewer, or "
                "start from k-means."
            )
        mixture = GaussianMixture(n_clusters, max_iter=300, **best[1]).fit(codes[np.sort(order[:MANY_CODES])])
        labels = np.concatenate([mixture.predict(piece) for piece in pieces(codes, MANY_CODES)])
    return mixture.means_, labels


def _restart(codes, n_clusters, i, random):
    """(ICL for equal proportions, what a mixture starts from to go on) of one restart; None if it degenerates."""
    init = "kmeans" if i % 2 == 0 else "random_from_data"
    mixture = GaussianMixture(n_clusters, init_params=init, random_state=random.randint(np.iinfo(np.int32).max))
    try:
        mixture.fit(codes)
    except ValueError:  # fewer codes than components, or components without codes
        return None
    undecided = np.mean(entropy(mixture.predict_proba(codes), axis=1))
    icl = mixture.score(codes) - undecided - (np.log(n_clusters) - entropy(mixture.weights_))
    names = ("weights", "means", "precisions")
    return icl, {f"{name}_init": getattr(mixture, f"{name}_") for name in names}


STARTS = {"kmeans": kmeans_start, "gmm": gmm_start}


def check_start(start):
    """Raises InputError unless `start` names one of `STARTS`."""
    if start not in STARTS:
        raise InputError(f"start is {start!r}: choose from {', '.join(STARTS)}.")


@contextmanager
def _repeatable():
    """One thread, since several would add up in any order, not to the same bits every run; and no warnings of that."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def check_finite(values, what):
    """Raises FloatingPointError, with what to do, unless all of `values` are finite."""
    if not np.all(np.isfinite(values)):
        raise FloatingPointError(
            f"Training diverged: {what} is no longer a number; "
            "scale the data to about [0, 1] (no huge values), or lower the optimizer's learning rate."
        )


def check_assigned(q):
    """Raises InputError unless every sample has a cluster, by q of shape `(n, k)`: a code can be beyond float32."""
    if (lost := np.flatnonzero(~np.isfinite(q).all(axis=1))).size:
        raise InputError(
            f"{lost.size} of {len(q)} samples, the first in row {lost[0]}, have values so far beyond the training's "
            "that the model has no cluster for them: check or drop them."
        )


@dataclass
class ClusteringResult:
    """What the clustering phase found.

    Attributes:
        labels: final cluster of each sample, int array of shape `(n,)`, values in 0..k-1.
        start_labels: the same at the start, of k-means or the mixture.
        n_iter: batches trained.
        stop_reason: "tol" (fewer than tol of the labels changed in an interval) or "maxiter".
        log: the log's rows, one dict an interval.
        seconds: that it took, in all of its parts if it was cut off.
    """

    labels: np.ndarray
    start_labels: np.ndarray
    n_iter: int
    stop_reason: str = "maxiter"
    log: list = field(default_factory=list)
    seconds: float | None = None


class _IntervalEnd(keras.callbacks.Callback):
    """At the start and after every interval: predicts Q, logs a row, refreshes P, and stops the training on `tol`."""

    def __init__(self, dec, x, y, result, tol, maxiter, log_file):
        super().__init__()
        self.dec, self.x, self.y, self.result, self.tol, self.maxiter = dec, x, y, result, tol, maxiter
        self.p = tf.Variable(tf.zeros((x.shape[0], dec.n_clusters)), trainable=False)
        columns = ["iter", "acc", "nmi", "ari", *dec.losses.values(), "delta_label"]
        self.table = GrowingTable(log_file, columns, result.log)

    def on_train_begin(self, logs=None):
        delta_label = self.refresh()
        if not self.result.log:  # else it goes on behind an interval that has its row
            self.write_row({}, delta_label)

    def on_train_batch_end(self, batch, logs=None):
        self.result.n_iter += 1

    def on_epoch_end(self, epoch, logs=None):
        check_finite(logs["loss"], "the loss")
        logs["delta_label"] = self.refresh()
        self.write_row(logs, logs["delta_label"])
        if logs["delta_label"] < self.tol and self.result.n_iter < self.maxiter:
            self.result.stop_reason = "tol"
            self.model.stop_training = True

    def refresh(self):
        """Predicts Q and makes P of it; returns the share of labels that changed since the last time."""
        q = predict(self.dec.clusterer, self.x)
        check_finite(q, "the soft assignment")
        self.p.assign(target_distribution(q))
        labels = q.argmax(axis=1)
        delta_label = float(np.mean(labels != self.result.labels))
        self.result.labels = labels
        return delta_label

    def write_row(self, logs, delta_label):
        row = {"iter": self.result.n_iter}
        if self.y is not None:
            logs |= (scores := metrics.scores(self.y, self.result.labels))  # for the callbacks behind this one
            row |= scores
        row |= {column: logs[name] for name, column in self.dec.losses.items() if name in logs}
        row |= {"delta_label": delta_label}
        row = {name: round(float(value), 5) if name != "iter" else value for name, value in row.items()}
        print(f"Iter {row['iter']}:", ", ".join(f"{k} = {v:.5f}" for k, v in row.items() if k != "iter"), flush=True)
        self.table.add(row)


class _IntermediateModels(keras.callbacks.Callback):
    """Saves the model before the first batch and then every `save_interval`; ends the training after `maxiter`."""

    def __init__(self, dec, save_dir, save_interval, maxiter, result):
        super().__init__()
        self.dec, self.save_dir, self.result = dec, save_dir, result
        self.save_interval, self.maxiter = save_interval, maxiter

    def on_train_begin(self, logs=None):
        if self.result.n_iter == 0:
            self.save()

    def on_train_batch_end(self, batch, logs=None):
        if self.result.n_iter % self.save_interval == 0:
            check_finite(logs["loss"], "the loss")
            self.save()
        if self.result.n_iter == self.maxiter:
            self.model.stop_training = True

    def save(self):
        if self.save_dir:
            path = self.save_dir / f"{self.dec.name}_model_{self.result.n_iter}.h5"
            save_model(self.dec.model, path, self.dec.attributes)


def _run(dec, x):
    """What, beside its arguments, a clustering has to share with another to end like it."""
    run = {"dims": dec.dims, "clusters": dec.n_clusters, "alpha": dec.alpha, "seed": dec.seed}
    run |= {"optimizer": configuration(dec.model.optimizer), "samples": x.shape[0], "checksum": checksum(x)}
    compiled = dec.model.get_compile_config()
    run |= {name: compiled[name] for name in ("loss", "loss_weights")}
    weights = b"".join(weight.tobytes() for weight in dec.autoencoder.get_weights())
    return run | {"checksum_of_weights": zlib.crc32(weights)}


def _begin(dec, x, start, update_interval, checkpoint):
    """Sets the centres, unless the checkpoint has them; returns the ClusteringResult so far."""
    if not checkpoint.epoch:
        codes = predict(dec.encoder, x)
        with np.errstate(over="ignore"):
            check_finite(np.square(codes).sum(), "the codes' square, which distances are made of,")
        centers, labels = STARTS[start](codes, dec.n_clusters, dec.seed)
        dec.model.get_layer("clustering").set_weights([centers])
        checkpoint.arrays["start_labels"] = labels
    labels, log = checkpoint.arrays.get("start_labels"), checkpoint.kept.setdefault("log", [])
    if np.shape(labels) != (x.shape[0],):
        raise InputError(f"{checkpoint.path} is damaged (it lacks labels): delete it, and the run begins anew.")
    return ClusteringResult(labels, labels, checkpoint.epoch * update_interval, log=log)


def cluster(dec, x, y, *, maxiter, batch_size, tol, update_interval, save_dir, start, callbacks, resume):
    """Runs the clustering phase (DEC paper, section 3.1): the start, then KL(P || Q) until `tol` or `maxiter`.

    Args:
        dec: a DEC or IDEC, compiled, its autoencoder pretrained; its model is trained in place, and its `result` set to
            a ClusteringResult.
        x: samples of shape `(n, d)`, as `batches.rows` takes them.
        y: true labels of shape `(n,)`, or None; they score the log's rows and change nothing else.
        maxiter: most batches to train, at least 1.
        batch_size: samples a batch, at least 1; batches go through x in order.
        tol: stop when a smaller share of the labels than this, in [0, 1], changed since the last refresh of P.
        update_interval: batches between two refreshes of P; 0 = one epoch.
        save_dir: existing folder for the log, the model every five epochs, but no oftener than P is refreshed, and the
            final model; None: writes nothing.
        start: where the centres come from, "kmeans" (`kmeans_start`) or "gmm" (`gmm_start`).
        callbacks: more Keras callbacks; an epoch is an interval, and its logs have the row's scores and delta_label.
        resume: whether to go on with the same clustering from the checkpoint in `save_dir`, if one was cut off there.

    Raises:
        FloatingPointError: if the training diverges; the last good intermediate model stays in `save_dir`.
        InputError: if `resume` and the checkpoint is of another clustering, or damaged.
    """
    save_dir = save_dir and Path(save_dir)
    epoch = batches_per_epoch(x, batch_size)
    update_interval = update_interval or epoch
    name = dec.name.lower()
    ranges = {"maxiter": maxiter, "batch_size": batch_size, "tol": tol, "update_interval": update_interval}
    run = ranges | {"start": start} | _run(dec, x) if save_dir else {}
    checkpoint = Checkpoint(save_dir and save_dir / f"{name}_checkpoint.npz", run, resume)

    result = _begin(dec, x, start, update_interval, checkpoint)
    interval_end = _IntervalEnd(dec, x, y, result, tol, maxiter, save_dir and save_dir / f"{name}_log.csv")

    def with_targets(indices, batch):
        return batch, dec.targets(batch, tf.gather(interval_end.p, indices))

    trainer = BatchTrainer(dec.model, with_targets, maxiter)
    checkpoint.begin([*dec.model.variables, *dec.model.optimizer.variables])
    intermediate_models = _IntermediateModels(dec, save_dir, max(5 * epoch, update_interval), maxiter, result)
    with checkpoint.stoppable():
        trainer.fit(
            endless_batches(x, batch_size, start=result.n_iter),
            initial_epoch=checkpoint.epoch,
            epochs=-(-maxiter // update_interval),
            steps_per_epoch=update_interval,
            shuffle=False,
            callbacks=[interval_end, intermediate_models, *callbacks, checkpoint],
            verbose=int(is_terminal(sys.stdout)),
        )
    result.seconds = checkpoint.seconds
    if save_dir:
        save_model(dec.model, save_dir / f"{dec.name}_model_final.h5", dec.attributes)
    dec.result = result
    checkpoint.end()
