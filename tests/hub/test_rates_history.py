"""Rates and percentiles, of histograms that were read again and again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub import rates
from proxy.hub.rates import History
from proxy.telemetry.instruments import (
    CLIENT_DURATION,
    DURATIONS,
    INSTRUMENTS,
    RETRIES,
    SERVER_DURATION,
)
from proxy.telemetry.metrics import OVERFLOW, Attributes, Point, Series

BUCKETS = len(DURATIONS) + 1
BEGAN = 1_700_000_000.0


def point(*counts: int) -> Point:
    return Point((*counts, *[0] * (BUCKETS - len(counts))), 0, ())


def served(route: str, value: Point, *more: tuple[str, str | int | bool]) -> Series:
    labels: Attributes = (("http.request.method", "GET"), ("spangate.route", route), *more)
    return Series(INSTRUMENTS[SERVER_DURATION], labels, value)


def sent(upstream: str, value: Point, *more: tuple[str, str | int | bool]) -> Series:
    labels: Attributes = (("spangate.upstream", upstream), *more)
    return Series(INSTRUMENTS[CLIENT_DURATION], labels, value)


def told(history: History, now: float = 0.0, **options: Any) -> dict[str, Any]:
    """The view with its iterators read, routes and upstreams by name."""
    view: Mapping[str, Any] = history.view(now * 1000, **options)
    return {
        **view,
        "routes": {route.pop("route"): route for route in view["routes"]},
        "upstreams": {one.pop("upstream"): one for one in view["upstreams"]},
    }


def test_requests_before_the_first_question_are_a_rate() -> None:
    history = History(BEGAN)
    history.sample([served("shop", point(200))], BEGAN + 4)
    view = told(history, BEGAN + 4)
    assert view["at_unix_ms"] == (BEGAN + 4) * 1000
    assert view["interval_s"] == 4.0
    shop = view["routes"]["shop"]
    assert (shop["rate"], shop["errors"], shop["requests"]) == (50.0, 0.0, 200)
    assert shop["last_hit_unix_ms"] == (BEGAN + 4) * 1000
    assert view["total"]["rate"] == 50.0 and view["total"]["requests"] == 200


def test_what_came_just_after_a_reading_is_in_the_next_view() -> None:
    history = History(BEGAN)
    for i in range(1, 8):
        history.sample([served("shop", point(7))], BEGAN + i)
    assert told(history)["routes"]["shop"]["rate"] == 0.0
    history.sample([served("shop", point(57))], BEGAN + 7.1)
    view = told(history)
    assert view["interval_s"] == pytest.approx(5.1)
    assert view["routes"]["shop"]["rate"] == pytest.approx(50 / 5.1, abs=0.001)


def test_a_rate_falls_to_nothing_and_the_last_hit_stays() -> None:
    history = History(BEGAN)
    history.sample([served("shop", point(10))], BEGAN + 1)
    for i in range(2, 20):
        history.sample([served("shop", point(10))], BEGAN + i)
    shop = told(history)["routes"]["shop"]
    assert (shop["rate"], shop["p50_ms"], shop["p99_ms"]) == (0.0, None, None)
    assert (shop["requests"], shop["last_hit_unix_ms"]) == (10, (BEGAN + 1) * 1000)


@pytest.mark.parametrize(
    ("attributes", "failed"),
    [
        ((("http.response.status_code", 200),), 0),
        ((("http.response.status_code", 404),), 0),
        ((("http.response.status_code", 503), ("error.type", "connect_refused")), 4),
        ((("http.response.status_code", 500),), 4),
        ((("http.response.status_code", 200), ("error.type", "reset")), 4),  # broke off
        ((("error.type", "timeout"),), 4),
        ((("http.response.status_code", 429), ("error.type", "rate_limited")), 0),
        ((("spangate.client_gone", True),), 0),
    ],
)
def test_what_counts_as_an_error(
    attributes: tuple[tuple[str, str | int | bool], ...], failed: int
) -> None:
    history = History(BEGAN)
    several = [served("shop", point(6)), served("shop", point(4), *attributes)]
    history.sample([*several, sent("orders", point(4), *attributes)], BEGAN + 2)
    view = told(history)
    assert view["routes"]["shop"]["requests"] == 10
    for found in (view["routes"]["shop"], view["upstreams"]["orders"], view["total"]):
        assert found["errors"] == failed / 2
    assert view["upstreams"]["orders"]["rate"] == 2.0


@pytest.mark.parametrize(
    ("counts", "p50", "p99"),
    [
        ((100,), 2.5, 4.95),
        ((0, 10), 7.5, 9.95),
        ((50, 0, 0, 50), 5.0, 49.5),
        ((*[0] * (BUCKETS - 1), 3), 10_000.0, 10_000.0),
    ],
)
def test_percentiles(counts: tuple[int, ...], p50: float, p99: float) -> None:
    history = History(BEGAN)
    history.sample([served("shop", point(*counts))], BEGAN + 1)
    shop = told(history)["routes"]["shop"]
    assert (shop["p50_ms"], shop["p99_ms"]) == (pytest.approx(p50), pytest.approx(p99))


COUNTS = st.lists(st.integers(0, 10**6), min_size=BUCKETS, max_size=BUCKETS)


@given(COUNTS, COUNTS)
def test_percentiles_lie_within_their_bucket(before: list[int], more: list[int]) -> None:
    history = History(BEGAN)
    history.sample([served("shop", point(*before))], BEGAN + 10)
    after = [a + b for a, b in zip(before, more, strict=True)]
    history.sample([served("shop", point(*after))], BEGAN + 20)
    shop = told(history)["routes"].get("shop", {})
    for key, share in (("p50_ms", 0.5), ("p99_ms", 0.99)):
        if sum(more):
            low, high = edges(more, share)
            assert low <= shop[key] * 1e6 <= high
        elif shop:
            assert shop[key] is None


def edges(counts: list[int], share: float) -> tuple[float, float]:
    """Of the bucket in which that share of the requests is reached, ns."""
    found = 0
    for i, count in enumerate(counts):
        found += count
        if count and found >= share * sum(counts):
            low = DURATIONS[i - 1] if i else 0
            return low - 1000, DURATIONS[min(i, BUCKETS - 2)] + 1000  # rounded to µs
    raise AssertionError


def test_a_series_that_was_forgotten_makes_no_rate_below_zero() -> None:
    history = History(BEGAN)
    history.sample([served("a", point(10)), served("a", point(5), ("x", "y"))], BEGAN + 1)
    history.sample([served("a", point(10))], BEGAN + 2)
    history.sample([served("a", point(12))], BEGAN + 3)
    route = told(history)["routes"]["a"]
    assert route["requests"] == 17 and route["rate"] == pytest.approx(17 / 3, abs=0.001)


def test_history_is_oldest_first_and_bounded() -> None:
    history = History(BEGAN)
    for i in range(1, 200):
        history.sample([served("shop", point(i * i))], BEGAN + i)
    points = told(history)["routes"]["shop"]["history"]
    assert len(points) == rates.POINTS
    assert [at for at, *_ in points] == [(BEGAN + i) * 1000 for i in range(80, 200)]
    assert points[-1][1] == 199 * 199 - 198 * 198  # requests in that second
    assert points[-1][2] == 0.0 and points[-1][3] == pytest.approx(2.5)
    assert told(history, points=3)["routes"]["shop"]["history"] == points[-3:]
    assert told(history, points=0)["routes"]["shop"]["history"] == []


def test_questions_in_quick_succession_make_one_point() -> None:
    history = History(BEGAN)
    for i in range(1, 31):
        history.sample([served("shop", point(i))], BEGAN + i / 10)
    points = told(history)["routes"]["shop"]["history"]
    assert len(points) == 3
    assert sum(rate for _, rate, *_ in points) == pytest.approx(30, rel=0.05)


def test_of_thousands_of_routes_the_most_active_have_a_history() -> None:
    history = History(BEGAN)
    history.sample([served(f"r{i}", point(1)) for i in range(3000)], BEGAN + 1)
    busy = [served(f"r{i}", point(2)) for i in range(100, 100 + rates.REMEMBERED)]
    history.sample(busy, BEGAN + 2)
    view = told(history)
    assert len(view["routes"]) == rates.SHOWN and view["more"] == 2000
    with_points = {name for name, route in view["routes"].items() if route["history"]}
    assert with_points == {f"r{i}" for i in range(100, 100 + rates.REMEMBERED)}
    assert view["total"]["requests"] == 3000 + rates.REMEMBERED


def test_a_route_without_requests_is_told_too() -> None:
    view = told(History(BEGAN), routes=["quiet"])
    assert view["routes"] == {
        "quiet": {
            "rate": 0.0, "errors": 0.0, "p50_ms": None, "p99_ms": None, "requests": 0,
            "failed": 0, "last_hit_unix_ms": None, "history": [],
        }
    }  # fmt: skip
    assert view["total"] == {
        "rate": 0.0, "errors": 0.0, "p50_ms": None, "p99_ms": None, "requests": 0,
    }  # fmt: skip


def test_what_is_beyond_the_cap_counts_in_the_total_and_other_metrics_do_not() -> None:
    def series() -> Iterator[Series]:
        yield Series(INSTRUMENTS[SERVER_DURATION], OVERFLOW, point(5))
        yield Series(INSTRUMENTS[RETRIES], (("spangate.route", "shop"),), 7)

    history = History(BEGAN)
    history.sample(series(), BEGAN + 1)
    view = told(history)
    assert view["total"]["requests"] == 5
    assert list(view["routes"]) == [""]
