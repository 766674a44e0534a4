"""Console exporter: each finished trace as a tree on a stream, for people who try things out.

The only stage that decodes spans. A trace counts as finished when no span of it came for a while;
what is held meanwhile is bounded, and so is the number of trees a second: a terminal that nobody
can read any more is not worth the hub's time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import TextIO

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from proxy import tasks
from proxy.collector import guard
from proxy.collector.batch import Batch, Signal
from proxy.collector.books import Ledger
from proxy.collector.condition import Condition
from proxy.collector.context import Context
from proxy.collector.exporters.console.settings import Settings
from proxy.collector.exporters.console.tree import KINDS, Span, render
from proxy.formats.spans import duration_ns

QUIET = 0.4  # seconds without a new span after which a trace is printed
MAX_SPANS = 2000  # held; about 2 MB
_SWEEP = 0.1
_PATIENCE = 3  # times as long for a trace that is not whole
_TREES = 10  # printed in one sweep


class ConsoleExporter:
    """A Stage for traces. Colour if the stream is a terminal and NO_COLOR is not set."""

    def __init__(
        self,
        stream: TextIO,
        ledger: Ledger,
        *,
        quiet: float = QUIET,
        condition: Condition | None = None,
    ) -> None:
        self._stream = stream
        self._ledger = ledger
        self._quiet = quiet
        self._condition = condition or Condition("exporter console")
        self._colour = stream.isatty() and not os.environ.get("NO_COLOR")
        self._traces: dict[bytes, _Trace] = {}
        self._held = 0
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        self._task = guard.keep(self._sweep, self._condition, "console exporter")

    def consume(self, batch: Batch) -> bool:
        if self._closed or self._held + batch.items > MAX_SPANS:
            return False
        request = batch.message()
        assert isinstance(request, ExportTraceServiceRequest)
        now = asyncio.get_running_loop().time()
        spans = _spans(request)
        for span in spans:
            trace = self._traces.setdefault(span.trace_id, _Trace())
            trace.spans.append(span)
            trace.touched = now
            if batch.receipt is not None:
                trace.receipts.append(batch.receipt)
        self._held += len(spans)
        # The books count what the batch claims; a claim that is wrong must not unbalance them.
        if len(spans) < batch.items:
            self._ledger.drop(batch.items - len(spans), "malformed")
        elif len(spans) > batch.items:
            self._ledger.created += len(spans) - batch.items
        return True

    def held(self, signal: Signal) -> int:
        return self._held if signal == "traces" else 0

    async def stop(self, deadline: float) -> None:
        self._closed = True
        await tasks.cancel(self._task)
        self._print(list(self._traces))
        self._ledger.drop(self._held, "shutdown")
        self._held = 0
        self._traces.clear()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(_SWEEP, self._quiet))
            now = loop.time()
            ready = [key for key, trace in self._traces.items() if now >= self._due(trace)]
            self._print(ready[:_TREES])

    def _due(self, trace: _Trace) -> float:
        """When to print: later while a parent is missing, which ends after its children."""
        known = {span.span_id for span in trace.spans}
        whole = all(not s.parent_id or s.parent_id in known for s in trace.spans)
        return trace.touched + self._quiet * (1 if whole else _PATIENCE)

    def _width(self) -> int:
        """Columns of the terminal; 0 if the stream is none."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            return 0

    def _print(self, keys: list[bytes]) -> None:
        for key in keys:
            spans = self._traces.pop(key).spans
            self._held -= len(spans)
            with guard.Guard(self._condition, "traces") as guarded:
                reason = self._show(spans)
            if guarded.error is not None:
                reason = guard.REASON
            if reason:
                self._ledger.drop(len(spans), reason)
            else:
                self._ledger.exported += len(spans)

    def _show(self, spans: list[Span]) -> str:
        """Why that was impossible, "" if it was not."""
        tree = render(spans, colour=self._colour, width=self._width())
        try:
            self._stream.write("\n" + tree)
            self._stream.flush()
        except (OSError, ValueError):  # a closed terminal or stream
            return "permanent_stream_closed"
        return ""


def make(settings: Settings, context: Context) -> ConsoleExporter:
    return ConsoleExporter(
        context.console,
        context.ledgers["traces"],
        quiet=settings.quiet,
        condition=context.condition,
    )


class _Trace:
    __slots__ = ("receipts", "spans", "touched")

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.receipts: list[object] = []
        self.touched = 0.0


def _spans(request: ExportTraceServiceRequest) -> list[Span]:
    return [
        _span(span, _texts(resource.resource.attributes))
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _span(span: WireSpan, resource: dict[str, str]) -> Span:
    return Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_span_id,
        name=_printable(span.name),
        kind=KINDS[span.kind] if 0 <= span.kind < len(KINDS) else "",
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        timed=duration_ns(span) is not None,
        failed=span.status.code == 2,  # STATUS_CODE_ERROR
        attributes={
            "service.name": resource.get("service.name", ""),
            **_texts(span.attributes),
        },
    )


def _texts(attributes: Iterable[KeyValue]) -> dict[str, str]:
    return {pair.key: _text(pair.value) for pair in attributes}


def _text(value: AnyValue) -> str:
    which = value.WhichOneof("value")
    return _printable(str(getattr(value, which))) if which else ""


def _printable(text: str) -> str:
    """No control characters: a span name must not move the terminal's cursor."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
