"""The OTLP/HTTP receiver of the benchmarks: counts what arrives, by service and kind of span.

It reads every message, so that no proxy is measured while it loses spans; parsing costs about
1 µs a span on the load's core. `python -m benchmarks.sink PORT` serves

    POST /v1/traces /v1/metrics /v1/logs   OTLP protobuf or JSON-free bodies, gzip or plain
    GET  /counts                           {service: {"server": n, "client": n, …}}
    GET  /spans?service=S                  the last few spans of S since /reset, in plain JSON
    POST /reset
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict, deque
from typing import Any

import uvloop
from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
KEPT = 16  # the last spans of each service, kept for a look at their names and attributes


class Sink:
    """Counts since the last reset."""

    def __init__(self) -> None:
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.spans: defaultdict[str, deque[dict[str, Any]]] = defaultdict(
            lambda: deque(maxlen=KEPT)
        )

    async def traces(self, request: web.Request) -> web.Response:
        body = await request.read()
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _service(resource.resource)
            counts = self.counts[service]
            counts["messages"] += 1
            for scope in resource.scope_spans:
                kinds = Counter([span.kind for span in scope.spans])
                for kind, number in kinds.items():
                    counts[KINDS[kind]] += number
                self._keep(service, scope.spans)
        self.counts["all"]["bytes"] += len(body)
        return _done()

    async def logs(self, request: web.Request) -> web.Response:
        for resource in ExportLogsServiceRequest.FromString(await request.read()).resource_logs:
            records = sum(len(scope.log_records) for scope in resource.scope_logs)
            self.counts[_service(resource.resource)]["logs"] += records
        return _done()

    async def metrics(self, request: web.Request) -> web.Response:
        message = ExportMetricsServiceRequest.FromString(await request.read())
        for resource in message.resource_metrics:
            metrics = sum(len(scope.metrics) for scope in resource.scope_metrics)
            self.counts[_service(resource.resource)]["metrics"] += metrics
        return _done()

    async def read_counts(self, _: web.Request) -> web.Response:
        return web.json_response(self.counts)

    async def read_spans(self, request: web.Request) -> web.Response:
        return web.json_response(list(self.spans[request.query["service"]]))

    async def reset(self, _: web.Request) -> web.Response:
        self.counts.clear()
        self.spans.clear()
        return web.Response()

    def _keep(self, service: str, spans: Any) -> None:
        kept = self.spans[service]
        for span in spans[-KEPT:]:
            kept.append(
                {
                    "name": span.name,
                    "kind": KINDS[span.kind],
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "status": span.status.code,
                    "attributes": {a.key: _plain(a.value) for a in span.attributes},
                }
            )


def app() -> web.Application:
    """The sink as an aiohttp application."""
    sink = Sink()
    server = web.Application(client_max_size=64 * 1024 * 1024)
    server.router.add_post("/v1/traces", sink.traces)
    server.router.add_post("/v1/logs", sink.logs)
    server.router.add_post("/v1/metrics", sink.metrics)
    server.router.add_get("/counts", sink.read_counts)
    server.router.add_get("/spans", sink.read_spans)
    server.router.add_post("/reset", sink.reset)
    return server


def _service(resource: Any) -> str:
    for attribute in resource.attributes:
        if attribute.key == "service.name":
            return str(attribute.value.string_value)
    return "?"


def _plain(value: Any) -> Any:
    which = value.WhichOneof("value")
    return str(getattr(value, which)) if which else None


def _done() -> web.Response:
    return web.Response(body=b"", content_type="application/x-protobuf")


if __name__ == "__main__":
    uvloop.install()
    web.run_app(app(), host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
