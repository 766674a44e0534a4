"""Pen: writes entries of OTLP one after the other, and pours them into a lane.

Knows protobuf's wire format and the fields of AnyValue and KeyValue (opentelemetry/proto/common/v1,
common.proto), ids and times of Span and LogRecord, and nothing of what is said with them. The twin
of pen.pyx.

Protobuf's `string` must be valid UTF-8, and a receiver refuses the whole request otherwise, so
every text that a client had a hand in passes through `text`.
"""

from __future__ import annotations

from binascii import unhexlify
from struct import Struct
from typing import Protocol

from proxy.kernel.lane import Window

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5

TEXT_LIMIT = 4096  # bytes; a URL of 8 KiB would make a span larger than its whole trace
_SHORT = 256  # lengths for which TextAttribute has its head ready: 14 KB for each attribute

# Span: start_time_unix_nano (7), end_time_unix_nano (8), flags (16): tags 0x39, 0x41, 0x85 0x01
_pack_times = Struct("<BQBQHI").pack
# LogRecord: time_unix_nano (1), observed_time_unix_nano (11), flags (8): tags 0x09, 0x59, 0x45
_RECORD_TIMES = Struct("<BQBQBI")


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


def delimited(field: int, payload: bytes) -> bytes:
    """A string, bytes or message field."""
    return varint(field << 3 | DELIMITED) + varint(len(payload)) + payload


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


class TextAttribute:
    """A string attribute whose key never changes.

    All that precedes the value depends on the value's length alone, so that it is looked up: 0.1
    µs, where making it takes 2.
    """

    __slots__ = ("_field", "_key", "heads")

    def __init__(self, field: int, key: str) -> None:
        self._field = field
        self._key = delimited(1, text(key))
        self.heads = [self._head(size) for size in range(_SHORT)]

    def encode(self, value: bytes) -> bytes:
        """The attribute as an entry of its repeated field; `value` as `text` gave it."""
        size = len(value)
        if size < _SHORT:
            return self.heads[size] + value
        return self._head(size) + value

    def _head(self, size: int) -> bytes:
        string = b"\x0a" + varint(size)
        inner = self._key + b"\x12" + varint(len(string) + size) + string
        return varint(self._field << 3 | DELIMITED) + varint(len(inner) + size) + inner


class IntAttribute:
    """An integer attribute whose key never changes."""

    __slots__ = ("heads",)

    def __init__(self, field: int, key: str) -> None:
        name = delimited(1, text(key))
        self.heads = [
            delimited(field, name + delimited(2, b"\x18" + b"\x00" * size))[:-size]
            for size in range(1, 10)
        ]

    def encode(self, value: int) -> bytes:
        """The attribute as an entry of its repeated field; `value` from 0 to 2**63 - 1."""
        number = varint(value)
        return self.heads[len(number) - 1] + number


class Doubles:
    """One to four double attributes whose keys never change, and which come together."""

    __slots__ = ("heads", "pack")

    def __init__(self, field: int, *keys: str) -> None:
        values = delimited(2, b"\x21" + bytes(8))
        self.heads = [delimited(field, delimited(1, text(k)) + values)[:-8] for k in keys]
        self.pack = Struct("<" + "".join(f"{len(head)}sd" for head in self.heads)).pack


class Lane(Protocol):
    """Where entries of one kind go. It takes them at once, or drops and counts them."""

    def write(self, entries: bytes, items: int) -> object: ...


class Pen:
    """What is written lies here until it is poured or cleared away.

    An entry is field 2 of its message: of ScopeSpans `spans`, of ScopeLogs `log_records`.
    """

    __slots__ = ("_entries", "_parts", "line", "put")

    def __init__(self) -> None:
        self._entries: list[bytes] = []
        self._parts: list[bytes] = []  # of the entry under way
        # As it is: a piece of the entry under way; an entry that is none of protobuf's. Not
        # methods, as these take 500 instructions more, twenty times a request (make bench-check).
        self.put = self._parts.append
        self.line = self._entries.append

    def clear(self) -> None:
        """Begin anew, whatever was written."""
        self._entries.clear()
        self._parts.clear()

    def span(
        self, trace_id: bytes, span_id: bytes, parent: bytes, start: int, end: int, flags: int
    ) -> None:
        """Begin a Span: trace_id (1), span_id (2), parent_span_id (4), in hex digits, b"" = none;
        and when it was, in Unix ns."""
        # join: two thirds of what "%b" takes
        if parent:
            ids = b"".join((b"0a10", trace_id, b"1208", span_id, b"2208", parent))
        else:
            ids = b"".join((b"0a10", trace_id, b"1208", span_id))
        self.put(unhexlify(ids) + _pack_times(0x39, start, 0x41, end, 0x0185, flags))

    def record(self, time: int, observed: int, flags: int, block: bytes) -> None:
        """Begin a LogRecord of that kind."""
        self._parts += _RECORD_TIMES.pack(0x09, time, 0x59, observed, 0x45, flags), block

    def trace(self, trace_id: bytes, span_id: bytes) -> None:
        """Of a log record: trace_id (9), span_id (10); hex digits."""
        self._parts.append(unhexlify(b"4a10%b5208%b" % (trace_id, span_id)))

    def text(self, attribute: TextAttribute, value: str | bytes) -> None:
        raw = value.encode("utf-8", "replace") if isinstance(value, str) else text(value)
        size = len(raw)
        if size < _SHORT:  # as encode() does it, a call less
            self._parts.append(attribute.heads[size] + raw)
        else:
            self._parts.append(attribute.encode(text(value)))

    def url(self, attribute: TextAttribute, origin: bytes, path: str, query: str) -> None:
        """`origin` is valid UTF-8."""
        url = origin + path.encode("utf-8", "replace")
        if query:
            url += b"?" + query.encode("utf-8", "replace")
        size = len(url)
        if size < _SHORT:
            self._parts.append(attribute.heads[size] + url)
        else:
            self._parts.append(attribute.encode(text(url)))

    def number(self, attribute: IntAttribute, value: int) -> None:
        number = _VARINTS[value] if 0 <= value < _READY else varint(value)
        self._parts.append(attribute.heads[len(number) - 1] + number)

    def doubles(
        self, which: Doubles, a: float, b: float = 0.0, c: float = 0.0, d: float = 0.0
    ) -> None:
        """As many values as there are keys."""
        heads = which.heads
        if len(heads) == 4:  # written out: a loop takes three times as long
            one, two, three, four = heads
            packed = which.pack(one, a, two, b, three, c, four, d)
        elif len(heads) == 3:
            packed = which.pack(heads[0], a, heads[1], b, heads[2], c)
        elif len(heads) == 2:
            packed = which.pack(heads[0], a, heads[1], b)
        else:
            packed = which.pack(heads[0], a)
        self._parts.append(packed)

    def end(self) -> None:
        """The entry under way is complete."""
        message = b"".join(self._parts)
        size = len(message)
        length = _VARINTS[size] if size < _READY else varint(size)
        self._entries.append(b"\x12" + length + message)
        self._parts.clear()

    def take(self) -> bytes:
        """All entries."""
        return b"".join(self._entries)

    def pour(self, window: Window | None, lane: Lane, items: int) -> None:
        """Into the lane whose window that is; all entries are published by one store."""
        entries = b"".join(self._entries)
        self._entries.clear()
        if window is None or not window.write(entries, items):
            lane.write(entries, items)
