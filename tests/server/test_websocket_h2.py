"""WebSockets where one side speaks HTTP/2 (RFC 8441), and both."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from proxy.http.h2 import CANCEL, Rules
from proxy.http.upgrade import accept_of
from tests.harness import DEADLINE, Backend, Gateway, Peer, gateway
from tests.server.h2_backend import H2Backend, Stream, routes
from tests.server.h2_kit import H2Client, h2_client
from tests.server.kit import eventually, is_settled, routing, trace, traces
from tests.server.test_websocket import HANDSHAKE, config

_PING = b"\x81\x82abcd\x09\x0b"  # one masked message of two bytes
_CLOSE = b"\x88\x82abcd\x62\x8a"  # 1000, masked


async def test_from_http_2_to_http_1() -> None:
    async def handler(peer: Peer) -> None:
        head = await peer.head()
        key = head.partition(b"sec-websocket-key: ")[2].partition(b"\r\n")[0]
        peer.write(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n")
        peer.write(b"Sec-WebSocket-Accept: " + accept_of(key) + b"\r\n\r\n")
        peer.write(b"\x81\x02hi")
        await peer.body(len(_PING + _CLOSE))
        assert await peer.rest() == b""

    async with Backend(handler) as backend, gateway(config(backend.port)) as gate:
        client = await h2_client(gate)
        await client.until(lambda: client.session.peer_connects)
        fields = [(b":protocol", b"websocket"), (b"sec-websocket-version", b"13")]
        stream = client.ask("CONNECT", "/chat", *fields, end=False)
        got = await client.head(stream)
        assert got.status == 200
        assert not got["sec-websocket-accept"] and not got["upgrade"]
        client.data(stream, _PING + _CLOSE, True)
        await client.until(lambda: got.closed)
        assert got.body == b"\x81\x02hi" and got.reset is None
        assert backend.heads[0].startswith(b"GET /chat HTTP/1.1\r\n")
        assert backend.field("sec-websocket-version") == "13"
        about = (await trace(gate)).about
        assert about["http.request.method"] == "GET"
        assert about["http.response.status_code"] == 200
        assert about["network.protocol.version"] == "2"
        assert (about["spangate.tunnel.end"], about["websocket.close_code"]) == ("client", 1000)
        assert about["spangate.tunnel.messages_in"] == about["spangate.tunnel.messages_out"] == 1


async def test_a_client_s_reset_closes_the_upstream() -> None:
    gone = asyncio.Event()

    async def handler(peer: Peer) -> None:
        head = await peer.head()
        key = head.partition(b"sec-websocket-key: ")[2].partition(b"\r\n")[0]
        peer.write(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n")
        peer.write(b"Sec-WebSocket-Accept: " + accept_of(key) + b"\r\n\r\n")
        await peer.rest()
        gone.set()

    async with Backend(handler) as backend, gateway(config(backend.port)) as gate:
        client = await h2_client(gate)
        await client.until(lambda: client.session.peer_connects)
        stream = client.ask("CONNECT", "/chat", (b":protocol", b"websocket"), end=False)
        await client.head(stream)
        client.reset(stream)
        async with asyncio.timeout(DEADLINE):
            await gone.wait()
        assert (await trace(gate)).about["spangate.tunnel.end"] == "client_reset"


@pytest.mark.parametrize("upgrade", ["[]", '["foo"]'])
async def test_a_route_that_does_not_switch(upgrade: str) -> None:
    async with Backend() as backend, gateway(config(backend.port, f"upgrade = {upgrade}")) as gate:
        client = await h2_client(gate)
        await client.until(lambda: client.session.peer_connects)
        got = await client.head(
            client.ask("CONNECT", "/chat", (b":protocol", b"websocket"), end=False)
        )
        assert got.status == 426 and not got["upgrade"] and not got["connection"]
        assert not backend.peers


async def test_from_http_1_to_http_2_and_back() -> None:
    """The upstream is a second gateway, which speaks HTTP/2 to the first."""

    async def echo(peer: Peer) -> None:
        head = await peer.head()
        key = head.partition(b"sec-websocket-key: ")[2].partition(b"\r\n")[0]
        peer.write(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n")
        peer.write(b"Sec-WebSocket-Accept: " + accept_of(key) + b"\r\n\r\n")
        while data := await peer.reader.read(65_536):
            peer.write(data)

    async with Backend(echo) as backend, gateway(config(backend.port)) as inner:
        route = '[[route]]\npath = "/*"\nto = "b"\n'
        outer_config = routing({"b": [f"http://127.0.0.1:{inner.port}"]}, route)
        outer_config += 'protocol = "h2"\n'
        async with gateway(outer_config) as outer:
            for _ in range(2):  # a new connection, and one that is there
                client = await outer.connect()
                client.write(HANDSHAKE)
                head = await client.head()
                assert head.startswith(b"HTTP/1.1 101 ")
                assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
                client.write(_PING * 1000 + _CLOSE)
                client.writer.write_eof()
                assert await client.read_all() == _PING * 1000 + _CLOSE
            await eventually(lambda: is_settled(outer))
            await outer.spans(4)
            assert {s.status.code for s in outer.recorded.spans} == {0}


_FIELDS = [
    (b":protocol", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-protocol", b"chat"),
]


async def test_from_http_2_to_http_2() -> None:
    """Bytes both ways at once, in one of several streams of a connection, and every span."""

    async def echo(stream: Stream) -> None:
        stream.head(200, ("sec-websocket-protocol", "chat"))
        sent = 0
        while not stream.ended or sent < len(stream.got):
            got = await stream.some(sent + 1)
            stream.data(got[sent:])
            sent = len(got)
        stream.end()

    async with (
        H2Backend(echo, Rules(connect_protocol=True)) as backend,
        gateway(routes(backend)) as gate,
    ):
        client = await h2_client(gate)
        await client.until(lambda: client.session.peer_connects)
        streams = [client.ask("CONNECT", "/chat", *_FIELDS, end=False) for _ in range(3)]
        said = [_PING * (1000 + n) for n in range(3)]
        for stream, pings in zip(streams, said, strict=True):
            got = await client.head(stream)
            assert (got.status, got["sec-websocket-protocol"]) == (200, "chat")
            client.data(stream, pings + _CLOSE, True)
        for stream, pings in zip(streams, said, strict=True):
            got = await client.answer(stream)
            assert (got.body, got.reset) == (pings + _CLOSE, None)
        pseudo = (":method", ":protocol", ":scheme", ":authority", ":path")
        for asked in backend.streams:
            expected = ["CONNECT", "websocket", "http", "gateway.test", "/chat"]
            assert [asked[name] for name in pseudo] == expected
            assert asked["sec-websocket-version"] == "13" and not asked["sec-websocket-key"]
        assert len(backend.lines) == 1
        for seen in await traces(gate, 3):
            about = seen.about
            assert about["http.request.method"] == "GET"
            assert about["http.response.status_code"] == 200
            assert about["network.protocol.version"] == "2"
            assert seen.tried[0]["network.protocol.version"] == "2"
            assert (about["spangate.tunnel.end"], about["websocket.close_code"]) == ("client", 1000)
            assert about["spangate.tunnel.bytes_in"] == about["spangate.tunnel.bytes_out"]
            assert 1000 <= about["spangate.tunnel.messages_in"] <= 1002
            assert about["spangate.tunnel.messages_in"] == about["spangate.tunnel.messages_out"]
            assert seen.server.status.code == 0


@contextlib.asynccontextmanager
async def tunnelled(
    handler: Callable[[Stream], Awaitable[None]],
) -> AsyncIterator[tuple[H2Backend, Gateway, H2Client, int]]:
    """A WebSocket from a client by HTTP/2 to a server by HTTP/2, whose head has come."""
    async with (
        H2Backend(handler, Rules(connect_protocol=True)) as backend,
        gateway(routes(backend)) as gate,
    ):
        client = await h2_client(gate)
        await client.until(lambda: client.session.peer_connects)
        stream = client.ask("CONNECT", "/chat", *_FIELDS, end=False)
        await client.head(stream)
        yield backend, gate, client, stream


async def test_a_server_s_reset_ends_both_streams() -> None:
    async def handler(stream: Stream) -> None:
        stream.head(200)
        await stream.some(len(_PING))
        stream.rst(2)

    async with tunnelled(handler) as (_, gate, client, stream):
        client.data(stream, _PING)
        assert (await client.answer(stream)).reset is not None
        assert not client.lost
        seen = await trace(gate)
        assert seen.about["spangate.tunnel.end"] == "upstream_reset"


async def test_a_client_s_reset_resets_the_server_s_stream() -> None:
    async def handler(stream: Stream) -> None:
        stream.head(200)
        await stream.closed.wait()

    async with tunnelled(handler) as (backend, gate, client, stream):
        client.reset(stream)
        async with asyncio.timeout(DEADLINE):
            await backend.streams[0].closed.wait()
        assert backend.streams[0].reset == CANCEL
        assert not backend.lines[0].gone.is_set()
        assert (await trace(gate)).about["spangate.tunnel.end"] == "client_reset"


async def test_an_upstream_that_takes_no_extended_connect() -> None:
    """It is asked by HTTP/1.1; where it speaks none, the client is told."""
    from tests.http.h2_frames import SETTINGS, frame

    async def handler(peer: Peer) -> None:
        peer.write(frame(SETTINGS, 0, 0, b""))
        await peer.rest()

    route = '[[route]]\npath = "/*"\nto = "b"\n'
    async with (
        Backend(handler) as backend,
        gateway(routing({"b": [backend.url]}, route) + 'protocol = "h2"\n') as gate,
    ):
        client = await gate.connect()
        client.write(HANDSHAKE)
        assert (await client.answer()).status == 502
        seen = await trace(gate)
        assert seen.tried[0]["error.type"] == "http_1_1_required"
