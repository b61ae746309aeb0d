"""A finished run, read from its files."""

import functools
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from dec_keras.data import reading, scaling
from dec_keras.data.datasets import DATASETS, load
from dec_keras.data.samples import Samples
from dec_keras.errors import InputError
from dec_keras.files.models import read_attributes
from dec_keras.files.run_folder import RunFolder
from dec_keras.files.untrusted import explain_errors, read_json
from dec_keras.method.saved_model import load_model, load_network
from dec_keras.plots.clusters import as_images
from dec_keras.runs import page, verdict
from dec_keras.runs.config import describe
from dec_keras.runs.predict import check_fits
from dec_keras.training.pipeline import predict


@dataclass
class Run:
    """A finished run, as plain arrays.

    Attributes:
        method: "DEC" or "IDEC".
        folder: its RunFolder.
        x, y: samples, scaled as in training, shape `(n, d)`, and true labels of shape `(n,)` or None.
        q, z: soft assignments, shape `(n, k)`, and codes, shape `(n, code)`.
        start_q, start_z: q and z before the clustering; None if the run's files do not give them.
        decoders: {name: function from x to its reconstruction}.
        image_shape: (height, width) or (height, width, 3) of a sample that is an image, or None.
        terms: names of the d features, or None.
        names: names of the n samples, or None.
        settings: settings in run.json.
        description: {name: value} of the settings, for people to read.
        summary: tables of the run's scores and quality, and its warning, from `verdict.summary`.
    """

    method: str
    folder: RunFolder
    x: Samples
    y: np.ndarray | None
    q: np.ndarray
    z: np.ndarray
    start_q: np.ndarray | None = None
    start_z: np.ndarray | None = None
    decoders: dict = field(default_factory=dict)
    image_shape: tuple | None = None
    terms: list | None = None
    names: list | None = None
    settings: dict = field(default_factory=dict)
    description: dict = field(default_factory=dict)
    summary: dict = field(default_factory=dict)

    def __post_init__(self):
        self.x = Samples.of(self.x)
        self.labels = self.q.argmax(axis=1)
        self.n_clusters = self.q.shape[1]
        extremes = [(piece.min(), piece.max()) for piece in self.x.batches()]
        self.shades = float(np.min(extremes)), float(np.max(extremes))

    @property
    def title(self):
        return f"{self.method} on {Path(str(self.settings.get('dataset', 'data'))).name}"

    @property
    def start_labels(self):
        """Cluster of each sample before the clustering; None if the run's files do not give it."""
        return None if self.start_q is None else self.start_q.argmax(axis=1)

    @functools.cached_property
    def sample(self):
        """Rows of the samples in the embedding's figures and on the page: all, or a random part if there are many."""
        return np.sort(np.random.default_rng(0).permutation(len(self.q))[: page.most_samples(self)])

    def ranked(self, cluster):
        """Rows of the cluster's samples, the surest (highest q, nearest to the centre) first."""
        members = np.flatnonzero(self.labels == cluster)
        return members[np.argsort(-self.q[members, cluster], kind="stable")]

    def images(self, rows, x=None):
        """The samples in these rows as uint8 images; `x`, if given, takes the place of the samples."""
        return as_images(self.x.rows(rows) if x is None else x, self.image_shape, *self.shades)


def find_model(path):
    """The model of a run: `path` itself, or the newer of the two that its folder may have.

    Raises:
        InputError: if there is none.
    """
    path = Path(path)
    models = [path / f"{method}_model_final.h5" for method in ("DEC", "IDEC")]
    found = [path] if path.is_file() else sorted(filter(Path.is_file, models), key=lambda file: file.stat().st_mtime)
    if not found:
        raise InputError(
            f"{path} has neither DEC_model_final.h5 nor IDEC_model_final.h5: give the folder that a run was saved to."
        )
    if len(found) > 1:
        print(f"{path} has two models: drawing the newer, {found[-1].name}; for the other give its file.")
    return found[-1]


