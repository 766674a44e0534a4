"""The twin in Python of what reads serialised OTLP in place.

`fields` states the framing of protobuf: any bytes either scan or raise WireError. Groups (wire
types 3 and 4), which OTLP never had, are refused. `survey` tells of a whole request whether it has
no fault and how many items; here it always leaves that to the C library of protobuf, which is
faster than Python could be. So what it must say is what `proxy.otlp.parts.checked` says.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.kernel.wire_error import WireError

# Of a field: number, protobuf's type, flags, the message's place in the schema, name in JSON.
_Field = tuple[int, int, int, int, bytes]
_Message = tuple[int, list[_Field]]  # a role, and its fields


class Schema:
    """Messages by their place in the list; the first one is the request."""

    def __init__(self, messages: list[_Message]) -> None:
        self.messages = messages


def survey(schema: Schema, request: bytes, most: int) -> int:
    """Items of a request without fault, of at most `most` parts; -1 = let the library judge."""
    return -1


def fields(buf: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
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
