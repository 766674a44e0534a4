"""Processor `batch`: gathers batches until a bound is reached, then hands on one.

It never says yes to what it cannot keep: while what is behind has no room, one batch waits here
and senders are told to come again. A request that turns out to be none spoils only itself: the
batch is then handed on piece by piece.
"""

from __future__ import annotations

import asyncio
from collections import deque

from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.guard import REASON, Guard
from proxy.collector.join import cut, join, weight
from proxy.collector.processors.batch.settings import Settings
from proxy.otlp.envelope import Envelope
from proxy.otlp.transport import MAX_REQUEST
from proxy.otlp.wire import WireError

AGAIN = 0.05  # seconds between two offers to a stage that had no room


class BatchProcessor:
    """A Stage of one pipeline."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._signal = context.signal
        self._next = context.next
        self._account = context.account
        self._condition = context.condition
        self._timeout = settings.timeout
        self._most = settings.send_batch_size
        self._room = min(settings.send_batch_max_bytes or MAX_REQUEST, MAX_REQUEST)
        self._pieces: list[Batch] = []
        self._envelopes: set[Envelope] = set()
        self._items = 0  # in pieces
        self._size = 0
        self._ready: deque[list[Batch]] = deque()  # complete, waiting for room behind
        self._held = 0
        self._age: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle | None = None
        self._closed = False
        count = context.counters.counter
        self._by_size = count(
            "otelcol_processor_batch_batch_size_trigger_send", "Batches sent for their size."
        )
        self._by_age = count(
            "otelcol_processor_batch_timeout_trigger_send", "Batches sent for their age."
        )

    async def start(self) -> None:
        return None

    def consume(self, batch: Batch) -> bool:
        if self._closed or (self._ready and not self._hand_on()):
            return False
        if weight(batch, set()) <= self._room:
            self._add(batch)
        else:
            for part in cut(batch, self._room):
                self._add(part)
        if not self._timeout:
            self._complete()
        return True

    def held(self, signal: Signal) -> int:
        return self._held if signal == self._signal else 0

    async def stop(self, deadline: float) -> None:
        self._closed = True
        self._complete()
        end = asyncio.get_running_loop().time() + deadline
        while self._ready and not self._hand_on():
            if asyncio.get_running_loop().time() + AGAIN > end:
                break
            await asyncio.sleep(AGAIN)
        if self._again is not None:
            self._again.cancel()
        self._account.drop(self._held, "shutdown")
        self._held = 0
        self._ready.clear()

    def _add(self, batch: Batch) -> None:
        size = weight(batch, self._envelopes)
        if self._pieces and self._size + size > self._room:
            self._by_size.add()
            self._complete()
            size = weight(batch, self._envelopes)
        if (inside := batch.opened()) is not None:
            self._envelopes.add(inside[1])
        batch.forget()
        self._pieces.append(batch)
        self._size += size
        self._items += batch.items
        self._held += batch.items
        if self._items >= self._most or self._size >= self._room:
            self._by_size.add()
            self._complete()
        elif self._age is None and self._timeout:
            self._age = asyncio.get_running_loop().call_later(self._timeout, self._aged)

    def _aged(self) -> None:
        self._age = None
        self._by_age.add()
        self._complete()

    def _complete(self) -> None:
        """What was gathered is a batch now."""
        if self._age is not None:
            self._age.cancel()
            self._age = None
        if self._pieces:
            self._ready.append(self._pieces)
            self._pieces = []
            self._envelopes = set()
            self._size = self._items = 0
        self._hand_on()

    def _hand_on(self) -> bool:
        """Whether nothing is left to be handed on."""
        while self._ready:
            pieces = self._ready[0]
            try:
                with Guard(self._condition, self._signal, WireError) as guard:
                    whole = join(self._signal, pieces)
                    if not self._next.consume(whole):
                        self._ready[0] = [whole]
                        self._try_again()
                        return False
            except WireError:
                self._give_up(pieces, "malformed")
                continue
            if guard.error is not None:
                self._give_up(pieces, REASON)
                continue
            self._ready.popleft()
            self._held -= whole.items
        return True

    def _give_up(self, pieces: list[Batch], reason: str) -> None:
        """What one piece has spoilt is tried piece by piece."""
        self._ready.popleft()
        if len(pieces) > 1:
            self._ready.extendleft([piece] for piece in reversed(pieces))
            return
        self._held -= pieces[0].items
        self._account.drop(pieces[0].items, reason)

    def _try_again(self) -> None:
        if self._again is None and not self._closed:
            self._again = asyncio.get_running_loop().call_later(AGAIN, self._retry)

    def _retry(self) -> None:
        self._again = None
        self._hand_on()


def make(settings: Settings, context: Context) -> BatchProcessor:
    return BatchProcessor(settings, context)
