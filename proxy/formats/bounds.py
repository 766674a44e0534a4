"""Bounds for foreign protobuf: what is decoded may not be much larger than what was sent.

An empty message takes two bytes on the wire and a hundred or more when decoded: 4 MiB of empty
spans were 1.2 GB and 19 seconds. Knows no format but the tags of protobuf.
"""

from __future__ import annotations

from proxy.otlp.wire import WireError, fields
from proxy.telemetry.protobuf import DELIMITED

_FREE = 1000  # parts of any size
_BYTES_PER_PART = 8  # smaller than any tag, event or link that says something, on average


class Budget:
    """How many parts (tags, events, links…) a request of that many bytes may have."""

    __slots__ = ("_left",)

    def __init__(self, size: int) -> None:
        self._left = _FREE + size // _BYTES_PER_PART

    def spend(self, parts: int) -> None:
        """Raises WireError when they are too many."""
        self._left -= parts
        if self._left < 0:
            raise WireError("too many parts for so few bytes")


def check_entries(payload: bytes, path: tuple[int, ...], least: int) -> None:
    """Before decoding: each message at the end of `path` has at least so many bytes.

    `path` are field numbers from the request down. Raises WireError. 0.6 µs for each message.
    """
    _check(payload, 0, len(payload), path, least)


def _check(buf: bytes, start: int, end: int, path: tuple[int, ...], least: int) -> None:
    wanted, deeper = path[0], path[1:]
    for number, kind, _, begin, stop in fields(buf, start, end):
        if number != wanted or kind != DELIMITED:
            continue
        if deeper:
            _check(buf, begin, stop, deeper, least)
        elif stop - begin < least:
            raise WireError(f"a span of {stop - begin} bytes")
