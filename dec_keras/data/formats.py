"""Readers of the data sets' own files, except those of Reuters.

Each reader takes the files' paths, in the order of their names in `datasets.DATASETS`, and returns x and y.
"""

import struct
import warnings
from pathlib import Path

import numpy as np
import scipy.sparse
from sklearn.datasets import load_digits, load_svmlight_file
from sklearn.preprocessing import MinMaxScaler

from dec_keras.errors import InputError
from dec_keras.files.atomic import atomic_write
from dec_keras.files.untrusted import arrays, open_h5, plain_array, unpacked


def _rows(lines, delimiter=None):
    """np.loadtxt, but raises ValueError if there are no rows, where NumPy only warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        rows = np.loadtxt(lines, delimiter=delimiter, ndmin=2, dtype=np.float32)
    if not rows.size:
        raise ValueError("it has no rows")
    return rows


def images_npz(paths):
    """Keras' own mnist.npz."""
    with arrays(paths[0]) as held:
        x = np.concatenate([held["x_train"], held["x_test"]])
        return _pixels(x), np.concatenate([held["y_train"], held["y_test"]])


def idx(paths):
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


def usps_jf(paths):
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


def usps_h5(paths):
    """HDF5 groups train and test with data in [0, 1] and target."""
    with open_h5(paths[0]) as file:
        parts = [file["train"], file["test"]]
        return tuple(np.concatenate([plain_array(paths[0], p[name]) for p in parts]) for name in ("data", "target"))


def usps_libsvm(paths):
    """LIBSVM's copy: pixels in [-1, 1], labels 1..10."""
    parts = []
    for path in paths:
        with unpacked(path) as file:
            parts.append(load_svmlight_file(file, n_features=256, dtype=np.float32))
    x = scipy.sparse.vstack([x for x, _ in parts]).toarray()
    return (x + 1) / 2, np.concatenate([y for _, y in parts]).astype(np.int64) - 1


def pendigits(paths):
    """UCI: comma-separated rows of 16 coordinates in 0..100 and the label."""
    parts = []
    for path in paths:
        with unpacked(path) as file:
            parts.append(_rows(file, delimiter=","))
    rows = np.concatenate(parts)
    return rows[:, :-1] / 100, rows[:, -1].astype(np.int64)


def digits():
    """The 1,797 8x8 digits inside scikit-learn."""
    x, y = load_digits(return_X_y=True)
    return x / 16, y


# STL-10 (DEC-keras): VGG16 fc1 features of the 13,000 labelled images, each feature scaled to [0, 1].


def stl_binaries(paths):
    """train_X, train_y, test_X, test_y: uint8, images (n, 3, 96, 96) with columns before rows, labels 1..10."""
    x_train, y_train, x_test, y_test = (np.fromfile(path, np.uint8) for path in paths)
    images = np.concatenate([x_train, x_test]).reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1)
    y = np.concatenate([y_train, y_test]).astype(np.int64) - 1
    if len(images) != len(y):
        raise ValueError(f"{len(images)} images and {len(y)} labels")
    x = MinMaxScaler().fit_transform(vgg16_features(images, paths[0].parent))
    keep(paths[0].parent / "stl_features.npz", x, y)
    return x, y


def stl_npy(paths):
    """DEC-keras' own cache of the features, with the labels' binaries."""
    x, y_train, y_test = np.array(arrays(paths[0])), *(np.fromfile(path, np.uint8) for path in paths[1:])
    return x, np.concatenate([y_train, y_test]).astype(np.int64) - 1


def vgg16_features(images, folder, batch_size=64):
    """Activations of VGG16's fc1 layer (ImageNet weights), after ReLU.

    Args:
        images: uint8 array of shape `(n, height, width, 3)`, RGB.
        folder: folder with Keras' weights file for VGG16; without that file, Keras' cache or a download is used.
        batch_size: images at a time; they are enlarged to 224 x 224, by nearest neighbour as DEC-keras' Pillow did.

    Returns:
        float32 array of shape `(n, 4096)`.

    Raises:
        InputError: if the weights are not here and cannot be downloaded.
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


def keep(path, x, y):
    """Caches prepared data. If the folder is read-only, it only prints that the data will be prepared again."""
    try:
        with atomic_write(path) as temporary:
            np.savez_compressed(temporary, x=x, y=y)
        print(f"Prepared data saved to {path}")
    except (OSError, InputError) as error:
        print(f"Prepared data not saved ({error}): it will be prepared again next time.")
