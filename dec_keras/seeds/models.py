"""Method names and arguments of DEC and IDEC in the seed repos: XifengGuo's DEC-keras, IDEC and IDEC-toy."""

import functools
import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import keras
import numpy as np

from dec_keras.errors import InputError, check_number
from dec_keras.files.models import load_weights
from dec_keras.method import model as networks
from dec_keras.method.protocols import ADAM
from dec_keras.training.steps import get_optimizer

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Networks(tuple):
    """(autoencoder, encoder), as in DEC-keras, that also works as the autoencoder alone, as in IDEC and IDEC-toy.

    A call and the attributes go to the autoencoder.
    """

    def __call__(self, *args, **options):
        return self[0](*args, **options)

    def __getattr__(self, name):
        return getattr(self[0], name)

    def __setattr__(self, name, value):
        setattr(self[0], name, value)


@functools.wraps(networks.autoencoder)
def autoencoder(dims: Sequence[int], act: str = "relu", init: Any = "glorot_uniform") -> Networks:
    return Networks(networks.autoencoder(dims, act, init))


class SeedNames:
    """DEC's attributes and methods by the seed repos' names; arguments and results are those of the methods called."""

    _pretrained = False

    @property
    def input_dim(self):
        return self.dims[0]

    @property
    def n_stacks(self):
        """Number of the encoder's layers."""
        return len(self.dims) - 1

    @property
    def pretrained(self):
        """Whether `pretrain` or `pretrain_layerwise` has trained the autoencoder; can be set after loading weights."""
        return self._pretrained or self.pretrain_seconds is not None

    @pretrained.setter
    def pretrained(self, value):
        self._pretrained = value

    @property
    def y_pred(self):
        """Cluster of each sample in the last `fit`, int array of shape `(n,)`; None before."""
        return None if self.result is None else self.result.labels

    def initialize_model(self, optimizer, ae_weights=None):
        """Loads a pretrained autoencoder, if one is given, and compiles."""
        if ae_weights is not None:
            load_weights(self.autoencoder, ae_weights)
        self.compile(optimizer)

    def clustering(self, x, y=None, tol=1e-3, update_interval=140, maxiter=2e4, save_dir="./results/dec"):
        """`fit` with the constructor's batch size."""
        lengths = {"maxiter": maxiter, "batch_size": self.batch_size, "update_interval": update_interval}
        return self.fit(x, y, tol=tol, save_dir=save_dir, **lengths)

    def predict_clusters(self, x):
        return self.predict(x)

    def extract_feature(self, x):
        return self.extract_features(x)

    def _compile_by_losses(self, loss="kld", optimizer=ADAM):
        self.compile(optimizer, loss)


class IDECSeedNames(SeedNames):
    """The methods of IDEC that differ from those of DEC."""

    def initialize_model(self, ae_weights=None, gamma=0.1, optimizer=ADAM):
        """Loads a pretrained autoencoder, if one is given, and compiles."""
        if ae_weights is not None:
            load_weights(self.autoencoder, ae_weights)
        self.compile(optimizer, gamma)

    def clustering(self, x, y=None, tol=1e-3, update_interval=140, maxiter=2e4, save_dir="./results/idec"):
        """`fit` with the constructor's batch size."""
        return super().clustering(x, y, tol, update_interval, maxiter, save_dir)

    def _compile_by_losses(self, loss=("kld", "mse"), loss_weights=(1, 1), optimizer=ADAM):
        loss = _of_both_outputs("loss", loss)
        weights = [
            check_number("a weight of loss_weights", weight, at_least=0)
            for weight in _of_both_outputs("loss_weights", loss_weights)
        ]
        self.model.compile(optimizer=get_optimizer(optimizer), loss=loss, loss_weights=weights)


