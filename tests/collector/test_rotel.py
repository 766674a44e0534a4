"""All three signals to a real collector, by every transport that it takes.

It forwards to a collector of ours, so that what it understood can be compared with what was sent.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.collector.pipeline import Pipeline
from proxy.config.observe import Export
from proxy.config.units import Seconds
from proxy.otlp.metrics import build
from proxy.telemetry.instruments import SERVER_DURATION
from proxy.telemetry.metrics import Registry
from proxy.telemetry.totals import Totals
from tests.otlp import samples
from tests.otlp.fake_collector import FakeCollector
from tests.otlp.rotel import rotel

RESOURCE: dict[str, str | int] = {"service.name": "gate", "process.pid": 7}


def metrics() -> tuple[bytes, int]:
    registry = Registry()
    registry.histogram(SERVER_DURATION, (("http.route", "/x/{id}"),)).record(7_000_000)
    totals = Totals()
    totals.apply(1, registry.report())
    return build(totals.series(), RESOURCE, samples.BEGIN, samples.BEGIN + 1)


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("protocol", ["grpc", "http", "http+json"])
async def test_rotel_takes_all_signals(protocol: str, compression: str, tmp_path: Path) -> None:
    async with (
        FakeCollector() as behind,
        rotel(tmp_path, f"http://127.0.0.1:{behind.port}") as collector,
    ):
        url = {
            "grpc": collector.grpc,
            "http": collector.http,
            "http+json": collector.http.replace("http:", "http+json:"),
        }[protocol]
        export = Export(otlp=[url], compression=compression, batch_age=Seconds(0.01))  # type: ignore[arg-type]
        pipeline = Pipeline(export, RESOURCE)
        await pipeline.start()
        pipeline.offer("traces", samples.spans(6), 6)
        pipeline.offer("logs", samples.logs(3), 3)
        pipeline.offer_metrics(*metrics())
        await behind.wait_items("traces", 6)
        await behind.wait_items("logs", 3)
        if protocol != "http+json":
            await behind.wait_items("metrics", 1)
        await pipeline.stop(5)
        assert pipeline.books.balanced()
        for signal, items in (("traces", 6), ("logs", 3), ("metrics", 1)):
            account = pipeline.books.open(signal, url)  # type: ignore[arg-type]
            assert (account.exported, account.dropped) == (items, {})
    check_traces(behind.accepted["traces"])
    check_logs(behind.accepted["logs"])
    # Its Rust library accepts a JSON histogram and loses the points when 64-bit integers are
    # strings, as proto3 JSON has them: open-telemetry/opentelemetry-rust#3527.
    if protocol != "http+json":
        check_metrics(behind.accepted["metrics"])


def check_traces(payloads: list[bytes]) -> None:
    request = ExportTraceServiceRequest.FromString(b"".join(payloads))
    (resource,) = request.resource_spans
    names = {a.key: a.value for a in resource.resource.attributes}
    assert names["service.name"].string_value == "gate"
    assert names["process.pid"].int_value == 7
    assert resource.scope_spans[0].scope.name == "spangate"
    assert list(resource.scope_spans[0].spans) == [samples.span(n) for n in range(6)]


def check_logs(payloads: list[bytes]) -> None:
    request = ExportLogsServiceRequest.FromString(b"".join(payloads))
    records = request.resource_logs[0].scope_logs[0].log_records
    assert [r.body.string_value for r in records] == ["request 0", "request 1", "request 2"]
    assert {r.trace_id for r in records} == {samples.TRACE}


def check_metrics(payloads: list[bytes]) -> None:
    request = ExportMetricsServiceRequest.FromString(b"".join(payloads))
    metric = request.resource_metrics[0].scope_metrics[0].metrics[0]
    (point,) = metric.histogram.data_points
    assert (metric.name, metric.unit) == (SERVER_DURATION, "s")
    assert (point.count, point.sum) == (1, 0.007)
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1 == 15
