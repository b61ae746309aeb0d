"""Data sets: `load_data(name or file)` -> x, y.

A data set's files are looked for in `$DEC_DATA_DIR/<folder>`, `data/<folder>`, Keras' cache and Debian's data packages,
and only then downloaded to `data/<folder>`, with a checksum. Nothing is ever unpickled.
"""

import os
import struct
import sys
import tarfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path

import numpy as np
import pooch
import requests
import scipy.sparse
from sklearn.datasets import fetch_rcv1, load_digits, load_svmlight_file
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.preprocessing import MinMaxScaler, normalize

from dec_keras import CHECKOUT
from dec_keras.data.arrays import npz
from dec_keras.data.reading import ALIASES, About, Reading
from dec_keras.data.samples import Samples, check_labels
from dec_keras.data.user_data import READERS, is_own, read
from dec_keras.errors import InputError
from dec_keras.files.atomic import atomic_write
from dec_keras.files.untrusted import arrays, explain_errors, in_brief, open_h5, plain_array, unpacked

DATA = (CHECKOUT or Path.cwd()) / "data"
PROTOCOLS = ("https://",)


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
        x, y: samples, float32 array of shape `(n, d)`, training samples before test samples, scaled as DEC-keras
        does (a file's as they are; a sparse one as a CSR matrix); and labels, int64 array of shape `(n,)` (a file's as
        they are), or None where a file has none.

    Raises:
        InputError: if there is no such data set or file, or it is damaged; its subclass MissingData if a data set's
            files are not here and cannot be downloaded.
    """
    x, y, _ = load(dataset_name, how)
    return x.x, y


def is_here(name):
    """Whether `load_data` has the files of a data set, or of a path, without a download."""
    dataset = DATASETS.get(ALIASES.get(name, name))
    return dataset is None or not dataset.formats or dataset.find() != (None, None)


def load(name, how=None):
    """`load_data` with x as Samples, and the `reading.About` that goes along with x and y."""
    dataset = DATASETS.get(ALIASES.get(name, name))
    if dataset is not None:
        x, y = dataset.load()
        about = About(image_shape=dataset.image_shape)
    elif is_own(name):
        x, y, about = read(name, how)
    else:
        raise InputError(
            f"There is no data set {name!r}: choose from {', '.join(DATASETS)}, or give the path of a folder of images "
            f"or of a file ({', '.join(READERS)})."
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


def check_classes(y):
    """Checks that the labels of a file are classes, by which clusters can be counted and scored.

    They are not where they are measurements, or where more than half of the samples have one of their own, as names and
    numbers of samples are; scikit-learn's `type_of_target` draws the lines there too. Whole numbers with gaps may be
    measurements as well: a third is enough. A few rows may hold rare classes.

    Args:
        y: labels of shape `(n,)`, which `check_data` has passed.

    Raises:
        InputError: if they are not.
    """
    if y.dtype.kind == "f" and (parts := y[y != np.round(y)]).size:
        raise InputError(
            f"the labels are measurements, such as {parts[0]:g}, and not classes: leave them out, or turn them into "
            "whole numbers or text."
        )
    classes = np.unique(y)
    gaps = y.dtype.kind in "iuf" and len(y) >= 20 and float(classes[-1]) - float(classes[0]) >= len(classes)
    if (3 if gaps else 2) * len(classes) > len(y) + 4:
        text = ", or turn them into text if they are classes" if gaps else ""
        raise InputError(
            f"{len(y)} samples have {len(classes)} different labels, as names or measurements are, and not classes: "
            f"leave them out{text}."
        )


# Readers: each takes the files' paths, in the order of its row in DATASETS, and returns x and y.


def _with_whole_labels(x, y):
    return x, None if y is None else np.asarray(y).astype(np.int64)


def _rows(lines, delimiter=None):
    """np.loadtxt, which only warns where there are no rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        rows = np.loadtxt(lines, delimiter=delimiter, ndmin=2, dtype=np.float32)
    if not rows.size:
        raise ValueError("it has no rows")
    return rows


def _images_npz(paths):
    """Keras' own mnist.npz."""
    with arrays(paths[0]) as held:
        x = np.concatenate([held["x_train"], held["x_test"]])
        return _pixels(x), np.concatenate([held["y_train"], held["y_test"]])


def _idx(paths):
    """IDX: train images, train labels, test images, test labels."""
    x_train, y_train, x_test, y_test = map(_idx_array, paths)
    return _pixels(np.concatenate([x_train, x_test])), np.concatenate([y_train, y_test])


