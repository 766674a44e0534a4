"""Spans and log records out of the bytes of a request, without protobuf.

For some traces, not for all: 10 µs a span. What is malformed is left out. Values nest at most
DEPTH deep; what is deeper is None.

Source: opentelemetry-proto common/v1, resource/v1, trace/v1, logs/v1, by their field numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import suppress
from typing import Any

from proxy.kernel.spanscan import select
from proxy.otlp.wire import WireError, fields
from proxy.recent.model import Attributes, Event, Link, Record, Span, Value

DEPTH = 16  # of lists and maps in an attribute

_TRACE_OF = {"traces": 1, "logs": 9}  # field number of the trace id
_DOUBLE = struct.Struct("<d")


Part = tuple[Attributes, str, bytes, int, int]  # resource, scope's name, buffer, begin, end


def spans(payload: bytes, only: Container[bytes] | None = None) -> list[Span]:
    """All spans of an ExportTraceServiceRequest, or those of the trace ids in `only`."""
    return spans_in(scopes(payload), only)


def records(payload: bytes, only: Container[bytes] | None = None) -> list[Record]:
    """The same of an ExportLogsServiceRequest."""
    return records_in(scopes(payload), only)


def spans_in(parts: Iterable[Part], only: Container[bytes] | None = None) -> list[Span]:
    """The same, of runs of spans (fields 2)."""
    return [_span(*item) for item in _items_of(parts, _TRACE_OF["traces"], only)]


def records_in(parts: Iterable[Part], only: Container[bytes] | None = None) -> list[Record]:
    """The same of log records."""
    return [record_at(*item) for item in _items_of(parts, _TRACE_OF["logs"], only)]


def _items_of(
    parts: Iterable[Part], field: int, only: Container[bytes] | None
) -> Iterator[tuple[bytes, int, int, Attributes, str]]:
    """Each span or record: the buffer, where it is, and whose. `field` is that of its trace id."""
    for resource, scope, buf, begin, end in parts:
        if only is not None:
            buf = select(buf, begin, end, field, only)
            begin, end = 0, len(buf)
        for start, stop in _those(buf, begin, end, 2):
            yield buf, start, stop, resource, scope


def scopes(payload: bytes) -> Iterator[Part]:
    """Each ScopeSpans or ScopeLogs.

    The numbers are the same in both: ResourceX.resource = 1, scope_x = 2; ScopeX.scope = 1.
    """
    for begin, end in _those(payload, 0, len(payload), 1):
        resource: Attributes = {}
        inner: list[tuple[int, int]] = []
        with suppress(WireError):
            for number, wire, _, start, stop in fields(payload, begin, end):
                if wire == 2 and number == 1:
                    resource = _attributes(payload, start, stop, 1)
                elif wire == 2 and number == 2:
                    inner.append((start, stop))
        for start, stop in inner:
            yield resource, _scope(payload, start, stop), payload, start, stop


def _scope(buf: bytes, begin: int, end: int) -> str:
    for start, stop in _those(buf, begin, end, 1):
        for first, last in _those(buf, start, stop, 1):
            return _text(buf, first, last)
    return ""


def _those(buf: bytes, begin: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Where the fields of that number are, up to what is malformed."""
    with suppress(WireError):
        for number, wire, _, start, stop in fields(buf, begin, end):
            if number == wanted and wire == 2:
                yield start, stop


def _span(buf: bytes, begin: int, end: int, resource: Attributes, scope: str) -> Span:
    span = Span(b"", b"", resource=resource, scope=scope)
    with suppress(WireError):
        for number, wire, _, start, stop in fields(buf, begin, end):
            if read := _SPAN.get((number, wire)):
                read(span, buf, start, stop)
    return span


def record_at(
    buf: bytes, begin: int, end: int, resource: Attributes | None = None, scope: str = ""
) -> Record:
    """The LogRecord in buf[begin:end]."""
    record = Record(0, resource=resource or {}, scope=scope)
    observed = 0
    with suppress(WireError):
        for number, wire, _, start, stop in fields(buf, begin, end):
            if number == 11 and wire == 1:
                observed = _fixed(buf, start, stop)
            elif read := _RECORD.get((number, wire)):
                read(record, buf, start, stop)
    record.time = record.time or observed
    return record


def _event(buf: bytes, begin: int, end: int) -> Event:
    event = Event(0, "", {})
    with suppress(WireError):
        for number, wire, _, start, stop in fields(buf, begin, end):
            if number == 1 and wire == 1:
                event.time = _fixed(buf, start, stop)
            elif number == 2 and wire == 2:
                event.name = _text(buf, start, stop)
            elif number == 3 and wire == 2:
                _pair(event.attributes, buf, start, stop)
    return event


def _link(buf: bytes, begin: int, end: int) -> Link:
    link = Link(b"", b"", "", {})
    with suppress(WireError):
        for number, wire, _, start, stop in fields(buf, begin, end):
            if wire != 2:
                continue
            if number == 1:
                link.trace_id = buf[start:stop]
            elif number == 2:
                link.span_id = buf[start:stop]
            elif number == 3:
                link.trace_state = _text(buf, start, stop)
            elif number == 4:
                _pair(link.attributes, buf, start, stop)
    return link


