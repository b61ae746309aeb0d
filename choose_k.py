"""How many clusters? Clusters a data set into k = 2, 3, ... clusters on one pretrained autoencoder, and compares.

    python choose_k.py --dataset usps --ae_weights ae_weights/usps_ae_weights.h5
    python choose_k.py --dataset my_data.npy --k 2:30 --save_dir results/how_many
    python choose_k.py -h

For every k, from the same weights: the DEC paper's generalizability G (section "Number of Clusters"), and how compact
and separate the clusters are. README.md says how far each can be trusted.
"""

import argparse
import csv
import io
import json
import logging
import math
import re
import zlib
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from scipy.special import rel_entr

import batches
import cli
import figures
import metrics
from batches import checksum
from checkpoint import as_json
from clustering import kmeans_start, target_distribution
from DEC import DEC
from files import InputError, errors_told, only_run, writable_folder, write_csv, write_text
from settings import in_numbers
from untrusted import read_json, told
from weights import resolve_h5

SAMPLE = 2000  # samples whose silhouettes are taken: they are compared pair by pair
CLOSE = 0.98  # of the best silhouette: nearly as good
FARTHEST = 0.25  # of k, that the criteria's best k may be apart for a clear answer
SCORES = ("acc", "nmi", "ari")  # of data with labels
COLUMNS = (
    *("k", "silhouette_x", "silhouette", "inertia", "generalizability", "train_loss", "validation_loss"),
    *("iterations", *SCORES),
)


class ChooseK:
    """In place of a method where cli.py asks for one that has a name: its options are DEC.py's."""

    name = "choose_k"


def main(arguments=None):
    """Compares numbers of clusters from the command line; bad input ends in a sentence and exit code 2."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of the many models, one a k
    args = parse(arguments)
    with errors_told("choose_k.py", "Stopped. The same command goes on."):
        run(args)


def parse(arguments=None):
    """The command line as a namespace: `k` (a range), `validation`, and DEC.py's."""
    parser = argparse.ArgumentParser(
        prog="choose_k.py",
        description="Compare numbers of clusters on one pretrained autoencoder, and suggest one.",
        epilog="All other options are DEC.py's (python DEC.py -h), such as --dataset, --protocol, --ae_weights, "
        "--seed, --maxiter, --pretrain_epochs, --batch_size, --save_dir (here results/choose_k by default).",
        allow_abbrev=False,
    )
    numbers = "the numbers of clusters to compare, from:to (default: 2:20)"
    parser.add_argument("--k", type=cli._argument(_numbers), default=range(2, 21), metavar="FROM:TO", help=numbers)
    share = "share of the samples that G's validation loss is taken on (default: %(default)s)"
    parser.add_argument("--validation", type=cli._share, default=0.2, metavar="SHARE", help=share)
    own, others = parser.parse_known_args(arguments)
    args = cli.parse(ChooseK, ["--save_dir", f"results/{ChooseK.name}", *others])
    if args.n_clusters is not None or args.figures or args.tensorboard or args.strategy != "none":
        parser.error(
            "--n_clusters, --figures, --tensorboard and --strategy are for one number of clusters: say which to "
            "compare with --k"
        )
    args.k, args.validation, args.n_clusters = own.k, own.validation, own.k[-1]
    args.resume = True  # whatever is there already of these settings
    return args


def _numbers(text):
    parts = re.fullmatch(r"(\d+):(\d+)", text)
    first, last = map(int, parts.groups()) if parts else (0, 0)
    if not 2 <= first < last:
        raise InputError(f"the value is {text}: give the smallest, at least 2, and the largest number, such as 2:20.")
    return range(first, last + 1)


def run(args):
    """Pretrains (or loads pretrained weights), measures each k that is not there yet, suggests one, and draws.

    Returns:
        k or None, and the reason in words, as `suggest` gives them.
    """
    with only_run(writable_folder(args.save_dir)):
        return _run(args)


def _run(args):
    settings = cli.settings_in_force(cli.protocol_settings(DEC, args), args)
    data = cli.prepare(args, settings)
    settings = in_numbers(settings, data[0].shape[0], args.batch_size)
    held_out = validation_rows(data[0].shape[0], args)
    folder = args.save_dir
    this_run = identity(args, settings, data[0])
    if (rows := earlier_rows(folder, this_run)) is None:
        rows = {}
        if not args.ae_weights:
            cli.pretrain(cli.build(DEC, args, settings, *data), data[0], None, args, settings)
        write_text(folder / "settings.json", json.dumps(this_run, indent=1))
    args.ae_weights = args.ae_weights or folder / "ae_weights.h5"
    print("  ".join(f"{name:>{max(len(name), 6)}}" for name in COLUMNS))
    for k in args.k:
        if k not in rows:
            rows[k] = measure(k, args, settings, data, held_out)
            write_csv(folder / "choose_k.csv", COLUMNS, [rows[k] for k in sorted(rows)])
        cells = [f"{_shown(rows[k][name]):>{max(len(name), 6)}}" for name in COLUMNS]
        print("  ".join(cells), flush=True)
    rows = [rows[k] for k in args.k]
    k, reason = suggest(rows)
    title = f"{Path(args.dataset).name}: how many clusters?"
    figures.save(figures.numbers_of_clusters(rows, best(rows), k, reason, title), folder / "choose_k")
    print(f"\n{reason}\nSaved to {folder}: choose_k.csv, choose_k.png, choose_k.svg")
    return k, reason


def _shown(value):
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def validation_rows(n, args):
    """The share --validation of n samples, at random by the seed: bool array of shape `(n,)`."""
    n_held_out = round(args.validation * n)
    if min(n_held_out, n - n_held_out) < args.k[-1]:
        raise InputError(
            f"--validation {args.validation} holds out {n_held_out} of {n} samples: both parts must have at least as "
            f"many as there are clusters, {args.k[-1]}."
        )
    held_out = np.zeros(n, bool)
    held_out[np.random.RandomState(args.seed).permutation(n)[:n_held_out]] = True
    return held_out


