"""What passes between a worker and the hub: length-prefixed frames on a Unix stream socket.

A frame is `<u32 payload bytes> <u8 kind> <u32 items>` (little endian) and the payload. The order
of frames is the order of events: a COLLECTED follows everything recorded before the question.

up    READY      -                 a snapshot is in force and the listeners accept
      SPANS      ScopeSpans.spans entries, one after the other (field 2, tag and length included)
      LOGS       ScopeLogs.log_records entries, likewise
      METRICS    pickled telemetry.metrics.Report
      COLLECTED  -                 items = the number that came with COLLECT
      DRAINING   -                 no longer accepting; the hub may close the listening sockets
      DRAINED    -                 last frame of a worker that stops
      APPLIED    -                 items = generation that is in force now
      REFUSED    why, as UTF-8     items = generation; what was in force stays so
      PREPARED   -                 items = generation that APPLY would bring into force at once
down  SNAPSHOT   config.wire       items = generation; several frames, of which nothing follows yet
      ENDPOINTS  server.endpoints  health and weights, endpoints that came or went
      DRAIN      -
      COLLECT    -                 answer with METRICS, SPANS, LOGS so far, then COLLECTED
      APPLY      -                 items = generation, bring it into force
      FORGET     -                 items = generation, throw away what was prepared

Orders are carried out one after the other; see server/orders.py for the two that do not wait.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

READY, SPANS, LOGS, METRICS, COLLECTED, DRAINING, DRAINED = range(1, 8)
APPLIED, REFUSED, PREPARED = 8, 9, 10
SNAPSHOT, ENDPOINTS, DRAIN, COLLECT, APPLY, FORGET = range(16, 22)

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
