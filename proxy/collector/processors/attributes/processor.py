"""Processor `attributes`: changes attributes of spans, log records and data points.

It holds nothing. What needs no look inside an item is done on its bytes (`attribute_plan`).
"""

from __future__ import annotations

import os
from typing import Any, Literal

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.editing.matching import Matcher
from proxy.collector.editing.plan import Gate, Plan
from proxy.collector.editing.splice import Each, Place, decode, edit_items
from proxy.collector.processors.attributes.settings import Settings

# Class of an item and the number of its attributes field.
_ITEMS: dict[str, tuple[Any, int]] = {"traces": (Span, 9), "logs": (LogRecord, 6)}


class Attributes:
    """A Stage that holds nothing."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._next = context.next
        self._include = None if settings.include is None else Matcher(settings.include)
        self._exclude = None if settings.exclude is None else Matcher(settings.exclude)
        self._plan = Plan(
            settings.actions, _ITEMS.get(context.signal), context.resource, os.environ
        )
        self._metrics = context.signal == "metrics"
        # Rules need the resource only for this; otherwise it is not even decoded.
        self._needs_resource = any(
            action.from_context.startswith("resource.") for action in settings.actions
        )

    async def start(self) -> None:
        return None

    async def stop(self, deadline: float) -> None:
        return None

    def held(self, signal: Signal) -> int:
        return 0

    def consume(self, batch: Batch) -> bool:
        before = batch.payload
        after, _ = edit_items(before, lambda place: self._enter(before, place))
        if after is before:
            return self._next.consume(batch)
        return self._next.consume(Batch(batch.signal, after, batch.items))

    def _enter(self, payload: bytes, place: Place) -> Each | None:
        gate = self._gate(place)
        if gate is False:
            return None
        resource = place.resource if self._needs_resource else None
        if self._metrics:
            return self._points(resource, gate)
        return self._plan.each(payload, resource, gate)

    def _gate(self, place: Place) -> Gate | Literal[False] | None:
        """What is asked of each item here; None = nothing, False = none of them is meant."""
        include, exclude = self._include, self._exclude
        if include is not None:
            if not include.place(place):
                return False
            if not include.of_items:
                include = None
        if exclude is not None:
            if not exclude.place(place):
                exclude = None
            elif not exclude.of_items:
                return False
        if include is None and exclude is None:
            return None

        def gate(item: Any, attributes: Any) -> bool:
            if include is not None and not include.item(item, attributes):
                return False
            return exclude is None or not exclude.item(item, attributes)

        return gate

    def _points(self, resource: Any, gate: Any) -> Each:
        def each(item: bytes) -> bytes:
            metric = decode(Metric, item)
            kind = metric.WhichOneof("data")
            if kind is None:
                return item
            for point in getattr(metric, kind).data_points:
                if gate is None or gate(metric, point.attributes):
                    self._plan.change(point.attributes, resource)
            return bytes(metric.SerializeToString())

        return each


def make(settings: Settings, context: Context) -> Attributes:
    return Attributes(settings, context)
