"""Ids that are none: a span of such is left out, what only refers to others loses the reference."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.otlp.ids import told
from proxy.otlp.json import request_from_json
from proxy.otlp.messages import REQUESTS
from proxy.otlp.parts import checked
from tests.otlp import samples

TRACE, SPAN = b"t" * 16, b"s" * 8
BAD_TRACES = [b"", b"t" * 8, b"t" * 15, b"t" * 17, bytes(16), b"t" * 32]
BAD_SPANS = [b"", b"s" * 7, b"s" * 9, bytes(8), b"s" * 16]


def spans(*ids: tuple[bytes, bytes]) -> Any:
    made = REQUESTS["traces"]()
    scope = made.resource_spans.add().scope_spans.add()
    for number, (trace_id, span_id) in enumerate(ids):
        scope.spans.add(trace_id=trace_id, span_id=span_id, name=str(number))
    return made


def read(signal: str, made: Any) -> tuple[Any, int, dict[str, int]]:
    found = checked(signal, made.SerializeToString())
    return REQUESTS[signal].FromString(found.payload), found.items, dict(found.lost)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [((t, SPAN), "trace_id") for t in BAD_TRACES] + [((TRACE, s), "span_id") for s in BAD_SPANS],
)
def test_such_a_span_is_left_out(bad: tuple[bytes, bytes], reason: str) -> None:
    good = (TRACE, SPAN)
    kept, items, lost = read("traces", spans(good, bad, good, bad, bad, good))
    assert (items, lost) == (3, {reason: 3})
    assert [s.name for s in kept.resource_spans[0].scope_spans[0].spans] == ["0", "2", "5"]


def test_a_request_without_fault_is_passed_on_as_it_came() -> None:
    for signal in ("traces", "logs", "metrics"):
        payload = samples.metrics(3) if signal == "metrics" else samples.request(signal, 3)
        assert checked(signal, payload).payload is payload


@pytest.mark.parametrize("parent", [bytes(8), b"p" * 7, b"p" * 9])
def test_a_parent_that_is_none_is_no_parent(parent: bytes) -> None:
    made = spans((TRACE, SPAN))
    made.resource_spans[0].scope_spans[0].spans[0].parent_span_id = parent
    kept, items, lost = read("traces", made)
    assert (items, lost) == (1, {})
    assert kept.resource_spans[0].scope_spans[0].spans[0].parent_span_id == b""


def test_a_span_loses_links_to_nowhere() -> None:
    made = spans((TRACE, SPAN))
    span = made.resource_spans[0].scope_spans[0].spans[0]
    for trace_id in (TRACE, *BAD_TRACES):
        span.links.add(trace_id=trace_id, span_id=SPAN)
    for span_id in BAD_SPANS:
        span.links.add(trace_id=TRACE, span_id=span_id)
    kept, items, lost = read("traces", made)
    span = kept.resource_spans[0].scope_spans[0].spans[0]
    assert (items, lost, len(span.links)) == (1, {}, 1)
    assert span.dropped_links_count == len(BAD_TRACES) + len(BAD_SPANS)


REFERENCES = [
    (TRACE, SPAN, TRACE, SPAN),
    (TRACE, b"s" * 7, TRACE, b""),
    (TRACE, bytes(8), TRACE, b""),
    (b"t" * 15, SPAN, b"", b""),
    (bytes(16), bytes(8), b"", b""),
    (b"", SPAN, b"", b""),
]


@pytest.mark.parametrize(("trace_id", "span_id", "trace_kept", "span_kept"), REFERENCES)
def test_records_and_exemplars_keep_what_they_say(
    trace_id: bytes, span_id: bytes, trace_kept: bytes, span_kept: bytes
) -> None:
    logs = REQUESTS["logs"]()
    records = logs.resource_logs.add().scope_logs.add().log_records
    records.add(trace_id=trace_id, span_id=span_id).body.string_value = "it says"
    kept, items, lost = read("logs", logs)
    record = kept.resource_logs[0].scope_logs[0].log_records[0]
    assert (items, lost, record.body.string_value) == (1, {}, "it says")
    assert (record.trace_id, record.span_id) == (trace_kept, span_kept)
    for kind in ("gauge", "sum", "histogram", "exponential_histogram"):
        metrics = REQUESTS["metrics"]()
        metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
        exemplars = getattr(metric, kind).data_points.add().exemplars
        exemplars.add(trace_id=trace_id, span_id=span_id, as_double=4.5)
        kept, items, lost = read("metrics", metrics)
        found = kept.resource_metrics[0].scope_metrics[0].metrics[0]
        exemplar = getattr(found, kind).data_points[0].exemplars[0]
        assert (items, lost, exemplar.as_double) == (1, {}, 4.5)
        assert (exemplar.trace_id, exemplar.span_id) == (trace_kept, span_kept)


@pytest.mark.parametrize(
    "text",
    ["", "zz" * 16, "11 " * 10 + "11", " " + "1" * 32, "1" * 31, "ERERERERERERERERERERER=="],
)
def test_json_ids_that_are_not_hex_are_none(text: str) -> None:
    good = {"traceId": "1" * 32, "spanId": "2" * 16}
    tree = {"resourceSpans": [{"scopeSpans": [{"spans": [good, {**good, "traceId": text}]}]}]}
    found = checked("traces", request_from_json("traces", json.dumps(tree).encode()))
    assert (found.items, dict(found.lost)) == (1, {"trace_id": 1})


def test_it_is_said_in_words() -> None:
    lost = {"trace_id": 1, "span_id": 2}
    assert told(lost) == "2 spans without a valid span_id, 1 span without a valid trace_id"
