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
from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.parts import Queue as QueueSettings
from proxy.collector.parts import Retry, TlsClient
from proxy.collector.queues.disk.queue import AnyQueue, make_queue
from proxy.collector.retry import Backoff, backoff
from proxy.errors import ConfigError, Problem
from proxy.otlp.connect import connect
from proxy.otlp.endpoint import Endpoint
from proxy.otlp.partial import amount
from proxy.otlp.status import Outcome, Verdict
from proxy.otlp.transport import MAX_REQUEST, Options, Transport

_TOO_LATE = Outcome(Verdict.RETRY, "shutdown")


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
    ) -> None:
        self.name = context.id
        self.queue = queue
        self._transport = transport
        self._backoff = backoff
        self._ledgers = context.ledgers
        self._concurrency = concurrency
        self._senders: list[asyncio.Task[None]] = []
        self._condition = context.condition
        self._quiet_until = 0.0  # loop time before which the collector wants to hear nothing
        self._hurry = asyncio.Event()  # set when stopping: a pause is cut short once
        self._end = math.inf  # loop time by which everything must be over

    async def start(self) -> None:
        try:
            await self._transport.start()
        except (OSError, ValueError) as error:
            raise ConfigError([Problem("", f"{self.name}: {error}")]) from error
        await self.queue.start()
        self._senders = [
            tasks.spawn(self._deliver(), f"export {self.name}") for _ in range(self._concurrency)
        ]

    def consume(self, batch: Batch) -> bool:
        if batch.size > MAX_REQUEST:
            self._ledgers[batch.signal].drop(batch.items, "too_large")
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
        while (batch := await self.queue.get()) is not None:
            outcome = await self._settle(batch)
            self._book(batch, outcome)
            del batch  # or its receipt would be kept until the next one comes

    async def _settle(self, batch: Batch) -> Outcome:
        """Attempts until the batch is accepted, refused, or given up (a RETRY outcome).

        A stop that comes meanwhile allows one more try at once, and those that fit in its time.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        attempt = 0
        while True:
            if self._quiet_until > self._end:
                return _TOO_LATE
            await self._rest(self._quiet_until - loop.time())
            attempt += 1
            stopping = self._hurry.is_set()
            outcome = await self._transport.send(batch.signal, batch.payload, batch.items)
            if outcome.verdict is not Verdict.RETRY:
                return outcome
            now = loop.time()
            self._condition.warn(f"{outcome.reason}: {outcome.message}")
            pause = self._backoff.pause(attempt, outcome.delay, now - begun, random)
            if pause is None:
                return outcome
            if outcome.delay:  # asked for by the collector, so it holds for every sender
                self._quiet_until = max(self._quiet_until, now + pause)
            if stopping and now + pause > self._end:
                return _TOO_LATE
            if stopping or not self._hurry.is_set():
                await self._rest(pause)

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
            self._condition.over("delivering")
            if outcome.rejected or outcome.message:
                self._condition.warn(
                    f"{amount(outcome.rejected, batch.signal)} rejected: {outcome.message}"
                )
        elif outcome.verdict is Verdict.RETRY:
            ledger.drop(batch.items, "shutdown" if outcome is _TOO_LATE else "retry_exhausted")
        else:
            ledger.drop(batch.items, f"permanent_{outcome.reason}")
            self._condition.warn(f"refused for good, {outcome.reason}: {outcome.message}")


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
    connect: Callable[[Endpoint, Options], Transport] = connect,
) -> OtlpExporter:
    """The exporter of one destination; `connect` makes its transport, not started."""
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
        connect(endpoint, options),
        make_queue(queue, context),
        backoff(settings.retry_on_failure, queue),
        context,
        concurrency=queue.num_consumers,
    )
