"""Processor `transform`: changes items by statements, in OTTL or in a small language of our own.

Of our own, each item is decoded for itself and written anew only if a statement changed it; of
OTTL, each ResourceSpans and its like (`ottl.run`).
"""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.editing.splice import Each, Place, decode, edit_items, edit_resources
from proxy.collector.expression.compile import Change, compile_statement
from proxy.collector.expression.paths import Item
from proxy.collector.ottl import plan, run
from proxy.collector.processors.transform.settings import OTTL, SUBJECTS, Settings


class Transform:
    """A Stage that holds nothing."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._next = context.next
        self._account = context.account
        self._condition = context.condition
        self._signal = context.signal
        self._groups = [
            group
            for key, signal in OTTL.items()
            if signal == context.signal
            for group in plan.statements(key, signal, getattr(settings, key), settings.error_mode)
        ]
        compiled = {
            key: [compile_statement(text, subject) for text in getattr(settings, key)]
            for key, subject in SUBJECTS.items()
        }
        self._resources = compiled["resources"]
        self._metrics = compiled["metrics"]
        self._points = compiled["data_points"]
        self._changes = compiled["spans" if context.signal == "traces" else "logs"]
        self._class: Any = Span if context.signal == "traces" else LogRecord
        self._enter = self._of_metrics if context.signal == "metrics" else self._of
        self._idle = not (
            (self._metrics or self._points) if context.signal == "metrics" else self._changes
        )

    async def start(self) -> None:
        return None

    async def stop(self, deadline: float) -> None:
        return None

    def held(self, signal: Signal) -> int:
        return 0

    def consume(self, batch: Batch) -> bool:
        payload = before = batch.payload
        if self._groups:
            warnings = self._condition.warnings
            try:
                payload = run.transform(payload, self._signal, self._groups, self._condition.warn)
            except run.Failed as failed:
                self._condition.warn(str(failed))
                self._account.drop(batch.items, run.REASON)
                return True
            if self._condition.warnings == warnings:
                self._condition.over("statements work again")
        if self._resources:
            payload = edit_resources(payload, self._resource)
        if not self._idle:
            payload, _ = edit_items(payload, self._enter)
        if payload is before:
            return self._next.consume(batch)
        return self._next.consume(batch.heir(payload, batch.items))

    def _resource(self, before: bytes) -> bytes:
        resource = decode(Resource, before)
        changed = _carry_out(self._resources, Item(resource, resource))
        return bytes(resource.SerializeToString()) if changed else before

    def _of(self, place: Place) -> Each:
        view = Item(None, place.resource, place.scope())
        changes, cls = self._changes, self._class

        def each(item: bytes) -> bytes:
            view.item = decode(cls, item)
            return bytes(view.item.SerializeToString()) if _carry_out(changes, view) else item

        return each

    def _of_metrics(self, place: Place) -> Each:
        whole = Item(None, place.resource, place.scope())

        def each(item: bytes) -> bytes:
            metric = whole.item = decode(Metric, item)
            changed = _carry_out(self._metrics, whole)
            kind = metric.WhichOneof("data") if self._points else None
            if kind is not None:
                view = Item(None, whole.resource, whole.scope, metric)
                for point in getattr(metric, kind).data_points:
                    view.item = point
                    changed |= _carry_out(self._points, view)
            return bytes(metric.SerializeToString()) if changed else item

        return each


def _carry_out(changes: list[Change], view: Item) -> bool:
    changed = False
    for change in changes:
        changed |= change(view)
    return changed


def make(settings: Settings, context: Context) -> Transform:
    return Transform(settings, context)
