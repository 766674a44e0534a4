"""What answers of an upstream mean, and what a message brings to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.collector.tansu import Broker, tansu
from tests.messaging.kit import (
    CONSUMER_KIND,
    Upstream,
    attributes,
    by_kind,
    config,
    consumer,
    gateway,
)

DEAD = 'dead_letter = "{topic}.dead"\nbackoff = "0s"\nretry = 1'


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with tansu() as running:
        await running.topic("orders")
        await running.topic("orders.dead")
        yield running


@asynccontextmanager
async def service(status: int, headers: Mapping[str, str], seconds: float) -> AsyncIterator[str]:
    """One that answers always the same, after so long."""

    async def handle(request: web.BaseRequest) -> web.Response:
        await asyncio.sleep(seconds)
        return web.Response(status=status, headers=headers)

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "headers", "seconds", "reason", "detail"),
    [
        # another gateway's: it is an answer like others, and not our workers' own
        (
            404,
            {"Proxy-Status": "far; error=destination_not_found"},
            0,
            "404",
            "the answer was 404: dest",
        ),
        (
            503,
            {"Proxy-Status": "far; error=connection_refused"},
            0,
            "503",
            "the answer was 503: conn",
        ),
        (302, {"Location": "http://127.0.0.1:1/"}, 0, "302", "the upstream's answer was 302"),
        (200, {}, 60, "timeout", "no answer in time"),
    ],
)
async def test_anything_but_2xx_in_time_is_a_failure(
    broker: Broker,
    status: int,
    headers: dict[str, str],
    seconds: float,
    reason: str,
    detail: str,
) -> None:
    await broker.produce("orders", b"1")
    async with service(status, headers, seconds) as url:
        text = config(broker.address, consumer(url, DEAD + '\ntimeout = "500ms"'))
        async with gateway(text) as made:
            (dead,) = await broker.read("orders.dead", 1)
            spans = await made.spans(4)
    found = dict(dead.headers)
    assert found["dead-letter-reason"].decode() == reason
    assert found["dead-letter-detail"].decode().startswith(detail)
    assert found["dead-letter-tries"] == b"2"
    (process,) = by_kind(spans, CONSUMER_KIND)
    assert attributes(process)["error.type"] == reason


async def test_an_upstream_that_is_not_there_did_not_answer(broker: Broker) -> None:
    await broker.produce("orders", b"1")
    text = config(broker.address, consumer("http://127.0.0.1:1", DEAD))
    async with gateway(text):
        (dead,) = await broker.read("orders.dead", 1)
    found = dict(dead.headers)
    assert found["dead-letter-reason"] == b"503"
    assert found["dead-letter-detail"] == b"the answer was 503: connection_refused"


async def test_bytes_of_headers_are_passed_as_they_are_or_not_at_all(broker: Broker) -> None:
    headers = [
        ("x-tenant", "Zoë".encode()),
        ("x-raw", b"\xff"),
        ("x-evil", b"a\r\nx-injected: 1"),
        ("x-blank", b" a"),
    ]
    await broker.produce("orders", b"1", headers=headers)
    more = 'headers = ["x-tenant", "x-raw", "x-evil", "x-blank"]'
    async with Upstream() as upstream:
        async with gateway(config(broker.address, consumer(upstream.url, more))) as made:
            await made.until(lambda: upstream.got)
        ((_, found, _),) = upstream.got
    assert found["x-tenant"].encode("utf-8", "surrogateescape") == "Zoë".encode()
    assert not found.keys() & {"x-raw", "x-evil", "x-blank", "x-injected", "spangate-known"}


async def test_limits_for_clients_are_not_for_messages(broker: Broker) -> None:
    """A message that the gateway itself refused would never come to its upstream."""
    limits = (
        '[limits]\nbody = "1KiB"\n[limits.per_client]\nconnections = 1\nrequests = 1\n'
        'new_connections = "1/s"\n[forwarding]\ntrust = []\n[defaults]\n'
        'first_byte_timeout = "10ms"\nidle_timeout = "10ms"\nstream_timeout = "10ms"\n'
    )
    for number in range(4):
        await broker.produce("orders", b"%d" % number + b"x" * 5000)
    async with Upstream() as upstream:

        async def answer(body: bytes, tries: int) -> int:
            await asyncio.sleep(0.2)
            return 204

        upstream.answer = answer
        more = "concurrency = 4\nretry = 0" + "\n" + limits
        async with gateway(config(broker.address, consumer(upstream.url, more))) as made:
            await made.until(lambda: len(upstream.got) >= 4)
            async with asyncio.timeout(60):
                while await broker.committed("billing", "orders") != 4:
                    await asyncio.sleep(0.05)
            assert not made.numbers("spangate.consumer.retries")
    assert len(upstream.got) == 4
