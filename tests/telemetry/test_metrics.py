from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.telemetry import instruments
from proxy.telemetry.metrics import OVERFLOW, SLICE, Exemplar, Point, Registry, Report
from proxy.telemetry.report import decode, encode
from proxy.telemetry.totals import Totals

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

    histogram.record(value)

    assert histogram.counts[bucket] == sum(histogram.counts) == 1


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


def test_a_lag_that_nobody_measures_any_more_is_not_zero() -> None:
    """Whoever is woken by a lag would take the death of its reader for its end."""
    totals, one, other = Totals(), Registry(), Registry()
    for registry in (one, other):
        registry.number(instruments.CONSUMER_LAG, OK).value = 7
        totals.apply(registry, registry.report())
    totals.retire(one)
    assert shown(totals) == {(instruments.CONSUMER_LAG, OK): 7}
    totals.retire(other)
    assert shown(totals) == {}


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
        histogram.record_traced(MS, trace, b"span", time)
        totals.apply(worker, registry.report())

    point = shown(totals)[instruments.SERVER_DURATION, OK]
    assert isinstance(point, Point)
    assert point.exemplars[0] == Exemplar(b"new", b"span", MS, 3)
    assert point.exemplars[1:] == (None,) * 14


NAMES = st.text(max_size=8)
ANY_ATTRIBUTES = st.lists(
    st.tuples(NAMES, st.text(max_size=8) | st.booleans() | st.integers(-(2**63), 2**64 - 1)),
    max_size=3,
).map(tuple)
KEYS = st.tuples(NAMES, ANY_ATTRIBUTES)
EXEMPLARS = st.none() | st.builds(
    Exemplar,
    st.binary(max_size=32),
    st.binary(max_size=16),
    st.integers(0, 2**62),
    st.integers(0, 2**62),
)
POINTS = st.builds(
    Point,
    st.lists(st.integers(0, 2**63), max_size=15).map(tuple),
    st.integers(0, 2**90),
    st.lists(EXEMPLARS, max_size=15).map(tuple),
)
REPORTS = st.builds(
    Report,
    st.dictionaries(KEYS, st.integers(-(2**63), 2**64 - 1), max_size=3),
    st.dictionaries(KEYS, POINTS, max_size=3),
    st.lists(KEYS, max_size=3),
)


@given(REPORTS)
def test_a_report_travels_between_processes(report: Report) -> None:
    assert decode(encode(report)) == report


