"""What routes promise, in the terms in which it can be measured: shares, and bounds of buckets.

The file says `latency = "300ms"`; a histogram counts requests below 250 and below 500 ms. Of a
latency that is no bound, the next bound above is judged, which is kinder than what was promised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from proxy.config.loaded import Loaded
from proxy.config.locate import Path, dotted
from proxy.config.model import Config, Route, Slo
from proxy.config.units import seconds_text
from proxy.errors import Problem
from proxy.telemetry.instruments import DURATIONS

BOUNDS = tuple(ns / 1e9 for ns in DURATIONS)  # s, rising


@dataclass(frozen=True, slots=True)
class Objective:
    """One route's. `availability` is 0 where there is none, `bound` where no latency is."""

    route: str
    availability: float
    quantile: float  # share of requests that `bound` is promised for
    latency: float  # s, as the file says it
    bound: float  # s, of the bucket that tells


def objectives(config: Config) -> list[Objective]:
    """Those of all routes that promise something which can be measured, by the routes' names."""
    streams = {one.name for one in config.listen if one.name and one.protocol != "http"}
    found = (_of(r, config.defaults.slo) for r in config.route if r.when.listener not in streams)
    return sorted((o for o in found if o is not None), key=lambda o: o.route)


def _of(route: Route, inherited: Slo | None) -> Objective | None:
    slo = route.slo
    if slo is None:  # a default is for services: what the gateway answers itself is none
        slo = inherited if route.to else None
    if slo is None:
        return None
    latency = slo.latency or 0.0
    made = Objective(
        route.name, slo.availability or 0.0, slo.quantile, latency, told_by(latency) or 0.0
    )
    return made if made.availability or made.bound else None


def told_by(latency: float) -> float | None:
    """The bound of a bucket, in seconds, by which that latency is judged; None above the last."""
    return next((bound for bound in BOUNDS if latency <= bound), None) if latency else None


def misfits(loaded: Loaded) -> list[Problem]:
    """A warning for each latency that the histograms cannot tell as the file says it."""
    return list(_misfits(loaded))


def _misfits(loaded: Loaded) -> Iterator[Problem]:
    config = loaded.config
    said: list[tuple[Path, Slo | None]] = [(("defaults", "slo"), config.defaults.slo)]
    said += [(("route", i, "slo"), route.slo) for i, route in enumerate(config.route)]
    for path, slo in said:
        if slo is None or not slo.latency or slo.latency in BOUNDS:
            continue
        path = loaded.lines.written((*path, "latency"))
        message, remedy = _misfit(slo.latency)
        line = loaded.lines.near(path)
        yield Problem(dotted(path), message, remedy, line, loaded.file, warning=True)


def _misfit(latency: float) -> tuple[str, str]:
    text, bound = seconds_text(latency), told_by(latency)
    if bound is None:
        last = seconds_text(BOUNDS[-1])
        return (
            f"{text} is above {last}, the last bound of the histograms",
            f'write "{last}" or less',
        )
    below = max((b for b in BOUNDS if b < latency), default=0.0)
    near = " or ".join(f'"{seconds_text(b)}"' for b in (below, bound) if b)
    judged = seconds_text(bound)
    return (
        f"{text} is no bound of the histograms, so requests are judged by the next one, {judged}",
        f"write {near} to be judged exactly",
    )
