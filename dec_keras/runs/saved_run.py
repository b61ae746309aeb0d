"""A finished run, read from its files and drawn."""

import functools
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from dec_keras import metrics
from dec_keras.data import reading, scaling
from dec_keras.data.datasets import DATASETS, load
from dec_keras.data.samples import Samples
from dec_keras.errors import InputError
from dec_keras.files.models import read_attributes
from dec_keras.files.run_folder import RunFolder, writable_folder
from dec_keras.files.untrusted import explain_errors, read_json, read_log
from dec_keras.method.saved_model import load_model, load_network
from dec_keras.plots import page
from dec_keras.plots.clusters import TOP, as_images, cluster_sizes, confusion, reconstructions, top_samples, top_terms
from dec_keras.plots.curves import training_curves
from dec_keras.plots.embedding import embedding, neighbours, pca
from dec_keras.plots.style import COLORS, MARKERS, group_styles, save
from dec_keras.runs import verdict
from dec_keras.runs.config import describe
from dec_keras.runs.predict import check_fits
from dec_keras.training.pipeline import predictions


@dataclass
class Run:
    """A finished run, as plain arrays.

    Attributes:
        method: "DEC" or "IDEC".
        folder: its RunFolder.
        x, y: samples as they were trained on, shape `(n, d)`, and true labels of shape `(n,)` or None.
        q, z: soft assignments, shape `(n, k)`, and codes, shape `(n, code)`.
        start_q, start_z: the same before the clustering; None where the run's files do not say.
        decoders: {name: function from x to its reconstruction}.
        image_shape: (height, width) or (height, width, 3) of a sample that is an image, or None.
        terms: names of the d features, or None.
        names: names of the n samples, or None.
        settings: as run.json has them.
        description: {name: value} of the settings to be shown.
        told: what the run said of its clusters, as `verdict.told` gives it; {} if its files do not say.
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
    told: dict = field(default_factory=dict)

    def __post_init__(self):
        self.x = Samples.of(self.x)
        self.labels = self.q.argmax(axis=1)
        self.n_clusters = self.q.shape[1]
        extremes = [(piece.min(), piece.max()) for piece in self.x.batches()]
        self.shades = float(np.min(extremes)), float(np.max(extremes))

    @property
    def title(self):
        return f"{self.method} on {Path(str(self.settings.get('dataset', 'data'))).name}"

    @functools.cached_property
    def sample(self):
        """Rows of the samples in the embedding's figures and on the page: all, or as many at random as it holds."""
        return np.sort(np.random.default_rng(0).permutation(len(self.q))[: page.most_samples(self)])

    def ranked(self, cluster):
        """Rows of the cluster's samples, the surest (highest q, nearest to the centre) first."""
        members = np.flatnonzero(self.labels == cluster)
        return members[np.argsort(-self.q[members, cluster], kind="stable")]

    def images(self, rows, x=None):
        """The rows of x, or of samples like them, as uint8 images."""
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
    """Reads a run's files and predicts what is drawn of it.

    Args:
        model_file: the `DEC_model_final.h5` or `IDEC_model_final.h5` in the run's folder. Where they are beside it,
            `<method>_model_0.h5` or `ae_weights.h5` say how it was before the clustering, and `run.json` how it was
            trained.
        x: its samples, Samples or what they take, of shape `(n, d)`, scaled as in training.
        y: labels of shape `(n,)`, or None.
        image_shape, terms, names: see `Run`. image_shape by default that of the data set that the model names.

    Raises:
        InputError: if the model is none of ours, or x or `terms` do not fit it.
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
        told=explain_errors(lambda _: verdict.told(record), [folder.record]),
    )


def _record(folder, method):
    """`run.json` of the method's run; {} if there is none, or it is of the other method's."""
    record = read_json(folder.record) if folder.record.is_file() else {}
    settings = record.get("settings")
    known = isinstance(settings, dict) and settings.get("method") == method and "version" in record
    return record if known else {}


def pretrained_here(settings):
    """Whether a run of these settings pretrained its autoencoder; else what its folder has of that is another's."""
    return not settings.get("ae_weights")


