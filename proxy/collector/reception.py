"""Reception: who asks for recent telemetry gets an answer, a few milliseconds of work at a time.

The same in the collector's own process, where questions come by the link (process.py), and in the
hub's. A question has MOST_SECONDS; ANSWERS of them are worked on at once and the others wait, so
that who asks a hundred things slows whoever else asks, and not the collector.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import parse_qs

from proxy.recent.desk import Desk, Reply, refusal
from proxy.recent.ring import Ring, Stored
from proxy.recent.tap import Viewer, take
from proxy.tasks import cancel, spawn

log = logging.getLogger("spangate")

TURN = 0.004  # seconds of work in one turn of the loop
SHORT_TURN = 0.0005  # of what is done again and again, beside workers that are at work
REST = 0.001  # seconds between two turns
ANSWERS = 2  # at once
MOST_SECONDS = 20.0
TELL_EVERY = 0.1  # seconds between two lots of requests for who watches
MOST_WAITING = 64  # batches that wait for that; older ones are left out

Tell = Callable[[Sequence[str], int], None]


class Reception:
    """That of one ring."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self.desk = Desk(ring)
        self._places = asyncio.Semaphore(ANSWERS)
        self._viewers: dict[int, Viewer] = {}
        self._next = 0
        self._waiting: list[Stored] = []
        self._telling: asyncio.Task[None] | None = None

    async def ask(self, target: str, accept: str) -> Reply:
        """The answer to that path and query."""
        try:
            async with asyncio.timeout(MOST_SECONDS), self._places:
                return await self._work(target, accept)
        except TimeoutError:
            return refusal(503, f"no answer within {MOST_SECONDS:.0f} s; ask for less")
        except Exception:  # whoever asks is told at once, and the collector goes on
            log.exception("a question could not be answered", extra={"key": "recent.failed"})
            return refusal(500, "this could not be answered; the collector's log says why")

    async def _work(self, target: str, accept: str) -> Reply:
        steps = self.desk.ask(target, accept, time.time_ns())
        end = time.perf_counter() + TURN
        while True:
            try:
                wait = next(steps)
            except StopIteration as answered:
                reply: Reply = answered.value
                return reply
            if wait is not None:  # for the disk
                await asyncio.wrap_future(wait)
                end = time.perf_counter() + TURN
            if time.perf_counter() > end:
                await asyncio.sleep(REST)
                end = time.perf_counter() + TURN

    def tap(self, query: str, tell: Tell) -> int:
        """Tell of requests from now on; a number to stop it by.

        Raises ValueError, in words, for a filter that cannot be understood.
        """
        viewer = Viewer(parse_qs(query, keep_blank_values=True, max_num_fields=64), tell)
        self._next += 1
        self._viewers[self._next] = viewer
        if self._telling is None:
            self._ring.followers.append(self._came)
            self._telling = spawn(self._tell(), "tell who watches")
        return self._next

    def untap(self, number: int) -> None:
        self._viewers.pop(number, None)

    async def close(self) -> None:
        self._viewers.clear()
        await cancel(self._telling)

    def _came(self, stored: Stored) -> None:
        if stored.signal == "logs" and stored.is_own:
            self._waiting.append(stored)
            if len(self._waiting) > MOST_WAITING:
                for viewer in self._viewers.values():
                    viewer.missed += self._waiting[0].items
                del self._waiting[0]

    async def _tell(self) -> None:
        """As long as somebody watches."""
        try:
            while self._viewers:
                await asyncio.sleep(TELL_EVERY)
                batches, self._waiting = self._waiting, []
                if batches:
                    await _gently(take(batches, list(self._viewers.values())))
        finally:
            self._ring.followers.remove(self._came)
            self._waiting = []
            self._telling = None


async def _gently(steps: Iterator[None]) -> None:
    """All of them, with a rest after each SHORT_TURN."""
    end = time.perf_counter() + SHORT_TURN
    for _ in steps:
        if time.perf_counter() > end:
            await asyncio.sleep(REST)
            end = time.perf_counter() + SHORT_TURN
