"""Processors `filter` and `transform`; the language itself is in test_expression."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.collector.batch import Batch, Signal
from proxy.config.load import ConfigError
from tests.collector.kit import Place, batch, settings

UNKNOWN_FIELD = b"\xfa\x3f\x04keep"  # field 1023, delimited, which no version of OTLP has


def run(type_: str, toml: str, given: Batch) -> Place:
    place = Place("processor", type_, signal=given.signal)
    place.make(toml)
    assert place.send(given)
    assert place.ledger.balanced
    return place


def two_services() -> Batch:
    """Three spans of "app", then two of "other"."""
    other = ExportTraceServiceRequest.FromString(batch("traces", 2).payload)
    other.resource_spans[0].resource.attributes[0].value.string_value = "other"
    return Batch("traces", batch("traces", 3).payload + other.SerializeToString(), 5)


def spans(place: Place) -> list[Any]:
    return [
        span
        for out in place.out
        for r in ExportTraceServiceRequest.FromString(out.payload).resource_spans
        for s in r.scope_spans
        for span in s.spans
    ]


def test_spans_are_dropped_and_counted() -> None:
    place = run("filter", """spans = ["kind == 'client'", "name == 'no'"]""", two_services())
    assert [span.kind for span in spans(place)] == [2, 2, 2]
    assert place.ledger.dropped == {"filtered": 2}


def test_an_emptied_resource_goes_as_a_whole() -> None:
    toml = """spans = ['resource.attributes["service.name"] == "other"']"""
    place = run("filter", toml, two_services())
    assert place.out[0].payload == batch("traces", 3).payload
    assert (place.items, place.ledger.dropped) == (3, {"filtered": 2})


def test_nothing_left_is_nothing_sent() -> None:
    place = run("filter", """spans = ["true"]""", two_services())
    assert place.out == []
    assert place.ledger.dropped == {"filtered": 5}


def test_what_stays_is_the_same_batch() -> None:
    given = two_services()
    assert run("filter", "spans = ['false']", given).out == [given]
    assert run("filter", "logs = ['true']", given).out == [given]
    assert run("transform", "spans = ['name = \"x\" where false']", given).out == [given]


def test_a_refused_batch_is_not_counted() -> None:
    place = Place("processor", "filter")
    place.make("""spans = ["kind == 'client'"]""")
    place.room = False
    assert not place.send(two_services())
    assert (place.ledger.created, place.ledger.dropped) == (0, {})


def test_log_records() -> None:
    place = run("filter", """logs = ['body matches "[12]$"']""", batch("logs", 4))
    request = ExportLogsServiceRequest.FromString(place.out[0].payload)
    bodies = [r.body.string_value for r in request.resource_logs[0].scope_logs[0].log_records]
    assert bodies == ["request 0", "request 3"]


def metrics() -> Batch:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    for name, kind, points in (("a", "sum", 3), ("b", "gauge", 2), ("c", "histogram", 2)):
        metric = scope.metrics.add(name=name)
        metric.MergeFromString(UNKNOWN_FIELD)
        for number in range(points):
            point = getattr(metric, kind).data_points.add()
            point.attributes.add(key="n").value.int_value = number
    return Batch("metrics", request.SerializeToString(), 7)


def points(place: Place) -> dict[str, list[int]]:
    out = ExportMetricsServiceRequest.FromString(place.out[0].payload)
    return {
        metric.name: [
            point.attributes[0].value.int_value
            for point in getattr(metric, metric.WhichOneof("data")).data_points
        ]
        for metric in out.resource_metrics[0].scope_metrics[0].metrics
    }


def test_metrics_and_data_points() -> None:
    toml = """
    metrics = ["name == 'b'"]
    data_points = ['attributes["n"] == 1 and metric.name != "c"']
    """
    place = run("filter", toml, metrics())
    assert points(place) == {"a": [0, 2], "c": [0, 1]}
    assert (place.items, place.ledger.dropped) == (4, {"filtered": 3})
    assert place.out[0].payload.count(UNKNOWN_FIELD) == 2


def test_a_metric_without_points_goes() -> None:
    place = run("filter", """data_points = ["metric.type == 'gauge'"]""", metrics())
    assert points(place) == {"a": [0, 1, 2], "c": [0, 1]}
    assert place.ledger.dropped == {"filtered": 2}


def test_transform_carries_statements_out_in_order() -> None:
    toml = """
    resources = ['attributes["service.name"] = upper(attributes["service.name"])']
    spans = [
        'attributes["service"] = resource.attributes["service.name"]',
        'name = concat(attributes["service"], ":", kind) where kind == "client"',
        'delete attributes["service"] where kind == "server"',
    ]
    """
    place = run("transform", toml, two_services())
    found = [(s.name, [p.key for p in s.attributes]) for s in spans(place)]
    status = "http.response.status_code"
    assert found == [
        ("GET /x/{id}", [status]),
        ("APP:client", [status, "service"]),
        ("GET /x/{id}", [status]),
        ("GET /x/{id}", [status]),
        ("OTHER:client", [status, "service"]),
    ]


def test_transform_of_metrics() -> None:
    toml = """
    metrics = ['name = concat("my.", name)', 'unit = "s" where type == "sum"']
    data_points = ['attributes["n"] = attributes["n"] * 10 where metric.name == "my.a"']
    """
    place = run("transform", toml, metrics())
    assert points(place) == {"my.a": [0, 10, 20], "my.b": [0, 1], "my.c": [0, 1]}
    assert place.out[0].payload.count(UNKNOWN_FIELD) == 3


@pytest.mark.parametrize("signal", ["traces", "logs"])
def test_unknown_fields_stay(signal: Signal) -> None:
    payload = batch(signal, 1).payload
    cls: Any = ExportTraceServiceRequest if signal == "traces" else ExportLogsServiceRequest
    request = cls.FromString(payload)
    around = (request.resource_spans if signal == "traces" else request.resource_logs)[0]
    scope = (around.scope_spans if signal == "traces" else around.scope_logs)[0]
    item = (scope.spans if signal == "traces" else scope.log_records)[0]
    for message in (request, around, around.resource, scope, item, item.attributes.add(key="k")):
        message.MergeFromString(UNKNOWN_FIELD)
    statement = """['attributes["x"] = 1']"""
    toml = f"resources = {statement}\nspans = {statement}\nlogs = {statement}"
    place = run("transform", toml, Batch(signal, request.SerializeToString(), 1))
    assert place.out[0].payload.count(UNKNOWN_FIELD) == 6
    assert place.out[0].payload != payload


@pytest.mark.parametrize("type_", ["filter", "transform"])
@pytest.mark.parametrize("toml", ["", "spans = ['name ==']", "logs = ['kind = 1']", "spans = [1]"])
def test_settings_that_cannot_work(type_: str, toml: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings("processor", type_, toml)
    assert "character" in str(caught.value) or "'" not in toml
