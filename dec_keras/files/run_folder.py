"""The folder of a run: the names of its files, each of them once, and its lock."""

import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from dec_keras.errors import InputError
from dec_keras.files.atomic import TEMPORARY

PHASES = ("pretrain", "dec", "idec")  # that have a checkpoint


@dataclass(frozen=True)
class RunFolder:
    """Paths in the folder of a run.

    Attributes:
        path: Path of the folder.
    """

    path: Path

    @property
    def ae_weights(self):
        return self.path / "ae_weights.h5"

    @property
    def pretrain_log(self):
        return self.path / "pretrain_log.csv"

    def layer_log(self, i):
        return self.path / f"pretrain_layer_{i}_log.csv"

    def log(self, method):
        return self.path / f"{method.lower()}_log.csv"

    def checkpoint(self, phase):
        """phase: one of `PHASES`, in any case."""
        return self.path / f"{phase.lower()}_checkpoint.npz"

    def model(self, method, when="final"):
        """when: "final", or the number of batches trained."""
        return self.path / f"{method}_model_{when}.h5"

    @property
    def record(self):
        return self.path / "run.json"

    @property
    def labels(self):
        return self.path / "labels.csv"

    @property
    def embedding(self):
        return self.path / "embedding.npy"

    @property
    def centers(self):
        return self.path / "centers.npy"

    @property
    def figures(self):
        return self.path / "figures"

    @property
    def report(self):
        return self.path / "report.html"

    def tensorboard(self, phase):
        return self.path / "tensorboard" / phase


@contextmanager
def lock_folder(folder, wait=False):
    """Keeps every other run out of `folder` while the block lasts, and clears what a killed one left half-written.

    Args:
        folder: Path; must be there.
        wait: for the other's end.

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
    """The RunFolder of `path`, which is made if need be; None for None.

    Raises:
        InputError: if it cannot be made or written to.
    """
    return path and RunFolder(writable_folder(path))
