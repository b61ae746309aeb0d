"""Goes through HDF5 files, each in a child process, and says which of them came to an end: see `untrusted.open_h5`.

It is a process of its own, since a fork beside TensorFlow's threads can wait for ever for one that it left behind. Each
line of its input is a JSON list of a number and a path; each line of its output the number, and 1 if all is well.
"""

import json
import os
import signal
import sys
from contextlib import suppress

import h5py

SECONDS = 2  # of work that going through a file may take
WAIT = 60  # seconds that it may wait, for a disk
BYTES, ITEMS = 2**24, 5000  # to go through: a loop shows in few, and a sound file must never take the seconds
# What arrays may be packed by. The HDF5 library's other filters have let crafted numbers write past its memory.
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}


def main():
    while h5py.h5pl.size():  # folders that the library would load a filter from which it does not have
        h5py.h5pl.remove(0)
    for line in sys.stdin:
        number, path = json.loads(line)
        child = os.fork()
        if child == 0:
            go_through(path)
        print(number, int(os.waitpid(child, 0)[1] == 0), flush=True)


def unusual_filters(item):
    """Numbers of the filters of an HDF5 dataset that are not among `FILTERS`."""
    created = item.id.get_create_plist()
    return {created.get_filter(i)[0] for i in range(created.get_nfilters())} - FILTERS


def go_through(path):
    """Reads what can be read in a file, and ends this process: by a signal if that is too much work, or waits."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, WAIT)
    left, items = BYTES, ITEMS

    def visit(_, item):
        nonlocal left, items
        items -= 1
        if items < 0:
            return True  # ends the visit
        # What is raised here will be again, and told, where the file is read.
        with suppress(Exception):
            for name in item.attrs:
                with suppress(Exception):
                    item.attrs[name]
        with suppress(Exception):
            is_here = isinstance(item, h5py.Dataset) and not (item.external or item.is_virtual)
            if is_here and not unusual_filters(item) and item.nbytes <= left:
                left -= item.nbytes
                item[...]
        return None

    status = 0
    try:
        with h5py.File(path, "r") as file:
            status = 1  # if its links, all of which the reader lists too, are damaged
            file.visititems_links(lambda *_: None)
            status = 0
            visit("", file)
            file.visititems(visit)
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
