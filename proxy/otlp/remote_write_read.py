"""Messages of remote write, read: bytes of either version into series.

Strict: any bytes give series or raise WireError; what one message can make us hold is bounded by
its size, but for histograms, whose gaps are bounded here. Whether labels are good is for the
caller to judge, who can take the others.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from proxy.otlp.remote_write import (
    TYPES,
    Exemplar,
    Histogram,
    Labels,
    Metadata,
    Sample,
    Series,
    Span,
)
from proxy.otlp.wire import WireError, fields
from proxy.telemetry.protobuf import DELIMITED, FIXED64, VARINT

MAX_BUCKETS = 4096  # of a histogram and sign; Prometheus's own limits are a few hundred

_DOUBLE = struct.Struct("<d")


class Message(NamedTuple):
    """`families` is what 1.0 says of names apart from series."""

    series: list[Series]
    families: dict[str, Metadata]


def read_v1(buf: bytes) -> Message:
    """A prometheus.WriteRequest; raises WireError."""
    series: list[Series] = []
    families: dict[str, Metadata] = {}
    for number, kind, _, start, end in fields(buf, 0, len(buf)):
        if number == 1 and kind == DELIMITED:
            series.append(_series_v1(buf, start, end))
        elif number == 3 and kind == DELIMITED:
            name, metadata = _family(buf, start, end)
            families[name] = metadata
    return Message(series, families)


def read_v2(buf: bytes) -> Message:
    """An io.prometheus.write.v2.Request; raises WireError."""
    symbols: list[str] = []
    places: list[tuple[int, int]] = []
    for number, kind, _, start, end in fields(buf, 0, len(buf)):
        if number == 4 and kind == DELIMITED:
            symbols.append(_text(buf, start, end))
        elif number == 5 and kind == DELIMITED:
            places.append((start, end))
    if (symbols and symbols[0]) or (places and not symbols):
        raise WireError("the first symbol is not empty")
    return Message([_series_v2(buf, start, end, symbols) for start, end in places], {})


# -- 1.0 ------------------------------------------------------------------------------------------


def _series_v1(buf: bytes, start: int, end: int) -> Series:
    labels: list[tuple[str, str]] = []
    series = Series(())
    for number, kind, _, begin, stop in fields(buf, start, end):
        if kind != DELIMITED:
            continue
        if number == 1:
            labels.append(_label(buf, begin, stop))
        elif number == 2:
            series.samples.append(_sample(buf, begin, stop))
        elif number == 3:
            series.exemplars.append(_exemplar_v1(buf, begin, stop))
        elif number == 4:
            series.histograms.append(_histogram(buf, begin, stop))
    series.labels = tuple(labels)
    return series


def _label(buf: bytes, start: int, end: int) -> tuple[str, str]:
    name = value = ""
    for number, kind, _, begin, stop in fields(buf, start, end):
        if kind == DELIMITED and number == 1:
            name = _text(buf, begin, stop)
        elif kind == DELIMITED and number == 2:
            value = _text(buf, begin, stop)
    return name, value


def _exemplar_v1(buf: bytes, start: int, end: int) -> Exemplar:
    labels, value, time = [], 0.0, 0
    for number, kind, _, begin, stop in fields(buf, start, end):
        if number == 1 and kind == DELIMITED:
            labels.append(_label(buf, begin, stop))
        elif number == 2 and kind == FIXED64:
            value = _DOUBLE.unpack_from(buf, begin)[0]
        elif number == 3 and kind == VARINT:
            time = _signed(buf, begin, stop)
    return Exemplar(tuple(labels), value, time)


def _family(buf: bytes, start: int, end: int) -> tuple[str, Metadata]:
    name = help = unit = ""
    type = 0
    for number, kind, _, begin, stop in fields(buf, start, end):
        if number == 1 and kind == VARINT:
            type = _unsigned(buf, begin, stop)
        elif number == 2 and kind == DELIMITED:
            name = _text(buf, begin, stop)
        elif number == 4 and kind == DELIMITED:
            help = _text(buf, begin, stop)
        elif number == 5 and kind == DELIMITED:
            unit = _text(buf, begin, stop)
    return name, Metadata(_type(type), help, unit)


# -- 2.0 ------------------------------------------------------------------------------------------


def _series_v2(buf: bytes, start: int, end: int, symbols: list[str]) -> Series:
    refs: list[int] = []
    series = Series(())
    created = 0
    for number, kind, _, begin, stop in fields(buf, start, end):
        if number == 1:
            refs += _repeated(buf, kind, begin, stop)
        elif number == 6 and kind == VARINT:
            created = _signed(buf, begin, stop)
        elif kind != DELIMITED:
            continue
        elif number == 2:
            series.samples.append(_sample(buf, begin, stop))
        elif number == 3:
            series.histograms.append(_histogram(buf, begin, stop))
        elif number == 4:
            series.exemplars.append(_exemplar_v2(buf, begin, stop, symbols))
        elif number == 5:
            series.metadata = _metadata(buf, begin, stop, symbols)
    series.labels = _labels(refs, symbols)
    if created:
        series.samples = [
            s if s.start else Sample(s.value, s.time, created) for s in series.samples
        ]
    return series


def _exemplar_v2(buf: bytes, start: int, end: int, symbols: list[str]) -> Exemplar:
    refs: list[int] = []
    value, time = 0.0, 0
    for number, kind, _, begin, stop in fields(buf, start, end):
        if number == 1:
            refs += _repeated(buf, kind, begin, stop)
        elif number == 2 and kind == FIXED64:
            value = _DOUBLE.unpack_from(buf, begin)[0]
        elif number == 3 and kind == VARINT:
            time = _signed(buf, begin, stop)
    return Exemplar(_labels(refs, symbols), value, time)


def _metadata(buf: bytes, start: int, end: int, symbols: list[str]) -> Metadata:
    found = {1: 0, 3: 0, 4: 0}
    for number, kind, _, begin, stop in fields(buf, start, end):
        if number in found and kind == VARINT:
            found[number] = _unsigned(buf, begin, stop)
    return Metadata(_type(found[1]), _symbol(found[3], symbols), _symbol(found[4], symbols))


def _labels(refs: list[int], symbols: list[str]) -> Labels:
    if len(refs) % 2:
        raise WireError("a label has a name and no value")
    texts = [_symbol(ref, symbols) for ref in refs]
    return tuple(zip(texts[::2], texts[1::2], strict=True))


def _symbol(ref: int, symbols: list[str]) -> str:
    if ref >= len(symbols):
        raise WireError(f"there is no symbol {ref}")
    return symbols[ref]


# -- both -----------------------------------------------------------------------------------------


def _sample(buf: bytes, start: int, end: int) -> Sample:
    value, time, began = 0.0, 0, 0
    for number, kind, _, begin, stop in fields(buf, start, end):
        if number == 1 and kind == FIXED64:
            value = _DOUBLE.unpack_from(buf, begin)[0]
        elif number == 2 and kind == VARINT:
            time = _signed(buf, begin, stop)
        elif number == 3 and kind == VARINT:
            began = _signed(buf, begin, stop)
    return Sample(value, time, began)


class _Raw:
    """A histogram that is being read; keys are field numbers."""

    __slots__ = ("deltas", "doubles", "lists", "numbers", "spans")

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.doubles: dict[int, float] = {}
        self.spans: dict[int, list[Span]] = {8: [], 11: []}
        self.deltas: dict[int, list[int]] = {9: [], 12: []}
        self.lists: dict[int, list[float]] = {10: [], 13: [], 16: []}


def _histogram(buf: bytes, start: int, end: int) -> Histogram:
    raw = _Raw()
    for number, kind, _, begin, stop in fields(buf, start, end):
        if number in raw.spans and kind == DELIMITED:
            raw.spans[number].append(_span(buf, begin, stop))
        elif number in raw.deltas:
            raw.deltas[number] += map(_unzigzag, _repeated(buf, kind, begin, stop))
        elif number in raw.lists:
            raw.lists[number] += _doubles(buf, kind, begin, stop)
        elif kind == VARINT:
            raw.numbers[number] = _unsigned(buf, begin, stop)
        elif kind == FIXED64:
            raw.doubles[number] = _DOUBLE.unpack_from(buf, begin)[0]
    numbers, doubles = raw.numbers, raw.doubles
    return Histogram(
        count=doubles.get(2, numbers.get(1, 0)),
        sum=doubles.get(3, 0.0),
        schema=_unzigzag(numbers.get(4, 0)),
        time=_as_signed(numbers.get(15, 0)),
        start=_as_signed(numbers.get(17, 0)),
        zero_threshold=doubles.get(5, 0.0),
        zero_count=doubles.get(7, numbers.get(6, 0)),
        positive=_side(raw, 11),
        negative=_side(raw, 8),
        custom=raw.lists[16],
        gauge=numbers.get(14) == 3,
    )


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
            offset = _unzigzag(_unsigned(buf, begin, stop))
        elif number == 2 and kind == VARINT:
            length = _unsigned(buf, begin, stop)
    return Span(offset, length)


def _text(buf: bytes, start: int, end: int) -> str:
    try:
        return buf[start:end].decode()
    except UnicodeDecodeError:
        raise WireError(f"the text at byte {start} is not UTF-8") from None


def _type(number: int) -> str:
    return TYPES[number] if number < len(TYPES) else TYPES[0]


def _repeated(buf: bytes, kind: int, start: int, end: int) -> Iterator[int]:
    """Varints, packed or one alone."""
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


def _unsigned(buf: bytes, start: int, end: int) -> int:
    return next(_repeated(buf, VARINT, start, end), 0)


def _signed(buf: bytes, start: int, end: int) -> int:
    return _as_signed(_unsigned(buf, start, end))


def _as_signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _unzigzag(number: int) -> int:
    return (number >> 1) ^ -(number & 1)