def load_run(model_file, x, y=None, image_shape=None, terms=None, names=None):
    """Reads a run's files and computes the arrays for its figures.

    Args:
        model_file: the `DEC_model_final.h5` or `IDEC_model_final.h5` in the run's folder. If they are beside it,
            `<method>_model_0.h5` or `ae_weights.h5` gives the state before the clustering, and `run.json` the
            settings.
        x: samples of shape `(n, d)`, scaled as in training: Samples, or data that Samples accepts.
        y: labels of shape `(n,)`, or None.
        image_shape, terms, names: see `Run`. Default image_shape: that of x, or of the data set that the model names.

    Raises:
        InputError: if neither DEC nor IDEC saved the model, or x or `terms` do not fit it.
    """
    model_file = Path(model_file)
    folder, attributes, x = RunFolder(model_file.parent), read_attributes(model_file), Samples.of(x)
    model = load_model(model_file)
    check_fits(model, model_file, x)
    if terms is not None and len(terms) != x.shape[1]:
        raise InputError(f"There are {len(terms)} names of terms for {x.shape[1]} features: give one for each.")
    method = "IDEC" if any(layer.name == "decoder_0" for layer in model.layers) else "DEC"
    q, z, decode = _predict(model, x)
    dataset = attributes.get("dataset")
    record = _record(folder, method)
    settings = {"dataset": dataset} | record.get("settings", {})
    description = {"data set": dataset, "protocol": attributes.get("protocol"), "clusters": q.shape[1]}
    if "protocol" in settings:
        description = explain_errors(lambda _: describe(settings), [folder.record])
    start_q, start_z, decode_start = _before(folder, method, x, pretrained_here(settings))
    decoders = {"autoencoder": decode_start, method: decode}
    return Run(
        method=method,
        folder=folder,
        x=x,
        y=y,
        q=q,
        z=z,
        start_q=start_q,
        start_z=start_z,
        decoders={name: decode for name, decode in decoders.items() if decode},
        image_shape=image_shape or x.image_shape or (dataset in DATASETS and DATASETS[dataset].image_shape) or None,
        terms=terms,
        names=names,
        settings=settings,
        description=description,
        summary=explain_errors(lambda _: verdict.summary(record), [folder.record]),
    )


def _record(folder, method):
    """The contents of `run.json`; {} if there is none, or if it belongs to the other method's run."""
    record = read_json(folder.record) if folder.record.is_file() else {}
    settings = record.get("settings")
    known = isinstance(settings, dict) and settings.get("method") == method and "version" in record
    return record if known else {}


def pretrained_here(settings):
    """Whether a run with these settings pretrained its autoencoder; if not, such files belong to another run."""
    return not settings.get("ae_weights")


def _before(folder, method, x, pretrained):
    """The results of `_predict` before the clustering; None for those that the run's files do not give."""
    q = z = None
    files = [folder.model(method, 0)] + [folder.ae_weights] * pretrained
    for file in filter(Path.is_file, files):
        start = load_network(file)
        if start.input_shape[1] != x.shape[1]:  # an earlier run's, on other data
            continue
        at_start, codes, decode = _predict(start, x)
        q, z = at_start if q is None else q, codes if z is None else z
        if decode:
            return q, z, decode
    return q, z, None


def _predict(model, x):
    """q, codes, and a function from samples to their reconstructions; None for what a saved model does not have."""
    parts = [layer.name for layer in model.layers]
    code = [name for name in parts if name.startswith("encoder_")][-1]
    wanted = {name: model.get_layer(name).output for name in ("clustering", code) if name in parts}
    found = predict(keras.Model(model.input, wanted), x)
    q, z = found.get("clustering"), found[code]
    if "decoder_0" not in parts:
        return q, z, None
    decoder = keras.Model(model.input, model.get_layer("decoder_0").output)
    return q, z, lambda samples: np.asarray(decoder(samples))


def training_data(model_file, dataset=None):
    """The samples that a model was trained on, scaled as in training, their labels or None, and their `reading.About`.

    Args:
        model_file: a `.h5` file that DEC.py or IDEC.py saved.
        dataset: the data set's name or file; None: as the model's file says.

    Raises:
        InputError: if the data are not there, or the file does not say what they are.
    """
    attributes = read_attributes(model_file)
    dataset = dataset or attributes.get("dataset")
    if dataset is None:
        raise InputError(f"{model_file} does not say what data it was trained on: say it with --dataset.")
    try:
        x, y, about = load(dataset, reading.from_attributes(attributes))
    except InputError as error:
        raise InputError(f"{error} If the data are elsewhere now, say where with --dataset.") from error
    scaler = scaling.from_attributes(attributes, model_file) or scaling.Scaler()
    return scaler.transform(x), y, about


def shown(about):
    """Arguments of `load_run` from a `reading.About`; images have no terms, which would be their pixels."""
    terms = about.features if about.image_shape is None else None
    return {"image_shape": about.image_shape, "terms": terms, "names": about.names}
