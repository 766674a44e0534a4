"""The hub's part of the doctor: what numbers and configuration alone tell of upstreams and routes.

Made of the series that `/metrics` shows, with no memory of its own: rates are since the start. It
knows nothing of traces.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from proxy.config.model import Config, Route
from proxy.recent.findings import Finding, as_json
from proxy.telemetry.instruments import (
    CLIENT_DURATION,
    DURATIONS,
    RETRIES,
    SERVER_DURATION,
    UPSTREAM_CREATED,
)
from proxy.telemetry.metrics import Point, Series

NO_KEEPALIVE, USELESS_RETRIES = "no_keepalive", "retries_never_help"
LATE_TIMEOUT, NEVER_HIT = "timeout_too_long", "route_never_hit"

ENOUGH = 100  # tries, before connections are compared with them
NEARLY_ALL = 0.8  # of them, each on a connection of its own
FEW_RETRIES = 20
NEARLY = 0.03
LEAVING = 0.02  # of requests: clients that do not wait for the answer
FEW_LEAVE = 20
LONG_UP = 600.0  # seconds before a route is said to be unused

REMEDIES = {
    NO_KEEPALIVE: (
        "Let the service keep connections open: no `Connection: close`, HTTP/1.1, and an idle "
        "timeout above that of the gateway (gunicorn: --worker-class gthread and --keep-alive; "
        "uvicorn --timeout-keep-alive; Node server.keepAliveTimeout; Go: no "
        "SetKeepAlivesEnabled(false); nginx keepalive_timeout)."
    ),
    USELESS_RETRIES: (
        "Take out what cannot succeed by trying again from `retry.on`, or lower `retry.times`; a "
        "failure that lasts is what `eject` and `breaker` are for."
    ),
    LATE_TIMEOUT: (
        "Set the route's `timeout` a little below the time after which its clients give up: then "
        "they get a 504, and the upstream is spared work that nobody waits for."
    ),
    NEVER_HIT: "Remove the route, or look why it never matches: `spangate explain`.",
}


@dataclass(slots=True)
class _Counts:
    """Of one upstream or route."""

    tries: int = 0
    created: int = 0
    retries: int = 0
    requests: int = 0
    failed: int = 0
    gone: list[int] = field(default_factory=lambda: [0] * (len(DURATIONS) + 1))  # by time


def findings(series: Iterable[Series], config: Config, uptime: float) -> list[Finding]:
    """What is wrong by these series; `uptime` in seconds."""
    upstreams: dict[str, _Counts] = defaultdict(_Counts)
    routes: dict[str, _Counts] = defaultdict(_Counts)
    for one in series:
        _count(one, upstreams, routes)
    found = list(_of_upstreams(upstreams))
    found += _retries(routes, config)
    found += _timeouts(routes, config)
    found += _unused(routes, config, uptime)
    return found


def joined(answer: tuple[int, str, bytes], own: list[Finding]) -> tuple[int, str, bytes]:
    """An answer of the collector's doctor with these besides, the surest first.

    Where no telemetry is kept (404) these are all there is; what else went wrong stays as it is.
    """
    status, content_type, body = answer
    if status not in (200, 404):
        return answer
    said = json.loads(body) if status == 200 else {"checked": {"spans": 0, "services": []}}
    found = [*said.get("findings", ()), *as_json(own)]
    found.sort(key=lambda finding: -finding["confidence"])
    return 200, content_type, json.dumps({**said, "findings": found}).encode()


def _count(one: Series, upstreams: dict[str, _Counts], routes: dict[str, _Counts]) -> None:
    said = dict(one.attributes)
    upstream, route = str(said.get("spangate.upstream", "")), str(said.get("spangate.route", ""))
    name, value = one.instrument.name, one.value
    if isinstance(value, Point):
        if name == CLIENT_DURATION:
            upstreams[upstream].tries += sum(value.counts)
        elif name == SERVER_DURATION:
            counts = routes[route]
            counts.requests += sum(value.counts)
            if "error.type" in said:
                counts.failed += sum(value.counts)
            elif "http.response.status_code" not in said:  # nothing was sent, by nobody's fault
                counts.gone = [a + b for a, b in zip(counts.gone, value.counts, strict=True)]
    elif name == UPSTREAM_CREATED:
        upstreams[upstream].created += value
    elif name == RETRIES:
        routes[route].retries += value


def _of_upstreams(upstreams: dict[str, _Counts]) -> Iterator[Finding]:
    for name, counts in upstreams.items():
        if name and counts.tries >= ENOUGH and counts.created >= NEARLY_ALL * counts.tries:
            summary = (
                f"{name} does not keep connections open: {counts.created} were made for "
                f"{counts.tries} tries."
            )
            yield Finding(name, NO_KEEPALIVE, 0.9, (), REMEDIES[NO_KEEPALIVE], summary)


def _retries(routes: dict[str, _Counts], config: Config) -> Iterator[Finding]:
    """Where none helps, every request that was tried again has failed, after as many retries as
    are allowed: then there are so many times as many retries as failures."""
    for route in config.route:
        name = route.name or route.path
        counts, retry = routes[name], _said(route, config, "retry")
        if counts.retries < FEW_RETRIES or retry is None:
            continue
        if abs(counts.failed * retry.times - counts.retries) <= NEARLY * counts.retries:
            summary = (
                f"retries of {name} do not help: {counts.retries} were made, and "
                f"{counts.failed} requests failed all the same."
            )
            yield Finding(name, USELESS_RETRIES, 0.6, (), REMEDIES[USELESS_RETRIES], summary)


def _timeouts(routes: dict[str, _Counts], config: Config) -> Iterator[Finding]:
    for route in config.route:
        name = route.name or route.path
        counts, wait = routes[name], float(_said(route, config, "timeout") or 0.0)
        left, within = sum(counts.gone), _median(counts.gone)
        if left < FEW_LEAVE or left < LEAVING * counts.requests or within is None:
            continue
        if not wait or wait > 1.5 * within:
            after = f"its timeout is {wait:g} s" if wait else "it has no timeout"
            summary = (
                f"{left} of {counts.requests} clients of {name} left before the answer, half of "
                f"them within {within:g} s, and {after}."
            )
            yield Finding(name, LATE_TIMEOUT, 0.6, (), REMEDIES[LATE_TIMEOUT], summary)


def _said(route: Route, config: Config, key: str) -> Any:
    """What holds for a route: its own word, its upstream's, the default."""
    upstreams = [config.upstream[name] for name in route.to if name in config.upstream]
    for section in (route, *upstreams):
        value = getattr(section, key, None)
        if value is not None:
            return value
    return getattr(config.defaults, key)


def _median(counts: list[int]) -> float | None:
    """The bound of the bucket in which it is, in seconds; None above the last one."""
    half, seen = sum(counts) / 2, 0
    for count, bound in zip(counts, DURATIONS, strict=False):
        seen += count
        if seen >= half:
            return bound / 1e9
    return None


def _unused(routes: dict[str, _Counts], config: Config, uptime: float) -> Iterator[Finding]:
    if uptime < LONG_UP or sum(counts.requests for counts in routes.values()) < ENOUGH:
        return
    for route in config.route:
        name = route.name or route.path
        if not routes[name].requests:
            summary = f"{name} has had no request in {uptime / 60:.0f} minutes."
            yield Finding(name, NEVER_HIT, 0.2, (), REMEDIES[NEVER_HIT], summary)
