"""Messages of remote write, read: bytes of either version into series.

Strict: any bytes give series or raise WireError; what one message can make us hold is bounded by
its size. Whether labels are good is for the caller to judge, who can take the others.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from proxy.formats.remote_write.native import read_histogram, signed, unsigned, varints
from proxy.formats.remote_write.write import TYPES, Exemplar, Labels, Metadata, Sample, Series
from proxy.otlp.wire import WireError, fields
from proxy.telemetry.protobuf import DELIMITED, FIXED64, VARINT

_DOUBLE = struct.Struct("<d")


class Message(NamedTuple):
    """`families` is what 1.0 says of names apart from series."""

    series: list[Series]
    families: dict[str, Metadata]


def read_v1(buf: bytes) -> Message:
    """A prometheus.WriteRequest; raises WireError."""
    series: list[Series] = []
    families: dict[str, Metadata] = {}
    known: dict[bytes, tuple[str, str]] = {}  # the same labels stand in series after series
    for number, kind, _, start, end in fields(buf, 0, len(buf)):
        if number == 1 and kind == DELIMITED:
            series.append(_series_v1(buf, start, end, known))
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


def _series_v1(buf: bytes, start: int, end: int, known: dict[bytes, tuple[str, str]]) -> Series:
    labels: list[tuple[str, str]] = []
    series = Series(())
    for number, kind, _, begin, stop in fields(buf, start, end):
        if kind != DELIMITED:
            continue
        if number == 1:
            raw = buf[begin:stop]
            if (label := known.get(raw)) is None:
                label = known[raw] = _label(raw, 0, len(raw))
            labels.append(label)
        elif number == 2:
            series.samples.append(_sample(buf, begin, stop))
        elif number == 3:
            series.exemplars.append(_exemplar_v1(buf, begin, stop))
        elif number == 4:
            series.histograms.append(read_histogram(buf, begin, stop))
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
            time = signed(buf, begin, stop)
    return Exemplar(tuple(labels), value, time)


def _family(buf: bytes, start: int, end: int) -> tuple[str, Metadata]:
    name = help = unit = ""
    type = 0
    for number, kind, _, begin, stop in fields(buf, start, end):
        if number == 1 and kind == VARINT:
            type = unsigned(buf, begin, stop)
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
            refs += varints(buf, kind, begin, stop)
        elif number == 6 and kind == VARINT:
            created = signed(buf, begin, stop)
        elif kind != DELIMITED:
            continue
        elif number == 2:
            series.samples.append(_sample(buf, begin, stop))
        elif number == 3:
            series.histograms.append(read_histogram(buf, begin, stop))
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
            refs += varints(buf, kind, begin, stop)
        elif number == 2 and kind == FIXED64:
            value = _DOUBLE.unpack_from(buf, begin)[0]
        elif number == 3 and kind == VARINT:
            time = signed(buf, begin, stop)
    return Exemplar(_labels(refs, symbols), value, time)


def _metadata(buf: bytes, start: int, end: int, symbols: list[str]) -> Metadata:
    found = {1: 0, 3: 0, 4: 0}
    for number, kind, _, begin, stop in fields(buf, start, end):
        if number in found and kind == VARINT:
            found[number] = unsigned(buf, begin, stop)
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
            time = signed(buf, begin, stop)
        elif number == 3 and kind == VARINT:
            began = signed(buf, begin, stop)
    return Sample(value, time, began)


def _text(buf: bytes, start: int, end: int) -> str:
    try:
        return buf[start:end].decode()
    except UnicodeDecodeError:
        raise WireError(f"the text at byte {start} is not UTF-8") from None


def _type(number: int) -> str:
    return TYPES[number] if number < len(TYPES) else TYPES[0]
