"""Processor `filter`: drops what meets a condition.

Items are decoded one by one to be looked at; those that stay are copied as they came.
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
from proxy.collector.processors.filter.settings import SUBJECTS, Settings


class Filter:
    """A Stage that holds nothing."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._next = context.next
        self._account = context.account
        compiled = {
            key: [compile_condition(text, subject) for text in getattr(settings, key)]
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
        if self._idle:
            return self._next.consume(batch)
        self._gone = 0
        before = batch.payload
        after, dropped = edit_items(before, self._of_metrics if self._is_metrics else self._of)
        if after is before:
            return self._next.consume(batch)
        if self._is_metrics:
            dropped = self._gone
        kept = batch.items - dropped
        if kept and not self._next.consume(Batch(batch.signal, after, kept)):
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
