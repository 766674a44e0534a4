"""Processors `redaction` and `resource_detection`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.collector.batch import Batch
from proxy.collector.editing.values import assign, scalar
from proxy.collector.processors.redaction.secrets import is_card, query_cleaned
from proxy.collector.processors.resource_detection.processor import find_out
from proxy.config.load import ConfigError
from tests.collector.kit import Place, batch, settings

UNKNOWN_FIELD = b"\xfa\x3f\x04keep"  # field 1023, delimited, which no version of OTLP has
ALL = "allow_all_keys = true\n"


def redacted(toml: str, **attributes: Any) -> dict[str, Any]:
    """The attributes of a span afterwards; `_` in keys are dots."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(name="x")
    for key, value in attributes.items():
        assign(span.attributes, key.replace("_", "."), value)
    place = Place("processor", "redaction")
    place.make(toml)
    assert place.send(Batch("traces", request.SerializeToString(), 1))
    made = ExportTraceServiceRequest.FromString(place.out[0].payload)
    out = made.resource_spans[0].scope_spans[0].spans[0].attributes
    return {pair.key: scalar(pair.value) for pair in out}


QUIET = ALL + 'summary = "silent"\n'


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("card", "pay 4111 1111 1111 1111 now", "pay **** now"),
        ("card", "4111-1111-1111-1111", "****"),
        ("card", "4111111111111112", "4111111111111112"),  # its check digit is wrong
        ("card", "order 12345", "order 12345"),
        ("email", "from jane.doe+x@mail.example.org!", "from ****!"),
        ("email", "user@localhost", "user@localhost"),
        ("token", "eyJhbGciOi.eyJzdWIiOiI.c2lnbmF0dXJl", "****"),
        ("token", "Bearer abcdefgh12345", "****"),
        ("token", "key AKIAIOSFODNN7EXAMPLE.", "key ****."),
        ("token", "a bearer of news", "a bearer of news"),
    ],
)
def test_kinds_of_secrets(kind: str, before: str, after: str) -> None:
    assert redacted(f'{QUIET}blocked_kinds = ["{kind}"]', a=before) == {"a": after}


