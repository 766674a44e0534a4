"""Traces are found by what is asked, in steps, and each is told as a whole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.recent.query import Query
from proxy.recent.ring import Ring
from proxy.recent.search import STEP, Found, payload_of, search, trace_of
from proxy.recent.traces import DECODED, traces_of
from tests.recent.samples import (
    CLIENT,
    INTERNAL,
    MS,
    NOW,
    SECOND,
    add,
    demo,
    end,
    hop,
    ring,
    span,
    trace_id,
)


def store() -> Ring:
    made = ring()
    demo(made, 1, at=NOW - 20 * SECOND)
    demo(made, 2, error=True, at=NOW - 10 * SECOND)
    add(
        made, "billing",
        span(3, 1, name="pay", took=300 * MS, attributes={"tenant": "t7", "Amount": 12}),
        span(3, 2, 1, name="sum", kind=INTERNAL, attributes={"deep": True}, took=3 * MS),
    )  # fmt: skip
    add(made, "mail", span(4, 5, 9, kind=CLIENT), span(4, 6, 5, start=NOW, took=MS))
    return made


def found(query: Query, made: Ring | None = None) -> Found:
    return end(search(made or store(), query))[0]


SEARCHES: list[tuple[dict[str, Any], set[int]]] = [
    ({}, {1, 2, 3, 4}),
    ({"route": "orders"}, {1, 2}),
    ({"route": "/orders/{id}"}, {1, 2}),
    ({"route": "nothing"}, set()),
    ({"service": "billing"}, {3}),
    ({"service": "payments"}, {1, 2}),  # that was called
    ({"service": "billing", "operation": "sum"}, {3}),
    ({"service": "mail", "operation": "sum"}, set()),
    ({"error": True}, {2}),
    ({"error": False}, {1, 3, 4}),
    ({"shortest": 250 * MS}, {3, 4}),
    ({"longest": 20 * MS}, {1, 2}),
    ({"shortest_span": 250 * MS}, {3}),
    ({"longest_span": 5 * MS, "service": "billing"}, {3}),
    ({"since": NOW - 15 * SECOND}, {2, 3, 4}),
    ({"until": NOW - 15 * SECOND}, {1}),
    ({"text": "TENANT"}, {3}),
    ({"text": "t7"}, {3}),
    ({"text": "amount"}, {3}),
    ({"text": "Amount=12"}, {3}),
    ({"text": "Amount=13"}, set()),
    ({"text": "deep=true"}, {3}),
    ({"text": "http.response.status_code=502"}, {2}),
    ({"text": "it broke"}, {2}),
    ({"text": "mail"}, {4}),
    ({"text": trace_id(2).hex()}, {2}),
    ({"text": trace_id(2).hex()[:25].upper()}, {2}),
    ({"text": trace_id(2).hex(), "error": False}, set()),
    ({"tags": {"tenant": "t7", "Amount": "12"}}, {3}),
    ({"tags": {"tenant": "t7", "deep": "true"}}, set()),  # of one span
    ({"tags": {"tenant": "t7"}, "text": "deep"}, {3}),  # of two
]


@pytest.mark.parametrize(("asked", "traces"), SEARCHES)
def test_what_is_found(asked: dict[str, Any], traces: set[int]) -> None:
    told = found(Query(**asked))
    assert {one.trace_id for one in told.traces} == {trace_id(number) for number in traces}
    assert (told.spans, told.all, told.more) == (16, 4, False)


def test_the_latest_first_and_no_more_than_were_asked_for() -> None:
    told = found(Query(limit=2))
    assert {one.trace_id for one in told.traces} == {trace_id(4), trace_id(3)}
    assert told.more
    assert told.oldest == NOW - 20 * SECOND
    own = found(Query(route="shop")).traces
    assert [one.trace_id for one in own] == [trace_id(2), trace_id(1)]


def test_a_summary_is_of_the_whole_trace() -> None:
    (one,) = found(Query(error=True)).traces
    assert (one.spans, one.errors, one.name, one.service) == (6, 2, "GET /shop/{id}", "spangate")
    assert (one.route, one.method, one.path, one.status) == ("shop", "GET", "/shop/42", 200)
    assert (one.services, one.failures) == ({"spangate": 6}, {"spangate": 2})
    (orphan,) = found(Query(service="mail")).traces
    assert (orphan.status, orphan.route, orphan.end - orphan.start) == (None, "", SECOND + MS)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://users:8080/users/7?x=/y#z", "/users/7"),
        ("https://[::1]/a/b", "/a/b"),
        ("http://users", ""),
        ("http://users?a=/b", ""),
        ("unix:/run/app.sock", ""),
        ("/users", ""),
        ("", ""),
        ("http://", ""),
    ],
)
def test_a_call_that_begins_a_trace_has_the_path_of_its_url(url: str, path: str) -> None:
    made = ring()
    said = {"http.request.method": "GET", "url.template": "/users/{id}", "url.full": url}
    add(made, "shop", span(7, 1, kind=CLIENT, attributes=said))
    (one,) = found(Query(route="/users/{id}"), made).traces
    assert (one.route, one.method, one.path) == ("/users/{id}", "GET", path)


def test_what_failed_is_found_when_it_has_left_the_first_ring() -> None:
    made = Ring(20_000, 20_000)
    demo(made, 2, error=True)
    for number in range(100, 300):
        add(made, "", *hop(number, 10, 0, "shop"))
    (one,) = found(Query(error=True), made).traces
    assert (one.trace_id, one.spans) == (trace_id(2), 6)


def test_all_spans_of_a_trace_each_once() -> None:
    made = store()
    add(made, "billing", span(3, 1, name="sent again"))
    assert [one.name for one in trace_of(made, trace_id(3))] == ["sum", "pay"]
    assert trace_of(made, b"?" * 16) == []
    assert end(payload_of(made, b"?" * 16))[0] == b""
    wanted = [trace_id(3), b"?" * 16, trace_id(1)]
    several, _ = end(traces_of(made, wanted))
    assert list(several) == [trace_id(3), trace_id(1)]
    assert several[trace_id(3)] == trace_of(made, trace_id(3))
    assert end(traces_of(made, []))[0] == {}
    many = [trace_id(number) for number in range(20)]
    assert end(traces_of(made, many))[0].keys() == {trace_id(n) for n in (1, 2, 3, 4)}


def test_30000_spans_are_searched_in_steps_and_decoded_in_smaller_ones() -> None:
    made = ring()
    add(made, "a", *[span(n // 10, n, name="x") for n in range(1, 30_001)])
    for query in (Query(), Query(text="nothing"), Query(tags={"a": "b"})):
        told, steps = end(search(made, query))
        assert told.spans == 30_000
        assert steps >= 30_000 // STEP - 1
    wanted = [trace_id(number) for number in range(300)]
    several, steps = end(traces_of(made, wanted))
    assert sum(map(len, several.values())) == 2999
    assert steps >= 2999 // DECODED


@given(st.text(max_size=30), st.text(max_size=10), st.text(max_size=10))
def test_any_text_can_be_looked_for(text: str, key: str, value: str) -> None:
    found(Query(text=text, tags={key: value}, service=value, operation=key, route=text), SMALL)


SMALL = store()
