from __future__ import annotations

import asyncio
import math
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint

from proxy.collector.batch import Batch
from proxy.collector.connectors.aggregate.histogram import Exponential
from proxy.collector.connectors.aggregate.weight import adjusted_count
from proxy.collector.connectors.span_metrics.series import Table
from proxy.collector.connectors.span_metrics.settings import Settings
from proxy.collector.tail.value import plain
from proxy.errors import ConfigError
from proxy.otlp.wire import WireError
from tests.collector.kit import Place, settings
from tests.collector.tail_kit import Clock, batch, span
from tests.kernel import otlp_samples

PREFIX = "traces.span.metrics."


def started(toml: str = "", **more: Any) -> tuple[Place, Any, Clock]:
    clock = Clock()
    place = Place("connector", "spanmetrics", now_ns=clock)
    return place, place.make(toml), clock


def points(batches: list[Batch], name: str) -> list[tuple[dict[str, Any], Any]]:
    """(attributes, data point) of a metric, in all batches."""
    found = []
    for given_ in batches:
        for envelope in given_.message().resource_metrics:  # type: ignore[attr-defined]
            for scope in envelope.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == name:
                        data = getattr(metric, metric.WhichOneof("data"))
                        found += [(labels(p.attributes), p) for p in data.data_points]
    return found


def labels(attributes: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}


def calls(batches: list[Batch]) -> dict[tuple[Any, ...], int]:
    return {tuple(a.values()): p.as_int for a, p in points(batches, f"{PREFIX}calls")}


async def test_calls_and_durations_by_name_kind_and_status() -> None:
    place, stage, _ = started()
    place.send(batch([span(1, 1, ms=3), span(1, 2, ms=300), span(1, 3, status=2)], service="shop"))
    place.send(batch([span(2, 1, kind=3, name="GET")], service="cart"))
    await stage.flush()
    usual = ("shop", "GET /x", "SPAN_KIND_SERVER")
    assert calls(place.out) == {
        (*usual, "STATUS_CODE_UNSET"): 2,
        (*usual, "STATUS_CODE_ERROR"): 1,
        ("cart", "GET", "SPAN_KIND_CLIENT", "STATUS_CODE_UNSET"): 1,
    }
    (_, first), *_ = points(place.out, f"{PREFIX}duration")
    assert (first.count, first.sum) == (2, 303)
    bounds = dict(zip(first.explicit_bounds, first.bucket_counts, strict=False))
    assert (bounds[4], bounds[400], sum(first.bucket_counts)) == (1, 1, 2)
    assert place.ledger.exported == 4
    assert place.out[0].items == 6


async def test_metrics_keep_the_resource_they_are_of() -> None:
    place, stage, _ = started()
    place.send(batch([span(1)], service="a", zone="x"))
    place.send(batch([span(1)], service="a", zone="y"))
    await stage.flush()
    found = [
        labels(envelope.resource.attributes)
        for envelope in place.out[0].message().resource_metrics  # type: ignore[attr-defined]
    ]
    assert found == [{"service.name": "a", "zone": "x"}, {"service.name": "a", "zone": "y"}]


async def test_only_some_attributes_may_tell_resources_apart() -> None:
    place, stage, _ = started('resource_metrics_key_attributes = ["service.name"]')
    for pid in (1, 2):
        place.send(batch([span(1)], **{"process.pid": pid}))
    await stage.flush()
    assert list(calls(place.out).values()) == [2]


async def test_dimensions_come_from_spans_resources_and_defaults() -> None:
    place, stage, _ = started(
        """exclude_dimensions = ["span.kind", "status.code"]
        dimensions = [{ name = "http.route" }, { name = "zone" }, { name = "tier", default = "x" }]
        """
    )
    place.send(batch([span(1, attributes={"http.route": "/x", "zone": "span"})], zone="r"))
    place.send(batch([span(1, 2)], zone="r"))
    await stage.flush()
    usual = {"service.name": "app", "span.name": "GET /x", "tier": "x"}
    assert [a for a, _ in points(place.out, f"{PREFIX}calls")] == [
        {**usual, "http.route": "/x", "zone": "span"},
        {**usual, "zone": "r"},
    ]


async def test_numbers_of_different_types_are_different_dimensions() -> None:
    place, stage, _ = started('dimensions = [{ name = "d" }]')
    values: list[Any] = [1, True, 1.0, "1"]
    place.send(batch([span(1, n, attributes={"d": v}) for n, v in enumerate(values, 1)]))
    await stage.flush()
    assert [type(a["d"]) for a, _ in points(place.out, f"{PREFIX}calls")] == [int, bool, float, str]


