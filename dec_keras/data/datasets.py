"""Data sets: `load_data(name or file)` -> x, y.

A data set's files are looked for in `$DEC_DATA_DIR/<folder>`, `data/<folder>`, Keras' cache and Debian's data packages,
and only then downloaded to `data/<folder>`, with a checksum. Nothing is ever unpickled.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path

import numpy as np
import requests
import scipy.sparse

from dec_keras import CHECKOUT
from dec_keras.data import formats, reuters
from dec_keras.data.arrays import npz
from dec_keras.data.download import Mirror, download
from dec_keras.data.reading import ALIASES, About, Reading
from dec_keras.data.samples import Samples, check_classes, check_labels
from dec_keras.data.user_data import READERS, is_own, read
from dec_keras.errors import InputError, nearest
from dec_keras.files.untrusted import explain_errors, in_brief

DATA = (CHECKOUT or Path.cwd()) / "data"


class MissingData(InputError):
    """A data set's files are not here and cannot be downloaded."""


def load_data(
    dataset_name: str | PathLike, how: Reading | None = None
) -> tuple[np.ndarray | scipy.sparse.csr_matrix, np.ndarray | None]:
    """Loads a data set by name, or from a file.

    Args:
        dataset_name: mnist (mnist-train, mnist-test: its 60,000 and its 10,000), fmnist, usps, pendigits, reuters10k
            (or reuters, reutersidf10k: Guo's subset), reuters10k-xie, rcv1-10k, stl or digits; or the path of a file
            in a format of `user_data.READERS` or of a folder of images.
        how: a `reading.Reading` of a file; None: the defaults.

    Returns:
        x: samples of a data set, float32 array of shape `(n, d)`, training samples before test samples, scaled as in
        DEC-keras. Samples of a file are not scaled; a sparse x is a CSR matrix, a large .npy a memory map of its dtype.
        y: labels, int64 array of shape `(n,)`; those of a file keep their dtype, or are None if it has no labels.

    Raises:
        InputError: if there is no such data set or file, or it is damaged; its subclass MissingData if a data set's
            files are not here and cannot be downloaded.
    """
    x, y, _ = load(dataset_name, how)
    return x.x, y


def is_here(name):
    """Whether `load_data` can load a data set without a download; True for the path of a file."""
    dataset = DATASETS.get(ALIASES.get(name, name))
    return dataset is None or not dataset.formats or dataset.find() != (None, None)


def load(name, how=None):
    """Like `load_data`, but returns x as Samples, y, and the `reading.About` of x and y."""
    dataset = DATASETS.get(ALIASES.get(name, name))
    if dataset is not None:
        x, y = dataset.load()
        about = About(image_shape=dataset.image_shape)
    elif is_own(name):
        x, y, about = read(name, how)
    else:
        raise InputError(
            f"There is no data set {name!r}: choose from {', '.join(DATASETS)}, or give the path of a folder of images "
            f"or of a file ({', '.join(READERS)})." + nearest(name, (*DATASETS, *ALIASES))
        )
    try:
        x = Samples(x, image_shape=about.image_shape)
        y = check_labels(y, len(x))
        if dataset is None and y is not None and (how is None or how.n_features is None):
            check_classes(y)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    names = f" ({', '.join(about.features[:3])}{', ...' if len(about.features) > 3 else ''})" if about.features else ""
    print(f"{name}: {x.shape[0]} samples of {x.shape[1]} features{names}")
    return x, y, about


@dataclass(frozen=True)
class Dataset:
    """A data set: where its files are, which formats they may have, and how to get them.

    Attributes:
        folder: its folder's name in `$DEC_DATA_DIR` and `data/`.
        formats: (file names, reader) in order of preference; text and IDX files may also be gzipped (`.gz`).
        n_features: number of features that x must have; None: any.
        image_shape: (height, width) of a sample that is an image, or None.
        part: slice of the samples to use; None: all.
        mirrors: places to download from, tried in order if no format is found.
        elsewhere: more folders to look in.
        fallback: function that returns x and y without these files, or None.
        by_hand: what the user can do to get the files if there is no mirror.
        only: the only folder to look in; None: all folders.
    """

    folder: str
    formats: list[tuple[tuple[str, ...], Callable]]
    n_features: int | None = None
    image_shape: tuple[int, int] | None = None
    part: slice | None = None
    mirrors: tuple[Mirror, ...] = ()
    elsewhere: tuple[Path, ...] = ()
    fallback: Callable | None = None
    by_hand: str = ""
    only: Path | None = None

    def load(self):
        reader, paths = self.find()
        problems = []
        if reader is None and self.mirrors:
            problems = self.download()
            reader, paths = self.find()
        if reader is None and self.fallback is not None:
            try:
                return self.fallback()
            except (OSError, ValueError) as error:
                problems.append(f"scikit-learn's copy: {error}")
        if reader is None:
            raise MissingData(self.missing(problems))
        x, y = explain_errors(lambda paths: _with_whole_labels(*reader(paths)), paths)
        if np.ndim(x) and self.n_features not in (None, np.shape(x)[-1]):
            raise InputError(f"{paths[0]} has {np.shape(x)[-1]} features a sample instead of {self.n_features}.")
        return (x, y) if self.part is None else (x[self.part], y[self.part])

    def folders(self):
        """Where its files are looked for, in order."""
        if self.only:
            return [self.only]
        environment = os.environ.get("DEC_DATA_DIR")
        return [*([Path(environment) / self.folder] if environment else []), DATA / self.folder, *self.elsewhere]

    def find(self):
        """(reader, paths) of the first format that is complete in a folder; (None, None) without one."""
        for folder in self.folders():
            for names, reader in self.formats:
                paths = [next((p for p in (folder / n, folder / f"{n}.gz") if p.is_file()), None) for n in names]
                if all(paths):
                    return reader, paths
        return None, None

    def download(self):
        """Downloads from the first mirror that works and returns []; if none works, returns the error of each."""
        problems = []
        for mirror in self.mirrors:
            try:
                for name, checksum in mirror.files.items():
                    download(mirror, name, checksum, DATA / self.folder)
                return []
            except (OSError, ValueError) as error:  # no network, no such page, wrong checksum, unwritable folder
                no_connection = isinstance(error, requests.ConnectionError)  # its own text quotes the whole request
                problems.append(f"{mirror.url}: {'no connection' if no_connection else in_brief(error)}")
        return problems

    def missing(self, problems):
        wanted = ", or ".join(" and ".join(names) for names, _ in self.formats)
        failed = f", and the download failed ({'; '.join(problems)})" if problems else ""
        looked = ", ".join(str(folder) for folder in self.folders())
        sources = " or ".join(mirror.url for mirror in self.mirrors)
        how = self.by_hand or f"get the files from {sources} and put them into {self.folders()[0]}"
        return f"No data: {wanted} not found in {looked}{failed}; {how}."


