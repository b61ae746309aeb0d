"""Initial centres of the clusters: k-means (DEC paper, section 3.1.3), or Gaussian mixtures, also on a manifold."""

import warnings
from contextlib import contextmanager
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import scipy.sparse
from scipy.stats import entropy
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from dec_keras import metrics
from dec_keras.console import Progress
from dec_keras.errors import InputError, check_choice

MANY_CODES = 100_000  # beyond this, k-means uses mini-batches; a mixture and UMAP are fitted to a sample
MINI_BATCH = 4096  # codes per mini-batch of k-means
SEPARATE = 0.5  # lowest mean silhouette of clusters that are not due to chance (Kaufman and Rousseeuw, 1990)
N_NEIGHBORS = 20  # neighbors in UMAP's graph, as in N2D
RESTARTS = 30  # number of fits of a mixture, of which the best is taken
SEARCH_CODES = 15_000  # size of the sample that compares a mixture's restarts


class Start(NamedTuple):
    """Where the clustering phase starts.

    Attributes:
        centers: centres of the clusters among the codes, shape `(k, d)`.
        labels: cluster of each sample, int array of shape `(n,)`.
        posterior: P until Q has learned it, float32 array of shape `(n, k)`; None: P follows eq. 3 from the beginning.
        silhouette: mean silhouette of the clusters on the manifold, in [-1, 1]; None for starts without a manifold.
    """

    centers: np.ndarray
    labels: np.ndarray
    posterior: np.ndarray | None = None
    silhouette: float | None = None


def kmeans_start(
    codes: np.ndarray | scipy.sparse.csr_matrix,
    n_clusters: int,
    seed: int | None = None,
    n_init: int = 20,
    verbose: int = 0,
) -> Start:
    """k-means on the codes: the restart of lowest inertia (DEC paper, sections 3.2 and 4.3: 20 restarts).

    More than `MANY_CODES` codes are clustered in mini-batches (Sculley, WWW 2010), with a printed note.

    Args:
        codes: array or CSR matrix of shape `(n, d)`.
        n_clusters: k, from 1 to n.
        seed: Random seed, an int, or None for NumPy's global random state.
        n_init: number of restarts.
        verbose: 0 prints only warnings and notes on large data; above 0 also shows the progress of long steps.

    Returns:
        Start.
    """
    kmeans = KMeans(n_clusters, n_init=n_init, random_state=seed)
    if codes.shape[0] > MANY_CODES:
        print(f"k-means in mini-batches, since there are more than {MANY_CODES} samples.")
        kmeans = MiniBatchKMeans(n_clusters, n_init=n_init, random_state=seed, batch_size=MINI_BATCH)
    with _repeatable():
        kmeans.fit(codes)
    if (found := len(np.unique(kmeans.labels_))) < n_clusters:
        print(f"Warning: k-means found only {found} different codes for {n_clusters} clusters: some will be empty.")
    return Start(kmeans.cluster_centers_, kmeans.labels_)


def gmm_start(codes: np.ndarray, n_clusters: int, seed: int | None = None, verbose: int = 0) -> Start:
    """A Gaussian mixture with full covariances on the codes: the restart that separates the codes best.

    The best restart has the highest ICL (Biernacki, Celeux, Govaert, PAMI 2000) for equal proportions: its likelihood,
    minus the entropy of its assignments, minus the likelihood's gain from unequal proportions, since DEC's Q and P have
    equal ones. The likelihood alone often merges two classes and splits another. The `RESTARTS`, half from k-means and
    half from random codes, are compared on a sample of `SEARCH_CODES`. The best one is then fitted to all codes, or,
    with a printed note, to a sample of `MANY_CODES`.

    Args, returns: as for `kmeans_start`; the centres are the components' means, the labels the likeliest components.

    Raises:
        InputError: if there are too few different codes for such a mixture.
    """
    mixture = _mixture(codes, n_clusters, seed, verbose)
    return Start(mixture.means_, _posterior(mixture, codes).argmax(axis=1))


def manifold_start(codes: np.ndarray, n_clusters: int, seed: int | None = None, verbose: int = 0) -> Start:
    """The mixture of `gmm_start` on a UMAP embedding of the codes, which unrolls clusters that are no ellipsoids.

    As in N2D (McConville et al., ICPR 2020), UMAP (McInnes, Healy, Melville, 2018) has as many dimensions as the codes,
    and min_dist 0. The centres are the means of the codes, weighted by the mixture's posterior. The nearest centre of a
    code is often not the mixture's cluster of this code, so P is the posterior at first, see `clustering.cluster`.

    UMAP is fitted to at most `MANY_CODES` codes and then embeds the others; it prints a note on this.

    Args, returns: as for `kmeans_start`, with a posterior and a silhouette; errors as for `gmm_start` and `umap_of`.
    """
    on_manifold = umap_of(np.asarray(codes), codes.shape[1], seed, verbose)
    posterior = _posterior(_mixture(on_manifold, n_clusters, seed, verbose), on_manifold)
    labels, centers = posterior.argmax(axis=1), posterior.T @ codes / posterior.sum(axis=0)[:, np.newaxis]
    sample = check_random_state(seed).permutation(len(codes))[: metrics.SILHOUETTE_SAMPLES]
    return Start(centers, labels, posterior, metrics.silhouette(on_manifold[sample], labels[sample]))