def identity(args, settings, x):
    """What a row of choose_k.csv depends on beside its k, as JSON holds it."""
    names = ("dataset", "protocol", "batch_size", "maxiter", "tol", "seed", "validation", "ae_weights")
    given = {name: getattr(args, name) for name in names} | asdict(replace(settings, scale=None))  # x is scaled already
    weights = args.ae_weights and zlib.crc32(resolve_h5(args.ae_weights).read_bytes())
    return as_json(given | {"samples": x.shape, "checksum": checksum(x), "checksum_of_weights": weights})


def earlier_rows(folder, this_run):
    """Rows by k of an earlier run of the same settings, which this one goes on with; None if there was no run.

    Raises:
        InputError: if the folder is another run's, or its table is damaged.
    """
    path = folder / "settings.json"
    if not path.exists():
        return None
    if read_json(path) != this_run:
        raise InputError(f"{folder} has the results of other data or settings: choose another --save_dir, or empty it.")
    table = folder / "choose_k.csv"
    return told(_rows_by_k, [table], "no table of choose_k.py") if table.exists() else {}


def _rows_by_k(paths):
    with open(paths[0], newline="", encoding="utf-8") as file:
        rows = [{name: _number(row[name], name in SCORES) for name in COLUMNS} for row in csv.DictReader(file)]
    return {row["k"]: row for row in rows}


def _number(text, may_be_missing):
    if may_be_missing and not text:
        return None
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} in place of a number")
    return int(number) if text.isdigit() else number


def measure(k, args, settings, data, held_out):
    """k-means and DEC with k clusters, from the pretrained weights and the seed: a row of choose_k.csv.

    DEC's clustering phase trains on the samples that are not held out: a copy of them, in memory.
    """
    x, y, *how, _ = data
    dec = cli.build(DEC, args, settings, x, y, *how, k)
    codes = dec.extract_features(x)
    centers, kmeans_labels = kmeans_start(codes, k, args.seed)
    with redirect_stdout(io.StringIO()):
        cli.cluster(dec, x[~held_out], None, argparse.Namespace(**vars(args) | {"save_dir": None}), settings)
    q = dec.soft_labels(x)
    labels, sample = q.argmax(axis=1), np.random.default_rng(args.seed).permutation(len(q))[:SAMPLE]
    train_loss, validation_loss = clustering_loss(q[~held_out]), clustering_loss(q[held_out])
    return {
        "k": k,
        "silhouette_x": metrics.silhouette(batches.rows(x, sample), labels[sample]),
        "silhouette": metrics.silhouette(codes[sample], kmeans_labels[sample]),
        "inertia": float(np.square(codes - centers[kmeans_labels], dtype=np.float64).sum()),
        "generalizability": train_loss / validation_loss if validation_loss > 0 else 1.0,  # 0: all codes are alike
        "train_loss": train_loss,
        "validation_loss": validation_loss,
        "iterations": dec.result.n_iter,
        **(dict.fromkeys(SCORES) if y is None else metrics.scores(y, labels)),
    }


def clustering_loss(q):
    """KL(P || Q) a sample, P being the target distribution of these samples (DEC paper, eq. 2)."""
    return float(rel_entr(target_distribution(q), q).sum(axis=1).mean())


def best(rows):
    """{column: the k that the criterion by itself would choose}."""
    k, inertia = (np.array([row[name] for row in rows], float) for name in ("k", "inertia"))
    ratios = np.array([row["generalizability"] for row in rows])
    chord = np.interp(k, k[[0, -1]], inertia[[0, -1]])
    chosen = {name: np.argmax([row[name] for row in rows]) for name in ("silhouette_x", "silhouette")}
    chosen |= {"inertia": np.argmax(chord - inertia), "generalizability": np.argmin(np.diff(ratios))}
    return {name: rows[i]["k"] for name, i in chosen.items()}


def suggest(rows):
    """A number of clusters, or None where there is no clear answer, and the reason in words.

    The k at which DEC's clusters are the most separate in the space of x, if k-means on the codes is at its best not
    far from there. G and the elbow of the inertia do not count: on data whose k is known they were off (README.md).

    Args:
        rows: of choose_k.csv, by k, at least two.
    """
    ks, chosen = [row["k"] for row in rows], best(rows)
    k, of_codes = chosen["silhouette_x"], chosen["silhouette"]
    highest = max(row["silhouette_x"] for row in rows)
    if highest <= 0:
        return None, f"No clear answer: at no number are the clusters separate (silhouette {highest:.3f} in x at best)."
    if k == ks[-1] or k == ks[0] > 2:
        end, others = ("largest", "larger") if k == ks[-1] else ("smallest", "smaller")
        why = f"the silhouette is highest at {k}, the {end} number compared"
        return None, f"No clear answer: {why}; compare {others} ones."
    if abs(k - of_codes) > FARTHEST * k:
        why = f"DEC's clusters are the most separate at {k} (silhouette {highest:.3f} in x)"
        return None, f"No clear answer: {why}, k-means' on the codes at {of_codes}."
    close = [row["k"] for row in rows if row["k"] != k and row["silhouette_x"] >= CLOSE * highest]
    also = f" Nearly as good: {', '.join(map(str, close))}." if close else ""
    where = "there too" if of_codes == k else f"at {of_codes}"
    why = f"DEC's clusters are the most separate there (silhouette {highest:.3f} in x), k-means' on the codes {where}"
    return k, f"Suggestion: {k} clusters. {why}.{also}"


if __name__ == "__main__":
    main()
