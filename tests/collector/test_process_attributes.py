"""Processors `attributes` and `resource`."""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.collector.batch import Batch
from proxy.collector.editing.patterns import compile_pattern
from proxy.collector.editing.values import assign, scalar
from proxy.config.load import ConfigError
from proxy.otlp.wire import WireError
from tests.collector.kit import Place, settings

UNKNOWN_FIELD = b"\xfa\x3f\x04keep"  # field 1023, delimited, which no version of OTLP has

Plain = dict[str, Any]


def fill(attributes: Any, plain: Plain) -> None:
    for key, value in plain.items():
        assign(attributes, key, value)


def plain(attributes: Any) -> Plain:
    assert len({pair.key for pair in attributes}) == len(attributes), "keys are unique"
    return {pair.key: scalar(pair.value) for pair in attributes}


def traces(*spans: Plain, name: str = "GET /x", service: str = "shop") -> Batch:
    request = ExportTraceServiceRequest()
    around = request.resource_spans.add(schema_url="r")
    fill(around.resource.attributes, {"service.name": service})
    scope = around.scope_spans.add(schema_url="s")
    scope.scope.name, scope.scope.version = "lib", "1.2"
    for number, attributes in enumerate(spans):
        span = scope.spans.add(trace_id=bytes((number,)) * 16, name=name, kind=2)
        fill(span.attributes, attributes)
    return Batch("traces", request.SerializeToString(), len(spans))


def spans(place: Place) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(place.out[-1].payload)
    return [span for r in request.resource_spans for s in r.scope_spans for span in s.spans]


def run(toml: str, batch: Batch, type_: str = "attributes", **more: Any) -> Place:
    place = Place("processor", type_, signal=batch.signal, **more)
    place.make(toml)
    assert place.send(batch)
    return place


def actions(*rows: str) -> str:
    return "actions = [" + ", ".join("{" + row + "}" for row in rows) + "]\n"


