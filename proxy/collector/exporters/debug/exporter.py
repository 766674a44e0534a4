"""Exporter `debug`: tells on the console what comes, for people who look for what went wrong.

It counts everything as exported, shown or not. Nothing waits here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.exporters.debug.settings import Settings
from proxy.formats.spans import duration_ns
from proxy.formats.values import as_text
from proxy.otlp.json import to_dict
from proxy.otlp.partial import ITEMS

_SECOND = 1_000_000_000


class DebugExporter:
    """A Stage."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._show: Callable[[Batch], str] = _VERBOSITY[settings.verbosity]
        self._initial = settings.sampling_initial
        self._thereafter = settings.sampling_thereafter
        self._now_ns = context.now_ns
        self._ledgers = context.ledgers
        self._stream: TextIO = context.console
        self._second = -1
        self._seen = 0  # in that second
        self._closed = False

    async def start(self) -> None:
        return None

    def consume(self, batch: Batch) -> bool:
        if self._closed:
            return False
        ledger = self._ledgers[batch.signal]
        text = self._show(batch) if self._is_due() else ""
        try:
            if text:
                self._stream.write(text)
                self._stream.flush()
        except (OSError, ValueError):  # a closed terminal or stream
            ledger.drop(batch.items, "permanent_stream_closed")
        else:
            ledger.exported += batch.items
        return True

    def held(self, signal: Signal) -> int:
        return 0

    async def stop(self, deadline: float) -> None:
        self._closed = True

    def _is_due(self) -> bool:
        second = self._now_ns() // _SECOND
        if second != self._second:
            self._second, self._seen = second, 0
        self._seen += 1
        after = self._seen - self._initial
        return after <= 0 or after % self._thereafter == 0


def _basic(batch: Batch) -> str:
    return f"{batch.signal}: {batch.items} {ITEMS[batch.signal]}, {batch.size} bytes\n"


def _normal(batch: Batch) -> str:
    if batch.signal == "profiles":
        return _basic(batch)
    lines = _ITEMS[batch.signal](batch.message())
    return "".join(f"{_printable(line)}\n" for line in lines)


def _detailed(batch: Batch) -> str:
    """OTLP/JSON; everything that is not ASCII is escaped, so that terminals stay as they are."""
    if batch.signal == "profiles":
        return _basic(batch)
    return _basic(batch) + json.dumps(to_dict(batch.message()), indent=2) + "\n"


def _spans(request: Any) -> Iterator[str]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                ns = duration_ns(span)
                took = "?" if ns is None else f"{ns / 1e6:g}"
                ids = f"{span.trace_id.hex()} {span.span_id.hex()}"
                failed = " ERROR" if span.status.code == 2 else ""
                yield f"span {ids} {span.name} {took}ms{failed}{_pairs(span.attributes)}"


def _records(request: Any) -> Iterator[str]:
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                level = record.severity_text or str(record.severity_number)
                yield f"log {level} {as_text(record.body)}{_pairs(record.attributes)}"


def _points(request: Any) -> Iterator[str]:
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points if kind else ():
                    yield f"{kind} {metric.name}{_pairs(point.attributes)} {_value(point)}"


def _value(point: Any) -> str:
    if not hasattr(point, "as_int"):
        return f"count={point.count} sum={point.sum:g}"
    which = point.WhichOneof("value")
    return f"{getattr(point, which)}" if which else "no value"


def _pairs(attributes: Any) -> str:
    return "".join(f" {pair.key}={as_text(pair.value)}" for pair in attributes)


def _printable(text: str) -> str:
    """No control characters: a name must not move the terminal's cursor."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


_ITEMS: dict[str, Callable[[Any], Iterator[str]]] = {
    "traces": _spans,
    "metrics": _points,
    "logs": _records,
}
_VERBOSITY = {"basic": _basic, "normal": _normal, "detailed": _detailed}


def make(settings: Settings, context: Context) -> DebugExporter:
    return DebugExporter(settings, context)
