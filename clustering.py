"""The clustering phase that DEC and IDEC share: soft assignment Q, target distribution P, k-means start and the loop.

The loop is one Keras `fit`. Its "epoch" is one update interval; its data are batches of sample *indices*, in order and
never shuffled; the training step gathers x and P by them. P can so be refreshed in place between two intervals:
gathered in the data pipeline it would be stale, since the pipeline reads ahead.
"""

import csv
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

import metrics
from files import InputError, check_number, check_whole, save_model

if keras.backend.backend() != "tensorflow":
    raise ImportError("DEC needs Keras' TensorFlow backend: set KERAS_BACKEND=tensorflow before you start Python.")

GMM_CODES = 100_000
PREDICT_BATCH = 4096  # samples; Keras' default of 32 makes a refresh of P several times slower


def batches_per_epoch(x, batch_size):
    """Batches that hold every row of x once, the last one partial where batch_size does not divide them."""
    return -(-len(x) // batch_size)


def get_optimizer(optimizer):
    """`keras.optimizers.get` for a name, an optimizer or its serialised form, a dict that Keras would change."""
    return keras.optimizers.get(dict(optimizer) if isinstance(optimizer, dict) else optimizer)


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

    Args:
        codes: array of shape `(n, d)`.
        n_clusters: k, from 1 to n.
        seed: int, or None for NumPy's global random state.
        n_init: number of restarts.

    Returns:
        centers of shape `(k, d)` and labels of shape `(n,)`.
    """
    distinct = len(np.unique(codes, axis=0))
    if distinct < n_clusters:
        print(f"Warning: only {distinct} different codes for {n_clusters} clusters: some clusters will be empty.")
    with threadpool_limits(1, user_api="openmp"), warnings.catch_warnings():
        # one thread, since several would add up in any order: not the same bits every run
        warnings.simplefilter("ignore", ConvergenceWarning)  # says what was said above
        kmeans = KMeans(n_clusters, n_init=n_init, random_state=seed).fit(codes)
    return kmeans.cluster_centers_, kmeans.labels_


def gmm_start(codes, n_clusters, seed=None):
    """A mixture of Gaussians with full covariances on the codes: the likeliest of eight starts.

    Args:
        codes: array of shape `(n, d)`; it is fitted to 100,000 of them where there are more.
        n_clusters: k, from 2 to n.
        seed: int, or None for NumPy's global random state.

    Returns:
        centers of shape `(k, d)` and labels of shape `(n,)`.
    """
    mixture = GaussianMixture(n_clusters, covariance_type="full", n_init=8, max_iter=300, random_state=seed)
    some = codes
    if len(codes) > GMM_CODES:
        some = codes[np.random.RandomState(seed).choice(len(codes), GMM_CODES, replace=False)]
    with threadpool_limits(1), warnings.catch_warnings():  # one thread, as for k-means
        warnings.simplefilter("ignore", ConvergenceWarning)  # 300 iterations are near enough
        mixture.fit(some)
        return mixture.means_, mixture.predict(codes)


def check_finite(values, what):
    """Raises FloatingPointError, with what to do, unless all of `values` are finite."""
    if not np.all(np.isfinite(values)):
        raise FloatingPointError(
            f"Training diverged: {what} is no longer a number; "
            "scale the data to about [0, 1] (no huge values), or lower the optimizer's learning rate."
        )


@dataclass
class ClusteringResult:
    """What the clustering phase found.

    Attributes:
        labels: final cluster of each sample, int array of shape `(n,)`, values in 0..k-1.
        start_labels: the same at the k-means start.
        n_iter: batches trained.
        stop_reason: "tol" (fewer than tol of the labels changed in an interval) or "maxiter".
        log: the log's rows, one dict an interval.
    """

    labels: np.ndarray = None
    start_labels: np.ndarray = None
    n_iter: int = 0
    stop_reason: str = "maxiter"
    log: list = field(default_factory=list)


class IndexTrainer(keras.Model):
    """Lets Keras' `fit` train a compiled `model` on batches of sample indices, which it turns into inputs and targets.

    Args:
        model: a compiled Keras model.
        gather: takes an int64 tensor of sample indices, returns the batch's (inputs, targets).
    """

    def __init__(self, model, gather):
        super().__init__()
        self.trained, self.gather = model, gather
        self.built = True
        self.compile(optimizer=model.optimizer)

    @property
    def metrics(self):  # what `fit` resets and reports
        return self.trained.metrics

    def train_step(self, indices):
        return self.trained.train_step(self.gather(indices))


class _IntervalEnd(keras.callbacks.Callback):
    """At the start and after every interval: predicts Q, logs a row, refreshes P, and stops the training on `tol`."""

    def __init__(self, dec, x, y, start_labels, tol, maxiter, log_file):
        super().__init__()
        self.dec, self.x, self.y, self.tol, self.maxiter = dec, x, y, tol, maxiter
        self.p = tf.Variable(tf.zeros((len(x), dec.n_clusters)), trainable=False)
        self.result = ClusteringResult(labels=start_labels, start_labels=start_labels)
        self.log_file = log_file
        self.writer = csv.DictWriter(log_file, ["iter", "acc", "nmi", "ari", *dec.losses.values(), "delta_label"])
        self.writer.writeheader()

    def on_train_begin(self, logs=None):
        self.refresh({})

    def on_train_batch_end(self, batch, logs=None):
        self.result.n_iter += 1

    def on_epoch_end(self, epoch, logs=None):
        check_finite(logs["loss"], "the loss")
        if self.refresh(logs) < self.tol and self.result.n_iter < self.maxiter:
            self.result.stop_reason = "tol"
            self.model.stop_training = True

    def refresh(self, logs):
        """Returns the share of labels that changed since the last refresh."""
        q = self.dec.soft_labels(self.x)
        check_finite(q, "the soft assignment")
        self.p.assign(target_distribution(q))
        labels = q.argmax(axis=1)
        delta_label = float(np.mean(labels != self.result.labels))
        self.result.labels = labels
        self.write_row(logs, delta_label)
        return delta_label

    def write_row(self, logs, delta_label):
        row = {"iter": self.result.n_iter}
        if self.y is not None:
            row |= metrics.scores(self.y, self.result.labels)
        row |= {column: logs[name] for name, column in self.dec.losses.items() if name in logs}
        row |= {"delta_label": delta_label}
        row = {name: round(float(value), 5) if name != "iter" else value for name, value in row.items()}
        print(f"Iter {row['iter']}:", ", ".join(f"{k} = {v:.5f}" for k, v in row.items() if k != "iter"), flush=True)
        self.result.log.append(row)
        self.writer.writerow(row)
        self.log_file.flush()


class _EveryFiveEpochs(keras.callbacks.Callback):
    """Saves the model before the first batch and then every five epochs; ends the training after `maxiter` batches."""

    def __init__(self, dec, save_dir, save_interval, maxiter, result):
        super().__init__()
        self.dec, self.save_dir, self.result = dec, save_dir, result
        self.save_interval, self.maxiter = save_interval, maxiter

    def on_train_begin(self, logs=None):
        self.save()

    def on_train_batch_end(self, batch, logs=None):
        if self.result.n_iter % self.save_interval == 0:
            check_finite(logs["loss"], "the loss")
            self.save()
        if self.result.n_iter == self.maxiter:
            self.model.stop_training = True

    def save(self):
        path = self.save_dir / f"{self.dec.name}_model_{self.result.n_iter}.h5"
        save_model(self.dec.model, path, self.dec.attributes)


def cluster(dec, x, y=None, *, maxiter, batch_size, tol, update_interval, save_dir):
    """Runs the clustering phase (DEC paper, section 3.1): k-means start, then KL(P || Q) until `tol` or `maxiter`.

    Args:
        dec: a DEC or IDEC, compiled, its autoencoder pretrained; its model is trained in place.
        x: samples, float32 array of shape `(n, d)`.
        y: true labels of shape `(n,)`, or None; they score the log's rows and change nothing else.
        maxiter: most batches to train, at least 1.
        batch_size: samples a batch, at least 1; batches go through x in order.
        tol: stop when a smaller share of the labels than this, in [0, 1], changed since the last refresh of P.
        update_interval: batches between two refreshes of P; 0 = one epoch.
        save_dir: existing folder for the log, the model every five epochs, and the final model.

    Returns:
        ClusteringResult.

    Raises:
        FloatingPointError: if the training diverges; the last good intermediate model stays in `save_dir`.
    """
    save_dir = Path(save_dir)
    epoch = batches_per_epoch(x, batch_size)
    update_interval = update_interval or epoch

    centers, start_labels = kmeans_start(dec.extract_features(x), dec.n_clusters, dec.seed)
    dec.model.get_layer("clustering").set_weights([centers])

    with open(save_dir / f"{dec.name.lower()}_log.csv", "w", newline="") as log_file:
        interval_end = _IntervalEnd(dec, x, y, start_labels, tol, maxiter, log_file)
        result, samples = interval_end.result, tf.constant(x)

        def gather(indices):
            batch = tf.gather(samples, indices)
            return batch, dec.targets(batch, tf.gather(interval_end.p, indices))

        IndexTrainer(dec.model, gather).fit(
            tf.data.Dataset.range(len(x)).batch(batch_size).repeat(),
            epochs=-(-maxiter // update_interval),
            steps_per_epoch=update_interval,
            shuffle=False,
            callbacks=[interval_end, _EveryFiveEpochs(dec, save_dir, 5 * epoch, maxiter, result)],
            verbose=1 if sys.stdout.isatty() else 0,
        )
    save_model(dec.model, save_dir / f"{dec.name}_model_final.h5", dec.attributes)
    return result
