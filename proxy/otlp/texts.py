"""Texts that are not UTF-8 in protobuf, made so: U+FFFD for what is none, as in JSON.

proto3 says that a string is UTF-8, and the C library refuses a whole request for one that is not.
Senders that write without it (and cut a name in the middle of a character) would lose everything
they sent with it. Only what was refused comes here.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from proxy.otlp.messages import REQUESTS
from proxy.otlp.wire import WireError, fields
from proxy.telemetry.protobuf import DELIMITED, varint

_DEPTH = 100  # protobuf's own recursion limit
_STEP = 2048  # fields between two chances for others: 2 ms
_FREE, _LEAST = 4096, 8  # fields, and bytes for each one more: what says something has more
_STRING, _MESSAGE = FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE

Work = Generator[None, None, list[bytes] | None]


def mended(signal: str, request: bytes) -> Generator[None, None, bytes]:
    """The request with texts that are UTF-8; raises WireError if that is not what ails it."""
    walk = _Walk(request)
    pieces = yield from walk.message(0, len(request), REQUESTS[signal].DESCRIPTOR, 0)
    if pieces is None:
        raise WireError("malformed protobuf")
    return b"".join(pieces)


class _Walk:
    """Through one request."""

    __slots__ = ("_buf", "_seen")

    def __init__(self, request: bytes) -> None:
        self._buf = request
        self._seen = 0

    def message(self, start: int, end: int, descriptor: Any, depth: int) -> Work:
        """The pieces of a message that had to be changed, else None."""
        if depth > _DEPTH:
            raise WireError("nested too deeply")
        by_number = descriptor.fields_by_number
        pieces: list[bytes] = []
        kept = start  # up to here all is in the pieces
        for number, kind, tag, begin, stop in fields(self._buf, start, end):
            self._seen += 1
            if not self._seen % _STEP:
                if self._seen > _FREE + len(self._buf) // _LEAST:
                    raise WireError("too many parts for so few bytes")
                yield
            field = by_number.get(number) if kind == DELIMITED else None
            if field is None:
                continue
            changed: list[bytes] | None = None
            if field.type == _MESSAGE:
                changed = yield from self.message(begin, stop, field.message_type, depth + 1)
            elif field.type == _STRING:
                changed = _text(self._buf[begin:stop])
            if changed is not None:
                head = varint(number << 3 | DELIMITED) + varint(sum(map(len, changed)))
                pieces += (self._buf[kept:tag], head, *changed)
                kept = stop
        return [*pieces, self._buf[kept:end]] if kept > start else None


def _text(raw: bytes) -> list[bytes] | None:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return [raw.decode("utf-8", "replace").encode()]
    return None
