"""The guards of small HTTP servers, over real connections with small limits."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator

import pytest
import trustme
from aiohttp import web

from proxy.tasks import cancel, spawn
from proxy.web.connection import Guards, Line
from proxy.web.inner import Handler
from proxy.web.server import GuardedServer, Later
from tests.ports import free_port

DEADLINE = 60.0
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
BIG = 32 * 1024 * 1024

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Bench:
    """A server that answers with what it read, and the connections of a test to it."""

    def __init__(self, guards: Guards) -> None:
        self.server = GuardedServer(self.handle, guards)
        self.port = 0
        self.go = asyncio.Event()
        self.busy = asyncio.Semaphore(0)
        self.ended = asyncio.Semaphore(0)
        self.opened: list[asyncio.StreamWriter] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.busy.release()
        try:
            if request.path == "/wait":
                await self.go.wait()
            if request.path == "/big":
                response = web.StreamResponse()
                await response.prepare(request)
                for _ in range(BIG // 65536):
                    await response.write(bytes(65536))
                return response
            return web.Response(body=await request.read() or b"ok")
        finally:
            self.ended.release()

    async def connect(self, data: bytes = b"") -> Pair:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.opened.append(writer)
        writer.write(data)
        return reader, writer


@contextlib.asynccontextmanager
async def serving(guards: Guards) -> AsyncIterator[Bench]:
    bench = Bench(guards)
    bench.port = await bench.server.start(address=("127.0.0.1", 0))
    try:
        yield bench
    finally:
        bench.go.set()
        await bench.server.stop(0.1)
        for writer in bench.opened:
            writer.transport.abort()
        await asyncio.sleep(0)


class Passes:
    """A Front that knows nothing itself; the one of a connection that says so breaks."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._data = b""

    is_answering = False
    is_reading = False

    def feed(self, data: bytes) -> bool:
        self._data += data
        return False

    def rest(self) -> bytes:
        if b"/breaks" in self._data:
            raise RuntimeError("this front")
        return self._data

    def closed(self) -> None:
        pass


async def test_a_front_that_breaks_leaves_the_others_their_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(Guards())
    go = threading.Event()

    def make() -> Handler:
        go.wait(DEADLINE)
        return bench.handle

    bench.server = GuardedServer(Later(make), Guards(), Passes)
    bench.port = await bench.server.start(address=("127.0.0.1", 0))
    pairs = []
    async with asyncio.timeout(DEADLINE):
        for path in (b"/", b"/breaks", b"/"):
            pairs.append(await bench.connect(GET.replace(b"/ ", path + b" ", 1)))
            while len(bench.server._asking) < len(pairs):
                await asyncio.sleep(0)
        go.set()
        assert await answer(pairs[0]) == b"ok"
        assert await is_closed(pairs[1])
        assert await answer(pairs[2]) == b"ok"
    assert "this front" in caplog.text
    assert len(bench.server._handlers) == 2  # the broken one has left nothing
    await bench.server.stop(0.1)
    for writer in bench.opened:
        writer.transport.abort()


