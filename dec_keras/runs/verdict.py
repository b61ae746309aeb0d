"""The report at the end of a run: the clusters' quality with and without labels, time, memory, and the next command."""

import shlex
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from dec_keras import metrics
from dec_keras.console import wrapped
from dec_keras.data import reading
from dec_keras.method.initial_centers import kmeans_start
from dec_keras.method.protocols import STARTS
from dec_keras.runs.record import peak_memory

KMEANS_SAMPLE = 10_000  # maximum for k-means on x, which compares samples in all features
KMEANS_RESTARTS = 5
NOISE = 0.02  # largest fall of a sampled silhouette that counts as chance
DIGIT = 1e-4  # the last digit printed
WHEN = ("start", "end")  # the keys of quality in run.json


@dataclass(frozen=True)
class Quality:
    """How good clusters are.

    Attributes:
        scores: {"acc": ..., "nmi": ..., "ari": ...} with labels; {} without labels.
        silhouette: mean silhouette on a subset of the samples, in the space of x; -1 if there is only one cluster.
        confidence: mean of the samples' highest q.
        unsure: share of the samples whose highest q is below `metrics.UNSURE`.
    """

    scores: dict
    silhouette: float
    confidence: float
    unsure: float

    def fell_since(self, start):
        """{measure: (value at the start, value now)} if the clusters are worse than the start's; {} if they are not.

        With labels, they are worse if ACC and NMI fell; without, if the silhouette or the mean confidence fell.
        """
        if self.scores:
            pairs = {name.upper(): (start.scores[name], self.scores[name]) for name in ("acc", "nmi")}
            return pairs if all(now < before for before, now in pairs.values()) else {}
        pairs = {
            "silhouette": (start.silhouette, self.silhouette, NOISE),
            "mean confidence": (start.confidence, self.confidence, DIGIT),
        }
        return {name: (before, now) for name, (before, now, chance) in pairs.items() if now < before - chance}


def qualities(dec, x, y):
    """The Quality of a run's start and of its end; both silhouettes use the same samples."""
    sample = np.sort(np.random.default_rng(0).permutation(len(x))[: metrics.SILHOUETTE_SAMPLES])
    points, result = x.take(sample).matrix(), dec.result

    def quality(labels, confidence):
        scores = {} if y is None else metrics.scores(y, labels)
        return Quality(scores, metrics.silhouette(points, labels[sample]), *confidence)

    start = quality(result.start_labels, result.start_confidence)
    return start, quality(result.labels, metrics.confidence(result.q))


def kmeans_on_x(x, y, n_clusters, seed):
    """A baseline without a network: scores of k-means on x, time in seconds, and number of samples.

    It uses few restarts and at most `KMEANS_SAMPLE` samples, so that it takes only seconds.
    """
    begun = perf_counter()
    sample = np.sort(np.random.default_rng(0).permutation(len(x))[: max(KMEANS_SAMPLE, n_clusters)])
    labels = kmeans_start(x.take(sample).matrix(), n_clusters, seed, n_init=KMEANS_RESTARTS).labels
    return metrics.scores(y[sample], labels), perf_counter() - begun, len(sample)


def report(dec, config, data, folder, errors, seconds, options):
    """Prints the report; returns the part of it for run.json.

    Args:
        dec: DEC or IDEC, after `fit`.
        config: RunConfig. data: Data. folder: RunFolder. options: RunOptions.
        errors: reconstruction errors of the start and the end.
        seconds: Time of the run so far in seconds.
    """
    result, y = dec.result, data.y
    start, end = qualities(dec, data.x, y)
    names = f"AE + {STARTS[result.start or config.start]}", dec.name
    rows, said = [], {}
    if y is not None:
        scores, took, n = kmeans_on_x(data.x, y, dec.n_clusters, config.seed)
        seconds += took
        rows.append(("k-means on x", scores, took, None))
        said["kmeans_on_x"] = scores | {"samples": n}
    rows.append((names[0], start.scores, dec.pretrain_seconds or 0.0, errors[0]))
    rows.append((names[1], end.scores, result.seconds, errors[1]))
    print("\n" + "\n".join(_score_lines(rows, y is not None)))
    if y is not None:
        print(f"k-means on x: {KMEANS_RESTARTS} restarts, on {n} of {len(data.x)} samples.")
    sampled = f" of {min(metrics.SILHOUETTE_SAMPLES, len(data.x))} samples"
    print(f"\n{'Without labels':<18}{'silhouette in x':>17}{'mean confidence':>17}{f'below {metrics.UNSURE}':>12}")
    for name, quality in zip(names, (start, end), strict=True):
        print(f"{name:<18}{quality.silhouette:>17.4f}{quality.confidence:>17.4f}{quality.unsure:>12.1%}")
    print(f"The silhouette is{sampled}; confidence is a sample's highest q.\n")
    why = f"fewer than {config.tol:.2%} of the labels changed"
    why = why if result.stop_reason == "tol" else "--maxiter was reached"
    print(f"Batches trained: {result.n_iter}. Stopped since {why}.")
    changed = int(np.sum(result.labels != result.start_labels))
    print(f"{changed} of {len(result.labels)} samples changed their cluster since the start.")
    report_sizes(np.bincount(result.labels, minlength=dec.n_clusters))
    if fell := end.fell_since(start):
        said["warning"] = _worse(dec, folder, fell)
        print(f"Warning: {said['warning']}")
    files = [folder.model(dec.name), folder.log(dec.name), folder.labels, folder.embedding, folder.centers]
    files += [] if config.ae_weights else [folder.ae_weights, folder.pretrain_log]
    saved = f"Saved to {folder.path}: {', '.join(file.name for file in files)}"
    print(wrapped(saved))
    _close(folder, seconds, options)
    shown = {
        when: {"name": name} | vars(quality) for when, name, quality in zip(WHEN, names, (start, end), strict=True)
    }
    return said | {"quality": shown, "total_seconds": seconds, "peak_memory_mb": peak_memory()}


