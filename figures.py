"""Draws a run: its figures, as PNG and SVG, and its page `report.html`.

    python figures.py results                            # a run's folder: what DEC.py or IDEC.py saved
    python figures.py results/IDEC_model_final.h5        # one of two models in a folder
    python figures.py results --dataset moved/data.npz   # where the data are now
    python figures.py results --terms words.txt          # names of the features, one per line: draws top terms
    python figures.py results --paper                    # without titles, at the width of a paper's column

The drawing functions take plain arrays and return a matplotlib Figure. Every group (cluster or class) has its name
beside it, and a colour that is distinct for the colour-blind and in grey. Beyond twelve groups the markers differ too.
"""

from pathlib import Path

from dec_keras.console import Parser, import_tensorflow, script_errors


def parse(arguments=None):
    """The command line as a namespace."""
    parser = Parser(prog="figures.py", description="Draw a run of DEC.py or IDEC.py.")
    parser.add_argument("run", help="the folder that it was saved to, or the model's file in it")
    parser.add_argument("--dataset", help="the data set's name or file (default: as the model's file says)")
    parser.add_argument("--terms", help="text file of the features' names, one a line: draws each cluster's top terms")
    paper = "draw for a paper: no titles, a column's width, PDF; in figures/paper/"
    parser.add_argument("--paper", action="store_true", help=paper)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run = parse().run  # first, since TensorFlow takes seconds to load
    print(f"Drawing {run}: embeddings, clusters and curves. This takes about a minute.", flush=True)
    import_tensorflow()

from dec_keras.errors import InputError
from dec_keras.plots.clusters import (
    as_images,
    cluster_sizes,
    confusion,
    distinctive_terms,
    reconstructions,
    top_samples,
    top_terms,
)
from dec_keras.plots.curves import numbers_of_clusters, training_curves
from dec_keras.plots.embedding import embedding, neighbours, pca
from dec_keras.plots.style import group_styles, save
from dec_keras.runs.drawing import (
    best_of_each,
    draw,
    embedding_panels,
    embedding_views,
    label_styles,
    one_each,
    run_figures,
)
from dec_keras.runs.saved_run import Run, find_model, load_run, shown, training_data

__all__ = [
    "Run",
    "as_images",
    "best_of_each",
    "cluster_sizes",
    "confusion",
    "distinctive_terms",
    "draw",
    "embedding",
    "embedding_panels",
    "embedding_views",
    "find_model",
    "group_styles",
    "label_styles",
    "load_run",
    "neighbours",
    "numbers_of_clusters",
    "one_each",
    "pca",
    "reconstructions",
    "run_figures",
    "save",
    "shown",
    "top_samples",
    "top_terms",
    "training_curves",
    "training_data",
]


def main(arguments=None):
    """Runs `python figures.py <run>`; bad input prints one sentence and exits with code 2."""
    args = parse(arguments)
    with script_errors("figures.py"):
        model_file = find_model(args.run)
        x, y, about = training_data(model_file, args.dataset)
        known = shown(about) | ({"terms": _lines_of(args.terms)} if args.terms else {})
        draw(load_run(model_file, x, y, **known), args.paper)


def _lines_of(path):
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"Cannot read the terms in {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8 ({error.reason}): save it so, one term a line.") from error


if __name__ == "__main__":
    main()
