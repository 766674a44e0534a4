from __future__ import annotations

import asyncio
import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from proxy.collector.batch import Batch
from proxy.otlp.wire import WireError
from proxy.telemetry.protobuf import delimited
from tests.collector.kit import Place
from tests.collector.tail_kit import Clock, batch, ids, joined, span, spans_in

ERRORS = """policies = [
    { name = "errors", type = "status_code", status_code = { status_codes = ["ERROR"] } },
]
"""
ALL = 'policies = [{ name = "all", type = "always_sample" }]\n'
HALF = """policies = [
    { name = "half", type = "probabilistic", probabilistic = { sampling_percentage = 50 } },
]
"""
NAME = "otelcol_processor_tail_sampling_"


class Stand:
    """A tail sampler with a clock that the test turns."""

    def __init__(self, toml: str) -> None:
        self.clock = Clock()
        self.place = Place("processor", "tail_sampling", now_ns=self.clock)
        self.stage = self.place.make('decision_wait = "10s"\n' + toml)

    def send(self, given: Batch) -> bool:
        return self.place.send(given)

    def after(self, seconds: float) -> None:
        """Time passes, and whatever is due is decided."""
        self.clock.step(seconds)
        while self.stage.tick() <= 0:
            assert self.place.ledger.balanced
        assert self.place.ledger.balanced

    @property
    def kept(self) -> set[int]:
        return ids(self.place.out)

    @property
    def dropped(self) -> dict[str, int]:
        return self.place.ledger.dropped

    def counts(self) -> dict[str, int]:
        found = {}
        for instrument, attributes, value, _ in self.place.counters.series():
            labels = [str(v) for k, v in attributes if k != "processor"]
            found[" ".join([instrument.name.removeprefix(NAME), *labels])] = value
        return found


async def test_a_trace_is_kept_or_dropped_whole() -> None:
    stand = Stand(ERRORS)
    stand.send(batch([span(1, 1), span(2, 2)]))
    stand.after(9)
    stand.send(batch([span(1, 3, parent=1, status=2), span(2, 4, parent=2)], service="other"))
    assert stand.place.out == []
    assert stand.stage.held("traces") == 4
    stand.after(1)
    assert stand.kept == {1}
    assert len(spans_in(stand.place.out)) == 2
    assert stand.dropped == {"sampled": 2}
    assert stand.stage.held("traces") == 0


async def test_resource_scope_and_spans_come_out_as_they_came_in() -> None:
    stand = Stand(ALL + "record_policy = false")
    given = batch([span(1, 1, attributes={"a": "b"}), span(1, 2, parent=1)], zone="z")
    stand.send(given)
    stand.after(10)
    assert [b.message() for b in stand.place.out] == [given.message()]


async def test_the_policy_is_recorded_on_the_scope() -> None:
    stand = Stand(ERRORS)
    stand.send(batch([span(1, status=2)]))
    stand.after(10)
    (out,) = stand.place.out
    scope = out.message().resource_spans[0].scope_spans[0].scope  # type: ignore[attr-defined]
    assert scope.name == "lib"
    assert [(a.key, a.value.string_value) for a in scope.attributes] == [
        ("tailsampling.policy", "errors")
    ]


async def test_late_spans_follow_the_decision() -> None:
    stand = Stand(ERRORS)
    stand.send(batch([span(1, status=2), span(2)]))
    stand.after(10)
    stand.send(batch([span(1, 5, parent=1), span(2, 6, parent=2, status=2)]))
    assert (stand.kept, len(spans_in(stand.place.out))) == ({1}, 2)
    assert stand.dropped == {"sampled": 2}
    counts = stand.counts()
    assert (counts["late_spans true"], counts["late_spans false"]) == (1, 1)


async def test_decisions_are_remembered_for_so_many() -> None:
    stand = Stand(ERRORS + "decision_cache = { non_sampled_cache_size = 2 }")
    stand.send(batch([span(n) for n in (1, 2, 3)]))
    stand.after(10)
    stand.send(batch([span(n, 9, parent=1, status=2) for n in (1, 2, 3)]))
    assert stand.stage.held("traces") == 1  # trace 1 is not known any more
    assert stand.dropped == {"sampled": 5}


