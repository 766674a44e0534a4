"""Round robin keeps to weights without bursts, and to servers that are up where it can."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import proxy
from proxy.upstream.balance import RoundRobin
from proxy.upstream.endpoint import DRAINED, EJECTED, Endpoint
from proxy.upstream.turns import FEW, LANES, LONGEST_CYCLE, Lanes, Schedule

NAMES = "abcdefgh"


def endpoints(*weights: int) -> list[Endpoint]:
    return [Endpoint(f"http://{n}", w) for n, w in zip(NAMES, weights, strict=False)]


def picks(balancer: RoundRobin, count: int, avoid: Endpoint | None = None) -> str:
    chosen = [balancer.pick(0, None, avoid) for _ in range(count)]
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
    assert balancer.pick(0) is None


def test_an_offset_spreads_the_first_turns_of_workers() -> None:
    firsts = [picks(RoundRobin(endpoints(1, 1, 1), offset), 1) for offset in range(6)]
    assert "".join(firsts) == "abcabc"


def set_up(balancer: RoundRobin, endpoint: Endpoint, up: bool) -> None:
    endpoint.up = up
    balancer.refresh(endpoint)


def test_what_is_down_is_skipped_until_it_is_up() -> None:
    servers = endpoints(1, 1, 1)
    balancer = RoundRobin(servers)
    set_up(balancer, servers[1], False)
    assert picks(balancer, 4) == "acac"
    assert repr(balancer) == "<RoundRobin 2 of 3 up>"
    set_up(balancer, servers[1], True)
    assert set(picks(balancer, 3)) == set("abc")


# panic, servers, up -> whether all of them get traffic; None: nobody does
PANIC = [
    (0.0, 3, 1, False),
    (0.0, 3, 0, None),
    (0.3, 10, 3, False),
    (0.3, 10, 2, True),
    (0.3, 1, 1, False),
    (0.3, 1, 0, True),
    (0.07, 100, 7, False),
    (0.07, 100, 6, True),
    (0.07, 100, 0, True),
    (1.0, 3, 2, True),
    (1.0, 3, 3, False),
    (0.0, 100, 0, None),
]


@pytest.mark.parametrize(("panic", "count", "up", "everybody"), PANIC)
def test_below_a_share_of_servers_all_get_traffic(
    panic: float, count: int, up: int, everybody: bool | None
) -> None:
    servers = many(*([1] * count))
    balancer = RoundRobin(servers)
    balancer.panic_below(panic)
    balancer.pick(0)
    for server in servers[up:]:
        set_up(balancer, server, False)
    chosen = {balancer.pick(0) for _ in range(3 * count)}
    expected = {True: set(servers), False: set(servers[:up]), None: {None}}
    assert chosen == expected[everybody]
    for server in servers:
        set_up(balancer, server, True)
    assert {balancer.pick(0) for _ in range(3 * count)} == set(servers)


def test_panic_does_not_undo_what_an_operator_said() -> None:
    endpoints = [Endpoint(f"http://{name}:1") for name in "abc"]
    endpoints[0].mark(DRAINED, True)
    endpoints[1].mark(EJECTED, True)
    balancer = RoundRobin(endpoints)
    balancer.panic_below(1.0)
    assert {balancer.pick(0) for _ in range(6)} == set(endpoints[1:])


def test_panic_may_be_said_at_any_time() -> None:
    servers = endpoints(2, 1)
    balancer = RoundRobin(servers)
    for server in servers:
        set_up(balancer, server, False)
    assert balancer.pick(0) is None
    balancer.panic_below(0.5)
    assert Counter(picks(balancer, 6)) == {"a": 4, "b": 2}
    balancer.panic_below(0.0)
    assert balancer.pick(0) is None
    set_up(balancer, servers[1], True)
    assert picks(balancer, 2) == "bb"


def test_nobody_is_looked_for_once_and_not_by_each_request() -> None:
    make: Callable[[str], Endpoint] = Counting
    servers = [make(f"http://host{i}") for i in range(1000)]
    balancer = RoundRobin(servers)
    for server in servers:
        set_up(balancer, server, False)
    balancer.pick(0)
    READS.clear()
    for _ in range(100):
        assert balancer.pick(0) is None
    assert READS["up"] == 0


def test_changes_do_not_favour_who_stands_first() -> None:
    servers = endpoints(1, 1, 1)
    balancer = RoundRobin(servers)
    seen = ""
    for turn in range(12):  # one comes or goes before every turn
        set_up(balancer, servers[2], turn % 2 == 0)
        seen += picks(balancer, 1)
    assert seen.count("a") <= 6 and seen.count("b") >= 4


@pytest.mark.parametrize(
    ("weights", "down", "avoid", "expected"),
    [
        ((1,), "", "a", {"a"}),
        ((1, 1), "", "a", {"b"}),
        ((1000, 1), "", "a", {"b"}),
        ((10**6, 1), "", "a", {"b"}),
        ((1, 1), "b", "a", {"a"}),  # the only one that is up
        ((1, 1, 1), "c", "a", {"b"}),
        ((1, 1), "ab", "a", set()),
    ],
)
def test_what_has_just_failed_is_avoided(
    weights: tuple[int, ...], down: str, avoid: str, expected: set[str]
) -> None:
    servers = endpoints(*weights)
    balancer = RoundRobin(servers)
    for name in down:
        set_up(balancer, servers[NAMES.index(name)], False)
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
        set_up(balancer, target, up)
        chosen = balancer.pick(0, None, target if avoiding else None)
        usable = [e for e in servers if e.up]
        assert chosen in usable if usable else chosen is None
        assert not avoiding or chosen is not target or len(usable) == 1


READS = Counter[str]()


class Counting(Endpoint):
    """Counts how often each of its facts is read."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> object:
        READS[name] += 1
        return object.__getattribute__(self, name)


