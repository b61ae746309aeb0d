"""Checks a MATLAB file of format 5 before SciPy reads it.

SciPy takes an element's type for a place in a table in C, and so crashes, or reads what lies behind the table, if there
is no such type. Elements are `type, size, content`; a matrix is an element of elements: flags, dimensions, name, and
its numbers' parts.
"""

import struct
import zlib

from dec_keras.files.untrusted import check_expansion

ORDERS = {b"IM": "<", b"MI": ">"}  # the header's last bytes, and the order that they stand for
NUMBERS = (1, 2, 3, 4, 5, 6, 7, 9, 12, 13)
TEXT = (16, 17, 18)
FLAGS, MATRIX, COMPRESSED = 6, 14, 15
CELL, CHAR, SPARSE, ARRAYS = 1, 4, 5, range(4, 16)  # classes of matrices; others are never read


def check(path, data):
    """Raises ValueError where elements of a file's arrays are not what SciPy takes them for.

    Args:
        path: of the file.
        data: memoryview of its bytes; of another format they are not looked at.

    Raises:
        ValueError, zlib.error; InputError where a few bytes unpack to very many.
    """
    order, at = ORDERS.get(bytes(data[126:128])), 128
    if order is None and 0 not in data[:4]:  # nor of format 4: SciPy would take it for one of 5
        raise ValueError("its header has no order of bytes")
    while order and at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        element = data[at + 8 : at + 8 + size]
        at += 8 + size
        if kind == COMPRESSED:
            element = _unpacked(path, element, order)
        elif kind != MATRIX:
            raise ValueError(f"an element of type {kind} is no matrix")
        _check_matrix(_parts(element, order), order)


def _unpacked(path, element, order):
    unpack = zlib.decompressobj()
    kind, size = struct.unpack(f"{order}II", unpack.decompress(element, 8))
    check_expansion(path, size, size, len(element))
    matrix = unpack.decompress(unpack.unconsumed_tail, size + 1)
    if kind != MATRIX or len(matrix) != size:
        raise ValueError("a compressed element is not the matrix that it says")
    return matrix


def _check_matrix(parts, order):
    if parts[0][0] != FLAGS:
        raise ValueError("a matrix lacks its flags")
    (flags,) = struct.unpack_from(f"{order}I", parts[0][1])
    kind, is_complex = flags & 0xFF, flags >> 11 & 1
    if kind == CELL:
        for part, content in parts[3:]:
            if part != MATRIX:
                raise ValueError("a cell holds something else than a matrix")
            if len(content):
                _check_matrix(_parts(content, order), order)
    if kind not in ARRAYS:
        return
    expected = 6 if kind == SPARSE else 4
    allowed = (*NUMBERS, *TEXT) if kind == CHAR else NUMBERS
    if len(parts) != expected + is_complex or any(part not in allowed for part, _ in parts[1:]):
        raise ValueError("an array has other parts than its kind")
    _, extent = parts[1]
    if min(struct.unpack_from(f"{order}{len(extent) // 4}i", extent), default=0) < 0:
        raise ValueError("an array has negative dimensions")


def _parts(element, order):
    """[(type, content)] of a matrix; content of up to 4 bytes stands in its type's and size's place."""
    parts, at = [], 0
    while at + 8 <= len(element):
        kind, size = struct.unpack_from(f"{order}II", element, at)
        if kind >> 16:
            kind, size, content = kind & 0xFFFF, kind >> 16, element[at + 4 : at + 8]
            at += 8
        else:
            content = element[at + 8 : at + 8 + size]
            at += 8 + size + -size % 8
        if len(content) < size:
            raise ValueError("an element is cut off")
        parts.append((kind, content))
    return parts
