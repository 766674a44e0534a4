from __future__ import annotations

import pickle
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.telemetry import instruments
from proxy.telemetry.metrics import OVERFLOW, Exemplar, Point, Registry, Totals

OK = (("http.response.status_code", 200),)
BAD = (("http.response.status_code", 500),)
MS = 1_000_000


def shown(totals: Totals) -> dict[tuple[str, object], int | Point]:
    return {(s.instrument.name, s.attributes): s.value for s in totals.series()}


@pytest.mark.parametrize(
    ("value", "bucket"),
    [(0, 0), (5 * MS, 0), (5 * MS + 1, 1), (10_000 * MS, 13), (10_000 * MS + 1, 14)],
)
def test_a_boundary_belongs_to_the_bucket_below_it(value: int, bucket: int) -> None:
    histogram = Registry().histogram(instruments.SERVER_DURATION, OK)

    assert histogram.record(value) == bucket
    assert histogram.point().counts[bucket] == 1


def test_a_report_holds_only_what_changed() -> None:
    registry = Registry()
    registry.number(instruments.DOWNSTREAM_TOTAL).value = 3
    registry.histogram(instruments.SERVER_DURATION, OK).record(MS)
    first = registry.report()
    registry.histogram(instruments.SERVER_DURATION, BAD).record(MS)
    second = registry.report()

    assert first.numbers == {(instruments.DOWNSTREAM_TOTAL, ()): 3}
    assert list(first.histograms) == [(instruments.SERVER_DURATION, OK)]
    assert second.numbers == {}
    assert list(second.histograms) == [(instruments.SERVER_DURATION, BAD)]
    assert registry.report().histograms == {}


def test_a_counter_is_shown_before_it_counted_anything() -> None:
    registry = Registry()
    registry.number(instruments.DOWNSTREAM_TOTAL)

    assert registry.report().numbers == {(instruments.DOWNSTREAM_TOTAL, ()): 0}


Event = tuple[str, int, int]  # what happens, to which worker, with what value
EVENTS = st.lists(
    st.tuples(st.sampled_from(["measure", "open", "report", "die"]), st.integers(0, 2),
              st.integers(0, 20_000 * MS)),
    max_size=60,
)  # fmt: skip


@settings(deadline=None)  # a busy machine is not a failure
@given(EVENTS)
def test_totals_are_what_all_workers_recorded_and_never_fall(events: list[Event]) -> None:
    totals, registries, generation = Totals(), [Registry() for _ in range(3)], Counter[int]()
    recorded: list[int] = []
    before = 0
    for what, worker, value in events:
        registry = registries[worker]
        if what == "measure":
            registry.histogram(instruments.SERVER_DURATION, OK).record(value)
            registry.number(instruments.DOWNSTREAM_TOTAL).value += 1
            recorded.append(value)
        elif what == "open":
            registry.number(instruments.DOWNSTREAM_OPEN).value += 1
        else:
            totals.apply((worker, generation[worker]), registry.report())
        if what == "die":
            totals.retire((worker, generation[worker]))
            generation[worker] += 1
            registries[worker] = Registry()
        now = shown(totals).get((instruments.DOWNSTREAM_TOTAL, ()), 0)
        assert isinstance(now, int)
        assert now >= before
        before = now

    for worker, registry in enumerate(registries):
        totals.apply((worker, generation[worker]), registry.report())
    final = shown(totals)
    open_now = sum(r.number(instruments.DOWNSTREAM_OPEN).value for r in registries)
    assert final.get((instruments.DOWNSTREAM_OPEN, ()), 0) == open_now
    if recorded:
        point = final[instruments.SERVER_DURATION, OK]
        assert isinstance(point, Point)
        assert (sum(point.counts), point.sum) == (len(recorded), sum(recorded))
        assert final[instruments.DOWNSTREAM_TOTAL, ()] == len(recorded)


def test_a_gauge_of_a_dead_worker_is_zero_and_still_shown() -> None:
    totals, registry = Totals(), Registry()
    registry.number(instruments.ACTIVE).value = 7
    totals.apply(1, registry.report())
    totals.retire(1)

    assert shown(totals) == {(instruments.ACTIVE, ()): 0}


def test_retiring_a_worker_that_said_nothing_changes_nothing() -> None:
    totals = Totals()
    totals.retire("never heard of")

    assert shown(totals) == {}


def test_beyond_the_cap_series_are_folded_into_one_and_counted() -> None:
    registry, totals = Registry(cap=3), Totals(cap=3)
    for status in range(10):
        registry.histogram(instruments.SERVER_DURATION, (("s", status),)).record(MS)
    totals.apply(1, registry.report())

    series = {
        key[1]: v for key, v in shown(totals).items() if key[0] == "http.server.request.duration"
    }
    assert len(series) == 4
    overflow = series[OVERFLOW]
    assert isinstance(overflow, Point)
    assert sum(overflow.counts) == 7
    counted = (("spangate.instrument", instruments.SERVER_DURATION),)
    assert shown(totals)[instruments.OVERFLOWED, counted] == 7


def test_the_cap_holds_for_the_sum_of_workers_that_saw_different_things() -> None:
    totals = Totals(cap=3)
    for worker in range(3):
        registry = Registry(cap=3)
        for route in range(3):
            registry.number(instruments.RETRIES, (("route", f"{worker}-{route}"),)).value += 1
        totals.apply(worker, registry.report())

    series = shown(totals)
    assert len(series) == 4
    assert series[instruments.RETRIES, OVERFLOW] == 6
    assert sum(value for value in series.values() if isinstance(value, int)) == 9


def test_the_newest_exemplar_of_each_bucket_is_kept() -> None:
    totals = Totals()
    for worker, (trace, time) in enumerate([(b"old", 1), (b"new", 3), (b"mid", 2)]):
        registry = Registry()
        histogram = registry.histogram(instruments.SERVER_DURATION, OK)
        histogram.exemplars[histogram.record(MS)] = (trace, b"span", MS, time)
        totals.apply(worker, registry.report())

    point = shown(totals)[instruments.SERVER_DURATION, OK]
    assert isinstance(point, Point)
    assert point.exemplars[0] == Exemplar(b"new", b"span", MS, 3)
    assert point.exemplars[1:] == (None,) * 14


def test_a_report_travels_between_processes() -> None:
    registry = Registry()
    registry.number(instruments.REJECTED, (("spangate.reason", "bad_request"),)).value = 2
    histogram = registry.histogram(instruments.SERVER_DURATION, OK)
    histogram.exemplars[histogram.record(MS)] = (b"t", b"s", MS, 1)
    report = registry.report()

    assert pickle.loads(pickle.dumps(report)) == report
