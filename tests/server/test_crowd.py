"""The memory in which workers count what each client has: sums, free slots, places of the dead."""

from __future__ import annotations

import mmap

from hypothesis import given
from hypothesis import strategies as st

from proxy.server.crowd import BUCKET, CONNECTIONS, REQUESTS, SLOTS, Crowd, size, wipe

PLACES = 3
BUCKETS = SLOTS // BUCKET


def memory() -> mmap.mmap:
    return mmap.mmap(-1, size(PLACES))


def test_workers_see_what_the_others_have() -> None:
    shared = memory()
    one, two, three = (Crowd(shared, place) for place in range(PLACES))
    at = one.enter(77)
    one.put(at, 3, 5)
    two.put(two.enter(77), 10, 20)
    two.put(two.enter(77 + BUCKETS), 1000, 1000)  # in the same bucket
    assert (one.others(77, CONNECTIONS), one.others(77, REQUESTS)) == (10, 20)
    assert (three.others(77, CONNECTIONS), three.others(77, REQUESTS)) == (13, 25)
    one.leave(at)
    assert three.others(77, CONNECTIONS) == 10
    assert three.others(78, CONNECTIONS) == 0


def test_a_place_is_wiped_before_another_gets_it() -> None:
    shared = memory()
    one, two = Crowd(shared, 0), Crowd(shared, 1)
    for key in range(1, 1000):
        two.put(two.enter(key), 1, 1)
    assert one.others(500, CONNECTIONS) == 1
    wipe(shared, 1)
    assert not [key for key in range(1, 1000) if one.others(key, CONNECTIONS)]
    again = Crowd(shared, 1)
    again.put(again.enter(500), 2, 0)
    assert one.others(500, CONNECTIONS) == 2
    assert one.others(501, CONNECTIONS) == 0


def test_a_full_bucket_says_so() -> None:
    crowd = Crowd(memory(), 0)
    taken = []
    for i in range(BUCKET):
        taken.append(crowd.enter(5 + i * BUCKETS))
        crowd.put(taken[-1], 1, 0)
    assert len(set(taken)) == BUCKET and min(taken) >= 0
    assert crowd.enter(5 + BUCKET * BUCKETS) == -1
    crowd.leave(taken[3])
    assert crowd.enter(5 + BUCKET * BUCKETS) == taken[3]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 40), st.integers(0, 9)), max_size=60))
def test_sums_are_those_of_a_dict(steps: list[tuple[int, int, int]]) -> None:
    shared = memory()
    crowds = [Crowd(shared, place) for place in range(PLACES)]
    slots: dict[tuple[int, int], int] = {}
    has: dict[tuple[int, int], int] = {}
    for place, key, value in steps:
        here = (place, key)
        if value and here not in slots:
            slots[here] = crowds[place].enter(key)
        if value:
            crowds[place].put(slots[here], value, value * 2)
            has[here] = value
        elif here in slots:
            crowds[place].leave(slots.pop(here))
            del has[here]
    for key in range(1, 41):
        for place, crowd in enumerate(crowds):
            others = sum(has.get((p, key), 0) for p in range(PLACES) if p != place)
            assert crowd.others(key, CONNECTIONS) == others
            assert crowd.others(key, REQUESTS) == others * 2