def _before(folder, method, x, pretrained):
    """What `_predict` gives of the model before the clustering; None for what the run's files do not say."""
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
    wanted = keras.Model(
        model.input, {name: model.get_layer(name).output for name in ("clustering", code) if name in parts}
    )
    outputs = [output for _, output in predictions(wanted, x)]
    q, z = (
        np.concatenate([output[name] for output in outputs]) if name in parts else None for name in ("clustering", code)
    )
    if "decoder_0" not in parts:
        return q, z, None
    decoder = keras.Model(model.input, model.get_layer("decoder_0").output)
    return q, z, lambda samples: np.asarray(decoder(samples))


def draw(run, paper=False):
    """Draws all that applies to a run into `<run>/figures/`, as PNG and SVG, and writes `<run>/report.html`.

    Args:
        run: a Run.
        paper: draws into `<run>/figures/paper/` in place of both, as PDF and PNG, without titles and at the width of a
            paper's column.

    Returns:
        {name: (caption, matplotlib Figure)}.

    Raises:
        InputError: if the folder cannot be written to.
    """
    folder = writable_folder(run.folder.figures / "paper" if paper else run.folder.figures)
    views = embedding_views(run)
    figures = {name: made for name, made in run_figures(run, views, paper).items() if made[1] is not None}
    for name, (_, figure) in figures.items():
        save(figure, folder / name, ("pdf", "png") if paper else ("png", "svg"))
    where = "" if paper else f"; the page to look at: {run.folder.report}"
    if not paper:
        drawn = [(caption, folder / f"{name}.svg") for name, (caption, _) in figures.items()]
        page.write(run.folder.report, run, drawn, views, class_styles(run), COLORS, MARKERS, left_out(run))
    print(f"Figures saved to {folder}: {', '.join(figures)}{where}")
    if left_out(run):
        print(left_out(run))
    return figures


def left_out(run):
    """What is not drawn of how the autoencoder was pretrained, and why, in a sentence; "" if all is."""
    given = run.settings.get("ae_weights")
    parts = ["the pretraining's curve"] if given else []
    parts += ["reconstructions"] if run.image_shape is not None and not run.decoders else []
    why = (
        f"the autoencoder was not pretrained in this run but given, {given}" if given else "ae_weights.h5 is not there"
    )
    return f"Left out: {' and '.join(parts)}, since {why}." if parts else ""


def run_figures(run, views, paper=False):
    """{file name: (caption, Figure, or None where it does not apply)} of a run; views are `embedding_views`'."""

    def title(text=""):
        return None if paper else run.title + text

    log = read_log(run.folder.log(run.method))
    layerwise = run.settings.get("pretraining", "layerwise") == "layerwise"
    files = {f"layer {i}": run.folder.layer_log(i) for i in range(100)} if layerwise else {}
    files |= {"whole": run.folder.pretrain_log} if pretrained_here(run.settings) else {}
    pretraining = {name: rows for name, file in files.items() if (rows := read_log(file))}
    curves = training_curves(pretraining, log, title(), run.settings.get("tol")) if log or pretraining else None
    made = {"training": ("Training", curves)}
    for name, method, panels in embedding_panels(run, views):
        shown = "" if len(run.sample) == len(run.q) else f", {len(run.sample):,} of {len(run.q):,} samples"
        heading, legends = title(f": codes by {method}{shown}"), ("clusters", "labels")[: len(panels[0])]
        made[f"embedding_{name}"] = f"Embedding, {method}", embedding(panels, heading, legends)
    if run.y is not None:
        made["confusion"] = "Classes and clusters", confusion(run.y, run.labels, title(": classes and clusters"))
    made["sizes"] = "Cluster sizes", cluster_sizes(run.labels, run.n_clusters, title(": samples of each cluster"))
    if run.image_shape is not None:
        made["top_samples"] = "Top samples", top_samples(best_of_each(run), title(": surest samples"))
        if run.decoders:
            rows, clusters, errors = one_each(run)
            made["reconstructions"] = (
                "Reconstructions",
                reconstructions(rows, title(": reconstructions"), clusters, errors),
            )
    if run.terms is not None:
        words = "terms" if run.x.is_sparse else "features"  # few columns of a table are words
        figure = top_terms(run.x.matrix(), run.labels, run.n_clusters, run.terms, title(f": {words} of each cluster"))
        made["top_terms"] = f"Top {words}", figure
    return made


