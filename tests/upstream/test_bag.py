"""Draws by weight, whatever was put in and taken out before."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.bag import Bag

from .policies_kit import endpoints, within


@given(
    weights=st.lists(st.integers(1, 1000), min_size=1, max_size=12),
    changes=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 1000)), max_size=40),
)
def test_it_holds_what_was_put_in(weights: list[int], changes: list[tuple[int, int]]) -> None:
    servers = endpoints(*weights)
    bag = Bag()
    for server in servers:
        bag.put(server, server.weight)
    held = {server: server.weight for server in servers}
    for index, weight in changes:
        server = servers[index % len(servers)]
        if weight:
            bag.put(server, weight)
            held[server] = weight
        else:
            assert bag.drop(server) == held.pop(server, 0)
    assert set(bag) == set(held) and len(bag) == len(held)
    assert bag.total == sum(held.values())
    random = Random(7).random
    if held:
        assert {bag.draw(random) for _ in range(20)} <= set(held)
        first = bag.draw(random)
        another = bag.draw_another(random, first)
        assert (another is None) == (len(held) == 1) and another is not first
        assert bag.total == sum(held.values())


def test_draws_are_by_weight() -> None:
    weights = (1, 2, 3, 5, 8, 100, 90, 64)
    bag = Bag()
    for server in endpoints(*weights):
        bag.put(server, server.weight)
    random = Random(3).random
    found = Counter(bag.draw(random).host for _ in range(50_000))
    assert within(found, {f"host{i}": w / sum(weights) for i, w in enumerate(weights)})


def test_another_one_is_drawn_as_if_the_first_were_not_there() -> None:
    servers = endpoints(1_000_000, 3, 1)
    bag = Bag()
    for server in servers:
        bag.put(server, server.weight)
    random = Random(3).random
    found = Counter(
        other.host for _ in range(4000) if (other := bag.draw_another(random, servers[0]))
    )
    assert within(found, {"host1": 0.75, "host2": 0.25})


def test_a_weight_of_nothing_counts_as_one() -> None:
    bag = Bag()
    for server in endpoints(0, 0):
        bag.put(server, server.weight)
    random = Random(3).random
    assert bag.total == 2 and len({bag.draw(random) for _ in range(50)}) == 2
