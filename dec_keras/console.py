"""Output and exit of the scripts: errors of one sentence, signals, output streams of any kind, and progress lines."""

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

# Environment variables that limit a process' threads. Where they are not set, a library uses one thread per core.
THREADS = (
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
)


class Parser(argparse.ArgumentParser):
    """ArgumentParser without abbreviations and empty values.

    An error is one sentence, which suggests an option for a misspelt one.
    """

    def __init__(self, **how):
        super().__init__(allow_abbrev=False, **how)

    def parse_known_args(self, args=None, namespace=None):
        args = sys.argv[1:] if args is None else args
        for value in args:
            if value == "" or (value.startswith("--") and value.endswith("=")):
                self.error(
                    "an argument is empty, perhaps from an unset variable of the shell: give it, or leave it out"
                )
        return super().parse_known_args(args, namespace)

    def error(self, message):
        wrong = message.removeprefix("unrecognized arguments: ").partition(" ")[0].partition("=")[0]
        options = [option.lstrip("-") for option in self._option_string_actions]
        guess = nearest(wrong.lstrip("-"), options, dashes="--") if wrong.startswith("-") else ""
        self.exit(2, f"{self.prog}: error: {message.removesuffix('.')}.{guess} See {self.prog} -h.\n")


@contextmanager
def script_errors(program, when_stopped="Stopped."):
    """Wraps a script's work: bad input ends the script with one sentence and exit code 2, Ctrl-C and SIGTERM with 130.

    Args:
        program: name of the script, with which its error messages begin.
        when_stopped: message if the user stops the script, such as how to resume it.
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
    if threading.current_thread() is not threading.main_thread():  # only the main thread can set signal handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


@contextmanager
def _outlasting(name):
    """Makes sys.stdout or sys.stderr escape characters outside its encoding, and drop output once its reader ends."""
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
        except BrokenPipeError:  # the reader ended before this process, as `tee` does at Ctrl-C
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def is_terminal(stream):
    """Whether a stream, such as sys.stdout, is a terminal. The stream may be None, or have only `write` and `flush`."""
    return hasattr(stream, "isatty") and stream.isatty()


AT_WORK, DONE = "{desc} |{bar}| {remaining} left{postfix}", "{desc} {elapsed}{postfix}"  # tqdm's bar_format


class Progress:
    """Shows the progress of a phase: in a terminal one line that is rewritten, elsewhere a new line now and then.

    A context manager. At the end, a terminal shows the time taken; elsewhere the last line is printed if it was not.

    Args:
        name: name of the phase.
        total: number of steps of the phase.
        done: number of steps that an earlier, resumed training has done.
        verbose: 0 prints nothing, 1 is as above, 2 prints every line, in a terminal too.
        at_most: whether the phase may end long before `total`; then neither a bar nor the time left is shown.
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
        """Updates the terminal's line: the number of steps done, and the text at its end. Does nothing elsewhere."""
        if self.bar is not None:
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update(done - self.bar.n)

    def line(self, text, is_due):
        """Where no line is rewritten: prints `text` if it is due or `verbose` is 2, else holds it back."""
        if self.bar is None and self.verbose:
            self.held_back = None if is_due or self.verbose > 1 else text
            if self.held_back is None:
                print(text, flush=True)

    def left(self, done):
        """Estimated time left, as text such as 01:20."""
        took = perf_counter() - self.begun
        return tqdm.format_interval(took * (self.total - done) / max(done - self.first, 1))


def wrapped(text, indent=2):
    """Breaks `text` between words into lines of at most 80 columns, and indents all lines after the first."""
    return textwrap.fill(text, 80, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def import_tensorflow():
    """Imports TensorFlow for a script, without the log lines of its start, which no environment variable turns off.

    TensorFlow writes them to the file descriptor of standard error, which is redirected meanwhile. Exceptions pass.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # print only errors later
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow as tf

        tf.config.list_physical_devices()  # logs more lines at its first call
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
