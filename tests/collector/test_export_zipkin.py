"""The Zipkin exporter against our own Zipkin receiver, and against servers that refuse."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from proxy.collector.batch import Batch
from proxy.errors import ConfigError
from tests.collector.kit import Place, batch, settings


class Server:
    """Answers with these statuses one after the other, then 202."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.url = ""

    async def take(self, request: web.BaseRequest) -> web.Response:
        self.seen.append((request.path_qs, dict(request.headers), await request.read()))
        status = self._statuses.pop(0) if self._statuses else 202
        return web.Response(status=status, text="because" if status != 202 else "")


@asynccontextmanager
async def zipkin(*statuses: int) -> AsyncIterator[Server]:
    server = Server(*statuses)
    runner = web.ServerRunner(web.Server(server.take, auto_decompress=False))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/v2/spans?key=1"
    try:
        yield server
    finally:
        await runner.cleanup()


async def deliver(url: str, *batches: Batch, more: str = "") -> Place:
    place = Place("exporter", "zipkin")
    exporter = place.make(
        f'endpoint = "{url}"\nretry_on_failure = {{ initial_interval = "1ms" }}\n{more}'
    )
    await exporter.start()
    for one in batches:
        assert place.send(one)
    async with asyncio.timeout(20):
        await exporter.stop(5)
    return place


async def test_our_receiver_gets_what_was_sent() -> None:
    there = Place("receiver", "zipkin")
    receiver = there.make('endpoint = "127.0.0.1:0"\nparse_string_tags = true')
    await receiver.start()
    sent = batch("traces", 3)
    place = await deliver(f"http://127.0.0.1:{receiver.port}/api/v2/spans", sent)
    await receiver.stop(1)
    assert (place.ledger.exported, place.ledger.dropped) == (3, {})
    message: Any = there.out[0].message()
    original: Any = sent.message()
    want, got = original.resource_spans[0], message.resource_spans[0]
    assert got.resource == want.resource
    assert got.scope_spans[0].scope == want.scope_spans[0].scope
    assert list(got.scope_spans[0].spans) == list(want.scope_spans[0].spans)


async def test_what_is_posted() -> None:
    async with zipkin() as server:
        await deliver(server.url, batch(), more='compression = "gzip"\nheaders = { x-a = "b" }')
    ((path, headers, body),) = server.seen
    assert path == "/api/v2/spans?key=1"
    assert headers["Content-Type"] == "application/json"
    assert headers["Content-Encoding"] == "gzip"
    assert headers["x-a"] == "b"
    assert headers["b3"] == "0"  # our own export is not to be traced
    spans = json.loads(gzip.decompress(body))
    assert [span["name"] for span in spans] == ["GET /x/{id}"] * 3


async def test_a_large_batch_is_translated_in_a_thread() -> None:
    async with zipkin() as server:
        place = await deliver(server.url, batch("traces", 400))
    assert len(json.loads(server.seen[0][2])) == 400
    assert place.ledger.exported == 400


async def test_what_may_be_sent_again_is() -> None:
    async with zipkin(503, 429) as server:
        place = await deliver(server.url, batch())
    assert len(server.seen) == 3
    assert place.ledger.exported == 3


@pytest.mark.parametrize("status", [400, 413, 500, 302])
async def test_what_is_refused_for_good_is_dropped_with_the_reason(status: int) -> None:
    async with zipkin(status) as server:
        place = await deliver(server.url, batch())
    assert len(server.seen) == 1
    assert place.ledger.dropped == {f"permanent_http_{status}": 3}
    assert place.context.condition.error.endswith("because")


async def test_bytes_that_are_no_request_are_dropped() -> None:
    async with zipkin() as server:
        place = await deliver(server.url, Batch("traces", b"\xff" * 5, 2))
    assert server.seen == []
    assert place.ledger.dropped == {"permanent_malformed": 2}


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [("grpc://a:1", "not http"), ("http://a:1", "no path"), ("zipkin", "not http")],
)
def test_endpoints_are_checked(endpoint: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        settings("exporter", "zipkin", f'endpoint = "{endpoint}"')
