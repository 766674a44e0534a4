"""Envelope: everything of an Export…ServiceRequest that is not the entries themselves.

The workers send bare entries (spans, log records). Resource and scope are the same for all of
them and are encoded once, here. One envelope fits all signals, because `ResourceSpans` and
`ResourceLogs`, `ScopeSpans` and `ScopeLogs` have the same field numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy import __version__
from proxy.telemetry import protobuf
from proxy.telemetry.protobuf import delimited, varint

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"  # the semantic conventions we write
SCOPE_NAME = "spangate"

Value = str | int


def resource(attributes: Mapping[str, Value]) -> bytes:
    """A resource.v1.Resource without its tag."""
    return protobuf.attributes(1, attributes.items())


class Envelope:
    """Wraps entries in one resource and one scope."""

    __slots__ = ("_after", "_before_resource", "_before_scope", "overhead")

    def __init__(self, attributes: Mapping[str, Value]) -> None:
        scope = delimited(1, SCOPE_NAME.encode()) + delimited(2, __version__.encode())
        self._before_resource = delimited(1, resource(attributes))
        self._before_scope = delimited(1, scope)
        self._after = delimited(3, SCHEMA_URL.encode())
        # two tags of one byte and two lengths of at most five
        known = len(self._before_resource) + len(self._before_scope) + 2 * len(self._after)
        self.overhead = known + 12

    def request(self, entries: list[bytes]) -> bytes:
        """The serialised request that holds these runs of entries."""
        return b"".join(self.pieces(entries))

    def pieces(self, entries: list[bytes]) -> list[bytes]:
        """The same, to be put together by whoever writes it: the runs are not copied."""
        size = len(self._before_scope) + sum(map(len, entries)) + len(self._after)
        scoped = b"\x12" + varint(size)
        whole = len(self._before_resource) + len(scoped) + size + len(self._after)
        before = (b"\x0a", varint(whole), self._before_resource, scoped, self._before_scope)
        # ScopeX.schema_url = 3, ResourceX.schema_url = 3
        return [b"".join(before), *entries, self._after + self._after]
