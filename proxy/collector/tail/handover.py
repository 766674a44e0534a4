"""Handover: batches that are on their way out, offered again while nothing behind has room."""

from __future__ import annotations

import asyncio
from collections import deque

from proxy.collector.batch import Batch
from proxy.collector.context import Context
from proxy.otlp.wire import WireError

AGAIN = 0.05  # seconds between two offers


class Handover:
    """Answers for `items` spans in `size` bytes."""

    __slots__ = ("_account", "_closed", "_next", "_ready", "_timer", "items", "size")

    def __init__(self, context: Context) -> None:
        self._next = context.next
        self._account = context.account
        self._ready: deque[Batch] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.items = 0
        self.size = 0

    def put(self, batch: Batch) -> None:
        """To be offered at the next `flush`."""
        self._ready.append(batch)
        self.items += batch.items
        self.size += batch.size

    def flush(self) -> bool:
        """Whether nothing is left."""
        while self._ready:
            batch = self._ready[0]
            items, size = batch.items, batch.size
            try:
                taken = self._next.consume(batch)
            except WireError:
                self._account.drop(items, "malformed")
                taken = True
            if not taken:
                self._try_again()
                return False
            self._ready.popleft()
            self.items -= items
            self.size -= size
        return True

    async def finish(self, end: float) -> None:
        """Offer until `end` (the loop's time); what is left then is dropped{shutdown}."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        while not self.flush() and loop.time() + AGAIN <= end:
            await asyncio.sleep(AGAIN)
        self._account.drop(self.items, "shutdown")
        self._ready.clear()
        self.items = self.size = 0

    def _try_again(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(AGAIN, self._retry)

    def _retry(self) -> None:
        self._timer = None
        self.flush()
