"""Frames: what encloses a span (resource and scope), kept once however many spans wait in it.

A trace waits as bytes cut from many requests, and a service that sends a thousand requests says
its resource a thousand times. Frames are counted in and out, so that their bytes are in the
bound on memory for exactly as long as somebody needs them.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from proxy.collector.tail.value import plain
from proxy.telemetry.protobuf import delimited, varint

OVERHEAD = 400  # bytes of the objects around one frame (tracemalloc, CPython 3.11)


class Frame:
    """The fields of a ResourceSpans but its scopes, and of a ScopeSpans but its spans."""

    __slots__ = ("_around", "_attributes", "resource", "scope", "size", "uses")

    def __init__(self, resource: bytes, scope: bytes) -> None:
        self.resource = resource
        self.scope = scope
        # Four times: it is decoded once somebody asks what is in it.
        self.size = 4 * (len(resource) + len(scope)) + OVERHEAD
        self.uses = 0
        self._attributes: dict[str, Any] | None = None
        self._around: tuple[Any, Any] | None = None

    def request(self, entries: list[bytes], note: bytes = b"") -> bytes:
        """Entries of this frame as a whole request.

        `note` are further fields of the ScopeSpans: a scope given again is merged with the first
        (protobuf encoding guide, "Last One Wins"), which adds attributes without decoding it.
        """
        size = len(self.scope) + len(note) + sum(map(len, entries))
        head = b"\x12" + varint(size)
        whole = len(self.resource) + len(head) + size
        return b"".join((b"\x0a", varint(whole), self.resource, head, self.scope, note, *entries))

    @property
    def around(self) -> tuple[Any, Any]:
        """The decoded resource and scope; empty ones where the bytes are none."""
        if self._around is None:
            try:
                resource = ResourceSpans.FromString(self.resource).resource
                scope = ScopeSpans.FromString(self.scope).scope
            except DecodeError:
                resource, scope = ResourceSpans().resource, ScopeSpans().scope
            self._around = resource, scope
        return self._around

    @property
    def attributes(self) -> dict[str, Any]:
        """Of the resource."""
        if self._attributes is None:
            pairs = self.around[0].attributes
            self._attributes = {pair.key: plain(pair.value) for pair in pairs}
        return self._attributes


class Frames:
    """All frames in use."""

    __slots__ = ("_known", "size")

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], Frame] = {}
        self.size = 0  # bytes

    def take(self, resource: bytes, scope: bytes) -> Frame:
        """The frame of these bytes, used once more."""
        frame = self._known.get((resource, scope))
        if frame is None:
            frame = self._known[resource, scope] = Frame(resource, scope)
            self.size += frame.size
        frame.uses += 1
        return frame

    def give_back(self, frame: Frame) -> None:
        frame.uses -= 1
        if not frame.uses:
            del self._known[frame.resource, frame.scope]
            self.size -= frame.size

    def __len__(self) -> int:
        return len(self._known)


def scope_note(attribute: bytes) -> bytes:
    """A ScopeSpans.scope that has this attribute (a field 3 of InstrumentationScope)."""
    return delimited(1, attribute)
