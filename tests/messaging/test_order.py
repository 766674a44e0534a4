"""Which message may go when, and how far a partition is done."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from proxy.messaging.order import Lanes, Offsets

KEYS = st.lists(st.sampled_from(["a", "b", "c", None]), max_size=30)


@given(KEYS, st.integers(1, 4), st.randoms(use_true_random=False))
def test_keys_keep_their_order_and_nothing_is_lost(keys, concurrency, chance) -> None:  # type: ignore[no-untyped-def]
    lanes: Lanes[tuple[str | None, int]] = Lanes(concurrency)
    coming = [(key, number) for number, key in enumerate(keys)]
    ended: list[tuple[str | None, int]] = []
    running: list[tuple[object, tuple[str | None, int]]] = []
    while coming or running or lanes.waiting:
        if coming and chance.random() < 0.5:
            item = coming.pop(0)
            lanes.put(item if item[0] is None else item[0], item)
        while (found := lanes.next()) is not None:
            running.append(found)
        assert len(running) == lanes.under_way <= concurrency
        own = [lane for lane, _ in running]
        assert len(own) == len(set(own))
        # whoever may go does: no room is left while a lane is free
        free = set(map(_lane, lanes.items())) - set(own)
        assert len(running) == concurrency or not free
        if running:
            lane, item = running.pop(chance.randrange(len(running)))
            lanes.end(lane)
            ended.append(item)
    by_key = defaultdict(list)
    for key, number in ended:
        by_key[key].append(number)
    assert sorted(ended, key=lambda e: e[1]) == [(k, n) for n, k in enumerate(keys)]
    assert all(by_key[key] == sorted(by_key[key]) for key in by_key if key is not None)


def _lane(item: tuple[str | None, int]) -> object:
    return item if item[0] is None else item[0]


def test_what_is_dropped_does_not_go() -> None:
    lanes: Lanes[str] = Lanes(2)
    for item in ("a1", "a2", "b1"):
        lanes.put(item[0], item)
    assert lanes.next() == ("a", "a1")
    lanes.drop({"a2", "b1"})
    assert (lanes.next(), lanes.waiting) == (None, 0)
    lanes.put("a", "a3")
    assert lanes.next() is None  # a1 is under way
    lanes.end("a")
    assert lanes.next() == ("a", "a3")


@given(st.sets(st.integers(0, 40), min_size=1), st.randoms(use_true_random=False))
def test_a_position_passes_only_what_is_done(taken, chance) -> None:  # type: ignore[no-untyped-def]
    """Whatever the order in which messages end; logs that were compacted have gaps."""
    offsets = Offsets()
    for offset in sorted(taken):
        offsets.take(offset)
    left, order = set(taken), sorted(taken, key=lambda _: chance.random())
    assert offsets.position == min(taken)
    for offset in order:
        before = offsets.position
        moved = offsets.end(offset)
        left.remove(offset)
        assert moved == (offsets.position != before)
        assert not left or offsets.position <= min(left)
        assert all(o < offsets.position for o in taken - left if not left or o < min(left))
    assert offsets.position == max(taken) + 1
