"""Rate limits over real sockets: what is let in, what the others are told, and what is recorded."""

from __future__ import annotations

import logging

import pytest

from proxy.config.model import Route
from proxy.config.rate_model import RateLimit
from proxy.http.head import RequestHead
from proxy.server.rates import Rates, Rule, key_of, network
from tests.harness import Backend, gateway, routes
from tests.server.kit import traces


def head(*fields: tuple[bytes, bytes], query: str = "") -> RequestHead:
    made = RequestHead()
    for name, value in fields:
        made.add(name, value)
    made.query = query
    return made


@pytest.mark.parametrize(
    ("client", "counted"),
    [
        ("10.0.0.1", b"10.0.0.1"),
        ("2001:db8:0:1:aaaa::1", b"\x20\x01\x0d\xb8\0\0\0\x01"),
        ("2001:db8:0:1:bbbb::2", b"\x20\x01\x0d\xb8\0\0\0\x01"),
        ("fe80::1%eth0", b"\xfe\x80\0\0\0\0\0\0"),
        ("unknown:x", b"unknown:x"),
        ("", None),
    ],
)
def test_a_client_is_its_address_or_its_network(client: str, counted: bytes | None) -> None:
    assert network(client) == counted
    reader = key_of("client")
    assert reader is not None
    assert reader(RequestHead(), {}, client) == counted


def test_what_a_refused_client_is_told() -> None:
    rule = Rule(Route(name="r"), RateLimit(limit="2/s", burst=3, key="client"))
    assert rule.told(0, admitted=True) == (b'"2/s by client";q=2;w=1', b'"2/s by client";r=2;t=1')
    assert rule.told(rule.most, admitted=True)[1].endswith(b";r=0;t=2")
    assert rule.told(rule.most + 1, admitted=False)[1].endswith(b";r=0;t=1")
    assert rule.retry_after(rule.most + 1) == 1


@pytest.mark.parametrize("said", [{"limit": "60/m"}, {"limit": "5/h", "burst": 60}])
def test_burst_is_how_many_come_at_once(said: dict[str, object]) -> None:
    (rule,) = Rates(Route(rate=[RateLimit(**said)])).rules  # type: ignore[arg-type]
    assert rule.most == 59 * rule.cost


async def test_two_are_let_in_and_the_third_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with Backend() as backend:
        config = routes(backend, route='rate = { limit = "1/h", burst = 2, key = "header:x-key" }')
        async with gateway(config) as gate:
            with caplog.at_level(logging.WARNING, "spangate"):
                answers = [await gate.get("/", "X-Key: a") for _ in range(4)]
                other = await gate.get("/", "X-Key: b")
            assert [answer.status for answer in answers] == [200, 200, 429, 429]
            assert other.status == 200
            assert answers[0]["ratelimit"] == '"1/h by header:x-key";r=1;t=3600'
            assert answers[1]["ratelimit-policy"] == '"1/h by header:x-key";q=1;w=3600'
            assert answers[2]["ratelimit"] == '"1/h by header:x-key";r=0;t=3600'
            assert answers[2]["retry-after"] == "3600"
            told = 'spangate; error=http_request_denied; details="rate limit 1/h by header:x-key"'
            assert answers[2]["proxy-status"] == told
            assert len(backend.heads) == 3
            said = [r.getMessage() for r in caplog.records if "rate limit" in r.getMessage()]
            assert said == ["route all: refused by its rate limit 1/h by header:x-key"]
            refused = (await traces(gate, 5))[2]
            assert refused.about["spangate.denied.reason"] == "rate limit 1/h by header:x-key"
            assert refused.about["http.response.status_code"] == 429
            assert not refused.clients
            registry = gate.worker.recorder.registry
            labels = (("spangate.rate_limit", "1/h by header:x-key"), ("spangate.route", "all"))
            assert registry.number("spangate.rate_limit.refused", labels).value == 2


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [
        ("cookie:id", ("/", "Cookie: x=1; id=a"), ("/", "Cookie: id=b")),
        ("query:id", ("/?x=1&id=a", "X: 1"), ("/?id=%62", "X: 1")),
        ("path:id", ("/a", "X: 1"), ("/b", "X: 1")),
    ],
)
@pytest.mark.parametrize("scope", ["worker", "host"])
async def test_by_what_it_counts(
    key: str, scope: str, first: tuple[str, str], second: tuple[str, str]
) -> None:
    async with Backend() as backend:
        rate = f'rate = {{ limit = "1/h", key = "{key}", scope = "{scope}" }}'
        config = routes(backend, route=rate).replace('"/*"', '"/{id}"' if "path" in key else '"/*"')
        async with gateway(config) as gate:
            statuses = [(await gate.get(*asked)).status for asked in (first, first, second)]
            assert statuses == [200, 429, 200]


async def test_without_a_key_all_are_one_and_counted() -> None:
    async with Backend() as backend:
        config = routes(backend, route='rate = { limit = "1/h", key = "header:x-key" }')
        async with gateway(config) as gate:
            assert [(await gate.get("/")).status for _ in range(2)] == [200, 429]
            empty = await gate.get("/", "X-Key: ")
            assert empty.status == 200  # an empty value is one
            labels = (("spangate.rate_limit", "1/h by header:x-key"), ("spangate.route", "all"))
            number = gate.worker.recorder.registry.number("spangate.rate_limit.keyless", labels)
            assert number.value == 2


async def test_several_limits_and_no_fields() -> None:
    async with Backend() as backend:
        rates = 'rate = [{ limit = "5/s", headers = false }, { limit = "1/h" }]'
        async with gateway(routes(backend, route=rates)) as gate:
            first, second = [await gate.get("/") for _ in range(2)]
            assert first["ratelimit"] == '"1/h";r=0;t=3600'
            assert second.status == 429
            assert "1/h" in second["proxy-status"]


async def test_an_answer_of_our_own_is_limited_too() -> None:
    config = """
[[route]]
path = "/*"
respond = "hello"
rate = "1/h"
"""
    async with gateway(config) as gate:
        assert [(await gate.get("/")).status for _ in range(2)] == [200, 429]


async def test_a_reload_that_keeps_the_limit_keeps_what_was_counted() -> None:
    async with Backend() as backend:
        config = routes(backend, route='rate = "1/h"')
        async with gateway(config) as gate:
            assert (await gate.get("/")).status == 200
            await gate.reload(config + "\n# the same\n")
            assert (await gate.get("/")).status == 429
            await gate.reload(config.replace("1/h", "2/h"))
            assert (await gate.get("/")).status == 200
