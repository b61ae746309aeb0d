from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from dec_keras import metrics


def brute_force_acc(y_true, y_pred, k):
    return max(np.mean(np.array(order)[y_pred] == y_true) for order in permutations(range(k)))


@pytest.mark.parametrize("k", [2, 3, 5, 6])
def test_acc_agrees_with_brute_force_over_permutations(k):
    rng = np.random.default_rng(k)
    for _ in range(20):
        y_true, y_pred = rng.integers(k, size=(2, 40))
        assert metrics.acc(y_true, y_pred) == pytest.approx(brute_force_acc(y_true, y_pred, k))


def test_scores_do_not_depend_on_the_clusters_names():
    y = np.array([0, 0, 1, 1, 2, 2])
    assert metrics.scores(y, (y + 1) % 3) == {"acc": 1.0, "nmi": 1.0, "ari": 1.0}


@pytest.mark.parametrize(
    ("y_true", "y_pred", "expected"),
    [
        ([0, 0, 1, 1], [0, 1, 2, 3], 0.5),  # more clusters than classes
        ([0, 1, 2, 3], [0, 0, 0, 0], 0.25),  # one cluster
        ([-1, -1, 7, 7], [5, 5, 5, 900], 0.75),  # labels that are not 0..k-1
        (["a", "a", "b"], [1, 1, 0], 1.0),
        ([3], [5], 1.0),
    ],
)
def test_acc_of_partitions_of_any_size_and_names(y_true, y_pred, expected):
    assert metrics.acc(np.array(y_true), np.array(y_pred)) == expected


def test_nmi_and_ari_of_independent_labels_are_zero():
    y_true, y_pred = np.repeat([0, 1], 50), np.tile([0, 1], 50)
    assert metrics.nmi(y_true, y_pred) == pytest.approx(0, abs=1e-12)
    assert metrics.ari(y_true, y_pred) == pytest.approx(-1 / 99, abs=1e-3)


def test_silhouette_is_scikit_learns_where_there_are_two_clusters_and_fewer_than_samples():
    points = np.array([[0.0], [1.0], [9.0]])
    assert metrics.silhouette(points, [0, 0, 1]) == pytest.approx(silhouette_score(points, [0, 0, 1]))
    assert metrics.silhouette(points, [0, 0, 0]) == -1
    assert metrics.silhouette(points, [0, 1, 2]) == -1


def test_cluster_acc_is_acc():
    assert metrics.cluster_acc is metrics.acc


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        ([0, 1], [0, 1, 1], "2 labels and y_pred has 3"),
        ([], [], "y_true must hold one label a sample"),
        ([[0, 1]], [0, 1], "shape"),
        ([0.0, float("nan")], [0, 1], "y_true holds NaN"),
    ],
)
@pytest.mark.parametrize("score", [metrics.acc, metrics.nmi, metrics.ari])
def test_bad_labels_are_told(score, y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        score(y_true, y_pred)
