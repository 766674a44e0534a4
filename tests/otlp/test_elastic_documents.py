"""Documents for Elasticsearch, field by field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.formats.elastic.bulk import body, chunks, message, read
from proxy.formats.elastic.documents import Document, Names, timestamp
from proxy.formats.elastic.ecs import EcsMapping
from proxy.formats.elastic.jaeger import JaegerMapping, fnv1a
from proxy.formats.elastic.otel import OtelMapping
from proxy.formats.elastic.points import group
from tests.otlp import samples

TRACE = samples.TRACE.hex()


def put(target: Any, **pairs: Any) -> None:
    """Attributes; `__` in a name stands for a dot."""
    for name, value in pairs.items():
        added = target.add(key=name.replace("__", ".")).value
        kind = {str: "string", bool: "bool", int: "int", float: "double", bytes: "bytes"}
        if isinstance(value, list):
            for inner in value:
                added.array_value.values.add().string_value = inner
        elif isinstance(value, dict):
            put(added.kvlist_value.values, **value)
        else:
            setattr(added, f"{kind[type(value)]}_value", value)


def traces() -> tuple[ExportTraceServiceRequest, Any]:
    """A request with one span, and the span."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add(schema_url="https://s/1")
    put(resource.resource.attributes, service__name="shop", host__name="h1", k8s__pod__name="p")
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "lib", "1.2"
    span = scope.spans.add()
    span.CopyFrom(samples.span(1))
    span.status.code, span.status.message = 2, "boom"
    return request, span


def logs() -> tuple[ExportLogsServiceRequest, Any]:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    return request, scope.log_records.add(
        time_unix_nano=samples.BEGIN + 5, severity_number=17, severity_text="ERROR"
    )


def metrics() -> tuple[ExportMetricsServiceRequest, Any]:
    request = ExportMetricsServiceRequest()
    return request, request.resource_metrics.add().scope_metrics.add().metrics


def opened(documents: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(json.loads(d.action), json.loads(d.source)) for d in documents]


def test_a_span_as_opentelemetry_has_it() -> None:
    request, span = traces()
    link = span.links.add(trace_id=b"\1" * 16, span_id=b"\2" * 8)
    put(link.attributes, why="retry")
    ((action, source),) = opened(OtelMapping(Names()).traces(request))
    assert action == {"create": {"_index": "traces-generic.otel-default"}}
    assert source == {
        "@timestamp": "2023-11-14T22:13:20.001000000Z",
        "data_stream": {"type": "traces", "dataset": "generic.otel", "namespace": "default"},
        "trace_id": TRACE,
        "span_id": "0000000000000002",
        "parent_span_id": "0000000000000001",
        "name": "GET /x/{id}",
        "kind": "Client",
        "duration": 18_000_000,
        "attributes": {"http.response.status_code": 200},
        "links": [
            {"trace_id": "01" * 16, "span_id": "02" * 8, "attributes": {"why": "retry"}},
        ],
        "status": {"code": "Error", "message": "boom"},
        "resource": {
            "schema_url": "https://s/1",
            "attributes": {"service.name": "shop", "host.name": "h1", "k8s.pod.name": "p"},
        },
        "scope": {"name": "lib", "version": "1.2"},
    }


def test_events_of_spans_are_logs() -> None:
    request, span = traces()
    event = span.events.add(name="exception", time_unix_nano=samples.BEGIN)
    put(event.attributes, exception__type="KeyError")
    documents = list(OtelMapping(Names()).traces(request))
    assert [d.items for d in documents] == [1, 0]
    action, source = opened(documents)[1]
    assert action == {"create": {"_index": "logs-generic.otel-default"}}
    assert source["event_name"] == source["attributes"]["event.name"] == "exception"
    assert (source["trace_id"], source["span_id"]) == (TRACE, "0000000000000002")
    assert source["resource"]["attributes"]["service.name"] == "shop"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", {"text": "text"}),
        (42, {"text": "42"}),
        (True, {"text": "true"}),
        ({"a": 1}, {"structured": {"a": 1}}),
        (["a", "b"], {"structured": {"value": ["a", "b"]}}),
    ],
)
def test_bodies_of_logs(value: Any, expected: Any) -> None:
    request, record = logs()
    put(record.attributes, x=value)
    record.body.CopyFrom(record.attributes[0].value)
    del record.attributes[:]
    ((_, source),) = opened(OtelMapping(Names()).logs(request))
    assert source["body"] == expected
    assert source["@timestamp"] == "2023-11-14T22:13:20.000000005Z"
    assert (source["severity_number"], source["severity_text"]) == (17, "ERROR")


