"""`transform` and `filter` with the statements of collector users."""

from __future__ import annotations

import logging
import struct
import time
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.collector.batch import Batch
from proxy.collector.editing.values import scalar
from proxy.config.load import ConfigError
from tests.collector.kit import Place, batch, settings
from tests.collector.test_process_filter import metrics, points, run, spans, two_services

UNKNOWN_FIELD = b"\xfa\x3f\x04keep"  # field 1023, delimited, which no version of OTLP has


def attributes(item: Any) -> dict[str, Any]:
    return {pair.key: scalar(pair.value) for pair in item.attributes}


def test_flat_statements_are_carried_out_in_order() -> None:
    toml = """
    trace_statements = [
        'set(span.attributes["team"], "shop") where span.kind == SPAN_KIND_CLIENT',
        'set(resource.attributes["team"], "all")',
        'set(name, Concat([name, resource.attributes["team"]], " ")) where IsMatch(name, "^GET")',
        'delete_key(span.attributes, "http.response.status_code")',
    ]
    """
    place = run("transform", toml, two_services())
    found = [(span.name, attributes(span)) for span in spans(place)]
    assert found == [
        ("GET /x/{id} all", {}),
        ("GET /x/{id} all", {"team": "shop"}),
        ("GET /x/{id} all", {}),
        ("GET /x/{id} all", {}),
        ("GET /x/{id} all", {"team": "shop"}),
    ]


def test_groups_have_conditions_and_a_context() -> None:
    toml = """
    [[collector.processors.transform.trace_statements]]
    context = "resource"
    statements = ['set(attributes["env"], "prod")']

    [[collector.processors.transform.trace_statements]]
    context = "span"
    conditions = ['kind == SPAN_KIND_CLIENT', 'name == "no"']
    statements = ['set(cache["n"], "kept")', 'set(name, cache["n"])']

    [[collector.processors.transform.trace_statements]]
    statements = ['set(span.status.message, resource.attributes["env"])']
    """
    place = run("transform", toml, two_services())
    assert [span.name for span in spans(place)].count("kept") == 2
    assert {span.status.message for span in spans(place)} == {"prod"}


def test_what_nobody_changed_is_the_same_batch() -> None:
    given = two_services()
    toml = """trace_statements = ['set(span.name, "x") where span.name == "no"']"""
    assert run("transform", toml, given).out == [given]
    other = """log_statements = ['set(log.body, "x")']"""
    assert run("transform", other, given).out == [given]


def test_unknown_fields_stay() -> None:
    request = ExportTraceServiceRequest.FromString(two_services().payload)
    resource = request.resource_spans[0]
    for message in (request, resource, resource.scope_spans[0], resource.scope_spans[0].spans[0]):
        message.MergeFromString(UNKNOWN_FIELD)
    given = Batch("traces", request.SerializeToString(), 5)
    place = run("transform", """trace_statements = ['set(span.name, "x")']""", given)
    assert place.out[0].payload.count(UNKNOWN_FIELD) == 4


def test_span_events_and_scopes() -> None:
    request = ExportTraceServiceRequest.FromString(batch("traces", 2).payload)
    for span in request.resource_spans[0].scope_spans[0].spans:
        span.events.add(name="a")
        span.events.add(name="b")
    given = Batch("traces", request.SerializeToString(), 2)
    toml = """
    trace_statements = [
        'set(spanevent.attributes["span"], span.name) where spanevent.name == "b"',
        'set(scope.name, "mine")',
    ]
    """
    place = run("transform", toml, given)
    out = ExportTraceServiceRequest.FromString(place.out[0].payload)
    scope = out.resource_spans[0].scope_spans[0]
    assert scope.scope.name == "mine"
    assert [attributes(e) for e in scope.spans[0].events] == [{}, {"span": "GET /x/{id}"}]
    place = run("filter", """traces = { spanevent = ['name == "b"'] }""", given)
    assert [[e.name for e in span.events] for span in spans(place)] == [["a"], ["a"]]
    assert (place.items, place.ledger.dropped) == (2, {})


def test_metric_statements() -> None:
    toml = """
    metric_statements = [
        'set(metric.unit, "s") where metric.type == METRIC_DATA_TYPE_SUM',
        'set(datapoint.attributes["of"], metric.name) where datapoint.attributes["n"] == 1',
        'convert_gauge_to_sum("cumulative", false) where metric.name == "b"',
    ]
    """
    out = ExportMetricsServiceRequest.FromString(run("transform", toml, metrics()).out[0].payload)
    found = {m.name: m for m in out.resource_metrics[0].scope_metrics[0].metrics}
    assert [found[name].unit for name in "abc"] == ["s", "", ""]
    assert [attributes(p).get("of") for p in found["a"].sum.data_points] == [None, "a", None]
    assert found["b"].sum.aggregation_temporality == 2
    assert len(found["b"].sum.data_points) == 2