def seed_calls(method: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Lets a method of DEC or IDEC accept its arguments in the seed repos as well as its own."""
    translate = _CALLS[method.__name__]

    @functools.wraps(method)
    def with_old_arguments(self, *args, **options):
        call = translate(self, *args, **options)
        return None if call is None else method(self, *call[0], **call[1])

    return with_old_arguments


# Each takes the arguments of a call and returns those of our method, a tuple and a dict; None if no call is needed.


def _construct(dec, dims, *args, **options):
    """DEC-keras: (dims, n_clusters, alpha, init). IDEC: (dims, n_clusters, alpha, batch_size)."""
    if len(args) > 2 and _is_whole(args[2]):
        options["batch_size"] = args[2]
        args = args[:2] + args[3:]
    return (dims, *args), options


def _pretrain(dec, x, *args, **options):
    """DEC-keras: (x, y, optimizer, epochs, batch_size, save_dir). IDEC-toy: (x, batch_size, epochs, optimizer)."""
    if args and _is_whole(args[0]):
        names = ("batch_size", "epochs", "optimizer")
        return (x,), dict(zip(names, args, strict=False)) | options
    _refuse_samples(x, args[0] if args else options.get("y"))
    return (x, *args), options


def _compile(dec, *args, **options):
    """DEC-keras: (optimizer, loss). IDEC-toy's DEC: (loss, optimizer); its IDEC: (loss, loss_weights, optimizer)."""
    of_toy = (args and _is_loss(args[0])) or "loss_weights" in options
    if of_toy or ("loss" in options and isinstance(dec, IDECSeedNames)):
        if "gamma" in options:
            raise InputError("compile is given gamma and losses: give gamma, or loss and loss_weights=[gamma, 1].")
        dec._compile_by_losses(*args, **options)
        return None
    return args, options


def _fit(dec, x, y=None, *args, **options):
    """DEC-keras: (x, y, maxiter, batch_size, ...). IDEC-toy: (x, y, batch_size, maxiter, ..., ae_weights, save_dir)."""
    _refuse_samples(x, y)
    numeric = len(args) > 1 and all(isinstance(arg, numbers.Real) for arg in args[:2])
    if numeric and args[0] < args[1] >= 1000:  # few batches of many samples: maybe IDEC-toy's order
        raise InputError(
            f"fit has {args[0]} and {args[1]} by position, which are maxiter and batch_size for DEC-keras, but "
            "batch_size and maxiter for IDEC-toy: name them."
        )
    if "ae_weights" in options:
        ae_weights = options.pop("ae_weights")
        if ae_weights is not None:
            load_weights(dec.autoencoder, ae_weights)
        elif not dec.pretrained:
            dec.pretrain(x, **{name: options[name] for name in ("batch_size", "save_dir") if name in options})
    return (x, y, *args), options


def _load_weights(dec, weights=None, weights_path=None):
    """DEC-keras: (weights). IDEC, IDEC-toy: (weights_path)."""
    return (weights_path if weights is None else weights,), {}


_CALLS = {
    "__init__": _construct,
    "pretrain": _pretrain,
    "compile": _compile,
    "fit": _fit,
    "load_weights": _load_weights,
}


def _is_whole(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_loss(value):
    if isinstance(value, list | tuple | keras.losses.Loss):
        return True
    try:
        return isinstance(value, str) and keras.losses.get(value) is not None
    except ValueError:
        return False


def _of_both_outputs(name, values):
    """Two values as a list, for the outputs clustering and decoder_0; `values` may be a dict with these names."""
    if isinstance(values, dict) and set(values) == {"clustering", "decoder_0"}:
        return [values["clustering"], values["decoder_0"]]
    if not isinstance(values, list | tuple) or len(values) != 2:
        raise InputError(f"{name} is {values!r}: give two, of the clusters and of the reconstruction.")
    return list(values)


def _refuse_samples(x, y):
    """Refuses samples as y: autoencoders are often trained with y = x, but here y holds labels."""
    of_x, of_y = (tuple(getattr(values, "shape", None) or np.shape(values)) for values in (x, y))
    if len(of_x) > 1 and math.prod(of_y) == math.prod(of_x) > of_x[0]:
        raise InputError(f"y has the shape {of_y}, as samples have: y is labels, which only score, so leave y out.")
