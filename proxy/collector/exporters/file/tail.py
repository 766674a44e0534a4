"""Tail: where the last whole message of a file ends, which somebody else may have left unfinished.

A process that was killed, a disk that was full or a machine that lost its power leaves half a
message, and whatever is appended to that is lost with it. It knows the layouts that the exporter
writes; what to do about a tail is said in rotation.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import BinaryIO

_GZIP = b"\x1f\x8b\x08\0\0\0\0\0"  # a member without a name and a time, as they are written here
_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878 §3.1.1
_PIECE = 1024 * 1024


def whole(file: BinaryIO, size: int, layout: str) -> int:
    """Bytes up to the end of the last whole message; `layout` is a key of LAYOUTS."""
    return LAYOUTS[layout](file, size)


def _lines(file: BinaryIO, size: int) -> int:
    """The end of the last line."""
    end = size
    while end:
        begin = max(0, end - _PIECE)
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _lengths(file: BinaryIO, size: int) -> int:
    """Messages behind four bytes of their length, big-endian; none is empty."""
    end = 0
    while end + 4 <= size:
        file.seek(end)
        length = int.from_bytes(file.read(4), "big")
        if not length or end + 4 + length > size:
            break
        end += 4 + length
    return end


def _gzip(file: BinaryIO, size: int) -> int:
    """From the last member on that looks like one of ours; from the first if none does."""
    end = max(0, _rfind(file, size, _GZIP))
    while end < size:
        length = _member(file, end)
        if not length:
            break
        end += length
    return end


def _rfind(file: BinaryIO, size: int, text: bytes) -> int:
    end = size
    while end > 0:
        begin = max(0, end - _PIECE)
        file.seek(begin)
        found = file.read(end - begin + len(text)).rfind(text)
        if found >= 0:
            return begin + found
        end = begin
    return -1


def _member(file: BinaryIO, begin: int) -> int:
    """Bytes of the gzip member that begins there; 0 if it does not end."""
    inflate, read = zlib.decompressobj(wbits=31), 0
    file.seek(begin)
    try:
        while not inflate.eof:
            piece = file.read(_PIECE)
            if not piece and not inflate.decompress(b"", _PIECE):
                return 0
            read += len(piece)
            while piece and not inflate.eof:
                inflate.decompress(piece, _PIECE)
                piece = inflate.unconsumed_tail
    except zlib.error:
        return 0
    return read - len(inflate.unused_data)


def _zstd(file: BinaryIO, size: int) -> int:
    end = 0
    while end < size:
        length = _frame(file, end)
        if not length or end + length > size:
            break
        end += length
    return end


def _frame(file: BinaryIO, begin: int) -> int:
    """Bytes of the zstd frame that begins there, by its blocks' headers (RFC 8878 §3.1.1)."""
    file.seek(begin)
    head = file.read(5)
    if head[:4] != _ZSTD or len(head) < 5:
        return 0
    flags = head[4]
    single = flags >> 5 & 1
    content = (single, 2, 4, 8)[flags >> 6]
    at = begin + 5 + (not single) + (0, 1, 2, 4)[flags & 3] + content
    while True:
        file.seek(at)
        block = file.read(3)
        number = int.from_bytes(block, "little")
        kind = number >> 1 & 3
        if len(block) < 3 or kind == 3:
            return 0
        at += 3 + (1 if kind == 1 else number >> 3)
        if number & 1:
            return at - begin + (4 if flags & 4 else 0)


LAYOUTS: dict[str, Callable[[BinaryIO, int], int]] = {
    "json": _lines,
    "proto": _lengths,
    "gzip": _gzip,
    "zstd": _zstd,
}