def test_log_statements() -> None:
    toml = r"""
    log_statements = [
        '''merge_maps(log.cache,
            ExtractPatterns(log.body, "^(?P<word>\\w+) (?P<number>\\d+)$"), "upsert")''',
        'set(log.attributes["number"], Int(log.cache["number"]))',
        'set(log.severity_number, SEVERITY_NUMBER_ERROR) where log.attributes["number"] >= 2',
    ]
    """
    place = run("transform", toml, batch("logs", 4))
    request = ExportLogsServiceRequest.FromString(place.out[0].payload)
    records = request.resource_logs[0].scope_logs[0].log_records
    assert [attributes(r)["number"] for r in records] == [0, 1, 2, 3]
    assert [r.severity_number == 17 for r in records] == [False, False, True, True]


FAILING = """
log_statements = ['set(log.attributes["x"], ParseJSON(log.body))', 'set(log.body, "b")']
"""


def test_an_error_is_ignored_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "spangate"):
        place = run("transform", FAILING, batch("logs", 40))
    request = ExportLogsServiceRequest.FromString(place.out[0].payload)
    records = request.resource_logs[0].scope_logs[0].log_records
    assert {record.body.string_value for record in records} == {"b"}
    assert [r.getMessage() for r in caplog.records] == [
        ": log_statements[0]: 'request 0' is not JSON"
    ]


def test_silent_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "spangate"):
        place = run("transform", FAILING + 'error_mode = "silent"', batch("logs", 4))
    assert (place.items, caplog.records) == (4, [])


def test_propagate_drops_the_request_and_counts_it() -> None:
    place = run("transform", FAILING + 'error_mode = "propagate"', batch("logs", 4))
    assert (place.out, place.ledger.dropped) == ([], {"statement_failed": 4})
    toml = """
    error_mode = "propagate"
    logs = { log_record = ['ParseJSON(body)["a"] == 1'] }
    """
    place = run("filter", toml, batch("logs", 4))
    assert (place.out, place.ledger.dropped) == ([], {"statement_failed": 4})


def test_a_condition_that_fails_does_not_hold() -> None:
    toml = """logs = { log_record = ['ParseJSON(body)["a"] == 1', 'body == "request 2"'] }"""
    place = run("filter", toml, batch("logs", 4))
    assert (place.items, place.ledger.dropped) == (3, {"filtered": 1})


@pytest.mark.parametrize(
    ("toml", "kept", "dropped"),
    [
        ("traces = { span = ['kind == SPAN_KIND_CLIENT'] }", 3, 2),
        ("traces = { span = ['IsMatch(name, \"nothing\")', 'kind == 2'] }", 2, 3),
        ("""traces = { resource = ['attributes["service.name"] == "other"'] }""", 3, 2),
        ("trace_conditions = ['span.kind == SPAN_KIND_CLIENT']", 3, 2),
        ("""trace_conditions = ['resource.attributes["service.name"] == "other"']""", 3, 2),
        ("trace_conditions = [{ context = 'span', conditions = ['kind == 3'] }]", 3, 2),
        ("""spans = ['kind == "client"']\ntraces = { span = ['kind == 2'] }""", 0, 5),
        ("traces = { span = ['true'] }", 0, 5),
        ("logs = { log_record = ['true'] }", 5, 0),
        ("logs = ['true']", 5, 0),
    ],
)
def test_spans_are_dropped_and_counted(toml: str, kept: int, dropped: int) -> None:
    place = run("filter", toml, two_services())
    assert (place.items, place.ledger.dropped.get("filtered", 0)) == (kept, dropped)
    assert len(spans(place)) == kept


@pytest.mark.parametrize(
    "toml",
    [
        """
        [collector.processors.filter.metrics]
        metric = ['name == "b"']
        datapoint = ['attributes["n"] == 1 and metric.name != "c"']
        """,
        """metric_conditions = ['metric.name == "b"',
                                'datapoint.attributes["n"] == 1 and metric.name != "c"']""",
    ],
)
def test_metrics_and_data_points_are_dropped(toml: str) -> None:
    place = run("filter", toml, metrics())
    assert points(place) == {"a": [0, 2], "c": [0, 1]}
    assert (place.items, place.ledger.dropped) == (4, {"filtered": 3})


