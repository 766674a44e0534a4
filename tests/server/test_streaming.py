"""Bodies on their way through: in pieces, without end, at the pace of the slower side."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from tests.harness import OK, Backend, Client, Gateway, Peer, gateway, routes
from tests.server.kit import (
    Gate,
    ask,
    eventually,
    is_settled,
    reply,
    request,
    routing,
    script,
    send,
)

MIB = 1024 * 1024
HUGE = 64 * MIB
PIECE = bytes(i * 31 % 256 for i in range(256 * 1024 - 7))  # no power of two


def pieces() -> list[bytes]:
    """64 MiB in uneven pieces."""
    whole = [PIECE] * (HUGE // len(PIECE))
    return [*whole, bytes(HUGE - len(PIECE) * len(whole))]


SHA = hashlib.sha256(b"".join(pieces())).hexdigest()

FRAMINGS = {
    "length": (f"Content-Length: {HUGE}", lambda p: p, b""),
    "chunked": (
        "Transfer-Encoding: chunked",
        lambda p: b"%x\r\n%b\r\n" % (len(p), p),
        b"0\r\n\r\n",
    ),
    "close": ("X-Until: close", lambda p: p, b""),
}


async def emit(writer: asyncio.StreamWriter, wrap: Callable[[bytes], bytes], end: bytes) -> None:
    for piece in pieces():
        writer.write(wrap(piece))
        await writer.drain()
    writer.write(end)
    await writer.drain()


async def digest(stream: AsyncIterator[bytes]) -> tuple[str, int]:
    found, size = hashlib.sha256(), 0
    async for piece in stream:
        found.update(piece)
        size += len(piece)
    return found.hexdigest(), size


async def plainly(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    while size and (data := await reader.read(min(size, MIB))):
        size -= len(data)
        yield data


async def in_chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readline(), 16):
        async for piece in plainly(reader, size):
            yield piece
        await reader.readexactly(2)
    await reader.readexactly(2)


def body_of(reader: asyncio.StreamReader, head: bytes, size: int) -> AsyncIterator[bytes]:
    return in_chunks(reader) if b"chunked" in head.lower() else plainly(reader, size)


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
            assert await asyncio.wait_for(client.reader.readline(), 10) == b"%x\r\n" % len(piece)
            assert await client.reader.readexactly(len(piece) + 2) == piece + b"\r\n"
        client.write(b"0\r\n\r\n")
        assert await asyncio.wait_for(client.reader.readexactly(5), 10) == b"0\r\n\r\n"
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
        assert await asyncio.wait_for(client.reader.readexactly(len(first)), 10) == first
        handler.go.set()
        assert await asyncio.wait_for(client.reader.readexactly(len(second)), 10) == second
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
        assert await asyncio.wait_for(got.get(), 10) == b"one"
        client.write(b"two")
        assert await asyncio.wait_for(got.get(), 10) == b"two"
        assert (await client.answer()).status == 200
        await client.close()


# back-pressure

BOUND = 8 * MIB  # our 256 KiB each way, small() kernel buffers, and what went before these


def small(sock: socket.socket) -> None:
    """Stop the kernel from buffering megabytes: tcp_rmem may allow 32 of them."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 64 * 1024)


async def narrow(gate: Gateway) -> Client:
    """A client between whom and the gateway the kernel buffers little."""
    for listening in gate.worker._sockets.values():
        small(listening)
    sock = socket.socket()
    small(sock)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", gate.port))
    return Client(*await asyncio.open_connection(sock=sock, limit=2**24))


def narrow_behind(gate: Gateway, peer: Peer) -> None:
    """The same between the gateway and a backend."""
    small(peer.writer.get_extra_info("socket"))
    for pool in gate.worker._pools.values():
        for connection in pool._open:
            small(connection.transport.get_extra_info("socket"))


