"""Native histograms of remote write, read; and the primitives that both readers share.

Strict as its caller: any bytes give a histogram or raise WireError. What its spans may stretch over
is bounded, since a few bytes could name a bucket two thousand millions away.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from proxy.formats.remote_write.write import Histogram, Span
from proxy.otlp.wire import WireError, fields
from proxy.telemetry.protobuf import DELIMITED, FIXED64, VARINT

MAX_BUCKETS = 4096  # of a histogram and sign; Prometheus's own limits are a few hundred

_DOUBLE = struct.Struct("<d")


class _Raw:
    """A histogram that is being read; keys are field numbers."""

    __slots__ = ("deltas", "doubles", "lists", "numbers", "spans")

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.doubles: dict[int, float] = {}
        self.spans: dict[int, list[Span]] = {8: [], 11: []}
        self.deltas: dict[int, list[int]] = {9: [], 12: []}
        self.lists: dict[int, list[float]] = {10: [], 13: [], 16: []}


def read_histogram(buf: bytes, start: int, end: int) -> Histogram:
    raw = _Raw()
    for number, kind, _, begin, stop in fields(buf, start, end):
        if number in raw.spans and kind == DELIMITED:
            raw.spans[number].append(_span(buf, begin, stop))
            _few(raw.spans[number])
        elif number in raw.deltas:
            raw.deltas[number] += map(_unzigzag, varints(buf, kind, begin, stop))
            _few(raw.deltas[number])
        elif number in raw.lists:
            raw.lists[number] += _doubles(buf, kind, begin, stop)
            _few(raw.lists[number])
        elif kind == VARINT:
            raw.numbers[number] = unsigned(buf, begin, stop)
        elif kind == FIXED64:
            raw.doubles[number] = _DOUBLE.unpack_from(buf, begin)[0]
    numbers, doubles = raw.numbers, raw.doubles
    return Histogram(
        count=doubles.get(2, numbers.get(1, 0)),
        sum=doubles.get(3, 0.0),
        schema=_unzigzag(numbers.get(4, 0)),
        time=as_signed(numbers.get(15, 0)),
        start=as_signed(numbers.get(17, 0)),
        zero_threshold=doubles.get(5, 0.0),
        zero_count=doubles.get(7, numbers.get(6, 0)),
        positive=_side(raw, 11),
        negative=_side(raw, 8),
        custom=raw.lists[16],
        gauge=numbers.get(14) == 3,
    )


def _few(found: Sequence[object]) -> None:
    if len(found) > MAX_BUCKETS:
        raise WireError("a histogram of too many buckets")


def _side(raw: _Raw, field: int) -> tuple[list[Span], list[float]]:
    """Spans and counts of one sign; raises WireError if they do not belong together."""
    spans, counts = raw.spans[field], raw.lists[field + 2]
    if not counts:
        total = 0
        for delta in raw.deltas[field + 1]:
            total += delta
            counts.append(float(total))
    if sum(span.length for span in spans) != len(counts) or len(counts) > MAX_BUCKETS:
        raise WireError("spans and buckets of a histogram do not belong together")
    if sum(abs(span.offset) for span in spans[1:]) > MAX_BUCKETS:
        raise WireError("the buckets of a histogram are too far apart")
    return spans, counts


def _span(buf: bytes, start: int, end: int) -> Span:
    offset = length = 0
    for number, kind, _, begin, stop in fields(buf, start, end):
        if number == 1 and kind == VARINT:
            offset = _unzigzag(unsigned(buf, begin, stop))
        elif number == 2 and kind == VARINT:
            length = unsigned(buf, begin, stop)
    return Span(offset, length)


def varints(buf: bytes, kind: int, start: int, end: int, most: int = 4096) -> Iterator[int]:
    """Varints, packed or one alone; raises WireError if they may be more than `most`."""
    if end - start > most * 10:
        raise WireError(f"a list of {end - start} bytes at byte {start}")
    value = shift = 0
    for byte in buf[start:end] if kind in (DELIMITED, VARINT) else b"":
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            yield value & 0xFFFFFFFFFFFFFFFF
            value = shift = 0
        else:
            shift += 7
            if shift > 63:
                raise WireError(f"varint of more than ten bytes after byte {start}")
    if shift:
        raise WireError(f"varint cut off at byte {end}")


def _doubles(buf: bytes, kind: int, start: int, end: int) -> list[float]:
    if kind not in (DELIMITED, FIXED64) or (end - start) % 8:
        raise WireError(f"no doubles at byte {start}")
    return list(struct.unpack_from(f"<{(end - start) // 8}d", buf, start))


def unsigned(buf: bytes, start: int, end: int) -> int:
    return next(varints(buf, VARINT, start, end), 0)


def signed(buf: bytes, start: int, end: int) -> int:
    return as_signed(unsigned(buf, start, end))


def as_signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _unzigzag(number: int) -> int:
    return (number >> 1) ^ -(number & 1)
