"""Checkpoints: what a training that was cut off goes on from, to the end that it would have had.

Keras' BackupAndRestore writes the weights and then, beside them, the epoch: killed between the two it leaves a pair
that does not belong together. Here one file has all, and is replaced whole.
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

PAUSE = 2.0  # seconds between two checkpoints, at the least
SHARE = 0.02  # of the time that may go into writing them
MOST = 2**31  # that a counter can be
STOPPING = b"\nStopping when this epoch (the run, if it is its last) is done and saved; once more stops at once.\n"
STATE = {"run": dict, "stage": int, "epoch": int, "kept": dict, "seconds": float}


def as_json(values):
    """A dict as JSON gives it back: lists for tuples, text for what JSON does not know."""
    return json.loads(json.dumps(values, default=str))


class Checkpoint:
    """Keeps a training's state at the end of an epoch or interval: weights, optimizer, log and more.

    Args:
        path: Path of the file, `.npz`; None: nothing is kept.
        run: dict of JSON's types: what makes this training what it is. Another's checkpoint is not gone on from.
        resume: whether to go on from the file; without one the training begins at its beginning.

    Attributes:
        stage, epoch: of a training of several fits the one that is at work, from 0; and its epochs that are done.
        kept: dict of JSON's types that is kept too until the stage's end, to be changed in place.
        arrays: {name: array} that is kept too.
        seconds: that the training has taken, before it was cut off too.

    Raises:
        InputError: if the file is of another training, or damaged.
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
        """Begins a stage, or goes on with it: its Keras variables get the values that they had when it was cut off.

        Raises:
            InputError: if the variables are others than those kept.
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
        """Around a fit: Ctrl-C, or a script's SIGTERM, ends it when its epoch is done and kept; a second at once."""
        in_main_thread = threading.current_thread() is threading.main_thread()  # others get and set no signals
        signals = (signal.SIGINT, signal.SIGTERM) if self.path and in_main_thread else ()
        # Who ignores them, or does something else, is left alone.
        signals = [number for number in signals if signal.getsignal(number) is signal.default_int_handler]

        def soon(*_):
            at_once()
            self.asked_to_stop = True
            with suppress(OSError):  # os.write, since print may be at work
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
        """Writes the state after so many `epochs` if it is time to, or if it was asked to stop.

        Raises:
            KeyboardInterrupt: if it was asked to stop.
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
        """To be called when the training's result is on the disk.

        Raises:
            KeyboardInterrupt: if it was asked to stop in its last epoch.
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
