"""Processor `group_by_trace`: gathers the spans of each trace and hands them on as one batch.

A trace goes `wait_duration` after its first span, or earlier, the oldest first, when there is no
room for more. Spans that come later make a trace of their own. While nothing behind has room,
nothing more is taken.
"""

from __future__ import annotations

import asyncio

from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.processors.group_by_trace.settings import Settings
from proxy.collector.tail.cut import cut
from proxy.collector.tail.handover import Handover
from proxy.collector.tail.pace import Pace
from proxy.collector.tail.pack import Pack
from proxy.collector.tail.rhythm import Rhythm
from proxy.collector.tail.waiting import Waiting

AT_ONCE = 500  # traces handed on before others get their turn
_NAME = "otelcol_processor_groupbytrace_"


class GroupByTrace:
    """A Stage of one pipeline."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._signal = context.signal
        self._account = context.account
        self._waiting = Waiting(settings.wait_duration)
        self._out = Handover(context)
        self._pace = Pace(context.now_ns)
        self._rhythm = Rhythm(self.tick)
        self._closed = False
        counters = context.counters
        self._released = counters.counter(_NAME + "traces_released", "Traces handed on.")
        self._evicted = counters.counter(
            _NAME + "traces_evicted", "Traces handed on early, for want of room."
        )
        waiting = self._waiting
        counters.gauge(_NAME + "num_traces_in_memory", "Traces that wait.", lambda: len(waiting))

    async def start(self) -> None:
        return None

    def held(self, signal: Signal) -> int:
        return self._waiting.spans + self._out.items if signal == self._signal else 0

    def consume(self, batch: Batch) -> bool:
        if self._closed or not self._out.flush():
            return False
        pieces = cut(batch.payload)
        now = self._pace()
        found = 0
        for piece in pieces:
            found += piece.spans
            if piece.trace_id:
                self._waiting.add(piece, now)
            else:
                self._account.drop(piece.spans, "malformed")
        # The books were opened with the sender's word on the number of spans.
        if found > batch.items:
            self._account.add(found - batch.items)
        else:
            self._account.drop(batch.items - found, "malformed")
        while self._is_over() and self._waiting.traces:
            self._evicted.add()
            self._release()
        self._out.flush()
        if self._waiting.traces:
            self._rhythm.need(self._waiting.next_due() - now)
        return True

    def tick(self) -> float:
        """Hand on what is due; seconds until there is more to do, infinity if nothing waits."""
        if not self._out.flush():
            return 0.1
        now = self._pace()
        for _ in range(AT_ONCE):
            if self._waiting.next_due() > now:
                break
            self._release()
        self._out.flush()
        return self._waiting.next_due() - now

    async def stop(self, deadline: float) -> None:
        self._closed = True
        self._rhythm.stop()
        end = asyncio.get_running_loop().time() + deadline
        while self._waiting.traces:
            self._release()
        await self._out.finish(end)

    def _release(self) -> None:
        """The oldest."""
        pending = self._waiting.pop(self._waiting.oldest())
        pack = Pack()
        for batch in pack.add(pending.parts):
            self._out.put(batch)
        self._out.put(pack.take())
        self._waiting.forget(pending.parts)
        self._released.add()

    def _is_over(self) -> bool:
        limit = self._settings.memory_limit
        return len(self._waiting) > self._settings.num_traces or (0 < limit < self._waiting.memory)


def make(settings: Settings, context: Context) -> GroupByTrace:
    return GroupByTrace(settings, context)