@pytest.mark.parametrize(("servers", "most"), [(FEW, 0), (10_000, 1)])
def test_a_turn_does_not_cost_more_with_more_endpoints(servers: int, most: int) -> None:
    """Counted in reads, not seconds: a turn reads the weight of one endpoint at most."""
    make: Callable[[str], Endpoint] = Counting
    balancer = RoundRobin([make(f"http://host{i}") for i in range(servers)])
    for _ in range(FEW):
        balancer.pick(0)
    READS.clear()
    for _ in range(100):
        balancer.pick(0)
    assert READS["weight"] <= most * 100


@pytest.mark.skipif(not proxy.WHY_PLAIN, reason="compiled code reads where nobody can count")
def test_a_change_does_not_cost_more_with_more_endpoints() -> None:
    make: Callable[[str], Endpoint] = Counting
    servers = [make(f"http://host{i}") for i in range(10_000)]
    balancer = RoundRobin(servers)
    balancer.pick(0)
    READS.clear()
    for server in servers[:100]:
        set_up(balancer, server, False)
        set_up(balancer, server, True)
        balancer.pick(0)
    assert READS["up"] == 200
    assert READS["weight"] <= 300


def many(*weights: int) -> list[Endpoint]:
    return [Endpoint(f"http://host{i}", w) for i, w in enumerate(weights)]


def test_many_endpoints_keep_to_their_weights_without_bursts() -> None:
    servers = many(*([1] * 60 + [2] * 20 + [10] * 5))
    balancer = RoundRobin(servers)
    chosen = [balancer.pick(0) for _ in range(150 * 20)]
    counted = Counter(chosen)
    assert all(abs(counted[e] - 20 * e.weight) <= e.weight for e in servers)
    heavy = [i for i, e in enumerate(chosen) if e is servers[-1]]
    assert min(b - a for a, b in itertools.pairwise(heavy)) >= 5


