"""A question over memory and disk: everything once, the latest first, nothing read in vain."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from proxy.recent.desk import Desk
from proxy.recent.query import Query
from proxy.recent.ring import Ring
from proxy.recent.search import MOST_OPEN, SKEW, Found, payload_of, search, trace_of
from proxy.recent.view import View, recall
from tests.collector.recent_disk.samples import (
    NOW,
    SECOND,
    Store,
    found_by_id,
    record,
    spans,
    stepped,
    store,
    trace_id,
)

SMALL = 4 * 1024 * 1024  # files of 256 kB
MINUTE = 60 * SECOND


def found(one: Store, **query: Any) -> Found:
    result: Found = stepped(search(View(one.ring, one.archive), Query(**query)))
    return result


def ids(result: Found) -> list[bytes]:
    return [summary.trace_id for summary in result.traces]


def asked(one: Store, target: str) -> tuple[int, str]:
    desk = Desk(one.ring)
    desk.archive = one.archive
    reply = stepped(desk.ask(target, "", NOW))
    return reply.status, reply.body.decode()


def test_what_is_in_memory_and_on_disk_is_there_once(tmp_path: Path) -> None:
    with store(tmp_path) as one:
        for number in range(1, 6):
            one.add(spans(number, at=NOW + number * SECOND))
        one.settle()
        result = found(one)
        assert ids(result) == [trace_id(number) for number in (5, 4, 3, 2, 1)]
        assert [summary.spans for summary in result.traces] == [1] * 5
        assert (result.spans, result.all, result.more) == (5, 5, False)


def test_what_memory_has_let_go_of_comes_from_disk(tmp_path: Path) -> None:
    with store(tmp_path, size=5000) as one:
        for number in range(1, 41):
            one.add(spans(number, at=NOW + number * SECOND))
        one.settle()
        assert 0 < len(one.ring.batches()) < 20
        result = found(one)
        assert ids(result) == [trace_id(number) for number in range(40, 0, -1)]
        assert [summary.spans for summary in result.traces] == [1] * 40


def test_failed_traces_that_memory_keeps_longer_are_there_once(tmp_path: Path) -> None:
    with store(tmp_path, size=5000) as one:
        one.add(spans(1, own=1, error=True))
        for number in range(2, 41):
            one.add(spans(number))
        one.settle()
        assert one.ring.kept()
        (failed,) = found(one, error=True).traces
        assert (failed.trace_id, failed.spans, failed.errors) == (trace_id(1), 1, 1)


def test_failed_traces_that_are_in_memory_alone_are_found(tmp_path: Path) -> None:
    with store(tmp_path / "disk", size=5000) as one:
        one.ring.followers.clear()  # as if it had not been taken
        one.add(spans(1, error=True))
        one.ring.followers.append(one.archive.add)
        for number in range(2, 41):
            one.add(spans(number))
        one.settle()
        assert ids(found(one, error=True)) == [trace_id(1)]


def test_a_trace_that_is_partly_on_disk_is_whole(tmp_path: Path) -> None:
    with store(tmp_path) as one:
        one.add(spans(1, own=1, at=NOW, took=3 * SECOND))
        one.add(record(1, "before"), signal="logs")
        one.settle()
    with store(tmp_path) as other:
        found_by_id(other.archive, 1)
        other.add(spans(1, own=2, parent=1, service="orders", at=NOW + SECOND, error=True))
        other.add(record(1, "after"), signal="logs")
        (summary,) = found(other).traces
        assert (summary.spans, summary.errors, summary.service) == (2, 1, "shop")
        assert summary.end - summary.start == 4 * SECOND
        assert sorted(summary.services) == ["orders", "shop"]
        status, body = asked(other, f"/api/traces/{trace_id(1).hex()}")
        assert status == 200
        assert body.count('"span_id":"00000000') == 2
        assert all(word in body for word in ("before", "after", "orders", "shop"))


def test_after_a_restart_traces_are_found_by_whatever_they_have(tmp_path: Path) -> None:
    with store(tmp_path) as one:
        one.add(spans(1, at=NOW - MINUTE, took=SECOND, tenant="t1"), at=NOW - MINUTE)
        one.add(spans(2, at=NOW, took=SECOND // 10, error=True, service="orders"))
        one.add(spans(3, at=NOW, name="POST /x", **{"http.route": "/x"}))
    with store(tmp_path) as other:
        found_by_id(other.archive, 1)  # it is open
        for query, wanted in CASES:
            assert sorted(ids(found(other, **query))) == sorted(map(trace_id, wanted)), query


CASES: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [1, 2, 3]),
    ({"error": True}, [2]),
    ({"error": False}, [1, 3]),
    ({"service": "orders"}, [2]),
    ({"route": "/x"}, [3]),
    ({"operation": "POST /x"}, [3]),
    ({"shortest": SECOND}, [1]),
    ({"longest": SECOND // 50}, [3]),
    ({"tags": {"tenant": "t1"}}, [1]),
    ({"text": "tenant=t1"}, [1]),
    ({"text": trace_id(2).hex()}, [2]),
    ({"since": NOW - 30 * SECOND}, [2, 3]),
    ({"until": NOW - 30 * SECOND}, [1]),
    ({"service": "nobody"}, []),
]


@pytest.mark.parametrize("limit", [1, 5, 1000])
def test_the_latest_are_read_and_the_rest_is_not(tmp_path: Path, limit: int) -> None:
    many = 120
    with store(tmp_path, SMALL * 16) as one:
        for number in range(many):
            at = NOW + number * MINUTE
            one.add(spans(number, at=at, text="x" * 200_000), at=at)
            one.settle()
    with store(tmp_path, SMALL * 16) as other:
        found_by_id(other.archive, 1)
        result = found(other, limit=limit)
        assert ids(result) == [trace_id(n) for n in range(many - 1, -1, -1)][:limit]
        assert result.more == (limit < many)
        assert result.spans == many if limit > many else result.spans <= limit + 10


def test_a_time_that_is_asked_for_spares_the_rest(tmp_path: Path) -> None:
    with store(tmp_path, SMALL * 16) as one:
        for number in range(100):
            at = NOW + number * MINUTE
            one.add(spans(number, at=at, text="x" * 200_000), at=at)
            one.settle()
    with store(tmp_path, SMALL * 16) as other:
        found_by_id(other.archive, 1)
        result = found(other, since=NOW + 95 * MINUTE, limit=1000)
        assert ids(result) == [trace_id(n) for n in range(99, 94, -1)]
        assert result.spans <= 10


def test_clocks_that_are_a_little_ahead_cost_nothing(tmp_path: Path) -> None:
    with store(tmp_path) as one:
        one.add(spans(1, own=2, at=NOW + SKEW // 2, took=0, tenant="t1"))
        one.settle()
    with store(tmp_path) as other:
        found_by_id(other.archive, 1)
        other.add(spans(1, own=1, at=NOW + SKEW // 2 + 1, took=1))
        other.add(spans(2, at=NOW - SECOND))
        (summary,) = found(other, tags={"tenant": "t1"}).traces
        assert summary.spans == 2


def test_payloads_of_both_are_one_request(tmp_path: Path) -> None:
    with store(tmp_path) as one:
        one.add(spans(1, own=1))
        one.settle()
    with store(tmp_path) as other:
        found_by_id(other.archive, 1)
        other.add(spans(1, own=2))
        view = View(other.ring, other.archive)
        assert len(trace_of(view, trace_id(1))) == 1
        stepped(recall(view, [trace_id(1)]))
        stepped(recall(view, [trace_id(1), trace_id(2)]))  # again, and one that is nowhere
        assert len(trace_of(view, trace_id(1))) == 2
        again = Ring(1 << 20, 0)
        again.add("traces", stepped(payload_of(view, trace_id(1))), None, 2, NOW)
        assert [span.span_id for span in trace_of(again, trace_id(1))] == [
            span.span_id for span in trace_of(view, trace_id(1))
        ]


def test_files_that_went_meanwhile_cost_their_traces_alone(tmp_path: Path) -> None:
    with store(tmp_path) as one:
        one.add(spans(1))
        one.settle()
    with store(tmp_path) as other:
        found_by_id(other.archive, 1)
        other.add(spans(2))
        view = View(other.ring, other.archive)
        next(tmp_path.glob("*1.batches")).unlink()
        assert ids(stepped(search(view, Query()))) == [trace_id(2)]
        assert other.troubles == []


def test_a_search_waits_for_what_is_read_in_another_thread(tmp_path: Path) -> None:
    """So that the loop goes on meanwhile."""
    with store(tmp_path) as one:
        one.add(spans(1))
        one.settle()
    with store(tmp_path) as other:
        found_by_id(other.archive, 1)
        steps = search(View(other.ring, other.archive), Query())
        waits = [step for step in itertools.islice(steps, 1) if step is not None]
        assert [len(batches) for batches, _ in (wait.result(30) for wait in waits)] == [1]


def test_a_search_in_which_no_trace_ends_is_bounded(tmp_path: Path) -> None:
    """Spans of long ago, of which more may always come."""
    lot = 500
    with store(tmp_path, 1 << 30, size=1 << 16) as one:
        for first in range(0, MOST_OPEN + 3 * lot, lot):
            one.add(spans(*range(first, first + lot), at=SECOND), lot)
        one.settle()
        assert found(one, limit=10).all >= MOST_OPEN + 3 * lot
