"""Reads a file in another process first: the C library that parses it may crash, hang or take all memory.

That process forks for each file; a fork of this one could wait for ever for one of TensorFlow's threads. An input line
is a JSON list of a number and the arguments of `go_through`; an output line is that number, and 1 if the fork survived.
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

FORKS = os.name == "posix"  # Windows cannot fork: files are not checked there
COMMAND = [sys.executable, "-P", "-m", "dec_keras.files.guard"]
ONE_QUESTION = threading.Lock()  # threads would take each other's answers
SECONDS, WAIT = 2, 60  # limits of CPU time and of total time (slow disks); the same again for each 8 MB of the file
MEMORY, FOR_A_BYTE = 2**30, 100  # limit of memory in bytes, and the bytes to add for each byte of the file
BYTES, ITEMS = 2**24, 5000  # read of an HDF5 file: few reveal a loop, and a sound file must never exceed SECONDS
# Filters that arrays may be packed by. Crafted numbers made other filters of the HDF5 library write past its memory.
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}


def check(path, library, *to):
    """Raises InputError if a process that reads `path` by `library`, a key of `READ`, is killed. Not on Windows."""
    if FORKS and not _survives(path, library, *to):
        raise InputError(f"{path} is damaged or a trap: reading it crashes, or takes too much; get it again.")


def _survives(path, library, *to):
    with ONE_QUESTION, suppress(BrokenPipeError):
        process, number = _process(os.getpid()), os.urandom(16).hex()
        print(json.dumps([number, os.path.realpath(path), library, *to]), file=process.stdin, flush=True)
        for answer in process.stdout:
            if answer.startswith(number):  # else it answers an earlier question that was interrupted
                return answer.split()[1] == "1"
    _process.cache_clear()  # the process was killed, which says nothing about the file
    return True


@cache
def _process(_of):
    """Starts the reading process, once per ID of the process that asks, so that a forked one starts its own."""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    path = os.pathsep.join(filter(None, [*sys.path, os.path.abspath(f"{__file__}/../../..")]))
    same = {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    return subprocess.Popen(COMMAND, env=os.environ | same, start_new_session=True, **streams)


def main():
    while h5py.h5pl.size():  # the library would load filters that it lacks from these folders
        h5py.h5pl.remove(0)
    for line in sys.stdin:
        number, path, library, *to = json.loads(line)
        __import__(library)  # once, not in each child
        if (child := os.fork()) == 0:
            go_through(path, library, *to)
        print(number, int(os.waitpid(child, 0)[1] == 0), flush=True)


def go_through(path, library, *to):
    """Reads a file and ends this process: by a signal or code 1 if reading crashes or takes too much, else by 0."""
    try:
        import resource  # Windows lacks it

        size = 0 if library == "h5py" else os.path.getsize(path)  # an HDF5 file is not read whole
        for timer, seconds in (signal.ITIMER_PROF, SECONDS), (signal.ITIMER_REAL, WAIT):
            signal.setitimer(timer, seconds * (1 + size / 2**23))
        limits = dict.fromkeys((resource.RLIMIT_DATA, resource.RLIMIT_FSIZE), MEMORY + FOR_A_BYTE * size)
        for kind, most in (limits | {resource.RLIMIT_CORE: 0}).items():
            with suppress(ValueError, OSError):  # a lower limit is set already
                resource.setrlimit(kind, (most, most))
        with going_on():
            READ[library](path, *to)
        os._exit(0)
    finally:
        os._exit(1)


@contextmanager
def going_on():
    """Ignores an error, since the later reader will report it; ends the process if memory is used up."""
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
    """Reads attributes and arrays, up to ITEMS items and BYTES bytes of arrays."""
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
        return None if items else True  # a value other than None ends the visit

    with h5py.File(path, "r") as file:
        try:
            file.visititems_links(lambda *_: None)
        except Exception:
            os._exit(1)  # such links may crash the library later
        visit("", file)
        file.visititems(visit)


def read_matlab(path, to):
    """Writes the arrays into the empty file `to` and removes its name. The caller has it open and reads them there."""
    from dec_keras.files.mat_to_npz import write_npz

    with open(to, "r+b") as file:
        os.remove(to)  # no file is left behind, whichever process is killed
        write_npz(path, file)


def read_parquet(path):
    import pandas
    from pyarrow.parquet import read_schema

    texts = [column.name for column in read_schema(path) if "string" in str(column.type)]
    return pandas.read_parquet(path, engine="pyarrow", read_dictionary=texts)  # repeated text is stored once


READ = {"h5py": read_hdf5, "scipy.io": read_matlab, "pandas": read_parquet}

if __name__ == "__main__":
    main()
