"""Data sets, under the seed repos' module name; see `dec_keras.data.datasets` and `dec_keras.seeds.data`."""

from dec_keras.data.datasets import MissingData, load_data
from dec_keras.seeds.data import load_fashion_mnist, load_mnist, load_pendigits, load_reuters, load_stl, load_usps

__all__ = [
    "MissingData",
    "load_data",
    "load_fashion_mnist",
    "load_mnist",
    "load_pendigits",
    "load_reuters",
    "load_stl",
    "load_usps",
]
