"""How many clusters? Clusters a data set into k = 2, 3, ... clusters on one pretrained autoencoder, and compares.

Every k starts from the same weights. The measures are the DEC paper's generalizability G (section "Number of
Clusters"), and how compact and separate the clusters are. docs/how-many-clusters.md says how far to trust each.
"""

import csv
import io
import json
import math
import zlib
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.special import rel_entr

from dec_keras import metrics
from dec_keras.console import wrapped
from dec_keras.errors import InputError
from dec_keras.files.atomic import write_csv, write_text
from dec_keras.files.run_folder import lock_folder, resolve_h5, run_folder
from dec_keras.files.untrusted import explain_errors, read_json
from dec_keras.method.initial_centers import kmeans_start
from dec_keras.method.model import target_distribution
from dec_keras.plots.curves import numbers_of_clusters
from dec_keras.plots.style import save
from dec_keras.runs.run import build, prepare
from dec_keras.training.checkpoint import as_json

CLOSE = 0.98  # share of the best silhouette that counts as nearly as good
FARTHEST = 0.25  # the two criteria's best k may differ by this share of k for a clear answer
COLUMNS = (
    *("k", "silhouette_x", "silhouette", "inertia", "generalizability", "train_loss", "validation_loss"),
    *("iterations", *metrics.SCORES),  # scores only with labels
)
HEADINGS = ("k", "sil_x", "sil", "inertia", "G", "train", "valid", "batches", "ACC", "NMI", "ARI")  # as printed
ROW = "{:>3} {:>6} {:>6} {:>8} {:>5} {:>8} {:>8} {:>7} {:>5} {:>5} {:>5}"
LEGEND = "sil_x, sil: silhouettes in the space of x and of the codes; G: generalizability; train, valid: losses."


def choose_k(method, config, ks, validation, save_dir, verbose=1):
    """Pretrains (or loads pretrained weights), measures each k that has no row yet, suggests one, and draws.

    Args:
        method: the class DEC.
        config: RunConfig, whose n_clusters is the largest k.
        ks: range of numbers of clusters.
        validation: share of the samples held out for G's validation loss.
        save_dir: Path.
        verbose: verbosity of the pretraining, as for `DEC.pretrain`.

    Returns:
        k or None, and the reason in words, as `suggest` gives them.
    """
    folder = run_folder(save_dir)
    with lock_folder(folder.path):
        config, data = prepare(config)
        held_out = validation_rows(len(data.x), validation, config)
        identity = _identity(config, data.x, validation)
        if (rows := earlier_rows(folder.path, identity)) is None:
            rows = {}
            if not config.ae_weights:
                dec = build(method, config, data)
                config.pretrain(dec, data.x, save_dir=folder.path, resume=True, verbose=verbose)
            write_text(folder.path / "settings.json", json.dumps(identity, indent=1))
        config = replace(config, ae_weights=config.ae_weights or folder.ae_weights)
        print(f"{wrapped(LEGEND)}\n{ROW.format(*HEADINGS)}")
        for k in ks:
            if k not in rows:
                rows[k] = measure(method, replace(config, n_clusters=k), data, held_out)
                write_csv(folder.path / "choose_k.csv", COLUMNS, [rows[k] for k in sorted(rows)])
            print(ROW.format(*(_shown(name, rows[k][name]) for name in COLUMNS)), flush=True)
    rows = [rows[k] for k in ks]
    k, reason = suggest(rows)
    title = f"{Path(config.dataset).name}: how many clusters?"
    save(numbers_of_clusters(rows, best(rows), k, reason, title), folder.path / "choose_k")
    print(f"\n{wrapped(reason)}\n" + wrapped(f"Saved to {folder.path}: choose_k.csv, choose_k.png, choose_k.svg"))
    return k, reason


def _shown(name, value):
    if not isinstance(value, float):
        return "-" if value is None else str(value)
    return f"{value:.3g}" if name in ("inertia", "train_loss", "validation_loss") else f"{value:.3f}"


def validation_rows(n, share, config):
    """A random share of n samples, drawn by the config's seed: bool array of shape `(n,)`."""
    n_held_out = round(share * n)
    if min(n_held_out, n - n_held_out) < config.n_clusters:
        raise InputError(
            f"--validation {share} holds out {n_held_out} of {n} samples: both parts must have at least as "
            f"many as there are clusters, {config.n_clusters}."
        )
    held_out = np.zeros(n, bool)
    held_out[np.random.RandomState(config.seed).permutation(n)[:n_held_out]] = True
    return held_out


