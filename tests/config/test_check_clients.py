"""What `check` tells of CORS, of address lists, of limits per client and of careful headers."""

from __future__ import annotations

import pytest

from proxy.config.load import loads
from proxy.errors import ConfigError, Problem

FILE = """{top}
[[route]]
path = "/*"
to = "b"
{route}
[upstream.b]
servers = ["http://10.0.0.1:8000"]
"""
SHOP = 'origins = ["https://shop.example"]'
TRUST = "[forwarding]\ntrust = []\n"


def problems(route: str = "", top: str = "") -> list[Problem]:
    try:
        return list(loads(FILE.format(top=top, route=route), "test.toml", {}).warnings)
    except ConfigError as error:
        return list(error.problems)


def only(route: str = "", top: str = "") -> Problem:
    found = problems(route, top)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(
    ("cors", "key", "message", "warning"),
    [
        ("{ }", "cors.origins", "no page of another origin", False),
        ('{ origins = "*", credentials = true }', "origins", "every page could act", False),
        ('{ origins = "~.*", credentials = true }', "origins", "every page can act", False),
        ('{ origins = "null", credentials = true }', "origins", "sandboxed", True),
        ('{ origins = "http://a.example", credentials = true }', "origins", "without TLS", True),
        ('{ origins = "https://a.example/x" }', "origins", "has no path", False),
        ('{ origins = "https://*.com" }', "origins", "top-level", True),
        ('{ origins = ["*", "https://a.example"] }', "origins", "change nothing", True),
        (f'{{ {SHOP}, methods = ["get"] }}', "methods", "case-sensitive", True),
        (f'{{ {SHOP}, methods = ["GET, PUT"] }}', "methods", "is not a method", False),
        (f'{{ {SHOP}, headers = ["x a"] }}', "headers", "is not a header name", False),
        (f'{{ {SHOP}, expose = ["x:"] }}', "expose", "is not a header name", False),
        (f'{{ {SHOP}, expose = "*", credentials = true }}', "expose", "for a name", False),
        (f'{{ {SHOP}, expose = "Set-Cookie" }}', "expose", "Set-Cookie", True),
    ],
)
def test_cors(cors: str, key: str, message: str, warning: bool) -> None:
    found = only(f"cors = {cors}")
    assert key in found.key and message in found.message
    assert found.warning is warning
    assert found.remedy or "write" in found.message


@pytest.mark.parametrize(
    "cors",
    [
        f"{{ {SHOP}, credentials = true, methods = ['PUT', 'PATCH'], headers = ['x-a'] }}",
        '{ origins = "*", methods = "*", headers = "*", expose = "*" }',
        '{ origins = ["http://localhost:3000", "http://127.0.0.1"], credentials = true }',
        '{ origins = ["https://*.shop.example", "~https://pr-[0-9]+[.]shop[.]example", "null"] }',
    ],
)
def test_what_is_right_is_not_told(cors: str) -> None:
    assert problems(f"cors = {cors}") == []


@pytest.mark.parametrize(
    "edit",
    [
        "set.Access-Control-Allow-Origin = '*'",
        "add.access-control-max-age = '5'",
        "remove = ['access-control-allow-origin']",
    ],
)
def test_what_cors_says_nobody_else_says(edit: str) -> None:
    route = f"cors = {{ {SHOP} }}\nheaders.response.{edit}"
    assert "is what `cors` says" in only(route).message
    assert problems(f"headers.response.{edit}") == []


@pytest.mark.parametrize(
    ("route", "message", "warning"),
    [
        ('allow = ["10.1.0.0/16"]\ndeny = ["10.0.0.0/8"]', "wins: nobody comes in", True),
        ('allow = ["10.0.0.0/8", "10.0.0.300"]', "is not a network", False),
        ('secure_headers = { hsts = "includeSubDomains" }', "without max-age", False),
        ('secure_headers = { frame_options = "DENY\\n" }', "cannot be sent", False),
    ],
)
def test_lists_and_careful_headers(route: str, message: str, warning: bool) -> None:
    found = only(route)
    assert message in found.message
    assert found.warning is warning


@pytest.mark.parametrize(
    "route",
    [
        'allow = ["10.0.0.0/8", "unix", "::1"]\ndeny = ["10.1.0.0/16"]',
        "secure_headers = true",
        'secure_headers = { hsts = "", content_security_policy = "default-src \'self\'" }',
        'secure_headers = { hsts = "includeSubDomains; max-age=60; preload" }',
    ],
)
def test_right_ones(route: str) -> None:
    assert problems(route) == []


def test_limits_per_client() -> None:
    pace = TRUST + '[limits]\nper_client = {{ new_connections = "{}" }}\n'
    assert "is not a rate" in only(top=pace.format("50")).message
    assert problems(top=pace.format("50/s")) == []
    told = only(top="[limits]\nper_client = { connections = 9 }")
    assert told.warning and "private networks" in told.message
    assert problems(top=TRUST + "[limits]\nper_client = { connections = 9 }") == []
    assert problems(top="[limits]\nper_client = { requests = 9 }") == []
    assert problems(top="[limits]\nper_client = { connections = -1 }")


@pytest.mark.parametrize("said", [f"cors = {{ {SHOP} }}", "secure_headers = true", 'auth = "none"'])
def test_connections_have_addresses_and_nothing_else(said: str) -> None:
    top = '[[listen]]\naddress = ":5432"\nname = "pg"\nprotocol = "tcp"\n'
    text = FILE.replace('path = "/*"', 'when = {{ listener = "pg" }}').replace("http:", "tcp:")
    try:
        loads(text.format(top=top, route=said), "test.toml", {})
    except ConfigError as error:
        (found,) = error.problems
        assert "has connections and no requests" in found.message
    else:
        raise AssertionError(said)
    allowed = 'allow = ["10.0.0.0/8"]\ndeny = ["10.1.0.0/16"]'
    assert not loads(text.format(top=top, route=allowed), "test.toml", {}).warnings
