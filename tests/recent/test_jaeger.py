"""Jaeger's APIs: the shapes that its UI and Grafana read, and what their forms ask."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from proxy.recent.desk import Desk
from proxy.recent.ring import Ring
from tests.recent.contracts import told
from tests.recent.samples import (
    CLIENT,
    INTERNAL,
    MS,
    NOW,
    SECOND,
    add,
    ask,
    demo,
    ring,
    span,
    trace_id,
)

US = 1000


def store() -> Ring:
    """The demo twice, a trace of another application, and one with whatever OTLP can say."""
    made = ring()
    demo(made, 1, at=NOW - 20 * SECOND)
    demo(made, 2, error=True, at=NOW - 10 * SECOND)
    add(
        made, "billing",
        span(3, 1, name="pay", took=300 * MS, attributes={"tenant": "t7", "amount": 12}),
        span(3, 2, 1, name="sum", kind=INTERNAL, attributes={"deep": True}, took=3 * MS),
    )  # fmt: skip
    add(made, "billing", odd())
    return made


def odd() -> Any:
    values = {
        "none": None, "nan": float("nan"), "inf": float("inf"), "bytes": b"\xff\x00",
        "list": [1, "a"], "half": 0.5, "big": -(2**63), "<script>": "</script>",
    }  # fmt: skip
    start = NOW - 5 * SECOND
    made = span(4, 1, 99, name="<b>\u202e\x1b", kind=0, start=start, attributes=values)
    made.attributes.add(key="map").value.kvlist_value.values.add(key="k")
    event = made.events.add(time_unix_nano=NOW, name="exception")
    event.attributes.add(key="exception.type").value.string_value = "KeyError"
    made.links.add(trace_id=trace_id(1), span_id=b"12345678")
    made.links.add()
    made.trace_state = "a=b"
    return made


def jaeger(
    path: str, shape: str, status: int = 200, desk: Desk | None = None, **params: Any
) -> Any:
    target = f"/jaeger/api/{path}?{urlencode(params, doseq=True)}"
    return told(ask(desk or Desk(store()), target), "jaeger_v1", shape, status)


def v3(path: str, shape: str, status: int = 200, **params: Any) -> Any:
    target = f"/jaeger/api/v3/{path}?{urlencode(params, doseq=True)}"
    return told(ask(Desk(store()), target), "jaeger_v3", shape, status)


def test_services_and_operations() -> None:
    assert jaeger("services", "names")["data"] == ["billing", "spangate"]
    assert "pay" in jaeger("services/billing/operations", "names")["data"]
    assert jaeger("services/nobody%2Fhere/operations", "names")["data"] == []
    found = jaeger("operations", "operations", service="billing", spanKind="internal")["data"]
    assert found == [{"name": "sum", "spanKind": "internal"}]
    assert len(jaeger("operations", "operations", service="spangate")["data"]) == 6
    assert v3("services", "services")["services"] == ["billing", "spangate"]
    found = v3("operations", "operations", service="billing", spanKind="internal")
    assert found["operations"] == [{"name": "sum", "spanKind": "internal"}]


SEARCHES = [
    ({"service": "spangate"}, {1, 2}),
    ({"service": "billing"}, {3, 4}),
    ({"service": "orders"}, {1, 2}),
    ({"service": "nobody"}, set()),
    ({"service": "spangate", "operation": "GET /payments/{id}"}, {1, 2}),
    ({"service": "billing", "operation": "GET /payments/{id}"}, set()),
    ({"service": "spangate", "limit": 1}, {2}),
    ({"service": "spangate", "tags": '{"error":"true"}'}, {2}),
    ({"service": "spangate", "tags": '{"error":true}'}, {2}),
    ({"service": "spangate", "tags": "error:true"}, {2}),
    ({"service": "spangate", "tags": '{"http.response.status_code":"502"}'}, {2}),
    (
        {"service": "spangate", "tags": '{"http.response.status_code":502,"span.kind":"server"}'},
        {2},
    ),
    ({"service": "spangate", "tags": '{"otel.status_code":"ERROR"}'}, {2}),
    ({"service": "billing", "tag": ["tenant:t7", "amount:12"]}, {3}),
    ({"service": "billing", "tag": ["tenant:t7", "deep:true"]}, set()),  # of one and the same span
    ({"service": "billing", "tags": '{"exception.type":"KeyError"}'}, {4}),  # of an event
    ({"service": "billing", "tags": '{"service.name":"billing","error":"false"}'}, {3, 4}),
    ({"service": "billing", "minDuration": "299ms"}, {3}),
    ({"service": "billing", "minDuration": "1ms", "maxDuration": "5ms"}, {3}),  # a span of it
    ({"service": "billing", "minDuration": "1.5s"}, set()),
    ({"service": "spangate", "start": (NOW - 15 * SECOND) // US}, {2}),
    ({"service": "spangate", "end": (NOW - 15 * SECOND) // US}, {1}),
    ({"service": "spangate", "lookback": "15s"}, {2}),
    ({"service": "spangate", "lookback": "custom"}, {1, 2}),
]


@pytest.mark.parametrize(("params", "traces"), SEARCHES)
def test_searches(params: dict[str, Any], traces: set[int]) -> None:
    found = jaeger("traces", "traces", **params)["data"]
    assert {trace["traceID"] for trace in found} == {trace_id(n).hex() for n in traces}


def test_a_trace() -> None:
    (trace,) = jaeger(f"traces/{trace_id(2).hex()}", "traces")["data"]
    spans = {one["spanID"]: one for one in trace["spans"]}
    assert len(spans) == 6
    assert {process["serviceName"] for process in trace["processes"].values()} == {"spangate"}
    payments = spans[f"{51:016x}"]
    assert payments["references"] == [
        {"refType": "CHILD_OF", "traceID": trace_id(2).hex(), "spanID": f"{50:016x}"}
    ]
    tags = {tag["key"]: tag["value"] for tag in payments["tags"]}
    assert (tags["span.kind"], tags["error"], tags["otel.status_code"]) == ("client", True, "ERROR")
    assert payments["startTime"] == (NOW - 10 * SECOND) // US
    assert payments["duration"] == 10_000


def test_what_otlp_can_say_and_jaeger_cannot() -> None:
    (trace,) = jaeger(f"traces/{trace_id(4).hex()}", "traces")["data"]
    (one,) = trace["spans"]
    tags = {tag["key"]: (tag["type"], tag["value"]) for tag in one["tags"]}
    assert tags["nan"] == ("string", "nan")
    assert tags["list"] == ("string", '[1,"a"]')
    assert tags["bytes"] == ("binary", "/wA=")
    assert tags["big"] == ("int64", -(2**63))
    assert tags["<script>"] == ("string", "</script>")
    assert one["logs"][0]["fields"][0] == {"key": "event", "type": "string", "value": "exception"}
    assert [r["refType"] for r in one["references"]][:2] == ["CHILD_OF", "FOLLOWS_FROM"]
    v3(f"traces/{trace_id(4).hex()}", "traces")


def test_several_traces_by_their_ids() -> None:
    ids = [trace_id(1).hex(), trace_id(3).hex(), "f" * 32]
    found = jaeger("traces", "traces", traceID=ids)
    assert [trace["traceID"] for trace in found["data"]] == ids[:2]
    assert found["errors"] == [{"msg": "trace not found", "traceID": "f" * 32}]


def test_dependencies_and_metrics() -> None:
    found = jaeger("dependencies", "dependencies", endTs=NOW // MS, lookback=60_000)["data"]
    calls = {(one["parent"], one["child"]): one["callCount"] for one in found}
    assert calls == {("spangate", "shop"): 2, ("shop", "orders"): 2, ("orders", "payments"): 2}
    assert jaeger("dependencies", "dependencies", endTs=1)["data"] == []
    assert len(jaeger("dependencies", "dependencies", service="shop")["data"]) == 2
    assert len(v3("dependencies", "dependencies")["dependencies"]) == 3
    for name in ("latencies", "calls", "errors", "minstep"):
        assert jaeger(f"metrics/{name}", "error", 501, service="shop")["errors"][0]["code"] == 501


def test_nothing_is_there() -> None:
    desk = Desk(ring())
    assert jaeger("services", "names", desk=desk)["data"] == []
    assert jaeger("traces", "traces", desk=desk, service="a")["data"] == []
    assert jaeger("dependencies", "dependencies", desk=desk)["data"] == []
    gone = jaeger(f"traces/{trace_id(1).hex()}", "error", 404, desk=desk)
    assert gone["errors"] == [{"code": 404, "msg": "trace not found"}]


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("traces", {}),
    ("operations", {}),
    ("operations", {"service": "a", "spanKind": "sideways"}),
    ("traces/xyz", {}),
    ("traces/" + "1" * 33, {}),
    ("traces", {"traceID": "nothing"}),
    *(
        ("traces", {"service": "a", name: value})
        for name, value in [
            ("limit", "0"), ("limit", "-1"), ("limit", "many"), ("start", "now"), ("end", "-5"),
            ("minDuration", "5"), ("minDuration", "fast"), ("tags", "{"), ("tags", "[1]"),
            ("tags", '{"a":{}}'), ("tags", "a"), ("tag", "a"), ("lookback", "soon"),
            ("tags", "{" * 900), ("service", "twice"),
        ]
    ),
    ("traces", {"service": "a", "minDuration": "2s", "maxDuration": "1s"}),
    ("dependencies", {"endTs": "x"}),
    ("dependencies", {"lookback": "1h"}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "params"), WRONG)
def test_what_cannot_be_understood(path: str, params: dict[str, Any]) -> None:
    if params.get("service") == "twice":
        params = {"service": ["a", "b"]}
    assert jaeger(path, "error", 400, **params)["errors"][0]["code"] == 400


@pytest.mark.parametrize("path", ["", "else", "services/a", "services/a/b", "traces/1/2", "v4"])
def test_what_is_not_there(path: str) -> None:
    assert jaeger(path, "error", 404)["errors"][0]["code"] == 404
    assert v3("nothing", "error", 404)["error"]["grpcCode"] == 5


def rfc3339(ago: int) -> str:
    return datetime.fromtimestamp(NOW / SECOND - ago, UTC).isoformat().replace("+00:00", "Z")


V3_SEARCHES: list[tuple[dict[str, Any], set[int]]] = [
    ({}, {1, 2, 3, 4}),
    ({"query.serviceName": "spangate", "query.searchDepth": 20}, {1, 2}),
    ({"query.service_name": "spangate", "query.num_traces": 1}, {2}),
    ({"query.service_name": "billing", "query.span_name": "pay"}, {3}),
    ({"query.operationName": "pay"}, {3}),
    ({"query.startTimeMin": rfc3339(15), "query.startTimeMax": rfc3339(7)}, {2}),
    ({"query.start_time_min": rfc3339(15), "query.durationMin": "0.2s"}, {3}),
    ({"query.attributes": json.dumps({"error": "true"})}, {2}),
    (
        {"query.rawTraces": "true", "query.pagination.pageSize": 1, "query.serviceName": "billing"},
        {3},
    ),
]


@pytest.mark.parametrize(("params", "traces"), V3_SEARCHES)
def test_searches_of_version_3(params: dict[str, Any], traces: set[int]) -> None:
    wanted = {trace_id(number).hex() for number in traces}
    summaries = v3("trace-summaries", "summaries", **params)["summaries"]
    assert {one["traceId"] for one in summaries} == wanted
    data = v3("traces", "traces", **params)["result"]["resourceSpans"]
    spans = [s for group in data for scoped in group["scopeSpans"] for s in scoped["spans"]]
    assert {one["traceId"] for one in spans} == wanted


def test_a_summary() -> None:
    (failed,) = v3("trace-summaries", "summaries", **{"query.attributes": '{"error":"true"}'})[
        "summaries"
    ]
    assert failed["rootServiceName"] == "spangate"
    assert failed["rootOperationName"] == "GET /shop/{id}"
    assert failed["minStartTimeUnixNano"] == str(NOW - 10 * SECOND)
    assert (failed["spanCount"], failed["errorSpanCount"], failed["orphanSpanCount"]) == (6, 2, 0)
    assert failed["services"] == [{"name": "spangate", "spanCount": 6, "errorSpanCount": 2}]
    (orphan,) = v3("trace-summaries", "summaries", **{"query.attributes": '{"half":"0.5"}'})[
        "summaries"
    ]
    assert orphan["orphanSpanCount"] == 1


@pytest.mark.parametrize(
    "params",
    [
        {"query.startTimeMin": "yesterday"},
        {"query.durationMin": "long"},
        {"query.searchDepth": "x"},
        {"query.attributes": "{"},
        {"query.filter": '{"op":"eq"}'},
        {"query.pagination.pageToken": "abc"},
    ],
)
def test_what_version_3_cannot_understand(params: dict[str, str]) -> None:
    for path in ("traces", "trace-summaries"):
        assert v3(path, "error", 400, **params)["error"]["grpcCode"] == 3
    assert v3("operations", "error", 400)["error"]["httpStatus"] == "Bad Request"
    assert v3("traces/zz", "error", 400)["error"]["httpCode"] == 400
    assert v3(f"traces/{'1' * 32}", "error", 404)["error"]["message"] == "trace not found"


def test_a_large_trace_is_written_in_steps() -> None:
    made = ring()
    add(made, "a", *[span(1, n + 1, n, kind=CLIENT) for n in range(1500)])
    steps = list(Desk(made).ask(f"/jaeger/api/traces/{trace_id(1).hex()}", "", NOW))
    assert len(steps) >= 8
    assert len(jaeger("traces", "traces", desk=Desk(made), service="a")["data"][0]["spans"]) == 1500


def test_an_id_of_64_bits() -> None:
    made = ring()
    old = span(1, 1)
    old.trace_id = bytes(8) + b"12345678"
    add(made, "a", old)
    reply = ask(Desk(made), f"/jaeger/api/traces/{b'12345678'.hex()}")
    assert told(reply, "jaeger_v1", "traces")["data"][0]["traceID"] == old.trace_id.hex()
