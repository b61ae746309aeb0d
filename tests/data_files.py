"""Writers of small data files in the formats of the data sets, and of pickles."""

import bz2
import gzip
import os
import pickle
import struct

import h5py
import numpy as np
from sklearn.feature_extraction.text import CountVectorizer


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes({".gz": gzip.compress, ".bz2": bz2.compress}.get(path.suffix, bytes)(data))


def numbers():
    return np.random.default_rng(7)


def images(side=28):
    return numbers().integers(0, 256, (8, side, side), dtype=np.uint8), np.array([3, 0, 9, 1, 7, 7, 2, 5], np.uint8)


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(folder, suffix="", side=28):
    x, y = images(side)
    put(folder / f"train-images-idx3-ubyte{suffix}", idx(x[:5]))
    put(folder / f"train-labels-idx1-ubyte{suffix}", idx(y[:5]))
    put(folder / f"t10k-images-idx3-ubyte{suffix}", idx(x[5:]))
    put(folder / f"t10k-labels-idx1-ubyte{suffix}", idx(y[5:]))
    return x.reshape(8, -1) / 255, y


def usps(d):
    """x in [0, 1] with three decimals, ends included, and y."""
    x = numbers().integers(0, 1001, (7, d)) / 1000
    x[0, :2], x[:, -1] = (0, 1), 0.5
    return x, np.array([6, 5, 0, 9, 1, 1, 8])


def write_usps_jf(folder, suffix="", d=256):
    x, y = usps(d)
    for name, part in (("usps_train.jf", slice(4)), ("usps_test.jf", slice(4, None))):
        rows = [f"{label} " + " ".join(f"{2 * v:g}" for v in row) for label, row in zip(y[part], x[part], strict=True)]
        put(folder / f"{name}{suffix}", "\n".join(["10 256", *rows, "-1", ""]).encode())
    return x, y


def write_usps_h5(folder, d=256):
    x, y = usps(d)
    with h5py.File(folder / "usps.h5", "w") as file:
        for name, part in (("train", slice(4)), ("test", slice(4, None))):
            file.create_dataset(f"{name}/data", data=x[part].astype(np.float32))
            file.create_dataset(f"{name}/target", data=y[part])
    return x, y


def write_usps_libsvm(folder, d=256):
    """As everywhere in LIBSVM's format, zeros are left out: here the whole last column."""
    x, y = usps(d)
    for name, part in (("usps.bz2", slice(4)), ("usps.t.bz2", slice(4, None))):
        lines = []
        for label, row in zip(y[part], 2 * x[part] - 1, strict=True):
            lines.append(f"{label + 1} " + " ".join(f"{i}:{v:g}" for i, v in enumerate(row, 1) if i == d > 256 or v))
        put(folder / name, "\n".join([*lines, ""]).encode())
    return x, y


def write_pendigits(folder, suffix="", d=16):
    x, y = numbers().integers(0, 101, (9, d)), np.array([8, 2, 1, 4, 1, 6, 0, 0, 9])
    for name, part in (("pendigits.tra", slice(6)), ("pendigits.tes", slice(6, None))):
        rows = [",".join(f"{v:3d}" for v in (*row, label)) for row, label in zip(x[part], y[part], strict=True)]
        put(folder / f"{name}{suffix}", "\n".join([*rows, ""]).encode())
    return x / 100, y


ROOTS = ["CCAT", "GCAT", "MCAT", "ECAT"]


TOKENS = [*(f"lyrl2004_tokens_test_pt{i}.dat" for i in range(4)), "lyrl2004_tokens_train.dat"]


def corpus(documents_per_file, vocabulary):
    """[[(number, classes, words) of each document] of each token file]: every seventh has two roots, or none."""
    rng, number = numbers(), 2286
    words = np.array([f"stem{i}" for i in range(vocabulary)])
    often = 1 / np.arange(50, 50 + vocabulary)
    parts = []
    for _ in TOKENS:
        parts.append([])
        for i in range(documents_per_file):
            classes = list(rng.permutation(4)[: (2, 0)[i // 7 % 2] if i % 7 == 0 else 1])
            parts[-1].append((number, classes, list(rng.choice(words, 6, p=often / often.sum()))))
            number += int(rng.integers(1, 5))
    return parts


SMALL_CORPUS = corpus(documents_per_file=17, vocabulary=30)


def write_tokens(folder, parts=SMALL_CORPUS, suffix="", subset="guo"):
    topics = []
    for name, documents in zip(TOKENS, parts, strict=True):
        lines = []
        for number, classes, words in documents:
            lines += [f".I {number}", ".W", " ".join(words[:4]), " ".join(words[4:]), ""]
            topics += [f"C15 {number} 1", *(f"{ROOTS[c]} {number} 1" for c in classes), f"E11 {number} 1"]
        put(folder / f"{name}{suffix}", "\n".join([*lines, ""]).encode())
    put(folder / f"rcv1-v2.topics.qrels{suffix}", "\n".join([*topics, ""]).encode())
    return reuters(parts, subset)


def reuters(parts, subset):
    """The REUTERS-10K of the field notes, computed step by step on dense arrays."""
    documents = [document for part in parts for document in part if len(document[1]) == 1]
    y = np.array([classes[0] for _, classes, _ in documents])
    counts = CountVectorizer(max_features=2000).fit_transform([" ".join(words) for *_, words in documents]).toarray()
    idf = np.log((1 + len(y)) / (1 + (counts > 0).sum(axis=0))) + 1
    x = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * idf
    x *= np.sqrt(x.shape[1]) / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    np.random.seed(1234)
    if subset == "guo":
        x, y = x[:10_000], y[:10_000]
    order = np.random.permutation(len(y))[:10_000]
    return x[order], y[order]


def write_stl_binaries(folder, n=6):
    """RGB images (n, height, width, 3) as STL-10 has them: each colour apart, column after column; labels 1..10."""
    rows, columns = np.mgrid[:96, :96]
    waves = [np.sin(columns / (2 + i))[..., None] * (40, 90, 10) + np.cos(rows / 9)[..., None] * i for i in range(n)]
    x = (128 + np.array(waves)).clip(0, 255).astype(np.uint8)
    y = np.arange(1, n + 1, dtype=np.uint8)
    for part, name in ((slice(n - 2), "train"), (slice(n - 2, None), "test")):
        (folder / f"{name}_X.bin").write_bytes(b"".join(image.transpose(2, 1, 0).tobytes() for image in x[part]))
        y[part].tofile(folder / f"{name}_y.bin")
    return x, y.astype(int) - 1


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def pickled_npy(path, payload):
    np.save(path, np.array([payload], dtype=object), allow_pickle=True)


def pickled_raw(path, payload):
    path.write_bytes(pickle.dumps(payload))


def pickled_npz(path, payload, **arrays):
    np.savez(path, **{name: np.array([payload], object) if array is None else array for name, array in arrays.items()})


def unpickle(path):
    loaded = np.load(path, allow_pickle=True)
    return [loaded[name] for name in loaded.files] if hasattr(loaded, "files") else loaded