async def test_a_root_ends_the_wait_sooner() -> None:
    stand = Stand(ALL + 'decision_wait_after_root_received = "1s"')
    stand.send(batch([span(1, 2, parent=1), span(2, 3, parent=9)]))
    stand.after(2)
    assert stand.kept == set()
    stand.send(batch([span(1)]))
    stand.after(1)
    assert stand.kept == {1}
    stand.after(7)
    assert stand.kept == {1, 2}


async def test_without_a_test_turning_it_the_clock_runs() -> None:
    place = Place("processor", "tail_sampling")
    stage = place.make('decision_wait = "20ms"\n' + ALL)
    place.send(batch([span(1)]))
    async with asyncio.timeout(20):
        while not place.out:
            await asyncio.sleep(0.005)
    await stage.stop(1)


async def test_when_there_is_no_room_the_oldest_is_decided_early() -> None:
    stand = Stand(ERRORS + "num_traces = 2")
    for n in (1, 2, 3, 4):
        stand.send(batch([span(n, status=2 if n == 1 else 0)]))
    assert stand.kept == {1}
    assert stand.dropped == {"sampled": 1}
    stand.send(batch([span(2, 9, parent=1, status=2)]))  # it follows what was decided early
    assert stand.dropped == {"sampled": 2}
    counts = stand.counts()
    assert counts["sampling_trace_dropped_too_early"] == 2
    assert counts["sampling_traces_on_memory"] == 2


async def test_or_refused_where_that_is_wanted() -> None:
    stand = Stand(ALL + "num_traces = 2\nblock_on_overflow = true")
    assert stand.send(batch([span(1), span(2)]))
    assert stand.send(batch([span(1, 5, parent=1)]))
    assert not stand.send(batch([span(3), span(1, 6, parent=1)]))
    assert stand.place.account.refusal == "tail_sampling_full"
    assert stand.stage.held("traces") == 3
    stand.after(10)
    assert stand.send(batch([span(3)]))


async def test_what_never_fits_is_not_refused_for_ever() -> None:
    stand = Stand(ALL + "num_traces = 2\nblock_on_overflow = true")
    assert stand.send(batch([span(1), span(2), span(3)]))
    assert stand.kept == {1}


async def test_a_trace_that_is_too_large_goes() -> None:
    stand = Stand(ALL + 'maximum_trace_size_bytes = "300B"')
    stand.send(batch([span(1, n, parent=1) for n in range(1, 3)]))
    assert stand.stage.held("traces") == 2
    stand.send(batch([span(1, n, parent=1) for n in range(3, 9)]))
    stand.send(batch([span(1, 99, parent=1)]))
    stand.after(10)
    assert (stand.kept, stand.dropped) == (set(), {"sampled": 9})
    assert stand.counts()["traces_dropped_too_large"] == 1


async def test_many_that_are_due_at_once_are_judged_in_turns() -> None:
    stand = Stand(ALL)
    stand.send(batch([span(n) for n in range(1, 5001)]))
    stand.clock.step(10)
    assert stand.stage.tick() <= 0  # there is more to do
    assert 0 < stand.place.items < 5000
    stand.after(0)
    assert stand.place.items == 5000
    await stand.stage.stop(1)


async def test_while_nothing_behind_has_room_nothing_is_decided_or_taken() -> None:
    stand = Stand(ALL)
    stand.send(batch([span(1)]))
    stand.place.room = False
    stand.after(10)
    assert not stand.send(batch([span(2)]))
    assert stand.stage.held("traces") == 1
    stand.place.room = True
    assert stand.send(batch([span(2)]))
    assert stand.kept == {1}
    await stand.stage.stop(1)
    assert stand.kept == {1, 2}


@pytest.mark.parametrize(("drop", "kept"), [("false", {1}), ("true", set())])
async def test_at_the_end(drop: str, kept: set[int]) -> None:
    stand = Stand(ERRORS + f"drop_pending_traces_on_shutdown = {drop}")
    stand.send(batch([span(1, status=2), span(2)]))
    await stand.stage.stop(1)
    assert stand.kept == kept
    assert stand.place.ledger.balanced
    assert stand.dropped == ({"shutdown": 2} if drop == "true" else {"sampled": 1})


