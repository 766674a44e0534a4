"""Changing single items or resources of a serialised request, without decoding the rest.

It walks from the request to its ResourceX, ScopeX and items by lengths alone and copies whatever
nobody changed, unknown fields included. What an item means is the caller's business; trace and
log requests have items in ScopeX.2, metric requests have metrics there, so one walk serves all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from proxy.otlp.wire import WireError, fields
from proxy.telemetry.protobuf import DELIMITED, delimited, varint

Span = tuple[int, int]  # start and end of a message's bytes
# What becomes of an item: its new bytes, the very same object, or None to drop it.
Each = Callable[[bytes], bytes | None]

_ENTRY = 0x12  # tag of field 2, delimited


class Place:
    """Where items are: the resource and scope around them, decoded when asked for."""

    __slots__ = ("_buf", "_resource", "_scope_at", "resource_bytes")

    def __init__(self, buf: bytes, resource_bytes: bytes) -> None:
        self._buf = buf
        self._scope_at: Span = (0, 0)
        self._resource: Any = None
        self.resource_bytes = resource_bytes

    @property
    def resource(self) -> Any:
        """The decoded Resource; to be read only. Raises WireError."""
        if self._resource is None:
            self._resource = decode(Resource, self.resource_bytes)
        return self._resource

    def scope(self) -> Any:
        """The decoded InstrumentationScope, to be read only. Raises WireError."""
        return decode(InstrumentationScope, embedded(self._buf, *self._scope_at))

    def move(self, start: int, end: int) -> Place:
        """The same resource, and the ScopeX in buf[start:end]."""
        self._scope_at = (start, end)
        return self


def decode(cls: type[Message], content: bytes) -> Any:
    """A message from its bytes; raises WireError."""
    try:
        return cls.FromString(content)
    except DecodeError as error:
        raise WireError(str(error)) from None


def embedded(buf: bytes, start: int, end: int) -> bytes:
    """Field 1 of the message in buf[start:end]: the resource of a ResourceX, the scope of a ScopeX.

    Several are one message in parts, by the rules of protobuf.
    """
    found = [
        buf[value:stop]
        for number, kind, _, value, stop in fields(buf, start, end)
        if number == 1 and kind == DELIMITED
    ]
    return found[0] if len(found) == 1 else b"".join(found)


def edit_resources(payload: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The request with each Resource replaced by what `change` makes of its bytes.

    A ResourceX without a resource gets one if `change(b"")` is not empty. The same object comes
    back where nothing changed.
    """
    out: list[bytes] = []
    changed = False
    for number, kind, tag, start, end in fields(payload, 0, len(payload)):
        if number == 1 and kind == DELIMITED:
            before = embedded(payload, start, end)
            after = change(before)
            if after != before:
                rest = b"".join(
                    payload[t:stop]
                    for n, k, t, _, stop in fields(payload, start, end)
                    if n != 1 or k != DELIMITED
                )
                out.append(delimited(1, delimited(1, after) + rest))
                changed = True
                continue
        out.append(payload[tag:end])
    return b"".join(out) if changed else payload


def edit_items(payload: bytes, enter: Callable[[Place], Each | None]) -> tuple[bytes, int]:
    """The request with each item replaced by what is made of it, and how many were dropped.

    `enter` is asked once for each ScopeX; None leaves all of it as it is. Scopes and resources
    that lost their last item go too. The same object comes back where nothing changed. Raises
    WireError.
    """
    try:
        return _walk(payload, enter)
    except IndexError:
        raise WireError("the request is cut off") from None


def _walk(payload: bytes, enter: Callable[[Place], Each | None]) -> tuple[bytes, int]:
    out: list[bytes] = []
    dropped = 0
    changed = False
    for number, kind, tag, start, end in fields(payload, 0, len(payload)):
        if number == 1 and kind == DELIMITED:
            body, gone = _resource(payload, start, end, enter)
            dropped += gone
            if body is not None:
                changed = True
                if body:
                    out.append(delimited(1, body))
                continue
        out.append(payload[tag:end])
    return (b"".join(out) if changed else payload), dropped


def _resource(
    buf: bytes, start: int, end: int, enter: Callable[[Place], Each | None]
) -> tuple[bytes | None, int]:
    """A changed ResourceX (b"" if it lost all items; None if nothing changed), items dropped."""
    place = Place(buf, embedded(buf, start, end))
    out: list[bytes] = []
    dropped = 0
    changed = left = False
    for number, kind, tag, value, stop in fields(buf, start, end):
        if number == 2 and kind == DELIMITED:
            each = enter(place.move(value, stop))
            if each is not None:
                body, gone = _scope(buf, value, stop, each)
                dropped += gone
                if body is not None:
                    changed = True
                    if body:
                        left = True
                        out.append(b"\x12" + varint(len(body)) + body)
                    continue
            left = True
        out.append(buf[tag:stop])
    if not changed:
        return None, 0
    return (b"".join(out) if left else b""), dropped


def _scope(buf: bytes, pos: int, end: int, each: Each) -> tuple[bytes | None, int]:
    """As `_resource`, of a ScopeX. The loop is written out: 0.35 µs an item, by `fields` 0.9."""
    out: list[bytes] = []
    run = pos  # from here to the present item everything is copied as it is
    kept = dropped = 0
    while pos < end:
        tag = pos
        if buf[pos] != _ENTRY:
            pos = next(fields(buf, pos, end))[4]
            continue
        size = buf[pos + 1]
        pos += 2
        if size > 0x7F:
            more = buf[pos]
            if more > 0x7F:
                _, _, _, pos, stop = next(fields(buf, tag, end))
                size = stop - pos
            else:
                size = size & 0x7F | more << 7
                pos += 1
        stop = pos + size
        if stop > end:
            raise WireError(f"an item at byte {tag} ends {stop - end} bytes too late")
        item = buf[pos:stop]
        pos = stop
        made = each(item)
        if made is item:
            kept += 1
            continue
        if run < tag:
            out.append(buf[run:tag])
        run = stop
        if made is None:
            dropped += 1
        else:
            kept += 1
            out.append(b"\x12" + varint(len(made)))
            out.append(made)
    if not out and not dropped:
        return None, 0
    out.append(buf[run:end])
    return (b"".join(out) if kept or not dropped else b""), dropped


def edit_entries(payload: bytes, change: Callable[[bytes], bytes | None]) -> bytes:
    """The request with each ResourceX replaced by what is made of its bytes; None drops it.

    The same object comes back where nothing changed. Raises WireError.
    """
    out: list[bytes] = []
    changed = False
    for number, kind, tag, start, end in fields(payload, 0, len(payload)):
        if number == 1 and kind == DELIMITED:
            before = payload[start:end]
            after = change(before)
            if after is not before:
                changed = True
                if after:
                    out.append(delimited(1, after))
                continue
        out.append(payload[tag:end])
    return b"".join(out) if changed else payload
