"""Processor `tail_sampling`: keeps or drops whole traces, when they are complete.

Spans wait as bytes until `decision_wait` has passed; then the policies judge the trace, once, and
spans that come later follow that decision. When there is no room for more, the oldest trace is
judged by what it has: nothing is ever dropped without a decision, and its late spans follow too.
While nothing behind has room, nothing more is judged or taken.
"""

from __future__ import annotations

import asyncio

from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.guard import REASON, Guard
from proxy.collector.processors.tail_sampling.settings import Settings
from proxy.collector.tail.cut import Piece, cut
from proxy.collector.tail.frames import scope_note
from proxy.collector.tail.handover import Handover
from proxy.collector.tail.judge import Decision
from proxy.collector.tail.memo import Memo
from proxy.collector.tail.pace import Pace
from proxy.collector.tail.pack import Pack, weighted
from proxy.collector.tail.policies import build
from proxy.collector.tail.rhythm import Rhythm
from proxy.collector.tail.tally import Tally, by_policy
from proxy.collector.tail.trace import Trace
from proxy.collector.tail.waiting import (
    PART_OVERHEAD,
    ROOT_OVERHEAD,
    TRACE_OVERHEAD,
    Pending,
    Waiting,
)
from proxy.telemetry.protobuf import attributes

AT_ONCE = 2000  # spans judged before others get their turn: 6 to 25 ms


