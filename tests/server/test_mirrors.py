"""Copies of requests over real sockets: exact, and never felt by the client."""

from __future__ import annotations

import asyncio
import random

from tests.harness import Backend, Peer, gateway
from tests.server.h2_kit import h2_client
from tests.server.kit import (
    ask,
    eventually,
    eventually_collected,
    number,
    refusing,
    reply,
    request,
    script,
    series,
)

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


async def test_a_body_in_chunks_is_copied_whole_while_it_comes() -> None:
    seen: asyncio.Queue[bytes] = asyncio.Queue()
    pieces = [bytes([65 + n]) * 30_000 for n in range(8)]

    async def shadow(peer: Peer) -> None:
        seen.put_nowait((await request(peer))[1])
        peer.write(reply())

    async with (
        Backend(script(reply())) as main,
        Backend(shadow) as other,
        gateway(CONFIG.format(main=main.url, shadow=other.url)) as gate,
    ):
        client = await gate.connect()
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces:
            client.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(0)
        client.write(b"0\r\n\r\n")
        assert (await client.answer()).status == 200
        assert await asyncio.wait_for(seen.get(), 10) == b"".join(pieces)
        await client.close()


async def test_a_mirror_that_reads_nothing_is_given_up() -> None:
    """Its copy may be a megabyte behind; the client's upload goes on as if there were none."""
    stuck = asyncio.Event()

    async def shadow(peer: Peer) -> None:
        await stuck.wait()

    size = 24 * 1024 * 1024
    async with (
        Backend(script(reply())) as main,
        Backend(shadow) as other,
        gateway("limits.body = 0\n" + CONFIG.format(main=main.url, shadow=other.url)) as gate,
    ):
        client = await gate.connect()
        assert (await ask(client, "PUT", "/", body=bytes(size))).status == 200
        await eventually_collected(gate, lambda: series(gate, "spangate.mirror.dropped"))
        (labels,) = series(gate, "spangate.mirror.dropped")
        assert dict(labels)["spangate.reason"] == "mirror_behind"
        stuck.set()
        await client.close()


async def test_a_client_of_http2_is_copied_too() -> None:
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def shadow(peer: Peer) -> None:
        seen.put_nowait((await request(peer))[0])
        peer.write(reply())

    async with (
        Backend(script(reply())) as main,
        Backend(shadow) as other,
        gateway(CONFIG.format(main=main.url, shadow=other.url)) as gate,
    ):
        client = await h2_client(gate)
        assert (await client.get("/over2")).status == 200
        assert (await asyncio.wait_for(seen.get(), 10)).startswith(b"GET /over2 HTTP/1.1")


async def test_copies_are_the_share_that_the_route_says() -> None:
    asked = 0

    async def shadow(peer: Peer) -> None:
        nonlocal asked
        while True:
            await request(peer)
            asked += 1
            peer.write(reply())

    text = CONFIG.replace('"shadow" }}', '"shadow", share = 0.25 }}')
    async with (
        Backend(script(reply())) as main,
        Backend(shadow) as other,
        gateway(text.format(main=main.url, shadow=other.url)) as gate,
    ):
        gate.worker.random = random.Random(7).random
        client = await gate.connect()
        for _ in range(400):
            assert (await ask(client, "GET", "/")).status == 200
        await eventually(lambda: not len(gate.worker.mirrors))
        await client.close()
    assert abs(asked - 100) < 3 * (400 * 0.25 * 0.75) ** 0.5


async def test_a_client_that_leaves_ends_its_copy() -> None:
    async def hang(peer: Peer) -> None:
        await peer.rest()

    async with (
        Backend(hang) as main,
        Backend(hang) as other,
        gateway(CONFIG.format(main=main.url, shadow=other.url)) as gate,
    ):
        client = await gate.connect()
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
        await eventually(lambda: main.heads and other.heads)
        client.vanish()
        await eventually(lambda: not len(gate.worker.mirrors))