def auto_start(
    codes: np.ndarray,
    n_clusters: int,
    seed: int | None = None,
    on_manifold: Start | None = None,
    verbose: int = 0,
) -> Start:
    """`manifold_start` if its clusters are separate, else `kmeans_start`.

    Clusters are separate if their mean silhouette on the manifold is at least `SEPARATE`. UMAP and a mixture find
    clusters in any codes. In codes without gaps, such as those of text, they find others for every seed. At most
    `N_NEIGHBORS` samples are too few for UMAP and get `kmeans_start`.

    Args:
        on_manifold: result of `manifold_start`, if the caller has it already.
        others: as for `kmeans_start`.
    """
    if len(codes) <= N_NEIGHBORS:
        return kmeans_start(codes, n_clusters, seed, verbose=verbose)
    start = on_manifold or manifold_start(codes, n_clusters, seed, verbose=verbose)
    separate = (start.silhouette or 0) >= SEPARATE
    if verbose:
        verdict = "separate" if separate else "not separate"
        print(f"The clusters on the manifold are {verdict} (silhouette {start.silhouette:.2f}).")
    return start if separate else kmeans_start(codes, n_clusters, seed, verbose=verbose)


def umap_of(
    x: np.ndarray | scipy.sparse.csr_matrix,
    n_components: int,
    seed: int | None = None,
    verbose: int = 0,
) -> np.ndarray:
    """UMAP embedding of x, shape `(n, d)`, with min_dist 0 (see `manifold_start`): float32, `(n, n_components)`.

    Raises:
        InputError: if there are at most `N_NEIGHBORS` samples.
    """
    import umap  # here, since it takes seconds

    n = x.shape[0]
    if n <= N_NEIGHBORS:
        raise InputError(f"UMAP needs more than {N_NEIGHBORS} samples: start from k-means.")
    fitted = np.sort(check_random_state(seed).permutation(n)[:MANY_CODES])
    if verbose or n > MANY_CODES:
        print(f"UMAP is fitted to {f'{MANY_CODES} of ' if n > MANY_CODES else ''}{n} samples.", flush=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_jobs value", UserWarning)  # says that a seed means one thread, as intended
        mapper = umap.UMAP(n_neighbors=N_NEIGHBORS, min_dist=0.0, n_components=n_components, random_state=seed)
        on_manifold = np.empty((n, n_components), np.float32)
        on_manifold[fitted] = mapper.fit_transform(x[fitted])
        left = np.setdiff1d(np.arange(n), fitted)
        for start in range(0, len(left), MANY_CODES):
            part = left[start : start + MANY_CODES]
            on_manifold[part] = mapper.transform(x[part])
    return on_manifold


def _mixture(codes, n_clusters, seed, verbose):
    """The GaussianMixture that `gmm_start` describes."""
    random = check_random_state(seed)
    order = random.permutation(len(codes))
    if len(codes) > MANY_CODES:
        print(f"The mixture is fitted to {MANY_CODES} of the codes.")
    with _repeatable(), Progress("Mixture", RESTARTS, verbose=verbose) as progress:
        restarts = []
        for i in range(RESTARTS):
            restarts.append(_restart(codes[order[:SEARCH_CODES]], n_clusters, i, random))
            progress.rewrite(i + 1, f"restart {i + 1}/{RESTARTS}")
            progress.line(f"Mixture: restart {i + 1}/{RESTARTS}, {progress.left(i + 1)} left", is_due=i % 10 == 0)
        best = max(filter(None, restarts), key=itemgetter(0), default=None)
        if best is None:
            raise InputError(
                f"There are too few different codes for a mixture of {n_clusters} Gaussians: ask for fewer, or "
                "start from k-means."
            )
        return GaussianMixture(n_clusters, max_iter=300, **best[1]).fit(codes[np.sort(order[:MANY_CODES])])


def _posterior(mixture, codes):
    """The probability of each component for each code, float32 array of shape `(n, k)`."""
    with _repeatable():
        parts = [mixture.predict_proba(codes[i : i + MANY_CODES]) for i in range(0, len(codes), MANY_CODES)]
    return np.concatenate(parts).astype(np.float32)


def _restart(codes, n_clusters, i, random):
    """(ICL for equal proportions, parameters to continue the fit from) of one restart; None if it degenerates."""
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


STARTS = {"kmeans": kmeans_start, "gmm": gmm_start, "manifold": manifold_start, "auto": auto_start}


def check_start(start: str | Start, n: int) -> None:
    """Raises InputError unless `start` is a Start of n samples or names one of `STARTS`."""
    if not isinstance(start, Start):
        check_choice("start", start, STARTS)
    elif np.shape(start.labels) != (n,):
        raise InputError(f"start has labels of shape {np.shape(start.labels)} for {n} samples: give one a sample.")


@contextmanager
def _repeatable():
    """Uses one thread, since the sums of several threads differ in their last bits; hides ConvergenceWarning."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
