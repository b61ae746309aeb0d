"""Measures each idea of the protocol `best` (start x first P x augmentation) with DEC on one data set.

    python -m benchmarks.ablation --dataset usps --seeds 5 --maxiter 4000 --out results/ablation

`--out` keeps autoencoders and rows; the same command continues with the missing ones. Prints the means.
"""

import argparse
import csv
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from time import time

import numpy as np

from DEC import DEC
from dec_keras import metrics
from dec_keras.files.atomic import write_csv
from dec_keras.method.initial_centers import STARTS
from dec_keras.method.protocols import MAXITER
from dec_keras.runs.config import RunConfig
from dec_keras.runs.run import build, prepare
from dec_keras.sweeps.report import markdown

COLUMNS = ("dataset", "augment", "start", "first_p", "seed", "start_acc", "acc", "nmi", "iterations", "seconds")
VARIANTS = (("kmeans", "Q"), ("gmm", "Q"), ("manifold", "Q"), ("manifold", "posterior"))


def rows_of(dataset, seed, augment, maxiter, folder):
    """Yields the rows of all variants with one autoencoder, pretrained as in `best` except for `augment`."""
    config, data = prepare(RunConfig("DEC", dataset, protocol="best", seed=seed, augment=augment, maxiter=maxiter))
    kind = "augmented" if augment in ("pretraining", "both") else "plain"
    pretrained = folder / f"{dataset}_{kind}_{seed}"
    dec = build(DEC, config, data)
    config.pretrain(dec, data.x, save_dir=pretrained, resume=True)
    codes, config = dec.extract_features(data.x), replace(config, ae_weights=pretrained / "ae_weights.h5")
    starts = {name: STARTS[name](codes, config.n_clusters, seed) for name in dict(VARIANTS)}
    for name, first_p in VARIANTS:
        start, begun = starts[name], time()
        start = start if first_p == "posterior" else start._replace(posterior=None)
        dec = build(DEC, config, data)
        dec.fit(data.x, **config.fit_arguments() | {"start": start}, save_dir=None)
        scores = {score: getattr(metrics, score)(data.y, dec.result.labels) for score in ("acc", "nmi")}
        yield {
            **{"dataset": dataset, "augment": augment, "start": name, "first_p": first_p, "seed": seed},
            **{"start_acc": metrics.acc(data.y, start.labels), **scores},
            **{"iterations": dec.result.n_iter, "seconds": round(time() - begun, 1)},
        }


def read_rows(path):
    """The rows of a CSV file of this benchmark, with values as text; [] if there is no file yet."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(rows):
    """Markdown: mean and worst ACC and mean NMI, in %, of each variant."""
    head = (*COLUMNS[:4], "seeds", "start ACC", "ACC", "worst", "NMI", "batches")
    lines = [head]
    for key, group in groupby(rows, lambda row: [row[name] for name in COLUMNS[:4]]):
        group = list(group)
        start, acc, nmi = (100 * np.array([float(row[name]) for row in group]) for name in ("start_acc", "acc", "nmi"))
        batches = np.mean([int(row["iterations"]) for row in group])
        numbers = [f"{value:.1f}" for value in (start.mean(), acc.mean(), acc.min(), nmi.mean())]
        lines.append([*key, str(len(group)), *numbers, f"{batches:.0f}"])
    return markdown(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", default="usps")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--augment", nargs="+", default=["none", "pretraining", "both"])
    compared = "most batches; it is not compared with that of rows in --out: for another give another folder"
    parser.add_argument("--maxiter", type=int, default=MAXITER, help=f"{compared} (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results/ablation"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{args.dataset}.csv"
    rows = read_rows(path)
    done = {(row["augment"], int(row["seed"])) for row in rows}
    for seed in range(args.seeds):
        for augment in args.augment:
            if (augment, seed) not in done:
                rows += rows_of(args.dataset, seed, augment, args.maxiter, args.out)
                rows.sort(key=lambda row: [str(row[name]) for name in COLUMNS[:5]])
                write_csv(path, COLUMNS, rows)
    print(table(rows))


if __name__ == "__main__":
    main()
