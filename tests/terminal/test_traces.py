"""`spangate traces`: the list and one trace, in a pipe and on a terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.terminal.waterfall import bar

from .kit import ACTING, HOSTILE, TRACE, admin, ask, terminal
from .kit import uncoloured as plain

OTHER = "4bf9" + "0" * 28
SUMMARY = {
    "trace_id": TRACE, "name": "GET /orders/{id}", "service": "gw", "route": "orders",
    "method": "GET", "path": "/orders/7", "status": 502, "error": True,
    "start_unix_ms": 1790000000123.0, "duration_ms": 40.0, "spans": 3, "errors": 1,
    "services": ["gw", "orders"],
}  # fmt: skip
LIST = {
    "traces": [SUMMARY, {**SUMMARY, "trace_id": OTHER, "status": 200, "error": False, "errors": 0}],
    "searched": {"spans": 1234, "traces": 400, "oldest_unix_ms": 1790000000000.0},
    "more": True,
}


def span(name: str, depth: int, start: float, took: float, **more: object) -> dict[str, object]:
    return {
        "span_id": "00f067aa0ba902b7", "parent_id": "", "name": name, "kind": "server",
        "service": "gw", "start_us": start, "duration_us": took, "status": "unset", "message": "",
        "attributes": {}, "events": [], "links": [], "trace_state": "", "sampled": True,
        "resource": {}, "scope": "", "phases": [], "critical": [], "depth": depth, **more,
    }  # fmt: skip


WHOLE = {
    "trace_id": TRACE, "start_unix_ms": 1790000000123.0, "duration_ms": 40.0, "error": True,
    "services": ["gw", "orders"],
    "spans": [
        span("GET /orders/{id}", 0, 0, 40_000, attributes={"http.response.status_code": 502}),
        span("GET", 1, 10_000, 20_000, status="error", kind="client", message="it closed",
             attributes={"error.type": "reset", "deep": {"a": [1]}}, critical=[[10_000, 30_000]],
             phases=[{"name": "connect", "start_us": 10_000, "duration_us": 10_000},
                     {"name": "first_byte", "start_us": 20_000, "duration_us": 10_000}],
             events=[{"name": "retry", "time_us": 15_000, "attributes": {"n": 1}}],
             links=[{"trace_id": OTHER, "span_id": "", "attributes": {}}]),
        span("handle", 2, 20_000, 1, service="orders", kind="internal"),
    ],
    "logs": [{"time_us": 25_000, "severity": "ERROR", "body": "no stock", "attributes": {},
              "span_id": "", "service": "orders"}],
    "trace_url": "https://traces.example/" + TRACE,
}  # fmt: skip


def test_the_list() -> None:
    with admin() as told:
        told.answers["/api/traces"] = (200, LIST)
        result = ask(told, "traces")
    assert result.exit_code == 0
    head, first, second, foot = result.output.splitlines()
    assert head.split() == ["time", "trace", "status", "took", "spans", "name", "services"]
    told_first = "  ".join(first.split("  ")[1:])
    assert told_first == f"{TRACE}     502  40.0 ms  3, 1 failed  GET /orders/7  gw orders"
    assert OTHER in second and " 200 " in second
    assert foot.startswith("2 shown of 400 traces, 1,234 spans since ")
    assert foot.endswith(", and there are more: --limit")


def test_what_is_searched_for_is_the_gateway_s() -> None:
    words = ["--route", "orders", "--service", "gw", "--min", "2s", "--errors", "--since", "5m"]
    with admin() as told:
        told.answers["/api/traces"] = (200, LIST)
        result = ask(told, "traces", *words, "--q", "a b", "--limit", "7", "--json")
    assert told.last.query == {
        "route": "orders", "service": "gw", "min_ms": "2000", "error": "true", "since": "5m",
        "q": "a b", "limit": "7",
    }  # fmt: skip
    assert json.loads(result.output) == LIST


def test_one_trace() -> None:
    with admin() as told:
        told.answers[f"/api/traces/{TRACE}"] = (200, WHOLE)
        result = ask(told, "traces", TRACE.upper())
    assert result.exit_code == 0
    head, _, *spans, legend, record, url = result.output.splitlines()
    assert head.startswith(f"trace {TRACE}  ") and head.endswith("3 spans  40.0 ms  1 failed")
    assert spans[0].endswith("█" * 40) and " 502 " in spans[0]
    assert spans[1].startswith("  GET ") and " reset " in spans[1]
    assert spans[1].endswith("*  " + "·" * 10 + "▒" * 10 + "▓" * 10 + "·" * 10)
    assert spans[2].startswith("    handle ") and spans[2].endswith("·" * 20 + "█" + "·" * 19)
    assert legend == "▒ connect   ▓ first byte   * on the critical path"
    assert record == "log  +25.0 ms  ERROR  orders  no stock"
    assert url == "https://traces.example/" + TRACE


def test_attributes_are_told_when_asked_for() -> None:
    with admin() as told:
        told.answers[f"/api/traces/{TRACE}"] = (200, WHOLE)
        lines = ask(told, "traces", TRACE, "--attributes").output.splitlines()
    for line in (
        "  http.response.status_code  502", '  deep  {"a": [1]}', "  message  it closed",
        '  event  +15.0 ms  retry  {"n": 1}', f"  link  {OTHER}",
    ):  # fmt: skip
        assert line in lines


def test_the_beginning_of_an_id_is_enough() -> None:
    with admin() as told:
        told.answers |= {"/api/traces": (200, LIST), f"/api/traces/{TRACE}": (200, WHOLE)}
        found = ask(told, "traces", TRACE[:8], "--json")
        twice = ask(told, "traces", "4bf9")
        never = ask(told, "traces", "abc")
    assert json.loads(found.output) == WHOLE
    assert twice.exit_code == 1 and f"2 traces begin with 4bf9: {OTHER}, {TRACE}" in twice.output
    assert never.exit_code == 1 and "no trace that is kept begins with abc" in never.output


def test_a_trace_that_is_not_kept() -> None:
    with admin() as told:
        told.answers[f"/api/traces/{TRACE}"] = (404, {"error": "no such trace"})
        result = ask(told, "traces", TRACE)
    assert result.exit_code == 1
    assert "no such trace; it is not among the traces that are kept" in result.output


@pytest.mark.parametrize(
    "words",
    [("xyz",), ("0" * 33,), ("",), (TRACE, "--errors"), ("--limit", "0"), ("--limit", "1001"),
     ("--min", "5")],
)  # fmt: skip
def test_wrong_usage(words: tuple[str, ...]) -> None:
    with admin() as told:
        assert ask(told, "traces", *words).exit_code == 2
        assert not told.asked


NUMBERS = st.floats(-1e12, 1e12) | st.sampled_from([0.0, 1e300, -1e300])


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.integers(10, 60))
def test_a_bar_has_its_width_whatever_the_times_are(
    start: float, took: float, begins: float, part: float, width: int
) -> None:
    phases = [{"name": "queue", "start_us": begins, "duration_us": part}, {"name": "new"}, {}]
    drawn = bar({"start_us": start, "duration_us": took, "phases": phases}, 1000.0, width)
    assert len(drawn) == width and set(drawn) <= set("░█·")
    assert drawn.strip("·")


def test_a_trace_fits_the_terminal() -> None:
    with admin() as told:
        told.answers[f"/api/traces/{TRACE}"] = (200, WHOLE)
        with terminal("traces", TRACE, "--admin", told.url, columns=90) as screen:
            assert screen.end() == 0
    lines = plain(screen.seen).split("\r\n")
    assert all(len(line) <= 90 for line in lines)
    assert "▒" in screen.seen and "\x1b[31m" in screen.seen
    assert "error" not in lines[1]


@pytest.mark.parametrize(("columns", "shown"), [(80, TRACE[:12]), (130, TRACE)])
def test_the_list_on_a_terminal(columns: int, shown: str) -> None:
    with admin() as told:
        told.answers["/api/traces"] = (200, LIST)
        with terminal("traces", "--admin", told.url, columns=columns) as screen:
            assert screen.end() == 0
    assert f" {shown} " in plain(screen.seen) and "\x1b[1;31m" in screen.seen
    assert "GET /o" in screen.seen


@pytest.mark.parametrize("columns", [20, 160])
def test_hostile_spans_do_not_act(columns: int) -> None:
    bad = span(HOSTILE * 5000, 10**9, 0, 1, service=HOSTILE, kind=HOSTILE, message=HOSTILE,
               attributes={HOSTILE: HOSTILE * 5000, "error.type": HOSTILE},
               events=[{"name": HOSTILE, "attributes": {HOSTILE: 1}}])  # fmt: skip
    logs = [{"body": HOSTILE, "severity": HOSTILE, "service": HOSTILE, "time_us": "x"}]
    whole = {**WHOLE, "spans": [bad], "logs": logs, "trace_url": HOSTILE, "trace_id": HOSTILE}
    with admin() as told:
        told.answers[f"/api/traces/{TRACE}"] = (200, whole)
        words = ("traces", TRACE, "--attributes", "--admin", told.url)
        with terminal(*words, columns=columns) as screen:
            assert screen.end() == 0
        piped = ask(told, "traces", TRACE, "--attributes").output
        told.answers["/api/traces"] = (200, {"traces": [dict.fromkeys(SUMMARY, HOSTILE)]})
        listed = ask(told, "traces").output
    for shown in (plain(screen.seen).replace("\r\n", "\n"), piped, listed):
        assert not ACTING.search(shown) and len(shown) < 20_000
