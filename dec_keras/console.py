"""What a script says and how it ends: errors in a sentence, signals, and streams of any kind."""

import argparse
import os
import signal
import sys
import textwrap
import threading
from contextlib import contextmanager
from functools import partial
from time import perf_counter

from tqdm import tqdm

from dec_keras.errors import InputError, nearest

# The environment's limits of a process' threads; where they are not set, a library takes a thread a core.
THREADS = (
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
)


class Parser(argparse.ArgumentParser):
    """argparse's without abbreviations; an error is a sentence, which guesses what a wrong option should be."""

    def __init__(self, **how):
        super().__init__(allow_abbrev=False, **how)

    def error(self, message):
        wrong = message.removeprefix("unrecognized arguments: ").partition(" ")[0].partition("=")[0]
        options = [option.lstrip("-") for option in self._option_string_actions]
        guess = nearest(wrong.lstrip("-"), options) if wrong.startswith("-") else ""
        self.exit(2, f"{self.prog}: error: {message}.{guess} See {self.prog} -h.\n")


@contextmanager
def script_errors(program, when_stopped="Stopped."):
    """Around a script's work: bad input ends it with a sentence and exit code 2; Ctrl-C and SIGTERM with 130.

    Args:
        program: its name, which its errors begin with.
        when_stopped: what is said when it is stopped, such as how to go on.
    """
    with _sigterm_like_ctrl_c(), _outlasting("stdout"), _outlasting("stderr"):
        try:
            yield
        except (InputError, FloatingPointError, OSError) as error:
            print(f"{program}: error: {error}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print(f"\n{when_stopped}", file=sys.stderr)
            sys.exit(130)


@contextmanager
def _sigterm_like_ctrl_c():
    if threading.current_thread() is not threading.main_thread():  # others get and set no signals
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


@contextmanager
def _outlasting(name):
    """Has sys.stdout or sys.stderr escape what its encoding lacks, and drop the rest once its reader is gone."""
    stream = getattr(sys, name)
    can_escape = hasattr(stream, "reconfigure")
    errors = stream.errors if can_escape else None
    if can_escape:
        stream.reconfigure(errors="backslashreplace")
    setattr(sys, name, stream and _Output(stream))
    try:
        yield
    finally:
        if stream:
            getattr(sys, name).flush()
        setattr(sys, name, stream)
        if can_escape:
            stream.reconfigure(errors=errors)


class _Output:
    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        attribute = getattr(self._stream, name)
        return partial(self._until_unread, attribute) if name in ("write", "flush") else attribute

    def _until_unread(self, method, *text):
        try:
            return method(*text)
        except BrokenPipeError:  # its reader went before us, as `tee` does at Ctrl-C
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def is_terminal(stream):
    """Whether a stream, such as sys.stdout, is a terminal: it may be None, or an object with write and flush alone."""
    return hasattr(stream, "isatty") and stream.isatty()


AT_WORK, DONE = "{desc} |{bar}| {remaining} left{postfix}", "{desc} {elapsed}{postfix}"  # of tqdm


class Progress:
    """What a phase says while it is at work: one line that is rewritten in a terminal; elsewhere lines, now and then.

    A context manager: at its end the line says how long it took, and the last line is printed if it was not.

    Args:
        name: of the phase.
        total: its steps.
        done: those that were done before, by a training that goes on.
        verbose: 0 says nothing, 1 is as above, 2 prints every line, in a terminal too.
        at_most: whether it may end long before its total: then it has no bar, and nobody knows the time left.
    """

    def __init__(self, name, total, done=0, verbose=1, at_most=False):
        self.verbose, self.total, self.first = verbose, total, done
        self.begun, self.held_back = perf_counter(), None
        self.bar = None
        if verbose == 1 and is_terminal(sys.stdout):
            how = {"file": sys.stdout, "dynamic_ncols": True, "bar_format": DONE if at_most else AT_WORK}
            self.bar = tqdm(desc=name, total=total, initial=done, **how)

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        if self.bar is not None:
            self.bar.bar_format = DONE
            self.bar.refresh()
            self.bar.close()
        if self.held_back is not None and error is None:
            print(self.held_back, flush=True)

    def rewrite(self, done, text):
        """In a terminal: how many steps are done, and what the line says of them."""
        if self.bar is not None:
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update(done - self.bar.n)

    def line(self, text, is_due):
        """Elsewhere: a line, which is held back unless it is due, or every line is asked for."""
        if self.bar is None and self.verbose:
            self.held_back = None if is_due or self.verbose > 1 else text
            if self.held_back is None:
                print(text, flush=True)

    def left(self, done):
        """The time that is left, as text such as 01:20."""
        took = perf_counter() - self.begun
        return tqdm.format_interval(took * (self.total - done) / max(done - self.first, 1))


def wrapped(text, indent=2):
    """`text` in lines of at most 80 columns, broken between words, those behind the first indented."""
    return textwrap.fill(text, 80, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def import_tensorflow():
    """Imports TensorFlow for a script, without the lines that it greets with, which no variable turns off.

    They go to the file descriptor of standard error, which is given back; errors that are raised are not touched.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # what comes later: errors alone
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow as tf

        tf.config.list_physical_devices()  # which it has more to say of
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
