"""Queue: batches that wait for one destination, bounded by bytes.

What was taken out stays on its account until `done`: a request under way is memory too, and a
queue that keeps its batches on disk must not forget one before the other side has it. When it is
full the newest is refused; what waits has waited longer. Single loop, no locks.
"""

from __future__ import annotations

import asyncio
from collections import deque

from proxy.collector.batch import SIGNALS, Batch, Signal


class Queue:
    """Batches in order of arrival. `limit` in bytes, 0 = no limit."""

    __slots__ = ("_closed", "_items", "_taken", "_waiting", "_wake", "limit", "size")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._waiting: deque[Batch] = deque()
        self._taken: list[Batch] = []  # as many as there are senders
        self._items: dict[Signal, int] = dict.fromkeys(SIGNALS, 0)
        self._wake = asyncio.Event()
        self._closed = False
        self.size = 0  # bytes, waiting and taken

    async def start(self) -> None:
        """Nothing to be done in memory."""

    def put(self, batch: Batch) -> bool:
        """False if there is no room, or the queue is closed."""
        if self._closed or (self.limit and self.size + batch.size > self.limit):
            return False
        batch.forget()
        self._waiting.append(batch)
        self.size += batch.size
        self._items[batch.signal] += batch.items
        self._wake.set()
        return True

    async def get(self) -> Batch | None:
        """The oldest batch, which stays counted until `done`; None when closed and empty."""
        while not self._waiting:
            if self._closed:
                return None
            self._wake.clear()
            await self._wake.wait()
        batch = self._waiting.popleft()
        self._taken.append(batch)
        return batch

    def done(self, batch: Batch) -> None:
        """The batch taken with `get` was sent, or given up."""
        self._taken.remove(batch)
        self.size -= batch.size
        self._items[batch.signal] -= batch.items

    def keep(self, batch: Batch) -> bool:
        """Whether a batch that was taken outlives the process."""
        return False

    def items(self, signal: Signal) -> int:
        """Items of that signal, waiting and taken."""
        return self._items[signal]

    def close(self) -> None:
        """Refuse what comes; `get` hands out what is there and then None."""
        self._closed = True
        self._wake.set()

    def drain(self) -> list[Batch]:
        """Give up everything, what was taken first."""
        left = [*self._taken, *self._waiting]
        self._taken.clear()
        self._waiting.clear()
        self.size = 0
        for signal in self._items:
            self._items[signal] = 0
        return left

    async def stop(self) -> None:
        """After `drain`; nothing to be done in memory."""

    def __len__(self) -> int:
        """Batches that wait."""
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<Queue {len(self._waiting)} waiting | {len(self._taken)} taken | {self.size} B>"