class TailSampling:
    """A Stage of one pipeline."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._account = context.account
        self._signal = context.signal
        self._condition = context.condition
        self._judge, names = build(settings.policies, settings.sample_on_first_match)
        self._notes = [self._note(name) for name in names]
        self._waiting = Waiting(settings.decision_wait, settings.decision_wait_after_root_received)
        cache = settings.decision_cache
        self._kept: Memo[Decision] = Memo(cache.sampled_cache_size or settings.num_traces)
        self._gone: Memo[Decision] = Memo(cache.non_sampled_cache_size or settings.num_traces)
        self._pack = Pack()
        self._out = Handover(context)
        self._pace = Pace(context.now_ns)
        self._rhythm = Rhythm(self.tick)
        self._closed = False
        self._tally = Tally(context.counters, self._waiting)
        self._judge.counts = by_policy(context.counters, names)

    async def start(self) -> None:
        return None

    def held(self, signal: Signal) -> int:
        waiting = self._waiting.spans + self._pack.spans + self._out.items
        return waiting if signal == self._signal else 0

    def consume(self, batch: Batch) -> bool:
        if self._closed or not self._out.flush():
            return False
        pieces = cut(batch.payload)
        now = self._pace()
        if self._settings.block_on_overflow and not self._fits(pieces, batch.size):
            self._account.refusal = "tail_sampling_full"
            return False
        for piece in pieces:
            self._take(piece, now, batch.receipt)
        self._agree(batch.items, sum(piece.spans for piece in pieces))
        while self._is_over() and self._waiting.traces:
            self._tally.early.add()
            self._decide(self._waiting.pop(self._waiting.oldest()), now)
        self._send()
        if self._waiting.traces:
            self._rhythm.need(self._waiting.next_due() - now)
        return True

    def tick(self) -> float:
        """Judge what is due; seconds until there is more to do, infinity if nothing waits."""
        if not self._out.flush():
            return 0.1
        now = self._pace()
        judged = 0
        while judged < AT_ONCE and (pending := self._waiting.pop_due(now)) is not None:
            judged += pending.spans
            self._decide(pending, now)
        self._send()
        return self._waiting.next_due() - now

    async def stop(self, deadline: float) -> None:
        self._closed = True
        self._rhythm.stop()
        end = asyncio.get_running_loop().time() + deadline
        if not self._settings.drop_pending_traces_on_shutdown:
            await self._decide_all(end)
        self._account.drop(self._waiting.spans + self._pack.spans, "shutdown")
        self._pack = Pack()
        while self._waiting.traces:
            self._waiting.forget(self._waiting.pop(self._waiting.oldest()).parts)
        await self._out.finish(end)

    async def _decide_all(self, end: float) -> None:
        loop = asyncio.get_running_loop()
        now = self._pace()
        while self._waiting.traces:
            enough = self._waiting.spans - AT_ONCE
            while self._waiting.traces and self._waiting.spans > enough:
                self._decide(self._waiting.pop(self._waiting.oldest()), now)
            await asyncio.sleep(0)
            if loop.time() > end:
                break
        self._send()

    def _take(self, piece: Piece, now: float, receipt: object) -> None:
        trace_id = piece.trace_id
        if not trace_id:
            self._account.drop(piece.spans, "malformed")
        elif (decision := self._kept.get(trace_id) or self._gone.get(trace_id)) is not None:
            self._late(piece, decision, receipt)
        else:
            new = trace_id not in self._waiting.traces
            pending = self._waiting.add(piece, now, receipt)
            self._tally.new.add(new)
            limit = self._settings.maximum_trace_size_bytes
            if limit and pending.size > limit:
                self._tally.too_large.add()
                self._drop(self._waiting.pop(pending), Decision(False))

    def _late(self, piece: Piece, decision: Decision, receipt: object) -> None:
        self._tally.late[decision.sampled].add(piece.spans)
        if not decision.sampled:
            self._account.drop(piece.spans, "sampled")
            return
        frame = self._waiting.frames.take(piece.resource, piece.scope)
        parts = [(frame, piece.data, piece.spans)]
        receipts = [] if receipt is None else [receipt]
        trace = Trace(piece.trace_id, parts, piece.spans, receipts)
        self._keep(trace, decision)

    def _decide(self, pending: Pending, now: float) -> None:
        trace = Trace(pending.trace_id, pending.parts, pending.spans, pending.receipts)
        with Guard(self._condition, self._signal) as guard:
            decision = self._judge.decide(trace, now)
        if guard.error is not None:
            self._account.drop(pending.spans, REASON)
            self._waiting.forget(pending.parts)
            return
        self._tally.decided[decision.sampled].add()
        self._tally.untimed.add(trace.untimed)
        if decision.sampled:
            self._kept.put(pending.trace_id, decision)
            self._keep(trace, decision)
        else:
            self._drop(pending, decision)

    def _keep(self, trace: Trace, decision: Decision) -> None:
        """Give its spans away, marked with the decision."""
        decoded = trace.decoded if decision.th else []
        whole = trace.parts + trace.malformed
        if trace.malformed:
            self._account.drop(sum(part[2] for part in trace.malformed), "malformed")
        parts = weighted(decoded, decision.th.decode()) if decision.th else trace.parts
        for batch in self._pack.add(parts, self._notes[decision.by], trace.receipts):
            self._out.put(batch)
        self._waiting.forget(whole)

    def _drop(self, pending: Pending, decision: Decision) -> None:
        self._gone.put(pending.trace_id, decision)
        self._account.drop(pending.spans, "sampled")
        self._waiting.forget(pending.parts)

    def _send(self) -> None:
        if self._pack.spans:
            self._out.put(self._pack.take())
        self._out.flush()

    def _fits(self, pieces: list[Piece], size: int) -> bool:
        """Whether there is room without deciding early; the same may be offered again."""
        known = self._waiting.traces
        new = {piece.trace_id for piece in pieces} - known.keys()
        limit = self._settings.memory_limit
        size += len(pieces) * (TRACE_OVERHEAD + PART_OVERHEAD + ROOT_OVERHEAD)
        if len(known) + len(new) <= self._settings.num_traces and (
            not limit or self._waiting.memory + size <= limit
        ):
            return True
        # What is larger than all the room there is can never fit: it is decided on early.
        return not known

    def _is_over(self) -> bool:
        limit = self._settings.memory_limit
        return len(self._waiting) > self._settings.num_traces or (
            0 < limit < self._waiting.memory + self._out.size
        )

    def _agree(self, said: int, found: int) -> None:
        """The books were opened with the sender's word on the number of spans."""
        if found > said:
            self._account.add(found - said)
        else:
            self._account.drop(said - found, "malformed")

    def _note(self, name: str) -> bytes:
        if not self._settings.record_policy:
            return b""
        return scope_note(attributes(3, [("tailsampling.policy", name)]))


def make(settings: Settings, context: Context) -> TailSampling:
    return TailSampling(settings, context)