def summary(record):
    """The tables and the warning of `report` for people to read, from run.json.

    Args:
        record: contents of run.json, a dict; missing parts are left out.

    Returns:
        {"scores": {row: {name: value}}, "quality": the same, "warning": str}, all as text.
    """
    quality = [{"name": when} | record["quality"][when] for when in WHEN if when in record.get("quality", ())]
    rows = {str(row["name"]): row for row in quality}
    scores = {"k-means on x": record["kmeans_on_x"]} if "kmeans_on_x" in record else {}
    scores |= {name: row["scores"] for name, row in rows.items() if row["scores"]}
    shown = {"silhouette in x": ("silhouette", ".4f"), "mean confidence": ("confidence", ".4f")}
    shown |= {f"below {metrics.UNSURE}": ("unsure", ".1%")}
    return {
        "scores": {
            row: {name.upper(): f"{values[name]:.4f}" for name in metrics.SCORES} for row, values in scores.items()
        },
        "quality": {
            row: {head: format(values[name], form) for head, (name, form) in shown.items()}
            for row, values in rows.items()
        },
        "warning": str(record.get("warning", "")),
    }


def _score_lines(rows, scored):
    """Yields the table of (name, scores, seconds, reconstruction error or None); without labels it has no scores."""
    head = [f"{name:>8}" for name in map(str.upper, metrics.SCORES)] if scored else []
    yield f"{'':<18}" + "".join(head) + f"{'time':>10}{'reconstruction MSE':>21}"
    for name, scores, seconds, error in rows:
        cells = "".join(f"{value:>8.4f}" for value in scores.values())
        yield f"{name:<18}{cells}{seconds:8.1f} s" + ("" if error is None else f"{error:21.6f}")


def _worse(dec, folder, fell):
    changes = ", ".join(f"{name} {before:.4f} -> {now:.4f}" for name, (before, now) in fell.items())
    return (
        f"the clusters are worse than at the start ({changes}); {folder.model(dec.name, 0).name} has those of the "
        "start. A longer pretraining or another --start may help."
    )


def _close(folder, seconds, options):
    """Total time, peak memory, and the next command."""
    memory = peak_memory()
    took = f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
    print(f"Total: {took}" + ("" if memory is None else f", peak memory {memory / 1024:.1f} GB") + ".")
    if not options.figures:
        print(f"Next: python figures.py {shlex.quote(str(folder.path))}")


def report_sizes(sizes):
    """Prints the clusters' sizes, an int array of shape `(k,)`, and warns of empty and of dominant ones."""
    print("Cluster sizes:", " ".join(map(str, sizes)))
    if (empty := np.flatnonzero(sizes == 0)).size:
        numbers = f"number{'s'[: empty.size > 1]} {reading.listed(empty)}"
        print(f"Warning: {empty.size} of {len(sizes)} clusters are empty, {numbers}; fewer may fit the data better.")
    if sizes.max() > min(0.9, max(0.5, 2 / len(sizes))) * sizes.sum():
        share = 100 * sizes.max() // sizes.sum()
        print(
            f"Warning: one cluster holds {share}% of the samples; a longer pretraining, another seed or data scaled "
            "to about [0, 1] may help."
        )
