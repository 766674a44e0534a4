"""Names in both directions."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.formats.prometheus.names import label_name, metric_name, ucum, unit_words


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected"),
    [
        ("http.server.request.duration", "s", "histogram", "http_server_request_duration_seconds"),
        ("requests", "{request}", "sum", "requests_total"),
        ("requests_total", "1", "sum", "requests_total"),
        ("total.requests", "", "sum", "requests_total"),
        ("memory.usage", "By", "updown", "memory_usage_bytes"),
        ("memory.bytes.used", "By", "gauge", "memory_bytes_used"),
        ("cpu.utilization", "1", "gauge", "cpu_utilization_ratio"),
        ("cpu.utilization", "1", "updown", "cpu_utilization"),
        ("disk.rate", "By/s", "gauge", "disk_rate_bytes_per_second"),
        ("speed", "m/s", "gauge", "speed_meters_per_second"),
        ("rate", "{req}/s", "gauge", "rate_per_second"),
        ("a..b--c", "", "gauge", "a_b_c"),
        ("1st", "", "gauge", "_1st"),
        ("ns:rule", "", "gauge", "ns:rule"),
        ("größe", "%", "gauge", "gr_e_percent"),
        ("weird", "foo-bar", "gauge", "weird_foo_bar"),
        ("", "", "gauge", "_"),
    ],
)
def test_metric_names(name: str, unit: str, kind: str, expected: str) -> None:
    assert metric_name(name, unit, kind, True) == expected


def test_without_suffixes_and_with_a_namespace() -> None:
    assert metric_name("a.b", "s", "sum", False, "my-app") == "my_app_a_b"
    assert metric_name("a.b", "s", "sum", True, "my-app") == "my_app_a_b_seconds_total"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("http.route", "http_route"),
        ("a-b", "a_b"),
        ("1a", "key_1a"),
        ("__name__", "key__name__"),
        ("_a", "_a"),
        ("", "key_"),
        ("ü", "_"),
    ],
)
def test_label_names(key: str, expected: str) -> None:
    assert label_name(key) == expected


@pytest.mark.parametrize(
    ("words", "unit"),
    [
        ("seconds", "s"),
        ("ratio", "1"),
        ("meters_per_second", "m/s"),
        ("bytes_per_minute", "By/min"),
        ("widgets", "widgets"),
        ("", ""),
    ],
)
def test_units_on_the_way_back(words: str, unit: str) -> None:
    assert ucum(words) == unit


@given(st.text(max_size=30), st.text(max_size=10), st.sampled_from(["sum", "gauge", "histogram"]))
def test_any_name_is_made_good(name: str, unit: str, kind: str) -> None:
    assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", metric_name(name, unit, kind, True))
    assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label_name(name))
    assert not label_name(name).startswith("__")
    assert re.fullmatch(r"[a-zA-Z0-9_:]*", unit_words(unit, kind))
