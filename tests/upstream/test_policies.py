"""What holds for every policy, and what each of them promises, by simulation."""

from __future__ import annotations

import heapq
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.model import Upstream
from proxy.config.units import Share
from proxy.upstream.balance import Outcome
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.policies import Made

from .policies_kit import (
    MS,
    POLICIES,
    begin,
    counted,
    end,
    endpoints,
    policy,
    set_up,
    use,
    within,
)

BY_CHANCE = ("random", "least_request", "peak_ewma")


@pytest.mark.parametrize("name", POLICIES)
def test_nobody_to_choose(name: str) -> None:
    assert policy(name, []).balancer.pick(0, b"key") is None
    only = endpoints(1)
    balancer = policy(name, only).balancer
    assert balancer.pick(0, b"key", only[0]) is only[0]
    set_up(balancer, only[0], False)
    assert balancer.pick(0, b"key") is None
    set_up(balancer, only[0], True)
    assert balancer.pick(0, b"key") is only[0]


@pytest.mark.parametrize("name", POLICIES)
def test_weights_of_nothing_starve_nobody(name: str) -> None:
    """Discovery may say 0 everywhere (RFC 2782: no selection to do)."""
    servers = endpoints(0, 0, 0) if name != "round_robin" else endpoints(1, 1, 1)
    found = counted(policy(name, servers).balancer, 3000)
    assert len(found) == 3 and min(found.values()) > 500


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from([name for name in POLICIES if name != "maglev"]),
    weights=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    down=st.sets(st.integers(0, 7)),
    gone=st.sets(st.integers(0, 7)),
    avoided=st.integers(0, 7),
)
def test_only_those_that_are_up_and_not_the_one_that_failed(
    name: str, weights: list[int], down: set[int], gone: set[int], avoided: int
) -> None:
    servers = endpoints(*weights)
    balancer = policy(name, servers).balancer
    for i, server in enumerate(servers):
        if i in down:
            set_up(balancer, server, False)
        if i in gone:
            balancer.remove(server)
    left = {s for i, s in enumerate(servers) if i not in down and i not in gone}
    avoid = servers[avoided % len(servers)]
    for n in range(30):
        key = b"%d" % n if n % 2 else None
        chosen = balancer.pick(n, key)
        assert chosen in left if left else chosen is None
        chosen = balancer.pick(n, key, avoid)
        assert (chosen is not avoid) or left == {avoid}
        assert chosen in left if left else chosen is None


@pytest.mark.parametrize("name", POLICIES)
def test_too_few_up_means_all_are_used(name: str) -> None:
    servers = endpoints(1, 1, 1, 1)
    balancer = policy(name, servers, settings=Upstream(panic=Share(0.5))).balancer
    for server in servers[:2]:
        set_up(balancer, server, False)
    assert set(counted(balancer, 300)) == {"host2", "host3"}
    set_up(balancer, servers[2], False)
    assert len(counted(balancer, 300)) == 4
    set_up(balancer, servers[2], True)
    assert set(counted(balancer, 300)) == {"host2", "host3"}


@pytest.mark.parametrize("name", ["random", "least_request"])
@pytest.mark.parametrize("weights", [(1, 1, 1), (90, 10), (5, 3, 1, 1)])
def test_idle_servers_get_their_shares(name: str, weights: tuple[int, ...]) -> None:
    servers = endpoints(*weights)
    made = policy(name, servers)
    found = counted(made.balancer, 20_000)
    assert within(found, {f"host{i}": w / sum(weights) for i, w in enumerate(weights)})


def test_the_less_busy_one_of_two() -> None:
    servers = endpoints(1, 1)
    made = policy("least_request", servers)
    begin(made, servers[0])
    assert set(counted(made.balancer, 50)) == {"host1"}
    begin(made, servers[1])
    begin(made, servers[1])
    assert set(counted(made.balancer, 50)) == {"host0"}


def test_busy_servers_are_compared_by_weight() -> None:
    servers = endpoints(10, 1)
    made = policy("least_request", servers)
    for _ in range(9):
        begin(made, servers[0])
    begin(made, servers[1])
    assert set(counted(made.balancer, 50)) == {"host0"}
    begin(made, servers[0])
    begin(made, servers[0])
    assert set(counted(made.balancer, 50)) == {"host1"}