@pytest.mark.parametrize("payload", [b"", b"\x93\x90\x90", b"\x93\x90\x90\xa1x", b"\x80", b"\xc1"])
def test_what_is_no_report_is_refused(payload: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode(payload)


def test_a_pass_comes_in_slices_that_hold_everything() -> None:
    registry, totals = Registry(cap=2000), Totals(cap=2000)
    for route in range(1000):
        registry.histogram(instruments.SERVER_DURATION, (("r", route),)).record(MS)
        registry.number(instruments.RETRIES, (("r", route),)).value += 1
    slices = list(registry.reports(1.0))
    for report in slices:
        assert len(report.numbers) + len(report.histograms) <= SLICE
        totals.apply(1, report)

    assert len(shown(totals)) == 2000
    assert not any(registry.reports(2.0))


def passing(cap: int, forget: float) -> tuple[Registry, Totals]:
    return Registry(cap, forget), Totals(cap, forget)


def test_endpoints_that_pass_by_do_not_use_up_the_cap() -> None:
    """Ten thousand endpoints, of which fifty live at a time."""
    registry, totals = passing(cap=100, forget=5.0)
    for second in range(1000):
        for endpoint in range(second * 10, second * 10 + 10):
            attributes = (("server.address", f"10.0.0.{endpoint}"),)
            registry.number(instruments.UPSTREAM_CREATED, attributes).value += 1
            registry.histogram(instruments.CLIENT_DURATION, attributes).record(MS)
        totals.apply(1, registry.report(float(second)), float(second))

    found = shown(totals)
    assert len(found) <= 200
    assert (instruments.UPSTREAM_CREATED, (("server.address", "10.0.0.9999"),)) in found
    assert not any(key[1] == OVERFLOW for key in found)
    assert not any(key[0] == instruments.OVERFLOWED for key in found)


def test_a_series_that_comes_back_starts_anew() -> None:
    registry, totals = passing(cap=10, forget=5.0)
    first = registry.histogram(instruments.SERVER_DURATION, OK)
    first.record(MS)
    totals.apply(1, registry.report(0.0), 0.0)
    totals.apply(1, registry.report(5.0), 5.0)
    assert (instruments.SERVER_DURATION, OK) in shown(totals), "not over yet"
    totals.apply(1, registry.report(5.1), 5.1)
    assert not first.kept
    assert shown(totals) == {}

    registry.histogram(instruments.SERVER_DURATION, OK).record(MS)
    totals.apply(1, registry.report(6.0), 6.0)
    point = shown(totals)[instruments.SERVER_DURATION, OK]
    assert isinstance(point, Point)
    assert sum(point.counts) == 1


def test_what_is_open_or_one_of_its_kind_is_not_forgotten() -> None:
    registry, totals = passing(cap=1, forget=5.0)
    registry.number(instruments.ACTIVE, (("url.scheme", "http"),)).value = 2
    registry.number(instruments.DOWNSTREAM_TOTAL).value = 3
    for route in ("a", "b"):
        registry.number(instruments.RETRIES, (("route", route),)).value += 1
    for now in (0.0, 100.0, 200.0):
        totals.apply(1, registry.report(now), now)

    assert shown(totals) == {
        (instruments.ACTIVE, (("url.scheme", "http"),)): 2,
        (instruments.DOWNSTREAM_TOTAL, ()): 3,
        (instruments.RETRIES, OVERFLOW): 1,
        (instruments.OVERFLOWED, (("spangate.instrument", instruments.RETRIES),)): 1,
    }
    registry.number(instruments.ACTIVE, (("url.scheme", "http"),)).value = 0
    for now in (300.0, 400.0):
        totals.apply(1, registry.report(now), now)
    assert (instruments.ACTIVE, (("url.scheme", "http"),)) not in shown(totals)


def test_what_one_worker_forgot_stays_while_another_counts_it() -> None:
    totals = Totals(forget=5.0)
    quiet, busy = Registry(forget=5.0), Registry(forget=5.0)
    for registry in (quiet, busy):
        registry.number(instruments.RETRIES, OK).value = 4
        totals.apply(registry, registry.report(0.0), 0.0)
    busy.number(instruments.RETRIES, OK).value = 5
    for registry in (quiet, busy):
        totals.apply(registry, registry.report(10.0), 10.0)
    assert shown(totals) == {(instruments.RETRIES, OK): 9}

    quiet.number(instruments.RETRIES, OK).value = 1
    totals.apply(quiet, quiet.report(11.0), 11.0)
    assert shown(totals) == {(instruments.RETRIES, OK): 10}


def test_what_the_dead_left_is_forgotten_too() -> None:
    totals, registry = Totals(forget=5.0), Registry(forget=5.0)
    registry.number(instruments.RETRIES, OK).value = 4
    registry.number(instruments.RETRIES, BAD).value = 1
    totals.apply(1, registry.report(0.0), 0.0)
    totals.retire(1, 1.0)
    other = Registry(forget=5.0)
    other.number(instruments.RETRIES, BAD).value = 1
    totals.apply(2, other.report(2.0), 2.0)
    assert shown(totals) == {(instruments.RETRIES, OK): 4, (instruments.RETRIES, BAD): 2}

    totals.apply(2, other.report(6.1), 6.1)
    assert shown(totals) == {(instruments.RETRIES, BAD): 2}


def test_what_is_dropped_goes_at_once_and_may_come_again() -> None:
    totals, registry, other = Totals(), Registry(cap=1), Registry()
    name, part = instruments.CONSUMER_LAG, (("messaging.destination.name", "orders"),)
    registry.number(name, part).value = 7
    totals.apply(1, registry.report(0.0), 0.0)
    other.number(name, part).value = 2
    totals.apply(2, other.report(0.0), 0.0)
    registry.drop(name, part)
    registry.drop(name, part)
    totals.apply(1, registry.report(1.0), 1.0)
    assert shown(totals) == {(name, part): 2}
    other.drop(name, part)
    other.number(name, part).value = 0
    totals.apply(2, other.report(1.0), 1.0)
    assert shown(totals) == {(name, part): 0}
    registry.number(name, part).value = 3
    totals.apply(1, registry.report(2.0), 2.0)
    assert shown(totals) == {(name, part): 3}
    other.drop(name, part)
    registry.drop(name, part)
    for number, one in ((1, registry), (2, other)):
        totals.apply(number, one.report(3.0), 3.0)
    assert shown(totals) == {}
