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
BYTES = 2**24  # of arrays to read: a loop shows in few, and a sound file must never take the seconds


def main():
    for line in sys.stdin:
        number, path = json.loads(line)
        child = os.fork()
        if child == 0:
            go_through(path)
        print(number, int(not os.WIFSIGNALED(os.waitpid(child, 0)[1])), flush=True)


def go_through(path):
    """Reads what can be read in a file, and ends this process: by SIGPROF if that is too much work."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    left = BYTES

    def visit(_, item):
        nonlocal left
        dict(item.attrs)
        if isinstance(item, h5py.Dataset) and item.nbytes <= left:
            left -= item.nbytes
            item[...]

    try:
        with h5py.File(path, "r") as file:
            visit("", file)
            file.visititems(visit)
    finally:
        os._exit(0)  # an exception will be raised again, and told, where the file is read


if __name__ == "__main__":
    main()
