from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from tests.collector.kit import Place
from tests.collector.tail_kit import Clock, batch, ids, span, spans_in


def started(toml: str = "") -> tuple[Place, Any, Clock]:
    clock = Clock()
    place = Place("processor", "groupbytrace", now_ns=clock)
    return place, place.make('wait_duration = "5s"\n' + toml), clock


async def test_each_trace_is_a_batch_of_its_own() -> None:
    place, stage, clock = started()
    place.send(batch([span(1, 1), span(2, 2)], service="a"))
    clock.step(1)
    stage.tick()
    place.send(batch([span(2, 3, parent=2), span(1, 4, parent=1)], service="b"))
    assert (place.out, stage.held("traces")) == ([], 4)
    clock.step(4)
    stage.tick()
    assert [(ids([b]), b.items) for b in place.out] == [({1}, 2), ({2}, 2)]
    assert stage.held("traces") == 0


async def test_the_oldest_goes_early_when_there_is_no_room() -> None:
    place, stage, _ = started("num_traces = 2")
    for n in (1, 2, 3):
        place.send(batch([span(n)]))
    assert ids(place.out) == {1}
    assert stage.held("traces") == 2


async def test_bytes_are_bounded_too() -> None:
    place, stage, _ = started('memory_limit = "10KB"')
    for n in range(1, 101):
        place.send(batch([span(n)], service=f"s{n}"))
        assert stage._waiting.memory <= 10_000
    assert len(ids(place.out)) > 80


async def test_while_nothing_behind_has_room_nothing_is_taken() -> None:
    place, stage, clock = started()
    place.send(batch([span(1)]))
    place.room = False
    clock.step(5)
    stage.tick()
    assert not place.send(batch([span(2)]))
    place.room = True
    assert place.send(batch([span(2)]))
    await stage.stop(1)
    assert ids(place.out) == {1, 2}


async def test_the_clock_runs_by_itself() -> None:
    place = Place("processor", "group_by_trace")
    stage = place.make('wait_duration = "20ms"')
    place.send(batch([span(1)]))
    async with asyncio.timeout(20):
        while not place.out:
            await asyncio.sleep(0.005)
    await stage.stop(1)


@hypothesis(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=8), max_size=12))
def test_nothing_is_lost_and_no_batch_has_two_traces(batches: list[list[int]]) -> None:
    async def run() -> Place:
        place, stage, clock = started("num_traces = 3")
        for number, traces in enumerate(batches):
            place.send(batch([span(t, number * 10 + n + 1) for n, t in enumerate(traces)]))
            clock.step(2)
            stage.tick()
            assert place.ledger.balanced
        await stage.stop(1)
        return place

    place = asyncio.run(run())
    assert all(len(ids([b])) == 1 and len(spans_in([b])) == b.items for b in place.out)
    assert place.items == sum(map(len, batches))
