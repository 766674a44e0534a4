"""The requests of each signal as generated classes, and how many items one has.

For stages that must look inside; what only moves bytes uses `wire.py`.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.kernel.wire_error import WireError

REQUESTS: dict[str, type[Message]] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}


def parsed(kind: type[Message], data: bytes) -> Any:
    """A message of that kind; raises WireError for bytes that are none."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise WireError(str(error)) from None


def amount_in(signal: str, request: Any) -> int:
    """Spans, data points or log records in a decoded request."""
    if signal == "traces":
        return sum(len(s.spans) for r in request.resource_spans for s in r.scope_spans)
    if signal == "logs":
        return sum(len(s.log_records) for r in request.resource_logs for s in r.scope_logs)
    return sum(
        len(getattr(metric, kind).data_points)
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if (kind := metric.WhichOneof("data"))
    )