@pytest.mark.parametrize(
    ("own", "resource", "index"),
    [
        ({}, {}, "logs-generic.otel-default"),
        ({}, {"dataset": "shop"}, "logs-shop.otel-default"),
        ({"dataset": "a"}, {"dataset": "b", "namespace": "c"}, "logs-a.otel-c"),
        ({"dataset": "A b/C-d", "namespace": "X-y"}, {}, "logs-a_b_c_d.otel-x-y"),
        ({"dataset": "x" * 200}, {}, f"logs-{'x' * 95}.otel-default"),
    ],
)
def test_attributes_choose_the_stream(own: Any, resource: Any, index: str) -> None:
    request, record = logs()
    for target, found in (
        (record.attributes, own),
        (request.resource_logs[0].resource.attributes, resource),
    ):
        put(target, **{f"data_stream__{k}": v for k, v in found.items()})
    ((action, source),) = opened(OtelMapping(Names()).logs(request))
    assert action["create"]["_index"] == index
    assert "attributes" not in source
    assert "-".join(source["data_stream"].values()) == index


def test_points_of_one_time_and_attributes_share_a_document() -> None:
    request, target = metrics()
    for name, value in (("a", 1), ("b", 2.5)):
        point = target.add(name=name, unit="1").gauge.data_points.add(time_unix_nano=samples.BEGIN)
        if isinstance(value, int):
            point.as_int = value
        else:
            point.as_double = value
        put(point.attributes, host="x", tags=["p", "q"])
    total = target.add(name="c", unit="1").sum
    total.is_monotonic = True
    point = total.data_points.add(time_unix_nano=samples.BEGIN, as_int=3)
    put(point.attributes, tags=["p", "q"], host="x")
    other = target.add(name="d", unit="By").gauge.data_points.add(time_unix_nano=samples.BEGIN)
    other.as_double = float("nan")
    mapping = OtelMapping(Names())
    documents = list(mapping.metrics(request))
    assert ([d.items for d in documents], mapping.refused) == ([3], 1)
    ((action, source),) = opened(documents)
    assert source["metrics"] == {"a": 1, "b": 2.5, "c": 3}
    assert source["attributes"] == {"host": "x", "tags": '["p","q"]'}
    assert source["unit"] == "1"
    assert action["create"]["dynamic_templates"] == {
        "metrics.a": "gauge_long",
        "metrics.b": "gauge_double",
        "metrics.c": "counter_long",
    }


def test_a_second_point_of_a_metric_has_its_own_document() -> None:
    request, target = metrics()
    points = target.add(name="a").gauge.data_points
    for _ in range(2):
        points.add(time_unix_nano=1, as_int=1)
    assert [d.items for d in OtelMapping(Names()).metrics(request)] == [1, 1]


def test_histograms_and_summaries() -> None:
    request, target = metrics()
    plain = target.add(name="h").histogram.data_points.add(count=6, sum=9.0)
    plain.bucket_counts.extend([1, 0, 2, 3])
    plain.explicit_bounds.extend([1.0, 2.0, 4.0])
    target.add(name="bare").histogram.data_points.add(count=6, sum=9.0)
    wrong = target.add(name="wrong").histogram.data_points.add(count=6)
    wrong.explicit_bounds.extend([1.0, 2.0])
    wrong.bucket_counts.extend([6])
    exponential = target.add(name="e").exponential_histogram.data_points.add(scale=0, zero_count=4)
    exponential.positive.bucket_counts.extend([1, 0, 2])
    exponential.negative.offset = 1
    exponential.negative.bucket_counts.extend([3, 5])
    target.add(name="s").summary.data_points.add(count=2, sum=3.0)
    huge = target.add(name="huge").exponential_histogram.data_points.add(scale=-10)
    huge.positive.offset = 1000
    huge.positive.bucket_counts.append(1)
    mapping = OtelMapping(Names())
    ((action, source),) = opened(mapping.metrics(request))
    assert source["metrics"] == {
        "h": {"values": [0.5, 3.0, 4.0], "counts": [1, 2, 3]},
        "bare": {"sum": 9.0, "value_count": 6},
        "e": {"values": [-6.0, -3.0, 0.0, 1.5, 6.0], "counts": [5, 3, 4, 1, 2]},
        "s": {"sum": 3.0, "value_count": 2},
    }
    assert set(action["create"]["dynamic_templates"].values()) == {"histogram", "summary"}
    assert mapping.refused == 2


