"""Checkpoints: an interrupted training continues from one, and ends as it would have ended without the interruption.

Keras' BackupAndRestore writes the weights to one file and then the epoch to another. If it is killed between the two,
they do not match. Here one file holds both and is replaced as a whole.
"""

import json
import os
import signal
import threading
from contextlib import contextmanager, suppress
from time import perf_counter

import keras
import numpy as np

from dec_keras.errors import InputError, differences
from dec_keras.files.atomic import atomic_write
from dec_keras.files.untrusted import DAMAGED, arrays, in_brief

PAUSE = 2.0  # minimum time between two checkpoints in seconds
SHARE = 0.02  # maximum share of the time spent on writing checkpoints
MOST = 2**31  # upper bound of the counters in a file
STOPPING = b"\nStopping when this epoch (the run, if it is its last) is done and saved; once more stops at once.\n"
STATE = {"run": dict, "stage": int, "epoch": int, "kept": dict, "seconds": float}


def as_json(values):
    """A dict as JSON returns it: tuples become lists, and types that JSON lacks become text."""
    return json.loads(json.dumps(values, default=str))


class Checkpoint:
    """Keeps a training's state at the end of an epoch or interval: weights, optimizer, log and more.

    Args:
        path: Path of the file, `.npz`; None writes nothing.
        run: dict of JSON's types that identifies this training. The checkpoint of another training is refused.
        resume: whether to continue from the file, if it exists. If False, the file is deleted.

    Attributes:
        stage, epoch: index of the current fit, from 0, in a training of several fits; number of its finished epochs.
        kept: dict of JSON's types that the file contains too. Callers change it in place; a new stage empties it.
        arrays: {name: array} that the file contains too.
        seconds: Time of the training in seconds, including the time before an interruption.

    Raises:
        InputError: if the file is damaged or belongs to another training.
    """

    def __init__(self, path, run, resume=False):
        self.path, self.run = path, as_json(run)
        self.stage, self.epoch, self.kept, self.arrays, self.values, seconds = 0, 0, {}, {}, [], 0.0
        if resume and path and path.exists():
            self.stage, self.epoch, self.kept, seconds, self.arrays, self.values = self._read()
            print(f"Going on behind epoch {self.epoch}, from {path}", flush=True)
        elif path:
            path.unlink(missing_ok=True)
        self.begun, self.written, self.took = perf_counter() - seconds, perf_counter(), 0.0
        self.asked_to_stop = False

    @property
    def seconds(self):
        return perf_counter() - self.begun

    def begin(self, variables, stage=0):
        """Begins a stage, or continues an interrupted one: its Keras variables get their values from the file.

        Raises:
            InputError: if the file has other variables.
        """
        if stage != self.stage:
            self.stage, self.epoch, self.kept = stage, 0, {}
        self.variables = variables = list({id(variable): variable for variable in variables}.values())
        if not self.values:
            return
        kinds = [
            (tuple(variable.shape), keras.backend.standardize_dtype(variable.dtype)) for variable in self.variables
        ]
        if [(value.shape, value.dtype.name) for value in self.values] != kinds:
            raise InputError(f"{self.path} has the weights of another model: delete it, or do not resume.")
        for variable, value in zip(self.variables, self.values, strict=True):
            variable.assign(value)
        self.values = []

    @contextmanager
    def stoppable(self):
        """Lets Ctrl-C, or a script's SIGTERM, stop a fit after its epoch is saved; a second one stops it at once."""
        in_main_thread = threading.current_thread() is threading.main_thread()  # other threads cannot set signals
        signals = (signal.SIGINT, signal.SIGTERM) if self.path and in_main_thread else ()
        # A program that ignores these signals, or handles them itself, keeps its handlers.
        signals = [number for number in signals if signal.getsignal(number) is signal.default_int_handler]

        def soon(*_):
            at_once()
            self.asked_to_stop = True
            with suppress(OSError):  # os.write, since the signal may interrupt a print
                os.write(2, STOPPING)

        def at_once():
            for number in signals:
                if signal.getsignal(number) is soon:
                    signal.signal(number, signal.default_int_handler)

        for number in signals:
            signal.signal(number, soon)
        try:
            yield
        finally:
            at_once()

    def keep(self, epochs):
        """Writes the state after `epochs` finished epochs, if enough time has passed or a stop was requested.

        Raises:
            KeyboardInterrupt: if a stop was requested.
        """
        due = self.asked_to_stop or perf_counter() - self.written > max(PAUSE, self.took / SHARE)
        if self.path and due:
            self.epoch = epochs
            self.write()
            if self.asked_to_stop:
                raise KeyboardInterrupt

    def write(self):
        start = perf_counter()
        state = {name: getattr(self, name) for name in STATE}
        values = {str(i): keras.ops.convert_to_numpy(variable) for i, variable in enumerate(self.variables)}
        with atomic_write(self.path) as temporary:
            np.savez(temporary, state=json.dumps(state), **values, **self.arrays)
        self.written = perf_counter()
        self.took = self.written - start

    def end(self):
        """Deletes the file. Call it when the training's result is on the disk.

        Raises:
            KeyboardInterrupt: if a stop was requested in the last epoch.
        """
        if self.path:
            self.path.unlink(missing_ok=True)
        if self.asked_to_stop:
            raise KeyboardInterrupt

    def _read(self):
        try:
            with arrays(self.path) as file:
                held = {name: file[name] for name in file.files}
            state = json.loads(str(held.pop("state")))
            run, *state = (kind(state[name]) for name, kind in STATE.items())
            values = [held.pop(str(i)) for i in range(sum(name.isdigit() for name in held))]
            if not values or not all(np.isfinite(value).all() for value in values):
                raise ValueError("its numbers are none")
            stage, epoch, kept, _ = state
            counters = stage, epoch, kept.get("shuffle", 0), kept.get("augmentation", 0)
            if not all(0 <= counter < MOST for counter in counters):
                raise ValueError("its counters are none")
            if not all(isinstance(row, dict) for row in kept.get("log", [])):
                raise ValueError("its log is none")
        except DAMAGED as error:
            why = in_brief(error)
            raise InputError(
                f"{self.path} is no checkpoint, or it is damaged ({why}): delete it, and the run begins anew."
            ) from error
        if differ := differences(run, self.run):
            raise InputError(f"{self.path} is of a run with {', '.join(differ)}: give the same, or do not resume.")
        return *state, held, values