@pytest.mark.parametrize("name", ["least_request", "peak_ewma"])
def test_errors_that_come_at_once_attract_nothing(name: str) -> None:
    servers = endpoints(1, 1, 1)
    made = policy(name, servers)
    found = Counter[str]()
    for n in range(3000):  # 1,000 a second, one at a time
        now = n * MS
        chosen = made.balancer.pick(now)
        assert chosen is not None
        found[chosen.host] += 1
        failed = chosen is servers[0]
        use(made, chosen, now, MS // 10 if failed else MS, Outcome.ERROR if failed else Outcome.OK)
    assert found["host0"] < 30


def test_failures_are_forgotten() -> None:
    servers = endpoints(1, 1)
    made = policy("least_request", servers)
    use(made, servers[0], 0, MS, Outcome.SERVER_ERROR)
    assert set(counted(made.balancer, 50)) == {"host1"}
    assert len(counted(made.balancer, 50, now=10_000 * MS)) == 2


def simulate(made: Made, latencies: dict[Endpoint, int], rate: int, seconds: float) -> list[int]:
    """Latencies (ns) of Poisson arrivals at servers that take this long (ns) for each request."""
    random = Random(5)
    now, running, taken = 0.0, list[tuple[int, int, Endpoint, int]](), list[int]()
    number = 0
    while now < seconds * 1e9:
        now += random.expovariate(rate) * 1e9
        while running and running[0][0] <= now:
            _, _, server, ns = heapq.heappop(running)
            end(made, server, ns)
        chosen = made.balancer.pick(int(now))
        assert chosen is not None
        begin(made, chosen, int(now))
        number += 1
        taken.append(latencies[chosen])
        heapq.heappush(running, (int(now) + taken[-1], number, chosen, taken[-1]))
    return taken


def p99(taken: list[int]) -> int:
    return sorted(taken)[len(taken) * 99 // 100]


def test_slow_servers_are_left_alone() -> None:
    servers = endpoints(1, 1, 1)
    latencies = dict(zip(servers, (MS, MS, 50 * MS), strict=True))
    turns = p99(simulate(policy("round_robin", servers), latencies, 500, 10))
    ewma = simulate(policy("peak_ewma", servers), latencies, 500, 10)
    assert turns >= 5 * p99(ewma)
    assert ewma.count(50 * MS) >= 1, "it is tried"


def test_a_server_that_was_slow_is_asked_again() -> None:
    servers = endpoints(1, 1)
    made = policy("peak_ewma", servers)
    use(made, servers[0], 0, 500 * MS)
    use(made, servers[1], 0, MS)
    assert set(counted(made.balancer, 50, now=MS)) == {"host1"}
    later = 100_000 * MS
    use(made, servers[1], later, MS)
    assert set(counted(made.balancer, 50, now=later)) == {"host0"}


def test_a_server_of_which_nothing_is_known_is_tried_by_one_request() -> None:
    servers = endpoints(1, 1)
    made = policy("peak_ewma", servers)
    use(made, servers[0], 0, MS)
    assert made.balancer.pick(0) is servers[1]
    begin(made, servers[1])
    assert set(counted(made.balancer, 50)) == {"host0"}


def test_peak_ewma_respects_weights() -> None:
    servers = endpoints(3, 1)
    latencies = dict.fromkeys(servers, 5 * MS)
    made = policy("peak_ewma", servers)
    counts = Counter[str]()
    pick = made.balancer.pick
    running: list[Endpoint] = []
    for n in range(20_000):
        chosen = pick(n * MS // 4)
        assert chosen is not None
        counts[chosen.host] += 1
        begin(made, chosen, n * MS // 4)
        running.append(chosen)
        if len(running) == 16:
            end(made, running.pop(0), latencies[chosen])
    assert 2.5 <= counts["host0"] / counts["host1"] <= 3.5


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(BY_CHANCE),
    weights=st.lists(st.integers(1, 20), min_size=2, max_size=8),
    seed=st.integers(0, 2**32),
)
def test_nobody_starves(name: str, weights: list[int], seed: int) -> None:
    servers = endpoints(*weights)
    made = policy(name, servers, seed)
    found = Counter[str]()
    running: list[Endpoint] = []
    for n in range(2000):
        chosen = made.balancer.pick(n * MS)
        assert chosen is not None
        found[chosen.host] += 1
        begin(made, chosen, n * MS)
        running.append(chosen)
        if len(running) > 8:
            end(made, running.pop(0), 8 * MS)
    assert len(found) == len(servers)
