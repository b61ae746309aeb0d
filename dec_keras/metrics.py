"""Clustering quality: ACC, NMI and ARI with true labels, each 1.0 at best; the silhouette without labels.

ACC, NMI and ARI compare two partitions: the clusters may have other names and another number than the classes.
"""

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score
from sklearn.metrics.cluster import contingency_matrix

UNSURE = 0.5  # if a sample's highest q is below, no cluster has most of the sample
SILHOUETTE_SAMPLES = 2000  # most samples of a silhouette, since it compares all pairs


def acc(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Unsupervised clustering accuracy (DEC paper, eq. 10).

    The share of samples that are right under the best one-to-one matching of clusters to classes, found with the
    Hungarian algorithm.

    Args:
        y_true: true labels, shape `(n_samples,)`, integers or strings.
        y_pred: cluster labels, shape `(n_samples,)`, integers or strings.

    Returns:
        float in [0, 1].

    Raises:
        ValueError: if the labels are empty, not 1-D, of different lengths, or hold NaN.
    """
    counts, _, _, pairs = match(y_true, y_pred)
    return float(sum(counts[pair] for pair in pairs) / counts.sum())


cluster_acc = acc  # its name in the IDEC repo


def match(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """The one-to-one matching of clusters to classes that `acc` scores: the one with most samples in matched pairs.

    Arguments and errors as for `acc`.

    Returns:
        counts: samples of each class (row) in each cluster (column), int array.
        classes, clusters: the class of each row and the cluster of each column, sorted arrays.
        pairs: list of matched (row, column).
    """
    y_true, y_pred = _check_labels(y_true, y_pred)
    counts = contingency_matrix(y_true, y_pred)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return counts, np.unique(y_true), np.unique(y_pred), list(zip(rows.tolist(), columns.tolist(), strict=True))


def nmi(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Normalised mutual information, arithmetic mean of the entropies (scikit-learn's default), in [0, 1].

    Arguments and errors as for `acc`.
    """
    return float(normalized_mutual_info_score(*_check_labels(y_true, y_pred)))


def ari(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Adjusted Rand index: 0 on average for random labels, at most 1, can be negative.

    Arguments and errors as for `acc`.
    """
    return float(adjusted_rand_score(*_check_labels(y_true, y_pred)))


SCORES = {"acc": acc, "nmi": nmi, "ari": ari}


def scores(y_true: ArrayLike, y_pred: ArrayLike) -> dict[str, float]:
    """All three scores as a dict `{"acc": ..., "nmi": ..., "ari": ...}`; arguments and errors as for `acc`."""
    return {name: score(y_true, y_pred) for name, score in SCORES.items()}


def silhouette(points: np.ndarray | scipy.sparse.csr_matrix, labels: np.ndarray) -> float:
    """Mean silhouette of clusters, in [-1, 1]; -1 if undefined: all samples in one cluster, or each in its own.

    Args:
        points: array or CSR matrix of shape `(n, d)`; all pairs of points are compared.
        labels: cluster of each point, shape `(n,)`.
    """
    return float(silhouette_score(points, labels)) if 1 < len(np.unique(labels)) < len(labels) else -1.0


def confidence(q: np.ndarray) -> tuple[float, float]:
    """The mean of the samples' highest q, and the share of samples whose highest q is below `UNSURE`.

    Args:
        q: soft assignments of shape `(n, k)`, rows sum to 1.
    """
    highest = q.max(axis=1)
    return float(highest.mean(dtype=np.float64)), float(np.mean(highest < UNSURE))


def _check_labels(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    for name, labels in (("y_true", y_true), ("y_pred", y_pred)):
        if labels.ndim != 1 or labels.size == 0:
            raise ValueError(f"{name} must hold one label a sample, shape (n_samples,), not shape {labels.shape}.")
        if labels.dtype.kind == "f" and np.isnan(labels).any():
            raise ValueError(f"{name} holds NaN: leave out the samples that have no label.")
    if len(y_true) != len(y_pred):
        raise ValueError(f"y_true has {len(y_true)} labels and y_pred has {len(y_pred)}: they must be as many.")
    return y_true, y_pred
