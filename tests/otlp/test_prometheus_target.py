"""What a target says becomes points: types, identities, start times, staleness, limits."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from proxy.formats.prometheus.target import Identity, Labels, LimitError, Limits, ScrapedTarget
from proxy.formats.prometheus.text import TextError, parse
from proxy.otlp.metric_bytes import Request

SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND
IDENTITY = Identity({"job": "ns/app", "instance": "h:1", "env": "prod"}, (("server.port", 1),))


def scrape(target: ScrapedTarget, text: str, now: int = BEGIN, *, modern: bool = False) -> Any:
    request = Request()
    target.begin(now)
    samples = parse(text.removesuffix("\n").split("\n"), modern, target.families)
    while target.take(samples, 3):
        pass
    while target.write(request, 2):
        pass
    target.finish(request)
    return decoded(request)


def decoded(request: Request) -> Any:
    message = ExportMetricsServiceRequest.FromString(request.serialise())
    assert request.items == sum(1 for _ in points(message))
    return message


def points(message: Any) -> Any:
    for resource in message.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in getattr(metric, metric.WhichOneof("data")).data_points:
                    yield metric, point


def one(message: Any, name: str) -> tuple[Any, Any]:
    (found,) = [(m, p) for m, p in points(message) if m.name == name]
    return found


def attributes(holder: Any) -> dict[str, Any]:
    return {a.key: a.value.string_value or a.value.int_value for a in holder.attributes}


def test_a_scrape_says_who_was_scraped() -> None:
    message = scrape(ScrapedTarget(IDENTITY), 'a{x="y",empty=""} 1\n')
    (resource,) = message.resource_metrics
    assert attributes(resource.resource) == {
        "service.name": "app",
        "service.namespace": "ns",
        "service.instance.id": "h:1",
        "server.port": 1,
    }
    assert resource.scope_metrics[0].scope.name == "spangate"
    _, point = one(message, "a")
    assert attributes(point) == {"x": "y", "env": "prod"}
    assert point.time_unix_nano == BEGIN


@pytest.mark.parametrize(
    ("type", "sample", "kind", "monotonic"),
    [
        ("counter", "a", "sum", True),
        ("gauge", "a", "gauge", None),
        ("untyped", "a", "gauge", None),
        ("unknown", "a", "gauge", None),
        ("stateset", "a", "sum", False),
    ],
)
def test_types(type: str, sample: str, kind: str, monotonic: bool | None) -> None:
    message = scrape(ScrapedTarget(IDENTITY), f"# HELP a text\n# TYPE a {type}\n{sample} 2\n")
    metric, point = one(message, "a")
    assert metric.WhichOneof("data") == kind
    assert metric.description == "text"
    assert metric.metadata[0].value.string_value == ("unknown" if type == "untyped" else type)
    assert point.as_double == 2
    if monotonic is not None:
        assert metric.sum.is_monotonic is monotonic
        assert metric.sum.aggregation_temporality == 2


def test_openmetrics_counters_keep_their_names_and_have_units_starts_and_exemplars() -> None:
    text = (
        "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n"
        'a_seconds_total 5 # {trace_id="0af7651916cd43dd8448eb211c80319c",'
        'span_id="00f067aa0ba902b7",k="v"} 3 1700000000.5\n'
        "a_seconds_created 1600000000.25\n"
        '# TYPE b info\nb_info{v="1"} 1\n# EOF\n'
    )
    message = scrape(ScrapedTarget(IDENTITY), text, modern=True)
    metric, point = one(message, "a_seconds_total")
    assert metric.unit == "s"
    assert point.start_time_unix_nano == 1600000000_250000000
    (exemplar,) = point.exemplars
    assert exemplar.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert exemplar.span_id.hex() == "00f067aa0ba902b7"
    assert attributes_of(exemplar.filtered_attributes) == {"k": "v"}
    assert (exemplar.as_double, exemplar.time_unix_nano) == (3, 1700000000_500000000)
    info, point = one(message, "b_info")
    assert (info.sum.is_monotonic, point.as_double) == (False, 1)


def attributes_of(pairs: Any) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in pairs}


HISTOGRAM = """
# TYPE h histogram
h_bucket{le="0.5"} 2
h_bucket{le="0.1"} 1
h_bucket{le="+Inf"} 5
h_sum 3.5
h_count 5
# TYPE s summary
s{quantile="0.9"} 7
s{quantile="0.5"} 4
s_sum 12
s_count 3
"""


def test_histograms_and_summaries_are_put_together() -> None:
    message = scrape(ScrapedTarget(IDENTITY), HISTOGRAM)
    metric, point = one(message, "h")
    assert metric.histogram.aggregation_temporality == 2
    assert (list(point.explicit_bounds), list(point.bucket_counts)) == ([0.1, 0.5], [1, 1, 3])
    assert (point.count, point.sum) == (5, 3.5)
    _, point = one(message, "s")
    assert [(q.quantile, q.value) for q in point.quantile_values] == [(0.5, 4), (0.9, 7)]
    assert (point.count, point.sum) == (3, 12)


@pytest.mark.parametrize(
    "text",
    [
        '# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 3\n',  # no count
        '# TYPE h histogram\nh_bucket{le="1"} 4\nh_bucket{le="+Inf"} 3\nh_count 3\n',
        '# TYPE h histogram\nh_bucket{le="1"} 4\nh_count 3\n',
        '# TYPE h histogram\nh_bucket{le="1"} NaN\nh_count 3\n',
        "# TYPE h histogram\nh_count -3\n",
        "# TYPE h histogram\nh_count +Inf\n",
        "# TYPE h summary\nh_sum 3\n",
    ],
)
def test_what_contradicts_itself_is_dropped_and_counted(text: str) -> None:
    target = ScrapedTarget(IDENTITY)
    message = scrape(target, text + "ok 1\n")
    assert [m.name for m, _ in points(message)] == ["ok"]
    assert target.dropped == 1


@pytest.mark.parametrize("label", ["", '{le="x"}', '{le="NaN"}'])
def test_a_bucket_without_a_bound_is_dropped_and_counted(label: str) -> None:
    target = ScrapedTarget(IDENTITY)
    page = f"# TYPE h histogram\nh_bucket{label} 1\nh_count 1\nok 1\n"
    for _ in range(2):
        message = scrape(target, page)
        assert {m.name for m, _ in points(message)} == {"h", "ok"}
        assert target.dropped == 1
        assert "h_bucket" in target.trouble


def test_start_times_follow_what_was_seen() -> None:
    target = ScrapedTarget(IDENTITY)
    starts = []
    for number, value in enumerate((5, 8, 2, 3)):
        message = scrape(target, f"# TYPE a counter\na {value}\n", BEGIN + number * SECOND)
        starts.append((one(message, "a")[1].start_time_unix_nano - BEGIN) // SECOND)
    # Unknown at first; it fell after the second scrape, so it began anew after that one.
    assert starts == [0, 0, 1, 1]


def test_a_series_that_goes_becomes_stale_once_and_comes_back_new() -> None:
    target = ScrapedTarget(IDENTITY)
    both = HISTOGRAM + "# TYPE c counter\nc 1\nalways 1\n"
    scrape(target, both)
    message = scrape(target, "always 1\n", BEGIN + SECOND)
    stale = {m.name: p for m, p in points(message) if p.flags == 1}
    assert stale.keys() == {"h", "s", "c"}
    assert all(p.time_unix_nano == BEGIN + SECOND for p in stale.values())
    message = scrape(target, "always 1\n", BEGIN + 2 * SECOND)
    assert [m.name for m, _ in points(message)] == ["always"]
    message = scrape(target, both, BEGIN + 3 * SECOND)
    assert one(message, "c")[1].start_time_unix_nano == BEGIN + 3 * SECOND


def test_a_summary_and_a_histogram_tell_which_of_their_series_have_ended() -> None:
    target = ScrapedTarget(IDENTITY)
    page = (
        '# TYPE s summary\ns{quantile="0.5"} 1\ns{quantile="0.9"} 2\ns_count 3\ns_sum 4\n'
        '# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_count 2\nh_sum 3\n'
    )
    scrape(target, page)
    message = scrape(target, "other 1\n", BEGIN + SECOND)
    summary, histogram = one(message, "s")[1], one(message, "h")[1]
    assert [q.quantile for q in summary.quantile_values] == [0.5, 0.9]
    assert list(histogram.explicit_bounds) == [1.0]
    assert list(histogram.bucket_counts) == [0, 0]
    assert (summary.flags, histogram.flags) == (1, 1)


def test_a_failed_scrape_makes_everything_stale_but_forgets_nothing() -> None:
    target = ScrapedTarget(IDENTITY)
    scrape(target, "# TYPE a counter\na 5\n")
    target.begin(BEGIN + SECOND)
    with pytest.raises(TextError):
        list(iter(lambda: target.take(parse(["a 6", "a b"], False, target.families), 5), False))
    request = Request()
    target.fail(request)
    target.report(request, False, 0.5)
    found = {m.name: p for m, p in points(decoded(request))}
    assert found["a"].flags == 1
    assert found["up"].as_double == 0
    assert found["scrape_duration_seconds"].as_double == 0.5
    message = scrape(target, "# TYPE a counter\na 7\n", BEGIN + 2 * SECOND)
    assert one(message, "a")[1].start_time_unix_nano == BEGIN


def test_series_with_times_of_their_own_do_not_become_stale() -> None:
    target = ScrapedTarget(IDENTITY)
    message = scrape(target, "a 1 1600000000000\n")
    assert one(message, "a")[1].time_unix_nano == 1600000000 * SECOND
    assert list(points(scrape(target, "", BEGIN + SECOND))) == []
    ours = ScrapedTarget(Identity(IDENTITY.labels, honor_timestamps=False))
    assert one(scrape(ours, "a 1 1600000000000\n"), "a")[1].time_unix_nano == BEGIN


@pytest.mark.parametrize(
    ("honor", "expected", "service"),
    [
        (False, {"exported_job": "own", "exported_env": "x", "env": "prod"}, "app"),
        (True, {"env": "x"}, "own"),
    ],
)
def test_who_wins_when_labels_clash(honor: bool, expected: dict[str, str], service: str) -> None:
    target = ScrapedTarget(Identity(IDENTITY.labels, honor_labels=honor))
    message = scrape(target, 'a{job="own",env="x"} 1\n')
    assert attributes(one(message, "a")[1]) == expected
    assert attributes(message.resource_metrics[0].resource)["service.name"] == service


def test_target_info_and_scopes() -> None:
    text = (
        '# TYPE target_info gauge\ntarget_info{zone="eu",job="x"} 1\n'
        'otel_scope_info{otel_scope_name="lib"} 1\n'
        'a{otel_scope_name="lib",otel_scope_version="2",otel_scope_k="v"} 1\n'
    )
    message = scrape(ScrapedTarget(IDENTITY), text)
    (resource,) = message.resource_metrics
    assert attributes(resource.resource)["zone"] == "eu"
    (scope,) = resource.scope_metrics
    assert (scope.scope.name, scope.scope.version) == ("lib", "2")
    assert attributes(scope.scope) == {"k": "v"}
    assert attributes(one(message, "a")[1]) == {"env": "prod"}


def test_relabelling_renames_and_drops() -> None:
    def relabel(labels: Labels) -> Labels | None:
        if labels["__name__"].startswith("secret"):
            return None
        return {**labels, "__name__": labels["__name__"].replace("h_", "g_")}

    target = ScrapedTarget(IDENTITY, relabel)
    message = scrape(target, HISTOGRAM + "secret 1\n")
    assert {m.name for m, _ in points(message)} == {"g", "s"}
    assert one(message, "g")[1].count == 5
    assert (target.scraped, target.kept) == (10, 9)


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Limits(samples=2), "a 1\nb 1\nc 1\n"),
        (Limits(labels=2), 'a{x="1",y="2"} 1\n'),
        (Limits(name_length=4), 'a{xxxxx="1"} 1\n'),
        (Limits(value_length=4), 'a{x="12345"} 1\n'),
    ],
)
def test_limits(limits: Limits, text: str) -> None:
    with pytest.raises(LimitError):
        scrape(ScrapedTarget(IDENTITY, None, limits), text)


def test_a_sample_that_is_there_twice_counts_once() -> None:
    target = ScrapedTarget(IDENTITY)
    message = scrape(target, 'a{x="1",y="2"} 1\na{y="2",x="1"} 2\n')
    assert one(message, "a")[1].as_double == 1
    assert target.duplicates == 1


def test_a_type_that_changes_is_seen() -> None:
    target = ScrapedTarget(IDENTITY)
    scrape(target, "a 1\n")
    assert one(scrape(target, "# TYPE a counter\na 2\n"), "a")[0].WhichOneof("data") == "sum"
    assert one(scrape(target, "# TYPE a gauge\na 2\n"), "a")[0].WhichOneof("data") == "gauge"


def test_the_end_of_a_target_is_told() -> None:
    target = ScrapedTarget(IDENTITY)
    scrape(target, "a 1\n")
    request = Request()
    target.begin(BEGIN + SECOND)
    target.fail(request)
    target.report(request, None)
    assert all(point.flags == 1 for _, point in points(decoded(request)))
    assert request.items == 6
