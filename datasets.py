"""Data sets, under the seed repos' module name; see `dec_keras.data.datasets` and `dec_keras.seeds.data`.

Names that this module lacks come from the next `datasets` on `sys.path`, such as Hugging Face's package.
"""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

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


def __getattr__(name):
    here = Path(__file__).resolve().parent
    behind = [folder for folder in sys.path if Path(folder).resolve() != here]
    spec = None if name.startswith("__") else PathFinder.find_spec(__name__, behind)
    if spec is None or spec.loader is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    this = sys.modules[__name__]
    package = sys.modules[__name__] = module_from_spec(spec)  # the package's modules import it under this name
    try:
        spec.loader.exec_module(package)
    except BaseException:
        sys.modules[__name__] = this
        raise
    for own in __all__:
        vars(package).setdefault(own, getattr(this, own))
    return getattr(package, name)
