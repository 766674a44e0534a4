"""What may be asked of /api/traces, and what is told of what may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.recent.query import (
    FOREVER,
    MS,
    SECOND,
    Query,
    duration,
    milliseconds,
    moment,
    query_of,
)

NOW = 1_800_000_000 * SECOND


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({}, Query()),
        ({"route": ["orders"], "service": ["shop"]}, Query(route="orders", service="shop")),
        ({"min_ms": ["2.5"], "max_ms": ["1s"]}, Query(shortest=2_500_000, longest=SECOND)),
        ({"error": ["true"]}, Query(error=True)),
        ({"error": ["0"]}, Query(error=False)),
        ({"error": [""], "q": [""], "limit": [""]}, Query()),
        ({"since": ["5m"]}, Query(since=NOW - 300 * SECOND)),
        ({"since": ["9999d"]}, Query(since=NOW - 9999 * 86_400 * SECOND)),
        ({"since": ["99999d"]}, Query(since=0)),
        ({"until": ["2027-01-15T08:00:00Z"]}, Query(until=1_800_000_000 * SECOND)),
        ({"until": ["2027-01-15T09:00:00.5+01:00"]}, Query(until=NOW + SECOND // 2)),
        ({"until": ["2027-01-15T09:00:00 01:00"]}, Query(until=NOW)),  # a + that nobody escaped
        ({"q": ["a=b"], "limit": ["1000"]}, Query(text="a=b", limit=1000)),
    ],
)
def test_what_may_be_asked(params: dict[str, list[str]], query: Query) -> None:
    assert query_of(params, NOW) == query


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("limit", "0", "1 to 1000"),
        ("limit", "1001", "1 to 1000"),
        ("limit", "ten", "whole number"),
        ("limit", "٣", "whole number"),
        ("limit", "1" * 900, "whole number"),
        ("error", "maybe", "true or false"),
        ("min_ms", "-1", "milliseconds"),
        ("min_ms", "nan", "milliseconds"),
        ("min_ms", "inf", "milliseconds"),
        ("min_ms", "1e300", "milliseconds"),
        ("min_ms", "9" * 400 + "h", "too long"),
        ("max_ms", "5 parsecs", "milliseconds"),
        ("since", "yesterday", "duration"),
        ("since", "20270115", "duration"),
        ("since", "1969-01-01T00:00:00Z", "duration"),
        ("since", "9" * 400 + "d", "too long"),
        ("until", "0001-01-01T00:00:00+14:00", "duration"),
        ("q", "x" * 1025, "1024"),
        ("color", "red", "known: error"),
    ],
)
def test_what_may_not(name: str, value: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        query_of({name: [value]}, NOW)
    assert len(str(refused.value)) < 250


def test_once_is_enough() -> None:
    with pytest.raises(ValueError, match="2 times"):
        query_of({"q": ["a", "b"]}, NOW)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1ns", 1), ("5us", 5000), ("5µs", 5000), ("1.5s", 1_500_000_000), ("1h30m", 5400 * SECOND),
        ("0s", 0), ("1d", 86_400 * SECOND), ("0.0000001ms", 0), ("2m1.5s", 121_500 * MS),
    ],
)  # fmt: skip
def test_durations(text: str, ns: int) -> None:
    assert duration(text) == ns


@pytest.mark.parametrize("text", ["", "1", "s", "-1s", "1s ", "1 s", "1e3s", "1.s", "1S", "٣s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration(text)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (
        lambda: milliseconds({"a": [text]}, "a", 0),
        lambda: moment({"a": [text]}, "a", NOW, 0),
        lambda: duration(text),
    ):
        try:
            assert 0 <= read() <= FOREVER
        except ValueError:
            continue
