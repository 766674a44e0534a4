"""How the sides of routes that split do, beside each other, for `/upstreams`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from proxy.config.model import Route
from proxy.telemetry.instruments import DURATIONS, SPLIT_DURATION
from proxy.telemetry.metrics import Point
from proxy.telemetry.totals import Totals

Counts = tuple[list[int], int, int]  # by bucket of time; the sum of times, ns; errors


def splits(routes: Iterable[Route], totals: Totals) -> dict[str, list[dict[str, Any]]]:
    """By upstream: each route that sends it a part of its requests, with all of the route's sides.
    Requests are those of clients since the gateway began; errors those that SERVER spans show."""
    found: dict[str, list[dict[str, Any]]] = {}
    split = [route for route in routes if len(route.to) > 1]
    if not split:
        return found
    counted = _counted(totals)
    for route in split:
        name, total = route.name or route.path, sum(route.to.values())
        sides = {
            side: {
                "weight": weight,
                "share": round(weight / total, 6),
                **_told(counted, name, side),
            }
            for side, weight in route.to.items()
        }
        for side in route.to:
            found.setdefault(side, []).append({"route": name, "sides": sides})
    return found


def _counted(totals: Totals) -> dict[tuple[str, str], Counts]:
    """By route and upstream."""
    found: dict[tuple[str, str], Counts] = {}
    for one in totals.of(SPLIT_DURATION):
        labels = dict(one.attributes)
        key = (str(labels.get("spangate.route")), str(labels.get("spangate.upstream")))
        if not isinstance(one.value, Point):
            continue
        buckets, took, errors = found.get(key, ([0] * (len(DURATIONS) + 1), 0, 0))
        buckets = [a + b for a, b in zip(buckets, one.value.counts, strict=True)]
        failed = sum(one.value.counts) if "error.type" in labels else 0
        found[key] = (buckets, took + one.value.sum, errors + failed)
    return found


def _told(counted: Mapping[tuple[str, str], Counts], route: str, side: str) -> dict[str, Any]:
    buckets, took, errors = counted.get((route, side), ([], 0, 0))
    requests = sum(buckets)
    return {
        "requests": requests,
        "errors": errors,
        "error_rate": round(errors / requests, 6) if requests else None,
        "mean_seconds": round(took / requests / 1e9, 6) if requests else None,
        "p50_seconds": quantile(buckets, 0.5),
        "p99_seconds": quantile(buckets, 0.99),
    }


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """Seconds below which that share lies, as even as a bucket's may lie; None of nothing. What
    lies beyond the last boundary counts as that."""
    wanted = share * sum(buckets)
    if not wanted:
        return None
    before = 0
    for count, (low, high) in zip(buckets, _edges(), strict=True):
        if count and before + count >= wanted:
            return round((low + (high - low) * (wanted - before) / count) / 1e9, 6)
        before += count
    return DURATIONS[-1] / 1e9


def _edges() -> Iterator[tuple[int, int]]:
    last = 0
    for boundary in (*DURATIONS, DURATIONS[-1]):
        yield last, boundary
        last = boundary