def _attributes(buf: bytes, begin: int, end: int, number: int) -> Attributes:
    found: Attributes = {}
    for start, stop in _those(buf, begin, end, number):
        _pair(found, buf, start, stop)
    return found


def _pair(into: Attributes, buf: bytes, begin: int, end: int, depth: int = 0) -> None:
    """A KeyValue: key = 1, value = 2."""
    key, value = "", None
    with suppress(WireError):
        for number, wire, _, start, stop in fields(buf, begin, end):
            if number == 1 and wire == 2:
                key = _text(buf, start, stop)
            elif number == 2 and wire == 2:
                value = _value(buf, start, stop, depth)
    into[key] = value


def _value(buf: bytes, begin: int, end: int, depth: int) -> Value:
    """An AnyValue: a oneof, of which the last one counts."""
    value: Value = None
    with suppress(WireError):
        for number, wire, _, start, stop in fields(buf, begin, end):
            if wire == 0 and number in (2, 3):
                whole = _varint(buf, start, stop)
                value = bool(whole) if number == 2 else whole - (whole >> 63 << 64)
            elif wire == 1 and number == 4:
                value = _DOUBLE.unpack_from(buf, start)[0]
            elif wire == 2 and number in (1, 5, 6, 7):
                value = _long(number, buf, start, stop, depth)
    return value


def _long(number: int, buf: bytes, start: int, stop: int, depth: int) -> Value:
    if number == 1:
        return _text(buf, start, stop)
    if number == 7:
        return buf[start:stop]
    if depth >= DEPTH:
        return None
    if number == 5:
        return [_value(buf, b, e, depth + 1) for b, e in _those(buf, start, stop, 1)]
    pairs: Attributes = {}
    for begin, end in _those(buf, start, stop, 1):
        _pair(pairs, buf, begin, end, depth + 1)
    return pairs


def _text(buf: bytes, start: int, stop: int) -> str:
    return buf[start:stop].decode("utf-8", "replace")


def _fixed(buf: bytes, start: int, stop: int) -> int:
    return int.from_bytes(buf[start:stop], "little")


def _varint(buf: bytes, start: int, stop: int) -> int:
    value = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(buf[start:stop]))
    return value & (1 << 64) - 1


def _enum(buf: bytes, start: int, stop: int) -> int:
    """Its lowest 32 bits, as `kernel/spanscan` reads it."""
    return _varint(buf, start, stop) & 0xFFFFFFFF


def _status(span: Span, buf: bytes, begin: int, end: int) -> None:
    with suppress(WireError):
        for number, wire, _, start, stop in fields(buf, begin, end):
            if number == 2 and wire == 2:
                span.message = _text(buf, start, stop)
            elif number == 3 and wire == 0:
                span.status = _enum(buf, start, stop)


def _kind(span: Span, buf: bytes, start: int, stop: int) -> None:
    span.kind = _enum(buf, start, stop)


_Read = Callable[[Any, bytes, int, int], None]

# By number and wire type: what comes as another type is no such field.
_SPAN: dict[tuple[int, int], _Read] = {
    (1, 2): lambda span, buf, start, stop: setattr(span, "trace_id", buf[start:stop]),
    (2, 2): lambda span, buf, start, stop: setattr(span, "span_id", buf[start:stop]),
    (3, 2): lambda span, buf, start, stop: setattr(span, "trace_state", _text(buf, start, stop)),
    (4, 2): lambda span, buf, start, stop: setattr(span, "parent_id", buf[start:stop]),
    (5, 2): lambda span, buf, start, stop: setattr(span, "name", _text(buf, start, stop)),
    (6, 0): _kind,
    (7, 1): lambda span, buf, start, stop: setattr(span, "start", _fixed(buf, start, stop)),
    (8, 1): lambda span, buf, start, stop: setattr(span, "end", _fixed(buf, start, stop)),
    (9, 2): lambda span, buf, start, stop: _pair(span.attributes, buf, start, stop),
    (11, 2): lambda span, buf, start, stop: span.events.append(_event(buf, start, stop)),
    (13, 2): lambda span, buf, start, stop: span.links.append(_link(buf, start, stop)),
    (15, 2): _status,
    (16, 5): lambda span, buf, start, stop: setattr(span, "flags", _fixed(buf, start, stop)),
}

_RECORD: dict[tuple[int, int], _Read] = {
    (1, 1): lambda record, buf, start, stop: setattr(record, "time", _fixed(buf, start, stop)),
    (2, 0): lambda record, buf, start, stop: setattr(record, "severity", _enum(buf, start, stop)),
    (3, 2): lambda record, buf, start, stop: setattr(
        record, "severity_text", _text(buf, start, stop)
    ),
    (5, 2): lambda record, buf, start, stop: setattr(record, "body", _value(buf, start, stop, 0)),
    (6, 2): lambda record, buf, start, stop: _pair(record.attributes, buf, start, stop),
    (8, 5): lambda record, buf, start, stop: setattr(record, "flags", _fixed(buf, start, stop)),
    (9, 2): lambda record, buf, start, stop: setattr(record, "trace_id", buf[start:stop]),
    (10, 2): lambda record, buf, start, stop: setattr(record, "span_id", buf[start:stop]),
}