@pytest.mark.parametrize("host", ["", "::"])
async def test_no_host_is_both_families(host: str) -> None:
    bench = Bench(Guards())
    bench.go.set()
    port = free_port()
    await bench.server.start(address=(host, port))
    for place in ("127.0.0.1", "::1"):
        reader, writer = await asyncio.open_connection(place, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await answer((reader, writer)) == b"ok"
        writer.close()
    await bench.server.stop(0.1)


async def answer(pair: Pair) -> bytes:
    """The body of an answer with a length of two bytes."""
    async with asyncio.timeout(DEADLINE):
        await pair[0].readuntil(b"\r\n\r\n")
        return await pair[0].readexactly(2)


async def is_closed(pair: Pair) -> bool:
    """Waits for the end, whatever comes before it."""
    async with asyncio.timeout(DEADLINE):
        with contextlib.suppress(ConnectionError):
            await pair[0].read(-1)
        return True


async def test_silent_connections_make_room_the_oldest_first() -> None:
    async with serving(Guards(connections=4)) as bench:
        silent = [await bench.connect() for _ in range(8)]
        asking = await bench.connect(GET)
        assert await answer(asking) == b"ok"
        for pair in silent[:5]:
            assert await is_closed(pair)
        for pair in silent[5:]:
            pair[1].write(GET)
            assert await answer(pair) == b"ok"
        assert len(bench.server) == 4


async def test_who_is_at_work_is_not_closed_for_who_comes() -> None:
    async with serving(Guards(connections=2)) as bench:
        working = [await bench.connect(GET.replace(b"/ ", b"/wait ")) for _ in range(2)]
        for _ in working:
            await bench.busy.acquire()
        assert await is_closed(await bench.connect(GET)), "nobody gives way"
        bench.go.set()
        for pair in working:
            assert await answer(pair) == b"ok"
        assert await answer(await bench.connect(GET)) == b"ok"


async def test_an_answer_that_nobody_reads_makes_room_too() -> None:
    async with serving(Guards(connections=1)) as bench:
        deaf = await bench.connect(GET.replace(b"/ ", b"/big "))
        await bench.busy.acquire()
        while not bench.server._stalled:
            await asyncio.sleep(0.001)
        assert await answer(await bench.connect(GET)) == b"ok"
        assert await is_closed(deaf)


HALF = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab"
SLOW = [
    pytest.param(b"", Guards(head=0.2), id="says nothing"),
    pytest.param(b"GET / HTTP/1.1\r\nHo", Guards(head=0.2), id="half a head"),
    pytest.param(HALF, Guards(body=0.2), id="half a body"),
    pytest.param(GET, Guards(idle=0.2), id="idle"),
]


@pytest.mark.parametrize(("data", "guards"), SLOW)
async def test_what_does_not_go_on_is_ended(data: bytes, guards: Guards) -> None:
    async with serving(guards) as bench:
        assert await is_closed(await bench.connect(data))
        assert len(bench.server) == 0


async def test_a_head_that_comes_byte_by_byte_has_one_clock() -> None:
    async with serving(Guards(head=0.3)) as bench:
        pair = await bench.connect()

        async def drip() -> None:
            for byte in GET[:-1] * 100:
                pair[1].write(bytes((byte,)))
                await asyncio.sleep(0.02)

        dripping = spawn(drip(), "drip")
        assert await is_closed(pair)
        await cancel(dripping)


async def test_an_answer_that_nobody_reads_has_a_clock() -> None:
    async with serving(Guards(unread=0.2)) as bench:
        pair = await bench.connect(GET.replace(b"/ ", b"/big "))
        async with asyncio.timeout(DEADLINE):
            await bench.ended.acquire()  # by the end of the connection
        assert await is_closed(pair)


async def test_a_slow_handler_is_nobodys_fault() -> None:
    guards = Guards(head=0.1, body=0.1, idle=0.1, unread=0.1)
    async with serving(guards) as bench:
        pair = await bench.connect(GET.replace(b"/ ", b"/wait "))
        await bench.busy.acquire()
        other = await bench.connect()
        assert await is_closed(other), "clocks run meanwhile"
        bench.go.set()
        assert await answer(pair) == b"ok"


async def shaken(bench: Bench, trusting: ssl.SSLContext) -> Pair:
    """A client by TLS who has had an answer: the first that a busy machine lets be in time."""
    async with asyncio.timeout(DEADLINE):
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                pair = await asyncio.open_connection("127.0.0.1", bench.port, ssl=trusting)
                bench.opened.append(pair[1])
                pair[1].write(GET)
                assert await answer(pair) == b"ok"
                return pair


async def test_a_handshake_of_tls_has_the_clock_of_a_head() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    bench = Bench(Guards(head=0.2))
    bench.port = await bench.server.start(address=("127.0.0.1", 0), tls=context)
    try:
        assert await is_closed(await bench.connect())
        pair = await shaken(bench, trusting)
        pair[1].write(GET[:9])
        assert await is_closed(pair), "the guards see what is inside"
    finally:
        await bench.server.stop(0.1)
        for writer in bench.opened:
            writer.transport.abort()
        await asyncio.sleep(0)
