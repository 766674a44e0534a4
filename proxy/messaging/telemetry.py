"""Spans and numbers of messages: written as a worker's are, into a ring of the same kind.

Names, attributes and kinds follow OpenTelemetry's conventions for messaging 1.45
(messaging-spans.md, kafka.md, messaging-metrics.md).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from random import SystemRandom

from proxy.kernel.hexes import span_id
from proxy.kernel.pen import Pen
from proxy.messaging.message import Place
from proxy.telemetry import instruments
from proxy.telemetry.metrics import Attributes, Registry
from proxy.telemetry.protobuf import Value, attributes, delimited, text
from proxy.telemetry.sink import Sink
from proxy.telemetry.span import link_to
from proxy.tracing.context import TraceContext

PRODUCER, CONSUMER = 4, 5  # Span.SpanKind
SAMPLED, RANDOM, HAS_IS_REMOTE, IS_REMOTE = 0x1, 0x2, 0x100, 0x200  # Span.flags
LONGEST_KEY = 256  # bytes of a key that spans show

getrandbits = SystemRandom().getrandbits


@dataclass(slots=True)
class Span:
    """One operation under way. Ids are hex digits."""

    trace_id: bytes
    kind: int
    operation: str  # "send", "process"
    destination: str  # what the name ends with: few different ones
    parent: bytes = b""
    is_remote: bool = True  # the parent's span is another process's
    sampled: bool = True
    random: bool = True
    state: bytes = b""
    links: list[TraceContext] = field(default_factory=list)
    pairs: list[tuple[str, Value]] = field(default_factory=list)
    error: str = ""  # error.type
    why: str = ""
    span_id: bytes = b""
    start: int = 0  # monotonic ns
    end: int = 0
    wall: int = 0  # Unix ns of the start

    def begin(self) -> Span:
        self.span_id = span_id(getrandbits)
        self.start, self.wall = time.monotonic_ns(), time.time_ns()
        return self

    def put(self, key: str, value: Value | None) -> None:
        if value not in (None, ""):
            assert value is not None
            self.pairs.append((key, value))

    def fail(self, error: str, why: str) -> None:
        self.error, self.why = error, why


class Telemetry:
    """Where all of this process's go. `wants_spans` and `random_flag` are the configuration's."""

    def __init__(self, sink: Sink) -> None:
        self.registry = Registry()
        self.wants_spans = self.random_flag = False
        self.labels: dict[str, str] = {}
        self._sink = sink
        self._pen = Pen()

    def finish(self, span: Span, place: Place, topic: str, more: Attributes = ()) -> None:
        """The operation is over: its number, and its span. `more`: attributes of both."""
        span.end = time.monotonic_ns()
        known = (*described(span, place), *more, *self.labels.items())
        name = instruments.MESSAGE_PROCESS
        if span.kind == PRODUCER:
            name = instruments.MESSAGE_OPERATION
        took = span.end - span.start
        traced = span.sampled and self.wants_spans
        histogram = self.registry.histogram(name, known)
        if not traced:
            histogram.record(took)
            return
        histogram.record_traced(took, span.trace_id, span.span_id, span.wall + took)
        pairs: list[tuple[str, Value]] = [*known, ("messaging.destination.name", topic)]
        self._write(span, pairs + span.pairs)

    def count(
        self, name: str, place: Place, operation: str, number: int, *more: tuple[str, str]
    ) -> None:
        """So many messages."""
        if number:
            pairs = (*_where(place), ("messaging.operation.name", operation), *more)
            self.registry.number(name, (*pairs, *self.labels.items())).value += number

    def _write(self, span: Span, pairs: list[tuple[str, Value]]) -> None:
        pen = self._pen
        flags = SAMPLED | HAS_IS_REMOTE | (RANDOM if span.random else 0)
        if span.parent and span.is_remote:
            flags |= IS_REMOTE
        end = span.wall + span.end - span.start
        pen.span(span.trace_id, span.span_id, span.parent, span.wall, end, flags)
        name = f"{span.operation} {span.destination}"
        pen.put(delimited(5, text(name)) + bytes((0x30, span.kind)) + attributes(9, pairs))
        if span.state:
            pen.put(delimited(3, text(span.state)))
        for link in span.links:
            pen.put(link_to(link))
        if span.error:
            pen.put(delimited(15, delimited(2, text(span.why)) + b"\x18\x02"))
        pen.end()
        pen.pour(self._sink.spans.window, self._sink.spans, 1)


def described(span: Span, place: Place) -> Attributes:
    """What spans and numbers of one kind have in common."""
    # the conventions know the kind of a send or of a processing by these words
    pairs: list[tuple[str, str | int]] = [
        ("messaging.operation.name", span.operation),
        ("messaging.operation.type", span.operation),
    ]
    if span.error:
        pairs.append(("error.type", span.error))
    return (*_where(place), *pairs)


def shown_key(key: bytes | None) -> str:
    """A key as spans show it: anybody's bytes."""
    return "" if key is None else key[:LONGEST_KEY].decode("utf-8", "replace")


def _where(place: Place) -> Attributes:
    pairs: list[tuple[str, str | int]] = [("messaging.system", place.system)]
    if place.address:
        pairs += [("server.address", place.address), ("server.port", place.port)]
    return tuple(pairs)