async def test_cumulative_numbers_grow_from_one_start() -> None:
    place, stage, clock = started()
    begin = clock.now
    for _ in range(2):
        place.send(batch([span(1)]))
        clock.step(60)
        await stage.flush()
    found = points(place.out, f"{PREFIX}calls")
    assert [p.as_int for _, p in found] == [1, 2]
    assert [p.start_time_unix_nano - begin for _, p in found] == [0, 0]
    metric = place.out[0].message().resource_metrics[0].scope_metrics[0].metrics[0]  # type: ignore[attr-defined]
    assert (metric.sum.is_monotonic, metric.sum.aggregation_temporality) == (True, 2)


@pytest.mark.parametrize("word", ["delta", "AGGREGATION_TEMPORALITY_DELTA"])
async def test_deltas_begin_again(word: str) -> None:
    place, stage, clock = started(f'aggregation_temporality = "{word}"')
    place.send(batch([span(1), span(1, 2)]))
    await stage.flush()
    clock.step(60)
    await stage.flush()
    place.send(batch([span(1)]))
    await stage.flush()
    assert [p.as_int for _, p in points(place.out, f"{PREFIX}calls")] == [2, 1]
    metric = place.out[0].message().resource_metrics[0].scope_metrics[0].metrics[0]  # type: ignore[attr-defined]
    assert metric.sum.aggregation_temporality == 1


@pytest.mark.parametrize("word", ["delta", "cumulative"])
async def test_what_finds_no_room_goes_with_the_next_flush(word: str) -> None:
    place, stage, _ = started(f'aggregation_temporality = "{word}"')
    place.send(batch([span(1)]))
    place.room = False
    await stage.flush()
    place.room = True
    place.send(batch([span(1)]))
    await stage.flush()
    assert list(calls(place.out).values()) == [2]


async def test_series_are_bounded_and_nothing_is_uncounted() -> None:
    place, stage, _ = started("aggregation_cardinality_limit = 5")
    place.send(batch([span(1, n, name=f"GET /{n}") for n in range(1, 31)]))
    await stage.flush()
    found = points(place.out, f"{PREFIX}calls")
    assert len(found) == 6
    assert sum(p.as_int for _, p in found) == 30
    assert found[-1][0] == {"service.name": "app", "otel.metric.overflow": True}
    counts = {s.instrument.name: s.value for s in place.counters.series()}
    assert counts["otelcol_connector_spanmetrics_overflowed_spans"] == 25


async def test_resources_are_bounded() -> None:
    place, stage, _ = started("resource_metrics_cache_size = 3")
    for n in range(10):
        place.send(batch([span(1)], service=f"s{n}"))
        place.send(batch([span(1)], service="s0"))
    await stage.flush()
    assert {key[0] for key in calls(place.out)} == {"s0", "s8", "s9"}


async def test_series_without_spans_end() -> None:
    place, stage, clock = started('metrics_expiration = "5m"')
    place.send(batch([span(1, name="old")]))
    clock.step(200)
    place.send(batch([span(1, name="new")]))
    clock.step(200)
    await stage.flush()
    assert [key[1] for key in calls(place.out)] == ["new"]


async def test_exemplars_lead_to_traces_once() -> None:
    place, stage, _ = started("exemplars = { enabled = true, max_per_data_point = 2 }")
    place.send(batch([span(n, n, ms=n) for n in (1, 2, 3)]))
    await stage.flush()
    await stage.flush()
    first, second = (p for _, p in points(place.out, f"{PREFIX}duration"))
    assert [(e.trace_id[-1], e.span_id[-1], e.as_double) for e in first.exemplars] == [
        (2, 2, 2.0),
        (3, 3, 3.0),
    ]
    assert len(second.exemplars) == 0


async def test_seconds_and_buckets_of_ones_own() -> None:
    place, stage, _ = started(
        """namespace = ""
        histogram = { unit = "s", explicit = { buckets = ["100us", "10ms", "1s"] } }"""
    )
    place.send(batch([span(1, ms=10), span(1, 2, ms=10.1)]))
    await stage.flush()
    ((_, point),) = points(place.out, "duration")
    assert list(point.explicit_bounds) == [0.0001, 0.01, 1.0]
    assert list(point.bucket_counts) == [0, 1, 1, 0]


async def test_no_durations() -> None:
    place, stage, _ = started("histogram = { disable = true }")
    place.send(batch([span(1)]))
    await stage.flush()
    assert place.out[0].items == 1


async def test_exponential_buckets() -> None:
    place, stage, _ = started("histogram = { exponential = { max_size = 20 } }")
    place.send(batch([span(1, n, ms=2.0**n) for n in range(1, 11)]))
    await stage.flush()
    ((_, point),) = points(place.out, f"{PREFIX}duration")
    assert isinstance(point, ExponentialHistogramDataPoint)
    assert (point.count, sum(point.positive.bucket_counts)) == (10, 10)
    assert len(point.positive.bucket_counts) <= 20


