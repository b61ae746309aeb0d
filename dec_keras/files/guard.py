"""Lets another process read a file first, where a library in C parses it, which may crash, hang or take all memory.

That process lasts as long as this one and forks for each file: a fork of this one could wait for ever for one of
TensorFlow's threads. Each line of its input is a JSON list of a number, a path and a name in `READ`; each line of its
output the number, and 1 if the file was survived. Where there is no fork, as on Windows, nothing is read first.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from contextlib import suppress
from functools import cache
from importlib import import_module

import h5py

from dec_keras.errors import InputError

COMMAND = [sys.executable, "-P", "-m", "dec_keras.files.guard"]
ONE_QUESTION = threading.Lock()  # threads would take each other's answers
SECONDS, BYTES_A_SECOND = 2, 2**22  # of work that reading may take, and one more for so many bytes of the file
WAIT = 30  # times as long it may wait, for a disk
MEMORY, FOR_A_BYTE = 2**30, 100  # bytes that reading may take, and so many more for each of the file
BYTES, ITEMS = 2**24, 5000  # of an HDF5 file: a loop shows in few, and a sound file must never take the seconds
# What arrays may be packed by. The HDF5 library's other filters have let crafted numbers write past its memory.
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}


def check(path, library):
    """Raises InputError if a process that reads `path` by `library`, a name in `READ`, does not survive it."""
    if os.name == "posix" and not _survives(path, library):
        raise InputError(f"{path} is damaged or a trap: reading it crashes, or takes too much; get it again.")


def _survives(path, library):
    with ONE_QUESTION:
        process, number = _process(os.getpid()), uuid.uuid4().hex
        try:
            process.stdin.write(json.dumps([number, os.path.realpath(path), library]) + "\n")
            process.stdin.flush()
            answer = ["", ""]
            while answer[0] != number:  # else it is of a question that was broken off
                answer = process.stdout.readline().split()
        except (BrokenPipeError, IndexError):  # it was killed, which says nothing of the file
            _process.cache_clear()
            return True
        return answer[1] == "1"


@cache
def _process(_of):
    """The process that reads for the process of that number; a forked one has its own."""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    same = {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    return subprocess.Popen(COMMAND, env=os.environ | same, start_new_session=True, **streams)


def main():
    while h5py.h5pl.size():  # folders that the library would load a filter from which it does not have
        h5py.h5pl.remove(0)
    for line in sys.stdin:
        number, path, library = json.loads(line)
        import_module(library)  # once, not in each child
        child = os.fork()
        if child == 0:
            go_through(path, library)
        print(number, int(os.waitpid(child, 0)[1] == 0), flush=True)


def go_through(path, library):
    """Reads a file and ends this process: by a signal or 1 if that is too much, else by 0."""
    status = 1
    try:
        limit(0 if library == "h5py" else os.path.getsize(path))
        READ[library](path)
        status = 0
    except Exception as error:  # others will be raised again, and told, where the file is read
        status = int(isinstance(error, MemoryError))
    finally:
        os._exit(status)


def limit(size):
    """Limits this process to the work and memory of reading `size` bytes, and what can be there besides."""
    import resource  # which Windows lacks

    seconds = SECONDS + size / BYTES_A_SECOND
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, WAIT * seconds)
    for kind, most in (resource.RLIMIT_CORE, 0), (resource.RLIMIT_DATA, MEMORY + FOR_A_BYTE * size):
        with suppress(ValueError):  # less is allowed already
            resource.setrlimit(kind, (most, most))


def unusual_filters(item):
    """Numbers of the filters of an HDF5 dataset that are not among `FILTERS`."""
    created = item.id.get_create_plist()
    return {created.get_filter(i)[0] for i in range(created.get_nfilters())} - FILTERS


def read_hdf5(path):
    """Attributes, and arrays as far as BYTES and ITEMS go, past what cannot be read."""
    left, items = BYTES, ITEMS

    def visit(_, item):
        nonlocal left, items
        items -= 1
        with suppress(Exception):
            for name in item.attrs:
                with suppress(Exception):
                    item.attrs[name]
        with suppress(Exception):
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


def read_matlab(path, **options):
    from scipy.io import loadmat

    return loadmat(path, appendmat=False, **options)


def read_parquet(path):
    """A DataFrame; a text that is there once is there once in it."""
    import pandas
    from pyarrow.parquet import read_schema

    texts = [column.name for column in read_schema(path) if "string" in str(column.type)]
    return pandas.read_parquet(path, engine="pyarrow", read_dictionary=texts)


READ = {"h5py": read_hdf5, "scipy.io": read_matlab, "pandas": read_parquet}

if __name__ == "__main__":
    main()
