"""Traces for tests: spans by a few words, requests of them, and what came out again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.collector.batch import Batch
from proxy.collector.tail.cut import cut
from proxy.collector.tail.trace import Trace
from proxy.collector.tail.waiting import Waiting
from tests.otlp.samples import BEGIN

MS = 1_000_000


def span(trace: int, number: int = 1, *, parent: int = 0, ms: float = 10, **more: Any) -> Span:
    """Times in ms from BEGIN; attributes as `attributes={…}`, status as a number."""
    attributes = more.pop("attributes", {})
    status = more.pop("status", 0)
    at = more.pop("at", 0)
    made = Span(
        trace_id=trace.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=more.pop("name", "GET /x"),
        kind=more.pop("kind", 2),
        start_time_unix_nano=BEGIN + int(at * MS),
        end_time_unix_nano=BEGIN + int((at + ms) * MS),
        **more,
    )
    made.status.code = status
    for key, value in attributes.items():
        put(made.attributes.add(key=key).value, value)
    return made


def put(target: Any, value: Any) -> None:
    kind = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
    setattr(target, kind[type(value)], value)


def batch(spans: Iterable[Span], service: str = "app", **resource: Any) -> Batch:
    request = ExportTraceServiceRequest()
    envelope = request.resource_spans.add(schema_url="https://example.com/r")
    for key, value in {"service.name": service, **resource}.items():
        put(envelope.resource.attributes.add(key=key).value, value)
    scope = envelope.scope_spans.add(schema_url="https://example.com/s")
    scope.scope.name = "lib"
    scope.spans.extend(spans)
    return Batch("traces", request.SerializeToString(), len(scope.spans))


def joined(*batches: Batch) -> Batch:
    return Batch("traces", b"".join(b.payload for b in batches), sum(b.items for b in batches))


def spans_in(batches: Iterable[Batch]) -> list[Span]:
    return [
        span
        for given in batches
        for envelope in given.message().resource_spans  # type: ignore[attr-defined]
        for scope in envelope.scope_spans
        for span in scope.spans
    ]


def ids(batches: Iterable[Batch]) -> set[int]:
    """Of the traces."""
    return {int.from_bytes(span.trace_id, "big") for span in spans_in(batches)}


def trace(*batches: Batch) -> Trace:
    """All spans, which are of one trace, as policies see them."""
    waiting = Waiting(1.0)
    pieces = [piece for given in batches for piece in cut(given.payload)]
    (pending,) = {id(p): p for p in (waiting.add(piece, 0.0) for piece in pieces)}.values()
    return Trace(pending.trace_id, pending.parts, pending.spans)


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> int:
        return self.now

    def step(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)
