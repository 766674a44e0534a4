"""Turns between those who want the same, against plain queues that cannot be wrong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.access.turns import FULL, FULL_HERE, TAKEN, Turns, whose


def test_addresses_take_turns() -> None:
    turns: Turns[str] = Turns(9, 99)
    for work in ("a1", "a2", "a3", "b1", "a4", "c1", "b2"):
        assert turns.add(work[0], work) == TAKEN
    given_out = [turns.next() for _ in range(8)]
    assert given_out == ["a1", "b1", "c1", "a2", "b2", "a3", "a4", None]


def test_a_newcomer_waits_for_one_of_each_at_most() -> None:
    turns: Turns[str] = Turns(50, 99)
    for n in range(50):
        turns.add("flood", f"flood{n}")
    assert turns.next() == "flood0"
    turns.add("new", "new")
    assert [turns.next(), turns.next()] == ["flood1", "new"]


def test_both_bounds() -> None:
    turns: Turns[int] = Turns(2, 3)
    assert [turns.add("a", n) for n in range(3)] == [TAKEN, TAKEN, FULL_HERE]
    assert [turns.add(name, 9) for name in "bcd"] == [TAKEN, FULL, FULL]
    assert turns.next() == 0
    assert turns.add("c", 9) == TAKEN


def test_what_is_dropped_is_not_given_out() -> None:
    turns: Turns[str] = Turns(9, 9)
    for work in ("a1", "a2", "b1"):
        turns.add(work[0], work)
    assert turns.drop("a", "a1")
    assert not turns.drop("a", "a1")
    assert not turns.drop("z", "a1")
    assert turns.drop("b", "b1")
    assert (turns.waiting, turns.next(), turns.next()) == (1, "a2", None)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3))))
def test_nothing_is_lost_and_the_bounds_hold(steps: list[tuple[str, int]]) -> None:
    turns: Turns[tuple[str, int]] = Turns(3, 6)
    held: dict[str, list[tuple[str, int]]] = {}
    for number, (address, what) in enumerate(steps):
        mine, total = held.setdefault(address, []), sum(map(len, held.values()))
        if what == 0:
            work = turns.next()
            assert (work is None) == (total == 0)
            if work is not None:
                assert held[work[0]].pop(0) == work  # in the order of one address
        elif what == 1 and mine:
            assert turns.drop(address, mine.pop(0))
        elif what > 1:
            taken = turns.add(address, (address, number))
            assert (taken == TAKEN) == (len(mine) < 3 and total < 6)
            if taken == TAKEN:
                mine.append((address, number))
        assert turns.waiting == sum(map(len, held.values()))


def test_whose_an_address_is() -> None:
    assert whose("10.1.2.3") == "10.1.2.3"
    assert whose("2001:db8::1") == whose("2001:db8::ffff:1") != whose("2001:db8:0:1::1")
    assert whose("fe80::1%eth0") == whose("fe80::2")
    assert whose("") == ""