async def test_what_cannot_be_handed_on_at_the_end_is_counted() -> None:
    stand = Stand(ALL)
    stand.send(batch([span(1), span(2)]))
    stand.place.room = False
    await stand.stage.stop(0.06)
    assert stand.dropped == {"shutdown": 2}


async def test_malformed_spans_are_dropped_alone() -> None:
    stand = Stand(ERRORS)
    bad = delimited(1, span(1).trace_id) + delimited(2, span(1).span_id) + b"\x2a\x02\xff\xff"
    nameless = span(1)
    nameless.trace_id = b""
    request = delimited(1, delimited(2, delimited(2, bad)))
    stand.send(joined(batch([span(1, status=2)]), Batch("traces", request, 1), batch([nameless])))
    stand.after(10)
    assert len(spans_in(stand.place.out)) == 1
    assert stand.dropped == {"malformed": 2}


async def test_a_wrong_number_of_items_does_not_unbalance_the_books() -> None:
    stand = Stand(ALL)
    for items in (1, 9):
        stand.send(Batch("traces", batch([span(items, 1), span(items, 2)]).payload, items))
    stand.after(10)
    assert stand.place.ledger.exported == 4
    assert stand.dropped == {"malformed": 7}


async def test_garbage_is_refused_and_nothing_taken() -> None:
    stand = Stand(ALL)
    with pytest.raises(WireError):
        stand.send(Batch("traces", batch([span(1)]).payload + b"\xff", 1))
    assert stand.stage.held("traces") == 0


async def test_the_threshold_tells_what_a_trace_stands_for() -> None:
    stand = Stand(HALF)
    high = (1 << 56) - 1
    states = ["", "a=b", "ot=th:4", "ot=th:c;rv:ffffffffffffff,a=b"]
    spans = [span(high, n, parent=1, trace_state=s) for n, s in enumerate(states, 1)]
    stand.send(batch([*spans, span(1)]))
    stand.after(10)
    assert stand.kept == {high}
    assert [s.trace_state for s in spans_in(stand.place.out)] == [
        "ot=th:8",
        "ot=th:8,a=b",
        "ot=th:8",
        "ot=th:c;rv:ffffffffffffff,a=b",  # it may only be raised
    ]
    stand.send(batch([span(high, 9, parent=1)]))
    assert spans_in(stand.place.out)[-1].trace_state == "ot=th:8"


async def test_weights_add_up_to_all_traces() -> None:
    """Errors are kept for certain, a quarter of the rest: adjusted counts estimate all of them."""
    from proxy.collector.connectors.aggregate.weight import adjusted_count

    stand = Stand(
        """policies = [
        { name = "e", type = "status_code", status_code = { status_codes = ["ERROR"] } },
        { name = "q", type = "probabilistic", probabilistic = { sampling_percentage = 25 } },
    ]"""
    )
    dice = random.Random(7)
    spans = [span(dice.getrandbits(120) + 1, status=2 * (n % 50 == 0)) for n in range(4000)]
    stand.send(batch(spans))
    stand.after(10)
    out = spans_in(stand.place.out)
    assert sum(s.status.code == 2 for s in out) == 80
    assert sum(adjusted_count(s.trace_state) for s in out if s.status.code == 2) == 80
    rest = sum(adjusted_count(s.trace_state) for s in out if s.status.code == 0)
    assert abs(rest - 3920) < 4 * (3920 * 3) ** 0.5  # four standard deviations


