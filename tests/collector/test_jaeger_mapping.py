"""Jaeger's model and OTLP: one becomes the other and comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.formats.jaeger.from_otlp import from_otlp
from proxy.formats.jaeger.model import CHILD_OF, FOLLOWS_FROM, Log, Process, Reference, Span, Tags
from proxy.formats.jaeger.proto import PostSpansRequest, read_request
from proxy.formats.jaeger.to_otlp import to_otlp
from tests.collector.jaeger_samples import BATCH, TRACE, span_id


def span(tags: Tags | None = None, **more: Any) -> Span:
    return Span(TRACE, span_id(1), "op", 1000, 2000, tags=tags or [], **more)


def converted(given: Span) -> Any:
    request, taken, lost = to_otlp([(Process("shop"), [given])])
    assert (taken, lost) == (1, {})
    return request.resource_spans[0].scope_spans[0].spans[0]


def keys(attributes: Any) -> list[str]:
    return sorted(attribute.key for attribute in attributes)


# tags, span kind -> status code, message, what stays an attribute
STATUS = [
    pytest.param([], 0, "", [], id="nothing"),
    pytest.param([("error", True)], 2, "", [], id="error"),
    pytest.param([("error", "true")], 2, "", [], id="error-as-text"),
    pytest.param([("error", False)], 0, "", ["error"], id="no-error"),
    pytest.param([("error", "disk full")], 0, "", ["error"], id="some-other-error-tag"),
    pytest.param(
        [("error", True), ("otel.status_description", "why")], 2, "why", [], id="error-described"
    ),
    pytest.param([("otel.status_code", "OK")], 1, "", [], id="ok"),
    pytest.param([("otel.status_code", "error")], 2, "", [], id="code-in-small-letters"),
    pytest.param(
        [("otel.status_code", "ERROR"), ("otel.status_description", "why")], 2, "why", [], id="code"
    ),
    pytest.param([("error", True), ("otel.status_code", "OK")], 2, "", [], id="error-goes-first"),
    pytest.param([("http.status_code", 503)], 2, "", ["http.status_code"], id="http-5xx"),
    pytest.param([("http.status_code", "503")], 2, "", ["http.status_code"], id="http-text"),
    pytest.param([("http.status_code", 404)], 0, "", ["http.status_code"], id="http-4xx"),
    pytest.param(
        [("http.status_code", 404), ("span.kind", "client")],
        2,
        "",
        ["http.status_code"],
        id="http-4xx-client",
    ),
    pytest.param(
        [("http.status_code", 503), ("otel.status_code", "OK")],
        1,
        "",
        ["http.status_code"],
        id="ok-before-http",
    ),
]


@pytest.mark.parametrize(("tags", "code", "message", "left"), STATUS)
def test_status(tags: Tags, code: int, message: str, left: list[str]) -> None:
    made = converted(span(tags))
    assert (made.status.code, made.status.message) == (code, message)
    assert keys(made.attributes) == left


@pytest.mark.parametrize(
    ("tag", "kind", "left"),
    [
        ("internal", 1, []),
        ("server", 2, []),
        ("client", 3, []),
        ("producer", 4, []),
        ("consumer", 5, []),
        ("strange", 0, ["span.kind"]),
    ],
)
def test_kind(tag: str, kind: int, left: list[str]) -> None:
    made = converted(span([("span.kind", tag)]))
    assert (made.kind, keys(made.attributes)) == (kind, left)


OTHER = bytes(15) + b"\x09"
REFERENCES = [
    pytest.param([], b"", [], id="none"),
    pytest.param([(CHILD_OF, TRACE, 2)], span_id(2), [], id="parent"),
    pytest.param(
        [(FOLLOWS_FROM, TRACE, 2), (CHILD_OF, TRACE, 3)],
        span_id(3),
        [(2, "follows_from")],
        id="parent-second",
    ),
    pytest.param(
        [(FOLLOWS_FROM, TRACE, 2)], span_id(2), [(2, "follows_from")], id="only-follows-from"
    ),
    pytest.param([(CHILD_OF, OTHER, 2)], b"", [(2, "child_of")], id="parent-in-another-trace"),
    pytest.param(
        [(CHILD_OF, TRACE, 2), (CHILD_OF, TRACE, 3)],
        span_id(2),
        [(3, "child_of")],
        id="two-parents",
    ),
]


@pytest.mark.parametrize(("references", "parent", "links"), REFERENCES)
def test_references(references: list[Any], parent: bytes, links: list[tuple[int, str]]) -> None:
    given = [Reference(kind, trace, span_id(number)) for kind, trace, number in references]
    made = converted(span(references=given))
    assert made.parent_span_id == parent
    seen = [(link.span_id, link.attributes[0].value.string_value) for link in made.links]
    assert seen == [(span_id(number), kind) for number, kind in links]


def test_scope_tracestate_and_dropped_counts_become_fields() -> None:
    tags: Tags = [
        ("otel.scope.name", "lib"),
        ("otel.library.version", "1"),
        ("w3c.tracestate", "a=b"),
        ("otel.dropped_attributes_count", 3),
        ("otel.dropped_events_count", 4),
    ]
    request, _, _ = to_otlp([(Process("shop"), [span(tags), span()])])
    with_scope, without = request.resource_spans[0].scope_spans
    made = with_scope.spans[0]
    assert (with_scope.scope.name, with_scope.scope.version) == ("lib", "1")
    assert without.scope.name == ""
    assert made.trace_state == "a=b"
    assert (made.dropped_attributes_count, made.dropped_events_count) == (3, 4)
    assert keys(made.attributes) == []


@pytest.mark.parametrize(
    ("fields", "name", "left"),
    [
        ([("event", "a"), ("message", "b")], "a", ["message"]),
        ([("message", "b"), ("n", 1)], "b", ["n"]),
        ([("event", 7)], "", ["event"]),
        ([], "", []),
    ],
)
def test_events(fields: Tags, name: str, left: list[str]) -> None:
    (event,) = converted(span(logs=[Log(5000, fields)])).events
    assert (event.name, event.time_unix_nano, keys(event.attributes)) == (name, 5000, left)


def test_spans_without_ids_are_left_out_and_counted() -> None:
    spans = [span(), replace(span(), trace_id=bytes(16)), replace(span(), span_id=bytes(8))]
    request, taken, lost = to_otlp([(Process("shop"), spans)])
    assert (taken, lost) == (1, {"trace_id": 1, "span_id": 1})
    assert len(request.resource_spans[0].scope_spans[0].spans) == 1


@pytest.mark.parametrize(
    ("start", "duration", "expected"),
    [
        (-5, 10, (0, 5)),
        (1000, -10, (1000, 1000)),
        (2**63 * 1000, 2**63 * 1000, (2**64 - 1, 2**64 - 1)),
    ],
)
def test_times_out_of_range_are_bent_into_it(
    start: int, duration: int, expected: tuple[int, int]
) -> None:
    made = converted(replace(span(), start=start, duration=duration))
    assert (made.start_time_unix_nano, made.end_time_unix_nano) == expected


def test_there_and_back() -> None:
    """What comes back is the same but for what was renamed on the way."""
    rich = replace(BATCH[1][0], warnings=["clock skew"])
    request, _, _ = to_otlp([(Process("shop", [("zone", "a")]), [rich])])
    ((payload, spans),) = from_otlp(request)
    assert spans == 1
    ((process, (back,)),) = read_request(payload)
    assert process == Process("shop", [("zone", "a")])
    assert sorted(map(str, back.tags)) == sorted(
        map(str, [*rich.tags, ("otel.status_code", "ERROR")])
    )
    assert replace(back, tags=[]) == replace(rich, tags=[])


def test_values_that_jaeger_does_not_know_become_json() -> None:
    request = otlp()
    made = request.resource_spans[0].scope_spans[0].spans[0]
    values = made.attributes.add(key="list").value.array_value.values
    values.add(int_value=1)
    values.add(double_value=float("nan"))
    pairs = made.attributes.add(key="map").value.kvlist_value.values
    pairs.add(key="ü").value.bytes_value = b"\0"
    made.attributes.add(key="none")
    ((payload, _),) = from_otlp(request)
    ((_, (back,)),) = read_request(payload)
    assert dict(back.tags) == {"list": '[1,"nan"]', "map": '{"ü":"AA=="}', "none": ""}


def otlp(*services: str, spans: int = 1, size: int = 0) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for service in services or ("shop",):
        resource_spans = request.resource_spans.add()
        resource_spans.resource.attributes.add(key="service.name").value.string_value = service
        scope = resource_spans.scope_spans.add()
        for number in range(spans):
            scope.spans.add(trace_id=TRACE, span_id=span_id(number + 1), name="n" * size)
    return request


def test_spans_of_several_resources_travel_in_one_request() -> None:
    ((payload, spans),) = from_otlp(otlp("a", "b", spans=2))
    groups = read_request(payload)
    assert spans == 4
    assert [(process.service, len(group)) for process, group in groups] == [("a", 2), ("b", 2)]


@pytest.mark.parametrize(("services", "parts"), [(("a",), 5), (("a", "b"), 10)])
def test_what_is_too_large_is_cut_between_spans(services: tuple[str, ...], parts: int) -> None:
    cut = list(from_otlp(otlp(*services, spans=10, size=400), largest=1000))
    assert len(cut) == parts
    assert sum(spans for _, spans in cut) == 10 * len(services)
    assert all(len(payload) <= 1010 for payload, _ in cut)
    assert all(
        len(PostSpansRequest.FromString(payload).batch.spans) == spans for payload, spans in cut
    )


def test_nothing_makes_no_request() -> None:
    assert list(from_otlp(ExportTraceServiceRequest())) == []
