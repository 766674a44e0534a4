from __future__ import annotations

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from proxy.otlp import wire
from proxy.otlp.metrics import build
from proxy.telemetry.instruments import ACTIVE, RETRIES, SERVER_DURATION
from proxy.telemetry.metrics import Registry, Series
from proxy.telemetry.totals import Totals

START, NOW = 1_700_000_000_000_000_000, 1_700_000_060_000_000_000
TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"


def series() -> list[Series]:
    registry = Registry()
    for route in ("/a", "/b"):
        attributes = (("http.route", route), ("http.response.status_code", 200))
        histogram = registry.histogram(SERVER_DURATION, attributes)
        for milliseconds in (1, 5, 7, 20_000):
            histogram.record_traced(milliseconds * 1_000_000, TRACE, SPAN, NOW)
    registry.number(RETRIES, (("reason", "503"),)).value = 3
    registry.number(ACTIVE, (("secure", True),)).value = 2
    totals = Totals()
    totals.apply(1, registry.report())
    return list(totals.series())


def test_every_series_is_a_point_of_its_instrument() -> None:
    payload, points = build(series(), {"service.name": "gate", "process.pid": 7}, START, NOW)
    request = ExportMetricsServiceRequest.FromString(payload)
    assert points == 4 == wire.count("metrics", payload)
    (resource,) = request.resource_metrics
    assert [a.key for a in resource.resource.attributes] == ["service.name", "process.pid"]
    (scope,) = resource.scope_metrics
    assert scope.scope.name == "spangate"
    metrics = {metric.name: metric for metric in scope.metrics}
    assert set(metrics) == {SERVER_DURATION, RETRIES, ACTIVE}

    retries = metrics[RETRIES]
    assert retries.unit == "{retry}"
    assert retries.description
    assert retries.sum.is_monotonic
    assert retries.sum.aggregation_temporality == 2  # cumulative
    (point,) = retries.sum.data_points
    assert (point.as_int, point.start_time_unix_nano, point.time_unix_nano) == (3, START, NOW)
    assert point.attributes[0].value.string_value == "503"

    active = metrics[ACTIVE]
    assert not active.sum.is_monotonic
    assert active.sum.data_points[0].as_int == 2
    assert active.sum.data_points[0].attributes[0].value.bool_value is True


def test_histograms_are_in_seconds_with_exemplars() -> None:
    payload, _ = build(series(), {}, START, NOW)
    scope = ExportMetricsServiceRequest.FromString(payload).resource_metrics[0].scope_metrics[0]
    duration = next(m for m in scope.metrics if m.name == SERVER_DURATION)
    assert duration.unit == "s"
    assert duration.histogram.aggregation_temporality == 2
    assert len(duration.histogram.data_points) == 2
    point = duration.histogram.data_points[0]
    assert list(point.explicit_bounds)[:3] == [0.005, 0.01, 0.025]
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert list(point.bucket_counts)[:2] == [2, 1]  # 1 and 5 ms; 7 ms
    assert point.bucket_counts[-1] == 1
    assert point.count == 4
    assert point.sum == 20.013
    assert point.attributes[1].value.int_value == 200
    assert {e.as_double for e in point.exemplars} == {0.005, 0.007, 20.0}
    assert {e.trace_id.hex().encode() for e in point.exemplars} == {TRACE}
    assert {e.span_id.hex().encode() for e in point.exemplars} == {SPAN}
    assert point.exemplars[0].time_unix_nano == NOW


def test_nothing_to_say() -> None:
    assert build([], {"service.name": "gate"}, START, NOW) == (b"", 0)
