"""Backups, zones and slow start, around each policy."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.model import Upstream
from proxy.config.units import Seconds, Share

from .policies_kit import MS, POLICIES, counted, endpoints, policy, set_up, within

BACKUP = Upstream(backup={"http://host3": 1}, panic=Share(0.5))
HERE = Upstream(zone="a", zones={"a": ["http://host0", "http://host1"]})
EVERY = pytest.mark.parametrize("name", POLICIES)


@EVERY
def test_backups_join_when_too_few_are_up(name: str) -> None:
    servers = endpoints(1, 1, 1, 1)
    balancer = policy(name, servers, settings=BACKUP).balancer
    assert set(counted(balancer, 300)) == {"host0", "host1", "host2"}
    set_up(balancer, servers[0], False)
    assert set(counted(balancer, 300)) == {"host1", "host2"}
    set_up(balancer, servers[1], False)
    assert set(counted(balancer, 300)) == {"host2", "host3"}
    set_up(balancer, servers[2], False)
    assert set(counted(balancer, 300)) == {"host3"}
    set_up(balancer, servers[3], False)
    assert len(counted(balancer, 300)) == 4, "panic: all of them"
    for server in servers:
        set_up(balancer, server, True)
    assert set(counted(balancer, 300)) == {"host0", "host1", "host2"}


@EVERY
def test_without_a_threshold_backups_are_for_when_nobody_is_up(name: str) -> None:
    servers = endpoints(1, 1, 1, 1)
    balancer = policy(name, servers, settings=Upstream(backup=BACKUP.backup)).balancer
    for server in servers[:2]:
        set_up(balancer, server, False)
    assert set(counted(balancer, 300)) == {"host2"}
    assert balancer.pick(0, b"k", servers[2]) is servers[3], "a retry finds the backup"
    set_up(balancer, servers[2], False)
    assert set(counted(balancer, 300)) == {"host3"}
    set_up(balancer, servers[3], False)
    assert balancer.pick(0, b"k") is None


@EVERY
def test_the_own_zone_is_asked_as_long_as_it_can(name: str) -> None:
    servers = endpoints(1, 1, 1, 1)
    balancer = policy(name, servers, settings=HERE).balancer
    assert set(counted(balancer, 300)) == {"host0", "host1"}
    set_up(balancer, servers[0], False)
    found = counted(balancer, 4000)
    far = found["host2"] + found["host3"]
    assert within({"near": found["host1"], "far": far}, {"near": 0.7, "far": 0.3})
    set_up(balancer, servers[1], False)
    assert set(counted(balancer, 300)) == {"host2", "host3"}
    for server in servers:
        set_up(balancer, server, server.host in ("host0", "host1"))
    assert set(counted(balancer, 300)) == {"host0", "host1"}


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from([name for name in POLICIES if name != "maglev"]),
    changes=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["up", "down", "add", "remove"])), max_size=15
    ),
    panic=st.sampled_from([0.0, 0.5]),
    window=st.sampled_from([0, 30]),
)
def test_somebody_is_found_wherever_somebody_is(
    name: str, changes: list[tuple[int, str]], panic: float, window: int
) -> None:
    said = Upstream(
        backup={"http://host4": 1},
        panic=Share(panic),
        zone="a",
        zones=HERE.zones,
        slow_start=Seconds(window),
    )
    servers = endpoints(1, 2, 3, 4, 5)
    balancer = policy(name, servers, settings=said).balancer
    there = set(servers)
    for n, (index, change) in enumerate(changes):
        server = servers[index]
        if change == "add":
            balancer.add(server)
            there.add(server)
        elif change == "remove":
            balancer.remove(server)
            there.discard(server)
        else:
            set_up(balancer, server, change == "up")
        up = {server for server in there if server.up}
        for key in (None, b"k"):
            chosen = balancer.pick(n * MS, key)
            if up:
                assert chosen in up or (panic and chosen in there)
            else:
                assert chosen is None or (panic and chosen in there)


@EVERY
def test_who_comes_back_gets_less_at_first(name: str) -> None:
    servers = endpoints(*[1] * 4)
    balancer = policy(name, servers, settings=Upstream(slow_start=Seconds(30))).balancer
    assert len(counted(balancer, 400)) == 4, "who was there from the beginning is warm"
    full = counted(balancer, 4000)["host3"]
    set_up(balancer, servers[3], False)
    set_up(balancer, servers[3], True)
    counts = [
        counted(balancer, 4000, now=seconds * 1000 * MS)["host3"] for seconds in (0, 6, 15, 40)
    ]
    assert 0.03 * full < counts[0] < 0.3 * full
    assert counts[0] < counts[1] < counts[2] < counts[3]
    assert counts[3] > 0.9 * full


@EVERY
def test_where_most_are_new_nobody_waits(name: str) -> None:
    servers = endpoints(*[1] * 4)
    balancer = policy(name, servers[:1], settings=Upstream(slow_start=Seconds(30))).balancer
    for server in servers[1:]:
        balancer.add(server)
    found = counted(balancer, 4000)
    assert min(found.values()) > 600 and len(found) == 4
    late = endpoints(1, 1, 1, 1, 1)[4]
    counted(balancer, 100, now=60_000 * MS)
    balancer.add(late)
    assert counted(balancer, 4000, now=60_000 * MS)["host4"] < 300, "its age is its own"


def test_keys_of_a_new_server_come_over_one_after_the_other() -> None:
    servers = endpoints(*[1] * 4)
    balancer = policy("maglev", servers, settings=Upstream(slow_start=Seconds(30))).balancer
    set_up(balancer, servers[0], False)
    set_up(balancer, servers[0], True)
    keys = [b"%d" % n for n in range(2000)]
    own: set[bytes] = set()
    for seconds in range(0, 31, 3):
        now = seconds * 1000 * MS
        taken = {key for key in keys if balancer.pick(now, key) is servers[0]}
        assert own <= taken, "what it had it keeps"
        own = taken
    assert len(own) > 400