def test_a_scope_that_is_emptied_goes_and_the_others_stay() -> None:
    request = ExportMetricsServiceRequest.FromString(metrics().payload)
    scope = request.resource_metrics[0].scope_metrics.add()
    scope.scope.name = "second"
    scope.metrics.add(name="z").gauge.data_points.add(as_int=1)
    given = Batch("metrics", request.SerializeToString(), 8)
    place = run("filter", """metrics = { metric = ['instrumentation_scope.name == ""'] }""", given)
    out = ExportMetricsServiceRequest.FromString(place.out[0].payload)
    assert [s.scope.name for s in out.resource_metrics[0].scope_metrics] == ["second"]
    assert (place.items, place.ledger.dropped) == (1, {"filtered": 7})


def test_a_refused_batch_is_not_counted() -> None:
    place = Place("processor", "filter")
    place.make("traces = { span = ['kind == SPAN_KIND_CLIENT'] }")
    place.room = False
    assert not place.send(two_services())
    assert (place.ledger.created, place.ledger.dropped) == (0, {})


@pytest.mark.parametrize(
    ("kind", "toml", "wanted"),
    [
        (
            "transform",
            "trace_statements = ['set(span.nam, 1)']",
            "collector.processors.transform.trace_statements[0]: a span has no 'nam' here"
            " (at character 5) (did you mean `name`?)",
        ),
        (
            "transform",
            "trace_statements = [{ context = 'span', statements = ['sett(name, 1)'] }]",
            "trace_statements[0].statements[0]: there is no editor 'sett' (at character 1)"
            " (did you mean `set`?)",
        ),
        (
            "transform",
            "log_statements = [{ statements = ['set(log.flags, 1)'], conditions = ['log.flags'] }]",
            "log_statements[0].conditions[0]: this is no condition (at character 1)",
        ),
        (
            "transform",
            "trace_statements = [{ context = 'spam', statements = [] }]",
            "trace_statements[0].context: 'spam' is not one of resource, scope, span",
        ),
        (
            "transform",
            "trace_statements = ['set(log.body, 1)']",
            "trace_statements[0]: 'log.body' is out of reach of a span",
        ),
        ("transform", "trace_statements = [7]", "trace_statements[0]: expected a string"),
        ("transform", 'error_mode = "loud"', "error_mode: 'loud' is not one of ignore"),
        (
            "filter",
            "traces = { span = ['kind == \"server\"'] }",
            "filter.traces.span[0]: kind is a number (at character 9) (write SPAN_KIND_SERVER)",
        ),
        ("filter", "metrics = { metrics = ['true'] }", "metrics.metrics: unknown key"),
        ("filter", "metric_conditions = ['metric.name']", "metric_conditions[0]: this is no"),
    ],
)
def test_mistakes_are_found_when_the_file_is_read(kind: str, toml: str, wanted: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings("processor", kind, toml)
    assert wanted in str(error.value)
    assert str(error.value).startswith("test.toml:2: ")


def test_hostile_texts_do_not_hold_up_the_rest() -> None:
    """CPU time of one batch whose spans are made to make patterns backtrack."""
    request = ExportTraceServiceRequest.FromString(batch("traces", 20).payload)
    for span in request.resource_spans[0].scope_spans[0].spans:
        span.name = "1" * 60_000 + "!"
    given = Batch("traces", request.SerializeToString(), 20)
    toml = r"""
    trace_statements = [
        'set(span.attributes["x"], 1) where IsMatch(span.name, "\\d+x")',
        'replace_pattern(span.name, "\\d+x", "y")',
        'replace_match(span.name, "*1*1*1*x", "y")',
    ]
    """
    begun = time.process_time()
    run("transform", toml, given)
    assert time.process_time() - begun < 20  # ten times what it takes; without a bound, hours


def test_tail_sampling_takes_ottl() -> None:
    toml = """
    decision_wait = "1s"
    policies = [{ name = "a", type = "ottl_condition", ottl_condition = { span = [
        'kind == SPAN_KIND_SERVER and IsMatch(name, "^GET")', 'status.code == "error"'] } }]
    """
    assert settings("processor", "tail_sampling", toml).policies[0].name == "a"


def test_numbers_hash_as_in_the_collector() -> None:
    toml = """trace_statements = ['set(span.attributes["h"], Hex(1.1))']"""
    assert {attributes(s)["h"] for s in spans(run("transform", toml, two_services()))} == {
        struct.pack(">d", 1.1).hex()
    }
