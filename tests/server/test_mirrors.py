"""Copies of requests over real sockets: exact, and never felt by the client."""

from __future__ import annotations

import asyncio

from tests.harness import Backend, Peer, gateway
from tests.server.kit import ask, eventually_collected, number, refusing, reply, request, script

CONFIG = """
listen = "127.0.0.1:0"
[export]
otlp = "http://127.0.0.1:1"
[[route]]
path = "/*"
to = "b"
mirror = {{ to = "shadow" }}
[upstream.b]
servers = ["{main}"]
[upstream.shadow]
servers = ["{shadow}"]
"""


async def test_a_copy_has_the_body_and_a_linked_trace_of_its_own() -> None:
    seen: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()

    async def shadow(peer: Peer) -> None:
        seen.put_nowait(await request(peer))
        peer.write(reply(500))

    async with (
        Backend(script(reply())) as main,
        Backend(shadow) as other,
        gateway(CONFIG.format(main=main.url, shadow=other.url)) as gate,
    ):
        client = await gate.connect()
        assert (await ask(client, "POST", "/a?b=1", body=b"x" * 5000)).status == 200
        head, body = await asyncio.wait_for(seen.get(), 10)
        assert head.startswith(b"POST /a?b=1 ") and body == b"x" * 5000
        await eventually_collected(gate, lambda: len(gate.recorded.spans) == 3)
        server = next(s for s in gate.recorded.spans if s.kind == 2)
        copy = next(s for s in gate.recorded.spans if s.trace_id != server.trace_id)
        assert [link.span_id for link in copy.links] == [server.span_id]
        assert copy.trace_id.hex().encode() in head
        await client.close()


async def test_a_mirror_that_never_answers_delays_nobody() -> None:
    async def hang(peer: Peer) -> None:
        await peer.rest()

    async with (
        Backend(script(reply())) as main,
        Backend(hang) as other,
        gateway(CONFIG.format(main=main.url, shadow=other.url)) as gate,
    ):
        for _ in range(3):
            assert (await gate.get("/")).status == 200


async def test_a_mirror_that_refuses_is_counted() -> None:
    with refusing() as url:
        async with (
            Backend(script(reply())) as main,
            gateway(CONFIG.format(main=main.url, shadow=url)) as gate,
        ):
            assert (await gate.get("/")).status == 200
            await eventually_collected(gate, lambda: number(gate, "spangate.mirror.dropped"))
