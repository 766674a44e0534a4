"""Turns of the loop: long work in shares, and nobody waits for more than one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from time import perf_counter

import pytest

from proxy.otlp.turns import SHARE, Turns, finished
from proxy.tasks import spawn


def work(
    name: str, steps: int, log: list[str], seconds: float = SHARE
) -> Generator[None, None, str]:
    for _ in range(steps):
        end = perf_counter() + seconds
        while perf_counter() < end:
            pass
        log.append(name)
        yield
    return name


async def test_long_works_take_turns() -> None:
    turns = Turns()
    log: list[str] = []
    found = await asyncio.gather(*(turns.run(work(name, 5, log)) for name in "abc"))
    assert found == ["a", "b", "c"]
    assert all(len(set(log[n : n + 3])) == 3 for n in range(3, 12, 3)), log


async def test_others_run_between_two_steps() -> None:
    turns = Turns()
    log: list[str] = []
    works = [spawn(turns.run(work("long", 10, log)), "long") for _ in range(5)]
    most = seen = 0
    while not all(one.done() for one in works):
        seen, before = len(log), seen
        most = max(most, seen - before)
        await asyncio.sleep(0)
    assert most <= 3
    assert len(log) == 50


async def test_short_work_does_not_wait_for_long_work() -> None:
    turns = Turns()
    log: list[str] = []
    long = spawn(turns.run(work("long", 50, log)), "long")
    for _ in range(5):
        await asyncio.sleep(0)
        await turns.gap()
    assert len(log) < 25
    await long


async def test_who_gives_up_lets_the_next_one_in() -> None:
    turns = Turns()
    log: list[str] = []
    works = [spawn(turns.run(work(str(n), 3, log)), str(n)) for n in range(4)]
    await asyncio.sleep(0)
    for one in works[:3]:
        one.cancel()
    assert await works[3] == "3"


async def test_an_error_is_the_caller_s() -> None:
    def wrong() -> Generator[None, None, None]:
        yield
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await Turns().run(wrong())


def test_finished_is_the_result() -> None:
    assert finished(work("x", 2, [], 0)) == "x"
