"""What is kept: the latest, within its size, and of what failed or was slow whole traces longer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.otlp.wire import count
from proxy.recent.ring import OVERHEAD, PIECE, Ring, Stored
from proxy.recent.search import payload_of, trace_of
from tests.recent.samples import (
    CLIENT,
    MS,
    NOW,
    OWN,
    add,
    end,
    entries,
    hop,
    request,
    ring,
    span,
    trace_id,
)


def sizes(store: Ring) -> tuple[int, int, int]:
    """Bytes and spans, counted anew."""
    latest, kept = store.batches(), store.kept()
    spans = sum(one.items for one in (*latest, *kept) if one.signal == "traces")
    return sum(one.size for one in latest), sum(one.size for one in kept), spans


def record(trace: int, body: str = "x") -> bytes:
    made = ExportLogsServiceRequest()
    one = made.resource_logs.add().scope_logs.add().log_records.add(trace_id=trace_id(trace))
    one.body.string_value = body
    return made.SerializeToString()


def fill(store: Ring, first: int, amount: int, **more: Any) -> None:
    for number in range(first, first + amount):
        add(store, "", *hop(number, 10, 0, "shop", **more))


def test_what_is_stored_is_there_with_its_numbers() -> None:
    store = ring()
    add(store, "", *hop(1, 10, 0, "shop"), at=5)
    add(store, "a", span(1, 20, 11), at=6)
    store.add("logs", record(1), None, 1, 7)
    first, second, third = store.batches()
    assert [one.number for one in (first, second, third)] == [1, 2, 3]
    assert [one.at for one in (first, second, third)] == [5, 6, 7]
    assert (first.is_own, second.is_own) == (True, False)
    assert [s.service for s in first.spans()] == ["spangate", "spangate"]
    assert second.spans()[0].service == "a"
    assert third.records()[0].body == "x"
    assert (third.spans(), first.records()) == ([], [])
    assert store.batches(2) == [third]
    assert store.batches(3) == []
    assert store.spans == 3
    told = ExportTraceServiceRequest.FromString(first.payload)
    assert len(told.resource_spans[0].scope_spans[0].spans) == 2


def test_the_oldest_make_room_and_sizes_are_kept() -> None:
    store = Ring(20_000, 0)
    fill(store, 0, 200)
    assert store.used <= 20_000
    assert (store.used, store.used_failed, store.spans) == sizes(store)
    assert store.kept() == []
    assert trace_of(store, trace_id(199))
    assert not trace_of(store, trace_id(0))
    assert store.batches()[-1].number == 200


def test_failed_traces_are_kept_whole() -> None:
    store = Ring(20_000, 20_000)
    add(store, "a", span(5, 20, 11), span(6, 20, 11))
    add(store, "", *hop(5, 10, 0, "shop"), *hop(6, 10, 0, "shop"))
    store.add("logs", record(5), None, 1, NOW)
    store.add("logs", record(6), None, 1, NOW)
    add(store, "", span(5, 12, 10, kind=CLIENT, error=True))
    fill(store, 100, 200)
    assert len(trace_of(store, trace_id(5))) == 4
    assert trace_of(store, trace_id(6)) == []
    assert [r.trace_id for one in store.kept() for r in one.records()] == [trace_id(5)]
    assert store.used_failed <= 20_000
    assert (store.used, store.used_failed, store.spans) == sizes(store)
    told = ExportTraceServiceRequest.FromString(end(payload_of(store, trace_id(5)))[0])
    assert sum(len(s.spans) for r in told.resource_spans for s in r.scope_spans) == 4


def test_slow_traces_are_kept_too() -> None:
    store = Ring(40_000, 40_000)
    fill(store, 0, 300)
    fill(store, 1000, 1, took=900 * MS)
    fill(store, 2000, 200)
    assert len(trace_of(store, trace_id(1000))) == 2


def test_the_second_ring_has_its_size_too() -> None:
    store = Ring(10_000, 8_000)
    fill(store, 0, 300, error=True)
    assert store.used_failed <= 8_000
    assert (store.used, store.used_failed, store.spans) == sizes(store)
    numbers = [one.number for one in (*store.kept(), *store.batches())]
    assert numbers == sorted(numbers)
    assert numbers == list(range(numbers[0], 301))


def test_a_ring_of_no_size_keeps_nothing_and_tells_who_follows() -> None:
    store = Ring(0, 0)
    followed: list[Stored] = []
    store.followers.append(followed.append)
    store.add("traces", entries(hop(1, 10, 0, "shop")), OWN, 2, NOW)
    assert store.is_off
    assert [len(one.spans()) for one in followed] == [2]
    assert store.batches() == []
    assert (store.used, store.spans) == (0, 0)


def test_another_size() -> None:
    store = ring()
    fill(store, 0, 100)
    store.resize(10_000, 0)
    assert store.used <= 10_000
    store.resize(0, 0)
    assert (store.used, store.spans, store.batches()) == (0, 0, [])


@pytest.mark.parametrize("service", ["", "a"])
def test_huge_batches_are_cut(service: str) -> None:
    store = Ring(PIECE * 5 // 2, 0)
    fat = [span(n, 1, attributes={"text": "x" * 10_000}) for n in range(400)]
    add(store, service, *fat)
    stored = store.batches()
    assert 1 < len(stored) <= 3
    assert all(one.size <= PIECE + OVERHEAD for one in stored)
    assert all(one.items == count("traces", one.payload) for one in stored)
    assert (store.used, store.used_failed, store.spans) == sizes(store)
    assert trace_of(store, trace_id(399))[0].attributes == {"text": "x" * 10_000}
    assert not trace_of(store, trace_id(0))


def test_a_span_that_is_larger_than_all_of_it() -> None:
    store = Ring(100_000, 0)
    add(store, "a", span(1, 1, attributes={"text": "x" * 3 * PIECE}))
    assert (store.used, store.batches()) == (0, [])


def test_some_traces_of_a_batch() -> None:
    both = request("a", [span(1, 1), span(2, 2)]) + request("b", [span(1, 3)], note="kept")
    own = Stored("traces", entries([span(1, 1), span(2, 2), span(1, 3)]), OWN, 3, NOW)
    for stored in (Stored("traces", both, None, 3, NOW), own):
        stored.number = 7
        only = stored.only({trace_id(1): None})
        assert only is not None
        assert (only.items, only.number, only.at, only.is_own) == (2, 7, NOW, stored.is_own)
        assert [one.span_id[-1] for one in only.spans()] == [1, 3]
        assert [dict(s.resource) for s in only.spans()] == [
            dict(s.resource) for s in stored.spans({trace_id(1)})
        ]
        assert stored.only({trace_id(9): None}) is None
    logs = Stored("logs", record(1) + record(2), None, 2, NOW)
    only = logs.only({trace_id(2): None})
    assert only is not None
    assert [one.trace_id for one in only.records()] == [trace_id(2)]


@given(st.binary(max_size=200), st.sampled_from(["traces", "logs"]))
def test_any_bytes_can_be_stored_and_asked(data: bytes, signal: str) -> None:
    store = Ring(2000, 2000)
    for envelope in (None, OWN):
        store.add(signal, data, envelope, 1, NOW)
        for stored in store.batches():
            assert isinstance(stored.spans(), list)
            assert isinstance(stored.records(), list)
            stored.only({b"": None, data[:16]: None})
    add(store, "", *hop(1, 10, 0, "shop", error=True))
    fill(store, 2, 10)
    assert store.used <= 2000
