"""A scanner over serialised OTLP: counts, splits and reads ids without decoding anything.

It knows three levels of nesting, which are the same in all signals: request → ResourceX (field 1)
→ ScopeX (field 2) → item (field 2). Bounds are strict: any bytes either scan or raise WireError,
never anything else. Unknown fields are kept; groups (wire types 3 and 4), which OTLP never had,
are refused. Inside an item only metrics are looked at, to count their data points.

Source: protobuf encoding guide; opentelemetry-proto v1 `*_service.proto`, field numbers of
`ResourceSpans`, `ScopeSpans`, `Metric`, `Export…ServiceResponse`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from proxy.telemetry.protobuf import delimited

Field = tuple[int, int, int, int, int]  # number, wire type, start of tag, of value, end of value

_RESOURCES = 1  # Export…Request.resource_*
_SCOPES = 2  # Resource*.scope_*
_ITEMS = 2  # Scope*.spans | metrics | log_records
_POINTS = frozenset((5, 7, 9, 10, 11))  # Metric.gauge sum histogram exponential_histogram summary


class WireError(ValueError):
    """Not a serialised message."""


def fields(buf: bytes, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in buf[start:end]; value excludes the length prefix."""
    pos = start
    while pos < end:
        tag = pos
        key, pos = _varint(buf, pos, end)
        number, kind = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise WireError(f"field number {number} at byte {tag}")
        if kind == 2:
            size, pos = _varint(buf, pos, end)
            stop = pos + size
        elif kind == 0:
            stop = _varint(buf, pos, end)[1]
        elif kind == 1:
            stop = pos + 8
        elif kind == 5:
            stop = pos + 4
        else:
            raise WireError(f"wire type {kind} at byte {tag}")
        if stop > end:
            raise WireError(f"field {number} at byte {tag} ends {stop - end} bytes too late")
        yield number, kind, tag, pos, stop
        pos = stop


def count(signal: str, request: bytes) -> int:
    """Spans, data points or log records in an Export…ServiceRequest."""
    total = 0
    for _, _, item, end in _items(request):
        total += _points(request, item, end) if signal == "metrics" else 1
    return total


def split(signal: str, request: bytes, limit: int) -> list[tuple[bytes, int]]:
    """Cut a request into requests of at most `limit` bytes with their item counts.

    Cuts fall between resources, scopes or items, and every part repeats what encloses its items
    (resource, scope, schema URLs, unknown fields). A single item larger than `limit` makes a part
    of its own that exceeds it. Empty envelopes are left out.
    """
    return list(
        _pack(
            (
                part
                for resource in _children(request, 0, len(request), _RESOURCES)
                for part in _split_resource(signal, request, resource, limit)
            ),
            limit,
        )
    )


def split_entries(entries: bytes, limit: int) -> list[tuple[bytes, int]]:
    """Cut concatenated fields into runs of at most `limit` bytes, with the fields in each."""
    pieces = ((entries[tag:end], 1) for _, _, tag, _, end in fields(entries, 0, len(entries)))
    return list(_pack(pieces, limit))


def partial_success(response: bytes) -> tuple[int, str]:
    """(rejected items, message) of an Export…ServiceResponse; (0, "") for full success."""
    rejected, message = 0, ""
    for number, kind, _, start, end in fields(response, 0, len(response)):
        if number != 1 or kind != 2:
            continue
        for inner, wire, _, begin, stop in fields(response, start, end):
            if inner == 1 and wire == 0:
                rejected = _varint(response, begin, stop)[0]
            elif inner == 2 and wire == 2:
                message = response[begin:stop].decode("utf-8", "replace")
    # int64: a negative number is a 64-bit two's complement
    return (rejected if rejected < 1 << 63 else 0), message


def _varint(buf: bytes, pos: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if pos >= end:
            raise WireError(f"varint cut off at byte {pos}")
        byte = buf[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, pos
        shift += 7
        if shift > 63:
            raise WireError(f"varint of more than ten bytes at byte {pos}")


def _children(buf: bytes, start: int, end: int, number: int) -> list[tuple[int, int, int]]:
    """(start of tag, of value, end) of each embedded message `number`."""
    return [
        (tag, value, stop)
        for n, kind, tag, value, stop in fields(buf, start, end)
        if n == number and kind == 2
    ]


def _items(request: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(start of its ScopeX, start of tag, of value, end) of every item."""
    for _, resource, resource_end in _children(request, 0, len(request), _RESOURCES):
        for _, scope, scope_end in _children(request, resource, resource_end, _SCOPES):
            for tag, value, stop in _children(request, scope, scope_end, _ITEMS):
                yield scope, tag, value, stop


def _points(buf: bytes, start: int, end: int) -> int:
    return sum(
        len(_children(buf, value, stop, 1))
        for number, kind, _, value, stop in fields(buf, start, end)
        if number in _POINTS and kind == 2
    )


def _split_resource(
    signal: str, buf: bytes, resource: tuple[int, int, int], limit: int
) -> Iterator[tuple[bytes, int]]:
    """The parts of one ResourceX as `resource_*` fields, none above `limit` where it can be."""
    tag, start, end = resource
    scopes = _children(buf, start, end, _SCOPES)
    items = [
        (scope, item) for scope in scopes for item in _children(buf, scope[1], scope[2], _ITEMS)
    ]
    if not items:
        return
    if end - tag <= limit:
        yield buf[tag:end], sum(_amount(signal, buf, i) for _, i in items)
        return
    frame = _without(buf, start, end, _SCOPES)
    for scope in scopes:
        yield from _split_scope(signal, buf, (frame, scope), limit)


def _split_scope(
    signal: str, buf: bytes, place: tuple[bytes, tuple[int, int, int]], limit: int
) -> Iterator[tuple[bytes, int]]:
    outer, (_, start, end) = place
    inner = _without(buf, start, end, _ITEMS)
    # two length prefixes of at most five bytes and two tags of one byte
    room = limit - len(outer) - len(inner) - 12
    items = (
        (buf[item[0] : item[2]], _amount(signal, buf, item))
        for item in _children(buf, start, end, _ITEMS)
    )
    for run, amount in _pack(items, room):
        yield _wrap(outer, inner, run), amount


def _amount(signal: str, buf: bytes, item: tuple[int, int, int]) -> int:
    return _points(buf, item[1], item[2]) if signal == "metrics" else 1


def _wrap(outer: bytes, inner: bytes, items: bytes) -> bytes:
    return delimited(_RESOURCES, outer + delimited(_SCOPES, inner + items))


def _pack(pieces: Iterable[tuple[bytes, int]], limit: int) -> Iterator[tuple[bytes, int]]:
    """Join neighbours while they stay within `limit` bytes; adds up their item counts."""
    pending: list[bytes] = []
    size = total = 0
    for piece, amount in pieces:
        if pending and size + len(piece) > limit:
            yield b"".join(pending), total
            pending, size, total = [], 0, 0
        pending.append(piece)
        size += len(piece)
        total += amount
    if pending:
        yield b"".join(pending), total


def _without(buf: bytes, start: int, end: int, number: int) -> bytes:
    """The fields of a message but the embedded messages `number`."""
    return b"".join(
        buf[tag:stop]
        for n, kind, tag, _, stop in fields(buf, start, end)
        if not (n == number and kind == 2)
    )
