"""A microservice that tells of itself by OpenTelemetry's SDK for Python, as a process of its own.

    OTEL_EXPORTER_OTLP_ENDPOINT=… python -m tests.scenarios.service NAME grpc|http/protobuf

It says its port on stdout, continues the trace of each request, counts and times it, and answers
200, but for paths that end with `/fail`: these raise inside of it, which it logs, and answers 500.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry._logs import SeverityNumber
from opentelemetry.propagate import extract
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from tests.peers.otlp_sender import exporter

SCOPE = "tests.scenarios"


class Service:
    """What one service tells with."""

    def __init__(self, name: str, protocol: str) -> None:
        resource = Resource.create({"service.name": name, "service.instance.id": f"{name}-1"})
        traces = TracerProvider(resource=resource)
        spans = exporter(protocol, "trace_exporter", "OTLPSpanExporter")
        traces.add_span_processor(SimpleSpanProcessor(spans))
        logs = LoggerProvider(resource=resource)
        records = exporter(protocol, "_log_exporter", "OTLPLogExporter")
        logs.add_log_record_processor(SimpleLogRecordProcessor(records))
        points = exporter(protocol, "metric_exporter", "OTLPMetricExporter")
        reader = PeriodicExportingMetricReader(points, export_interval_millis=200)
        meter = MeterProvider([reader], resource=resource).get_meter(SCOPE)
        self.name = name
        self.tracer = traces.get_tracer(SCOPE)
        self.logger = logs.get_logger(SCOPE)
        self.handled = meter.create_counter(f"{name}.handled", "{request}")
        self.work = meter.create_histogram(f"{name}.work", "s")

    def handle(self, path: str, span: Span) -> int:
        try:
            if path.endswith("/fail"):
                raise LookupError("no such order")
            status = 200
        except LookupError as error:
            status = 500
            span.set_status(Status(StatusCode.ERROR, str(error)))
            self.logger.emit(
                severity_number=SeverityNumber.ERROR, severity_text="ERROR", body=str(error)
            )
        self.handled.add(1, {"status": status})
        self.work.record(0.01)
        return status


def handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with service.tracer.start_as_current_span(
                f"{service.name} GET", context=extract(dict(self.headers)), kind=SpanKind.SERVER
            ) as span:
                status = service.handle(self.path, span)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@contextmanager
def service(name: str, endpoint: str, protocol: str = "http/protobuf") -> Iterator[int]:
    """A service that runs, by its port; it tells to the collector at `endpoint`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.scenarios.service", name, protocol],
        env={
            **{key: text for key, text in os.environ.items() if key[:5] != "OTEL_"},
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # until there is a collector, the SDK complains
        text=True,
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def main(name: str, protocol: str) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(Service(name, protocol)))
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