def _idx_array(path):
    with unpacked(path) as file:
        zero, kind, ndim = struct.unpack(">HBB", file.read(4))
        if zero != 0 or kind != 8:
            raise ValueError("it does not begin as an IDX file of bytes does")
        shape = struct.unpack(f">{ndim}I", file.read(4 * ndim))
        return np.frombuffer(file.read(), np.uint8).reshape(shape)


def _pixels(images):
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(f"images of shape {images.shape} and type {images.dtype}, not (n, height, width) and uint8")
    return images.reshape(len(images), -1) / np.float32(255)


def _usps_jf(paths):
    """The original authors' text: a header, rows of label and 256 pixels in [0, 2], a terminator."""
    parts = []
    for path in paths:
        with unpacked(path) as file:
            next(file, None)
            parts.append(_rows(_until_terminator(file, path.name)))
    rows = np.concatenate(parts)
    return rows[:, 1:] / 2, rows[:, 0].astype(np.int64)


def _until_terminator(file, name):
    for line in file:
        if line.strip() == b"-1" and not next(file, b""):
            return
        yield line
    raise ValueError(f"{name} does not end with its terminator, -1")


def _usps_h5(paths):
    """HDF5 groups train and test with data in [0, 1] and target."""
    with open_h5(paths[0]) as file:
        parts = [file["train"], file["test"]]
        return tuple(np.concatenate([plain_array(paths[0], p[name]) for p in parts]) for name in ("data", "target"))


def _usps_libsvm(paths):
    """LIBSVM's copy: pixels in [-1, 1], labels 1..10."""
    parts = []
    for path in paths:
        with unpacked(path) as file:
            parts.append(load_svmlight_file(file, n_features=256, dtype=np.float32))
    x = scipy.sparse.vstack([x for x, _ in parts]).toarray()
    return (x + 1) / 2, np.concatenate([y for _, y in parts]).astype(np.int64) - 1


def _pendigits(paths):
    """UCI: comma-separated rows of 16 coordinates in 0..100 and the label."""
    parts = []
    for path in paths:
        with unpacked(path) as file:
            parts.append(_rows(file, delimiter=","))
    rows = np.concatenate(parts)
    return rows[:, :-1] / 100, rows[:, -1].astype(np.int64)


def _digits():
    """The 1,797 8x8 digits inside scikit-learn."""
    x, y = load_digits(return_X_y=True)
    return x / 16, y


# REUTERS-10K (DEC paper, section 4.1): RCV1-v2, four root categories as classes, tf-idf of the 2,000 commonest words.

ROOTS = ("CCAT", "GCAT", "MCAT", "ECAT")
TOKEN_FILES = (*(f"lyrl2004_tokens_test_pt{i}.dat" for i in range(4)), "lyrl2004_tokens_train.dat")
TRAIN_DOCUMENTS = 23_149  # LYRL2004's training split


def _rcv1_tokens(paths, subset):
    """RCV1-v2's token files and topic assignments -> the prepared subset, which is kept beside them as .npz."""
    roots = _roots(paths[-1])
    y = []

    def texts():
        for document, text in _documents(paths[:-1]):
            if len(roots[document]) == 1:  # a KeyError means that the topics' file was cut off
                y.extend(roots[document])
                yield text

    counts = CountVectorizer(dtype=np.float64, max_features=2000).fit_transform(texts())
    expected = sum(len(classes) == 1 for classes in roots.values())
    if len(y) != expected:
        raise ValueError(f"{expected} documents have one root topic, but {len(y)} of them have tokens")
    x = TfidfTransformer(norm="l2", sublinear_tf=True).fit_transform(counts)
    x, y = _ten_thousand(x, np.array(y), subset)
    _keep(paths[0].parent / f"{PREPARED_REUTERS[subset]}.npz", x, y)
    return x, y


def _roots(path):
    """{document: its classes among 0..3} of every document; lines "topic document 1"."""
    roots = {}
    with unpacked(path) as file:
        for line in file.read().decode().splitlines():
            topic, document, _ = line.split()
            classes = roots.setdefault(int(document), [])
            if topic in ROOTS:
                classes.append(ROOTS.index(topic))
    return roots


def _documents(paths):
    """Yields (document, text): ".I <document>", ".W", lines of tokens, a blank line."""
    for path in paths:
        with unpacked(path) as file:
            document, words = None, []
            for line in map(bytes.decode, file):
                if line.startswith(".I"):
                    if document is not None:
                        yield document, " ".join(words)
                    document, words = int(line.split()[1]), []
                elif not line.startswith(".W"):
                    words.append(line.strip())
            if document is not None:
                yield document, " ".join(words)


