"""What the hub's numbers say is wrong, and what they do not."""

from __future__ import annotations

import pytest

from proxy.config.load import loads
from proxy.config.model import Config
from proxy.hub.doctor import findings
from proxy.telemetry.instruments import (
    CLIENT_DURATION,
    DURATIONS,
    INSTRUMENTS,
    RETRIES,
    SERVER_DURATION,
    UPSTREAM_CREATED,
)
from proxy.telemetry.metrics import Point, Series

Pairs = dict[str, str | int | bool]
TEXT = """
listen = "127.0.0.1:80"
[[route]]
name = "shop"
path = "/shop"
to = "shop"
retry = {{ times = {times} }}
timeout = "{timeout}"
[[route]]
path = "/never"
respond = "x"
[upstream.shop]
servers = ["http://127.0.0.1:1"]
"""


def config(times: int = 1, timeout: str = "0s") -> Config:
    return loads(TEXT.format(times=times, timeout=timeout), "routes.toml", {}).config


def counted(name: str, count: int, **said: str | int) -> Series:
    """A series with that value, or so many requests in its last but one bucket."""
    attributes = tuple((key.replace("__", "."), value) for key, value in said.items())
    if not INSTRUMENTS[name].boundaries:
        return Series(INSTRUMENTS[name], attributes, count)
    buckets = [0] * (len(DURATIONS) + 1)
    buckets[DURATIONS.index(1_000_000_000)] = count
    return Series(INSTRUMENTS[name], attributes, Point(tuple(buckets), 0, ()))


def served(count: int, **said: str | int) -> Series:
    return counted(SERVER_DURATION, count, spangate__route="shop", **said)


OK, FAILED = {"http__response__status_code": 200}, {"error__type": "503"}
UP = {"spangate__upstream": "shop"}


@pytest.mark.parametrize(
    ("series", "loaded", "uptime", "kinds"),
    [
        ([], config(), 0, []),
        ([counted(CLIENT_DURATION, 200, **UP), counted(UPSTREAM_CREATED, 190, **UP)],
         config(), 0, ["no_keepalive"]),
        ([counted(CLIENT_DURATION, 200, **UP), counted(UPSTREAM_CREATED, 20, **UP)],
         config(), 0, []),
        ([counted(CLIENT_DURATION, 20, **UP), counted(UPSTREAM_CREATED, 20, **UP)],
         config(), 0, []),
        ([served(30, **FAILED), counted(RETRIES, 30, spangate__route="shop")],
         config(), 0, ["retries_never_help"]),
        ([served(30, **FAILED), counted(RETRIES, 60, spangate__route="shop")],
         config(2), 0, ["retries_never_help"]),
        ([served(3, **FAILED), counted(RETRIES, 30, spangate__route="shop")], config(), 0, []),
        ([served(90, **FAILED), counted(RETRIES, 30, spangate__route="shop")], config(), 0, []),
        ([served(100), served(100, **OK)], config(), 0, ["timeout_too_long"]),
        ([served(100), served(100, **OK)], config(timeout="10s"), 0, ["timeout_too_long"]),
        ([served(100), served(100, **OK)], config(timeout="1s"), 0, []),
        ([served(1), served(1000, **OK)], config(), 0, []),
        ([served(1000, **OK)], config(), 601, ["route_never_hit"]),
        ([served(1000, **OK)], config(), 60, []),
        ([served(10, **OK)], config(), 601, []),
    ],
)  # fmt: skip
def test_what_the_numbers_say(
    series: list[Series], loaded: Config, uptime: float, kinds: list[str]
) -> None:
    found = findings(series, loaded, uptime)
    assert [finding.kind for finding in found] == kinds
    for finding in found:
        assert finding.service in ("shop", "/never")
        assert finding.remedy and finding.summary.endswith(".")
        assert 0 < finding.confidence < 1
