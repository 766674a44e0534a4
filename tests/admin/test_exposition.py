"""Series as Prometheus text and as OpenMetrics, read back by the official parsers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from proxy.admin.exposition import (
    OPENMETRICS,
    TEXT,
    expose,
    grouped,
    labels_of,
    lines,
    metric_name,
    wants_openmetrics,
)
from proxy.telemetry.instruments import INSTRUMENTS, SERVER_DURATION, Instrument, Kind
from proxy.telemetry.metrics import OVERFLOW, Attributes, Exemplar, Memo, Point, Series
from tests.admin import reference

WANT_OPENMETRICS = "application/openmetrics-text;version=1.0.0"
TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"


def duration() -> Series:
    """3 requests of 4 ms, one of 3 s, one of 20 s; the 3 s one has an exemplar."""
    instrument = INSTRUMENTS[SERVER_DURATION]
    counts = [0] * (len(instrument.boundaries) + 1)
    counts[0], counts[11], counts[-1] = 3, 1, 1
    exemplars: list[Exemplar | None] = [None] * len(counts)
    exemplars[11] = Exemplar(TRACE, SPAN, 3_000_000_000, 1_700_000_000_000_000_000)
    attributes: Attributes = (
        ("http.request.method", "GET"),
        ("http.response.status_code", 200),
        ("http.route", 'a"b\\c\nd'),
    )
    return Series(instrument, attributes, Point(tuple(counts), 23_012_000_000, tuple(exemplars)))


def counter(*labels: tuple[str, str | int | bool]) -> Series:
    return Series(Instrument("spangate.tries", Kind.COUNTER, "{try}", "Tries."), labels, 7)


@pytest.mark.parametrize("accept", ["", WANT_OPENMETRICS])
def test_both_formats_say_the_same(accept: str) -> None:
    body, content_type = expose([duration(), counter(("a.b", "x"))], accept)
    read = read_openmetrics if accept else read_text
    samples = {
        (s.name, s.labels.get("le", "")): s
        for family in read(body.decode())
        for s in family.samples
    }
    name = "http_server_request_duration_seconds"
    assert content_type == (OPENMETRICS if accept else TEXT)
    assert samples[f"{name}_bucket", "0.005"].value == 3
    assert samples[f"{name}_bucket", "5.0"].value == 4
    assert samples[f"{name}_bucket", "+Inf"].value == samples[f"{name}_count", ""].value == 5
    assert samples[f"{name}_sum", ""].value == pytest.approx(23.012)
    assert samples[f"{name}_count", ""].labels == {
        "http_request_method": "GET",
        "http_response_status_code": "200",
        "http_route": 'a"b\\c\nd',
    }
    assert samples["spangate_tries_total", ""].labels == {"a_b": "x"}


def test_exemplars_are_in_openmetrics_alone() -> None:
    body = expose([duration()], WANT_OPENMETRICS)[0].decode()
    found = [s for f in read_openmetrics(body) for s in f.samples if s.exemplar]
    assert [(s.labels["le"], s.exemplar.labels, s.exemplar.value) for s in found] == [
        ("5.0", {"trace_id": TRACE.decode(), "span_id": SPAN.decode()}, 3.0)
    ]
    assert float(found[0].exemplar.timestamp) == 1_700_000_000
    assert TRACE not in expose([duration()], "")[0]


def test_series_of_one_instrument_are_one_family_wherever_they_stand() -> None:
    body = expose([counter(("n", 1)), duration(), counter(("n", 2))], WANT_OPENMETRICS)[0]
    families = {f.name: f for f in read_openmetrics(body.decode())}
    assert len(families["spangate_tries"].samples) == 2


@pytest.mark.parametrize(
    ("name", "unit", "exposed"),
    [
        ("http.server.request.duration", "s", "http_server_request_duration_seconds"),
        ("process.memory.usage", "By", "process_memory_usage_bytes"),
        ("a..b-c", "{thing}", "a_b_c"),
        ("wait.seconds", "s", "wait_seconds"),
        ("5xx", "", "_5xx"),
    ],
)
def test_names(name: str, unit: str, exposed: str) -> None:
    assert metric_name(Instrument(name, Kind.GAUGE, unit, "")) == exposed


@pytest.mark.parametrize(
    ("attributes", "labels"),
    [
        (OVERFLOW, {"otel_metric_overflow": "true"}),
        ((("a.b", "1"), ("a_b", "2")), {"a_b": "1;2"}),
        ((("n", 5), ("no", False)), {"n": "5", "no": "false"}),
    ],
)
def test_labels(attributes: Attributes, labels: dict[str, str]) -> None:
    assert labels_of(attributes) == labels


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=0.0.1", True),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.5", False),
        ("text/plain;q=0.5, Application/OpenMetrics-Text;q=0.9", True),
        ("application/openmetrics-text;q=zero", False),
        # what Prometheus 2.42 and 3.x send
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
            "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            True,
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
            "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;"
            "escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,/;q=0.1",
            True,
        ),
    ],
)
def test_negotiation(accept: str, openmetrics: bool) -> None:
    assert wants_openmetrics(accept) is openmetrics


KEYS = st.sampled_from(["a.b", "a_b", "le", "l", "z", "http.route", "1st", "é", "", "__x"])
TEXTS = st.text(st.sampled_from('ab"\\\n{},= é🙂\t\r'), max_size=6)
ATTRIBUTES = st.dictionaries(KEYS, TEXTS | st.integers() | st.booleans(), max_size=4).map(
    lambda found: tuple(found.items())
)
NUMBERS = st.integers(-(10**6), 10**20) | st.integers(0, 2_000_000)
UNITS = st.sampled_from([("s", 10**9), ("By", 1), ("%", 1), ("ms", 1000), ("{x}", 1), ("", 1)])
NAMES = st.sampled_from(["one", "two.seconds", "3.x", "a-b.total"])
DESCRIPTIONS = st.text(st.sampled_from('ab"\\\n '), max_size=6)
EXEMPLARS = st.none() | st.builds(
    Exemplar, st.just(TRACE), st.just(SPAN), st.integers(0, 10**12), st.integers(0, 2 * 10**18)
)


@st.composite
def any_series(draw: st.DrawFn) -> list[Series]:
    found = []
    for name in draw(st.lists(NAMES, max_size=3, unique=True)):
        kind, (unit, divisor) = draw(st.sampled_from(Kind)), draw(UNITS)
        bounds = (5, 10**6, 25 * 10**8, 10**17) if kind is Kind.HISTOGRAM else ()
        instrument = Instrument(name, kind, unit, draw(DESCRIPTIONS), bounds, divisor)
        for _ in range(draw(st.integers(1, 3))):
            value: int | Point = draw(NUMBERS)
            if kind is Kind.HISTOGRAM:
                counts = tuple(draw(st.integers(0, 10**9)) for _ in range(5))
                exemplars = tuple(draw(EXEMPLARS) for _ in range(5))
                value = Point(counts, draw(NUMBERS), exemplars if any(exemplars) else ())
            found.append(Series(instrument, draw(ATTRIBUTES), value, Memo()))
    return draw(st.permutations(found))


@given(any_series(), st.booleans())
def test_the_text_is_what_prometheus_client_writes(series: list[Series], modern: bool) -> None:
    accept = WANT_OPENMETRICS if modern else ""
    expected = reference.page(series, modern)
    assert expose(series, accept)[0] == expected
    assert expose(series, accept)[0] == expected, "labels come from the memo now"


@pytest.mark.parametrize("modern", [True, False])
def test_every_instrument_reads_as_prometheus_client_writes_it(modern: bool) -> None:
    series = []
    for instrument in INSTRUMENTS.values():
        value: int | Point = 12_345_678
        if instrument.boundaries:
            value = Point((1,) * (len(instrument.boundaries) + 1), 10**12, ())
        series.append(Series(instrument, (("http.route", "/a"),), value))
    text = "".join(lines(grouped([*series, duration()]), modern))
    assert text.encode() == reference.page([*series, duration()], modern)