def _ten_thousand(x, y, subset):
    """Guo: the first 10,000 documents, permuted. Xie: 10,000 of a permutation of all. ||x||^2 becomes d."""
    n = len(y) if subset == "xie" else min(10_000, len(y))
    rows = np.random.RandomState(1234).permutation(n)[:10_000]
    return (x[rows].toarray() * np.sqrt(x.shape[1])).astype(np.float32), y[rows]


def _rcv1_from_scikit_learn(subset):
    """The same documents from scikit-learn's `fetch_rcv1`, where the token files are missing."""
    print(
        "The RCV1 token files are not here: taking the same documents from scikit-learn's fetch_rcv1 instead. They "
        "differ: idf is that of the 23,149 training documents, and the 2,000 words are those in most documents, not "
        "those counted most often. For the published data, run `bash data/reuters/get_data.sh`."
    )
    rcv1 = fetch_rcv1(subset="all", shuffle=False)
    order = np.roll(
        np.arange(rcv1.data.shape[0]), -TRAIN_DOCUMENTS
    )  # test documents first, as the token files are read
    roots = rcv1.target[:, [list(rcv1.target_names).index(root) for root in ROOTS]].toarray()[order]
    one_root = roots.sum(axis=1) == 1
    x, y = rcv1.data[order[one_root]], roots[one_root].argmax(axis=1)
    words = np.sort(np.argsort(-x.getnnz(axis=0), kind="stable")[:2000])
    return _ten_thousand(normalize(x[:, words]), y, subset)


def _keep(path, x, y):
    """Caches prepared data; a folder that is read-only only means preparing again."""
    try:
        with atomic_write(path) as temporary:
            np.savez_compressed(temporary, x=x, y=y)
        print(f"Prepared data saved to {path}")
    except (OSError, InputError) as error:
        print(f"Prepared data not saved ({error}): it will be prepared again next time.")


# STL-10 (DEC-keras): VGG16 fc1 features of the 13,000 labelled images, each feature scaled to [0, 1].


def _stl_binaries(paths):
    """train_X, train_y, test_X, test_y: uint8, images (n, 3, 96, 96) with columns before rows, labels 1..10."""
    x_train, y_train, x_test, y_test = (np.fromfile(path, np.uint8) for path in paths)
    images = np.concatenate([x_train, x_test]).reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1)
    y = np.concatenate([y_train, y_test]).astype(np.int64) - 1
    if len(images) != len(y):
        raise ValueError(f"{len(images)} images and {len(y)} labels")
    x = MinMaxScaler().fit_transform(vgg16_features(images, paths[0].parent))
    _keep(paths[0].parent / "stl_features.npz", x, y)
    return x, y


def _stl_npy(paths):
    """DEC-keras' own cache of the features, with the labels' binaries."""
    x, y_train, y_test = np.array(arrays(paths[0])), *(np.fromfile(path, np.uint8) for path in paths[1:])
    return x, np.concatenate([y_train, y_test]).astype(np.int64) - 1


def vgg16_features(images, folder, batch_size=64):
    """Activations of VGG16's fc1 layer (ImageNet weights), after ReLU.

    Args:
        images: uint8 array of shape `(n, height, width, 3)`, RGB.
        folder: where Keras' weights file for VGG16 is looked for before Keras' cache and its download.
        batch_size: images at a time; they are enlarged to 224 x 224, by nearest neighbour as DEC-keras' Pillow did.

    Returns:
        float32 array of shape `(n, 4096)`.

    Raises:
        InputError: if the weights are neither here nor to be downloaded.
    """
    import keras

    weights_file = Path(folder) / "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
    try:
        vgg16 = keras.applications.VGG16(weights=weights_file if weights_file.is_file() else "imagenet")
    except Exception as error:  # keras.utils.get_file raises a bare Exception when it cannot download
        raise InputError(
            f"VGG16's ImageNet weights cannot be had ({error}): get {weights_file.name} from "
            "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/ and put it into "
            f"{weights_file.parent}."
        ) from error
    fc1 = keras.Model(vgg16.input, vgg16.get_layer("fc1").output)
    progress = keras.utils.Progbar(len(images), unit_name="image")
    features = np.empty((len(images), 4096), np.float32)
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size].astype(np.float32)
        batch = keras.ops.image.resize(batch, (224, 224), interpolation="nearest")
        batch = keras.applications.vgg16.preprocess_input(np.array(batch))
        features[start : start + batch_size] = fc1.predict_on_batch(batch)
        progress.add(len(batch))
    return features


