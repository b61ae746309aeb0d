"""What a script says and how it ends: errors in a sentence, signals, and streams of any kind."""

import os
import signal
import sys
import threading
from contextlib import contextmanager
from functools import partial

from dec_keras.errors import InputError


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
