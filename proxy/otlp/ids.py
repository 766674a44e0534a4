"""Ids of traces and spans: which are none, and what becomes of what has such.

A back end that meets a single one refuses the whole batch, and so everybody else's spans. So a
span whose own ids are none is left out and counted; what only refers to others keeps what it has
besides: a span loses the link or the parent, a record or an exemplar its ids.

Source: opentelemetry-proto `trace.proto`: "an ID with all zeroes OR of length other than 16 bytes
is considered invalid", and the same for 8 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

TRACE, SPAN = "trace_id", "span_id"  # reasons
_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)

Lost = dict[str, int]  # items by reason


def is_trace_id(raw: bytes) -> bool:
    return len(raw) == 16 and raw != _NO_TRACE


def is_span_id(raw: bytes) -> bool:
    return len(raw) == 8 and raw != _NO_SPAN


def fault(trace_id: bytes, span_id: bytes) -> str:
    """Which of a span's own ids is none; "" if both are good."""
    if not is_trace_id(trace_id):
        return TRACE
    return "" if is_span_id(span_id) else SPAN


def merge(lost: Lost, more: Mapping[str, int]) -> None:
    for reason, amount in more.items():
        lost[reason] = lost.get(reason, 0) + amount


def together(losses: Iterable[Mapping[str, int]]) -> Lost:
    lost: Lost = {}
    for more in losses:
        merge(lost, more)
    return lost


def told(lost: Mapping[str, int]) -> str:
    """For people: "2 spans without a valid trace_id"; "" for nothing."""
    return ", ".join(
        f"{amount} span{'s' * (amount != 1)} without a valid {reason}"
        for reason, amount in sorted(lost.items())
    )


def mend(signal: str, request: Any) -> tuple[bool, Lost]:
    """Take bad ids out of a decoded request: (whether it was changed, what it lost)."""
    lost: Lost = {}
    return _MENDERS[signal](request, lost), lost


def _traces(request: Any, lost: Lost) -> bool:
    changed = False
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            changed |= _spans(scope.spans, lost)
    return changed


def _spans(spans: Any, lost: Lost) -> bool:
    bad: set[int] = set()
    changed = False
    for number, span in enumerate(spans):
        # Two calls less than `fault`: 0.3 µs a span.
        trace_id, span_id, parent = span.trace_id, span.span_id, span.parent_span_id
        if len(trace_id) != 16 or len(span_id) != 8 or trace_id == _NO_TRACE or span_id == _NO_SPAN:
            merge(lost, {fault(trace_id, span_id): 1})
            bad.add(number)
            continue
        if parent and not is_span_id(parent):
            span.ClearField("parent_span_id")
            changed = True
        if span.links:
            dead = {n for n, o in enumerate(span.links) if fault(o.trace_id, o.span_id)}
            span.dropped_links_count = min(span.dropped_links_count + len(dead), 2**32 - 1)
            changed |= _remove(span.links, dead)
    return _remove(spans, bad) or changed


def _remove(items: Any, numbers: set[int]) -> bool:
    """Whether there was anything to remove; at once, since one by one takes n² moves."""
    if not numbers:
        return False
    kept = [item for number, item in enumerate(items) if number not in numbers]
    del items[:]
    items.extend(kept)
    return True


def _logs(request: Any, lost: Lost) -> bool:
    changed = False
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                trace_id, span_id = record.trace_id, record.span_id
                if (
                    ((trace_id or span_id) and (len(trace_id) != 16 or len(span_id) != 8))
                    or trace_id == _NO_TRACE
                    or span_id == _NO_SPAN
                ):
                    changed |= _cleared(record)
    return changed


def _metrics(request: Any, lost: Lost) -> bool:
    changed = False
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                if kind and kind != "summary":
                    changed |= _points(getattr(metric, kind).data_points)
    return changed


def _points(points: Iterable[Any]) -> bool:
    changed = False
    for point in points:
        for exemplar in point.exemplars:
            if fault(exemplar.trace_id, exemplar.span_id):
                changed |= _cleared(exemplar)
    return changed


def _cleared(holder: Any) -> bool:
    """Take ids out of a record or exemplar; a span means nothing without its trace."""
    trace_id, span_id = holder.trace_id, holder.span_id
    if span_id and not (is_span_id(span_id) and is_trace_id(trace_id)):
        holder.ClearField("span_id")
    if trace_id and not is_trace_id(trace_id):
        holder.ClearField("trace_id")
    return bool(holder.trace_id != trace_id or holder.span_id != span_id)


_MENDERS = {"traces": _traces, "logs": _logs, "metrics": _metrics}