class Accepted:
    """Counts what a writer could get rid of while nobody reads at the other end."""

    def __init__(self) -> None:
        self.bytes = 0
        self.blocked = asyncio.Event()

    async def fill(self, writer: asyncio.StreamWriter, size: int) -> None:
        writer.transport.set_write_buffer_limits(high=0)
        while self.bytes < size:
            writer.write(PIECE)
            try:
                async with asyncio.timeout(0.5):  # nothing moves for so long: it is blocked
                    await asyncio.shield(writer.drain())
            except TimeoutError:
                self.blocked.set()
                await writer.drain()
            self.bytes += len(PIECE)
        self.blocked.set()


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_client_that_does_not_read_stops_the_backend(framing: str) -> None:
    line = FRAMINGS[framing][0]
    accepted = Accepted()
    head = line.replace(str(HUGE), str(HUGE // len(PIECE) * len(PIECE) + len(PIECE)))

    async def much(peer: Peer) -> None:
        await request(peer)
        narrow_behind(gate, peer)
        peer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        if framing == "chunked":
            peer.write(b"%x\r\n" % (HUGE // len(PIECE) * len(PIECE) + len(PIECE)))
        await accepted.fill(peer.writer, HUGE)
        if framing == "chunked":
            peer.write(b"\r\n0\r\n\r\n")
        await peer.writer.drain()

    async with Backend(much) as backend, gateway(routes(backend)) as gate:
        client = await narrow(gate)
        client.writer.transport.pause_reading()
        send(client, "GET", "/x")
        await asyncio.wait_for(accepted.blocked.wait(), 20)
        assert accepted.bytes < BOUND
        client.writer.transport.resume_reading()
        got = await client.head()
        _, size = await digest(
            body_of(
                client.reader,
                got,
                2**40 if framing == "chunked" else HUGE // len(PIECE) * len(PIECE) + len(PIECE),
            )
        )
        assert size == HUGE // len(PIECE) * len(PIECE) + len(PIECE)
        # and the connections are as good as new
        for _ in range(2):
            backend.handler = script(OK)
            assert (await ask(client, "GET", "/again")).body == b"ok"
        await client.close()
        await eventually(lambda: is_settled(gate))


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("when", ["from the start", "after dialling"])
async def test_a_backend_that_does_not_read_stops_the_client(framing: str, when: str) -> None:
    line, _, _ = FRAMINGS[framing]
    accepted = Accepted()
    go = asyncio.Event()
    sizes: list[int] = []
    total = HUGE // len(PIECE) * len(PIECE) + len(PIECE)

    async def lazy(peer: Peer) -> None:
        head = await peer.head()
        peer.writer.transport.pause_reading()
        narrow_behind(gate, peer)
        await go.wait()
        peer.writer.transport.resume_reading()
        sizes.append((await digest(body_of(peer.reader, head, total)))[1])
        peer.write(OK)

    async with Backend(lazy) as backend, gateway(routes(backend)) as gate:
        client = await narrow(gate)
        send(client, "PUT", "/x", line.replace(str(HUGE), str(total)))
        if when == "after dialling":
            await eventually(lambda: backend.heads)
        if framing == "chunked":
            client.write(b"%x\r\n" % total)
        filling = asyncio.get_running_loop().create_task(accepted.fill(client.writer, HUGE))
        await asyncio.wait_for(accepted.blocked.wait(), 20)
        assert accepted.bytes < BOUND
        go.set()
        await asyncio.wait_for(filling, 20)
        if framing == "chunked":
            client.write(b"\r\n0\r\n\r\n")
        assert (await client.answer()).status == 200
        assert sizes == [total]
        await client.close()
        await eventually(lambda: is_settled(gate))


@pytest.mark.parametrize("size", [270_000, 300_000, 400_000])
async def test_a_connection_that_was_held_up_at_its_end_is_used_again(size: int) -> None:
    """The answer's last piece fills the client's buffer: the upstream must not stay paused."""
    answers = script(reply(200, bytes(size)))
    async with Backend(answers) as backend, gateway(routes(backend)) as gate:
        for _ in range(3):
            client = await narrow(gate)
            client.writer.transport.pause_reading()
            send(client, "GET", "/x")
            await eventually(lambda: [p.idle for p in gate.worker._pools.values()] == [1])
            client.writer.transport.resume_reading()
            assert len((await client.answer()).body) == size
            await client.close()
    assert (len(backend.heads), len(backend.peers)) == (3, 1)


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


async def test_an_early_answer_of_a_backend_that_does_not_read() -> None:
    """What was written for it and never read must not hold the connection."""

    async def refuse(peer: Peer) -> None:
        await peer.head()
        peer.writer.transport.pause_reading()
        await filled.wait()
        peer.write(reply(413, b"no"))
        await over.wait()

    filled, over = asyncio.Event(), asyncio.Event()
    accepted = Accepted()
    async with Backend(refuse) as backend, gateway(routes(backend)) as gate:
        client = await narrow(gate)
        send(client, "POST", "/x", f"Content-Length: {2 * HUGE}")
        filling = asyncio.get_running_loop().create_task(accepted.fill(client.writer, HUGE))
        await asyncio.wait_for(accepted.blocked.wait(), 20)
        filled.set()
        answer = await client.answer()
        assert answer.status == 413
        filling.cancel()
        client.writer.transport.abort()
        await eventually(lambda: is_settled(gate))
        over.set()


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
        assert await asyncio.wait_for(client.reader.readexactly(3), 10) == b"two"
        assert await client.at_end()  # it was told so, since the end was not known to be near
        await client.close()
        await eventually(lambda: is_settled(gate))


# many requests on one connection


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Three at once, the first of which takes longest."""
    first = asyncio.Event()

    async def by_path(peer: Peer) -> None:
        while True:
            head, body = await request(peer)
            path = head.split()[1]
            if path == b"/0":
                await first.wait()
            peer.write(reply(200, path + body))

    async with Backend(by_path) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for i in range(3):
            send(client, "POST" if i == 1 else "GET", f"/{i}", body=b"+body" if i == 1 else b"")
        await eventually(lambda: backend.heads)
        first.set()
        answers = [(await client.answer()).body for _ in range(3)]
        await client.close()
    assert answers == [b"/0", b"/1+body", b"/2"]
    assert [h.split()[1] for h in backend.heads] == [b"/0", b"/1", b"/2"]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_http_1_0_closes_unless_asked_not_to(version: str) -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for _ in range(2):
            client.write(
                f"GET /x HTTP/{version}\r\nHost: g\r\nConnection: keep-alive\r\n\r\n".encode()
            )
            answer = await client.answer()
            assert answer["connection"] == ("keep-alive" if version == "1.0" else "")
        client.write(f"GET /x HTTP/{version}\r\nHost: g\r\nConnection: close\r\n\r\n".encode())
        assert (await client.answer())["connection"] == "close"
        assert await client.at_end()
        client = await gate.connect()
        client.write(b"GET /x HTTP/1.0\r\n\r\n")  # not even a Host
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"ok")
        assert await client.at_end()
        await client.close()


async def test_one_backend_connection_serves_many_requests_of_many_clients() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        for _ in range(3):
            client = await gate.connect()
            for _ in range(4):
                assert (await ask(client, "POST", "/x", body=b"b")).status == 200
            await client.close()
    assert (len(backend.peers), len(backend.heads)) == (1, 12)


NOT_AGAIN = {
    "close": (reply(200, b"ok", "Connection: close"), 2),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 2),
    "HTTP/1.0 keep-alive": (
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
        1,
    ),
    "bytes after the body": (OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthief", 2),
    "both framings": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\n\r\n",
        2,
    ),
    "204": (b"HTTP/1.1 204 N\r\n\r\n", 1),
}


@pytest.mark.parametrize("case", NOT_AGAIN)
async def test_which_backend_connections_are_used_again(case: str) -> None:
    answer, connections = NOT_AGAIN[case]
    async with Backend(script(answer)) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for _ in range(2):
            got = await ask(client, "GET", "/x")
            assert got.body in (b"ok", b"")
        await client.close()
    assert len(backend.peers) == connections


async def test_no_more_connections_are_kept_than_allowed() -> None:
    handler = Gate(b"", OK)
    async with Backend(handler) as backend:
        config = '[[route]]\nto = "b"\n[upstream.b]\n'
        config += f'servers = ["{backend.url}"]\npool = {{ idle = 2 }}'
        async with gateway(routing({}, config)) as gate:
            clients = [await gate.connect() for _ in range(5)]
            for client in clients:
                send(client, "GET", "/x")
            await eventually(lambda: len(backend.heads) == 5)
            handler.go.set()
            for client in clients:
                assert (await client.answer()).status == 200
                await client.close()
            await eventually(lambda: is_settled(gate))
            assert [p.idle for p in gate.worker._pools.values()] == [2]


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
