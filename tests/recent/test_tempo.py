"""Tempo's query API: the shapes that Grafana reads, and traces as the bytes that came in."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from proxy.recent.desk import Desk, Reply
from proxy.recent.ring import Ring
from proxy.recent.tempo_tags import logfmt
from tests.recent.contracts import told
from tests.recent.samples import MS, NOW, SECOND, add, ask, demo, end, hop, ring, span, trace_id

PROTOBUF = "application/protobuf"


def store() -> Ring:
    made = ring()
    demo(made, 1, at=NOW - 20 * SECOND)
    demo(made, 2, error=True, at=NOW - 10 * SECOND)
    pay = span(3, 1, name="pay", took=300 * MS, attributes={"tenant": "t7", "amount": 12})
    deep = span(3, 2, 1, name="sum", kind=1, attributes={"deep": True, "half": 0.5}, took=3 * MS)
    deep.events.add(time_unix_nano=NOW, name="e").attributes.add(key="exception.type")
    deep.links.add(trace_id=trace_id(1), span_id=b"12345678").attributes.add(key="why")
    add(made, "billing", pay, deep)
    strange = {"<script>": "\u202e\x1b", "nan": float("nan"), "list": [1], "none": None}
    add(made, "billing", span(4, 1, 99, name="<b>", kind=0, attributes=strange))
    return made


def get(path: str, accept: str = "*/*", desk: Desk | None = None, **params: Any) -> Reply:
    return ask(desk or Desk(store()), f"/tempo/{path}?{urlencode(params)}", accept)


def tempo(path: str, shape: str, **params: Any) -> Any:
    return told(get(f"api/{path}", **params), "tempo", shape)


def spans_of(data: TracesData) -> set[bytes]:
    return {
        one.span_id
        for group in data.resource_spans
        for scoped in group.scope_spans
        for one in scoped.spans
    }


def test_health() -> None:
    assert get("api/echo").body == b"echo"
    assert get("ready").status == 200
    assert tempo("status/buildinfo", "buildinfo")["version"] < "2.2"
    for path in ("api/metrics/query_range", "api/metrics/query"):
        assert get(path, q="{} | rate()").status == 501
    for path in ("", "api", "api/x", "api/search/tag/a", "api/v2/traces", "api/traces/1/2"):
        assert get(path).status == 404


def test_a_trace_is_the_bytes_that_came_in() -> None:
    reply = get(f"api/traces/{trace_id(2).hex()}", PROTOBUF)
    assert (reply.status, reply.content_type) == (200, PROTOBUF)
    data = TracesData.FromString(reply.body)
    assert len(spans_of(data)) == 6
    (name,) = data.resource_spans[0].resource.attributes
    assert (name.key, name.value.string_value) == ("service.name", "spangate")
    second = get(f"api/v2/traces/{trace_id(2).hex()}", PROTOBUF).body
    assert second[:1] == b"\x0a"  # TraceByIDResponse.trace
    assert second.endswith(reply.body)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_trace_as_json_is_the_same(number: int) -> None:
    path = f"traces/{trace_id(number).hex()}"
    data = TracesData.FromString(get(f"api/{path}", PROTOBUF).body)
    told_v1 = {"resourceSpans": tempo(path, "trace")["batches"]}
    assert str(ParseDict(told_v1, TracesData())) == str(data)  # a NaN equals none
    told_v2 = tempo(f"v2/{path}", "trace_v2")["trace"]
    assert str(ParseDict(told_v2, TracesData())) == str(data)


def test_a_trace_that_is_not_there() -> None:
    for path in (f"api/traces/{'f' * 32}", f"api/v2/traces/{'f' * 32}"):
        assert get(path).status == get(path, PROTOBUF).status == 404
    for path in ("api/traces/xyz", f"api/v2/traces/{'1' * 33}"):
        assert get(path).status == 400
    assert get(f"api/traces/{trace_id(1).hex()}", start="soon").status == 400
    assert get(f"api/traces/{trace_id(1).hex()}", start=1, end=2).status == 200


SEARCHES: list[tuple[dict[str, Any], set[int]]] = [
    ({}, {1, 2, 3, 4}),
    ({"q": "{}"}, {1, 2, 3, 4}),
    ({"q": "{status=error}"}, {2}),
    ({"q": '{resource.service.name="billing" && name="pay"}'}, {3}),
    ({"q": "{kind=server} | count() > 2"}, {1, 2}),
    ({"q": "{kind=server} | count() > 3"}, set()),
    ({"limit": 1, "q": "{.spangate.route=`shop`}"}, {2}),
    ({"start": NOW // SECOND - 15, "end": NOW // SECOND - 5}, {2}),
    ({"tags": "service.name=BILL"}, {3, 4}),
    ({"tags": 'tenant="T7" amount=1'}, {3}),
    ({"tags": "tenant=t8"}, set()),
    ({"tags": "name=SUM"}, {3}),
    ({"tags": "status.code=error"}, {2}),
    ({"tags": "root.service.name=billing root.name=p"}, {3}),
    ({"tags": "service.name=billing", "minDuration": "200ms"}, {3}),
    ({"minDuration": "1ms", "maxDuration": "20ms"}, {1, 2, 4}),
]


@pytest.mark.parametrize(("params", "traces"), SEARCHES)
def test_searches(params: dict[str, Any], traces: set[int]) -> None:
    found = tempo("search", "search", **params)["traces"]
    assert {one["traceID"] for one in found} == {trace_id(n).hex() for n in traces}


def test_what_a_search_tells() -> None:
    q = "{kind=server && .http.response.status_code>=200} | select(span.url.path, resource.x)"
    (found, *_) = tempo("search", "search", q=q, spss=2, limit=1)["traces"]
    assert found["rootServiceName"] == "spangate"
    assert found["rootTraceName"] == "GET /shop/{id}"
    assert found["durationMs"] == 10
    assert found["startTimeUnixNano"] == str(NOW - 10 * SECOND)
    assert found["serviceStats"] == {"spangate": {"spanCount": 6, "errorCount": 2}}
    (spans,) = found["spanSets"]
    assert spans["matched"] == 3
    assert len(spans["spans"]) == 2
    first = spans["spans"][0]
    assert first["durationNanos"] == str(10 * MS)
    values = {one["key"]: one["value"] for one in first["attributes"]}
    assert values["kind"] == {"stringValue": "server"}
    assert values["http.response.status_code"]["intValue"] in ("200", "502")
    assert values["url.path"]["stringValue"].endswith("/42")


@pytest.mark.parametrize(
    "params",
    [
        {"q": "{"},
        {"q": "{} | rate()"},
        {"tags": "novalue"},
        {"tags": 'a="b'},
        {"limit": "0"},
        {"limit": "x"},
        {"spss": "-1"},
        {"start": "now"},
        {"minDuration": "5"},
    ],
)
def test_what_cannot_be_understood(params: dict[str, str]) -> None:
    reply = get("api/search", **params)
    assert reply.status == 400
    assert reply.content_type.startswith("text/plain")


def test_tags() -> None:
    found = tempo("v2/search/tags", "tags_v2")["scopes"]
    scopes = {one["name"]: one["tags"] for one in found}
    assert scopes["resource"] == ["service.name"]
    assert {"tenant", "http.route", "<script>", "peer.service"} <= set(scopes["span"])
    assert scopes["event"] == ["exception.type"]
    assert scopes["link"] == ["why"]
    assert {"name", "status", "trace:rootName"} <= set(scopes["intrinsic"])
    (only,) = tempo("v2/search/tags", "tags_v2", scope="resource")["scopes"]
    assert only == {"name": "resource", "tags": ["service.name"]}
    names = tempo("search/tags", "tags")["tagNames"]
    assert {"tenant", "service.name", "status"} <= set(names)
    assert get("api/v2/search/tags", scope="sideways").status == 400


VALUES = [
    ("resource.service.name", [("string", "billing"), ("string", "spangate")]),
    (".service.name", [("string", "billing"), ("string", "spangate")]),
    ("span.amount", [("int", "12")]),
    ("span.deep", [("bool", "true")]),
    ("span.half", [("float", "0.5")]),
    ("span.nothing", []),
    ("status", [("keyword", "error"), ("keyword", "ok"), ("keyword", "unset")]),
    ("rootServiceName", [("string", "billing"), ("string", "spangate")]),
    ("duration", []),
    ("traceDuration", []),
    ("span.http.response.status_code", [("int", "200"), ("int", "502")]),
]


@pytest.mark.parametrize(("tag", "values"), VALUES)
def test_values(tag: str, values: list[tuple[str, str]]) -> None:
    found = tempo(f"v2/search/tag/{quote(tag, safe='')}/values", "values_v2")["tagValues"]
    assert [(one["type"], one["value"]) for one in found] == values


def test_values_of_some_spans_alone() -> None:
    path = "v2/search/tag/name/values"
    found = tempo(path, "values_v2", q='{resource.service.name="billing"}')["tagValues"]
    assert [one["value"] for one in found] == ["<b>", "pay", "sum"]
    # What cannot be read filters nothing: an editor sends what is not finished.
    everything = tempo(path, "values_v2", q="{resource.service.name=}")["tagValues"]
    assert len(everything) > 3
    assert len(tempo(path, "values_v2", limit=2)["tagValues"]) == 2
    assert tempo("search/tag/service.name/values", "values")["tagValues"] == ["billing", "spangate"]
    assert tempo("search/tag/name/values", "values")["tagValues"][0] == "<b>"
    assert get("api/v2/search/tag/nothing/values").status == 400


def test_nothing_is_there() -> None:
    desk = Desk(ring())
    assert json.loads(get("api/search", desk=desk).body)["traces"] == []
    assert json.loads(get("api/search/tag/a/values", desk=desk).body)["tagValues"] == []
    (scope,) = json.loads(get("api/v2/search/tags", desk=desk).body)["scopes"]
    assert scope["name"] == "intrinsic"


@pytest.mark.parametrize(
    ("line", "pairs"),
    [
        ("", []),
        ("a=b", [("a", "b")]),
        ('a="b c" d=e', [("a", "b c"), ("d", "e")]),
        ('a="b \\" c"', [("a", 'b " c')]),
        ("a= b=c", [("a", ""), ("b", "c")]),
        ("a=b=c", [("a", "b=c")]),
    ],
)
def test_logfmt(line: str, pairs: list[tuple[str, str]]) -> None:
    assert logfmt(line) == pairs


def test_large_stores_are_searched_in_steps() -> None:
    made = ring()
    for number in range(0, 5000, 100):
        add(made, "", *[s for n in range(number, number + 100) for s in hop(n, 10, 0, "shop")])
    desk = Desk(made)
    for target in (
        "/tempo/api/search?q=%7Bstatus%3Derror%7D",
        "/tempo/api/v2/search/tags",
        "/tempo/api/v2/search/tag/name/values",
        "/jaeger/api/services",
        "/jaeger/api/v3/trace-summaries",
        "/zipkin/api/v2/services",
        "/zipkin/api/v2/traces",
        "/api/map",
    ):
        reply, steps = end(desk.ask(target, "", NOW))
        assert reply.status == 200
        assert steps >= 4, target
