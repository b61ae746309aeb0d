"""Goes through HDF5 files, each in a child process, and says which of them came to an end: see `untrusted.open_h5`.

It is a process of its own, since a fork beside TensorFlow's threads can wait for ever for one that it left behind. Each
line of its input is a JSON list of a number and a path; each line of its output the number, and 1 if all is well.
"""

import json
import os
import signal
import sys

import h5py

SECONDS = 2  # of work that going through a file may take
WAIT = 60  # seconds that it may wait, for a disk
BYTES, ITEMS = 2**24, 5000  # to go through: a loop shows in few, and a sound file must never take the seconds
# What arrays may be packed by. The HDF5 library's other filters have let crafted numbers write past its memory.
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}


def main():
    for line in sys.stdin:
        number, path = json.loads(line)
        child = os.fork()
        if child == 0:
            go_through(path)
        print(number, int(not os.WIFSIGNALED(os.waitpid(child, 0)[1])), flush=True)


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

    def visit_link(*_):
        nonlocal items
        items -= 1
        return items < 0 or None  # True ends the visit

    def visit(_, item):
        nonlocal left
        if visit_link():
            return True
        dict(item.attrs)
        if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual or unusual_filters(item):
            return None  # is refused where the file is read
        if item.nbytes <= left:
            left -= item.nbytes
            item[...]
        return None

    try:
        with h5py.File(path, "r") as file:
            visit("", file)
            file.visititems(visit)
            file.visititems_links(visit_link)
    finally:
        os._exit(0)  # an exception will be raised again, and told, where the file is read


if __name__ == "__main__":
    main()