async def test_decisions_add_up() -> None:
    stand = Stand(
        """policies = [
        { name = "errors", type = "status_code", status_code = { status_codes = ["ERROR"] } },
        { name = "slow", type = "latency", latency = { threshold_ms = 100 } },
    ]"""
    )
    stand.send(batch([span(n, status=2 * (n % 5 == 0), ms=n) for n in range(1, 201)]))
    stand.after(10)
    counts = stand.counts()
    assert counts["new_trace_id_received"] == 200
    kept, gone = (counts[f"global_count_traces_sampled {w}"] for w in ("true", "false"))
    assert (kept, gone) == (len(stand.kept), 200 - len(stand.kept))
    assert counts["count_traces_sampled errors true"] == 40
    assert counts["count_traces_sampled slow true"] == 101
    for name in ("errors", "slow"):
        said = [counts[f"count_traces_sampled {name} {w}"] for w in ("true", "false")]
        assert sum(said) == 200


Arrival = list[tuple[int, int, bool, int]]  # trace, batch, failed, seconds before it comes

ARRIVALS: Any = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 5), st.booleans(), st.integers(0, 4)),
    min_size=1,
    max_size=40,
)


def play(arrivals: Arrival, toml: str) -> Stand:
    """Spans in batches, in that order, and the end."""

    async def run() -> Stand:
        stand = Stand(toml)
        groups: dict[int, Arrival] = {}
        for arrival in arrivals:
            groups.setdefault(arrival[1], []).append(arrival)
        number = 0
        for group in groups.values():
            spans = []
            for trace, _, failed, _ in group:
                number += 1
                spans.append(span(trace, number, status=2 if failed else 0, kind=number % 6))
            stand.send(batch(spans, service=f"s{number % 3}"))
            stand.after(group[0][3])
        await stand.stage.stop(5)
        return stand

    return asyncio.run(run())


@hypothesis(max_examples=60, deadline=None)
@given(ARRIVALS, st.sampled_from(["", "num_traces = 2\n", 'memory_limit = "2KB"\n']))
def test_all_spans_of_a_trace_have_one_fate(arrivals: Arrival, more: str) -> None:
    cache = "decision_cache = { sampled_cache_size = 100, non_sampled_cache_size = 100 }\n"
    stand = play(arrivals, more + cache + ERRORS)
    out: dict[int, int] = {}
    for kept in spans_in(stand.place.out):
        trace = int.from_bytes(kept.trace_id, "big")
        out[trace] = out.get(trace, 0) + 1
    for trace, spans in out.items():
        assert spans == sum(arrival[0] == trace for arrival in arrivals)
    assert stand.place.ledger.balanced
    assert stand.place.ledger.created == len(arrivals)
    assert stand.stage.held("traces") == 0


@hypothesis(max_examples=40, deadline=None)
@given(ARRIVALS, st.randoms(use_true_random=False))
def test_neither_order_nor_batches_change_a_decision(
    arrivals: Arrival, dice: random.Random
) -> None:
    """As long as everything comes before it is made."""
    soon = [(trace, part, failed, 0) for trace, part, failed, _ in arrivals]
    mixed = [(trace, dice.randrange(9), failed, 0) for trace, _, failed, _ in soon]
    dice.shuffle(mixed)
    expected = {trace for trace, _, failed, _ in soon if failed}
    assert play(soon, ERRORS).kept == play(mixed, ERRORS).kept == expected


async def test_memory_stays_within_its_bound() -> None:
    """Scaled down from a million traces; the bound is of real bytes, not only of counted ones."""
    limit = 4_000_000
    stand = Stand(
        'memory_limit = "4MB"\nnum_traces = 1000000\n' + ERRORS + "decision_cache = "
        "{ sampled_cache_size = 1, non_sampled_cache_size = 1 }"
    )
    requests = [
        batch([span(n * 10 + k, k + 1) for k in range(10)], service=f"s{n % 7}")
        for n in range(1, 2001)
    ]
    worst = 0
    stand.send(batch([span(1)]))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number, request in enumerate(requests):
        stand.send(request)
        worst = max(worst, stand.stage._waiting.memory)
        if number % 200 == 0:
            assert tracemalloc.get_traced_memory()[0] - before < limit * 1.1
    tracemalloc.stop()
    assert limit * 0.9 < worst <= limit
    assert stand.counts()["sampling_trace_dropped_too_early"] > 1000
    await stand.stage.stop(5)
    assert stand.stage._waiting.memory == 0
