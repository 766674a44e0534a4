"""Exporter `recent`: batches go into the ring of this process, as bytes (`proxy/recent/ring.py`).

Nothing waits here and nothing can fail: what is taken is in memory, which is all that is promised.
The receipt of a batch is let go of at once, because bytes that are only looked at are not what a
worker's ring has to keep them for.
"""

from __future__ import annotations

from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.exporters.recent.settings import Settings


class Recent:
    """A Stage."""

    __slots__ = ("_ledgers", "_now", "_ring", "_stopped")

    def __init__(self, context: Context) -> None:
        self._ring = context.recent
        self._ledgers = context.ledgers
        self._now = context.now_ns
        self._stopped = False

    async def start(self) -> None:
        return None

    def consume(self, batch: Batch) -> bool:
        if self._stopped:
            return False
        opened = batch.opened()
        data, envelope = opened if opened is not None else (batch.payload, None)
        self._ring.add(batch.signal, data, envelope, batch.items, self._now())
        self._ledgers[batch.signal].exported += batch.items
        return True

    def held(self, signal: Signal) -> int:
        return 0

    async def stop(self, deadline: float) -> None:
        self._stopped = True


def make(settings: Settings, context: Context) -> Recent:
    return Recent(context)