# The table of data sets.


@dataclass(frozen=True)
class Mirror:
    """One place to download a data set from: {file: checksum} under a URL; an archive is unpacked beside itself."""

    url: str
    files: dict[str, str]
    members: tuple[str, ...] = ()  # of the archive, to unpack
    largest: int = 2**26  # bytes that a file can have


@dataclass(frozen=True)
class Dataset:
    """Where a data set is, in which formats, and how it is made.

    Attributes:
        folder: its folder's name in `$DEC_DATA_DIR` and `data/`.
        formats: (file names, reader) in order of preference; text and IDX files may also be gzipped (`.gz`).
        n_features: what x must have, or None.
        image_shape: (height, width) of a sample that is an image, or None.
        part: which of the samples it is; None: all.
        mirrors: tried in order when no format is found.
        elsewhere: more folders to look in.
        fallback: makes x and y without files of ours.
        by_hand: how to get it where there is no mirror.
        only: the one folder to look in, in place of all others; None: all.
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
        """Downloads from the first mirror that works; returns what went wrong with each before it."""
        problems = []
        for mirror in self.mirrors:
            try:
                for name, checksum in mirror.files.items():
                    _download(mirror, name, checksum, DATA / self.folder)
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


def _download(mirror, name, checksum, folder):
    print(f"Downloading {mirror.url}{name} to {folder}")
    pooch.get_logger().setLevel("WARNING")
    pooch.retrieve(
        mirror.url + name,
        known_hash=checksum,
        fname=name,
        path=folder,
        downloader=pooch.HTTPDownloader(
            progressbar=sys.stderr is not None,
            chunk_size=2**16,
            hooks={"response": partial(_check_response, largest=mirror.largest)},
        ),
        processor=partial(_unpack, members=mirror.members) if mirror.members else None,
    )


def _check_response(response, *_, largest, **__):
    """Lets an answer, a redirect too, be over HTTPS only, and no longer than `largest` bytes."""
    if not response.url.startswith(PROTOCOLS):
        raise ValueError(f"it sends to {response.url}, which is not HTTPS")
    response.iter_content = partial(_limited, response.iter_content, response.url, largest)


def _limited(content, url, largest, chunk_size):
    left = largest
    for chunk in content(chunk_size):
        left -= len(chunk)
        if left < 0:
            raise ValueError(f"it sends more than the {largest} bytes that {url} can have")
        yield chunk


def _unpack(archive, *_, members):
    """Members of a .tar beside it: files, none of them outside. (Before Python 3.12 pooch.Untar lets them.)"""
    with tarfile.open(archive) as tar:
        try:
            tar.extractall(Path(archive).parent, [tar.getmember(name) for name in members], filter="data")
        except (tarfile.TarError, KeyError) as error:
            raise ValueError(f"{archive} is damaged ({in_brief(error)})") from error


KERAS_CACHE = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "datasets"
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
STL_FILES = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")
PREPARED_REUTERS = {"guo": "reutersidf10k", "xie": "reutersidf10k_xie"}


def _idx_checksums(*md5):
    return {f"{name}.gz": f"md5:{digest}" for name, digest in zip(IDX_FILES, md5, strict=True)}


def _reuters(subset):
    return Dataset(
        folder="reuters",
        formats=[
            ((f"{PREPARED_REUTERS[subset]}.npz",), npz),
            ((*TOKEN_FILES, "rcv1-v2.topics.qrels"), partial(_rcv1_tokens, subset=subset)),
        ],
        fallback=partial(_rcv1_from_scikit_learn, subset),
        by_hand="run `bash data/reuters/get_data.sh`"
        + (" (a reutersidf10k.npy is a pickle: see docs/migration.md)" if subset == "guo" else ""),
    )


_MNIST = Dataset(
    folder="mnist",
    formats=[(("mnist.npz",), _images_npz), (IDX_FILES, _idx)],
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
        formats=[(IDX_FILES, _idx)],
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
            (("usps_train.jf", "usps_test.jf"), _usps_jf),
            (("usps.h5",), _usps_h5),
            (("usps.bz2", "usps.t.bz2"), _usps_libsvm),
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
        formats=[(("pendigits.tra", "pendigits.tes"), _pendigits)],
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
            (("stl_features.npy", "train_y.bin", "test_y.bin"), _stl_npy),
            (STL_FILES, _stl_binaries),
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
    "digits": Dataset(folder="digits", formats=[], image_shape=(8, 8), fallback=_digits),
}
