"""Telemetry to export: entries as the workers send them, whole requests, metric requests."""

from __future__ import annotations

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.otlp.envelope import Envelope
from proxy.telemetry.protobuf import delimited

TRACE = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
BEGIN = 1_700_000_000_000_000_000


def span(number: int, *, name: str = "GET /x/{id}", trace: bytes = TRACE) -> Span:
    made = Span(
        trace_id=trace,
        span_id=(number + 1).to_bytes(8, "big"),
        parent_span_id=number.to_bytes(8, "big") if number else b"",
        name=name,
        kind=2 + number % 2,
        start_time_unix_nano=BEGIN + number * 1_000_000,
        end_time_unix_nano=BEGIN + 20_000_000 - number * 1_000_000,
    )
    made.attributes.add(key="http.response.status_code").value.int_value = 200
    return made


def spans(count: int, *, name: str = "GET /x/{id}", first: int = 0) -> bytes:
    """Entries of ScopeSpans.spans."""
    return b"".join(
        delimited(2, span(first + n, name=name).SerializeToString()) for n in range(count)
    )


def logs(count: int) -> bytes:
    """Entries of ScopeLogs.log_records."""
    out = []
    for n in range(count):
        record = LogRecord(time_unix_nano=BEGIN + n, severity_number=9, trace_id=TRACE)
        record.body.string_value = f"request {n}"
        out.append(delimited(2, record.SerializeToString()))
    return b"".join(out)


def metrics(points: int, *, names: int = 1) -> bytes:
    """An ExportMetricsServiceRequest with `points` data points for each of `names` sums."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "sample"
    scope = resource.scope_metrics.add()
    for name in range(names):
        metric = scope.metrics.add(name=f"sample.{name}", unit="1")
        for n in range(points):
            point = metric.sum.data_points.add(as_int=n, time_unix_nano=BEGIN)
            point.attributes.add(key="n").value.int_value = n
    return request.SerializeToString()


def request(signal: str, count: int) -> bytes:
    """A whole request of one resource and scope."""
    entries = spans(count) if signal == "traces" else logs(count)
    return Envelope({"service.name": "sample"}).request([entries])
