"""The views of one context in a decoded ResourceSpans, ResourceMetrics or ResourceLogs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from proxy.collector.ottl.paths import View

ENTRIES: dict[str, Any] = {
    "traces": ResourceSpans,
    "metrics": ResourceMetrics,
    "logs": ResourceLogs,
}
SCOPES = {"traces": "scope_spans", "metrics": "scope_metrics", "logs": "scope_logs"}


def views(signal: str, context: str, entry: Any) -> Iterator[View]:
    """One view after another, of which only the last one is valid."""
    if context == "resource":
        yield View(entry.resource)
        return
    below = _BELOW[context]
    for holder in getattr(entry, SCOPES[signal]):
        yield from below(View(entry.resource, holder.scope), holder)


def points_of(metric: Any) -> Any:
    which = metric.WhichOneof("data")
    return getattr(metric, which).data_points if which else ()


def _scope(view: View, holder: Any) -> Iterator[View]:
    yield view


def _spans(view: View, holder: Any) -> Iterator[View]:
    for view.span in holder.spans:
        view.forget()
        yield view


def _events(view: View, holder: Any) -> Iterator[View]:
    for span in holder.spans:
        view.span = span
        for view.spanevent in span.events:
            view.forget()
            yield view


def _metrics(view: View, holder: Any) -> Iterator[View]:
    for view.metric in holder.metrics:
        view.forget()
        yield view


def _points(view: View, holder: Any) -> Iterator[View]:
    for metric in holder.metrics:
        view.metric = metric
        for view.datapoint in points_of(metric):
            view.forget()
            yield view


def _logs(view: View, holder: Any) -> Iterator[View]:
    for view.log in holder.log_records:
        view.forget()
        yield view


_BELOW: dict[str, Callable[[View, Any], Iterator[View]]] = {
    "scope": _scope,
    "span": _spans,
    "spanevent": _events,
    "metric": _metrics,
    "datapoint": _points,
    "log": _logs,
}
