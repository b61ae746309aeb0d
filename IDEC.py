"""Improved Deep Embedded Clustering: DEC that keeps its decoder and goes on reconstructing x.

Xifeng Guo, Long Gao, Xinwang Liu, Jianping Yin. Improved Deep Embedded Clustering with Local Structure Preservation.
IJCAI 2017.

    python IDEC.py mnist --ae_weights ae_weights/mnist_ae_weights.h5       (saves to results/idec)
    python IDEC.py usps --ae_weights ae_weights/usps_ae_weights --update_interval 30
    python IDEC.py --dataset usps                                          (pretrains first; saves to results)
    python IDEC.py -h
"""

from typing import Any, ClassVar

from dec_keras.runs.command_line import start_run

command_line = start_run("IDEC") if __name__ == "__main__" else ()  # before Keras, which takes seconds to load

import keras

from DEC import DEC, ClusteringLayer, autoencoder, cluster_acc
from dec_keras.method.protocols import ADAM, checked
from dec_keras.seeds.models import IDECSeedNames, seed_calls
from dec_keras.training.steps import OptimizerLike, get_optimizer

__all__ = ["IDEC", "ClusteringLayer", "autoencoder", "cluster_acc"]


class IDEC(IDECSeedNames, DEC):
    """The IDEC paper's model (section 3): DEC whose loss is the reconstruction error plus gamma times KL(P || Q).

    Args:
        dims, n_clusters, alpha, init, seed, batch_size: as for DEC.

    Attributes:
        model: Keras model x -> [Q of shape `(n, n_clusters)`, reconstruction of shape `(n, d)`]; its outputs are named
            clustering and decoder_0.
        others: as DEC's.
    """

    name = "IDEC"
    losses: ClassVar[dict[str, str]] = {"loss": "L", "clustering_loss": "Lc", "decoder_0_loss": "Lr"}

    def _trained_model(self) -> keras.Model:
        """The model that the clustering phase trains and saves: x -> [Q, reconstruction]."""
        outputs = [self.clusterer.output, self.autoencoder.output]
        return keras.Model(self.autoencoder.input, outputs, name=self.name)

    @staticmethod
    def targets(x: Any, p: Any) -> Any:
        return p, x

    @seed_calls
    def compile(self, optimizer: OptimizerLike = ADAM, gamma: float = 0.1) -> None:
        """Sets the clustering phase's optimizer and loss, MSE + gamma KL(P || Q).

        Args:
            optimizer: a Keras optimizer, its name, or its serialised form. Default Adam(0.001), the paper's for
                MNIST, with the seed repos' epsilon (`protocols.ADAM`).
            gamma: weight of the clustering loss, at least 0. Default 0.1, the paper's.
        """
        weights = [checked(gamma=gamma)["gamma"], 1.0]
        self.model.compile(optimizer=get_optimizer(optimizer), loss=["kld", "mse"], loss_weights=weights)


if __name__ == "__main__":
    from dec_keras.runs.run import run_script

    run_script(IDEC, *command_line)