def test_a_span_in_the_common_schema() -> None:
    request, span = traces()
    span.events.add(name="e", time_unix_nano=samples.BEGIN)
    (action, source), (_, event) = opened(EcsMapping(Names()).traces(request))
    assert action == {"create": {"_index": "traces-generic-default"}}
    expected = {
        "@timestamp": "2023-11-14T22:13:20.001000000Z",
        "timestamp.us": 1_700_000_000_001_000,
        "trace.id": TRACE,
        "span.id": "0000000000000002",
        "parent.id": "0000000000000001",
        "span.name": "GET /x/{id}",
        "span.kind": "client",
        "span.duration.us": 18_000,
        "event.duration": 18_000_000,
        "event.outcome": "failure",
        "processor.event": "span",
        "http.response.status_code": 200,
        "service.name": "shop",
        "host.hostname": "h1",
        "host.name": "h1",
        "kubernetes.pod.name": "p",
        "agent.name": "otlp",
        "data_stream.type": "traces",
        "data_stream.dataset": "generic",
        "data_stream.namespace": "default",
    }
    assert source == expected
    assert (event["event.action"], event["span.id"]) == ("e", "0000000000000002")


def test_a_root_is_a_transaction() -> None:
    request, span = traces()
    span.parent_span_id = b""
    ((_, source),) = opened(EcsMapping(Names()).traces(request))
    assert source["processor.event"] == "transaction"
    assert source["transaction.id"] == source["span.id"]
    assert source["transaction.duration.us"] == 18_000


def test_a_log_in_the_common_schema() -> None:
    request, record = logs()
    put(
        request.resource_logs[0].resource.attributes,
        telemetry__sdk__name="opentelemetry",
        telemetry__sdk__language="python",
        telemetry__sdk__version="1.2",
        os__type="darwin",
        deployment__environment__name="test",
    )
    put(record.attributes, exception__message="m", a=1, a__b=2, event__name="n")
    record.body.string_value = "hello"
    record.trace_id = samples.TRACE
    ((_, source),) = opened(EcsMapping(Names()).logs(request))
    assert source == {
        "@timestamp": "2023-11-14T22:13:20.000000005Z",
        "agent.name": "opentelemetry/python",
        "agent.version": "1.2",
        "host.os.platform": "darwin",
        "host.os.type": "macos",
        "service.environment": "test",
        "error.message": "m",
        "event.action": "n",
        "a.value": 1,
        "a.b": 2,
        "trace.id": TRACE,
        "event.severity": 17,
        "log.level": "ERROR",
        "message": "hello",
        "data_stream.type": "logs",
        "data_stream.dataset": "generic",
        "data_stream.namespace": "default",
    }


def test_a_span_as_jaeger_stores_it() -> None:
    request, span = traces()
    span.flags = 0x101
    put(span.attributes, ok=True, ratio=0.5, blob=b"\1\2", text="t")
    span.links.add(trace_id=b"\1" * 16, span_id=b"\2" * 8)
    put(span.events.add(name="e", time_unix_nano=samples.BEGIN).attributes, n=1)
    documents = list(JaegerMapping(Names(prefix="p-")).traces(request))
    assert [d.items for d in documents] == [1, 0]
    (action, source), (also, service) = opened(documents)
    assert action == {"index": {"_index": "p-jaeger-span-2023-11-14"}}
    assert source == {
        "traceID": TRACE,
        "spanID": "0000000000000002",
        "flags": 1,
        "operationName": "GET /x/{id}",
        "references": [
            {"refType": "CHILD_OF", "traceID": TRACE, "spanID": "0000000000000001"},
            {"refType": "FOLLOWS_FROM", "traceID": "01" * 16, "spanID": "02" * 8},
        ],
        "startTime": 1_700_000_000_001_000,
        "startTimeMillis": 1_700_000_000_001,
        "duration": 18_000,
        "tags": [
            {"key": "http.response.status_code", "type": "int64", "value": "200"},
            {"key": "ok", "type": "bool", "value": "true"},
            {"key": "ratio", "type": "float64", "value": "0.5"},
            {"key": "blob", "type": "binary", "value": "0102"},
            {"key": "text", "type": "string", "value": "t"},
            {"key": "otel.scope.name", "type": "string", "value": "lib"},
            {"key": "otel.scope.version", "type": "string", "value": "1.2"},
            {"key": "span.kind", "type": "string", "value": "client"},
            {"key": "otel.status_code", "type": "string", "value": "ERROR"},
            {"key": "otel.status_description", "type": "string", "value": "boom"},
            {"key": "error", "type": "bool", "value": "true"},
        ],
        "logs": [
            {
                "timestamp": 1_700_000_000_000_000,
                "fields": [
                    {"key": "event", "type": "string", "value": "e"},
                    {"key": "n", "type": "int64", "value": "1"},
                ],
            }
        ],
        "process": {
            "serviceName": "shop",
            "tags": [
                {"key": "host.name", "type": "string", "value": "h1"},
                {"key": "k8s.pod.name", "type": "string", "value": "p"},
            ],
        },
    }
    where = {"_index": "p-jaeger-service-2023-11-14", "_id": fnv1a("shopGET /x/{id}")}
    assert also == {"index": where}
    assert service == {"serviceName": "shop", "operationName": "GET /x/{id}"}