def embedding_views(run):
    """The sample's codes in the plane: [(file name, method, when, points `(m, 2)`, names of the axes or None)]."""
    views = []
    for when, z in (("before", run.start_z), ("after", run.z)):
        if z is not None:
            points, axes = pca(z[run.sample])
            views.append(("pca", "PCA", when, points, axes))
            name, points = neighbours(z[run.sample])
            views.append((name.lower().replace("-", ""), name, when, points, None))
    return views


def embedding_panels(run, views):
    """(file name, method, panels) for `embedding`, of each method: before over after, by cluster beside by label."""
    clusters = {cluster: str(cluster) for cluster in range(run.n_clusters)}
    start_labels = run.labels if run.start_q is None else run.start_q.argmax(axis=1)
    y, y_styles = label_styles(run)
    for name, method in dict((view[0], view[1]) for view in views).items():
        panels = []
        for _, _, when, points, axes in (view for view in views if view[0] == name):
            labels, styles = group_styles(start_labels if when == "before" else run.labels, clusters)
            by = "final cluster" if when == "before" and run.start_q is None else "cluster"
            row = [(f"{when} clustering, by {by}", points, axes, labels[run.sample], styles)]
            if y_styles is not None:
                row.append((f"{when} clustering, by label", points, axes, y[run.sample], y_styles))
            panels.append(row)
        yield name, method, panels


def label_styles(run):
    """`group_styles` of the true labels, each class in the style of the cluster that it is matched to; or two None."""
    if run.y is None:
        return None, None
    _, classes, found, pairs = metrics.match(run.y, run.labels)
    classes = classes.tolist()
    matched = {classes[row]: int(found[column]) for row, column in pairs}
    return group_styles(run.y, {name: str(name) for name in classes}, matched)


def class_styles(run):
    """{class: index of colour and marker}; {} without labels."""
    y, styles = label_styles(run)
    return (
        {} if y is None else {name: styles[group].index for name, group in zip(run.y.tolist(), y.tolist(), strict=True)}
    )


def best_of_each(run):
    """The best samples of each cluster, and how many it has in its name: {name: images}, for `top_samples`."""
    ranked = map(run.ranked, range(run.n_clusters))
    return {f"{cluster}  ({len(rows):,})": run.images(rows[:TOP]) for cluster, rows in enumerate(ranked)}


def one_each(run, most=20):
    """One sample of each cluster, and what each decoder makes of them, for `reconstructions`.

    Returns:
        {name: images}, the clusters, and {decoder: mean squared error of each}.
    """
    rng = np.random.default_rng(0)
    clusters = np.unique(run.labels)[:most]
    rows = np.array([rng.choice(np.flatnonzero(run.labels == cluster)) for cluster in clusters])
    x = run.x.rows(rows)
    decoded = {name: decode(x) for name, decode in run.decoders.items()}
    errors = {name: np.square(made - x).mean(axis=1) for name, made in decoded.items()}
    images = {name: run.images(rows, made) for name, made in decoded.items()}
    return {"sample": run.images(rows), **images}, clusters.tolist(), errors


def training_data(model_file, dataset=None):
    """The samples that a model was trained on, scaled as they were, their labels or None, and `reading.About` them.

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
    """What `reading.About` the data tells `load_run`; the terms of an image would be its pixels."""
    terms = about.features if about.image_shape is None else None
    return {"image_shape": about.image_shape, "terms": terms, "names": about.names}
