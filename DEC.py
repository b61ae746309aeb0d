"""Deep Embedded Clustering.

Junyuan Xie, Ross Girshick, Ali Farhadi. Unsupervised Deep Embedding for Clustering Analysis. ICML 2016.

    python DEC.py --dataset mnist
    python DEC.py --dataset usps --ae_weights results/ae_weights.h5
    python DEC.py mnist --ae_weights ae_weights/mnist_ae_weights.h5     (saves to results/dec)
    python DEC.py -h
"""

import zlib
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, ClassVar, cast

from dec_keras.runs.command_line import start_run

command_line = start_run("DEC") if __name__ == "__main__" else ()  # before Keras, which takes seconds to load

import keras
import numpy as np
from numpy.typing import ArrayLike

from dec_keras.data.samples import Samples, SamplesLike, check_labels
from dec_keras.errors import InputError, check_assigned
from dec_keras.files.models import load_weights
from dec_keras.files.run_folder import run_folder
from dec_keras.method.clustering import ClusteringResult, cluster
from dec_keras.method.initial_centers import Start, check_start
from dec_keras.method.model import ClusteringLayer, target_distribution
from dec_keras.method.pretraining import pretrain, pretrain_layerwise
from dec_keras.method.protocols import ADAM, checked, sgd
from dec_keras.metrics import cluster_acc
from dec_keras.seeds.models import SeedNames, autoencoder, seed_calls
from dec_keras.training.pipeline import predict
from dec_keras.training.steps import OptimizerLike, get_optimizer

__all__ = ["DEC", "ClusteringLayer", "autoencoder", "cluster_acc"]


