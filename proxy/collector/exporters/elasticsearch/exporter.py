"""Exporter `elasticsearch`: gathers batches, then the queue and retries of all network exporters.

Owns neither; it joins the gathering of the batch processor, one for each signal, with an exporter
whose transport writes bulk requests.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from proxy.collector.batch import Batch, Signal
from proxy.collector.books import Account
from proxy.collector.context import Context
from proxy.collector.counters import Counters
from proxy.collector.exporters.delivery import OtlpExporter
from proxy.collector.exporters.elasticsearch.bulk import BulkTransport
from proxy.collector.exporters.elasticsearch.settings import Settings
from proxy.collector.processors.batch.processor import BatchProcessor
from proxy.collector.processors.batch.settings import Settings as Gathering
from proxy.collector.queues.disk.queue import AnyQueue, make_queue
from proxy.collector.retry import backoff

_SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs")


class ElasticsearchExporter:
    """A Stage."""

    def __init__(self, settings: Settings, context: Context) -> None:
        queue = settings.sending_queue
        patience = backoff(settings.retry_on_failure, queue)
        self._sender = OtlpExporter(
            BulkTransport(settings, context, patience),
            make_queue(queue, context),
            patience,
            context,
            concurrency=queue.num_consumers,
        )
        self._gather = {
            signal: _gathering(settings, context, signal, self._sender) for signal in _SIGNALS
        }

    @property
    def queue(self) -> AnyQueue:
        return self._sender.queue

    async def start(self) -> None:
        await self._sender.start()
        for gather in self._gather.values():
            await gather.start()

    def consume(self, batch: Batch) -> bool:
        return self._gather[batch.signal].consume(batch)

    def held(self, signal: Signal) -> int:
        gather = self._gather.get(signal)
        return self._sender.held(signal) + (gather.held(signal) if gather is not None else 0)

    async def stop(self, deadline: float) -> None:
        # What was gathered fits into the queue at once, or the queue is full and hardly moves.
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline
        await asyncio.gather(*(g.stop(min(deadline / 2, 1.0)) for g in self._gather.values()))
        await self._sender.stop(max(0.0, end - loop.time()))


def _gathering(
    settings: Settings, context: Context, signal: Signal, sender: OtlpExporter
) -> BatchProcessor:
    flush = settings.flush
    own = replace(
        context,
        kind="processor",
        signal=signal,
        next=sender,
        account=Account([context.ledgers[signal]]),
        counters=Counters(),
    )
    return BatchProcessor(
        Gathering(
            timeout=flush.interval,
            send_batch_size=flush.count,
            send_batch_max_bytes=flush.bytes,
        ),
        own,
    )


def make(settings: Settings, context: Context) -> ElasticsearchExporter:
    return ElasticsearchExporter(settings, context)
