"""Connector `forward`: what one pipeline exports, others receive, unchanged."""

from __future__ import annotations

from proxy.collector.batch import Batch, Signal
from proxy.collector.connectors.forward.settings import Settings
from proxy.collector.context import Context


class Forward:
    """A Stage that holds nothing."""

    __slots__ = ("_ledgers", "_outlet")

    def __init__(self, context: Context) -> None:
        self._ledgers = context.ledgers
        self._outlet = context.outlet

    async def start(self) -> None:
        return None

    async def stop(self, deadline: float) -> None:
        return None

    def consume(self, batch: Batch) -> bool:
        items = batch.items
        if not self._outlet.consume(batch):
            return False
        self._ledgers[batch.signal].exported += items
        return True

    def held(self, signal: Signal) -> int:
        return 0


def make(settings: Settings, context: Context) -> Forward:
    return Forward(context)
