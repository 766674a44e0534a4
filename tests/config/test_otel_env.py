"""The OTEL_* variables: what they fill in, what they may not touch, what is said about bad ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.load import Loaded, loads
from proxy.config.observe import Tracing

ROUTE = '[[route]]\nto = "http://127.0.0.1:8000"\n'
OTLP = "OTEL_EXPORTER_OTLP_"
ENDPOINT = {f"{OTLP}ENDPOINT": "http://c:4318"}


def loaded(environ: dict[str, str], text: str = "") -> Loaded:
    return loads(f"{text}\n{ROUTE}", "routes.toml", environ)


def value(environ: dict[str, str], field: str, text: str = "") -> Any:
    found: Any = loaded(environ, text).config
    for step in field.split("/"):
        found = found[step] if isinstance(found, dict) else getattr(found, step)
    return found


@pytest.mark.parametrize(
    ("environ", "field", "expected"),
    [
        ({"OTEL_SERVICE_NAME": "gate"}, "resource", {"service.name": "gate"}),
        (
            {"OTEL_SERVICE_NAME": "gate", "OTEL_RESOURCE_ATTRIBUTES": "service.name=x,a=b%2Cc%3Dd"},
            "resource",
            {"service.name": "gate", "a": "b,c=d"},
        ),
        ({f"{OTLP}COMPRESSION": "GZip"}, "export/compression", "gzip"),
        ({f"{OTLP}TIMEOUT": "2500"}, "export/timeout", 2.5),
        ({f"{OTLP}TIMEOUT": "0"}, "export/timeout", 0),
        ({"OTEL_BSP_EXPORT_TIMEOUT": "300"}, "export/timeout", 0.3),
        ({f"{OTLP}CERTIFICATE": __file__}, "export/tls/ca", __file__),
        (
            {f"{OTLP}CLIENT_KEY": __file__, f"{OTLP}CLIENT_CERTIFICATE": __file__},
            "export/tls/cert",
            __file__,
        ),
        (
            {f"{OTLP}HEADERS": "authorization=Bearer%20a%3Db, x-team = shop"},
            "export/headers",
            {"authorization": "Bearer a=b", "x-team": "shop"},
        ),
        ({"OTEL_BSP_SCHEDULE_DELAY": "200"}, "export/batch_age", 0.2),
        ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "512"}, "export/batch_items", 512),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "60000"}, "export/metrics_interval", 60),
        ({"OTEL_METRICS_EXEMPLAR_FILTER": "always_off"}, "metrics/exemplars", False),
        ({"OTEL_TRACES_EXPORTER": "console"}, "export/console", True),
        ({"OTEL_LOG_LEVEL": "WARN"}, "log/level", "warning"),
        ({"OTEL_LOG_LEVEL": "fatal"}, "log/level", "error"),
        ({"OTEL_SDK_DISABLED": "TRUE"}, "export/signals", []),
        ({"OTEL_SDK_DISABLED": "false"}, "export/signals", ["traces", "metrics", "logs"]),
        ({"OTEL_METRICS_EXPORTER": "none"}, "export/signals", ["traces", "logs"]),
        ({"OTEL_METRICS_EXPORTER": "prometheus"}, "export/signals", ["traces", "logs"]),
        ({"OTEL_SERVICE_NAME": "", "OTEL_PROPAGATORS": " "}, "resource", {}),
        ({"OTEL_SERVICE_NAME": "\udcff"}, "resource", {}),  # the byte FF, which is not UTF-8
    ],
)
def test_variables_fill_what_the_file_leaves_out(
    environ: dict[str, str], field: str, expected: object
) -> None:
    assert value(environ, field) == expected
    assert loaded(environ).warnings == []


@pytest.mark.parametrize(
    ("environ", "text", "field", "expected"),
    [
        ({"OTEL_SERVICE_NAME": "x"}, 'resource."service.name" = "y"', "resource/service.name", "y"),
        (ENDPOINT, 'export.otlp = "grpc://d:1"', "export/otlp", ["grpc://d:1"]),
        (ENDPOINT, "export.otlp = []", "export/otlp", []),
        ({f"{OTLP}TIMEOUT": "1"}, 'export.timeout = "5s"', "export/timeout", 5),
        (
            {f"{OTLP}HEADERS": "X-Team=a,b=c"},
            'export.headers = { x-team = "mine" }',
            "export/headers",
            {"x-team": "mine", "b": "c"},
        ),
        (
            {"OTEL_TRACES_SAMPLER": "always_on"},
            "tracing.sample = 0.1",
            "tracing/sampler",
            "parent",
        ),
        ({"OTEL_PROPAGATORS": "b3"}, 'tracing.inject = ["w3c"]', "tracing/inject", ["w3c"]),
        (
            {"OTEL_SDK_DISABLED": "true"},
            'export.signals = ["logs"]',
            "export/signals",
            ["logs"],
        ),
    ],
)
def test_the_file_wins(environ: dict[str, str], text: str, field: str, expected: object) -> None:
    assert value(environ, field, text) == expected


@pytest.mark.parametrize(
    ("name", "raw", "says"),
    [
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c=%zz", "does not decode"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c=%ff", "does not decode"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c", "does not decode"),
        (f"{OTLP}COMPRESSION", "zstd", "'zstd' is not known here"),
        (f"{OTLP}TIMEOUT", "-1", "not a whole number"),
        (f"{OTLP}TIMEOUT", "10s", "not a whole number"),
        (f"{OTLP}PROTOCOL", "udp", "'udp' is not known here"),
        (f"{OTLP}ENDPOINT", "c:4318", "neither http:// nor https://"),
        (f"{OTLP}ENDPOINT", "ftp://c", "neither http:// nor https://"),
        (f"{OTLP}HEADERS", "a b=c", "'a b' is not a header"),
        (f"{OTLP}HEADERS", "a=b%0d%0ac", "'a' is not a header"),
        (f"{OTLP}CLIENT_KEY", "/key.pem", "come together"),
        (f"{OTLP}TRACES_HEADERS", "a=b", "all signals share"),
        ("OTEL_PROPAGATORS", "xray", "'xray' is not known"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "'jaeger_remote' is not known"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "'zipkin' is not known"),
        ("OTEL_METRICS_EXPORTER", "console", "not printed"),
        ("OTEL_SDK_DISABLED", "1", "counts as false"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "2048", "in bytes"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "sometimes", "'sometimes' is not known"),
    ],
)
def test_what_does_not_parse_is_ignored_with_a_warning(name: str, raw: str, says: str) -> None:
    found = loaded({name: raw})
    assert [(w.file, w.key) for w in found.warnings] == [("environment", name)]
    assert says in found.warnings[0].message
    assert found.config == loaded({}).config


@pytest.mark.parametrize(
    ("raw", "extract", "inject", "baggage"),
    [
        ("tracecontext,baggage", ["w3c"], ["w3c"], True),
        ("tracecontext", ["w3c"], ["w3c"], False),
        ("tracecontext,b3", ["b3", "w3c"], ["w3c", "b3"], False),
        ("b3, TraceContext", ["w3c", "b3"], ["b3", "w3c"], False),
        ("b3multi", ["b3"], ["b3multi"], False),
        ("b3,b3multi,b3", ["b3"], ["b3", "b3multi"], False),
        ("none", [], [], False),
    ],
)
def test_later_propagators_win_on_extract_as_they_do_elsewhere(
    raw: str, extract: list[str], inject: list[str], baggage: bool
) -> None:
    tracing = loaded({"OTEL_PROPAGATORS": raw}).config.tracing
    assert (tracing.extract, tracing.inject, tracing.baggage) == (extract, inject, baggage)


@pytest.mark.parametrize(
    ("sampler", "arg", "expected"),
    [
        ("always_on", "", ("always", 1.0)),
        ("always_off", "", ("never", 0.0)),
        ("traceidratio", "0.25", ("ratio", 0.25)),
        ("parentbased_always_on", "0.5", ("parent", 1.0)),
        ("parentbased_always_off", "", ("parent", 0.0)),
        ("parentbased_traceidratio", "0.0001", ("parent", 0.0001)),
        ("parentbased_traceidratio", "", ("parent", 1.0)),
    ],
)
def test_samplers(sampler: str, arg: str, expected: tuple[str, float]) -> None:
    found = loaded({"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": arg})
    assert (found.config.tracing.sampler, found.config.tracing.sample) == expected
    assert found.warnings == []


METHODS = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS"


def test_known_methods_are_the_whole_list_in_the_case_that_they_have() -> None:
    found = loaded({METHODS: "GET, PROPFIND,,Brew,GET"})
    assert found.config.tracing.known_methods == ["GET", "PROPFIND", "Brew"]
    assert found.warnings == []


@pytest.mark.parametrize("value", ["", " ", ",", "GET,two words", "GET,é"])
def test_known_methods_that_are_none_leave_the_list_as_it_is(value: str) -> None:
    found = loaded({METHODS: value})
    assert found.config.tracing.known_methods == Tracing().known_methods
    assert [w.key for w in found.warnings] == ([METHODS] if "GET" in value else [])


@pytest.mark.parametrize("arg", ["2", "-1", "nan", "x"])
def test_a_bad_ratio_is_one(arg: str) -> None:
    found = loaded({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": arg})
    assert found.config.tracing.sample == 1.0
    assert [w.key for w in found.warnings] == ["OTEL_TRACES_SAMPLER_ARG"]


@pytest.mark.parametrize(
    ("endpoint", "protocol", "insecure", "url"),
    [
        ("http://c:4317", "grpc", "", "grpc://c:4317"),
        ("https://c:4317/", "grpc", "", "grpcs://c:4317"),
        ("c:4317", "grpc", "true", "grpc://c:4317"),
        ("c:4317", "grpc", "", "grpcs://c:4317"),
        ("http://c:4317", "grpc", "false", "grpc://c:4317"),
        ("http://c:4318", "http/protobuf", "", "http://c:4318"),
        ("http://c:4318", "", "", "http://c:4318"),
        ("https://c/otlp", "http/json", "", "https+json://c/otlp"),
        ("HTTP://[::1]:4318", "HTTP/JSON", "", "http+json://[::1]:4318"),
    ],
)
def test_endpoint_and_protocol_make_one_url(
    endpoint: str, protocol: str, insecure: str, url: str
) -> None:
    environ = {
        f"{OTLP}ENDPOINT": endpoint,
        f"{OTLP}PROTOCOL": protocol,
        f"{OTLP}INSECURE": insecure,
    }
    assert value(environ, "export/otlp") == [url]


@pytest.mark.parametrize(
    ("environ", "otlp", "traces"),
    [
        ({}, [], []),
        ({f"{OTLP}PROTOCOL": "grpc"}, [], []),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ["http://localhost:4318"], []),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", f"{OTLP}PROTOCOL": "grpc"},
            ["grpc://localhost:4317"],
            [],
        ),
        ({f"{OTLP}TRACES_ENDPOINT": "http://t/in"}, [], ["http://t/in"]),
        (
            {**ENDPOINT, f"{OTLP}TRACES_ENDPOINT": "t:4317", f"{OTLP}TRACES_PROTOCOL": "grpc"},
            ["http://c:4318"],
            ["grpcs://t:4317"],
        ),
        (
            {**ENDPOINT, f"{OTLP}TRACES_PROTOCOL": "http/json"},
            ["http://c:4318"],
            ["http+json://c:4318/v1/traces"],
        ),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, ["http://c:4318"], []),
    ],
)
def test_signals_may_have_their_own_endpoint(
    environ: dict[str, str], otlp: list[str], traces: list[str]
) -> None:
    export = loaded(environ).config.export
    assert (export.otlp, export.traces) == (otlp, traces)


NAMES = [
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_PROPAGATORS",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_SDK_DISABLED",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_METRIC_EXPORT_INTERVAL",
    "OTEL_METRICS_EXEMPLAR_FILTER",
    *(OTLP + t for t in ("ENDPOINT", "PROTOCOL", "HEADERS", "COMPRESSION", "TIMEOUT", "INSECURE")),
    *(OTLP + t for t in ("CERTIFICATE", "CLIENT_KEY", "LOGS_ENDPOINT", "LOGS_PROTOCOL")),
]
RAW = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["grpc", "http/json", "http://c:1", "a=b", "otlp", "1", "9" * 30, "traceidratio"]
    ),
)


@given(st.dictionaries(st.sampled_from(NAMES), RAW))
def test_no_environment_stops_a_good_file(environ: dict[str, str]) -> None:
    assert all(w.warning for w in loaded(environ).warnings)
