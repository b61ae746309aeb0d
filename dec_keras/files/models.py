"""Weight files: saves whole models with attributes, and loads weights from our files and from those of Keras 2 or 3."""

import json

import h5py
import numpy as np
from keras.src.legacy.saving import legacy_h5_format

from dec_keras.errors import InputError
from dec_keras.files.atomic import atomic_write
from dec_keras.files.run_folder import resolve_h5
from dec_keras.files.untrusted import as_dataset, explain_errors, open_h5, plain_array

LAYERS = ("InputLayer", "Dense", "Dropout", "ClusteringLayer")
KERAS_FILE = "no HDF5 file with Keras weights"


def save_model(model, path, attributes=None):
    """Saves a whole Keras model (architecture and weights, no optimizer) as HDF5, the format of the seed repos' files.

    The file is made in memory and then written, since on a full disk the HDF5 library crashes, or reports nothing.
    Keras' `model.save` writes the same content, but only to a path.

    Args:
        model: a Keras model.
        path: str or Path that ends in `.h5`.
        attributes: dict of JSON values and arrays, such as the scale of x, which `read_attributes` returns; or None.
    """
    attributes = attributes or {}
    arrays = {name: value for name, value in attributes.items() if isinstance(value, np.ndarray)}
    small = {name: value for name, value in attributes.items() if name not in arrays}
    with h5py.File(path, "w", driver="core", backing_store=False) as file:
        legacy_h5_format.save_model_to_hdf5(model, file, include_optimizer=False)
        file.attrs["dec"] = json.dumps(small)  # HDF5 limits an attribute to 64 KB
        for name, array in arrays.items():
            text = h5py.string_dtype() if array.dtype.kind == "U" else None
            file.create_dataset(f"dec/{name}", data=array.astype(object) if text else array, dtype=text)
        file.flush()
        content = file.id.get_file_image()
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def read_attributes(path):
    """Returns the attributes that `save_model` wrote; {} for a file that something else wrote.

    Raises:
        InputError: if there is no such file, or it is no HDF5 file.
    """

    def read(paths):
        with open_h5(paths[0]) as file:
            small = json.loads(file.attrs.get("dec", "{}"))
            return small | {name: plain_array(paths[0], file["dec"][name]) for name in file.get("dec", ())}

    return explain_errors(read, [resolve_h5(path)], KERAS_FILE)


def load_weights(model, path):
    """Loads a `.h5` file's weights into the layers of `model` that have the same names.

    Args:
        model: a Keras model. Every layer of it that has weights must be in the file, with the same shapes; the file
            may hold more (an autoencoder's file serves an encoder).
        path: str or Path of a `.h5` file: a whole model by Keras 3 or 2 (`model.save`), or weights alone by Keras 2
            (`save_weights`). A missing `.h5` is added.

    Raises:
        InputError: if the file is missing, is no HDF5 file, does not fit, or holds NaN; `model` is then unchanged.
    """
    layers = [layer for layer in model.layers if layer.weights]
    weights = explain_errors(
        lambda paths: _fitting_weights(layers, model.name, paths[0]), [resolve_h5(path)], KERAS_FILE
    )
    for layer, arrays in zip(layers, weights, strict=True):
        layer.set_weights(arrays)


def _fitting_weights(layers, model_name, path):
    """The arrays of each of `layers`, which must be in the file with the same shapes."""
    weights = []
    with open_h5(path) as file:
        stored = stored_weights(file)
        for layer in layers:
            if layer.name not in stored:
                raise InputError(
                    f"{path} has no weights for the layer {layer.name}, which {model_name} needs: is it another "
                    "model's?"
                )
            found = [item.shape for item in stored[layer.name]]
            shapes = [tuple(weight.shape) for weight in layer.weights]
            if found != shapes:
                raise InputError(
                    f"{path} does not fit: its layer {layer.name} has shapes {found}, this model's has {shapes}. "
                    "It was made with other dims or another number of clusters."
                )
            weights.append([_finite(path, item) for item in stored[layer.name]])
    return weights


def _finite(path, item):
    with np.errstate(over="ignore"):
        array = plain_array(path, item).astype(np.float32, casting="same_kind")
    if not np.isfinite(array).all():
        raise InputError(f"{path} is damaged: {item.name} holds NaN or infinity; get it again.")
    return array


def stored_weights(file):
    """{layer name: [HDF5 dataset of each weight]} of an open file that Keras wrote.

    Raises:
        InputError: if the file has another layout, or the model has layers that DEC and IDEC do not have: a Lambda
            layer can be code, and the work of other layers would be left out.
    """
    for layer in described_layers(file):
        if (kind := layer["class_name"].rpartition(">")[2]) not in LAYERS:
            raise InputError(
                f"{file.filename} has a layer of the kind {kind}: give weights of {', '.join(LAYERS)} alone."
            )
    layers = file.get("model_weights", file)
    if "layer_names" not in layers.attrs:
        raise InputError(f"{file.filename} is not laid out as a model saved whole: save it by `model.save('name.h5')`.")
    return {
        name: [as_dataset(layers[name][weight]) for weight in _names(layers[name], "weight_names")]
        for name in _names(layers, "layer_names")
    }


def described_layers(file):
    """Layers of the model in an open file, a list of dicts in Keras' config format; [] if the file has only weights."""
    described = json.loads(file.attrs.get("model_config", '{"config": []}'))["config"]
    return described["layers"] if isinstance(described, dict) else described


def _names(group, attribute):
    # absent in weight groups of layers without weights; bytes when Keras wrote it, str when h5py did
    return [name.decode() if isinstance(name, bytes) else name for name in group.attrs.get(attribute, [])]
