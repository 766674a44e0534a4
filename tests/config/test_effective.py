"""Which of several values is in force, and who said so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from proxy.config.effective import effective
from proxy.config.load import loads
from proxy.config.model import Retry

TEXT = """
[defaults]
timeout = "9s"
connect_timeout = "5s"
idle_timeout = "8s"

[limits]
body = "1KiB"

[[route]]
path = "/first"
to = "u"

[[route]]
name = "orders"
path = "/orders"
to = "u"
timeout = "1s"
retry = 0
body_limit = "2KiB"

[upstream.u]
servers = "http://10.0.0.1"
timeout = "3s"
idle_timeout = 0
retry = 2
"""


@pytest.mark.parametrize(
    ("route", "key", "value", "origin"),
    [
        (1, "timeout", 1.0, "route 'orders' (routes.toml:18)"),
        (0, "timeout", 3.0, "upstream 'u' (routes.toml:24)"),
        (1, "idle_timeout", 0.0, "upstream 'u' (routes.toml:25)"),
        (1, "connect_timeout", 5.0, "[defaults] (routes.toml:4)"),
        (1, "first_byte_timeout", 60.0, "built in"),
        (1, "retry", Retry(times=0), "route 'orders' (routes.toml:19)"),
        (0, "retry", Retry(times=2), "upstream 'u' (routes.toml:26)"),
        (1, "body_limit", 2048, "route 'orders' (routes.toml:20)"),
        (0, "body_limit", 1024, "[limits] (routes.toml:8)"),
    ],
)
def test_the_route_wins_then_the_upstream_then_defaults(
    route: int, key: str, value: object, origin: str
) -> None:
    loaded = loads(TEXT, "routes.toml", {})
    force = effective(loaded.config, loaded.config.route[route], "u", loaded.where)
    assert (getattr(force, key), force.origin[key]) == (value, origin)


def test_without_lines_a_repeated_default_is_a_built_in_one() -> None:
    config = loads(TEXT, "routes.toml", {}).config
    force = effective(config, config.route[1], "u")
    assert force.origin == {
        "timeout": "route 'orders'",
        "connect_timeout": "built in",
        "first_byte_timeout": "built in",
        "idle_timeout": "upstream 'u'",
        "tls_timeout": "built in",
        "stream_timeout": "built in",
        "retry": "route 'orders'",
        "body_limit": "route 'orders'",
        "baggage": "built in",
        "tracestate": "built in",
        "context": "built in",
    }


def test_a_route_without_upstream_has_values_too() -> None:
    config = loads("[[route]]\nrespond = {}", "f", {}).config
    force = effective(config, config.route[0], "")
    assert (force.timeout, force.connect_timeout, force.retry) == (0.0, 5.0, None)


def test_workers_import_it_without_the_loader() -> None:
    code = "import sys, proxy.config.effective as e; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert not loaded & {"tomllib", "click", "proxy.config.load", "asyncio"}


PROPAGATE = """
[tracing]
baggage = false
[[route]]
path = "/silent"
to = "u"
[[route]]
path = "/says"
to = "u"
propagate = { baggage = true, context = "pass" }
[[route]]
path = "/other"
to = "v"
[upstream.u]
servers = "http://10.0.0.1"
propagate = { tracestate = false, context = "drop" }
[upstream.v]
servers = "http://10.0.0.2"
"""


@pytest.mark.parametrize(
    ("route", "key", "value", "origin"),
    [
        (0, "baggage", False, "[tracing] (f:3)"),
        (0, "tracestate", False, "upstream 'u' (f:16)"),
        (0, "context", "drop", "upstream 'u' (f:16)"),
        (1, "baggage", True, "route '/says' (f:10)"),
        (1, "tracestate", False, "upstream 'u' (f:16)"),
        (1, "context", "pass", "route '/says' (f:10)"),
        (2, "baggage", False, "[tracing] (f:3)"),
        (2, "tracestate", True, "built in"),
        (2, "context", "pass", "built in"),
    ],
)
def test_each_key_of_propagate_is_decided_on_its_own(
    route: int, key: str, value: object, origin: str
) -> None:
    loaded = loads(PROPAGATE, "f", {})
    config = loaded.config
    force = effective(config, config.route[route], "uuv"[route], loaded.where)
    assert getattr(force.propagate, key) == value
    assert force.origin[key] == origin
