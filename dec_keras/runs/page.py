"""A run's page, `report.html`: one file that needs no network. Its template is `page.html`.

Everything that comes from data or files is escaped: by Jinja in the page, and as JSON for the script.
"""

import base64
import io
from pathlib import Path

import jinja2
import numpy as np
from matplotlib.markers import MarkerStyle
from PIL import Image

from dec_keras.files.atomic import write_text
from dec_keras.plots.clusters import mean_and_deviation

THUMB = 28  # pixels; larger images are made smaller
SPRITE_COLUMNS = 50
GALLERY = 10  # number of surest samples shown per cluster, and of least sure ones
BYTES = 1_800_000  # of the samples; with the figures a page has about 3 MB
UNUSUAL = 5  # number of features shown of a sample that is no image


def write(path, run, drawn, views, class_styles, colors, markers, left_out=""):
    """Writes the page.

    Args:
        path: path of the HTML file.
        run: a `saved_run.Run`.
        drawn: [(caption, path of an SVG file)].
        views: points of `run.sample` in the plane, from `drawing.embedding_views`.
        class_styles: {class: index of colour and marker}, {} without labels; a cluster's index is its number.
        colors, markers: matplotlib's names of them.
        left_out: sentence from `drawing.left_out`.
    """
    loader = jinja2.FileSystemLoader(Path(__file__).resolve().parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    gallery = [_ends(run.ranked(cluster)) for cluster in range(run.n_clusters)]
    shown = np.unique(np.concatenate([run.sample, *map(np.concatenate, gallery)]))
    thumbs = None if run.image_shape is None else _sprite(run.images(shown))
    page = environment.get_template("page.html").render(
        title=run.title,
        settings=run.description,
        summary=run.summary,
        figures=[(caption, _uri("image/svg+xml", file.read_bytes())) for caption, file in drawn],
        clusters=[_cluster(run, cluster, shown, *rows) for cluster, rows in enumerate(gallery)],
        n=len(run.q),
        left_out=left_out,
        thumbs=thumbs,
        data=_scatter(run, views, shown)
        | {"groupings": _groupings(run, class_styles)}
        | {"colors": colors, "markers": [_outline(marker) for marker in markers]},
    )
    write_text(path, page)


def most_samples(run):
    """How many samples the page holds in about `BYTES`."""
    few = np.random.default_rng(0).permutation(len(run.q))[:200]
    of_each = 110 if run.names is None else 110 + np.mean([len(str(run.names[row])) for row in few])
    of_each += 10 * UNUSUAL if run.image_shape is None else len(str(_sprite(run.images(few))["uri"])) / len(few)
    return int(BYTES / of_each)


def _ends(ranked):
    """Rows of a cluster's surest samples, and of its least sure ones among the others."""
    return ranked[:GALLERY], ranked[GALLERY:][-GALLERY:]


def _cluster(run, cluster, shown, surest, least):
    """The gallery's data of a cluster; a sample is (name, place among `shown`)."""
    members = run.labels == cluster
    q = run.q[members, cluster]
    described = {
        "id": cluster,
        "size": int(members.sum()),
        "confidence": float(q.mean()) if len(q) else 0.0,
        "classes": [],
    }
    if run.y is not None and len(q):
        classes, counts = np.unique(run.y[members], return_counts=True)
        best = np.argsort(-counts, kind="stable")[:3]
        described["classes"] = [(str(classes[i]), float(counts[i] / len(q))) for i in best]
    rows = {"surest": surest, "least sure": least}
    described["samples"] = {
        name: [(_name(run, row), int(np.searchsorted(shown, row))) for row in rows] for name, rows in rows.items()
    }
    return described


def _name(run, row):
    return f"sample {row}" if run.names is None else str(run.names[row])


def _scatter(run, views, shown):
    """The data that the page's script draws, in JSON's types; points are whole numbers from 0 to 10,000."""
    rows = run.sample
    return {
        "views": [
            {"name": f"{method}, {when} clustering", "points": _whole(points)} for _, method, when, points, _ in views
        ],
        "names": [_name(run, row) for row in rows],
        "thumbs": np.searchsorted(shown, rows).tolist(),
        "clusters": run.labels[rows].tolist(),
        "confidence": [round(float(run.q[row].max()), 3) for row in rows],
        "features": run.terms and list(map(str, run.terms)),
        "unusual": [] if run.image_shape is not None else _unusual(run.x, rows),
        "clusters_at_start": [] if run.start_labels is None else run.start_labels[rows].tolist(),
        "labels": [] if run.y is None else np.unique(run.y, return_inverse=True)[1][rows].tolist(),
    }


def _unusual(x, rows):
    """[(feature, its distance from the mean in standard deviations)] of each sample, its farthest features first."""
    mean, deviation = mean_and_deviation(x)
    found = []
    for part in np.array_split(rows, -(-len(rows) // 500)):
        z = (x.rows(part) - mean) / deviation
        farthest = np.argsort(-np.abs(z), axis=1, kind="stable")[:, :UNUSUAL]
        found += [
            [(int(i), round(float(values[i]), 1)) for i in best] for best, values in zip(farthest, z, strict=True)
        ]
    return found


def _groupings(run, class_styles):
    """The groupings that can colour the points: the title of each, and names, sizes and styles of its groups in order.

    The clusters at the start are those of the figures "before clustering".
    """

    def of_clusters(title, labels):
        sizes = np.bincount(labels, minlength=run.n_clusters).tolist()
        clusters = list(range(run.n_clusters))
        return {"title": title, "names": [f"cluster {i}" for i in clusters], "sizes": sizes, "styles": clusters}

    found = {"clusters": of_clusters("cluster at the end", run.labels)}
    if run.start_labels is not None:
        found["clusters_at_start"] = of_clusters("cluster at the start", run.start_labels)
    if run.y is not None:
        classes, sizes = (values.tolist() for values in np.unique(run.y, return_counts=True))
        styles = [class_styles[name] for name in classes]
        names = [f"label {name}" for name in classes]
        found["labels"] = {"title": "label", "names": names, "sizes": sizes, "styles": styles}
    return found


def _whole(points):
    low, high = points.min(axis=0), points.max(axis=0)
    size = max(float((high - low).max()), 1e-12)
    return np.round((points - (low + high) / 2) / size * 10_000 + 5_000).astype(int).tolist()


def _outline(marker):
    """A marker of matplotlib's as a polygon in [-1, 1]."""
    style = MarkerStyle(marker)
    outline = style.get_path().transformed(style.get_transform()).to_polygons()[0]
    return np.round(outline / np.abs(outline).max(), 2).tolist()


def _sprite(images):
    """Thumbnails in one PNG, row by row: its data URI and measures."""
    height, width = images.shape[1:3]
    factor = min(1.0, THUMB / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    rows = -(-len(images) // SPRITE_COLUMNS)
    sheet = Image.new("L" if images.ndim == 3 else "RGB", (SPRITE_COLUMNS * size[0], rows * size[1]))
    for i, image in enumerate(images):
        row, column = divmod(i, SPRITE_COLUMNS)
        thumb = Image.fromarray(image)
        sheet.paste(thumb if factor == 1 else thumb.resize(size), (column * size[0], row * size[1]))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    zoom = max(1, round(THUMB / max(size)))  # enlargement of small images
    measures = {"width": size[0], "height": size[1], "columns": SPRITE_COLUMNS, "rows": rows, "zoom": zoom}
    return measures | {"uri": _uri("image/png", buffer.getvalue())}


def _uri(kind, content):
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
