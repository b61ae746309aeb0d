"""Lets another process read a file first, where a library in C parses it, which may crash, hang or take all memory.

It forks for each file; a fork of this process could wait for ever for one of TensorFlow's threads. A line of its input
is a JSON list of a number and what `go_through` takes; one of its output the number, and 1 if the file was survived.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from functools import cache

import h5py

from dec_keras.errors import InputError

FORKS = os.name == "posix"  # else there is no such process
COMMAND = [sys.executable, "-P", "-m", "dec_keras.files.guard"]
ONE_QUESTION = threading.Lock()  # threads would take each other's answers
SECONDS, WAIT = 2, 60  # of work that reading may take, and that it may wait for a disk; again for each 8 MB of the file
MEMORY, FOR_A_BYTE = 2**30, 100  # bytes that reading may take, and so many more for each of the file
BYTES, ITEMS = 2**24, 5000  # of an HDF5 file: a loop shows in few, and a sound file must never take the seconds
# What arrays may be packed by. The HDF5 library's other filters have let crafted numbers write past its memory.
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}


def check(path, library, *to):
    """Raises InputError if a process that reads `path` by `library`, of `READ`, does not survive it. Not on Windows."""
    if FORKS and not _survives(path, library, *to):
        raise InputError(f"{path} is damaged or a trap: reading it crashes, or takes too much; get it again.")


def _survives(path, library, *to):
    with ONE_QUESTION, suppress(BrokenPipeError):
        process, number = _process(os.getpid()), os.urandom(16).hex()
        print(json.dumps([number, os.path.realpath(path), library, *to]), file=process.stdin, flush=True)
        for answer in process.stdout:
            if answer.startswith(number):  # else it is of a question that was broken off
                return answer.split()[1] == "1"
    _process.cache_clear()  # it was killed, which says nothing of the file
    return True


@cache
def _process(_of):
    """The process that reads for the process of that number; a forked one has its own."""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    path = os.pathsep.join(filter(None, [*sys.path, os.path.abspath(f"{__file__}/../../..")]))
    same = {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    return subprocess.Popen(COMMAND, env=os.environ | same, start_new_session=True, **streams)


def main():
    while h5py.h5pl.size():  # folders that the library would load a filter from which it does not have
        h5py.h5pl.remove(0)
    for line in sys.stdin:
        number, path, library, *to = json.loads(line)
        __import__(library)  # once, not in each child
        if (child := os.fork()) == 0:
            go_through(path, library, *to)
        print(number, int(os.waitpid(child, 0)[1] == 0), flush=True)


def go_through(path, library, *to):
    """Reads a file and ends this process: by a signal or 1 if that is too much, else by 0."""
    try:
        import resource  # which Windows lacks

        size = 0 if library == "h5py" else os.path.getsize(path)  # of what is read whole
        for timer, seconds in (signal.ITIMER_PROF, SECONDS), (signal.ITIMER_REAL, WAIT):
            signal.setitimer(timer, seconds * (1 + size / 2**23))
        limits = dict.fromkeys((resource.RLIMIT_DATA, resource.RLIMIT_FSIZE), MEMORY + FOR_A_BYTE * size)
        for kind, most in (limits | {resource.RLIMIT_CORE: 0}).items():
            with suppress(ValueError, OSError):  # less is allowed already
                resource.setrlimit(kind, (most, most))
        with going_on():
            READ[library](path, *to)
        os._exit(0)
    finally:
        os._exit(1)


@contextmanager
def going_on():
    """Past what cannot be read, of which the reader will tell; not past what takes too much memory."""
    try:
        yield
    except MemoryError:
        os._exit(1)
    except Exception:
        pass


def unusual_filters(item):
    """Numbers of the filters of an HDF5 dataset that are not among `FILTERS`."""
    created = item.id.get_create_plist()
    return {created.get_filter(i)[0] for i in range(created.get_nfilters())} - FILTERS


def read_hdf5(path):
    """Attributes, and arrays as far as BYTES and ITEMS go."""
    left, items = BYTES, ITEMS

    def visit(_, item):
        nonlocal left, items
        items -= 1
        with going_on():
            for name in item.attrs:
                with going_on():
                    item.attrs[name]
        with going_on():
            is_here = isinstance(item, h5py.Dataset) and not (item.external or item.is_virtual)
            if is_here and not unusual_filters(item) and item.nbytes <= left:
                left -= item.nbytes
                item[...]
        return None if items else True  # which ends the visit

    with h5py.File(path, "r") as file:
        try:
            file.visititems_links(lambda *_: None)
        except Exception:
            os._exit(1)  # the library may crash of it later
        visit("", file)
        file.visititems(visit)


def read_matlab(path, to):
    """Writes the arrays `to` an empty file, which then has no name: who has it open reads them."""
    from dec_keras.files.mat_to_npz import write_npz

    with open(to, "r+b") as file:
        os.remove(to)  # so none is left, whichever process is ended
        write_npz(path, file)


def read_parquet(path):
    import pandas
    from pyarrow.parquet import read_schema

    texts = [column.name for column in read_schema(path) if "string" in str(column.type)]
    return pandas.read_parquet(path, engine="pyarrow", read_dictionary=texts)  # a text that is there once, once


READ = {"h5py": read_hdf5, "scipy.io": read_matlab, "pandas": read_parquet}

if __name__ == "__main__":
    main()
