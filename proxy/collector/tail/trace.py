"""Trace: a complete trace as policies see it; each fact is read when the first of them asks.

Spans wait as bytes and are decoded once, together, by protobuf's C code: 0.5 µs a span, where a
scanner in Python that reads begin and end alone needs 9 (benchmarks/micro_tail.py). A policy that
asks for nothing costs no decoding, nor does one that asks for an attribute which no span has:
its key is looked for in the bytes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from proxy.collector.tail.frames import Frame
from proxy.collector.tail.value import plain
from proxy.collector.tail.waiting import Part
from proxy.formats.spans import LONGEST, duration_ns
from proxy.telemetry.protobuf import delimited
from proxy.tracing import sampling

SERVER, CONSUMER = 2, 5  # trace.v1.Span.SpanKind

Route = tuple[str, str]  # service, and http.route or the span's name


class Trace:
    """`spans` and `size` (bytes of spans) are known from waiting."""

    __slots__ = (
        "_decoded", "_duration", "_routes", "malformed", "parts", "receipts", "spans", "trace_id",
        "untimed",
    )  # fmt: skip

    def __init__(
        self, trace_id: bytes, parts: list[Part], spans: int, receipts: list[object] | None = None
    ) -> None:
        self.trace_id = trace_id
        self.parts = parts
        self.receipts = receipts or []
        self.spans = spans
        self.malformed: list[Part] = []  # taken out of `parts` when they were decoded
        self._decoded: list[tuple[Frame, Any]] | None = None
        self._routes: dict[Route, int | None] | None = None
        self._duration: int | None = None
        self.untimed = 0  # spans of unknown duration, as far as somebody asked for it

    @property
    def size(self) -> int:
        """Bytes of the spans, without what encloses them."""
        return sum(len(data) for _, data, _ in self.parts)

    @property
    def decoded(self) -> list[tuple[Frame, Any]]:
        """(frame, trace.v1.ScopeSpans with only spans in it); parts that are none are set aside."""
        if self._decoded is None:
            self._decoded = []
            good: list[Part] = []
            for part in self.parts:
                try:
                    self._decoded.append((part[0], ScopeSpans.FromString(part[1])))
                    good.append(part)
                except DecodeError:
                    self.malformed.append(part)
                    self.spans -= part[2]
            if self.malformed:
                self.parts = good
        return self._decoded

    def each(self) -> Iterator[Any]:
        """trace.v1.Span, all of them."""
        for _, scope in self.decoded:
            yield from scope.spans

    @property
    def duration_ns(self) -> int:
        """From the earliest start to the latest end, whatever lies between.

        Of the spans that have both, 0 if none has. Where that takes longer than anything can, the
        clocks of two senders differ by as much: then it is the longest span.
        """
        if self._duration is None:
            first, last, longest, untimed = 1 << 64, 0, 0, 0
            for span in self.each():
                took = duration_ns(span)
                if took is None:
                    untimed += 1
                    continue
                first = min(first, span.start_time_unix_nano)
                last = max(last, span.end_time_unix_nano)
                longest = max(longest, took)
            whole = max(0, last - first)
            self._duration = whole if whole <= LONGEST else longest
            self.untimed = max(self.untimed, untimed)
        return self._duration

    def has_status(self, codes: frozenset[int]) -> bool:
        """Status codes as in trace.v1.Status: 0 unset, 1 ok, 2 error.

        Status.code = 3 stands in the bytes of every span that has one. Most traces have none
        that is looked for, and need not be decoded: 0.1 µs a span instead of 2.
        """
        if 0 not in codes:
            marks = [bytes((0x18, code)) for code in codes]
            if not any(mark in data for _, data, _ in self.parts for mark in marks):
                return False
        return any(span.status.code in codes for span in self.each())

    def values(self, key: str, field: bytes) -> Iterator[Any]:
        """Values of an attribute, of resources and of spans; `field` from `key_field(key)`."""
        for frame in {part[0] for part in self.parts}:
            if key in frame.attributes:
                yield frame.attributes[key]
        if any(field in data for _, data, _ in self.parts):
            for span in self.each():
                for pair in span.attributes:
                    if pair.key == key:
                        yield plain(pair.value)

    def states(self) -> set[str]:
        """The tracestates of its spans."""
        return {span.trace_state for span in self.each()}

    @property
    def is_flagged_sampled(self) -> bool:
        """Whether any span has the W3C sampled flag (lowest bit of Span.flags)."""
        return any(span.flags & 1 for span in self.each())

    @property
    def randomness(self) -> bytes:
        """R as 14 hex digits: `rv` of tracestate, else the trace id's last 56 bits."""
        ids = self.trace_id.hex().encode()
        if any(b"rv:" in data for _, data, _ in self.parts):
            # The smallest, so that it does not depend on the order in which spans came.
            states = (state.encode() for state in self.states() if "rv:" in state)
            found = [sampling.randomness(state, ids) for state in states]
            return min((r for r in found if r != ids[-14:]), default=ids[-14:])
        return ids[-14:]

    @property
    def routes(self) -> dict[Route, int | None]:
        """Where it came into services, with the longest time spent there in ns, None = unknown.

        Entries are SERVER and CONSUMER spans and those without a parent.
        """
        if self._routes is None:
            self._routes = {}
            untimed = 0
            for frame, scope in self.decoded:
                service = str(frame.attributes.get("service.name", ""))
                for span in scope.spans:
                    if span.kind in (SERVER, CONSUMER) or not span.parent_span_id:
                        untimed += not self._enter((service, route_of(span)), span)
            self.untimed = max(self.untimed, untimed)
        return self._routes

    def _enter(self, route: Route, span: Any) -> bool:
        """Whether it is known how long that took."""
        assert self._routes is not None
        took = duration_ns(span)
        before = self._routes.setdefault(route, took)
        if took is not None:
            self._routes[route] = max(took, before or 0)
        return took is not None


def key_field(key: str) -> bytes:
    """An attribute's key as it stands in the bytes of every span that has it."""
    return delimited(1, key.encode())


def route_of(span: Any) -> str:
    for pair in span.attributes:
        if pair.key == "http.route":
            return pair.value.string_value or str(span.name)
    return str(span.name)
