"""Zipkin's query API: the shapes of its OpenAPI, and what its search form asks."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from proxy.recent.desk import Desk, Reply
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


def store() -> Ring:
    made = ring()
    demo(made, 1, at=NOW - 20 * SECOND)
    demo(made, 2, error=True, at=NOW - 10 * SECOND)
    retried = span(3, 2, 1, name="sum", kind=INTERNAL, attributes={"deep": True}, took=3 * MS)
    retried.events.add(time_unix_nano=NOW, name="retried")
    pay = span(3, 1, name="pay", took=300 * MS, attributes={"tenant": "t7", "amount": 12})
    add(made, "Billing", pay, retried, at=NOW)
    strange = {"<b>": "\u202e\x1b", "list": [1], "none": None, "nan": float("nan")}
    add(made, "Billing", span(4, 1, 99, name="", kind=0, start=0, attributes=strange))
    return made


def get(path: str, desk: Desk | None = None, **params: Any) -> Reply:
    return ask(desk or Desk(store()), f"/zipkin/{path}?{urlencode(params)}")


def zipkin(path: str, shape: str, desk: Desk | None = None, **params: Any) -> Any:
    return told(get(f"api/v2/{path}", desk, **params), "zipkin", shape)


def test_names() -> None:
    assert zipkin("services", "names") == ["Billing", "spangate"]
    assert zipkin("spans", "names", serviceName="Billing") == ["", "pay", "sum"]
    assert zipkin("spans", "names", serviceName="nobody") == []
    assert zipkin("remoteServices", "names", serviceName="spangate") == [
        "orders",
        "payments",
        "shop",
    ]
    assert "http.route" in zipkin("autocompleteKeys", "names")
    assert zipkin("autocompleteValues", "names", key="http.response.status_code") == ["200", "502"]
    assert zipkin("autocompleteValues", "names", key="deep") == ["true"]


SEARCHES: list[tuple[dict[str, Any], set[int]]] = [
    ({}, {1, 2, 3, 4}),
    ({"serviceName": "all", "spanName": "all"}, {1, 2, 3, 4}),
    ({"limit": 1, "serviceName": "spangate"}, {2}),
    ({"serviceName": "orders"}, {1, 2}),
    ({"serviceName": "Billing", "spanName": "pay"}, {3}),
    ({"serviceName": "spangate", "remoteServiceName": "payments"}, {1, 2}),
    ({"serviceName": "spangate", "remoteServiceName": "nobody"}, set()),
    ({"annotationQuery": "error"}, {2}),
    ({"annotationQuery": "http.response.status_code=502"}, {2}),
    ({"annotationQuery": "tenant=t7 and deep=true"}, {3}),  # of two spans
    ({"annotationQuery": "tenant and amount=12 and retried"}, {3}),
    ({"annotationQuery": "tenant=t8"}, set()),
    ({"serviceName": "spangate", "annotationQuery": "tenant=t7"}, set()),
    ({"minDuration": 299_000}, {3}),
    ({"minDuration": 2_000, "maxDuration": 4_000}, {3}),
    ({"endTs": (NOW - 15 * SECOND) // MS, "lookback": 60_000}, {1}),
    ({"endTs": NOW // MS, "lookback": 15_000, "serviceName": "spangate"}, {2}),
]


@pytest.mark.parametrize(("params", "traces"), SEARCHES)
def test_searches(params: dict[str, Any], traces: set[int]) -> None:
    found = zipkin("traces", "traces", **params)
    assert {trace[0]["traceId"] for trace in found} == {trace_id(n).hex() for n in traces}


def test_a_trace() -> None:
    found = zipkin(f"trace/{trace_id(2).hex()}", "trace")
    assert len(found) == 6
    (payments,) = [one for one in found if one["id"] == f"{51:016x}"]
    assert payments["kind"] == "CLIENT"
    assert payments["parentId"] == f"{50:016x}"
    assert payments["localEndpoint"] == {"serviceName": "spangate"}
    assert payments["remoteEndpoint"]["serviceName"] == "payments"
    assert payments["tags"]["error"] == "it broke"
    assert payments["duration"] == 10_000
    assert zipkin(f"trace/{trace_id(4).hex()}", "trace")[0]["tags"]["<b>"] == "\u202e\x1b"


def test_several_traces() -> None:
    ids = [trace_id(n).hex() for n in (3, 1, 3)]
    found = zipkin("traceMany", "traces", traceIds=",".join([*ids, "f" * 32]))
    assert [trace[0]["traceId"] for trace in found] == ids[:2]


def test_dependencies() -> None:
    found = zipkin("dependencies", "links", endTs=NOW // MS, lookback=3_600_000)
    assert found == [
        {"parent": "orders", "child": "payments", "callCount": 2, "errorCount": 1},
        {"parent": "shop", "child": "orders", "callCount": 2},
        {"parent": "spangate", "child": "shop", "callCount": 2},
    ]
    assert zipkin("dependencies", "links", endTs=1) == []


def test_an_id_of_64_bits() -> None:
    made = ring()
    old = span(1, 1, kind=CLIENT)
    old.trace_id = bytes(8) + b"12345678"
    add(made, "a", old)
    found = zipkin(f"trace/{b'12345678'.hex()}", "trace", Desk(made))
    assert int(found[0]["traceId"], 16) == int(b"12345678".hex(), 16)


def test_nothing_is_there() -> None:
    desk = Desk(ring())
    for path, shape in [("services", "names"), ("traces", "traces"), ("autocompleteKeys", "names")]:
        assert isinstance(zipkin(path, shape, desk), list)
    assert zipkin("traces", "traces", desk) == []
    assert zipkin("dependencies", "links", desk, endTs=5) == []
    gone = get(f"api/v2/trace/{trace_id(1).hex()}", desk)
    assert (gone.status, gone.body) == (404, f"{trace_id(1).hex()} not found".encode())
    assert get("health", desk).status == get("config.json", desk).status == 200


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("spans", {}),
        ("remoteServices", {}),
        ("autocompleteValues", {}),
        ("traceMany", {}),
        ("traceMany", {"traceIds": "1,,2"}),
        ("traceMany", {"traceIds": "x"}),
        ("trace/xyz", {}),
        ("dependencies", {}),
        ("dependencies", {"endTs": "now"}),
        ("traces", {"limit": "0"}),
        ("traces", {"limit": "x"}),
        ("traces", {"minDuration": "1ms"}),
        ("traces", {"maxDuration": "5"}),
        ("traces", {"minDuration": "5", "maxDuration": "4"}),
        ("traces", {"endTs": "-1"}),
        ("traces", {"lookback": "1h"}),
    ],
)
def test_what_cannot_be_understood(path: str, params: dict[str, str]) -> None:
    reply = get(f"api/v2/{path}", **params)
    assert reply.status == 400
    assert reply.content_type.startswith("text/plain")
    assert reply.body


@pytest.mark.parametrize("path", ["", "api/v2", "api/v2/x", "api/v1/spans", "api/v2/trace/1/2"])
def test_what_is_not_there(path: str) -> None:
    assert get(path).status == 404