class DEC(SeedNames):
    """The paper's model: the encoder of a stacked autoencoder, and a clustering layer on its code.

    The seed repos' method names and arguments work too: see `SeedNames` and `seed_calls` in `dec_keras.seeds.models`.

    Args:
        dims: number of units of each encoder layer, from the input to the code. The paper uses
            [d, 500, 500, 2000, 10].
        n_clusters: number of clusters k, at least 1 (all samples in one cluster). Default 10.
        alpha: degrees of freedom of Student's t distribution, > 0. Default 1, as in the paper.
        init: initializer of the autoencoder's kernels. Default "glorot_uniform".
        seed: Random seed for the start (k-means, mixture, UMAP) and for augmentation in `fit`, an int, or None for the
            global random states. Weights and batches follow `keras.utils.set_random_seed`: call it before. Layer-wise
            pretraining calls it itself, if seed is an int.
        batch_size: samples per batch of `clustering`, the IDEC repo's name for `fit`. Default 256.

    Attributes:
        autoencoder, encoder, model: Keras models x -> reconstruction, x -> code of shape `(n, dims[-1])`, and
            x -> soft assignment Q of shape `(n, n_clusters)`. They share their layers.
        result: `clustering.ClusteringResult` of the last `fit`; None before.
        pretrain_seconds: Time of the pretraining in seconds, including the parts before an interruption; None before.
        attributes: dict that every saved model file contains. The command line stores the data set, the protocol, the
            scale, and how a file of data was read.

    Raises:
        InputError: (a ValueError) if an argument is out of range, here and in every method.
    """

    name = "DEC"
    losses: ClassVar[dict[str, str]] = {"loss": "loss"}  # Keras' name of each loss, and its column in dec_log.csv

    @seed_calls
    def __init__(
        self,
        dims: Sequence[int],
        n_clusters: int = 10,
        alpha: float = 1.0,
        init: Any = "glorot_uniform",
        seed: int | None = None,
        batch_size: int = 256,
    ):
        self.n_clusters, self.batch_size = checked(n_clusters=n_clusters, batch_size=batch_size).values()
        self.seed = seed if seed is None else checked(seed=seed)["seed"]
        self.alpha = alpha
        self.autoencoder, self.encoder = autoencoder(dims, init=init)
        self.dims = [int(units) for units in dims]
        q = ClusteringLayer(self.n_clusters, alpha=alpha, name="clustering")(self.encoder.output)
        self.clusterer = keras.Model(self.encoder.input, q, name="DEC")
        self.assigner = keras.Model(self.encoder.input, [q, self.encoder.output], name="assigner")
        self.model = self._trained_model()
        self._random_weights = self._checksum()
        self.result: ClusteringResult | None = None
        self.pretrain_seconds: float | None = None
        self.attributes: dict[str, Any] = {}

    @seed_calls
    def pretrain(
        self,
        x: SamplesLike,
        y: ArrayLike | None = None,
        optimizer: OptimizerLike = ADAM,
        epochs: int = 200,
        batch_size: int = 256,
        save_dir: str | PathLike | None = None,
        schedule: str = "constant",
        callbacks: Sequence[keras.callbacks.Callback] = (),
        resume: bool = False,
        augment: bool = False,
        verbose: int = 1,
    ) -> None:
        """Pretrains the autoencoder end to end; see `pretraining.pretrain`, which has the same arguments.

        The default optimizer is Adam with the seed repos' epsilon (`protocols.ADAM`). Writes `pretrain_log.csv` and
        `ae_weights.h5` to `save_dir`, which is created if needed; None writes nothing. With `resume`, an interrupted
        training in `save_dir` continues, and a finished one gives its weights.
        """
        x, y = self._check(x, y)
        options = checked(epochs=epochs, batch_size=batch_size, schedule=schedule, verbose=verbose)
        options |= {"optimizer": get_optimizer(optimizer)}  # raises before the folder is created
        options |= {"augment": _check_images(x, augment), "callbacks": callbacks, "resume": resume}
        pretrain(self, x, y, folder=_folder(save_dir, resume), **options)

    def pretrain_layerwise(
        self,
        x: SamplesLike,
        y: ArrayLike | None = None,
        epochs: int | None = None,
        batch_size: int = 256,
        save_dir: str | PathLike | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        resume: bool = False,
        augment: bool = False,
        verbose: int = 1,
    ) -> None:
        """Pretrains the autoencoder as the paper does; see `pretraining.pretrain_layerwise`, with the same arguments.

        Writes `pretrain_layer_<i>_log.csv`, `pretrain_log.csv` and `ae_weights.h5` to `save_dir`, which is created if
        needed; None writes nothing.
        """
        x, y = self._check(x, y)
        options = checked(batch_size=batch_size, verbose=verbose)
        options |= {"epochs": None} if epochs is None else checked(epochs=epochs)
        options |= {"augment": _check_images(x, augment), "callbacks": callbacks, "resume": resume}
        pretrain_layerwise(self, x, y, folder=_folder(save_dir, resume), **options)

    @seed_calls
    def compile(self, optimizer: OptimizerLike | None = None, loss: str | Callable = "kld") -> None:
        """Sets the clustering phase's optimizer and loss, KL(P || Q) (paper, eq. 2).

        Args:
            optimizer: a Keras optimizer, its name, or its serialised form. Default SGD(0.01, 0.9), the paper's.
            loss: a Keras loss of P and Q.
        """
        self.model.compile(optimizer=get_optimizer(optimizer or sgd(0.01, 0.9)), loss=loss)

    @seed_calls
    def fit(
        self,
        x: SamplesLike,
        y: ArrayLike | None = None,
        maxiter: float = 2e4,
        batch_size: int = 256,
        tol: float = 1e-3,
        update_interval: int = 140,
        save_dir: str | PathLike | None = None,
        start: str | Start = "kmeans",
        callbacks: Sequence[keras.callbacks.Callback] = (),
        resume: bool = False,
        augment: bool = False,
        save_models: bool = False,
        verbose: int = 1,
        schedule: str = "constant",
    ) -> np.ndarray:
        """Runs the clustering phase on the pretrained encoder; see `clustering.cluster`, which has the same arguments.

        Writes `dec_log.csv`, `DEC_model_0.h5` (the start) and `DEC_model_final.h5` to `save_dir`, which is created if
        needed, and with `save_models` also `DEC_model_<batches>.h5` every five epochs; None writes nothing. Calls
        `compile()` if the model is not compiled. A second `fit` keeps the optimizer's state: call `compile` before it
        to reset the state. Warns if the encoder still has its random initial weights.

        Returns:
            cluster of each sample, int array of shape `(n,)`, values in 0..n_clusters-1.
        """
        x, y = self._check(x, y)
        check_start(start, x.shape[0])
        if x.shape[0] < self.n_clusters:
            raise InputError(f"There are {x.shape[0]} samples for {self.n_clusters} clusters: ask for fewer clusters.")
        options = checked(maxiter=maxiter, batch_size=batch_size, tol=tol, update_interval=update_interval)
        options |= checked(schedule=schedule, verbose=verbose)
        options |= {"augment": _check_images(x, augment), "callbacks": callbacks, "resume": resume}
        if not self.model.compiled:
            self.compile()
        if not self.pretrained and self._checksum() == self._random_weights:
            print(
                "Warning: the autoencoder was never pretrained, so these are clusters of random codes: call pretrain "
                "first, or load weights, dec.autoencoder.load_weights('ae_weights.h5')."
            )
        cluster(self, x, y, folder=_folder(save_dir, resume), start=start, save_models=save_models, **options)
        return cast(ClusteringResult, self.result).labels

    def predict(self, x: SamplesLike) -> np.ndarray:
        """Clusters of samples, new ones too: int array of shape `(n,)`, argmax of Q, for x of shape `(n, d)`."""
        return self.soft_labels(x).argmax(axis=1)

    def soft_labels(self, x: SamplesLike) -> np.ndarray:
        """Soft assignment Q: float32 array of shape `(n, n_clusters)`, rows sum to 1, for x of shape `(n, d)`."""
        q = predict(self.clusterer, self._check(x)[0])
        check_assigned(q)
        return q

    def extract_features(self, x: SamplesLike) -> np.ndarray:
        """Codes z: float32 array of shape `(n, dims[-1])`, for x of shape `(n, d)`."""
        return predict(self.encoder, self._check(x)[0])

    @property
    def centers(self) -> np.ndarray:
        """Centres of the clusters among the codes: float32 array of shape `(n_clusters, dims[-1])`."""
        return self.model.get_layer("clustering").get_weights()[0]

    @seed_calls
    def load_weights(self, weights: str | PathLike) -> None:
        """Loads `DEC_model_final.h5`, or a `.h5` file of weights by Keras 2; see `files.models.load_weights`."""
        load_weights(self.model, weights)

    target_distribution = staticmethod(target_distribution)

    @staticmethod
    def targets(x: Any, p: Any) -> Any:
        """The targets of the model's outputs in a training step, for a batch of x and its rows of P."""
        return p

    def _trained_model(self) -> keras.Model:
        """The model that the clustering phase trains and saves: x -> Q."""
        return self.clusterer

    def _checksum(self) -> int:
        """CRC-32 of the encoder's weights."""
        return zlib.crc32(b"".join(weight.tobytes() for weight in self.encoder.get_weights()))

    def _check(self, x: SamplesLike, y: ArrayLike | None = None) -> tuple[Samples, np.ndarray | None]:
        x = Samples.of(x)
        y = check_labels(y, len(x))
        if x.shape[1] != self.dims[0]:
            raise InputError(f"x has {x.shape[1]} features and the model takes {self.dims[0]}.")
        return x, y


def _check_images(x, augment):
    """Returns `augment` as a bool; raises InputError if it is true and x holds no images."""
    if augment and x.image_shape is None:
        raise InputError(
            "augment shifts and rotates images, and x is not known to be any: give x of shape (samples, height, width) "
            "or (samples, height, width, 3), or leave augment out."
        )
    return bool(augment)


def _folder(save_dir, resume):
    """The RunFolder of `save_dir`, or None."""
    if resume and save_dir is None:
        raise InputError("resume goes on from the files in save_dir: give that folder.")
    return run_folder(save_dir)


if __name__ == "__main__":
    from dec_keras.runs.run import run_script

    run_script(DEC, *command_line)
