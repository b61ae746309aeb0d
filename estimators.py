"""DEC and IDEC as scikit-learn estimators, for Pipeline, GridSearchCV, pandas and pickle.

labels = DECClustering(n_clusters=10, random_state=0).fit_predict(X)
z = IDECClustering(n_clusters=10, random_state=0).fit_transform(X)
"""

import copy
import io
import random
import threading
import warnings
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from os import PathLike
from typing import ClassVar, Self, TypeAlias, cast

import keras
import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from DEC import DEC
from dec_keras import metrics
from dec_keras.data.samples import Samples
from dec_keras.files.models import load_weights
from dec_keras.method.clustering import ClusteringResult
from dec_keras.method.protocols import BATCH_SIZE, CHECKS, CODE_DIMS, MAXITER, TOL
from dec_keras.method.saved_model import load_model
from dec_keras.runs.config import RunConfig
from dec_keras.training.steps import OptimizerLike
from IDEC import IDEC

FITTING = threading.Lock()  # a process has its random states and its standard output only once

MatrixLike: TypeAlias = ArrayLike | scipy.sparse.spmatrix | scipy.sparse.sparray


# `dataclass` makes the constructors that scikit-learn asks for: one argument for each attribute.
@dataclass(eq=False, repr=False)
class DECClustering(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """Deep Embedded Clustering (Xie et al., ICML 2016): an autoencoder's code and its clusters, learned together.

    Pretrains the autoencoder, starts from k-means on its codes, and trains until `tol` or `maxiter`. X is not scaled:
    scale it to about [0, 1] first, for example with `MinMaxScaler` in a Pipeline. The defaults are those of the command
    line for your own data (protocol dec-keras, row "other" of `protocols`). The same seed gives the command line's
    result if X is scaled alike there, as with `--scale none`.

    Args:
        n_clusters: number of clusters k, at least 1. Default 10.
        dims: number of units of each encoder layer after the input, up to the code. Default (500, 500, 2000, 10).
        pretrain_epochs: epochs of pretraining. Default None: chosen by the number of samples, see `protocols.resolve`.
        pretrain_optimizer: a Keras optimizer, its name, or its serialised form. Default None: Adam(0.001).
        ae_weights: `.h5` file of an autoencoder with these dims, pretrained on X scaled alike; it replaces pretraining.
            A fit with `save_dir` writes one there, ae_weights.h5. Default None.
        optimizer: optimizer of the clustering phase, as for pretrain_optimizer. Default None: SGD(0.01, momentum 0.9).
        batch_size: samples per batch, in both phases. Default 256.
        maxiter: maximum number of batches of the clustering phase. Default 20,000.
        tol: stop when a smaller share of the labels than this changed since the last refresh of P. Default 0.001.
        update_interval: batches between two refreshes of P; 0: one epoch. Default None: see pretrain_epochs.
        save_dir: folder for the logs and models of `DEC.pretrain` and `DEC.fit`. Default None: nothing is written.
        start: initial centres: "kmeans", "gmm", "manifold" or "auto", see `initial_centers`. Default "kmeans".
        random_state: Random seed for weights, batches and k-means: int, RandomState or None. The same int gives the
            same result on one machine (on a GPU only after `tf.config.experimental.enable_op_determinism()`). A fit
            restores Python's and NumPy's global random states, but not TensorFlow's. Default None.
        verbose: 1 shows the progress of both phases, 2 prints the rows of their logs. Default 0.

    Attributes:
        labels_: cluster of each sample, int array of shape `(n,)`, values in 0..n_clusters-1.
        embedding_: codes z of the samples, float32 array of shape `(n, dims[-1])`.
        cluster_centers_: centres in the space of the codes, float32 array of shape `(n_clusters, dims[-1])`.
        n_iter_: number of batches that the clustering phase trained.
        stop_reason_: "tol" or "maxiter", the argument that ended the clustering phase.
        history_: rows of the clustering phase's log, one dict per refresh of P: iter, loss, delta_label.
        n_features_in_, feature_names_in_: number of features of X, and their names if all names are strings.

    Raises:
        InputError: (a ValueError) if an argument is out of range, in `fit`.
    """

    _method: ClassVar[type[DEC]] = DEC

    n_clusters: int = 10
    _: KW_ONLY
    dims: Sequence[int] = CODE_DIMS
    pretrain_epochs: int | None = None
    pretrain_optimizer: OptimizerLike | None = None
    ae_weights: str | PathLike | None = None
    optimizer: OptimizerLike | None = None
    batch_size: int = BATCH_SIZE
    maxiter: int = MAXITER
    tol: float = TOL
    update_interval: int | None = None
    start: str = "kmeans"
    save_dir: str | PathLike | None = None
    random_state: int | np.random.RandomState | None = None
    verbose: int = 0

    @classmethod
    def from_h5(cls, path: str | PathLike) -> Self:
        """A fitted estimator from a model that DEC.py, IDEC.py, or a fit with `save_dir` saved.

        It predicts as the saved model, if X is scaled as in training. The attributes that only a fit can set are
        missing: labels_, embedding_, n_iter_, stop_reason_, history_, feature_names_in_.

        Args:
            path: path of `DEC_model_final.h5` or `IDEC_model_final.h5`; both classes load the latter. The suffix may
                be left out.

        Raises:
            InputError: if the file is missing, or neither DEC nor IDEC saved it.
        """
        model = load_model(path)
        layer = model.get_layer("clustering")
        codes = [each.units for each in model.layers if each.name.startswith("encoder_")]
        dims = [model.input_shape[1], *codes]
        estimator = cls(layer.n_clusters, dims=tuple(codes))
        estimator._dec = cls._method(dims, layer.n_clusters, layer.alpha)
        estimator._dec.load_weights(path)
        estimator.cluster_centers_, estimator.n_features_in_ = estimator._dec.centers, dims[0]
        return estimator

    def fit(self, X: MatrixLike, y: object = None) -> Self:
        """Pretrains and clusters. Fits in several threads take turns.

        Args:
            X: samples of shape `(n, d)`, n at least n_clusters: array, DataFrame or sparse; converted to float32.
            y: ignored.

        Returns:
            self.

        Raises:
            ValueError: if X is invalid, or an argument is out of range.
            FloatingPointError: if the training diverges.
        """
        x = Samples(self._validated(X, reset=True))
        config = self._config().resolved(x.shape[0])
        with FITTING, _seeded(config.seed), nullcontext() if self.verbose else redirect_stdout(io.StringIO()):
            dims = [x.shape[1], *cast(Sequence[int], config.dims)]
            dec = self._method(dims, self.n_clusters, init=config.init, seed=config.seed)
            dec.compile(config.optimizer, **config.compile_arguments())
            if config.ae_weights is None:
                config.pretrain(dec, x, save_dir=self.save_dir, verbose=self.verbose)
            else:
                load_weights(dec.autoencoder, config.ae_weights)
            dec.fit(x, save_dir=self.save_dir, verbose=self.verbose, **config.fit_arguments())
        self._dec = dec
        result = cast(ClusteringResult, dec.result)  # None before `fit`
        self.labels_ = result.labels
        self.embedding_ = result.codes
        self.cluster_centers_ = dec.centers
        self.n_iter_, self.stop_reason_, self.history_ = result.n_iter, result.stop_reason, result.log
        if (found := len(np.unique(self.labels_))) < dec.n_clusters:
            what = f"Only {found} of {dec.n_clusters} clusters hold samples: ask for fewer, or pretrain longer."
            warnings.warn(what, ConvergenceWarning, stacklevel=2)
        return self

    def predict(self, X: MatrixLike) -> np.ndarray:
        """Clusters of samples, new ones too: int array of shape `(n,)` for X of shape `(n, d)`."""
        return self._fitted().predict(self._validated(X, reset=False))

    def predict_proba(self, X: MatrixLike) -> np.ndarray:
        """Soft assignment Q, DEC's `soft_labels`: float32 array of shape `(n, n_clusters)`, rows sum to 1."""
        return self._fitted().soft_labels(self._validated(X, reset=False))

    soft_labels = predict_proba

    def transform(self, X: MatrixLike) -> np.ndarray:
        """Codes z: float32 array of shape `(n, dims[-1])`, or a DataFrame after `set_output(transform="pandas")`."""
        return self._fitted().extract_features(self._validated(X, reset=False))

    extract_features = transform  # where DEC's name means the same

    def score(self, X: MatrixLike, y: object = None) -> float:
        """Mean silhouette of the predicted clusters of X, in the space of X: in [-1, 1], higher is better.

        The space of X is the same for every model, so GridSearchCV may compare numbers of clusters by this score. Each
        model learns its own codes, and the clustering phase pulls them together. Their silhouette rewards this pull and
        prefers few clusters: on digits it is 0.71 for 2 clusters and 0.61 for 10, while that of X is 0.11 and 0.18.
        KL(P || Q) also grows with the number of clusters. The score uses at most 2,000 samples, always the same ones. A
        single cluster, or one cluster per sample, has no silhouette and scores -1.

        Args:
            X: samples of shape `(n, d)`.
            y: ignored.
        """
        dec, x = self._fitted(), self._validated(X, reset=False)
        x = x[np.random.RandomState(0).permutation(x.shape[0])[: metrics.SILHOUETTE_SAMPLES]]
        return metrics.silhouette(x, dec.predict(x))

    def _config(self):
        """The RunConfig of the arguments, checked; optimizers are copied, since training changes them."""
        names = set(self.get_params(deep=False)) - {"save_dir", "random_state", "verbose"}
        given = {name: copy.deepcopy(getattr(self, name)) for name in names}
        return RunConfig(self._method.name, dataset="other", seed=_seed(self.random_state), **given)

    def _fitted(self):
        check_is_fitted(self)
        return self._dec

    def _validated(self, X, reset):
        """X as a float32 array or CSR matrix; with `reset` its features are stored, else compared."""
        return validate_data(self, X, reset=reset, accept_sparse="csr", dtype=np.float32)

    @property
    def _n_features_out(self):
        return self._dec.dims[-1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __getstate__(self):
        """Pickles dims and weights in place of the Keras models, which do not pickle together."""
        state = dict(super().__getstate__())
        if dec := state.pop("_dec", None):
            shape = {"dims": dec.dims, "n_clusters": dec.n_clusters, "alpha": dec.alpha}
            state["_model"] = shape | {"weights": dec.clusterer.get_weights()}
        return state

    def __setstate__(self, state):
        model = state.pop("_model", None)
        super().__setstate__(state)
        if model:
            self._dec = self._method(model["dims"], model["n_clusters"], model.get("alpha", 1.0))
            self._dec.clusterer.set_weights(model["weights"])


@dataclass(eq=False, repr=False, kw_only=True)
class IDECClustering(DECClustering):
    """Improved Deep Embedded Clustering (Guo et al., IJCAI 2017): DEC that keeps reconstructing X.

    Args:
        gamma: weight of the clustering loss beside the reconstruction's, at least 0. Default 0.1.
        optimizer: as for DECClustering, but default None: Adam(0.001).
        others: as for DECClustering.

    Attributes:
        history_: as DECClustering's, with L, Lc and Lr (total, clustering and reconstruction loss) in place of loss.
        others: as DECClustering's.
    """

    _method: ClassVar[type[DEC]] = IDEC

    gamma: float = 0.1


def _seed(random_state):
    """The seed that `random_state` stands for; an int is the seed itself, as on the command line."""
    if isinstance(random_state, Integral):
        return CHECKS["seed"]("random_state", random_state)
    return check_random_state(random_state).randint(np.iinfo(np.int32).max)


@contextmanager
def _seeded(seed):
    """Seeds Keras and all global random states; restores those of Python and NumPy at the end."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
