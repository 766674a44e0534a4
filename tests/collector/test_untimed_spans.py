"""Spans whose start or end is missing or cannot be: unknown is not zero, and nobody takes it so."""

from __future__ import annotations

import asyncio
import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.collector.batch import Batch
from proxy.formats.elastic.documents import Names
from proxy.formats.elastic.ecs import EcsMapping
from proxy.formats.elastic.jaeger import JaegerMapping
from proxy.formats.elastic.otel import OtelMapping
from proxy.formats.jaeger import from_otlp as jaeger
from proxy.formats.jaeger.proto import PostSpansRequest
from proxy.formats.spans import LONGEST, duration_ns
from proxy.formats.zipkin.from_otlp import from_otlp
from proxy.formats.zipkin.model import write_json
from tests.collector.kit import Place, until

NOW = 1_790_000_000_000_000_000  # 2026
MS = 1_000_000
UNKNOWN = {
    "no start": (0, NOW),
    "no end": (NOW, 0),
    "neither": (0, 0),
    "ends before it starts": (NOW, NOW - 1),
    "starts in 1970": (1, NOW),
    "milliseconds for nanoseconds": (NOW // MS, NOW),
    "ends in the far future": (NOW, (1 << 64) - 1),
    "is of the far future": ((1 << 64) - 2, (1 << 64) - 1),
    "clock set while it ran": (1_000_000_000_000_000_000, NOW),
}
TIMES = pytest.mark.parametrize("times", UNKNOWN.values(), ids=UNKNOWN.keys())


def request(*times: tuple[int, int], kind: int = 2, parent: bytes = b"") -> Any:
    made = ExportTraceServiceRequest()
    resource = made.resource_spans.add()
    pair = resource.resource.attributes.add(key="service.name")
    pair.value.string_value = "shop"
    scope = resource.scope_spans.add()
    for number, (start, end) in enumerate(times, 1):
        scope.spans.add(
            trace_id=bytes([number]) * 16,
            span_id=bytes([number]) * 8,
            parent_span_id=parent,
            name="GET /",
            kind=kind,  # type: ignore[arg-type]
            start_time_unix_nano=start,
            end_time_unix_nano=end,
        )
    return made


def batch(*times: tuple[int, int], **more: Any) -> Batch:
    return Batch("traces", request(*times, **more).SerializeToString(), len(times))


def metrics(place: Place) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for out in place.out:
        read = ExportMetricsServiceRequest.FromString(out.payload)
        for resource in read.resource_metrics:
            for metric in resource.scope_metrics[0].metrics:
                points = getattr(metric, metric.WhichOneof("data") or "").data_points
                found.setdefault(metric.name, []).extend(points)
    return found


def untimed(place: Place) -> int:
    named = [s.value for s in place.counters.series() if s.instrument.name.endswith("untimed")]
    return sum(int(value) for value in named if isinstance(value, int))


@TIMES
async def test_span_metrics_count_it_and_leave_its_duration_out(times: tuple[int, int]) -> None:
    place = Place("connector", "span_metrics")
    made = place.make()
    assert place.send(batch(times, (NOW, NOW + 5 * MS)))
    await made.flush()
    found = metrics(place)
    assert sum(p.as_int or p.as_double for p in found["traces.span.metrics.calls"]) == 2
    (duration,) = found["traces.span.metrics.duration"]
    assert (duration.count, duration.sum) == (1, 5)
    assert untimed(place) == 1


@TIMES
async def test_the_service_graph_counts_it_and_leaves_its_duration_out(
    times: tuple[int, int],
) -> None:
    place = Place("connector", "service_graph")
    made = place.make()
    assert place.send(batch(times, (NOW, NOW + 5 * MS)))  # roots, called by "user"
    await made.flush()
    found = metrics(place)
    assert sum(p.as_double or p.as_int for p in found["traces_service_graph_request_total"]) == 2
    (seconds,) = found["traces_service_graph_request_server_seconds"]
    assert (seconds.count, seconds.sum) == (1, 0.005)
    assert untimed(place) == 1


@TIMES
async def test_no_policy_finds_it_slow(times: tuple[int, int]) -> None:
    place = Place("processor", "tail_sampling")
    made = place.make(
        """
        decision_wait = "10ms"
        [[collector.processors.tail_sampling.policies]]
        name = "slow"
        type = "latency"
        latency = { threshold_ms = 1000 }
        """
    )
    await made.start()
    slow = (NOW, NOW + 1001 * MS)
    assert place.send(batch(times, slow))
    await until(lambda: made.held("traces") == 0)
    await made.stop(1)
    assert (place.items, place.ledger.dropped) == (1, {"sampled": 1})
    assert untimed(place) == 1


@TIMES
def test_zipkin_gets_no_duration(times: tuple[int, int]) -> None:
    (span,) = json.loads(write_json(from_otlp(request(times))))
    assert "duration" not in span
    assert ("timestamp" in span) == bool(times[0])


@TIMES
def test_jaeger_gets_none_and_no_start_in_1970(times: tuple[int, int]) -> None:
    ((payload, _),) = jaeger.from_otlp(request(times))
    (span,) = PostSpansRequest.FromString(payload).batch.spans
    assert (span.duration.seconds, span.duration.nanos) == (0, 0)
    if times[1] == NOW:
        assert span.start_time.seconds >= 1_000_000_000


@TIMES
@pytest.mark.parametrize("mapping", [OtelMapping, EcsMapping, JaegerMapping])
def test_elasticsearch_gets_no_duration(mapping: Any, times: tuple[int, int]) -> None:
    names = Names("default", "default", (), "")
    made = mapping(names, {}) if mapping is JaegerMapping else mapping(names)
    first = next(iter(made.traces(request(times))))
    assert b"duration" not in first.source
    if times[1] == NOW and times[0] < 1_000_000_000_000_000_000:
        assert b"1970" not in first.action + first.source


@TIMES
async def test_the_console_draws_it_without_a_bar(times: tuple[int, int]) -> None:
    console = io.StringIO()
    place = Place("exporter", "console", console=console)
    made = place.make('quiet = "10ms"')
    await made.start()
    known = request((NOW, NOW + 5 * MS))
    known.MergeFrom(request(times, parent=b"\1" * 8))
    for resource in known.resource_spans:
        resource.scope_spans[0].spans[0].trace_id = b"\7" * 16
    known.resource_spans[1].scope_spans[0].spans[0].span_id = b"\2" * 8
    assert place.send(Batch("traces", known.SerializeToString(), 2))
    await until(lambda: made.held("traces") == 0)
    await made.stop(1)
    heading, root, child = console.getvalue().strip().splitlines()
    assert heading.endswith("2 spans  5.0 ms") and "5.0 ms" in root and "█" in root
    assert child.rstrip().endswith("?")


@TIMES
async def test_debug_shows_that_it_is_unknown(times: tuple[int, int]) -> None:
    console = io.StringIO()
    place = Place("exporter", "debug", console=console)
    place.make('verbosity = "normal"')
    assert place.send(batch(times))
    assert " ?ms" in console.getvalue()


async def test_a_trace_takes_what_its_timed_spans_take() -> None:
    """A parent without a start does not make the trace 56 years long, nor hide a slow child."""
    place = Place("processor", "tail_sampling")
    made = place.make(
        """
        decision_wait = "10ms"
        [[collector.processors.tail_sampling.policies]]
        name = "slow"
        type = "latency"
        latency = { threshold_ms = 1000 }
        """
    )
    await made.start()
    for child, number in (((NOW, NOW + 2000 * MS), 1), ((NOW, NOW + 10 * MS), 2)):
        both = request((0, NOW), child)
        for span in both.resource_spans[0].scope_spans[0].spans:
            span.trace_id = bytes([number]) * 16
        assert place.send(Batch("traces", both.SerializeToString(), 2))
    await until(lambda: made.held("traces") == 0)
    await asyncio.sleep(0)
    await made.stop(1)
    assert (place.items, place.ledger.dropped) == (2, {"sampled": 2})


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1))
def test_a_duration_is_never_negative_nor_longer_than_anything_takes(start: int, end: int) -> None:
    took = duration_ns(SimpleNamespace(start_time_unix_nano=start, end_time_unix_nano=end))
    assert took is None or (0 <= took <= LONGEST and took == end - start and start > 0)


def test_a_clock_that_was_never_set_measures_as_well() -> None:
    span = SimpleNamespace(start_time_unix_nano=5 * MS, end_time_unix_nano=8 * MS)
    assert duration_ns(span) == 3 * MS
