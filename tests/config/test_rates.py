"""How limits are written, and what is told of those that cannot be."""

from __future__ import annotations

import pytest

from proxy.config.load import loads
from proxy.config.rate_model import RateLimit
from proxy.config.rates import cost, largest_burst, parse_key, parse_limit, parse_redis
from proxy.errors import ConfigError

START = '[upstream.b]\nservers = ["http://10.0.0.1:8000"]\n'
ROUTE = '[[route]]\npath = "/users/{id}/*"\nto = "b"\n'
REDIS = '[redis]\nurl = "redis://localhost:6379"\n'


def said(text: str) -> list[str]:
    try:
        loaded = loads(text, "test.toml", {})
    except ConfigError as error:
        return [str(p).partition(": ")[2] for p in error.problems]
    return [str(p).partition(": ")[2] for p in loaded.warnings]


@pytest.mark.parametrize(
    ("rate", "wanted"),
    [
        ('"100/s"', [RateLimit(limit="100/s")]),
        ('{ limit = "5/m", key = "path:id" }', [RateLimit(limit="5/m", key="path:id")]),
        ('["100/s", { limit = "1/d" }]', [RateLimit(limit="100/s"), RateLimit(limit="1/d")]),
    ],
)
def test_short_and_long_forms(rate: str, wanted: list[RateLimit]) -> None:
    assert loads(START + ROUTE + f"rate = {rate}\n", "t", {}).config.route[0].rate == wanted


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        ('"100"', "route[0].rate: '100' is not a rate: write \"100/s\""),
        ('"0/s"', "respond = 429"),
        ('"2000000/s"', "more than 1000000 requests a second"),
        ('{ limit = "1/s", burst = 0 }', "route[0].rate.burst"),
        ('{ limit = "1/s", key = "ip" }', "route[0].rate.key: 'ip' is no key"),
        ('{ limit = "1/s", key = "header:" }', "is no key"),
        ('{ limit = "1/s", key = "header:x key" }', "'x key' is not a header name"),
        ('{ limit = "1/s", key = "cookie:a b" }', "'a b' is not a cookie's name"),
        ('{ limit = "1/s", burst = 999999999999999999 }', "3153600000 are the most"),
        ('{ limit = "1/d", burst = 1000000 }', "would take over 100 years to fill up"),
        ("{}", "route[0].rate: `limit` is missing"),
        ("[{ burst = 5 }]", "`limit` is missing"),
        ("[5]", "route[0].rate"),
        ('{ limit = "1/s", key = "path:name" }', "has no {name}: it captures id"),
        ('{ limit = "1/s", key = "header:X-Forwarded-For" }', "anybody can write another"),
        ('{ limit = "1/s", scope = "global" }', "route[0].rate.scope"),
        ('["1/s", { limit = "1/s", scope = "shared" }]', "needs a Redis or Valkey"),
    ],
)
def test_what_is_told(rate: str, told: str) -> None:
    (line,) = said(START + ROUTE + f"rate = {rate}\n")
    assert told in line


@pytest.mark.parametrize("url", ["localhost:6379", "rediss://a", "redis://a/x", "redis://a:b", ""])
def test_a_redis_that_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="redis://host:6379"):
        parse_redis(url)


def test_shared_with_redis_is_fine_unless_nothing_is_forwarded() -> None:
    shared = 'rate = { limit = "1/s", scope = "shared" }\n'
    assert said(REDIS + START + ROUTE + shared) == []
    (line,) = said(REDIS + '[[route]]\nrespond = "hi"\n' + shared)
    assert "not worth a question" in line


def test_parsed() -> None:
    assert parse_limit(" 600 / m ") == (600, 60)
    assert parse_key("header: X-Key") == ("header", "X-Key")
    assert parse_redis("redis://u:p%40@h:1/2") == ("h", 1, "u", "p@", 2)
    assert parse_redis("unix:///run/redis.sock") == ("/run/redis.sock", 0, "", "", 0)


@pytest.mark.parametrize("limit", ["1/d", "7/h", "1/s", "1000000/s"])
def test_what_a_key_may_owe_is_a_number_of_63_bits(limit: str) -> None:
    count, window = parse_limit(limit)
    now = 2_000_000_000 * 10**9  # ns, of the clock that counts the most: since 1970
    assert now + cost(count, window) * largest_burst(count, window) < 2**63
