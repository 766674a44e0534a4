"""Bodies on their way through: in pieces, without end, at the pace of the slower side."""

from __future__ import annotations

import asyncio

import pytest

from tests.harness import OK, Backend, Peer, gateway, routes
from tests.server.bodies import FRAMINGS, HUGE, SHA, body_of, digest, emit, in_chunks
from tests.server.kit import (
    Gate,
    eventually,
    is_settled,
    reply,
    request,
    send,
)

# large bodies


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_64_mib_arrive_as_they_were_sent(framing: str, version: str) -> None:
    line, wrap, end = FRAMINGS[framing]

    async def much(peer: Peer) -> None:
        await request(peer)
        peer.write(f"HTTP/1.1 200 OK\r\n{line}\r\n\r\n".encode())
        await emit(peer.writer, wrap, end)

    async with Backend(much) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.write(f"GET /x HTTP/{version}\r\nHost: g\r\n\r\n".encode())
        head = await client.head()
        assert (b"transfer-encoding: chunked" in head) is (framing != "length" and version == "1.1")
        assert (f"content-length: {HUGE}".encode() in head) is (framing == "length")
        found = await digest(
            body_of(client.reader, head, HUGE if framing == "length" else -1 & 2**40)
        )
        await client.close()
        await eventually(lambda: is_settled(gate))
    assert found == (SHA, HUGE)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_64_mib_are_sent_as_they_came(framing: str) -> None:
    line, wrap, end = FRAMINGS[framing]
    found: list[tuple[str, int]] = []

    async def take(peer: Peer) -> None:
        head = await peer.head()
        assert line.lower().encode() in head.lower()
        found.append(await digest(body_of(peer.reader, head, HUGE)))
        peer.write(OK)

    async with Backend(take) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.write(f"PUT /x HTTP/1.1\r\nHost: g\r\n{line}\r\n\r\n".encode())
        await emit(client.writer, wrap, end)
        assert (await client.answer()).status == 200
        await client.close()
    assert found == [(SHA, HUGE)]


async def test_both_directions_stream_at_the_same_time() -> None:
    """An echo: each piece comes back before the next is sent."""

    async def echo(peer: Peer) -> None:
        await peer.head()
        peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        async for piece in in_chunks(peer.reader):
            peer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        peer.write(b"0\r\n\r\n")

    async with Backend(echo) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "POST", "/x", "Transfer-Encoding: chunked")
        await client.head()
        for piece in (b"one", b"two", b"three"):
            client.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            assert await asyncio.wait_for(client.reader.readline(), 20) == b"%x\r\n" % len(piece)
            assert await client.reader.readexactly(len(piece) + 2) == piece + b"\r\n"
        client.write(b"0\r\n\r\n")
        assert await asyncio.wait_for(client.reader.readexactly(5), 20) == b"0\r\n\r\n"
        await client.close()


# pieces


SMALL = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none", b"two", b"one", b"two"),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
        b"3\r\ntwo\r\n0\r\n\r\n",
        b"3\r\none\r\n",
        b"3\r\ntwo\r\n0\r\n\r\n",
    ),
    "head alone": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", b"two", b"", b"two"),
    "half a chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\none",
        b"two\r\n0\r\n\r\n",
        b"3\r\none\r\n",
        b"3\r\ntwo\r\n0\r\n\r\n",
    ),
}


@pytest.mark.parametrize("case", SMALL)
async def test_what_has_come_is_passed_on_before_the_rest_comes(case: str) -> None:
    before, after, first, second = SMALL[case]
    handler = Gate(before, after)
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        assert b" 200 " in await client.head()
        assert await asyncio.wait_for(client.reader.readexactly(len(first)), 20) == first
        handler.go.set()
        assert await asyncio.wait_for(client.reader.readexactly(len(second)), 20) == second
        await client.close()


async def test_a_request_is_passed_on_before_its_body_has_come() -> None:
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def tell(peer: Peer) -> None:
        await peer.head()
        for _ in range(2):
            got.put_nowait(await peer.body(3))
        peer.write(OK)

    async with Backend(tell) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "POST", "/x", "Content-Length: 6")
        client.write(b"one")
        assert await asyncio.wait_for(got.get(), 20) == b"one"
        client.write(b"two")
        assert await asyncio.wait_for(got.get(), 20) == b"two"
        assert (await client.answer()).status == 200
        await client.close()


# early answers


async def test_an_answer_before_the_request_has_ended() -> None:
    """413 and its kind: the client gets it although it still sends."""

    async def refuse(peer: Peer) -> None:
        await peer.head()
        peer.write(reply(413, b"no"))
        await peer.reader.read(-1)

    async with Backend(refuse) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "POST", "/x", "Content-Length: 1000000")
        client.write(b"x" * 1000)
        answer = await client.answer()
        assert (answer.status, answer.body, answer["connection"]) == (413, b"no", "close")
        client.write(b"x" * 1000)  # nothing that is still on its way resets the answer
        assert await client.at_end()
        await client.close()
        await eventually(lambda: is_settled(gate))


async def test_an_answer_may_begin_early_and_end_after_the_request() -> None:
    async def early(peer: Peer) -> None:
        await peer.head()
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none")
        assert await peer.body(6) == b"uvwxyz"
        peer.write(b"two")

    async with Backend(early) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "POST", "/x", "Content-Length: 6")
        client.write(b"uvw")
        await client.head()
        assert await client.reader.readexactly(3) == b"one"
        client.write(b"xyz")
        assert await asyncio.wait_for(client.reader.readexactly(3), 20) == b"two"
        assert await client.at_end()  # it was told so, since the end was not known to be near
        await client.close()
        await eventually(lambda: is_settled(gate))


async def test_expect_100_continue_goes_to_the_backend_and_its_answer_back() -> None:
    async def careful(peer: Peer) -> None:
        head = await peer.head()
        assert b"expect: 100-continue" in head.lower()
        peer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        peer.write(reply(200, await peer.body(5)))

    async with Backend(careful) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "POST", "/x", "Expect: 100-continue", "Content-Length: 5")
        assert (await client.answer()).status == 100
        client.write(b"hello")
        assert (await client.answer()).body == b"hello"
        await client.close()
