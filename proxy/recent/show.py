"""Show: what was found as JSON, for /api/traces and whoever draws it.

Texts from telemetry are a stranger's: they are cut to MOST_TEXT, and it is the reader's part to
take them as text.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

from proxy.recent.model import CLIENT, KINDS, SAMPLED, SERVER, STATUSES, Record, Span, Value
from proxy.recent.search import Found, Summary
from proxy.recent.tree import Node, grown

MOST_TEXT = 16 * 1024
_PHASES = ("queue", "connect", "first_byte")


def found_as_json(found: Found) -> dict[str, Any]:
    """What GET /api/traces answers."""
    oldest = None if found.oldest is None else found.oldest / 1e6
    return {
        "traces": [summary_as_json(summary) for summary in found.traces],
        "searched": {"spans": found.spans, "traces": found.all, "oldest_unix_ms": oldest},
        "more": found.more,
    }


def summary_as_json(summary: Summary) -> dict[str, Any]:
    return {
        "trace_id": summary.trace_id.hex(),
        "name": cut(summary.name),
        "service": cut(summary.service),
        "route": cut(summary.route),
        "method": cut(summary.method),
        "path": cut(summary.path),
        "status": summary.status,
        "error": summary.errors > 0,
        "start_unix_ms": summary.start / 1e6,
        "duration_ms": max(0, summary.end - summary.start) / 1e6,
        "spans": summary.spans,
        "errors": summary.errors,
        "services": sorted(cut(name) for name in summary.services if name),
    }


def trace_as_json(
    spans: Sequence[Span], records: Sequence[Record], trace_url: str = ""
) -> dict[str, Any]:
    """What GET /api/traces/{id} answers; `trace_url` has {trace_id} in it, or is ""."""
    trace_id = spans[0].trace_id.hex()
    start = min(span.start for span in spans)
    return {
        "trace_id": trace_id,
        "start_unix_ms": start / 1e6,
        "duration_ms": max(0, max(span.end for span in spans) - start) / 1e6,
        "error": any(span.failed for span in spans),
        "services": sorted({cut(span.service) for span in spans if span.service}),
        "spans": [_span(node, start) for node in grown(spans)],
        "logs": [_record(record, start) for record in sorted(records, key=lambda r: r.time)],
        "trace_url": trace_url.replace("{trace_id}", trace_id),
    }


def _span(node: Node, start: int) -> dict[str, Any]:
    span = node.span
    return {
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_id.hex(),
        "name": cut(span.name),
        "kind": KINDS[span.kind] if span.kind < len(KINDS) else "",
        "service": cut(span.service),
        "start_us": (span.start - start) / 1e3,
        "duration_us": max(0, span.end - span.start) / 1e3,  # a clock may have been set between
        "status": STATUSES[span.status] if span.status < len(STATUSES) else "unset",
        "message": cut(span.message),
        "attributes": plain(span.attributes),
        "events": [
            {
                "name": cut(event.name),
                "time_us": (event.time - start) / 1e3,
                "attributes": plain(event.attributes),
            }
            for event in span.events
        ],
        "links": [
            {
                "trace_id": link.trace_id.hex(),
                "span_id": link.span_id.hex(),
                "attributes": plain(link.attributes),
            }
            for link in span.links
        ],
        "trace_state": cut(span.trace_state),
        "sampled": bool(span.flags & SAMPLED),
        "resource": plain(span.resource),
        "scope": cut(span.scope),
        "phases": _phases(node, start),
        "critical": [[(a - start) / 1e3, (b - start) / 1e3] for a, b in node.critical],
        "depth": node.depth,
    }


def _phases(node: Node, start: int) -> list[dict[str, Any]]:
    """Where the time of a request went, one after the other.

    Not where there were several tries: the phases are sums then, and have no place in time.
    """
    span = node.span
    tries = sum(child.span.kind == CLIENT for child in node.children)
    told = {name: _ms(span.attributes.get(f"spangate.phase.{name}_ms")) for name in _PHASES}
    if span.kind != SERVER or tries > 1 or not any(told.values()):
        return []
    whole = (span.end - span.start) / 1e3
    overhead = _ms(span.attributes.get("spangate.phase.overhead_ms"))
    own = max(0.0, overhead - told["queue"])  # the rest of it is before the head was written
    told["transfer"] = max(0.0, whole - sum(told.values()) - own)
    told["overhead"] = own
    at, phases = (span.start - start) / 1e3, []
    for name, lasts in told.items():
        if lasts > 0:
            phases.append({"name": name, "start_us": at, "duration_us": lasts})
            at += lasts
    return phases


def _ms(value: Value) -> float:
    """In µs."""
    return value * 1e3 if isinstance(value, float) and 0 < value < 1e12 else 0.0


def _record(record: Record, start: int) -> dict[str, Any]:
    return {
        "time_us": (record.time - start) / 1e3,
        "severity": cut(record.severity_text) or str(record.severity),
        "body": plain(record.body),
        "attributes": plain(record.attributes),
        "span_id": record.span_id.hex(),
        "service": cut(record.service),
    }


def plain(value: Value) -> Any:
    """As JSON can hold it: bytes in base64, numbers that are none as words, long texts cut."""
    if isinstance(value, str):
        return cut(value)
    if isinstance(value, bytes):
        return cut(base64.b64encode(value).decode())
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {cut(key): plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value


def cut(text: str) -> str:
    """Not longer than MOST_TEXT."""
    if len(text) <= MOST_TEXT:
        return text
    return f"{text[:MOST_TEXT]}… ({len(text)} characters)"