@given(
    st.lists(st.floats(0.001, 1e7), min_size=1, max_size=60),
    st.integers(2, 40),
)
def test_every_value_is_in_its_exponential_bucket(values: list[float], most: int) -> None:
    histogram = Exponential(most)
    for value in values:
        histogram.add(value)
    point = ExponentialHistogramDataPoint()
    histogram.write(point)
    counts = list(point.positive.bucket_counts)
    assert len(counts) <= most
    assert sum(counts) == len(values) == point.count
    base = 2.0 ** (2.0**-point.scale)
    for place, count in enumerate(counts):
        low, high = (base ** (point.positive.offset + place + k) for k in (0, 1))
        inside = sum(low * (1 + 1e-9) < v <= high * (1 - 1e-9) for v in values)
        near = sum(math.isclose(v, edge, rel_tol=1e-8) for v in values for edge in (low, high))
        assert inside <= count <= inside + near


@pytest.mark.parametrize(
    ("state", "count"),
    [("", 1), ("ot=th:8", 2), ("a=b,ot=rv:00000000000001;th:c", 4), ("ot=th:0", 1), ("ot=th:x", 1)],
)
def test_a_sampled_span_stands_for_others(state: str, count: float) -> None:
    assert adjusted_count(state) == count


@pytest.mark.parametrize(("switch", "count"), [("true", 5), ("false", 2)])
async def test_sampled_spans_count_as_many_as_they_stand_for(switch: str, count: int) -> None:
    place, stage, _ = started(f"adjusted_counts = {switch}")
    place.send(batch([span(1), span(2, trace_state="ot=th:c")]))
    await stage.flush()
    assert list(calls(place.out).values()) == [count]
    ((_, point),) = points(place.out, f"{PREFIX}duration")
    assert point.count == sum(point.bucket_counts) == count


async def test_flushes_come_by_themselves_and_at_the_end() -> None:
    place, stage, _ = started('metrics_flush_interval = "10ms"')
    await stage.start()
    place.send(batch([span(1)]))
    async with asyncio.timeout(20):
        while not place.out:
            await asyncio.sleep(0.005)
    seen = len(place.out)
    await stage.stop(1)
    assert len(place.out) > seen


async def test_many_series_make_several_requests() -> None:
    place, stage, _ = started()
    place.send(batch([span(1, n, name=f"GET /{n}") for n in range(1, 4501)]))
    await stage.flush()
    assert [b.items for b in place.out] == [4000, 4000, 1000]
    assert all(b.size < 4_000_000 for b in place.out)


@given(st.integers(0, 2**32))
def test_any_span_counts_where_its_message_says(seed: int) -> None:
    """Spans are counted as bytes; what counts is what a reader of the decoded request would say."""
    request = otlp_samples.request("traces", Random(seed))
    wanted: Counter[Any] = Counter()
    for envelope in request.resource_spans:
        service = ""
        for pair in envelope.resource.attributes:
            service = str(plain(pair.value)) if pair.key == "service.name" else service
        for scope in envelope.scope_spans:
            for one in scope.spans:
                wanted[service, one.name, one.kind, one.status.code] += 1
    table = Table(Settings(adjusted_counts=False))
    for _ in range(2):  # keys that are new, and keys that are known
        table.add(request.SerializeToString(), 5)
    found: Counter[Any] = Counter()
    for group in table._groups.values():
        for (name, kind, status), series in group.series.items():
            found[group.service, name, kind, status] += int(series.calls)
    assert found == Counter({key: 2 * number for key, number in wanted.items()})


async def test_what_gave_way_is_opened_anew() -> None:
    """Keys that are remembered never lead to series that are gone."""
    place, stage, clock = started('metrics_flush_interval = "60s"\nmetrics_expiration = "10s"')
    for number in range(3):
        place.send(batch([span(1, 1)], service="a"))
        await stage.flush()
        assert set(calls(place.out).values()) == {1}, number
        place.out.clear()
        clock.step(20)
        await stage.flush()
        assert not place.out


async def test_garbage_is_refused() -> None:
    place, _, _ = started()
    with pytest.raises(WireError):
        place.send(Batch("traces", b"\xff\xff", 1))


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('exclude_dimensions = ["span.nam"]', "no default dimension"),
        ('dimensions = [{ name = "span.name" }]', "there by default"),
        ("histogram = { explicit = {}, exponential = {} }", "exclude each other"),
        ('histogram = { explicit = { buckets = ["2s", "1s"] } }', "must rise"),
        ("metrics_flush_interval = 0", "never flush"),
    ],
)
def test_what_is_wrong_is_told(toml: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        settings("connector", "span_metrics", toml)
    assert words in str(raised.value)
