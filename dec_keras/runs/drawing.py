"""Draws a finished run: its figures and its page."""

import numpy as np

from dec_keras import metrics
from dec_keras.console import wrapped
from dec_keras.files.run_folder import writable_folder
from dec_keras.files.untrusted import read_log
from dec_keras.plots.clusters import TOP, cluster_sizes, confusion, reconstructions, top_samples, top_terms
from dec_keras.plots.curves import training_curves
from dec_keras.plots.embedding import embedding, neighbours, pca
from dec_keras.plots.style import COLORS, MARKERS, group_styles, save
from dec_keras.runs import page
from dec_keras.runs.saved_run import pretrained_here

MOST = 20  # maximum number of samples shown with their reconstructions


def draw(run, paper=False):
    """Draws all figures that apply to a run into `<run>/figures/`, as PNG and SVG, and writes `<run>/report.html`.

    Args:
        run: a Run.
        paper: draws into `<run>/figures/paper/` instead, as PDF and PNG, without titles and at the width of a paper's
            column, and writes no page.

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
    print(wrapped(f"Figures saved to {folder}: {', '.join(figures)}{where}"))
    if left_out(run):
        print(wrapped(left_out(run)))
    return figures


def left_out(run):
    """A sentence on the figures of the autoencoder that are left out, and why; "" if none is."""
    given = run.settings.get("ae_weights")
    parts = ["the pretraining's curve"] if given else []
    parts += ["reconstructions"] if run.image_shape is not None and not run.decoders else []
    why = (
        f"the autoencoder was not pretrained in this run but given, {given}" if given else "ae_weights.h5 is not there"
    )
    return f"Left out: {' and '.join(parts)}, since {why}." if parts else ""


def run_figures(run, views, paper=False):
    """{file name: (caption, Figure, or None if it does not apply)} of a run; `views` are those of `embedding_views`."""

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
        words = "terms" if run.x.is_sparse else "features"  # columns of a table are seldom words
        figure = top_terms(run.x, run.labels, run.n_clusters, run.terms, title(f": {words} of each cluster"))
        made["top_terms"] = f"Top {words}", figure
    return made


def embedding_views(run):
    """Codes of `run.sample` in the plane: [(file name, method, when, points `(m, 2)`, names of the axes or None)]."""
    views = []
    for when, z in (("before", run.start_z), ("after", run.z)):
        if z is not None:
            points, axes = pca(z[run.sample])
            views.append(("pca", "PCA", when, points, axes))
            name, points = neighbours(z[run.sample])
            views.append((name.lower().replace("-", ""), name, when, points, None))
    return views


def embedding_panels(run, views):
    """Yields (file name, method, panels for `embedding`) of each method: before above after, clusters beside labels."""
    clusters = {cluster: str(cluster) for cluster in range(run.n_clusters)}
    at_start = run.start_labels
    start_labels = run.labels if at_start is None else at_start
    y, y_styles = label_styles(run)
    for name, method in dict((view[0], view[1]) for view in views).items():
        panels = []
        for _, _, when, points, axes in (view for view in views if view[0] == name):
            labels, styles = group_styles(start_labels if when == "before" else run.labels, clusters)
            by = "final cluster" if when == "before" and at_start is None else "cluster"
            row = [(f"{when} clustering, by {by}", points, axes, labels[run.sample], styles)]
            if y_styles is not None:
                row.append((f"{when} clustering, by label", points, axes, y[run.sample], y_styles))
            panels.append(row)
        yield name, method, panels


def label_styles(run):
    """`group_styles` of the true labels, each class styled as its matched cluster; (None, None) without labels."""
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
    """{cluster and its number of samples, as text: images of its best samples}, for `top_samples`."""
    ranked = map(run.ranked, range(run.n_clusters))
    return {f"{cluster}  ({len(rows):,})": run.images(rows[:TOP]) for cluster, rows in enumerate(ranked)}


def one_each(run):
    """One sample of each of the first `MOST` clusters, and its reconstruction by each decoder, for `reconstructions`.

    Returns:
        {name: images}, the clusters, and {decoder: mean squared error of each}.
    """
    rng = np.random.default_rng(0)
    clusters = np.unique(run.labels)[:MOST]
    rows = np.array([rng.choice(np.flatnonzero(run.labels == cluster)) for cluster in clusters])
    x = run.x.rows(rows)
    decoded = {name: decode(x) for name, decode in run.decoders.items()}
    errors = {name: np.square(made - x).mean(axis=1) for name, made in decoded.items()}
    images = {name: run.images(rows, made) for name, made in decoded.items()}
    return {"sample": run.images(rows), **images}, clusters.tolist(), errors
