"""Messages of remote write, read: bytes of either version into series.

Strict: any bytes give series or raise WireError; what one message can make us hold is bounded by
its size. Whether labels are good is for the caller to judge, who can take the others.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from proxy.formats.remote_write.native import read_histogram, signed, unsigned, varints
from proxy.formats.remote_write.write import TYPES, Exemplar, Labels, Metadata, Sample, Series
from proxy.otlp.json import whole_text
from proxy.otlp.wire import WireError, fields
from proxy.telemetry.protobuf import DELIMITED, FIXED64, VARINT

_DOUBLE = struct.Struct("<d")
_TARGET = ("__name__", "target_info")


# Of series, samples, histograms and exemplars: Prometheus sends 2,000 at once.
FREE, LEAST = 65_536, 256
_SYMBOL = 16  # bytes; on average
MOST_LABELS = 1024  # of one series or exemplar; Prometheus's servers allow 30 by default


class _Budget:
    """How many parts a message of that size may have: each is an object to be kept."""

    __slots__ = ("_left",)

    def __init__(self, size: int) -> None:
        self._left = FREE + size // LEAST

    def spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise WireError("too many parts for so few bytes")


class Message(NamedTuple):
    """`families` is what 1.0 says of names apart from series."""

    series: list[Series]
    families: dict[str, Metadata]


def read_v1(buf: bytes) -> Message:
    """A prometheus.WriteRequest; raises WireError."""
    budget = _Budget(len(buf))
    series: list[Series] = []
    families: dict[str, Metadata] = {}
    known: dict[bytes, tuple[str, str]] = {}  # the same labels stand in series after series
    for number, kind, _, start, end in fields(buf, 0, len(buf)):
        if number == 1 and kind == DELIMITED:
            budget.spend()
            series.append(_series_v1(buf, (start, end), known, budget))
        elif number == 3 and kind == DELIMITED:
            name, metadata = _family(buf, start, end)
            families[name] = metadata
    return Message(series, families)


def portions(message: Message, most: int) -> Iterator[Message]:
    """The same in several, of about `most` series, samples and histograms each.

    What says something about others comes first: metadata, and the series target_info.
    """
    first = [series for series in message.series if _TARGET in series.labels]
    others = [series for series in message.series if _TARGET not in series.labels]
    families, pending, size = message.families, [], 0
    for series in (*first, *others):
        for piece in _pieces(series, most):
            pending.append(piece)
            size += 1 + len(piece.samples) + len(piece.histograms)
            if size >= most:
                yield Message(pending, families)
                families, pending, size = {}, [], 0
    if pending or families:
        yield Message(pending, families)


def _pieces(series: Series, most: int) -> Iterator[Series]:
    if len(series.samples) + len(series.histograms) + len(series.exemplars) <= most:
        yield series
        return
    for start in range(0, max(len(series.samples), len(series.histograms)), most):
        stop = start + most
        yield replace(
            series, samples=series.samples[start:stop], histograms=series.histograms[start:stop],
            exemplars=series.exemplars[:most] if not start else [],
        )  # fmt: skip


def read_v2(buf: bytes) -> Message:
    """An io.prometheus.write.v2.Request; raises WireError."""
    budget = _Budget(len(buf))
    symbols: list[str] = []
    places: list[tuple[int, int]] = []
    for number, kind, _, start, end in fields(buf, 0, len(buf)):
        if number == 4 and kind == DELIMITED:
            symbols.append(_text(buf, start, end))
            if len(symbols) > FREE + len(buf) // _SYMBOL:
                raise WireError("too many symbols for so few bytes")
        elif number == 5 and kind == DELIMITED:
            budget.spend()
            places.append((start, end))
    if (symbols and symbols[0]) or (places and not symbols):
        raise WireError("the first symbol is not empty")
    return Message([_series_v2(buf, place, symbols, budget) for place in places], {})


# -- 1.0 ------------------------------------------------------------------------------------------


def _series_v1(
    buf: bytes, place: tuple[int, int], known: dict[bytes, tuple[str, str]], budget: _Budget
) -> Series:
    labels: list[tuple[str, str]] = []
    series = Series(())
    for number, kind, _, begin, stop in fields(buf, *place):
        if kind != DELIMITED:
            continue
        if number == 1:
            raw = buf[begin:stop]
            if (label := known.get(raw)) is None:
                label = known[raw] = _label(raw, 0, len(raw))
            labels.append(label)
            _few(labels)
            continue
        budget.spend()
        if number == 2:
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
            _few(labels)
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
    return whole_text(name), Metadata(_type(type), whole_text(help), whole_text(unit))


# -- 2.0 ------------------------------------------------------------------------------------------


def _series_v2(buf: bytes, place: tuple[int, int], symbols: list[str], budget: _Budget) -> Series:
    refs: list[int] = []
    series = Series(())
    created = 0
    for number, kind, _, begin, stop in fields(buf, *place):
        if number == 1:
            refs += varints(buf, kind, begin, stop, 2 * MOST_LABELS)
            _few(refs)
        elif number == 6 and kind == VARINT:
            created = signed(buf, begin, stop)
        elif kind != DELIMITED:
            continue
        else:
            budget.spend()
        if number == 2:
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
            refs += varints(buf, kind, begin, stop, 2 * MOST_LABELS)
            _few(refs)
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
    help, unit = _symbol(found[3], symbols), _symbol(found[4], symbols)
    return Metadata(_type(found[1]), whole_text(help), whole_text(unit))


def _labels(refs: list[int], symbols: list[str]) -> Labels:
    if len(refs) % 2:
        raise WireError("a label has a name and no value")
    texts = [_symbol(ref, symbols) for ref in refs]
    return tuple(zip(texts[::2], texts[1::2], strict=True))


def _few(found: list[Any]) -> None:
    """Labels, or the symbols of labels."""
    if len(found) > 2 * MOST_LABELS:
        raise WireError("too many labels")


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
    """What is not UTF-8 becomes half surrogates, by which the caller sees it (`is_whole`)."""
    return buf[start:end].decode("utf-8", "surrogateescape")


def is_whole(text: str) -> bool:
    """Whether it was UTF-8."""
    return text.isascii() or whole_text(text) == text


def _type(number: int) -> str:
    return TYPES[number] if number < len(TYPES) else TYPES[0]
