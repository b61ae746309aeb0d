"""Initial centres of the clusters: k-means or a Gaussian mixture on the codes (DEC paper, section 3.1.3)."""

import warnings
from contextlib import contextmanager
from operator import itemgetter

import numpy as np
import scipy.sparse
from scipy.stats import entropy
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from dec_keras.errors import InputError

MANY_CODES = 100_000  # past these k-means goes through the codes in mini-batches, and a mixture is fitted to a sample
MINI_BATCH = 4096  # codes, of k-means in mini-batches
SEARCH_CODES = 15_000  # among which a mixture's restarts are compared


def kmeans_start(
    codes: np.ndarray | scipy.sparse.csr_matrix, n_clusters: int, seed: int | None = None, n_init: int = 20
) -> tuple[np.ndarray, np.ndarray]:
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


def gmm_start(
    codes: np.ndarray, n_clusters: int, seed: int | None = None, n_init: int = 30
) -> tuple[np.ndarray, np.ndarray]:
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
        labels = np.concatenate([mixture.predict(codes[i : i + MANY_CODES]) for i in range(0, len(codes), MANY_CODES)])
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


def check_start(start: str) -> None:
    """Raises InputError unless `start` names one of `STARTS`."""
    if start not in STARTS:
        raise InputError(f"start is {start!r}: choose from {', '.join(STARTS)}.")


@contextmanager
def _repeatable():
    """One thread, since several would add up in any order, not to the same bits every run; and no warnings of that."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