@pytest.mark.parametrize(
    ("toml", "before", "after"),
    [
        ('allowed_keys = ["a"]', {"a": "x", "b": "y"}, {"a": "x"}),
        ('ignored_keys = ["a"]\nblocked_values = ["x"]', {"a": "x", "b": "y"}, {"a": "x"}),
        (
            ALL + 'blocked_key_patterns = ["pass"]',
            {"password": 17, "b": 1},
            {"password": "****", "b": 1},
        ),
        (ALL + 'blocked_values = ["[0-9]{3}"]', {"a": "id 12345"}, {"a": "id ****45"}),
        (ALL + 'blocked_values = ["[0-9]{3}"]', {"a": 12345}, {"a": 12345}),
        (
            ALL + 'blocked_values = ["[0-9]{3}"]\nredact_all_types = true',
            {"a": 12345},
            {"a": "****45"},
        ),
        (
            ALL + 'blocked_values = ["x"]\nallowed_values = ["^ok"]',
            {"a": "ok x", "b": "x ok"},
            {"a": "ok x", "b": "**** ok"},
        ),
        (
            ALL + 'blocked_values = ["x"]\nmask = "?"',
            {"a": ["x", 1, {"k": "axa"}]},
            {"a": ["?", 1, {"k": "a?a"}]},
        ),
        (
            ALL + 'blocked_key_patterns = ["^k$"]',
            {"a": {"k": "v", "l": "v"}},
            {"a": {"k": "****", "l": "v"}},
        ),
        (
            ALL + 'blocked_values = ["^a$"]\nhash_function = "sha1"',
            {"a": "a"},
            {"a": "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"},
        ),
        (
            ALL + 'url_query = ["Token"]',
            {"url_full": "https://h/p?token=1&b=2#f", "url_query": "TOKEN=1", "c": "?token=1"},
            {
                "url.full": "https://h/p?token=****&b=2#f",
                "url.query": "TOKEN=****",
                "c": "?token=1",
            },
        ),
    ],
)
def test_attributes(toml: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    assert redacted(toml + '\nsummary = "silent"', **before) == after


def test_counts_and_keys_tell_what_was_done() -> None:
    toml = 'allowed_keys = ["a", "b"]\nblocked_values = ["x"]\n'
    given_ = {"a": "x", "b": "x", "c": 1}
    counts = {"redaction.redacted.count": 1, "redaction.masked.count": 2}
    keys = {"redaction.redacted.keys": "c", "redaction.masked.keys": "a,b"}
    shown = {"a": "****", "b": "****"}
    assert redacted(toml, **given_) == shown | counts
    assert redacted(toml + 'summary = "debug"', **given_) == shown | counts | keys
    assert redacted(toml, a="y") == {"a": "y"}


def test_everywhere_in_a_trace_and_unknown_fields_stay() -> None:
    request = ExportTraceServiceRequest()
    around = request.resource_spans.add()
    scope = around.scope_spans.add()
    span = scope.spans.add(name="x")
    event, link = span.events.add(name="e"), span.links.add()
    holders = (around.resource, scope.scope, span, event, link)
    for holder in holders:
        assign(holder.attributes, "a", "secret")
        holder.MergeFromString(UNKNOWN_FIELD)
    span.status.message = "a secret"
    place = Place("processor", "redaction")
    place.make(ALL + 'blocked_values = ["secret"]')
    place.send(Batch("traces", request.SerializeToString(), 1))
    payload = place.out[0].payload
    assert b"secret" not in payload
    assert payload.count(b"redaction.masked.count") == 5
    assert payload.count(UNKNOWN_FIELD) == 5


def test_log_bodies_and_data_points() -> None:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    records.add().body.string_value = "mail a@b.example"
    assign_body = records.add().body.kvlist_value.values.add(key="m")
    assign_body.value.string_value = "a@b.example"
    place = Place("processor", "redaction", signal="logs")
    place.make(ALL + 'blocked_kinds = ["email"]')
    place.send(Batch("logs", request.SerializeToString(), 2))
    assert b"@" not in place.out[0].payload
    metrics = ExportMetricsServiceRequest()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add()
    point = metric.histogram.data_points.add()
    assign(point.attributes, "a", "a@b.example")
    assign(point.exemplars.add().filtered_attributes, "a", "a@b.example")
    place = Place("processor", "redaction", signal="metrics")
    place.make(ALL + 'blocked_kinds = ["email"]')
    place.send(Batch("metrics", metrics.SerializeToString(), 1))
    assert b"@" not in place.out[0].payload
    assert b"redaction" not in place.out[0].payload


def test_a_long_value_is_cut_and_not_passed_on_unseen() -> None:
    shown = redacted(QUIET + 'blocked_kinds = ["email"]', a="x " * 20_000 + "a@b.example")["a"]
    assert len(shown) < 16384
    assert "@" not in shown


@given(st.text(max_size=80), st.sampled_from(["card", "email", "token"]))
def test_any_text_is_taken_and_the_secret_goes(text: str, kind: str) -> None:
    secret = {
        "card": "5555555555554444",
        "email": "jane@mail.example",
        "token": "ghp_" + "a" * 36,
    }[kind]
    clean = text.encode("utf-8", "replace").decode()
    toml = f'{QUIET}blocked_kinds = ["{kind}"]'
    assert f"| {secret} |" not in redacted(toml, a=f"{clean} | {secret} | {clean}")["a"]


@given(st.text(max_size=60))
def test_a_query_keeps_everything_but_the_values(url: str) -> None:
    assert query_cleaned(url, frozenset({"nobody-asks-for-this"}), lambda value: "") == url
    assert "secret" not in query_cleaned("/p?a=b&token=secret", frozenset("*"), lambda v: "?")


@pytest.mark.parametrize(
    ("digits", "expected"), [("378282246310005", True), ("0000000000000", False), ("1", False)]
)
def test_check_digits(digits: str, expected: bool) -> None:
    assert is_card(digits) is expected


@pytest.mark.parametrize(
    "toml", ["", 'allow_all_keys = true\nblocked_values = ["(a+)+"]', 'blocked_kinds = ["x"]']
)
def test_settings_that_cannot_work(toml: str) -> None:
    with pytest.raises(ConfigError):
        settings("processor", "redaction", toml)


ENVIRON = {
    "OTEL_RESOURCE_ATTRIBUTES": "team=shop, host.name=said%20so",
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "POD_NAME": "pod-1",
}


def detected(toml: str) -> dict[str, str | int]:
    return find_out(settings("processor", "resource_detection", toml), ENVIRON)


def test_detectors() -> None:
    assert detected("") == {"team": "shop", "host.name": "said so"}
    host = detected('detectors = ["host"]')
    assert host["host.name"] != "said so"
    assert {key.partition(".")[0] for key in host} == {"host", "os"}
    assert detected('detectors = ["system", "env"]') == {"team": "shop", **host}
    assert detected('detectors = ["env", "host"]')["host.name"] == "said so"
    assert detected('detectors = ["k8s"]')["k8s.pod.name"] == "pod-1"
    assert detected('detectors = ["process"]\nattributes = ["process.pid"]').keys() == {
        "process.pid"
    }


def test_a_broken_environment_is_none_at_all() -> None:
    said = settings("processor", "resource_detection", "")
    assert find_out(said, {"OTEL_RESOURCE_ATTRIBUTES": "a=1,b"}) == {}


@pytest.mark.parametrize(("override", "expected"), [("true", "detected"), ("false", "app")])
async def test_override(override: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=detected,team=shop")
    place = Place("processor", "resource_detection")
    stage = place.make(f"override = {override}")
    await stage.start()
    for _ in range(2):
        place.send(batch(items=1))
    await stage.stop(1)
    for out in place.out:
        made = ExportTraceServiceRequest.FromString(out.payload).resource_spans[0].resource
        found = {pair.key: pair.value.string_value for pair in made.attributes}
        assert found == {"service.name": expected, "team": "shop"}
