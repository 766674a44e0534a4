"""Consistent hashes: the same key, the same endpoint, and as few keys as possible move."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.upstream.balance import Balancer
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.hashed import Hashed
from proxy.upstream.ring import Points, Ring

from .policies_kit import begin, endpoints, policy, set_up, within

KEYS = [b"key %d" % n for n in range(4000)]
KINDS = ("maglev", "ring")


def owners(balancer: Balancer, keys: list[bytes] = KEYS) -> list[Endpoint | None]:
    return [balancer.pick(0, key) for key in keys]


def moved(before: list[Endpoint | None], after: list[Endpoint | None], but: Endpoint) -> int:
    """Keys that went from one endpoint to another, neither of which is `but`."""
    pairs = zip(before, after, strict=True)
    return sum(a is not b and but not in (a, b) for a, b in pairs)


@pytest.mark.parametrize("name", KINDS)
def test_workers_agree_whatever_the_order(name: str) -> None:
    servers = endpoints(*[1] * 10)
    first, second = policy(name, servers).balancer, policy(name, servers[::-1], 99).balancer
    assert owners(first) == owners(second) == owners(first)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("weights", [(1,) * 5, (3, 1, 1)])
def test_shares_are_by_weight(name: str, weights: tuple[int, ...]) -> None:
    found = [owner.host for owner in owners(policy(name, endpoints(*weights)).balancer) if owner]
    shares = {f"host{i}": w / sum(weights) for i, w in enumerate(weights)}
    counts = {host: found.count(host) for host in shares}
    if name == "maglev":
        assert within(counts, shares)
    else:  # a hundred points each: a tenth more or less
        assert all(abs(counts[host] / 4000 / share - 1) < 0.4 for host, share in shares.items())


@pytest.mark.parametrize("name", KINDS)
def test_only_the_keys_of_who_is_down_move_and_they_come_back(name: str) -> None:
    servers = endpoints(*[1] * 10)
    balancer = policy(name, servers).balancer
    before = owners(balancer)
    set_up(balancer, servers[4], False)
    during = owners(balancer)
    assert servers[4] not in during
    assert moved(before, during, servers[4]) == 0
    taken = [b for a, b in zip(before, during, strict=True) if a is servers[4]]
    assert len(set(taken)) == 9, "all others share them"
    set_up(balancer, servers[4], True)
    assert owners(balancer) == before


@pytest.mark.parametrize(("name", "most"), [("maglev", 0.02), ("ring", 0.0)])
def test_few_keys_move_when_one_comes_or_goes(name: str, most: float) -> None:
    servers = endpoints(*[1] * 10)
    balancer = policy(name, servers).balancer
    before = owners(balancer)
    balancer.remove(servers[4])
    settled = settle(balancer)
    assert servers[4] not in settled
    assert moved(before, settled, servers[4]) <= most * len(KEYS)
    balancer.add(servers[4])
    assert settle(balancer) == before


def settle(balancer: Balancer) -> list[Endpoint | None]:
    """Owners once everything is worked out."""
    for _ in range(5000):
        balancer.pick(0, b"any")
    return owners(balancer)


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(KINDS),
    weights=st.lists(st.integers(1, 4), min_size=2, max_size=8),
    changes=st.lists(
        st.tuples(st.integers(0, 7), st.sampled_from(["add", "remove", "down", "up"])), max_size=8
    ),
)
@example(name="ring", weights=[1, 3], changes=[(0, "remove"), (0, "add")])
def test_the_way_there_makes_no_difference(
    name: str, weights: list[int], changes: list[tuple[int, str]]
) -> None:
    servers = endpoints(*weights)
    balancer = policy(name, servers).balancer
    balancer.pick(0, b"any")
    there = dict.fromkeys(servers, True)
    for index, change in changes:
        server = servers[index % len(servers)]
        there[server] = change != "remove" if change in ("add", "remove") else there[server]
        if change == "add":
            balancer.add(server)
        elif change == "remove":
            balancer.remove(server)
        else:
            set_up(balancer, server, change == "up")
        balancer.pick(0, b"any")
    members = [server for server, member in there.items() if member]
    settle(balancer)
    keys = KEYS[:300]
    assert owners(balancer, keys) == owners(policy(name, members).balancer, keys)


@pytest.mark.parametrize("name", KINDS)
def test_a_change_is_worked_out_in_steps(name: str) -> None:
    """What is gone gets nothing from the first pick on; what has come gets its keys soon."""
    servers = endpoints(*[1] * 10)
    balancer = policy(name, servers[:9]).balancer
    before = owners(balancer)
    balancer.add(servers[9])
    balancer.remove(servers[0])
    assert servers[0] not in owners(balancer, KEYS[:50])
    after = settle(balancer)
    assert servers[9] in after and moved(before, after, servers[0]) < 0.2 * len(KEYS)


@pytest.mark.parametrize("name", KINDS)
def test_nearly_all_are_down(name: str) -> None:
    servers = endpoints(*[1] * 300)
    balancer = policy(name, servers).balancer
    for server in servers[2:]:
        set_up(balancer, server, False)
    found = owners(balancer, KEYS[:200])
    assert set(found) == set(servers[:2])
    assert owners(balancer, KEYS[:200]) == found


@pytest.mark.parametrize("name", KINDS)
def test_requests_without_a_key_go_to_the_less_busy_one_of_two(name: str) -> None:
    servers = endpoints(1, 1)
    made = policy(name, servers)
    begin(made, servers[0])
    balancer = made.balancer
    assert isinstance(balancer, Hashed)
    assert {balancer.pick(0) for _ in range(20)} == {servers[1]}
    assert balancer.keyless == 20


def test_loads_are_bounded() -> None:
    servers = endpoints(*[1] * 10)
    made = policy("ring", servers)
    running = dict.fromkeys(servers, 0)
    for total in range(200):
        chosen = made.balancer.pick(0, b"the same key each time")
        assert chosen is not None
        begin(made, chosen)
        running[chosen] += 1
        assert running[chosen] <= -(-1.25 * (total + 1) // 10)
    assert sum(map(bool, running.values())) == 8, "1.25 times the share, and no more servers"


@settings(max_examples=40, deadline=None)
@given(
    expected=st.sampled_from([0, 8, 64, 1000]),
    changes=st.lists(
        st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2), st.booleans()), max_size=30
    ),
    asked=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20),
)
def test_a_ring_finds_the_next_point(
    expected: int, changes: list[tuple[int, int, bool]], asked: list[int]
) -> None:
    servers = endpoints(1, 1, 1)
    points = Points(expected)
    held: dict[int, Endpoint] = {}
    for point, index, is_there in changes:
        if is_there:
            points.add(point, servers[index])
            held.setdefault(point, servers[index])
        else:
            points.discard(point, servers[index])
            if held.get(point) is servers[index]:
                del held[point]
    for at in asked:
        later = [point for point in held if point >= at]
        following = min(later, default=min(held, default=None))
        assert points.owner(at) is (None if following is None else held[following])


def test_an_arc_that_is_full_keeps_its_first_points() -> None:
    (server, other) = endpoints(1, 1)
    points = Points(0)
    for point in range(100, 0, -1):
        points.add(point, server if point > 1 else other)
    assert points.owner(0) is other and points.owner(33) is other and points.owner(32) is server


def test_members_that_come_and_go_leave_nothing_behind() -> None:
    servers = endpoints(*[1] * 4)
    balancer = policy("ring", servers).balancer
    balancer.pick(0, b"any")
    assert isinstance(balancer, Ring)
    for _ in range(5):
        other = Endpoint("http://other")
        balancer.add(other)
        assert other in owners(balancer, KEYS[:100])
        balancer.remove(other)
    assert len(balancer._points._owners) == 5
