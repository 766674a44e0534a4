"""Traces as they come to the store: of the gateway's demo, and of other applications."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, TypeVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.otlp.envelope import Envelope
from proxy.recent.desk import Desk, Reply
from proxy.recent.ring import Ring

SECOND = 1_000_000_000
MS = 1_000_000
NOW = 1_800_000_000 * SECOND
OWN = Envelope({"service.name": "spangate"})

SERVER, CLIENT, INTERNAL, PRODUCER, CONSUMER = 2, 3, 1, 4, 5

_Result = TypeVar("_Result")


def trace_id(number: int) -> bytes:
    return (0xABC << 64 | number * 0x9E3779B97F4A7C15 & (1 << 64) - 1).to_bytes(16, "big")


def span(
    trace: int, own: int, parent: int = 0, *, name: str = "GET /", kind: int = SERVER,
    start: int = NOW - SECOND, took: int = 10 * MS, error: bool = False,
    attributes: Mapping[str, Any] | None = None,
) -> Span:  # fmt: skip
    made = Span(
        trace_id=trace_id(trace),
        span_id=own.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=name,
        kind=kind,  # type: ignore[arg-type]
        start_time_unix_nano=start,
        end_time_unix_nano=start + took,
        flags=0x101,
    )
    if error:
        made.status.code = 2  # type: ignore[assignment]
        made.status.message = "it broke"
    for key, value in (attributes or {}).items():
        set_value(made.attributes.add(key=key).value, value)
    return made


def set_value(target: Any, value: Any) -> None:
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, bytes):
        target.bytes_value = value
    elif isinstance(value, list):
        target.array_value.SetInParent()
        for one in value:
            set_value(target.array_value.values.add(), one)
    elif value is not None:
        target.string_value = value


def request(service: str, spans: list[Span], scope: str = "app", **resource: Any) -> bytes:
    made = ExportTraceServiceRequest()
    resource_spans = made.resource_spans.add()
    for key, value in {"service.name": service, **resource}.items():
        set_value(resource_spans.resource.attributes.add(key=key).value, value)
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = scope
    scope_spans.spans.extend(spans)
    return made.SerializeToString()


def entries(spans: list[Span]) -> bytes:
    """As a worker writes them."""
    made = ExportTraceServiceRequest()
    made.resource_spans.add().scope_spans.add().spans.extend(spans)
    inner = made.resource_spans[0].scope_spans[0].SerializeToString()
    return inner


def add(ring: Ring, service: str, *spans: Span, at: int = NOW - SECOND) -> None:
    """As an application sends them; without a service, as the gateway does."""
    if service:
        ring.add("traces", request(service, list(spans)), None, len(spans), at)
    else:
        ring.add("traces", entries(list(spans)), OWN, len(spans), at)


def hop(
    trace: int, first: int, parent: int, upstream: str, *, error: bool = False, **more: Any
) -> list[Span]:
    """A request through the gateway: its spans `first` and `first` + 1, as they end."""
    path = f"/{upstream}/42"
    route = {
        "spangate.route": upstream, "http.route": f"/{upstream}/{{id}}", "url.path": path,
        "http.request.method": "GET", "http.response.status_code": 502 if error else 200,
    }  # fmt: skip
    peer = {"peer.service": upstream, "server.address": "127.0.0.1", "server.port": 8001}
    name = f"GET /{upstream}/{{id}}"
    return [
        span(trace, first + 1, first, kind=CLIENT, name=name, error=error, attributes=peer, **more),
        span(trace, first, parent, kind=SERVER, name=name, error=error, attributes=route, **more),
    ]


def demo(ring: Ring, trace: int, *, error: bool = False, at: int = NOW - SECOND) -> None:
    """Shop asks orders, orders asks payments, all through the gateway; the innermost ends first."""
    more = {"start": at}
    add(ring, "", *hop(trace, 50, 31, "payments", error=error, **more), at=at)
    add(ring, "", *hop(trace, 30, 11, "orders", **more), at=at)
    add(ring, "", *hop(trace, 10, 0, "shop", **more), at=at)


def ring() -> Ring:
    return Ring(64 << 20, 4 << 20)


def end(steps: Generator[None, None, _Result]) -> tuple[_Result, int]:
    """What is returned in the end, and after how many steps."""
    number = 0
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value, number
        number += 1


def ask(desk: Desk, target: str, accept: str = "*/*", now: int = NOW) -> Reply:
    return end(desk.ask(target, accept, now))[0]
