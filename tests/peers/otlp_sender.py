"""Sends two spans, a log record and two metrics by OpenTelemetry's SDK for Python.

    OTEL_EXPORTER_OTLP_ENDPOINT=… [OTEL_EXPORTER_OTLP_COMPRESSION=gzip] \\
        python tests/peers/otlp_sender.py grpc|http/protobuf

A process of its own, as an application would be; `js/otlp_sender.js` sends the same. It fails if
anything was not accepted.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import LogRecordExportResult, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

LINKED = SpanContext(0xAB, 0xCD, is_remote=True, trace_flags=TraceFlags(1))
ACCEPTED = {
    SpanExportResult.SUCCESS,
    LogRecordExportResult.SUCCESS,
    MetricExportResult.SUCCESS,
}
results: list[Any] = []


def exporter(protocol: str, module: str, name: str) -> Any:
    """The SDK's exporter, which notes what each of its exports ended with."""
    transport = "grpc" if protocol == "grpc" else "http"
    package = f"opentelemetry.exporter.otlp.proto.{transport}.{module}"
    made = getattr(importlib.import_module(package), name)()
    export = made.export

    def noting(*args: Any, **more: Any) -> Any:
        results.append(export(*args, **more))
        return results[-1]

    made.export = noting
    return made


def main(protocol: str) -> None:
    resource = Resource({"service.name": "peer"})
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(
        BatchSpanProcessor(exporter(protocol, "trace_exporter", "OTLPSpanExporter"))
    )
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(
        SimpleLogRecordProcessor(exporter(protocol, "_log_exporter", "OTLPLogExporter"))
    )
    reader = PeriodicExportingMetricReader(
        exporter(protocol, "metric_exporter", "OTLPMetricExporter")
    )
    metrics = MeterProvider([reader], resource=resource)

    tracer = traces.get_tracer("scope", "1.2")
    with tracer.start_as_current_span("parent", kind=SpanKind.SERVER, links=[Link(LINKED)]) as span:
        span.set_attribute("text", "Grüße")
        span.set_attribute("yes", True)
        span.set_attribute("number", -(2**40))
        span.set_attribute("share", 0.25)
        span.add_event("happened", {"n": 1})
        logs.get_logger("scope", "1.2").emit(
            timestamp=1_700_000_000_123_000_000,
            severity_number=SeverityNumber.WARN,
            severity_text="WARN",
            body="it broke",
            attributes={"n": 1},
        )
        with tracer.start_as_current_span("child", kind=SpanKind.CLIENT) as child:
            child.set_status(Status(StatusCode.ERROR, "it broke"))
    meter = metrics.get_meter("scope", "1.2")
    meter.create_counter("orders", "{order}").add(3, {"kind": "a"})
    meter.create_histogram("wait", "s").record(1.5, {"kind": "a"})
    for provider in (traces, logs, metrics):
        provider.shutdown()
    if len(results) < 3 or not ACCEPTED.issuperset(results):
        sys.exit(f"not accepted: {results}")


if __name__ == "__main__":
    main(*sys.argv[1:])
