"""Processor `filter`: drops what meets a condition, in OTTL or in a small language of our own.

Of our own, items are decoded one by one to be looked at; those that stay are copied as they came.
Of OTTL, a ResourceSpans and its like is decoded whole, and copied if all of it stays (`ottl.run`).
"""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.editing.splice import Each, Place, decode, edit_items
from proxy.collector.expression.compile import compile_condition
from proxy.collector.expression.paths import Item
from proxy.collector.ottl.run import REASON, Dropping, Failed
from proxy.collector.processors.filter.settings import SUBJECTS, Settings


class Filter:
    """A Stage that holds nothing."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._next = context.next
        self._account = context.account
        self._condition = context.condition
        groups = settings.groups(context.signal)
        self._ottl = Dropping(context.signal, groups, context.condition.warn) if groups else None
        compiled = {
            key: [compile_condition(text, subject) for text in settings.own(key)]
            for key, subject in SUBJECTS.items()
        }
        self._metrics = compiled["metrics"]
        self._points = compiled["data_points"]
        self._conditions = compiled["spans" if context.signal == "traces" else "logs"]
        self._class: Any = Span if context.signal == "traces" else LogRecord
        self._is_metrics = context.signal == "metrics"
        self._idle = not ((self._metrics or self._points) if self._is_metrics else self._conditions)
        self._gone = 0  # data points dropped from the present batch

    async def start(self) -> None:
        return None

    async def stop(self, deadline: float) -> None:
        return None

    def held(self, signal: Signal) -> int:
        return 0

    def consume(self, batch: Batch) -> bool:
        if self._idle and self._ottl is None:
            return self._next.consume(batch)
        before = payload = batch.payload
        dropped = 0
        if self._ottl is not None:
            warnings = self._condition.warnings
            try:
                payload = self._ottl.filter(payload)
            except Failed as failed:
                self._condition.warn(str(failed))
                self._account.drop(batch.items, REASON)
                return True
            dropped = self._ottl.gone
            if self._condition.warnings == warnings:
                self._condition.over("conditions work again")
        if not self._idle and (dropped < batch.items):
            payload, more = self._own(payload)
            dropped += more
        return self._pass_on(batch, payload is not before, payload, dropped)

    def _own(self, payload: bytes) -> tuple[bytes, int]:
        self._gone = 0
        after, dropped = edit_items(payload, self._of_metrics if self._is_metrics else self._of)
        return after, self._gone if self._is_metrics else dropped

    def _pass_on(self, batch: Batch, changed: bool, payload: bytes, dropped: int) -> bool:
        if not changed:
            return self._next.consume(batch)
        kept = batch.items - dropped
        if kept and not self._next.consume(batch.heir(payload, kept)):
            return False
        self._account.drop(dropped, "filtered")
        return True

    def _of(self, place: Place) -> Each:
        view = Item(None, place.resource, place.scope())
        conditions, cls = self._conditions, self._class

        def each(item: bytes) -> bytes | None:
            view.item = decode(cls, item)
            for condition in conditions:
                if condition(view):
                    return None
            return item

        return each

    def _of_metrics(self, place: Place) -> Each:
        whole = Item(None, place.resource, place.scope())

        def each(item: bytes) -> bytes | None:
            metric = whole.item = decode(Metric, item)
            kind = metric.WhichOneof("data")
            points: Any = getattr(metric, kind).data_points if kind else ()
            if any(condition(whole) for condition in self._metrics):
                self._gone += len(points)
                return None
            view = Item(None, whole.resource, whole.scope, metric)
            gone = [index for index, point in enumerate(points) if self._drops(view, point)]
            if not gone:
                return item
            self._gone += len(gone)
            if len(gone) == len(points):
                return None
            for index in reversed(gone):
                del points[index]
            return bytes(metric.SerializeToString())

        return each

    def _drops(self, view: Item, point: Any) -> bool:
        view.item = point
        return any(condition(view) for condition in self._points)


def make(settings: Settings, context: Context) -> Filter:
    return Filter(settings, context)
