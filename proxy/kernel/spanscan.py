"""Spans looked over where they lie, without decoding them: the twin in Python of `spanscan.pyx`.

`rows` tells of each span what a list of traces shows, `select` cuts out the entries of some traces,
and a `Judge` notes which traces are worth keeping: those with an error, and those of which a
SERVER span took longer than 99 of 100 of its name. What is malformed ends the walk, quietly: it is
what a sender wrote, and others are behind it.

Source: opentelemetry-proto trace/v1 and logs/v1, by their field numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator
from contextlib import suppress

from proxy.kernel.wire import fields
from proxy.kernel.wire_error import WireError

# trace id, span id, parent's id, name, kind, start, end, status code, begin and end of the span
Row = tuple[bytes, bytes, bytes, bytes, int, int, int, int, int, int]

SERVER = 2  # SpanKind
ERROR = 2  # Status.StatusCode
NAMES = 1000  # that a judge tells apart; spans of more are judged by their status alone
ENOUGH = 200  # spans of one name, before any of them is slow
OFTEN = 64  # spans, after which it is found out anew what is slow
WINDOW = 4096  # spans of one name that count; the older ones by half
BUCKETS = 256  # four for each doubling of ns

_DOUBLE = struct.Struct("<d")


def rows(buf: bytes, begin: int, end: int) -> list[Row]:
    """One of each span in a run of `ScopeSpans.spans` fields; times in Unix ns."""
    return [(*_read(buf, start, stop), start, stop) for start, stop in _entries(buf, begin, end)]


def select(buf: bytes, begin: int, end: int, number: int, wanted: Container[bytes]) -> bytes:
    """The entries (fields 2) in which field `number` is among those, as they are."""
    picked = []
    with suppress(WireError):
        for field, wire, tag, start, stop in fields(buf, begin, end):
            if field == 2 and wire == 2 and _field(buf, start, stop, number) in wanted:
                picked.append(buf[tag:stop])
    return b"".join(picked)


class Judge:
    """Which traces are worth keeping, by what it has seen until now."""

    def __init__(self) -> None:
        self._paces: dict[bytes, Pace] = {}

    def look(self, buf: bytes, begin: int, end: int) -> list[bytes]:
        """The trace ids of those in a run of `ScopeSpans.spans` fields."""
        notable: list[bytes] = []
        for start, stop in _entries(buf, begin, end):
            trace, _, _, name, kind, begun, ended, status = _read(buf, start, stop)
            slow = kind == SERVER and self._is_slow(name, _signed(ended - begun))
            if (slow or status == ERROR) and not (notable and notable[-1] == trace):
                notable.append(trace)
        return notable

    def _is_slow(self, name: bytes, took: int) -> bool:
        pace = self._paces.get(name)
        if pace is None:
            if len(self._paces) >= NAMES:
                return False
            pace = self._paces[name] = Pace()
        return pace.is_slow(took)


class Pace:
    """How long the spans of one name take."""

    __slots__ = ("_counts", "_limit", "_since", "_total")

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self._total = self._since = 0
        self._limit = BUCKETS  # the bucket above which one is slow

    def is_slow(self, took: int) -> bool:
        """Count that one, and tell; ns."""
        bucket = _bucket(took)
        self._counts[bucket] += 1
        self._total += 1
        self._since += 1
        if self._since >= OFTEN:
            self._learn()
        return bucket > self._limit

    def _learn(self) -> None:
        self._since = 0
        if self._total >= WINDOW:
            self._counts = [count >> 1 for count in self._counts]
            self._total = sum(self._counts)
        if self._total < ENOUGH:
            return
        beyond = self._total // 100
        bucket = BUCKETS - 1
        while bucket and self._counts[bucket] <= beyond:
            beyond -= self._counts[bucket]
            bucket -= 1
        self._limit = bucket


def _signed(number: int) -> int:
    """As 64 bits hold it."""
    return (number + (1 << 63) & (1 << 64) - 1) - (1 << 63)


def _bucket(took: int) -> int:
    if took < 4:
        return max(took, 0)
    doubling = took.bit_length() - 1
    return min(doubling * 4 + (took >> (doubling - 2) & 3), BUCKETS - 1)


def _entries(buf: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    with suppress(WireError):
        for field, wire, _, start, stop in fields(buf, begin, end):
            if field == 2 and wire == 2:
                yield start, stop


def _read(
    buf: bytes, begin: int, end: int
) -> tuple[bytes, bytes, bytes, bytes, int, int, int, int]:
    ids = {1: b"", 2: b"", 4: b"", 5: b""}
    numbers = {6: 0, 7: 0, 8: 0}
    status = 0
    with suppress(WireError):
        for field, wire, _, start, stop in fields(buf, begin, end):
            if wire == 2 and field in ids:
                ids[field] = buf[start:stop]
            elif wire == 2 and field == 15:
                status = _code(buf, start, stop)
            elif wire == 1 and field in (7, 8):
                numbers[field] = int.from_bytes(buf[start:stop], "little")
            elif wire == 0 and field == 6:
                numbers[field] = _varint(buf, start, stop)
    return (ids[1], ids[2], ids[4], ids[5], numbers[6], numbers[7], numbers[8], status)


def _code(buf: bytes, begin: int, end: int) -> int:
    code = 0
    with suppress(WireError):
        for field, wire, _, start, stop in fields(buf, begin, end):
            if field == 3 and wire == 0:
                code = _varint(buf, start, stop)
    return code


def _field(buf: bytes, begin: int, end: int, number: int) -> bytes:
    with suppress(WireError):
        for field, wire, _, start, stop in fields(buf, begin, end):
            if field == number and wire == 2:
                return buf[start:stop]
    return b""


def _varint(buf: bytes, start: int, stop: int) -> int:
    """Its lowest 32 bits, as an enum has them."""
    return _long(buf, start, stop) & 0xFFFFFFFF


def pick(buf: bytes, begin: int, end: int, number: int, keys: dict[bytes, int]) -> list[object]:
    """Attributes of the span or record `buf[begin:end]`, which are its fields `number`.

    `keys` tells the place of each in what is returned. Texts come as bytes, numbers as they are;
    None where it has none, or one of another kind.
    """
    found: list[object] = [None] * len(keys)
    with suppress(WireError):
        for field, wire, _, start, stop in fields(buf, begin, end):
            if field == number and wire == 2:
                key, value = _pair(buf, start, stop)
                place = keys.get(key)
                if place is not None:
                    found[place] = value
    return found


def _pair(buf: bytes, begin: int, end: int) -> tuple[bytes, object]:
    key, value = b"", None
    with suppress(WireError):
        for field, wire, _, start, stop in fields(buf, begin, end):
            if field == 1 and wire == 2:
                key = buf[start:stop]
            elif field == 2 and wire == 2:
                value = _value(buf, start, stop)
    return key, value


def _value(buf: bytes, begin: int, end: int) -> object:
    value: object = None
    with suppress(WireError):
        for field, wire, _, start, stop in fields(buf, begin, end):
            if field == 1 and wire == 2:
                value = buf[start:stop]
            elif field == 2 and wire == 0:
                value = bool(_long(buf, start, stop))
            elif field == 3 and wire == 0:
                value = _signed(_long(buf, start, stop))
            elif field == 4 and wire == 1:
                value = _DOUBLE.unpack_from(buf, start)[0]
    return value


def _long(buf: bytes, start: int, stop: int) -> int:
    value = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(buf[start:stop]))
    return value & (1 << 64) - 1
