"""Connector `span_metrics`: calls and durations of spans, as metrics.

Traces go in and are digested at once; metrics come out each `metrics_flush_interval`. What nothing
behind has room for is not lost: the numbers are kept and go out at the next flush.
"""

from __future__ import annotations

import asyncio

from proxy.collector.batch import Batch, Signal
from proxy.collector.connectors.aggregate.request import CUMULATIVE, DELTA
from proxy.collector.connectors.span_metrics.series import Table
from proxy.collector.connectors.span_metrics.settings import Settings
from proxy.collector.context import Context
from proxy.collector.counters import UNTIMED
from proxy.collector.guard import keep
from proxy.tasks import cancel

_NAME = "otelcol_connector_spanmetrics_"


class SpanMetrics:
    """A Stage that holds nothing of what came in."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._outlet = context.outlet
        self._ledgers = context.ledgers
        self._now_ns = context.now_ns
        self._id = context.id
        self._condition = context.condition
        self._table = Table(settings)
        self._temporality = DELTA if self._table.is_delta else CUMULATIVE
        self._task: asyncio.Task[None] | None = None
        counters = context.counters
        self._overflowed = counters.counter(
            _NAME + "overflowed_spans", "Spans of more series than the limit allows."
        )
        self._evicted = counters.counter(
            _NAME + "evicted_resources", "Resources that gave way to others."
        )
        self._untimed = counters.counter(*UNTIMED)
        counters.gauge(_NAME + "series", "Series kept.", lambda: len(self._table))

    async def start(self) -> None:
        self._task = keep(self._flush_for_ever, self._condition, f"flush of {self._id}")

    def held(self, signal: Signal) -> int:
        return 0

    def consume(self, batch: Batch) -> bool:
        table = self._table
        overflowed, evicted, untimed = table.overflowed, table.evicted, table.untimed
        table.add(batch.payload, self._now_ns())
        self._overflowed.add(table.overflowed - overflowed)
        self._evicted.add(table.evicted - evicted)
        self._untimed.add(table.untimed - untimed)
        self._ledgers["traces"].exported += batch.items
        return True

    async def stop(self, deadline: float) -> None:
        await cancel(self._task)
        self._task = None
        await self.flush()

    async def flush(self) -> None:
        """Send all series, with room for others between two requests."""
        now = self._now_ns()
        table = self._table
        if self._settings.metrics_expiration:
            table.expire(now - int(self._settings.metrics_expiration * 1e9))
        for request, keys in table.requests(now, self._temporality):
            if not self._outlet.consume(request.batch()):
                return
            if table.is_delta:
                table.forget(keys)
            else:
                table.sent(keys)
            await asyncio.sleep(0)

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.metrics_flush_interval)
            await self.flush()


def make(settings: Settings, context: Context) -> SpanMetrics:
    return SpanMetrics(settings, context)
