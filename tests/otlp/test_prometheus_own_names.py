"""What came from Prometheus goes back as it was: names and labels, whatever the settings add."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from proxy.collector.exporters.prometheus.page import Page
from proxy.formats.prometheus.series import Translation, Translator
from proxy.formats.prometheus.target import Identity, ScrapedTarget
from proxy.formats.remote_write.from_otlp import translate
from proxy.formats.remote_write.read import read_v1, read_v2
from proxy.formats.remote_write.to_otlp import Translator as Taker
from proxy.formats.remote_write.write import Metadata, Sample, Series, write_v1, write_v2
from tests.otlp.test_prometheus_target import scrape

NOW = 1_700_000_000_000  # Unix ms
NAMES = [
    "lat_seconds_bucket",
    "lat_seconds_sum",
    "lat_seconds_count",
    "requests",
    "requests_total",
    "total",
    "a__b",
    "_lead",
    "trail_",
    "job:requests:rate5m",
    "size_bytes",
    "temperature_celsius_ratio",
    "x_total_total",
    "process_cpu_seconds_total",
]
METADATA = [
    None,
    Metadata("counter", "help", "seconds"),
    Metadata("gauge", "", "bytes"),
    Metadata("histogram", "", "seconds"),
    Metadata("unknown", "", "ratio"),
]
STRATEGIES = pytest.mark.parametrize("suffixes", [True, False])
VERSIONS = {1: (write_v1, read_v1), 2: (write_v2, read_v2)}


def series(*names: str, metadata: Metadata | None = None, **labels: str) -> list[Series]:
    return [
        Series(
            tuple(sorted({"__name__": name, "job": "j", "instance": "i", **labels}.items())),
            [Sample(float(number), NOW)],
            metadata=metadata,
        )
        for number, name in enumerate(names)
    ]


def taken(sent: list[Series], version: int) -> Any:
    write, read = VERSIONS[version]
    result = Taker().take(read(write(sent)))
    assert not result.refused, result.problem
    return ExportMetricsServiceRequest.FromString(result.request.serialise())


def written(request: Any, suffixes: bool = True, **more: Any) -> set[tuple[Any, ...]]:
    """(labels, value) of each series as it is pushed."""
    out = translate(request, Translator(Translation(suffixes=suffixes, **more)))
    assert not out.refused
    return {(s.labels, s.samples[0].value) for s in out.series}


def shown(request: Any, openmetrics: bool = False, suffixes: bool = True) -> list[str]:
    """Lines of the page, but for comments."""
    page = Page(0, 1000)
    for point, number in Translator(Translation(suffixes=suffixes)).points(request):
        assert point is not None
        assert page.put(point, 0, number) == ""
    text = b"".join(page.render(openmetrics)).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


@STRATEGIES
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("metadata", METADATA)
def test_what_was_pushed_in_is_pushed_out(
    metadata: Metadata | None, version: int, suffixes: bool
) -> None:
    sent = series(*NAMES, metadata=metadata, le="0.1", path="/", otel_scope_name="lib")
    expected = {(s.labels, s.samples[0].value) for s in sent}
    assert written(taken(sent, version), suffixes) == expected


@STRATEGIES
@pytest.mark.parametrize("openmetrics", [False, True])
@pytest.mark.parametrize("metadata", METADATA)
def test_what_was_pushed_in_is_on_the_page(
    metadata: Metadata | None, openmetrics: bool, suffixes: bool
) -> None:
    lines = shown(taken(series(*NAMES, metadata=metadata), 2), openmetrics, suffixes)
    labels = '{instance="i",job="j"}'
    assert sorted(lines) == sorted(f"{name}{labels} {n}" for n, name in enumerate(NAMES))


SCRAPED = """\
# TYPE requests counter
requests 1
# TYPE errors_total counter
errors_total 2
# TYPE a__b gauge
a__b 3
# TYPE lat_seconds histogram
# UNIT lat_seconds seconds
lat_seconds_bucket{le="0.1"} 1
lat_seconds_bucket{le="+Inf"} 4
lat_seconds_sum 5
lat_seconds_count 4
# TYPE rpc summary
rpc{quantile="0.5"} 6
rpc_sum 7
rpc_count 8
_lead 9
untyped_total 10
"""


def series_of(text: str) -> list[str]:
    return sorted(line for line in text.splitlines() if not line.startswith("#"))


@STRATEGIES
def test_what_was_scraped_is_on_the_page(suffixes: bool) -> None:
    assert sorted(shown(scrape(ScrapedTarget(Identity({})), SCRAPED), suffixes=suffixes)) == (
        series_of(SCRAPED)
    )


@STRATEGIES
def test_what_was_scraped_is_pushed(suffixes: bool) -> None:
    request = scrape(ScrapedTarget(Identity({"job": "j"})), SCRAPED)
    names = {dict(labels)["__name__"] for labels, _ in written(request, suffixes)}
    assert names == {line.partition(" ")[0].partition("{")[0] for line in series_of(SCRAPED)}
    assert {key for labels, _ in written(request, suffixes) for key, _ in labels} == {
        "__name__", "job", "le", "quantile",
    }  # fmt: skip


@pytest.mark.parametrize("job", ["app", "ns/app", "/app", "app/", "/", "a/b/c"])
def test_a_job_is_the_same_afterwards(job: str) -> None:
    ((labels, _),) = written(taken(series("up", job=job), 1))
    assert dict(labels)["job"] == job


def test_a_namespace_is_what_somebody_asked_for() -> None:
    ((labels, _),) = written(taken(series("a__b"), 1), namespace="my.app")
    assert dict(labels)["__name__"] == "my_app_a__b"


def test_a_name_that_only_newer_ones_may_have_is_escaped() -> None:
    ((labels, _),) = written(taken(series("http.requests-é"), 1))
    assert dict(labels)["__name__"] == "http_requests__"


def test_what_an_application_named_gets_its_suffixes_as_before() -> None:
    request = taken(series("http.duration", metadata=Metadata("counter", "", "seconds")), 2)
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                del metric.metadata[:]
    ((labels, _),) = written(request)
    assert dict(labels)["__name__"] == "http_duration_seconds_total"
    assert dict(labels)["otel_scope_name"] == "spangate"


def test_a_type_that_is_told_later_is_no_conflict() -> None:
    page, translator = Page(0, 1000), Translator(Translation())
    for metadata in (None, Metadata("counter"), None):
        for point, _ in translator.points(taken(series("requests", metadata=metadata), 2)):
            assert point is not None
            assert page.put(point, 0, 1) == ""
    text = b"".join(page.render(False)).decode()
    assert text.count("# TYPE requests ") == 1


@given(st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,30}", fullmatch=True), st.booleans())
def test_any_name_comes_back(name: str, suffixes: bool) -> None:
    if name == "target_info":
        return
    ((labels, _),) = written(taken(series(name), 1), suffixes)
    assert dict(labels)["__name__"] == name
