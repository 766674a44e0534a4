"""Protobuf wire format, as much of it as OTLP needs to be written, and nothing to read it.

Knows field numbers of AnyValue and KeyValue (opentelemetry/proto/common/v1/common.proto) and no
other message. Everything here returns bytes that can be concatenated, which is what makes it
possible to encode the constants of a route once and the rest of a span around them.

Protobuf's `string` must be valid UTF-8, and a receiver refuses the whole request otherwise, so
every text that a client had a hand in passes through `text`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

Value = str | bytes | bool | int | float | Sequence[str]

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5

TEXT_LIMIT = 4096  # bytes; a URL of 8 KiB would make a span larger than its whole trace
_SHORT = 256  # lengths for which TextAttribute has its head ready: 14 KB for each attribute

_DOUBLE = struct.Struct("<d")


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


_READY = 2048  # lengths, counts and most body sizes: 0.07 µs, where the loop takes 0.3
_VARINTS = [_varint(number) for number in range(_READY)]


def varint(number: int) -> bytes:
    """`number` in base 128, least significant group first; negative ones as 64-bit two's
    complement (protobuf encoding guide, "Signed Integers")."""
    if 0 <= number < _READY:
        return _VARINTS[number]
    return _varint(number & 0xFFFF_FFFF_FFFF_FFFF)


def tag(field: int, wire: int) -> bytes:
    return varint(field << 3 | wire)


def delimited(field: int, payload: bytes) -> bytes:
    """A string, bytes or message field."""
    return tag(field, DELIMITED) + varint(len(payload)) + payload


def entry(message: bytes) -> bytes:
    """`delimited(2, message)`: of ScopeSpans.spans, or of ScopeLogs.log_records."""
    return b"\x12" + varint(len(message)) + message


def text(value: str | bytes) -> bytes:
    """`value` as valid UTF-8 of at most TEXT_LIMIT bytes, cut between characters."""
    if isinstance(value, str):
        raw = value.encode("utf-8", "replace")  # lone surrogates become "?"
    elif value.isascii():
        raw = value
    else:
        raw = value[: TEXT_LIMIT + 4].decode("utf-8", "replace").encode()
    if len(raw) > TEXT_LIMIT:
        return raw[:TEXT_LIMIT].decode("utf-8", "ignore").encode()
    return raw


def any_value(value: Value) -> bytes:
    """The content of an AnyValue message."""
    if isinstance(value, str | bytes):
        return delimited(1, text(value))
    if isinstance(value, bool):
        return tag(2, VARINT) + varint(value)
    if isinstance(value, int):
        return tag(3, VARINT) + varint(value)
    if isinstance(value, float):
        return tag(4, FIXED64) + _DOUBLE.pack(value)
    return delimited(5, b"".join(delimited(1, any_value(item)) for item in value))


def key_value(key: str, value: Value) -> bytes:
    """A KeyValue message with its length, to be put behind the tag of the field it goes into."""
    content = delimited(1, text(key)) + delimited(2, any_value(value))
    return varint(len(content)) + content


def attributes(field: int, pairs: Iterable[tuple[str, Value]]) -> bytes:
    """KeyValues as entries of the repeated field `field`, one after the other."""
    head = tag(field, DELIMITED)
    return b"".join([head + key_value(key, value) for key, value in pairs])


def double_head(field: int, key: str) -> bytes:
    """All of a double attribute except the eight bytes of its value, which end it."""
    return attributes(field, [(key, 0.0)])[:-8]


class TextAttribute:
    """A string attribute whose key never changes.

    All that precedes the value depends on the value's length alone, so that it is looked up: 0.1
    µs, where `attributes` takes 2.
    """

    __slots__ = ("_field", "_heads", "_key")

    def __init__(self, field: int, key: str) -> None:
        self._field = field
        self._key = text(key)
        self._heads = [self._head(size) for size in range(_SHORT)]

    def encode(self, value: bytes) -> bytes:
        """The attribute as an entry of its repeated field; `value` as `text` gave it."""
        size = len(value)
        if size < _SHORT:
            return self._heads[size] + value
        return self._head(size) + value

    def _head(self, size: int) -> bytes:
        string = tag(1, DELIMITED) + varint(size)
        inner = delimited(1, self._key) + tag(2, DELIMITED) + varint(len(string) + size) + string
        return tag(self._field, DELIMITED) + varint(len(inner) + size) + inner


class IntAttribute:
    """An integer attribute whose key never changes."""

    __slots__ = ("_heads",)

    def __init__(self, field: int, key: str) -> None:
        self._heads = [
            attributes(field, [(key, (1 << 7 * size) - 1)])[: -size or None]
            for size in range(1, 10)
        ]

    def encode(self, value: int) -> bytes:
        """The attribute as an entry of its repeated field; `value` from 0 to 2**63 - 1."""
        number = varint(value)
        return self._heads[len(number) - 1] + number
