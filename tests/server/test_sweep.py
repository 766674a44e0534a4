"""The sweep: who is looked at when, and that it rests while there is nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

from proxy.rest import REST, until_next
from proxy.server.house import Guest
from proxy.server.sweep import SWEEP, Sweep


class Visitor:
    """A guest on which something runs for so many looks; then it has ended."""

    def __init__(self, looks: int, told: Callable[[], None]) -> None:
        self.watched = self.filed = False
        self.left = looks
        self.told = told

    def tick(self, now: int) -> None:
        self.left -= 1
        self.told()

    def idle_since(self) -> int:
        return 0 if self.left > 0 else -1


def visitor(looks: int, told: Callable[[], None]) -> Guest:
    some: Any = Visitor(looks, told)
    return some


class Sweeping:
    """A sweep that runs, and the loop's times of its turns."""

    def __init__(self, *, may_rest: bool) -> None:
        self.turns: list[float] = []
        self.may_rest = may_rest
        self._came = asyncio.Event()
        self.sweep = Sweep(self._each)

    def _each(self, now: int) -> bool:
        self.turns.append(asyncio.get_running_loop().time())
        self._came.set()
        return self.may_rest

    async def until(self, turns: int) -> None:
        while len(self.turns) < turns:
            self._came.clear()
            await self._came.wait()

    def pauses(self) -> list[float]:
        return [later - sooner for sooner, later in pairwise(self.turns)]


@contextmanager
def sweeping(*, may_rest: bool) -> Iterator[Sweeping]:
    some = Sweeping(may_rest=may_rest)
    some.sweep.start()
    try:
        yield some
    finally:
        some.sweep.stop()


@pytest.mark.parametrize("now", [0.0, 0.1, 0.124, 0.126, 0.249, 0.25, 1234.5678, 1e7 + 0.3])
def test_all_rest_until_the_same_moments(now: float) -> None:
    pause = until_next(now)
    assert REST / 2 <= pause <= REST * 1.5
    assert (now + pause) / REST == pytest.approx(round((now + pause) / REST))


async def test_it_rests_while_nobody_is_watched() -> None:
    with sweeping(may_rest=True) as some:
        await some.until(5)
    assert min(some.pauses()) > SWEEP  # whatever the machine does: it was never sooner


async def test_who_comes_is_looked_at_as_if_it_had_not_rested() -> None:
    order: list[str] = []
    with sweeping(may_rest=True) as some:
        await some.until(2)
        loop = asyncio.get_running_loop()
        looked, rested = asyncio.Event(), asyncio.Event()
        loop.call_later(REST / 2, lambda: (order.append("a rest"), rested.set()))
        some.sweep.watch(visitor(1, lambda: (order.append("a look"), looked.set())))
        await looked.wait()
        await rested.wait()
    assert order == ["a look", "a rest"]


async def test_it_looks_each_time_at_who_is_busy_and_then_rests_again() -> None:
    looks: list[int] = []
    with sweeping(may_rest=True) as some:
        some.sweep.watch(visitor(4, lambda: looks.append(len(some.turns))))
        await some.until(7)
    assert looks == [0, 1, 2, 3]
    assert min(some.pauses()[3:]) > SWEEP


async def test_what_else_has_deadlines_keeps_it_from_resting() -> None:
    with sweeping(may_rest=False) as some:
        await some.until(20)
    assert min(some.pauses()) < REST / 2, "shorter than any rest, if the machine can at all"


async def test_nobody_is_looked_at_after_its_end() -> None:
    looks: list[str] = []
    with sweeping(may_rest=True) as some:
        await some.until(2)
        some.sweep.stop()
        some.sweep.watch(visitor(1, lambda: looks.append("a look")))
        later = asyncio.Event()
        asyncio.get_running_loop().call_later(3 * SWEEP, later.set)
        await later.wait()
    assert not looks
