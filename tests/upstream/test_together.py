"""Policies of several workers, and policies across reloads."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.model import Health, Upstream
from proxy.upstream.board import Board, size
from proxy.upstream.state import Plan, Upstreams, UpstreamState, Use

from .policies_kit import MS, POLICIES

A, B, C, D = (f"http://{name}" for name in "abcd")


def adopt(known: Upstreams, upstream: Upstream) -> UpstreamState:
    plan = Plan()
    for _ in plan.compare(known, {"u": upstream}):
        pass
    known.adopt(plan)
    return known["u"]


def workers(upstream: Upstream, count: int = 2) -> Iterator[UpstreamState]:
    """Several that share a board, as the hub would make it."""
    memory = bytearray(size(count))
    for place in range(count):
        known = Upstreams(place, Board(memory, place), Random(place).random)
        state = adopt(known, upstream)
        for number, endpoint in enumerate(state.endpoints.values()):
            endpoint.number = number
        yield state


@pytest.mark.parametrize("name", ["least_request", "peak_ewma"])
def test_what_runs_at_one_worker_counts_at_all(name: str) -> None:
    upstream = Upstream(servers={A: 1, B: 1}, balance=POLICIES[name])
    one, other = workers(upstream)
    for state in (one, other):
        assert state.feedback is not None
        for endpoint in state.endpoints.values():
            Use(state.feedback, endpoint, 0).end(200, "", MS)
    assert one.feedback is not None
    running = Use(one.feedback, one.endpoints[A], 0)
    chosen = [other.balancer.pick(0) for _ in range(30)]
    assert set(chosen) == {other.endpoints[B]}
    running.end(200, "", MS)
    assert len({other.balancer.pick(0) for _ in range(30)}) == 2


@pytest.mark.parametrize("name", ["round_robin", "random"])
def test_who_does_not_learn_is_told_nothing(name: str) -> None:
    (state,) = workers(Upstream(servers={A: 1}, balance=POLICIES[name]), 1)
    assert state.feedback is None


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(sorted(set(POLICIES) - {"maglev"})),
            st.dictionaries(st.sampled_from([A, B, C]), st.integers(1, 3), min_size=1),
            st.booleans(),
            st.sampled_from([A, B, C, D]),
            st.sampled_from(["up", "down", "add", "remove"]),
        ),
        max_size=8,
    )
)
def test_after_any_reloads_picks_go_to_what_is_there_and_up(
    steps: list[tuple[str, dict[str, int], bool, str, str]],
) -> None:
    known = Upstreams(0, None, Random(1).random)
    for name, servers, backup, url, change in steps:
        wanted = Upstream(
            servers=servers,
            balance=POLICIES[name],
            backup={D: 1} if backup else {},
            health=Health(),
        )
        state = adopt(known, wanted)
        if change == "add":
            state.add(url, 2)
        elif change == "remove":
            state.remove(url)
        else:
            state.update(url, up=change == "up")
        up = {endpoint for endpoint in state.endpoints.values() if endpoint.up}
        for n in range(12):
            chosen = state.balancer.pick(n, b"%d" % n if n % 2 else None)
            assert chosen in up if up else chosen is None


def test_a_policy_that_stays_keeps_what_it_learned() -> None:
    known = Upstreams(0, None, Random(1).random)
    upstream = Upstream(servers={A: 1, B: 1}, balance=POLICIES["peak_ewma"])
    state = adopt(known, upstream)
    assert state.feedback is not None
    Use(state.feedback, state.endpoints[A], 0).end(200, "", 500 * MS)
    Use(state.feedback, state.endpoints[B], 0).end(200, "", MS)
    state = adopt(known, Upstream(servers={A: 1, B: 1, C: 1}, balance=POLICIES["peak_ewma"]))
    assert state.feedback is not None
    Use(state.feedback, state.endpoints[C], 0).end(200, "", MS)
    assert state.endpoints[A] not in {state.balancer.pick(MS) for _ in range(30)}


@pytest.mark.parametrize("name", POLICIES)
def test_discovered_weights_of_nothing_count_as_one(name: str) -> None:
    known = Upstreams(0, None, Random(1).random)
    state = adopt(known, Upstream(servers={A: 1}, balance=POLICIES[name]))
    state.add(B, 0)
    state.update(A, weight=0)
    assert {endpoint.weight for endpoint in state.endpoints.values()} == {1}
    chosen = [state.balancer.pick(0, b"%d" % n) for n in range(1000)]
    assert set(chosen) == set(state.endpoints.values())
