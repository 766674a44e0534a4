"""What passes between a worker and the hub: length-prefixed frames on a Unix stream socket.

A frame is `<u32 payload bytes> <u8 kind> <u32 items>` (little endian) and the payload. The order
of frames is the order of events: a COLLECTED follows everything recorded before the question.

up    READY      -                 the snapshot is in force and the listeners accept
      SPANS      ScopeSpans.spans entries, one after the other (field 2, tag and length included)
      LOGS       ScopeLogs.log_records entries, likewise
      METRICS    telemetry.report: numbers of at most 256 series
      COLLECTED  -                 items = the number that came with COLLECT
      DRAINING   -                 no longer accepting; the hub may close the listening sockets
      DRAINED    -                 last frame of a worker that stops
down  SNAPSHOT   pickled config.Config
      HEALTH     pickled dict[tuple[upstream, server URL], bool]
      DRAIN      -
      COLLECT    -                 answer with METRICS, SPANS, LOGS so far, then COLLECTED

Both sides run the same code of the same release as the same user, so pickle crosses no trust
boundary here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

READY, SPANS, LOGS, METRICS, COLLECTED, DRAINING, DRAINED = range(1, 8)
SNAPSHOT, HEALTH, DRAIN, COLLECT = range(16, 20)

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
