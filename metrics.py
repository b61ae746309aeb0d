"""Clustering quality, under the seed repos' module name; see `dec_keras.metrics`."""

from dec_keras.metrics import acc, ari, cluster_acc, match, nmi, scores, silhouette

__all__ = ["acc", "ari", "cluster_acc", "match", "nmi", "scores", "silhouette"]