CASES = [
    ('action = "insert", key = "new", value = 1', {"a": "x"}, {"a": "x", "new": 1}),
    ('action = "insert", key = "a", value = 1', {"a": "x"}, {"a": "x"}),
    ('action = "insert", key = "new", value = ["p", "q"]', {}, {"new": ["p", "q"]}),
    ('action = "insert", key = "new", value = true', {}, {"new": True}),
    ('action = "insert", key = "new", value = ""', {}, {"new": ""}),
    ('action = "update", key = "a", value = 1.5', {"a": "x"}, {"a": 1.5}),
    ('action = "update", key = "new", value = 1', {"a": "x"}, {"a": "x"}),
    ('action = "upsert", key = "a", value = 1', {"a": "x", "b": 2}, {"a": 1, "b": 2}),
    ('action = "upsert", key = "new", value = 1', {}, {"new": 1}),
    ('action = "upsert", key = "b", from_attribute = "a"', {"a": "x"}, {"a": "x", "b": "x"}),
    ('action = "upsert", key = "b", from_attribute = "c"', {"a": "x"}, {"a": "x"}),
    (
        'action = "insert", key = "b", from_attribute = "c", default_value = 7',
        {"a": "x"},
        {"a": "x", "b": 7},
    ),
    ('action = "insert", key = "b", from_context = "resource.service.name"', {}, {"b": "shop"}),
    ('action = "insert", key = "b", from_context = "gateway.host.name"', {}, {"b": "here"}),
    ('action = "insert", key = "b", from_context = "env.NOBODY_SET_THIS"', {}, {}),
    (
        'action = "insert", key = "b", from_context = "resource.no", default_value = "d"',
        {},
        {"b": "d"},
    ),
    ('action = "delete", key = "a"', {"a": "x", "b": 1}, {"b": 1}),
    ('action = "delete", key = "no"', {"a": "x"}, {"a": "x"}),
    ('action = "delete", pattern = "^http[.]"', {"http.a": 1, "http.b": 2, "c": 3}, {"c": 3}),
    (
        'action = "hash", key = "a"',
        {"a": "a"},
        {"a": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"},
    ),
    (
        'action = "hash", key = "a", hash_function = "sha1"',
        {"a": "a"},
        {"a": "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"},
    ),
    # The Collector hashes numbers as eight bytes, the lowest first, and truth as one.
    ('action = "hash", key = "a"', {"a": 1}, {"a": sha256(struct.pack("<q", 1)).hexdigest()}),
    ('action = "hash", key = "a"', {"a": 1.5}, {"a": sha256(struct.pack("<d", 1.5)).hexdigest()}),
    ('action = "hash", key = "a"', {"a": True}, {"a": sha256(b"\1").hexdigest()}),
    ('action = "hash", key = "a"', {"a": ""}, {"a": ""}),
    ('action = "insert", key = "new", default_value = "d"', {}, {"new": "d"}),
    (
        'action = "extract", key = "u", pattern = "^/(?P<first>[a-z]+)/(?P<id>[0-9]+)"',
        {"u": "/orders/17", "id": "old"},
        {"u": "/orders/17", "id": "17", "first": "orders"},
    ),
    ('action = "extract", key = "u", pattern = "(?P<id>[0-9]+)"', {"u": "no"}, {"u": "no"}),
    ('action = "convert", key = "a", converted_type = "int"', {"a": "12"}, {"a": 12}),
    ('action = "convert", key = "a", converted_type = "int"', {"a": "no"}, {"a": "no"}),
    ('action = "convert", key = "a", converted_type = "int"', {"a": "2.5"}, {"a": "2.5"}),
    ('action = "convert", key = "a", converted_type = "int"', {"a": " 2"}, {"a": " 2"}),
    ('action = "convert", key = "a", converted_type = "int"', {"a": 2.9}, {"a": 2}),
    ('action = "convert", key = "a", converted_type = "double"', {"a": "1e3"}, {"a": 1000.0}),
    ('action = "convert", key = "a", converted_type = "double"', {"a": 3}, {"a": 3.0}),
    ('action = "convert", key = "a", converted_type = "string"', {"a": True}, {"a": "true"}),
    ('action = "convert", key = "a", converted_type = "boolean"', {"a": "true"}, {"a": True}),
]


@pytest.mark.parametrize(("row", "before", "after"), CASES)
def test_actions(row: str, before: Plain, after: Plain) -> None:
    place = run(actions(row), traces(before, {}), resource={"host.name": "here"})
    assert plain(spans(place)[0].attributes) == after
    assert [span.name for span in spans(place)] == ["GET /x"] * 2


def test_actions_see_what_those_before_them_did() -> None:
    toml = actions(
        'action = "insert", key = "a", value = "x"',
        'action = "upsert", key = "b", from_attribute = "a"',
        'action = "delete", key = "a"',
        'action = "insert", key = "a", value = "again"',
    )
    place = run(toml, traces({}, {"a": "y"}))
    assert [plain(s.attributes) for s in spans(place)] == [
        {"a": "again", "b": "x"},
        {"a": "again", "b": "y"},
    ]


def test_what_has_nothing_to_do_with_an_action_is_not_touched() -> None:
    batch = traces({"a": 1}, {"b": 2})
    place = run(actions('action = "delete", key = "secret"'), batch)
    assert place.out == [batch]


@pytest.mark.parametrize("row", [case[0] for case in CASES])
def test_unknown_fields_stay(row: str) -> None:
    payload = traces({"a": "1", "u": "/x/1"}).payload
    request = ExportTraceServiceRequest.FromString(payload)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.MergeFromString(UNKNOWN_FIELD)
    request.resource_spans[0].scope_spans[0].MergeFromString(UNKNOWN_FIELD)
    request.resource_spans[0].MergeFromString(UNKNOWN_FIELD)
    request.MergeFromString(UNKNOWN_FIELD)
    place = run(actions(row), Batch("traces", request.SerializeToString(), 1))
    assert place.out[0].payload.count(UNKNOWN_FIELD) == 4


@pytest.mark.parametrize(
    ("match", "matches"),
    [
        ('match_type = "strict", services = ["shop"]', True),
        ('match_type = "strict", services = ["sho"]', False),
        ('match_type = "regexp", services = ["^sh"]', True),
        ('match_type = "strict", span_names = ["GET /x"]', True),
        ('match_type = "regexp", span_names = ["POST", "/x$"]', True),
        ('match_type = "regexp", span_names = ["POST"]', False),
        ('match_type = "strict", span_kinds = ["server"]', True),
        ('match_type = "strict", span_kinds = ["client"]', False),
        ('match_type = "strict", attributes = [{ key = "a" }]', True),
        ('match_type = "strict", attributes = [{ key = "a", value = "x" }]', True),
        ('match_type = "strict", attributes = [{ key = "a" }, { key = "z" }]', False),
        ('match_type = "regexp", attributes = [{ key = "a", value = "[xyz]" }]', True),
        ('match_type = "strict", libraries = [{ name = "lib" }]', True),
        ('match_type = "strict", libraries = [{ name = "lib", version = "1.3" }]', False),
        ('match_type = "strict", resources = [{ key = "service.name", value = "shop" }]', True),
        ('match_type = "strict", services = ["shop"], span_names = ["no"]', False),
        ('match_type = "strict", log_bodies = ["no"]', False),
        ('match_type = "strict", metric_names = ["GET /x"]', True),
    ],
)
def test_include_and_exclude(match: str, matches: bool) -> None:
    row = actions('action = "insert", key = "new", value = 1')
    included = run(f"{row}include = {{ {match} }}", traces({"a": "x"}))
    assert ("new" in plain(spans(included)[0].attributes)) is matches
    excluded = run(f"{row}exclude = {{ {match} }}", traces({"a": "x"}))
    assert ("new" in plain(spans(excluded)[0].attributes)) is not matches


def test_log_records_by_severity_and_body() -> None:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for severity, body in ((9, "hello"), (17, "hello"), (17, "bye")):
        scope.log_records.add(severity_number=severity).body.string_value = body  # type: ignore[arg-type]
    toml = actions('action = "insert", key = "new", value = 1')
    toml += 'include = { match_type = "regexp", log_severity_min = 13, log_bodies = ["^h"] }'
    place = run(toml, Batch("logs", request.SerializeToString(), 3))
    out = ExportLogsServiceRequest.FromString(place.out[0].payload)
    records = out.resource_logs[0].scope_logs[0].log_records
    assert [plain(record.attributes) for record in records] == [{}, {"new": 1}, {}]


def test_data_points_of_every_type() -> None:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    kinds = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
    for kind in kinds:
        metric = scope.metrics.add(name=kind)
        for value in ("x", "y"):
            fill(getattr(metric, kind).data_points.add().attributes, {"a": value})
    toml = actions('action = "insert", key = "new", value = 1', 'action = "delete", key = "a"')
    toml += (
        'exclude = { match_type = "strict", metric_names = ["sum"], attributes = [{ key = "a", '
        'value = "x" }] }'
    )
    place = run(toml, Batch("metrics", request.SerializeToString(), 10))
    out = ExportMetricsServiceRequest.FromString(place.out[0].payload)
    for metric in out.resource_metrics[0].scope_metrics[0].metrics:
        found = [plain(p.attributes) for p in getattr(metric, metric.name).data_points]
        first = {"a": "x"} if metric.name == "sum" else {"new": 1}
        assert found == [first, {"new": 1}]


def test_resource_attributes() -> None:
    toml = """attributes = [
        { action = "upsert", key = "service.name", value = "other" },
        { action = "insert", key = "team", value = "shop" },
    ]"""
    batch = traces({"service.name": "untouched"})
    place = run(toml, batch, "resource")
    request = ExportTraceServiceRequest.FromString(place.out[0].payload)
    around = request.resource_spans[0]
    assert plain(around.resource.attributes) == {"service.name": "other", "team": "shop"}
    around.resource.CopyFrom(ExportTraceServiceRequest.FromString(batch.payload)
                             .resource_spans[0].resource)  # fmt: skip
    assert request == ExportTraceServiceRequest.FromString(batch.payload)


def test_requests_without_a_resource_get_one() -> None:
    toml = 'attributes = [{ action = "insert", key = "team", value = "shop" }]'
    place = run(toml, Batch("logs", b"\x0a\x02\x12\x00", 0), "resource")
    out = ExportLogsServiceRequest.FromString(place.out[0].payload)
    assert plain(out.resource_logs[0].resource.attributes) == {"team": "shop"}
    place = run(toml.replace("insert", "update"), Batch("logs", b"\x0a\x02\x12\x00", 0), "resource")
    assert place.out[0].payload == b"\x0a\x02\x12\x00"


def test_a_resource_in_two_parts_is_one() -> None:
    toml = 'attributes = [{ action = "insert", key = "a", value = "new" }]'
    first = traces({}).payload
    request = ExportTraceServiceRequest.FromString(first)
    body = request.resource_spans[0].SerializeToString()
    second = ExportTraceServiceRequest()
    fill(second.resource_spans.add().resource.attributes, {"a": "old"})
    body += second.resource_spans[0].SerializeToString()
    payload = b"\x0a" + bytes((len(body),)) + body
    place = run(toml, Batch("traces", payload, 1), "resource")
    around = ExportTraceServiceRequest.FromString(place.out[0].payload).resource_spans[0]
    assert plain(around.resource.attributes) == {"service.name": "shop", "a": "old"}


@given(st.binary(max_size=120), st.sampled_from([case[0] for case in CASES]))
def test_garbage_raises_nothing_but_wire_errors(garbage: bytes, row: str) -> None:
    for payload in (garbage, traces({"a": "x"}).payload + garbage):
        for type_, toml in (
            ("attributes", actions(row)),
            ("resource", actions(row).replace("actions", "attributes", 1)),
        ):
            place = Place("processor", type_)
            place.make(toml)
            try:
                place.send(Batch("traces", payload, 1))
            except WireError:
                assert not place.out


@pytest.mark.parametrize(
    "row",
    [
        'action = "upsert", key = "a"',
        'action = "upsert", value = 1',
        'action = "upsert", key = "a", value = 1, from_attribute = "b"',
        'action = "delete"',
        'action = "delete", key = "a", value = 1',
        'action = "convert", key = "a"',
        'action = "extract", key = "a"',
        'action = "extract", key = "a", pattern = "(x)"',
        'action = "extract", key = "a", pattern = "x"',
        'action = "extract", key = "a", pattern = "("',
        'action = "insert", key = "a", from_context = "metadata.x-tenant"',
        'action = "nothing", key = "a"',
    ],
)
def test_settings_that_cannot_work(row: str) -> None:
    with pytest.raises(ConfigError):
        settings("processor", "attributes", actions(row))
    with pytest.raises(ConfigError):
        settings("processor", "attributes", "")
    with pytest.raises(ConfigError):
        settings("processor", "attributes", actions(CASES[0][0]) + 'include.match_type = "strict"')


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(a*b?)*",
        "(a{2,})*x",
        "(?:ab|a)*",
        "(a{0,16}){0,16}",
        "(a+){0,16}",
        "((a|aa)+)",
        r"(a)\1",
        "a" * 600,
        "a*" * 7,
        "(",
    ],
)
def test_patterns_that_may_take_for_ever_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"([0-9a-f]{1,4}:){7}",
        r"([0-9]{1,3}\.){3}[0-9]{1,3}",
        r"^/api/v[0-9]+/",
        r"([a-z]{2,4}-)?[0-9]{12}",
        r"(?:25[0-5]|[0-9]{1,2}){1,4}",
    ],
)
def test_ordinary_patterns_are_taken(pattern: str) -> None:
    assert compile_pattern(pattern)
