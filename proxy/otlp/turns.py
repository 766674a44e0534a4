"""Turns: how much of what strangers sent is worked on in one turn of the event loop.

Long work is a generator that yields where others may run; `run` steps it. Short work asks
`is_spent` first, and waits with `gap` if this turn has had its share. Whoever waits comes back in
turn, so that many large requests are late for each other and nobody else is late for them. Knows
nothing of what the work is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from time import perf_counter
from typing import TypeVar

SHARE = 0.005  # seconds of a turn

Result = TypeVar("Result")


class Turns:
    """One for all receivers of a process."""

    __slots__ = ("_end", "_passed", "_thread", "_waiting")

    def __init__(self) -> None:
        self._end = 0.0  # when this turn's share is over; 0 = nothing was done in it yet
        self._passed = 0  # works that were begun in it
        self._thread = asyncio.Lock()
        self._waiting: deque[asyncio.Future[bool]] = deque()

    def is_spent(self) -> bool:
        """Whether this turn has had its share; else what follows is part of it."""
        if not self._end:
            self._open()
        elif perf_counter() >= self._end:
            return True
        self._passed += 1
        return False

    async def gap(self) -> None:
        """Wait for a turn, if this one has had its share."""
        if self.is_spent():
            await self._wait()

    async def run(self, work: Generator[None, None, Result]) -> Result:
        """Step it to its end, at most a share in each turn; returns and raises what it does."""
        try:
            while True:
                if self.is_spent():
                    await self._wait()
                next(work)
                while perf_counter() < self._end:
                    next(work)
        except StopIteration as over:
            result: Result = over.value
            return result
        finally:
            work.close()

    async def thread(self, work: Callable[[], Result]) -> Result:
        """Do in a thread what is Python all through, so that the loop gets its turn meanwhile.

        One at a time: more would not be faster, and hold up the loop and each other.
        """
        async with self._thread:
            return await asyncio.to_thread(work)

    async def _wait(self) -> None:
        queue = self._waiting.append
        while True:
            turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            queue(turn)
            if await turn or not self.is_spent():
                return
            queue = self._waiting.appendleft

    def _next(self) -> None:
        """Let in of those who wait as many as the last share was enough for; one at any rate."""
        room, self._passed = max(1, self._passed), 0
        self._end = 0.0
        is_first = True
        while self._waiting and room:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(is_first)
                is_first = False
                room -= 1
        if self._waiting:  # those who were let in may have been cancelled
            self._open()

    def _open(self) -> None:
        self._end = perf_counter() + SHARE
        asyncio.get_running_loop().call_soon(self._next)


def finished(work: Generator[None, None, Result]) -> Result:
    """The result of work that nobody waits for, such as in a thread of its own."""
    while True:
        try:
            next(work)
        except StopIteration as over:
            result: Result = over.value
            return result
