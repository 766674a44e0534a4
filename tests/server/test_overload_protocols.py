"""Limits of upstreams over other protocols than HTTP/1.1: what counts as one that is under way."""

from __future__ import annotations

import asyncio

from tests.harness import Backend, Peer, gateway
from tests.server.h2_backend import H2Backend, Stream
from tests.server.h2_kit import h2_client
from tests.server.kit import eventually
from tests.server.test_overload import Holding, asking, config, held, refused_by, settled
from tests.server.test_websocket import HANDSHAKE, SWITCHED


async def test_a_websocket_counts_while_it_is_open() -> None:
    async def switch(peer: Peer) -> None:
        await peer.head()
        peer.write(SWITCHED)
        await peer.rest()

    async with Backend(switch) as backend, gateway(config(backend.url, "requests = 1")) as gate:
        client = await gate.connect()
        client.write(HANDSHAKE)
        assert (await client.answer(head_only=True)).status == 101
        refused_by(await gate.get("/x"), "requests")
        client.vanish()
        await settled(gate)


async def test_a_stream_of_http2_counts_as_a_request() -> None:
    go_on = asyncio.Event()

    async def wait(stream: Stream) -> None:
        await go_on.wait()
        stream.ok()

    async with H2Backend(wait) as backend:
        text = config(backend.url, "requests = 2, connections = 1") + 'protocol = "h2"\n'
        async with gateway(text) as gate:
            clients = [await asking(gate) for _ in range(2)]
            await eventually(lambda: len(backend.streams) == 2)
            refused_by(await gate.get("/x"), "requests")
            go_on.set()
            assert [(await c.answer()).status for c in clients] == [200, 200]
            assert len(backend.lines) == 1
            await settled(gate)


async def test_a_client_of_http2_that_gives_up_leaves_the_queue() -> None:
    handler = Holding()
    limits = "requests = 1, pending = 1"
    async with Backend(handler) as backend, gateway(config(backend.url, limits)) as gate:
        client = await asking(gate)
        await eventually(lambda: handler.asked == 1)
        other = await h2_client(gate)
        other.ask("GET", "/x")
        await eventually(lambda: held(gate)["pending"] == 1)
        other.transport.abort()
        await eventually(lambda: held(gate)["pending"] == 0)
        handler.let()
        assert (await client.answer()).status == 200
        await settled(gate)
