"""Dialling what cannot be dialled: it ends, and says why."""

from __future__ import annotations

import asyncio
import os
import resource
from typing import Any, cast

import pytest

from proxy.config.syntax import parse_server
from proxy.errors import DnsFailed, UpstreamError
from proxy.server.descriptors import Descriptors
from proxy.server.dial import Dialling, dial
from proxy.server.outbox import Outbox
from proxy.server.pool import Pool
from proxy.server.turns import Turns
from proxy.tasks import spawn
from proxy.telemetry.metrics import Registry
from proxy.upstream.endpoint import Endpoint
from tests.harness import Backend
from tests.server.kit import eventually

ENOUGH = Descriptors(lambda: None, lambda: None, lambda: None, Registry())


class Told:
    """As much of a story as dialling speaks to."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def on_connect_failed(self, error: Exception) -> None:
        self.errors.append(error)


IMPOSSIBLE = {
    "an empty label": ("a..b", 80, DnsFailed),
    "a long label": ("a" * 64 + ".example", 80, DnsFailed),
    "a long name": ("a." * 130 + "b", 80, DnsFailed),
    "bytes that are no name": ("a\udce9b", 80, DnsFailed),
    "NUL": ("a\0b", 80, UpstreamError),
    "no such port": ("127.0.0.1", -1, UpstreamError),
    "no such name": ("nobody.invalid", 80, DnsFailed),
}


def pool_of(host: str, port: int) -> Pool:
    """Of an endpoint that no URL could say."""
    endpoint = Endpoint("http://localhost")
    endpoint.host, endpoint.port = host, port
    return Pool(endpoint, Outbox(), Turns())


@pytest.mark.parametrize(("host", "port", "error"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
async def test_what_cannot_be_dialled_fails_with_a_reason(
    host: str, port: int, error: type[UpstreamError]
) -> None:
    pool = pool_of(host, port)
    with pytest.raises(error) as raised:
        await dial(pool, 10, ENOUGH)
    assert raised.value.status in (502, 503, 504) and str(port) in raised.value.detail
    assert pool.open == 0


async def test_a_story_is_told_of_it() -> None:
    story = Told()
    Dialling(cast("Any", story), pool_of("a..b", 80), 10, ENOUGH)
    await eventually(lambda: story.errors)
    assert isinstance(story.errors[0], DnsFailed)


async def test_the_last_descriptors_are_for_clients_that_are_accepted() -> None:
    """The loop's accept(2) must find one: if not, libuv resets everybody who is in the queue."""
    waits = asyncio.Event()
    few = Descriptors(waits.set, lambda: None, lambda: None, Registry())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    async with Backend() as backend:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 3, hard))
        try:
            dialling = spawn(dial(pool_of("127.0.0.1", backend.port), 60, few), "dial")
            out = spawn(waits.wait(), "out of descriptors")
            await asyncio.wait([dialling, out], return_when=asyncio.FIRST_COMPLETED)
            assert out.done() and not dialling.done()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        connection = await dialling
        connection.transport.abort()


@pytest.mark.parametrize("name", ["a" * 63 + ".example", "a." * 126 + "b", "a-b.c_d.", "_http.x"])
def test_names_that_dns_can_hold_are_taken(name: str) -> None:
    assert parse_server(f"http://{name}:8000") == ("http", name, 8000)
