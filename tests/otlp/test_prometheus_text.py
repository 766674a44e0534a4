"""Exposition formats, read: lines, metadata, exemplars, and whatever else a target may say."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from proxy.formats.prometheus.text import Families, Sample, TextError, parse, parse_series


def read(text: str, openmetrics: bool = False, families: Families | None = None) -> list[Sample]:
    return list(parse(text.removesuffix("\n").split("\n"), openmetrics, families or Families()))


@pytest.mark.parametrize(
    ("line", "series", "value", "time"),
    [
        ("a 1", "a", 1.0, None),
        ("  a\t1  ", "a", 1.0, None),
        ("a:b_c 1e3 1700000000123", "a:b_c", 1000.0, 1700000000123000000),
        ("a -Inf 1500", "a", -math.inf, 1500000000),
        ('a{x="1",} +Inf', 'a{x="1",}', math.inf, None),
        ('a{x="} 7 # {"} 2', 'a{x="} 7 # {"}', 2.0, None),
        ("a{} 3", "a{}", 3.0, None),
        ('{"a.b",x="1"} 4', '{"a.b",x="1"}', 4.0, None),
        ("# just a comment\na 1", "a", 1.0, None),
        ("# HELP\na 1", "a", 1.0, None),
    ],
)
def test_a_sample(line: str, series: str, value: float, time: int | None) -> None:
    assert read(line) == [(series, value, time, None)]


@pytest.mark.parametrize(
    ("series", "name", "labels"),
    [
        ("a", "a", []),
        ("a{}", "a", []),
        ('a {x="1"}', "a", [("x", "1")]),
        ('a{ x = "1" , y="2" , }', "a", [("x", "1"), ("y", "2")]),
        (r'a{x="q\"b\\n\n\t"}', "a", [("x", 'q"b\\n\n\\t')]),
        ('{"a.b","c d"="1"}', "a.b", [("c d", "1")]),
        ('a{x="ä} 1"}', "a", [("x", "ä} 1")]),
    ],
)
def test_a_series(series: str, name: str, labels: list[tuple[str, str]]) -> None:
    assert parse_series(series) == (name, labels)


@pytest.mark.parametrize(
    "series",
    [
        *("", "1a", "a-b", "a{", "a}", '{""}', 'a{x="1}', "a{x=1}", 'a{x="1"y="2"}'),
        *('a{x="1",x="2"}', '{x="1"}', 'a{1x="2"}', 'a{"x"}'),
    ],
)
def test_what_is_no_series(series: str) -> None:
    with pytest.raises(TextError):
        parse_series(series)


@pytest.mark.parametrize(
    ("text", "openmetrics"),
    [
        ("a", False),
        ("a one", False),
        ("a 1_000", False),
        ("a 1 2 3", False),
        ("a 1 nan", False),
        ("a 1 inf", False),
        ("a 1 -1", False),
        ("a 1 99999999999999999", False),
        ("# TYPE a nonsense", False),
        ("<html>", False),
        ('{"a": 1, "b": [2, 3]}', False),
        ("a 1\n", True),  # cut off
        ("a 1\n# EOF\na 2", True),
    ],
)
def test_what_is_refused(text: str, openmetrics: bool) -> None:
    with pytest.raises(TextError):
        read(text, openmetrics)


def test_exemplars_and_times_of_openmetrics() -> None:
    text = (
        "# TYPE a counter\n"
        'a_total{x="y # {"} 17 1.5 # {trace_id="ab",x="}"} 0.25 1.25\n'
        'b_bucket{le="1.0"} 3 # {} 4\n'
        "a_created 1\n# EOF\n"
    )
    families = Families()
    first, second, third = read(text, True, families)
    assert first == (
        'a_total{x="y # {"}',
        17.0,
        1_500_000_000,
        ([("trace_id", "ab"), ("x", "}")], 0.25, 1_250_000_000),
    )
    assert second == ('b_bucket{le="1.0"}', 3.0, None, ([], 4.0, 0))
    assert third == ("a_created", 1.0, None, None)
    family, suffix = families.find("a_total")
    assert (family.name, family.type, family.unit, suffix) == ("a", "counter", "", "_total")


def test_an_exact_name_wins_over_a_suffix() -> None:
    families = Families()
    read("# TYPE a histogram\n# TYPE a_count gauge\n", False, families)
    assert families.find("a_count")[0].type == "gauge"
    assert families.find("a_bucket")[0].name == "a"
    assert families.find("b_bucket")[0].type == ""


def test_help_has_its_escapes_read() -> None:
    families = Families()
    read(r"# HELP a one\ntwo \\ three", False, families)
    assert families.find("a")[0].help == "one\ntwo \\ three"


def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    counter = Counter("requests", 'with "quotes" and \\', ["path"], registry=made)
    histogram = Histogram("lat_seconds", "", ["path"], registry=made)
    for path in ("/a", 'q"\\\n', "ä}"):
        counter.labels(path).inc(3, {"trace_id": "0af7651916cd43dd8448eb211c80319c"})
        histogram.labels(path).observe(0.3, {"x": "y"})
    Gauge("temp", "t", registry=made).set(math.inf)
    return made


def test_it_reads_what_prometheus_client_writes() -> None:
    text: str = generate_latest(registry()).decode()
    expected = sorted(
        (sample.name, sorted(sample.labels.items()), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )
    found = []
    for series, value, _, _ in read(text):
        name, labels = parse_series(series)
        found.append((name, sorted(labels), value))
    assert sorted(found) == expected
    written: bytes = generate_openmetrics(registry())  # type: ignore[no-untyped-call]
    modern = read(written.decode(), True)
    assert sum(exemplar is not None for *_, exemplar in modern) == 6


LINE = st.text(st.sampled_from('ab_1{}"=,\\ #.e+\nTYPEOF\t'), max_size=60)


@given(LINE, st.booleans())
@example('a{x="1"} 1 # {', True)
def test_any_text_is_read_or_refused(text: str, openmetrics: bool) -> None:
    try:
        for series, *_ in read(text, openmetrics):
            parse_series(series)
    except TextError:
        return
