"""The folder of a run: the names of its files, each defined only here, and its lock."""

import re
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from dec_keras.errors import InputError
from dec_keras.files.atomic import TEMPORARY

PHASES = ("pretrain", "dec", "idec")  # phases that save a checkpoint
FIGURES = (
    *("training", "embedding_pca", "embedding_tsne", "embedding_umap", "confusion", "sizes"),
    *("top_samples", "reconstructions", "top_terms"),
)


def _named(name):
    return property(lambda folder: folder.path / name)


@dataclass(frozen=True)
class RunFolder:
    """Paths in the folder of a run, `path`."""

    path: Path

    ae_weights, pretrain_log = _named("ae_weights.h5"), _named("pretrain_log.csv")
    record, report = _named("run.json"), _named("report.html")
    labels, embedding, centers = _named("labels.csv"), _named("embedding.npy"), _named("centers.npy")
    figures = _named("figures")

    def layer_log(self, i):
        return self.path / f"pretrain_layer_{i}_log.csv"

    def log(self, method):
        return self.path / f"{method.lower()}_log.csv"

    def checkpoint(self, phase):
        """phase: one of `PHASES`, in upper or lower case."""
        return self.path / f"{phase.lower()}_checkpoint.npz"

    def model(self, method, when="final"):
        """when: "final", or the number of batches trained."""
        return self.path / f"{method}_model_{when}.h5"

    def intermediate_models(self, method):
        """Paths of the saved models of all batches, including batch 0, the start; not the final model."""
        return [path for path in self.path.glob(f"{method}_model_*.h5") if re.search(r"_\d+\.h5$", path.name)]

    def tensorboard(self, phase):
        """phase: "pretraining", or the method."""
        return self.path / "tensorboard" / phase

    def clear(self, method, keep=()):
        """Deletes the files of an earlier run of the method, if the folder has a `run.json`.

        Files are chosen by their names, so the user's own files stay, and the other method's model and log too.

        Args:
            keep: paths of files that the new run reads.

        Returns:
            number of deleted files.
        """
        if not self.record.is_file():
            return 0
        kept = {Path(path).resolve() for path in keep}
        found = [path for path in self._of_a_run(method) if path.is_file() and path.resolve() not in kept]
        for path in found:
            path.unlink(missing_ok=True)
        return len(found)

    def _of_a_run(self, method):
        """Yields the paths that a run of the method may have written, except its checkpoints."""
        yield from (self.model(method), self.log(method), *self.intermediate_models(method))
        yield from (self.ae_weights, self.pretrain_log)
        yield from (path for path in self.path.glob("pretrain_layer_*_log.csv") if path.name.split("_")[2].isdigit())
        yield from (self.record, self.labels, self.embedding, self.centers, self.report)
        yield from (self.figures / f"{name}{ending}" for name in FIGURES for ending in (".png", ".svg"))
        for phase in ("pretraining", method):
            log = self.tensorboard(phase) / "train"
            yield from log.glob("events.out.tfevents.*")
            yield from (log / name for name in ("codes.tsv", "samples.tsv", "projector_config.pbtxt"))


@contextmanager
def lock_folder(folder, wait=False):
    """Locks `folder` against other runs during the block, and deletes half-written files of a killed run.

    Args:
        folder: Path; must exist.
        wait: whether to wait until the other run ends.

    Raises:
        InputError: if another run is in it, unless `wait`.
    """
    try:
        lock = filelock.FileLock(folder / ".lock", timeout=-1 if wait else 0).acquire()
    except filelock.Timeout:
        raise InputError(f"Another run writes to {folder}: wait for it, or choose another folder.") from None
    with lock:
        for leftover in folder.glob(f"{TEMPORARY}*"):
            leftover.unlink(missing_ok=True)
        yield


def writable_folder(path):
    """Makes the folder `path` if need be and returns it as a Path.

    Raises:
        InputError: if it cannot be made or written to.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".{uuid.uuid4().hex[:8]}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"Cannot write to the folder {path} ({error.strerror}): choose another.") from error
    return path


def run_folder(path):
    """Returns the RunFolder of `path`, and makes the folder if need be; None for None.

    Raises:
        InputError: if it cannot be made or written to.
    """
    return path and RunFolder(writable_folder(path))


def resolve_h5(path):
    """Returns `path`, or `path` + ".h5" where only that exists.

    Raises:
        InputError: if neither is a file.
    """
    for candidate in (Path(path), Path(f"{path}.h5")):
        if candidate.is_file():
            return candidate
    neither = "" if str(path).endswith(".h5") else f", nor {path}.h5"
    raise InputError(f"There is no weights file {path}{neither}: check the path.")