def _with_whole_labels(x, y):
    return x, None if y is None else np.asarray(y).astype(np.int64)


KERAS_CACHE = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "datasets"
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
STL_FILES = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")


def _idx_checksums(*md5):
    return {f"{name}.gz": f"md5:{digest}" for name, digest in zip(IDX_FILES, md5, strict=True)}


def _reuters(subset):
    return Dataset(
        folder="reuters",
        formats=[
            ((f"{reuters.PREPARED[subset]}.npz",), npz),
            ((*reuters.TOKEN_FILES, "rcv1-v2.topics.qrels"), partial(reuters.from_tokens, subset=subset)),
        ],
        fallback=partial(reuters.from_scikit_learn, subset),
        by_hand="run `bash data/reuters/get_data.sh`"
        + (" (a reutersidf10k.npy is a pickle: see docs/migration.md)" if subset == "guo" else ""),
    )


_MNIST = Dataset(
    folder="mnist",
    formats=[(("mnist.npz",), formats.images_npz), (IDX_FILES, formats.idx)],
    n_features=784,
    image_shape=(28, 28),
    mirrors=(
        Mirror(
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            {"mnist.npz": "sha256:731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"},
        ),
        Mirror(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            _idx_checksums(
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
        ),
    ),
    elsewhere=(KERAS_CACHE,),
)

DATASETS = {
    "mnist": _MNIST,
    "mnist-train": replace(_MNIST, part=slice(60_000)),
    "mnist-test": replace(_MNIST, part=slice(60_000, None)),
    "fmnist": Dataset(
        folder="fmnist",
        formats=[(IDX_FILES, formats.idx)],
        n_features=784,
        image_shape=(28, 28),
        mirrors=(
            Mirror(
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                _idx_checksums(
                    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                    "25c81989df183df01b3e8a0aad5dffbe",
                    "bef4ecab320f06d8554ea6380940ec79",
                    "bb300cfdad3c16e7a12a480ee83cd310",
                ),
            ),
        ),
        elsewhere=(KERAS_CACHE / "fashion-mnist", Path("/usr/share/datasets/fashion-mnist")),
    ),
    "usps": Dataset(
        folder="usps",
        formats=[
            (("usps_train.jf", "usps_test.jf"), formats.usps_jf),
            (("usps.h5",), formats.usps_h5),
            (("usps.bz2", "usps.t.bz2"), formats.usps_libsvm),
        ],
        n_features=256,
        image_shape=(16, 16),
        mirrors=(
            Mirror(
                "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/",
                {
                    "usps.bz2": "md5:ec16c51db3855ca6c91edd34d0e9b197",
                    "usps.t.bz2": "md5:8ea070ee2aca1ac39742fdd1ef5ed118",
                },
            ),
        ),
    ),
    "pendigits": Dataset(
        folder="pendigits",
        formats=[(("pendigits.tra", "pendigits.tes"), formats.pendigits)],
        n_features=16,
        mirrors=(
            Mirror(
                "https://archive.ics.uci.edu/ml/machine-learning-databases/pendigits/",
                {
                    "pendigits.tra": "sha256:e2b9eb9f0d0467e2b64a4816a3420edf2b8043447576f4b84337aba44a9f97d3",
                    "pendigits.tes": "sha256:8bd03229c5c5291fefe43e45465dd948d2645bf23328b9d993e0b777666b2015",
                },
            ),
        ),
    ),
    "reuters10k": _reuters("guo"),
    "reuters10k-xie": _reuters("xie"),
    "rcv1-10k": Dataset(
        folder="reuters",
        formats=[(("reuters10k_like.npz",), npz)],
        by_hand="make it of 10,000 RCV1 documents x 2,000 words, prepared as the DEC paper does: arrays x and y",
    ),
    "stl": Dataset(
        folder="stl",
        formats=[
            (("stl_features.npz",), npz),
            (("stl_features.npy", "train_y.bin", "test_y.bin"), formats.stl_npy),
            (STL_FILES, formats.stl_binaries),
        ],
        n_features=4096,
        mirrors=(
            Mirror(
                "https://ai.stanford.edu/~acoates/stl10/",
                {"stl10_binary.tar.gz": "md5:91f7769df0f17e558f3565bffb0c7dfb"},
                members=tuple(f"stl10_binary/{name}" for name in STL_FILES),
                largest=3 * 2**30,
            ),
        ),
        elsewhere=(DATA / "stl" / "stl10_binary",),
    ),
    "digits": Dataset(folder="digits", formats=[], image_shape=(8, 8), fallback=formats.digits),
}
