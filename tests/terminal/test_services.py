"""`spangate map`, `spangate doctor` and `spangate stats`."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.terminal.services import walk

from .kit import ACTING, HOSTILE, TRACE, admin, ask, terminal
from .kit import uncoloured as plain


def edge(source: str, target: str, **more: object) -> dict[str, object]:
    numbers = {"rate": 2.0, "errors": 0.0, "p50_ms": 1.0, "p99_ms": 5.0, "calls": 1200}
    return {"source": source, "target": target, **numbers, "broken": False, **more}


MAP = {
    "nodes": [{"name": n, "kind": "service"} for n in ("orders", "payments", "shop", "alone")]
    + [{"name": "spangate", "kind": "gateway"}],
    "edges": [
        edge("spangate", "shop"),
        edge("shop", "orders"),
        edge("shop", "payments", errors=1.0),
        edge("orders", "payments", broken=True),
    ],
}


def test_the_map_is_a_tree_of_calls() -> None:
    with admin() as told:
        told.answers["/api/map"] = (200, MAP)
        result = ask(told, "map")
    assert result.exit_code == 0
    assert [line.rstrip() for line in result.output.splitlines()[1:]] == [
        "alone",
        "spangate",
        "└─ shop                2.0       0.0  1.0 ms  5.0 ms  1,200",
        "   ├─ orders           2.0       0.0  1.0 ms  5.0 ms  1,200",
        "   │  └─ payments      2.0       0.0  1.0 ms  5.0 ms  1,200  broken",
        "   └─ payments         2.0       1.0  1.0 ms  5.0 ms  1,200",
        "broken traces: `spangate doctor` tells by whom and why",
    ]
    with admin() as told:
        told.answers["/api/map"] = (200, MAP)
        assert json.loads(ask(told, "map", "--json").output) == MAP


def test_a_map_of_nothing() -> None:
    with admin() as told:
        told.answers["/api/map"] = (200, {"nodes": [], "edges": []})
        assert ask(told, "map").output == "nothing has been called yet\n"


NAMES = st.sampled_from("abcdef")


@given(st.lists(st.tuples(NAMES, NAMES), max_size=12), st.lists(NAMES))
def test_every_edge_is_there_once_whatever_the_graph(
    edges: list[tuple[str, str]], nodes: list[str]
) -> None:
    told = {
        "nodes": [{"name": name} for name in nodes],
        "edges": [{"source": a, "target": b, "number": n} for n, (a, b) in enumerate(edges)],
    }
    shown = list(walk(told))
    numbers = [led["number"] for _, _, led in shown if led]
    assert sorted(numbers) == list(range(len(edges)))  # type: ignore[type-var]
    assert {name.split(" ")[0] for _, name, _ in shown} == {*nodes, *(n for e in edges for n in e)}


FINDING = {
    "service": "orders",
    "kind": "drops_context",
    "confidence": 0.97,
    "evidence": [TRACE, "a" * 32, "b" * 32, "c" * 32],
    "remedy": "pass traceparent on",
    "summary": "12 of 12 calls carry no context",
}
DOCTOR = {"findings": [FINDING], "checked": {"spans": 900, "services": ["orders", "shop"]}}


def test_the_doctor_s_findings() -> None:
    with admin() as told:
        told.answers["/api/doctor"] = (200, DOCTOR)
        result = ask(told, "doctor")
        strict = ask(told, "doctor", "--strict")
        found = ask(told, "doctor", "--json", "--strict")
    assert (result.exit_code, strict.exit_code, found.exit_code) == (0, 1, 1)
    assert result.output == strict.output
    assert json.loads(found.output) == DOCTOR
    assert result.output.splitlines() == [
        "orders  drops_context  97 % sure",
        "  12 of 12 calls carry no context",
        "  do: pass traceparent on",
        f"  spangate traces {TRACE}",
        f"  spangate traces {'a' * 32}",
        f"  spangate traces {'b' * 32}",
        "",
        "1 finding in 900 spans of orders, shop",
    ]


def test_a_doctor_without_findings() -> None:
    with admin() as told:
        told.answers["/api/doctor"] = (200, {**DOCTOR, "findings": []})
        result = ask(told, "doctor", "--strict")
    assert (result.exit_code, result.output) == (0, "nothing found in 900 spans of orders, shop\n")


STATS = {
    "version": "0.1.0", "build": "compiled", "uptime_seconds": 3723.0, "ready": True,
    "listeners": [{"address": ":8080", "port": 8080}],
    "workers": [{"id": 3, "slot": 0, "pid": 4711, "state": "ready", "restarts": 1,
                 "requests": 12345, "connections": 7, "rss": 50 * 2**20}],
    "routes": [{"name": "orders"}, {"name": "rest"}],
    "upstreams": {
        "shop": {"servers": [{"url": "http://10.0.0.1", "weight": 1, "up": False,
                              "last_probe": {"ok": False, "said": "refused", "status": None}}]},
        "none": {"servers": []},
    },
    "export": {"otlp": {"traces": {"created": 10, "exported": 7, "dropped": {"queue_full": 2},
                                   "queued": 1, "balanced": True, "healthy": False,
                                   "last_error": "no route to host"}}},
    "before": None,
    "reloads": {"succeeded": 2, "failed": 1},
    "last_reload_error": "routes.toml:3: no such key",
}  # fmt: skip


def test_stats_are_a_page() -> None:
    with admin() as told:
        told.answers["/stats"] = (200, STATS)
        result = ask(told, "stats")
        assert json.loads(ask(told, "stats", "--json").output) == STATS
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    for line in (
        "spangate 0.1.0 compiled up 1.0 h ready",
        "listens on :8080",
        "2 routes",
        "2 reloads, 1 refused",
        "last reload: routes.toml:3: no such key",
        "0 4711 ready 12,345 7 1 50 MiB",
        "shop http://10.0.0.1 1 down ok false, said refused",
        "none none",
        "otlp traces 10 7 2 1 failing queue_full 2",
        "otlp traces no route to host",
    ):
        assert line in lines, result.output


@pytest.mark.parametrize("words", [("map",), ("doctor",), ("stats",)])
@pytest.mark.parametrize("answer", [{}, [], 7, None, "hostile"])
def test_an_answer_of_any_kind_is_shown(words: tuple[str, ...], answer: object) -> None:
    if answer == "hostile":
        answer = {
            "edges": [edge(HOSTILE, HOSTILE * 9)], "nodes": [{"name": HOSTILE}, 1],
            "findings": [dict.fromkeys(FINDING, HOSTILE), {**FINDING, "evidence": [HOSTILE, 1]}],
            "checked": {"services": [HOSTILE]},
            **{key: HOSTILE for key in STATS if isinstance(STATS[key], str)},
            "upstreams": {HOSTILE: {"servers": [{"url": HOSTILE, "last_probe": {"a": HOSTILE}}]}},
            "export": {HOSTILE: {HOSTILE: {"dropped": {HOSTILE: 1}, "healthy": False,
                                           "last_error": HOSTILE}}},
            "workers": [{"state": HOSTILE, "pid": HOSTILE}],
        }  # fmt: skip
    paths = {"map": "/api/map", "doctor": "/api/doctor", "stats": "/stats"}
    with admin() as told:
        told.answers[paths[words[0]]] = (200, answer)
        result = ask(told, *words)
        with terminal(*words, "--admin", told.url) as screen:
            assert screen.end() == 0
    assert result.exit_code == 0 and result.output
    assert not ACTING.search(result.output)
    assert not ACTING.search(plain(screen.seen).replace("\r\n", "\n"))


def test_pages_are_coloured_on_a_terminal() -> None:
    with admin() as told:
        told.answers |= {
            "/api/map": (200, MAP), "/api/doctor": (200, DOCTOR), "/stats": (200, STATS)
        }  # fmt: skip
        for word, painted in (
            ("map", "\x1b[1;31mbroken"),
            ("doctor", "\x1b[1;31morders\x1b[0m"),
            ("stats", "\x1b[1;31mdown\x1b[0m"),
        ):
            with terminal(word, "--admin", told.url) as screen:
                assert screen.end() == 0
                assert painted in screen.seen
