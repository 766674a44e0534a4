"""Event streams and long polls: each piece goes out at once, for as long as it takes."""

from __future__ import annotations

import asyncio

import pytest

from tests.harness import DEADLINE, Backend, Peer, gateway, routes
from tests.server.h2_kit import h2_client
from tests.server.kit import eventually, is_settled, number, send, trace

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_UNTIL_CLOSE = _HEAD + b"Connection: close\r\n\r\n"


class Events:
    """A backend that makes an event each time that the test says so."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.go: asyncio.Queue[bytes] = asyncio.Queue()
        self.gone = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        await peer.head()
        peer.write(self.head)
        end = asyncio.get_running_loop().create_task(peer.reader.read(1))
        while True:
            event = asyncio.get_running_loop().create_task(self.go.get())
            await asyncio.wait((event, end), return_when=asyncio.FIRST_COMPLETED)
            if end.done():
                event.cancel()
                self.gone.set()
                return
            data = event.result()
            chunk = b"%x\r\n%b\r\n" % (len(data), data) if b"chunked" in self.head else data
            peer.write(chunk)


@pytest.mark.parametrize("head", [_CHUNKED, _UNTIL_CLOSE], ids=["chunked", "until close"])
@pytest.mark.parametrize("route", ["", "compress = true"], ids=["plain", "compressing"])
async def test_an_event_arrives_before_the_next_is_made(head: bytes, route: str) -> None:
    events = Events(head)
    async with Backend(events) as backend, gateway(routes(backend, route=route)) as gate:
        client = await gate.connect()
        send(client, "GET", "/events", "Accept: text/event-stream")
        assert (await client.head()).startswith(b"HTTP/1.1 200")  # before any event
        for n in range(3):
            event = b"data: %d\n\n" % n
            events.go.put_nowait(event)
            async with asyncio.timeout(DEADLINE):
                assert event in await client.reader.readuntil(event)
        await gate.recorded.collect()
        assert number(gate, "http.server.active_requests") == 1
        client.vanish()
        async with asyncio.timeout(DEADLINE):
            await events.gone.wait()
        about = (await trace(gate)).about
        assert about["spangate.client_gone"] is True
        await eventually(lambda: is_settled(gate))


async def test_over_http_2() -> None:
    events = Events(_CHUNKED)
    async with Backend(events) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        stream = client.ask("GET", "/events")
        got = await client.head(stream)
        assert got.status == 200
        for n in range(3):
            before = got.body
            events.go.put_nowait(b"data: %d\n\n" % n)
            await client.until(lambda want=before + b"data: %d\n\n" % n: got.body == want)
        client.reset(stream)
        async with asyncio.timeout(DEADLINE):
            await events.gone.wait()


async def test_silence_is_limited_by_the_idle_timeout_alone() -> None:
    events = Events(_CHUNKED)
    route = 'idle_timeout = "1s"\nfirst_byte_timeout = "500ms"'
    async with Backend(events) as backend, gateway(routes(backend, route=route)) as gate:
        client = await gate.connect()
        send(client, "GET", "/events")
        await client.head()
        for _ in range(12):  # longer than both
            events.go.put_nowait(b":\n\n")
            async with asyncio.timeout(DEADLINE):
                await client.reader.readuntil(b":\n\n")
            await asyncio.sleep(0.1)
        assert not (await client.read_all()).endswith(b"0\r\n\r\n")
        assert (await trace(gate)).about["error.type"] == "timeout"


async def test_a_long_poll_waits_for_its_answer() -> None:
    go = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.head()
        await go.wait()
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/poll")
        await eventually(lambda: backend.peers and backend.peers[0].received)
        await gate.recorded.collect()
        assert number(gate, "http.server.active_requests") == 1
        go.set()
        assert (await client.answer()).status == 200
