"""The seed repos' loaders of data sets; the module `datasets` has them all.

Each returns x, float32 array of shape `(n, d)`, and y, int64 array of shape `(n,)`, as `load_data` does,
scaled as in DEC-keras. The IDEC repo uses MNIST's pixels / 50, which is x * 5.1. The IDEC repo and IDEC-toy use USPS in
[0, 2], which is x * 2.

`data_path` is the folder of the files. If the default folder lacks them, the loader looks for them or downloads them as
`load_data` does. If another folder lacks them, it raises an InputError.
"""

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import numpy as np

from dec_keras.data import datasets
from dec_keras.data.samples import Samples

XY: TypeAlias = tuple[np.ndarray, np.ndarray]


def load_mnist() -> XY:
    """70,000 digits of 28 x 28 pixels, in [0, 1]; the IDEC repo's are these times 5.1."""
    return _load("mnist", "MNIST")


def load_fashion_mnist() -> XY:
    """70,000 articles of clothing of 28 x 28 pixels, in [0, 1]."""
    return _load("fmnist", "Fashion MNIST")


def load_usps(data_path: str | PathLike = "./data/usps") -> XY:
    """9,298 digits of 16 x 16 pixels, in [0, 1]; the IDEC repo's and IDEC-toy's are these times 2."""
    return _load("usps", "USPS", data_path)


def load_reuters(data_path: str | PathLike = "./data/reuters") -> XY:
    """10,000 documents x 2,000 words of RCV1, tf-idf of mean square 1; four classes."""
    return _load("reuters10k", "REUTERSIDF10K", data_path)


def load_stl(data_path: str | PathLike = "./data/stl") -> XY:
    """13,000 images of STL-10 as 4,096 features of VGG16, each in [0, 1]."""
    return _load("stl", "STL", data_path)


def load_pendigits(data_path: str | PathLike = "./data/pendigits") -> XY:
    """10,992 digits as 16 coordinates of a pen, in [0, 1]."""
    return _load("pendigits", "pendigits", data_path)


def _load(name: str, title: str, data_path: str | PathLike | None = None) -> XY:
    dataset = datasets.DATASETS[name]
    if data_path is not None:
        there = replace(dataset, only=Path(data_path))
        if there.find() != (None, None):
            dataset = there
        elif Path(data_path) != Path("data", dataset.folder):
            raise datasets.MissingData(there.missing([]))
    x, y = dataset.load()
    x = Samples(x).x
    print(f"{title} samples", x.shape)
    return x, y  # pyright: ignore[reportReturnType]  # these all have labels
