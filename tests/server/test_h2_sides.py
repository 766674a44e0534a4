"""Streams to upstreams as sides: tunnels by RFC 8441."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.http.edits import WANTS_TUNNEL, Edits
from proxy.http.h2 import Rules
from proxy.server.story import Story
from tests.harness import DEADLINE, Gateway, gateway
from tests.server.h2_backend import H2Backend, Stream, routes
from tests.server.kit import eventually, send


class Relay(Story):
    """A story that asks for a tunnel and lets everything through."""

    protocol = "websocket"
    failed: list[Any]

    def begin(self) -> None:
        self.client.pause()
        Relay.failed = []
        endpoint = next(self.worker.upstreams.endpoints())
        self.worker.dial(self, endpoint, 1.0)

    def on_connected(self, upstream: Any) -> None:
        self.upstream = upstream
        edits = Edits("/x", "b.test")
        edits.wants = WANTS_TUNNEL
        self.head.protocol = self.protocol
        if not self.protocol:
            edits.target = "b.test:443"
            self.head.method = "CONNECT"
        upstream.start(self, self.head, edits, [])
        self.client.resume()

    def on_body_end(self, trailers: Any) -> None:
        if self.upstream is not None:
            self.upstream.end(trailers)

    def on_response(self, head: Any) -> None:
        assert self.upstream is not None
        self.client.send_head(head, Edits(), [])
        if head.status == 101 or (not self.protocol and head.status == 200):
            self.client.open_tunnel()
            self.upstream.open_tunnel()

    def on_response_end(self, now: int, trailers: Any) -> None:
        self.client.end(trailers)

    def on_client_gone(self) -> None:
        if self.upstream is not None:
            self.upstream.abort()

    def on_upstream_failed(self, error: Any) -> None:
        Relay.failed.append(error)
        self.client.abort()


class Connect(Relay):
    protocol = ""


@contextlib.asynccontextmanager
async def relaying(backend: H2Backend, story: type[Relay] = Relay) -> AsyncIterator[Gateway]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proxy.server.doors.tell", story)
        async with gateway(routes(backend)) as gate:
            yield gate


TAKES = Rules(connect_protocol=True)


async def test_a_websocket_becomes_an_extended_connect() -> None:
    async def handler(stream: Stream) -> None:
        stream.head(200, ("sec-websocket-protocol", "chat"))
        stream.data(b"early ")
        await stream.some(6)
        stream.data(b"heard")
        await stream.body()
        stream.data(b" late")
        stream.end()

    async with H2Backend(handler, TAKES) as backend, relaying(backend) as gate:
        client = await gate.connect()
        send(client, "GET", "/x", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13")
        async with asyncio.timeout(DEADLINE):
            head = await client.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ")
            assert b"upgrade: websocket\r\n" in head.lower()
            assert await client.reader.readexactly(6) == b"early "
            client.write(b"no one")
            assert await client.reader.readexactly(5) == b"heard"
            client.writer.write_eof()
            assert await client.reader.read() == b" late"
        (stream,) = backend.streams
        pseudo = (":method", ":protocol", ":scheme", ":authority", ":path")
        assert [stream[n] for n in pseudo] == ["CONNECT", "websocket", "http", "b.test", "/x"]
        assert stream["sec-websocket-version"] == "13"
        assert stream["sec-websocket-key"] == stream["content-length"] == ""
        await eventually(lambda: stream.closed.is_set() and stream.reset is None)


async def test_what_the_upstream_does_not_take_must_go_by_http_1_1() -> None:
    async with H2Backend() as backend, relaying(backend) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        await client.at_end()
        (error,) = Relay.failed
        assert error.error_type == "http_1_1_required"
        assert not backend.streams


async def test_a_plain_connect_goes_by_http_1_1() -> None:
    async with H2Backend(rules=TAKES) as backend, relaying(backend, Connect) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        await client.at_end()
        (error,) = Relay.failed
        assert error.error_type == "http_1_1_required"
        assert not backend.streams


async def test_a_tunnel_that_is_reset_after_the_upstreams_end_has_failed() -> None:
    async def handler(stream: Stream) -> None:
        stream.head(200)
        stream.end()
        await go.wait()
        stream.rst(2)

    go = asyncio.Event()
    async with H2Backend(handler, TAKES) as backend, relaying(backend) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        async with asyncio.timeout(DEADLINE):
            await client.reader.readuntil(b"\r\n\r\n")
            assert await client.reader.read() == b""
        assert not Relay.failed
        go.set()
        await eventually(lambda: Relay.failed)
        assert [error.error_type for error in Relay.failed] == ["response_truncated"]


async def test_a_tunnel_holds_back_who_is_too_fast() -> None:
    size = 8 * 1024 * 1024
    go = asyncio.Event()

    async def handler(stream: Stream) -> None:
        stream.head(200)
        await go.wait()
        while len(stream.got) < size:
            stream.take()
            await asyncio.sleep(0)
        stream.data(b"all")

    async with H2Backend(handler, TAKES, reads=False) as backend, relaying(backend) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        async with asyncio.timeout(DEADLINE):
            await client.reader.readuntil(b"\r\n\r\n")
            (ours,) = gate.worker._connections
            client.write(bytes(size))
            await eventually(lambda: ours.reading_paused)  # type: ignore[attr-defined]
            go.set()
            assert await client.reader.readexactly(3) == b"all"


async def test_a_tunnel_that_is_not_granted_is_an_answer() -> None:
    async def handler(stream: Stream) -> None:
        stream.head(403)
        stream.data(b"no", True)

    async with H2Backend(handler, TAKES) as backend, relaying(backend) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        answer = await client.answer()
        assert (answer.status, answer.body) == (403, b"no")
        await eventually(lambda: backend.streams[0].closed.is_set())
