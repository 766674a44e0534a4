"""Exporter: delivers batches to one OTLP destination, in the order queue → retry → timeout.

Owns the destination's queue and the tasks that empty it; the transport owns connections, and
`otlp/status.py` the meaning of answers. Destinations share nothing but immutable batches, so a
dead one holds up nobody.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from random import random
from typing import Protocol

from proxy import tasks
from proxy.collector import guard
from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.exporters import unwanted
from proxy.collector.guard import Guard
from proxy.collector.parts import Queue as QueueSettings
from proxy.collector.parts import Retry, TlsClient
from proxy.collector.queues.disk.queue import AnyQueue, make_queue
from proxy.collector.retry import Backoff, backoff
from proxy.errors import ConfigError, Problem
from proxy.otlp.connect import connect
from proxy.otlp.endpoint import Endpoint
from proxy.otlp.partial import amount
from proxy.otlp.status import Outcome, Verdict
from proxy.otlp.transport import MAX_REQUEST, Options, SendPieces, Transport

_TOO_LATE = Outcome(Verdict.RETRY, "shutdown")
_UNWANTED = Outcome(Verdict.PERMANENT, unwanted.REASON)
_SURPRISE = Outcome(Verdict.RETRY, guard.REASON)
_OURS = (_TOO_LATE.reason, _UNWANTED.reason, _SURPRISE.reason)  # those that no answer gave


class OtlpExporter:
    """A Stage."""

    def __init__(
        self,
        transport: Transport,
        queue: AnyQueue,
        backoff: Backoff,
        context: Context,
        *,
        concurrency: int = 4,
        pauses: bool = False,
    ) -> None:
        """`pauses`: each signal has an address of its own, which may not be there."""
        self.name = context.id
        self.queue = queue
        self._transport = transport
        self._in_pieces: SendPieces | None = getattr(transport, "send_pieces", None)
        self._backoff = backoff
        self._ledgers = context.ledgers
        self._concurrency = concurrency
        self._senders: list[asyncio.Task[None]] = []
        self._condition = context.condition
        self._pauses = pauses
        self._unwanted = unwanted.Unwanted()
        self._quiet_until = 0.0  # loop time before which the collector wants to hear nothing
        self._hurry = asyncio.Event()  # set when stopping: a pause is cut short once
        self._end = math.inf  # loop time by which everything must be over

    async def start(self) -> None:
        try:
            await self._transport.start()
        except ValueError as error:
            raise ConfigError([Problem("", f"{self.name}: {error}")]) from error
        await self.queue.start()
        self._senders = [
            tasks.spawn(self._deliver(), f"export {self.name}") for _ in range(self._concurrency)
        ]

    def consume(self, batch: Batch) -> bool:
        if batch.size > MAX_REQUEST:
            self._ledgers[batch.signal].drop(batch.items, "too_large")
            return True
        if self._unwanted and self._unwanted.is_closed(batch.signal, self._now()):
            self._ledgers[batch.signal].drop(batch.items, unwanted.REASON)
            return True
        if self.queue.put(batch):
            return True
        self._condition.warn("queue full, refusing telemetry")
        return False

    def held(self, signal: Signal) -> int:
        return self.queue.items(signal)

    async def stop(self, deadline: float) -> None:
        self.queue.close()
        self._end = asyncio.get_running_loop().time() + deadline
        self._hurry.set()
        if self._senders:
            await asyncio.wait(self._senders, timeout=deadline)
        await tasks.cancel(*self._senders)
        self._senders.clear()  # they hold what they were sending
        for batch in self.queue.drain():
            self._ledgers[batch.signal].drop(batch.items, "shutdown")
        await self.queue.stop()
        await self._transport.close()

    async def _deliver(self) -> None:
        """One batch after the other, whatever becomes of it, until there are no more."""
        batch: Batch | None = None
        while True:
            with Guard(self._condition) as guarded:
                batch = await self.queue.get()
                if batch is None:
                    return
                self._book(batch, await self._settle(batch))
            if guarded.error is not None:
                await self._give_up(batch)
            batch = None  # or its receipt would be kept until the next one comes

    async def _give_up(self, batch: Batch | None) -> None:
        """After what nobody expected of the queue, or of this very module."""
        with Guard(self._condition) as guarded:
            if batch is not None:
                self.queue.done(batch)
        if batch is not None and guarded.error is None:
            self._ledgers[batch.signal].drop(batch.items, guard.REASON)
        await self._rest(guard.PAUSE)

    async def _settle(self, batch: Batch) -> Outcome:
        """Attempts until the batch is accepted, refused, or given up (a RETRY outcome)."""
        if not self._unwanted.is_let_through(batch.signal, self._now()):
            return _UNWANTED
        return await self._persist(batch)

    async def _persist(self, batch: Batch) -> Outcome:
        """A stop that comes meanwhile allows one more try at once, and those that fit its time."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        attempt = 0
        while True:
            if self._quiet_until > self._end:
                return _TOO_LATE
            await self._rest(self._quiet_until - loop.time())
            attempt += 1
            stopping = self._hurry.is_set()
            outcome = await self._attempt(batch)
            if outcome.verdict is not Verdict.RETRY:
                return outcome
            now = loop.time()
            if outcome is not _SURPRISE:
                self._condition.warn(f"{outcome.reason}: {outcome.message}", batch.signal)
            pause = self._backoff.pause(attempt, outcome.delay, now - begun, random)
            if pause is None:
                return outcome
            if outcome is _SURPRISE and attempt >= guard.TRIES:
                return Outcome(Verdict.PERMANENT, guard.REASON)
            if outcome.delay:  # asked for by the collector, so it holds for every sender
                self._quiet_until = max(self._quiet_until, now + pause)
            if stopping and now + pause > self._end:
                return _TOO_LATE
            if stopping or not self._hurry.is_set():
                await self._rest(pause)

    async def _attempt(self, batch: Batch) -> Outcome:
        with Guard(self._condition, batch.signal):
            if self._in_pieces is not None and len(batch.pieces) > 1:
                return await self._in_pieces(batch.signal, batch.pieces, batch.items)
            return await self._transport.send(batch.signal, batch.payload, batch.items)
        return _SURPRISE

    async def _rest(self, seconds: float) -> None:
        """Sleep; the stop of the exporter ends a sleep that had begun before it."""
        if seconds <= 0:
            return
        if self._hurry.is_set():
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return

    def _book(self, batch: Batch, outcome: Outcome) -> None:
        """One step without an await: the batch leaves the queue and enters the books."""
        if outcome is _TOO_LATE and self.queue.keep(batch):
            return
        ledger = self._ledgers[batch.signal]
        self.queue.done(batch)
        if outcome.verdict is Verdict.ACCEPTED:
            ledger.exported += batch.items - outcome.rejected
            ledger.drop(outcome.rejected, "rejected")
        elif outcome.reason in _OURS:
            ledger.drop(batch.items, outcome.reason)
        elif outcome.verdict is Verdict.RETRY:
            ledger.drop(batch.items, "retry_exhausted")
        else:
            ledger.drop(batch.items, f"permanent_{outcome.reason}")
        self._tell(batch, outcome)

    def _tell(self, batch: Batch, outcome: Outcome) -> None:
        """How it is with the exporter now."""
        signal, condition = batch.signal, self._condition
        if outcome.verdict is Verdict.RETRY or outcome.reason in _OURS:
            return
        if self._pauses and self._unwanted.judge(signal, outcome, self._now()):
            others = [name for name in self._ledgers if name not in self._unwanted]
            what = f"{signal} are not taken, {outcome.reason}: {outcome.message}; they are dropped"
            remedy = unwanted.remedy(self.name, signal, others)
            condition.pause(signal, f"{what} and tried again seldom: {remedy}")
        elif outcome.verdict is Verdict.PERMANENT:
            condition.warn(f"refused for good, {outcome.reason}: {outcome.message}", signal)
        elif outcome.rejected or outcome.message:
            rejected = amount(outcome.rejected, signal)
            condition.warn(f"{rejected} rejected: {outcome.message}", signal)
        else:
            condition.over("delivering", signal)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class _Settings(Protocol):
    """What the settings of all OTLP exporters have."""

    @property
    def headers(self) -> dict[str, str]: ...
    @property
    def compression(self) -> str: ...
    @property
    def timeout(self) -> float: ...
    @property
    def tls(self) -> TlsClient: ...
    @property
    def retry_on_failure(self) -> Retry: ...
    @property
    def sending_queue(self) -> QueueSettings: ...


def build(
    settings: _Settings,
    endpoint: Endpoint,
    context: Context,
    transport: Callable[[Endpoint, Options], Transport] = connect,
    *,
    pauses: bool = True,
) -> OtlpExporter:
    """The exporter of one destination; `transport` makes its transport, not started."""
    queue, tls = settings.sending_queue, settings.tls
    options = Options(
        headers=settings.headers,
        compression=settings.compression,
        timeout=settings.timeout,
        concurrency=queue.num_consumers,
        ca=tls.ca,
        cert=tls.cert,
        key=tls.key,
        verify=not tls.insecure_skip_verify,
    )
    return OtlpExporter(
        transport(endpoint, options),
        make_queue(queue, context),
        backoff(settings.retry_on_failure, queue),
        context,
        concurrency=queue.num_consumers,
        pauses=pauses,
    )
