"""The map: who calls whom, how often and how quickly, whoever has spans of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.recent.desk import Desk
from proxy.recent.graph import MOST_PIECES, Counts, Graph, bucket_of
from proxy.recent.ring import Ring
from tests.recent.samples import (
    CLIENT,
    CONSUMER,
    INTERNAL,
    MS,
    NOW,
    PRODUCER,
    SECOND,
    SERVER,
    add,
    ask,
    demo,
    end,
    hop,
    ring,
    span,
)


def shown(store: Ring, now: int = NOW, desk: Desk | None = None) -> dict[str, Any]:
    reply = ask(desk or Desk(store), "/api/map", now=now)
    assert reply.status == 200
    found: dict[str, Any] = json.loads(reply.body)
    return found


def edges(store: Ring, now: int = NOW) -> dict[str, int]:
    return {f"{e['source']}>{e['target']}": e["calls"] for e in shown(store, now)["edges"]}


def test_services_without_spans_of_their_own() -> None:
    store = ring()
    for number in range(3):
        demo(store, number, error=number == 2)
    found = shown(store)
    assert [(e["source"], e["target"], e["calls"]) for e in found["edges"]] == [
        ("orders", "payments", 3),
        ("shop", "orders", 3),
        ("spangate", "shop", 3),
    ]
    assert found["nodes"] == [
        {"name": "orders", "kind": "service"},
        {"name": "payments", "kind": "service"},
        {"name": "shop", "kind": "service"},
        {"name": "spangate", "kind": "gateway"},
    ]
    payments, orders, _ = found["edges"]
    assert (payments["rate"], payments["errors"], orders["errors"]) == (3.0, 1.0, 0.0)
    assert payments["p50_ms"] == pytest.approx(10, rel=0.1)
    assert payments["p99_ms"] == pytest.approx(10, rel=0.1)
    assert not any(e["broken"] for e in found["edges"])


def test_a_service_with_spans_of_its_own_has_its_own_name() -> None:
    store = ring()
    add(store, "", *hop(1, 10, 0, "shop-upstream"))
    add(store, "shop", span(1, 20, 11), span(1, 21, 20, kind=INTERNAL))
    add(store, "shop", span(1, 22, 21, kind=CLIENT))
    add(store, "", *hop(1, 30, 22, "orders"))
    assert edges(store) == {"shop>orders": 1, "spangate>shop": 1}


def test_calls_that_do_not_pass_the_gateway() -> None:
    store = ring()
    db = {"db.system.name": "postgresql", "db.namespace": "bills"}
    topic = {"messaging.system": "kafka", "messaging.destination.name": "paid"}
    add(
        store, "a",
        span(1, 1),
        span(1, 2, 1, kind=CLIENT, attributes={"server.address": "b.example"}),
        span(1, 3, 1, kind=CLIENT, attributes=db),
        span(1, 4, 1, kind=PRODUCER, attributes=topic),
        span(1, 5, 1, kind=CLIENT, attributes={"server.address": "nobody.example"}),
        span(1, 6, 1, kind=INTERNAL),
    )  # fmt: skip
    add(store, "b", span(1, 12, 2, error=True))
    add(store, "c", span(1, 14, 4, kind=CONSUMER), span(1, 16, 6, kind=SERVER))
    assert edges(store) == {"a>b": 1, "a>c": 2, "a>postgresql/bills": 1}
    by_target = {e["target"]: e for e in shown(store)["edges"]}
    assert by_target["b"]["errors"] == 1.0


def test_parents_end_last_and_until_then_nobody_is_accused() -> None:
    store = ring()
    desk = Desk(store)
    add(store, "", *hop(1, 30, 11, "orders"), at=NOW)
    assert shown(store, NOW, desk)["edges"] == []
    assert [e["source"] for e in shown(store, NOW + 3 * SECOND, desk)["edges"]] == ["spangate"]
    add(store, "", *hop(1, 10, 0, "shop"), at=NOW + 4 * SECOND)
    for later in (4, 20, 40):
        names = [
            (e["source"], e["calls"]) for e in shown(store, NOW + later * SECOND, desk)["edges"]
        ]
        assert names == [("shop", 1), ("spangate", 1)]


def test_rates_are_of_the_last_minute_and_calls_of_all_the_time() -> None:
    store = ring()
    desk = Desk(store)
    for number in range(600):
        demo(store, number, at=NOW + number * SECOND // 10)
    first = shown(store, NOW + 60 * SECOND, desk)["edges"][0]
    assert first["rate"] == pytest.approx(10, rel=0.05)
    later = shown(store, NOW + 300 * SECOND, desk)["edges"][0]
    assert (later["rate"], later["calls"]) == (0, 600)
    assert later["p99_ms"] == pytest.approx(10, rel=0.1)
    assert shown(store, NOW + 8000 * SECOND, desk)["edges"] == []


def test_a_service_that_begins_anew_is_told() -> None:
    store = ring()
    for number in range(3):
        add(store, "", *hop(number, 10, 0, "lost"), *hop(100 + number, 10, 0, "sound"))
        add(store, "lost", span(1000 + number, 5))
        add(store, "sound", span(100 + number, 5, 11), span(2000 + number, 5))
    broken = {e["target"]: e["broken"] for e in shown(store)["edges"]}
    assert broken == {"lost": True, "sound": False}


@pytest.mark.parametrize("traces", [4000, 12_000])
def test_whole_traces_are_left_out_at_full_load_and_rates_stay_right(traces: int) -> None:
    most = 2000
    store, graph = Ring(256 << 20, 0), Graph(most)
    for number in range(0, traces, 1000):
        spans = [one for n in range(number, number + 1000) for one in hop(n, 10, 0, "shop")]
        add(store, "", *spans, at=NOW + number)
        _, steps = end(graph.follow(store, NOW + number))
        assert steps >= 2
        assert graph.held <= most
    found, _ = end(graph.shown(NOW + traces))
    ((names, edge),) = found.items()
    assert names == ("spangate", "shop")
    assert edge.all.calls == pytest.approx(traces, rel=0.3)


def test_what_is_gone_before_it_is_seen_begins_rates_anew() -> None:
    store = Ring(20_000, 0)
    desk = Desk(store)
    demo(store, 1, at=NOW)
    assert shown(store, NOW + 20 * SECOND, desk)["edges"][0]["calls"] == 1
    for number in range(100):
        demo(store, 100 + number, at=NOW + 50 * SECOND)
    left = len(store.batches()) // 3
    edge = shown(store, NOW + 51 * SECOND, desk)["edges"][-1]
    assert edge["rate"] == pytest.approx(left, abs=1)


def test_two_viewers_count_once() -> None:
    store = ring()
    desk = Desk(store)
    for number in range(700):
        demo(store, number)
    both = [desk.ask("/api/map", "", NOW + 20 * SECOND) for _ in range(2)]
    replies = []
    while both:
        for steps in list(both):
            try:
                next(steps)
            except StopIteration as stop:
                replies.append(json.loads(stop.value.body))
                both.remove(steps)
    assert {e["calls"] for e in replies[-1]["edges"]} == {700}


def test_hostile_spans() -> None:
    store = ring()
    name = "<script>\u202e\x1b[31m" + "x" * 100_000
    add(store, name, span(1, 1, 1, kind=CLIENT), span(1, 2, 3), span(1, 3, 2, kind=CLIENT))
    add(store, name, span(1, 4, 4, kind=CLIENT, attributes={"peer.service": name}))
    add(store, "", *hop(2, 10, 11, name), *hop(2, 11, 10, name))
    for node in shown(store)["nodes"]:
        assert len(node["name"]) <= 200


def test_a_trace_without_end_does_not_fill_the_memory() -> None:
    store, graph = Ring(256 << 20, 0), Graph()
    for number in range(6):
        spans = [span(1, 1 + number * 1000 + n, kind=CLIENT) for n in range(1000)]
        add(store, "a", *spans, at=NOW)
    end(graph.follow(store, NOW))
    assert graph.held == MOST_PIECES


@pytest.mark.parametrize("took", [0, 999, 1000, 2000, 3000, 5 * MS, 123 * MS, 7 * SECOND])
def test_times_are_told_within_a_tenth(took: int) -> None:
    counts = Counts(took={bucket_of(took): 1})
    assert counts.quantile_ms(0.5) == pytest.approx(max(took, 1000) / MS, rel=0.1)


def test_nothing_is_there() -> None:
    assert shown(ring()) == {"nodes": [], "edges": []}
    assert ask(Desk(ring()), "/api/map/x").status == 404
    assert Counts().quantile_ms(0.99) == 0
