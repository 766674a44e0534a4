"""What may be under way at an upstream: nothing is ever above its limit, and nothing is kept."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.upstream_model import UpstreamLimits
from proxy.upstream.board import CELLS, ENDPOINTS, Board, Row, size
from proxy.upstream.bounds import UNFAIR, Bounds
from proxy.upstream.waiting import HIGH, LOW, NORMAL, Standing, Ticket

NOTHING = {"requests": 0, "pending": 0, "retries": 0, "connections": 0, "flying": 0}
MEMORY = bytearray(size(2))


def pair(limits: UpstreamLimits, number: int = 3) -> list[Bounds]:
    """Two workers with one row."""
    row = 2 * CELLS
    MEMORY[number * row * 8 : (number + 1) * row * 8] = bytes(row * 8)
    assert len(MEMORY) == ENDPOINTS * row * 8
    made = [Bounds(Row(Board(MEMORY, place))) for place in (0, 1)]
    for bounds in made:
        bounds.number(number)
        bounds.configure(limits)
    return made


def enter(bounds: Bounds, priority: int = NORMAL, now: int = 1) -> tuple[Ticket, str]:
    ticket = Ticket(bounds, priority)
    return ticket, bounds.enter(ticket, now)


def test_two_workers_share_one_limit() -> None:
    one, other = pair(UpstreamLimits(requests=2))
    first, _ = enter(one)
    assert [enter(other)[1], enter(one)[1], enter(other)[1]] == ["", "requests", "requests"]
    one.leave(first, 1)
    assert enter(other)[1] == ""
    assert one.total() == other.total() == (2, 0)


def test_the_queue_is_one_for_all_workers_too() -> None:
    one, other = pair(UpstreamLimits(requests=1, pending=1))
    enter(one)
    assert enter(one)[0].standing is Standing.WAITS
    assert enter(other)[1] == "pending"


def test_who_has_waited_longer_in_another_worker_goes_first() -> None:
    one, other = pair(UpstreamLimits(requests=1, pending=9))
    first, _ = enter(one)
    enter(other, now=1)
    waits, _ = enter(one, now=2 + UNFAIR)
    one.leave(first, 0)
    assert one.next(0, True) is None
    assert one.next(0, False) is waits  # the next look, should nobody have taken it


def test_a_fifth_is_kept_from_low_priority() -> None:
    bounds = pair(UpstreamLimits(requests=10))[0]
    assert [enter(bounds, LOW)[1] for _ in range(9)] == [""] * 8 + ["requests"]
    assert [enter(bounds, HIGH)[1] for _ in range(3)] == ["", "", "requests"]


def test_the_adaptive_limit_has_parts() -> None:
    bounds = pair(UpstreamLimits(adaptive=True))[0]  # 20 at first
    for priority, count in ((LOW, 14), (NORMAL, 4), (HIGH, 2)):
        assert [enter(bounds, priority)[1] for _ in range(count + 1)] == [""] * count + ["adaptive"]


def test_what_has_been_answered_makes_room_for_adaptive_alone() -> None:
    bounds = pair(UpstreamLimits(adaptive=True, requests=20))[0]
    tickets = [enter(bounds, HIGH)[0] for _ in range(20)]
    bounds.answered(tickets[0], 1000, 2000, True)
    assert enter(bounds, HIGH)[1] == "requests"
    assert bounds.own()["flying"] == 19


def test_a_row_that_somebody_else_has_soon_is_left_clean() -> None:
    one, other = pair(UpstreamLimits(requests=5))
    ticket, _ = enter(one)
    one.configure(None)
    assert other.total() == (0, 0)
    one.leave(ticket, 1)
    assert (one.own(), other.total()) == (NOTHING, (0, 0))


def test_limits_that_have_shrunk_hold_for_the_next() -> None:
    bounds = pair(UpstreamLimits(requests=3))[0]
    tickets = [enter(bounds)[0] for _ in range(3)]
    bounds.configure(UpstreamLimits(requests=1))
    for ticket in tickets[:2]:
        bounds.leave(ticket, 1)
        assert enter(bounds)[1] == "requests"
    bounds.leave(tickets[2], 1)
    assert enter(bounds)[1] == ""


LIMITS = st.builds(
    UpstreamLimits,
    connections=st.integers(0, 3),
    pending=st.integers(0, 3),
    requests=st.integers(0, 4),
    retries=st.integers(0, 2),
    adaptive=st.booleans(),
)
STEPS = st.sampled_from(
    ["enter", "leave", "leave", "answered", "retry", "serve", "line", "abandon", "reload", "twice"]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(LIMITS, min_size=1, max_size=3), st.lists(STEPS, max_size=80), st.integers(0, 99))
def test_nothing_is_above_its_limit_and_nothing_is_kept(
    limits: list[UpstreamLimits], steps: list[str], seed: int
) -> None:
    chance = random.Random(seed)
    workers = pair(limits[0])
    said, tickets, now = limits[0], [], 0
    for step in steps:
        now += chance.randrange(10**8)
        bounds = chance.choice(workers)
        mine = [t for t in tickets if t.bounds is bounds]
        before = bounds.total()
        if step == "enter":
            ticket, which = enter(bounds, chance.choice((HIGH, NORMAL, LOW)), now)
            tickets.append(ticket)
            assert bool(which) is (ticket.standing is Standing.OUT)
            most = (said.requests or 10**9, said.pending)
            assert all(t <= max(m, b) for t, m, b in zip(bounds.total(), most, before, strict=True))
        elif step == "serve":
            while (ticket := bounds.next(now, chance.random() < 0.5)) is not None:
                assert ticket.standing is Standing.IN
                assert not said.requests or bounds.total()[0] <= said.requests
        elif step == "reload":
            said = chance.choice(limits)
            for worker in workers:
                worker.configure(said)
        elif mine:
            one_step(step, bounds, chance.choice(mine), now)
        for ticket in bounds.evicted:
            bounds.leave(ticket, now)
        bounds.evicted = []
    for ticket in tickets:
        ticket.bounds.leave(ticket, now)
    assert [worker.own() for worker in workers] == [NOTHING, NOTHING]
    assert not any(worker.is_awaited() for worker in workers)


def one_step(step: str, bounds: Bounds, ticket: Ticket, now: int) -> None:
    if step in ("leave", "abandon", "twice"):
        bounds.leave(ticket, now)
        if step == "twice":
            bounds.leave(ticket, now)
    elif ticket.standing is not Standing.IN:
        return
    elif step == "answered":
        bounds.answered(ticket, 10**6, now, True)
    elif step == "retry":
        bounds.may_retry(ticket)
    else:
        bounds.wait(ticket, bounds.lines, "connections", now)


@pytest.mark.parametrize("retries", [1, 3])
def test_a_request_counts_once_however_often_it_is_tried(retries: int) -> None:
    bounds = pair(UpstreamLimits(retries=retries))[0]
    tickets = [enter(bounds)[0] for _ in range(retries + 1)]
    told = [bounds.may_retry(ticket) for ticket in tickets for _ in range(3)]
    assert told == [True] * 3 * retries + [False] * 3
    bounds.leave(tickets[0], 1)
    assert bounds.may_retry(tickets[-1])
