"""A scanner over serialised OTLP: counts, splits and reads ids without decoding anything.

It knows the way down from a request to its items (request → ResourceX → ScopeX → item) and no
other field. Bounds are strict: any bytes either scan or raise WireError, never anything else.
Unknown fields are kept; groups (wire types 3 and 4), which OTLP never had, are refused. Items
themselves are not looked into.

Source: protobuf encoding guide; opentelemetry-proto v1 `*_service.proto`, field numbers of
`ResourceSpans`, `ScopeSpans`, `Metric`, `Export…ServiceResponse`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from proxy.kernel.wire import fields as fields
from proxy.kernel.wire_error import WireError as WireError
from proxy.telemetry.protobuf import DELIMITED, VARINT, delimited

Field = tuple[int, int, int, int, int]  # number, wire type, start of tag, of value, end of value
Path = tuple[frozenset[int], ...]

# Field numbers from the request down to what is counted. A metric's data is one of gauge, sum,
# histogram, exponential_histogram and summary, and in each of them field 1 holds the points.
_RECORDS: Path = (frozenset((1,)), frozenset((2,)), frozenset((2,)))
PATHS: dict[str, Path] = {
    "traces": _RECORDS,
    "logs": _RECORDS,
    "metrics": (*_RECORDS, frozenset((5, 7, 9, 10, 11)), frozenset((1,))),
}
_FRAMING = 6  # a tag of one byte and a length of at most five


def count(signal: str, request: bytes) -> int:
    """Spans, data points or log records in an Export…ServiceRequest."""
    return _amount(request, 0, len(request), PATHS[signal])


def split(signal: str, request: bytes, limit: int) -> list[tuple[bytes, int]]:
    """Cut a request into requests of at most `limit` bytes, with their item counts.

    Cuts fall between resources, scopes, records and, in metrics, data points; every part repeats
    what encloses its items (resource, scope, schema URLs, unknown fields). A single item that is
    larger makes a part of its own that exceeds `limit`. Empty envelopes are left out.
    """
    return list(_parts(request, (0, len(request)), PATHS[signal], limit))


def split_entries(entries: bytes, limit: int) -> list[tuple[bytes, int]]:
    """Cut concatenated fields into runs of at most `limit` bytes, with the fields in each."""
    pieces = ((entries[tag:end], 1) for _, _, tag, _, end in fields(entries, 0, len(entries)))
    return list(_pack(pieces, limit))


def partial_success(response: bytes) -> tuple[int, str]:
    """(rejected items, message) of an Export…ServiceResponse; (0, "") for full success."""
    rejected, message = 0, ""
    for number, kind, _, start, end in fields(response, 0, len(response)):
        if number != 1 or kind != DELIMITED:
            continue
        for inner, wire, _, begin, stop in fields(response, start, end):
            if inner == 1 and wire == VARINT:
                rejected = _number(response[begin:stop])
            elif inner == 2 and wire == DELIMITED:
                message = response[begin:stop].decode("utf-8", "replace")
    # int64: a negative number is a 64-bit two's complement
    return (rejected if rejected < 1 << 63 else 0), message


def _number(varint: bytes) -> int:
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(varint)) & (1 << 64) - 1


def _amount(buf: bytes, start: int, end: int, path: Path) -> int:
    numbers, deeper = path[0], path[1:]
    total = 0
    for number, kind, _, value, stop in fields(buf, start, end):
        if number in numbers and kind == DELIMITED:
            total += _amount(buf, value, stop, deeper) if deeper else 1
    return total


def _parts(
    buf: bytes, span: tuple[int, int], path: Path, limit: int
) -> Iterator[tuple[bytes, int]]:
    """The message in buf[span] as several of at most `limit` bytes, with their item counts."""
    if not path:
        yield buf[span[0] : span[1]], 1
        return
    numbers, deeper = path[0], path[1:]
    frame = bytearray()
    children: list[Field] = []
    for field in fields(buf, *span):
        if field[0] in numbers and field[1] == DELIMITED:
            children.append(field)
        else:
            frame += buf[field[2] : field[4]]
    room = limit - len(frame)
    pieces = (piece for child in children for piece in _pieces(buf, child, deeper, room))
    for run, amount in _pack(pieces, room):
        yield bytes(frame) + run, amount


def _pieces(buf: bytes, child: Field, path: Path, room: int) -> Iterator[tuple[bytes, int]]:
    """An embedded message as fields of its parent: whole if it fits, else in parts."""
    number, _, tag, start, end = child
    if end - tag <= room:
        amount = _amount(buf, start, end, path) if path else 1
        if amount:
            yield buf[tag:end], amount
        return
    for part, amount in _parts(buf, (start, end), path, room - _FRAMING):
        yield delimited(number, part), amount


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
