"""Atomic writes: a file is either complete or absent.

A file is written under a temporary name, flushed to the disk, and then renamed.
"""

import csv
import errno
import os
import uuid
from contextlib import contextmanager
from pathlib import Path

from dec_keras.errors import InputError

TEMPORARY = ".writing-"  # prefix of temporary names


@contextmanager
def atomic_write(path):
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
            if os.name == "posix":  # the rename too; Windows cannot open folders
                _to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _writing(path):
    """Turns an OSError into an InputError if its cause is the disk: full, over quota, read-only or no permission."""
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
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path, columns, rows):
    """Writes a table whole or not at all.

    Args:
        path: str or Path.
        columns: their names, in order.
        rows: dicts; the cell of a missing key is left empty.
    """
    with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


class GrowingTable:
    """A CSV file that grows row by row, so that users can watch it. `add` does not rewrite earlier rows.

    Args:
        path: str or Path; None: rows are only kept.
        columns: their names, in order.
        rows: list of dicts, the earlier rows, with which the file is first written; `add` appends to this list too.
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
