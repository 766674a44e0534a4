"""Length-prefixed frames on a Unix stream socket, as all links between our processes use them.

A frame is `<u32 payload bytes> <u8 kind> <u32 items>` (little endian) and the payload. Which kinds
there are is said by each link: server/frames.py, collector/frames.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEADER = struct.Struct("<IBI")


def encode(kind: int, payload: bytes = b"", items: int = 0) -> bytes:
    """One frame as bytes."""
    return HEADER.pack(len(payload), kind, items) + payload


class Frames:
    """Cuts a byte stream into frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Yield (kind, items, payload) for each frame that `data` completes."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= HEADER.size:
            size, kind, items = HEADER.unpack_from(buffer, start)
            end = start + HEADER.size + size
            if len(buffer) < end:
                break
            yield kind, items, bytes(buffer[start + HEADER.size : end])
            start = end
        del buffer[:start]
