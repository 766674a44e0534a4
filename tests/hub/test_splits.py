"""Sides of a split beside each other, of numbers that workers have reported."""

from __future__ import annotations

import pytest

from proxy.config.model import Route
from proxy.hub.splits import quantile, splits
from proxy.telemetry.instruments import DURATIONS, SPLIT_DURATION
from proxy.telemetry.metrics import Point, Report
from proxy.telemetry.totals import Totals

ROUTE = Route(name="shop", to={"stable": 95, "canary": 5})


def point(**buckets: int) -> Point:
    counts = [0] * (len(DURATIONS) + 1)
    for name, count in buckets.items():
        counts[int(name[1:])] = count
    return Point(tuple(counts), sum(counts) * 4_000_000, ())


def reported(*told: tuple[str, str, Point]) -> Totals:
    totals = Totals()
    histograms = {}
    for side, error, value in told:
        labels: tuple[tuple[str, str], ...] = (
            ("spangate.route", "shop"),
            ("spangate.upstream", side),
        )
        labels += (("error.type", error),) if error else ()
        histograms[SPLIT_DURATION, labels] = value
    totals.apply(1, Report({}, histograms, []))  # type: ignore[arg-type]
    return totals


def test_each_side_is_told_beside_the_other() -> None:
    totals = reported(
        ("stable", "", point(b0=90)), ("canary", "", point(b0=4)), ("canary", "500", point(b0=1))
    )
    found = splits([ROUTE, Route(to={"stable": 1})], totals)
    assert found["stable"] == found["canary"] and len(found["stable"]) == 1
    sides = found["stable"][0]["sides"]
    assert found["stable"][0]["route"] == "shop"
    assert (sides["stable"]["requests"], sides["stable"]["errors"]) == (90, 0)
    assert (sides["canary"]["requests"], sides["canary"]["error_rate"]) == (5, 0.2)
    assert sides["canary"]["share"] == 0.05 and sides["canary"]["mean_seconds"] == 0.004


def test_a_side_without_requests_claims_nothing() -> None:
    (told,) = splits([ROUTE], Totals())["canary"]
    assert told["sides"]["canary"] == {
        "weight": 5, "share": 0.05, "requests": 0, "errors": 0, "error_rate": None,
        "mean_seconds": None, "p50_seconds": None, "p99_seconds": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("buckets", "share", "seconds"),
    [
        ({"b0": 100}, 0.5, 0.0025),
        ({"b0": 98, "b1": 2}, 0.99, 0.0075),
        ({f"b{len(DURATIONS)}": 1}, 0.5, 10.0),
    ],
)
def test_a_quantile_lies_in_its_bucket(
    buckets: dict[str, int], share: float, seconds: float
) -> None:
    assert quantile(list(point(**buckets).counts), share) == pytest.approx(seconds)
