"""A trace as /api/traces tells it: JSON that any reader takes, whatever was sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.recent.decode import records, spans
from proxy.recent.desk import Desk
from proxy.recent.model import Event, Link, Record, Span
from proxy.recent.show import MOST_TEXT, cut, plain, trace_as_json
from tests.recent.samples import MS, NOW, SECOND, add, ask, demo, ring, span, trace_id

KEYS = {
    "span_id", "parent_id", "name", "kind", "service", "start_us", "duration_us", "status",
    "message", "attributes", "events", "links", "trace_state", "sampled", "resource", "scope",
    "phases", "critical", "depth",
}  # fmt: skip


def phases(**told: float) -> Any:
    """Of a request of 10 ms with one try from 2 to 8 ms."""
    attributes = {f"spangate.phase.{name}_ms": value for name, value in told.items()}
    server = Span(b"t" * 16, b"1", kind=2, start=NOW, end=NOW + 10 * MS, attributes=attributes)
    client = Span(b"t" * 16, b"2", b"1", kind=3, start=NOW + 2 * MS, end=NOW + 8 * MS)
    found = trace_as_json([server, client], [])["spans"][0]["phases"]
    return [(one["name"], one["start_us"], one["duration_us"]) for one in found]


def test_a_trace() -> None:
    store = ring()
    demo(store, 1, error=True)
    found = json.loads(ask(Desk(store), f"/api/traces/{trace_id(1).hex()}").body)
    assert found["trace_id"] == trace_id(1).hex()
    assert (found["duration_ms"], found["error"], found["services"]) == (10, True, ["spangate"])
    assert found["start_unix_ms"] == (NOW - SECOND) / 1e6
    assert [one["depth"] for one in found["spans"]] == [0, 1, 2, 3, 4, 5]
    assert all(one.keys() == KEYS for one in found["spans"])
    last = found["spans"][-1]
    assert (last["kind"], last["status"], last["message"]) == ("client", "error", "it broke")
    assert last["sampled"]
    assert last["attributes"]["peer.service"] == "payments"
    assert sum(one["critical"] != [] for one in found["spans"]) == 1


def test_where_the_time_of_a_request_went() -> None:
    assert phases(queue=1.0, connect=2.0, first_byte=3.0, overhead=1.5) == [
        ("queue", 0, 1000),
        ("connect", 1000, 2000),
        ("first_byte", 3000, 3000),
        ("transfer", 6000, 3500),
        ("overhead", 9500, 500),
    ]
    assert phases() == []
    assert phases(queue=float("nan"), connect=-1.0) == []
    assert phases(first_byte=1e300) == []


def test_events_links_and_records() -> None:
    one = Span(b"t" * 16, b"1" * 8, start=NOW, end=NOW + MS, trace_state="a=b", scope="lib")
    one.events.append(Event(NOW + 500_000, "e", {"k": b"\xff"}))
    one.links.append(Link(b"u" * 16, b"2" * 8, "", {"why": [1, None]}))
    late = Record(NOW + MS, 9, "INFO", {"a": float("inf")}, {"b": 1}, b"t" * 16, b"1" * 8)
    early = Record(NOW, 17)
    found = trace_as_json([one], [late, early], "https://x.example/{trace_id}")
    (told,) = found["spans"]
    assert told["events"] == [{"name": "e", "time_us": 500, "attributes": {"k": "/w=="}}]
    assert told["links"][0]["attributes"] == {"why": [1, None]}
    assert (told["trace_state"], told["scope"], told["sampled"]) == ("a=b", "lib", False)
    assert [one["time_us"] for one in found["logs"]] == [0, 1000]
    assert [one["severity"] for one in found["logs"]] == ["17", "INFO"]
    assert found["logs"][1]["body"] == {"a": "inf"}
    assert found["trace_url"] == f"https://x.example/{(b't' * 16).hex()}"


@pytest.mark.parametrize("end", [0, NOW - MS, 2**64 - 1])
def test_times_that_cannot_be(end: int) -> None:
    told = trace_as_json([Span(b"t" * 16, b"1", start=NOW, end=end, kind=77, status=9)], [])
    assert told["duration_ms"] >= 0
    assert told["spans"][0]["duration_us"] >= 0
    assert (told["spans"][0]["kind"], told["spans"][0]["status"]) == ("", "unset")


def test_long_texts_are_cut_and_strange_ones_are_texts() -> None:
    store = ring()
    name = "<script>\u202e\x1b[2J" + "x" * (1 << 20)
    add(store, name, span(1, 1, name=name, attributes={name: name}))
    body = ask(Desk(store), f"/api/traces/{trace_id(1).hex()}").body
    assert len(body) < 8 * MOST_TEXT
    (told,) = json.loads(body)["spans"]
    assert told["name"].startswith("<script>\u202e\x1b[2J")
    assert told["name"].endswith(f"({len(name)} characters)")
    assert cut("x" * MOST_TEXT) == "x" * MOST_TEXT


VALUES = st.recursive(
    st.one_of(st.text(), st.binary(), st.booleans(), st.none(), st.floats(), st.integers()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)


@given(VALUES)
def test_any_value_is_json(value: Any) -> None:
    assert json.loads(json.dumps(plain(value), allow_nan=False)) is not Ellipsis


@given(st.binary(max_size=200))
def test_whatever_is_decoded_can_be_told(payload: bytes) -> None:
    scoped = b"\x12" + bytes([len(payload) % 128]) + payload[:127]
    request = b"\x0a" + bytes([min(len(scoped), 127)]) + scoped[:127]
    found = spans(request)
    if found:
        json.dumps(trace_as_json(found, records(request)), allow_nan=False)


def test_what_is_not_there_is_told() -> None:
    desk = Desk(ring())
    assert ask(desk, "/api/traces/xyz").status == 400
    assert ask(desk, f"/api/traces/{'1' * 32}").status == 404
    assert ask(desk, "/api/traces?limit=0").status == 400
    assert ask(desk, "/api/else").status == 404
    assert json.loads(ask(desk, "/api/traces").body) == {
        "traces": [],
        "searched": {"spans": 0, "traces": 0, "oldest_unix_ms": None},
        "more": False,
    }
