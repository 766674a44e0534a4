"""Round robin keeps to weights without bursts, and to servers that are up where it can."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.balance import LONGEST_CYCLE, RoundRobin
from proxy.upstream.endpoint import Endpoint

NAMES = "abcdefgh"


def endpoints(*weights: int) -> list[Endpoint]:
    return [Endpoint(f"http://{n}", w) for n, w in zip(NAMES, weights, strict=False)]


def picks(balancer: RoundRobin, count: int, avoid: Endpoint | None = None) -> str:
    chosen = [balancer.pick(0.0, avoid) for _ in range(count)]
    return "".join(e.host for e in chosen if e is not None)


def plain(weights: list[int], count: int) -> str:
    """nginx's rule as its source states it, without any cycle."""
    current = [0] * len(weights)
    chosen = ""
    for _ in range(count):
        current = [c + w for c, w in zip(current, weights, strict=True)]
        best = current.index(max(current))
        current[best] -= sum(weights)
        chosen += NAMES[best]
    return chosen


@pytest.mark.parametrize(
    ("weights", "turns"),
    [((1,), "aaaa"), ((1, 1), "abab"), ((5, 1, 1), "aabacaaaabacaa"), ((10, 20), "babbab")],
)
def test_turns_are_smooth(weights: tuple[int, ...], turns: str) -> None:
    assert picks(RoundRobin(endpoints(*weights)), len(turns)) == turns


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_written_down_turns_are_those_of_nginx(weights: list[int]) -> None:
    count = 2 * sum(weights) + 3
    assert picks(RoundRobin(endpoints(*weights)), count) == plain(weights, count)


def test_a_cycle_too_long_to_write_down_keeps_to_the_weights() -> None:
    weights = [LONGEST_CYCLE, 7]
    count = 2 * sum(weights)
    turns = picks(RoundRobin(endpoints(*weights)), count)
    assert Counter(turns) == {"a": 2 * LONGEST_CYCLE, "b": 14}
    assert turns == plain(weights, count)


def test_no_endpoint_yields_none() -> None:
    balancer = RoundRobin([])
    assert balancer.pick(0.0) is None
    assert not balancer.set_up("http://a", False)


def test_an_offset_spreads_the_first_turns_of_workers() -> None:
    firsts = [picks(RoundRobin(endpoints(1, 1, 1), offset), 1) for offset in range(6)]
    assert "".join(firsts) == "abcabc"


def test_what_is_down_is_skipped_until_it_is_up() -> None:
    balancer = RoundRobin(endpoints(1, 1, 1))
    assert balancer.set_up("http://b", False)
    assert not balancer.set_up("http://b", False)
    assert not balancer.set_up("http://unknown", False)
    assert picks(balancer, 4) == "acac"
    assert repr(balancer) == "<RoundRobin 2 of 3 up>"
    assert balancer.set_up("http://b", True)
    assert set(picks(balancer, 3)) == set("abc")


def test_if_all_are_down_all_are_used() -> None:
    balancer = RoundRobin(endpoints(2, 1))
    for name in "ab":
        balancer.set_up(f"http://{name}", False)
    assert Counter(picks(balancer, 6)) == {"a": 4, "b": 2}


@pytest.mark.parametrize(
    ("weights", "down", "avoid", "expected"),
    [
        ((1,), "", "a", {"a"}),
        ((1, 1), "", "a", {"b"}),
        ((1000, 1), "", "a", {"b"}),
        ((10**6, 1), "", "a", {"b"}),
        ((1, 1), "b", "a", {"a"}),  # the only one that is up
        ((1, 1, 1), "c", "a", {"b"}),
        ((1, 1), "ab", "a", {"b"}),
    ],
)
def test_what_has_just_failed_is_avoided(
    weights: tuple[int, ...], down: str, avoid: str, expected: set[str]
) -> None:
    servers = endpoints(*weights)
    balancer = RoundRobin(servers)
    for name in down:
        balancer.set_up(f"http://{name}", False)
    failed = next(e for e in servers if e.host == avoid)
    assert set(picks(balancer, 20, failed)) == expected


def test_retries_keep_to_the_weights_of_the_others() -> None:
    servers = endpoints(50, 40, 10)
    balancer = RoundRobin(servers)
    assert Counter(picks(balancer, 100, servers[0])) == {"b": 80, "c": 20}


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), max_size=20),
)
def test_a_pick_is_up_and_not_avoided_where_possible(
    weights: list[int], steps: list[tuple[int, bool, bool]]
) -> None:
    servers = endpoints(*weights)
    balancer = RoundRobin(servers)
    for number, up, avoiding in steps:
        target = servers[number % len(servers)]
        balancer.set_up(target.url, up)
        chosen = balancer.pick(0.0, target if avoiding else None)
        usable = [e for e in servers if e.up] or servers
        assert chosen in usable
        assert not avoiding or chosen is not target or len(usable) == 1


def test_a_turn_does_not_cost_more_with_more_endpoints() -> None:
    """Counted in comparisons, not seconds: a written-down turn reads no endpoint's weight."""
    reads = Counter[str]()

    class Counting(Endpoint):
        __slots__ = ()

        def __getattribute__(self, name: str) -> object:
            reads[name] += 1
            return object.__getattribute__(self, name)

    make: Callable[[str], Endpoint] = Counting
    balancer = RoundRobin([make(f"http://host{i}") for i in range(500)])
    for _ in range(500):
        balancer.pick(0.0)
    reads.clear()
    for _ in range(500):
        balancer.pick(0.0)
    assert reads["weight"] == 0
