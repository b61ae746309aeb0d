"""What every other module needs of files: errors told in a sentence, arguments checked, and files that are whole.

A file is written under a temporary name, brought to the disk, and then renamed, so that it is there whole or not at
all.
"""

import csv
import errno
import os
import signal
import sys
import threading
import uuid
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import filelock

TEMPORARY = ".writing-"  # what temporary names begin with


class InputError(ValueError):
    """Bad input: the message says in one sentence what was wrong and what to do."""


@contextmanager
def errors_told(program, when_stopped="Stopped."):
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


def check_whole(name, value, at_least, at_most=None):
    """Returns `value` as an int.

    Args:
        name: what it is called in the error.
        value: a number, or text such as "20000" or "2e4".
        at_least: the smallest value allowed.
        at_most: the largest value allowed, or None.

    Raises:
        InputError: if it is no whole number, too small or too large.
    """
    try:
        number = float(value)
        whole = int(number) == number
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole or number < at_least:
        raise InputError(f"{name} is {value}: it must be a whole number of at least {at_least}.")
    if at_most is not None and number > at_most:
        raise InputError(f"{name} is {value}: it must be at most {at_most}.")
    return int(number)


def check_share(name, value):
    """Returns `value` as a float.

    Raises:
        InputError: if it is no number in [0, 1].
    """
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = float("nan")
    if not 0 <= share <= 1:
        raise InputError(f"{name} is {value}: it must be a number from 0 to 1.")
    return share


def check_number(name, value, above=None, at_least=None):
    """Returns `value` as a float.

    Raises:
        InputError: if it is no finite number, or not `above` or `at_least` the number given.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not abs(number) < float("inf"):
        raise InputError(f"{name} is {value}: it must be a number.")
    if above is not None and not number > above:
        raise InputError(f"{name} is {value}: it must be above {above}.")
    if at_least is not None and number < at_least:
        raise InputError(f"{name} is {value}: it must be at least {at_least}.")
    return number


@contextmanager
def whole_file(path):
    """Gives a temporary path beside `path` to write to, and renames it to `path` if the block ends without an error.

    Args:
        path: str or Path; its folder must exist. An older file of that name is replaced.

    Yields:
        Path with the same suffix, since Keras and NumPy choose the format by it.
    """
    path = Path(path)
    temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        with _writing(path):
            yield temporary
            _to_disk(temporary)
            os.replace(temporary, path)
            if os.name == "posix":  # the new name too; Windows opens no folders
                _to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _writing(path):
    """Tells in a sentence that a file cannot be written, where that is the disk's fault."""
    try:
        yield
    except OSError as error:
        of_disk = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
        if error.errno not in of_disk and "requested and" not in str(error):  # NumPy's "9 requested and 4 written"
            raise
        why = os.strerror(error.errno or errno.ENOSPC)
        raise InputError(
            f"Cannot write {path} ({why}): make room, or choose another folder; what was written before is whole."
        ) from error


def _to_disk(path):
    """Waits until a file or folder is on the disk, and not only in the system's memory."""
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path, text):
    """Writes a file of text in UTF-8, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path, columns, rows):
    """Writes a table whole or not at all.

    Args:
        path: str or Path.
        columns: their names, in order.
        rows: dicts; what they lack is left empty.
    """
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


class GrowingTable:
    """A CSV file that gets a row at a time, so that it can be followed; what was written stays as it is.

    Args:
        path: str or Path; None: rows are only kept.
        columns: their names, in order.
        rows: list of the dicts that are there already, which grows too; the file is written anew with them.
    """

    def __init__(self, path, columns, rows):
        self.path, self.columns, self.rows = path, columns, rows
        if path:
            write_csv(path, columns, self.rows)

    def add(self, row):
        self.rows.append(row)
        if self.path:
            with _writing(self.path), open(self.path, "a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.columns).writerow(row)


@contextmanager
def only_run(folder, wait=False):
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