@pytest.mark.parametrize(
    ("text", "expected"),  # draft-eastlake-fnv, test vectors
    [("", "cbf29ce484222325"), ("a", "af63dc4c8601ec8c"), ("foobar", "85944171f73967e8")],
)
def test_ids_of_services(text: str, expected: str) -> None:
    assert fnv1a(text) == expected


def test_services_that_are_known_are_not_said_again() -> None:
    request, _ = traces()
    first = list(JaegerMapping(Names()).traces(request))
    again = JaegerMapping(Names(), {d.pair for d in first}).traces(request)
    assert [d.pair for d in again] == [()]


@given(st.integers(0, 2**64 - 1))
def test_timestamps_are_always_dates(nanoseconds: int) -> None:
    assert len(timestamp(nanoseconds)) == 30


JSONISH = st.recursive(
    st.text() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.binary(),
    lambda inner: st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.text(), JSONISH, max_size=4))
def test_any_attributes_become_one_line_of_json(found: dict[str, Any]) -> None:
    request, span = traces()
    del span.attributes[:]
    put(span.attributes, **found)
    for mapping in (OtelMapping(Names()), EcsMapping(Names()), JaegerMapping(Names())):
        for document in mapping.traces(request):
            assert b"\n" not in document.action + document.source
            assert json.loads(document.source)


# -- _bulk ----------------------------------------------------------------------------------------


def test_a_body_ends_with_a_newline() -> None:
    assert body([Document(b"a", b"1"), Document(b"b", b"2")]) == b"a\n1\nb\n2\n"


def test_chunks_keep_their_bounds() -> None:
    documents = [Document(b"a" * 8, b"") for _ in range(10)]
    assert [len(run) for run in chunks(documents, 3, 1000)] == [3, 3, 3, 1]
    assert [len(run) for run in chunks(documents, 99, 25)] == [2] * 5
    assert [len(run) for run in chunks(documents, 99, 5)] == [1] * 10


def test_each_document_has_its_answer() -> None:
    documents = [Document(b"", b"%d" % n) for n in range(4)]
    error = {"type": "t", "reason": "r"}
    answer = {
        "errors": True,
        "items": [
            {"create": {"status": 201}},
            {"create": {"status": 429, "error": error}},
            {"create": {"status": 400, "error": error}},
            {"create": {"status": 503}},
        ],
    }
    reading = read(json.dumps(answer).encode(), documents)
    assert (reading.left, reading.refused) == ([documents[1]], documents[2:])
    assert reading.why == "503: "


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"items":[]}', b'{"items":[{}]}'])
def test_what_is_no_answer(answer: bytes) -> None:
    with pytest.raises(ValueError):
        read(answer, [Document(b"", b"")])


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b'{"error":{"type":"t","reason":"r"},"status":400}', "t: r"),
        (b'{"error":"text"}', ""),
        (b"<html>", ""),
    ],
)
def test_what_an_error_says(answer: bytes, text: str) -> None:
    assert message(answer) == text


@pytest.mark.parametrize("kind", ["gauge", "sum", "histogram", "exponential_histogram", "summary"])
def test_a_point_that_only_says_that_a_series_has_ended_has_no_value(kind: str) -> None:
    made = ExportMetricsServiceRequest()
    metric = made.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    getattr(metric, kind).data_points.add(time_unix_nano=1, flags=1)
    assert group([metric], by_unit=False) == ([], 1)