@given(
    st.sampled_from([0.0, 0.5, 0.95, 1.0]),
    st.lists(st.tuples(st.integers(0, FEW + 5), st.sampled_from("udra-")), max_size=60),
)
def test_among_many_a_pick_is_up_and_not_avoided(
    panic: float, steps: list[tuple[int, str]]
) -> None:
    servers = many(*([1] * (FEW + 6)))
    there = set(servers)
    balancer = RoundRobin(servers)
    balancer.panic_below(panic)
    for number, what in steps:
        target = servers[number]
        if what in "ud" and target in there:
            set_up(balancer, target, what == "u")
        elif what == "r":
            balancer.remove(target)
            there.discard(target)
        elif what == "a":
            balancer.add(target)
            there.add(target)
        chosen = balancer.pick(0, None, target)
        assert chosen in there and chosen is not target
        up = sum(e.up for e in there)
        assert chosen.up or up / len(there) < panic
        assert balancer._panics(up) is (up / len(there) < panic)


@pytest.mark.parametrize("panic", [0.0, 0.01])
def test_many_that_are_all_down_and_the_first_that_rises(panic: float) -> None:
    servers = many(*([1] * (FEW + 1)))
    balancer = RoundRobin(servers)
    balancer.panic_below(panic)
    balancer.pick(0)
    for server in servers:
        set_up(balancer, server, False)
    everybody: set[Endpoint | None] = set(servers) if panic else {None}
    assert {balancer.pick(0) for _ in range(FEW + 1)} == everybody
    set_up(balancer, servers[7], True)
    assert {balancer.pick(0) for _ in range(5)} == {servers[7]}


def test_flapping_leaves_nothing_behind() -> None:
    servers = many(*range(1, FEW + 3))
    balancer = RoundRobin(servers)
    balancer.pick(0)
    for turn in range(10_000):
        set_up(balancer, servers[0], turn % 2 == 0)
    balancer.pick(0)
    queue = balancer._turns
    assert isinstance(queue, Schedule) and queue._queue.void() < 4 * FEW


def test_in_lanes_each_round_goes_to_everybody_once_while_others_come_and_go() -> None:
    servers = many(*([1] * (FEW + 6)))
    balancer = RoundRobin(servers)
    steady: Counter[Endpoint | None] = Counter()
    for turn in range(50 * len(servers)):
        chosen = balancer.pick(0)
        steady[chosen] += 1
        if turn % 3 == 0:
            target = servers[turn // 3 % 5]
            set_up(balancer, target, not target.up)
    assert isinstance(balancer._turns, Lanes)
    counts = [steady[server] for server in servers[5:]]
    assert max(counts) - min(counts) <= 1 and min(counts) >= 50


def test_lanes_keep_to_weights_without_bursts() -> None:
    servers = many(*([1] * FEW), *([3] * 8), 7)
    balancer = RoundRobin(servers)
    total = sum(server.weight for server in servers)
    picked = [balancer.pick(0) for _ in range(10 * total)]
    counts = Counter(picked)
    assert all(abs(counts[server] - 10 * server.weight) <= 1 for server in servers)
    places = [n for n, server in enumerate(picked) if server is servers[-1]]
    gaps = [after - before for before, after in pairwise(places)]
    assert max(gaps) - min(gaps) <= 3


def test_more_weights_than_lanes_stand_in_a_queue() -> None:
    servers = many(*([1] * FEW), *range(2, LANES + 1))
    balancer = RoundRobin(servers)
    balancer.pick(0)
    assert isinstance(balancer._turns, Lanes)
    servers[0].weight = LANES + 1
    balancer.refresh(servers[0])
    balancer.pick(0)
    assert isinstance(balancer._turns, Schedule)


def test_a_weight_that_changes_counts_from_then_on() -> None:
    servers = many(*([1] * (FEW + 1)))
    balancer = RoundRobin(servers)
    balancer.pick(0)
    servers[3].weight = FEW
    balancer.refresh(servers[3])
    counted = Counter(balancer.pick(0) for _ in range(4 * FEW))
    assert abs(counted[servers[3]] - 2 * FEW) <= 2