def _identity(config, x, validation):
    """Everything except k that a row of choose_k.csv depends on, in JSON's types."""
    settings = config.as_json() | {"n_clusters": None, "scale": None}  # x is scaled already
    weights = config.ae_weights and zlib.crc32(resolve_h5(config.ae_weights).read_bytes())
    data = {"samples": x.shape, "checksum": x.checksum, "checksum_of_weights": weights}
    return as_json(settings | {"validation": validation} | data)


def earlier_rows(folder, this_run):
    """{k: row} of an earlier run with the same settings, which this run continues; None if there was no run.

    Raises:
        InputError: if the folder belongs to another run, or its table is damaged.
    """
    path = folder / "settings.json"
    if not path.exists():
        return None
    if read_json(path) != this_run:
        raise InputError(f"{folder} has the results of other data or settings: choose another --save_dir, or empty it.")
    table = folder / "choose_k.csv"
    return explain_errors(_rows_by_k, [table], "no table of choose_k.py") if table.exists() else {}


def _rows_by_k(paths):
    with open(paths[0], newline="", encoding="utf-8") as file:
        rows = [{name: _number(row[name], name in metrics.SCORES) for name in COLUMNS} for row in csv.DictReader(file)]
    return {row["k"]: row for row in rows}


def _number(text, may_be_missing):
    if may_be_missing and not text:
        return None
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} in place of a number")
    return int(number) if text.isdigit() else number


def measure(method, config, data, held_out):
    """Runs k-means and DEC with k clusters from the pretrained weights and the seed; returns a row of choose_k.csv.

    DEC's clustering phase trains on the samples that are not held out, which are copied into memory.
    """
    x, k = data.x, config.n_clusters
    dec = build(method, config, data)
    codes = dec.extract_features(x)
    centers, kmeans_labels, *_ = kmeans_start(codes, k, config.seed)
    with redirect_stdout(io.StringIO()):
        dec.fit(x.take(~held_out), **config.fit_arguments(), save_dir=None)
    q = dec.soft_labels(x)
    labels = q.argmax(axis=1)
    sample = np.random.default_rng(config.seed).permutation(len(q))[: metrics.SILHOUETTE_SAMPLES]
    train_loss, validation_loss = clustering_loss(q[~held_out]), clustering_loss(q[held_out])
    return {
        "k": k,
        "silhouette_x": metrics.silhouette(x.rows(sample), labels[sample]),
        "silhouette": metrics.silhouette(codes[sample], kmeans_labels[sample]),
        "inertia": float(np.square(codes - centers[kmeans_labels], dtype=np.float64).sum()),
        "generalizability": train_loss / validation_loss if validation_loss > 0 else 1.0,  # 0: all codes are alike
        "train_loss": train_loss,
        "validation_loss": validation_loss,
        "iterations": dec.result.n_iter,
        **(dict.fromkeys(metrics.SCORES) if data.y is None else metrics.scores(data.y, labels)),
    }


def clustering_loss(q):
    """Mean KL(P || Q) per sample; P is the target distribution of these samples (DEC paper, eq. 2)."""
    return float(rel_entr(target_distribution(q), q).sum(axis=1).mean())


def best(rows):
    """{column: the k that this criterion alone would choose}."""
    k, inertia = (np.array([row[name] for row in rows], float) for name in ("k", "inertia"))
    ratios = np.array([row["generalizability"] for row in rows])
    chord = np.interp(k, k[[0, -1]], inertia[[0, -1]])
    chosen = {name: np.argmax([row[name] for row in rows]) for name in ("silhouette_x", "silhouette")}
    chosen |= {"inertia": np.argmax(chord - inertia), "generalizability": np.argmin(np.diff(ratios))}
    return {name: rows[i]["k"] for name, i in chosen.items()}


def suggest(rows):
    """A number of clusters, or None where there is no clear answer, and the reason in words.

    The suggestion is the k at which DEC's clusters are the most separate in the space of x, if the best k of k-means on
    the codes is close to it. G and the elbow of the inertia do not count, since they were wrong on data whose k is
    known, see docs/how-many-clusters.md.

    Args:
        rows: at least two rows of choose_k.csv, sorted by k.
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
