"""Warm connections: who may be lent one, what comes late on it, and when it is too old."""

from __future__ import annotations

import asyncio
import socket

import pytest

from proxy.server.h1_upstream import UpstreamConnection
from proxy.server.outbox import Outbox
from proxy.server.pool import Pool
from proxy.server.turns import Turns
from proxy.upstream.endpoint import Endpoint
from tests.harness import OK, Backend, Gateway, Peer, gateway, routes
from tests.server.kit import (
    ask,
    eventually,
    number,
    request,
    routing,
    send,
    traces,
)
from tests.server.upstream_rows import answered

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


class Late:
    """Answers the first request with `first`; what comes `late` is sent when the test says so."""

    def __init__(self, first: bytes, late: bytes = POISON) -> None:
        self.first = first
        self.late = late
        self.asked = 0
        self.peer: Peer | None = None

    async def __call__(self, peer: Peer) -> None:
        while True:
            await request(peer)
            self.asked += 1
            if self.asked == 1:
                self.peer = peer
                peer.write(self.first)
            else:
                peer.write(OK)

    def go(self) -> None:
        assert self.peer is not None
        self.peer.write(self.late)


FIRST = {
    "HEAD": ("HEAD", answered(b"Content-Length: 48")),
    "HEAD, chunks": ("HEAD", answered(b"Transfer-Encoding: chunked")),
    "204 in chunks": ("GET", answered(b"Transfer-Encoding: chunked", status=b"HTTP/1.1 204 x")),
    "204 with a length": ("GET", answered(b"Content-Length: 48", status=b"HTTP/1.1 204 x")),
    "304 in chunks": ("GET", answered(b"Transfer-Encoding: chunked", status=b"HTTP/1.1 304 x")),
}
LATER = {
    **FIRST,
    "304 with a length": ("GET", answered(b"Content-Length: 48", status=b"HTTP/1.1 304 x")),
    "204": ("GET", answered(status=b"HTTP/1.1 204 x")),
    "304": ("GET", answered(status=b"HTTP/1.1 304 x")),
    "HEAD without a word of it": ("HEAD", answered(b"Content-Length: 0")),
    "a length": ("GET", OK),
    "chunks": ("GET", answered(b"Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n")),
}


@pytest.mark.parametrize(("method", "first"), LATER.values(), ids=LATER.keys())
async def test_bytes_that_come_late_reach_nobody(method: str, first: bytes) -> None:
    """They are in the socket, or read while the connection is idle, when the next one asks."""
    late = Late(first)
    async with Backend(late) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        await ask(client, method, "/1")
        late.go()
        await asyncio.sleep(0)
        for path in ("/2", "/3"):
            assert (await ask(client, "GET", path)).body == b"ok"
        assert len(backend.peers) == 2


@pytest.mark.parametrize(("method", "first"), FIRST.values(), ids=FIRST.keys())
async def test_not_even_where_they_come_after_the_next_request(method: str, first: bytes) -> None:
    """Such an answer says that bytes may follow it: the connection is not lent to the next one."""
    late = Late(first)
    async with Backend(late) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        await ask(client, method, "/1")
        send(client, "GET", "/2")
        late.go()
        assert (await client.answer()).body == b"ok"
        assert len(backend.peers) == 2


async def test_connections_are_used_again_after_heads_that_were_well() -> None:
    """After a rest, where they announced a body; and a warm GET does not wait for it."""

    async def well(peer: Peer) -> None:
        while True:
            head, _ = await request(peer)
            peer.write(answered(b"Content-Length: 5") if head.startswith(b"HEAD") else OK)

    async with Backend(well) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        await ask(client, "HEAD", "/x")
        (pool,) = gate.worker._pools.values()
        assert (pool.idle, pool.take(True)) == (1, None)
        await eventually(lambda: pool._idle)
        assert (await ask(client, "GET", "/x")).body == b"ok"
        assert (await ask(client, "GET", "/x")).body == b"ok"
        assert len(backend.peers) == 1


async def test_who_sent_a_body_after_a_head_is_not_trusted_with_heads_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def talks(peer: Peer) -> None:
        while True:
            await request(peer)
            peer.write(answered(b"Content-Length: 2"))
            await asyncio.sleep(0.01)
            peer.write(b"ok")

    async with Backend(talks) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        await ask(client, "HEAD", "/x")
        (pool,) = gate.worker._pools.values()
        await eventually(lambda: pool.open == 0)
        await ask(client, "HEAD", "/x")
        assert pool.idle == 0
    assert "sends bodies after its answers to HEAD" in caplog.text


async def test_an_interim_answer_with_a_body_does_not_shift_the_answers() -> None:
    odd = b"HTTP/1.1 103 E\r\nContent-Length: 5\r\n\r\nhello" + OK
    late = Late(odd)
    async with Backend(late) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/1")
        assert (await client.answer()).status == 103
        assert (await client.answer()).status == 502
        assert (await ask(client, "GET", "/2")).body == b"ok"


# age


@pytest.fixture
def pool() -> Pool:
    return Pool(Endpoint("http://h:1"), Outbox(), Turns())


class Connection(UpstreamConnection):
    """As much of one as a pool looks at."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.closed = False

    def has_input(self) -> bool:
        return False

    def has_waited(self, now: int, limit: int) -> bool:
        return now - self.idle_since >= limit

    def close(self) -> None:
        self.closed = True


SECOND = 1_000_000_000


def made(pool: Pool, now: int = 0) -> Connection:
    connection = Connection(pool)
    pool.know(connection, now)
    return connection


def test_a_connection_grows_too_old_in_use(pool: Pool) -> None:
    pool.set_max_age(100 * SECOND, 0)
    ages = []
    for _ in range(50):
        connection = made(pool, 7 * SECOND)
        ages.append(connection.old - 7 * SECOND)
        assert pool.give(connection, connection.old - 1)  # type: ignore[arg-type]
        assert pool.take(True) is connection
        assert not pool.give(connection, connection.old)  # type: ignore[arg-type]
    assert 90 * SECOND <= min(ages) < max(ages) <= 100 * SECOND


def test_and_while_it_is_idle(pool: Pool) -> None:
    pool.set_max_age(100 * SECOND, 0)
    pool.idle_ns = 1000 * SECOND
    connection = made(pool)
    pool.give(connection, 0)  # type: ignore[arg-type]
    pool.expire(connection.old - 1)
    assert (pool.idle, connection.closed) == (1, False)
    pool.expire(connection.old)
    assert (pool.idle, connection.closed) == (0, True)


def test_without_a_greatest_age_there_is_none(pool: Pool) -> None:
    connection = made(pool)
    assert pool.give(connection, 10**18)  # type: ignore[arg-type]


def test_a_greatest_age_that_comes_later_holds_for_those_that_are_there(pool: Pool) -> None:
    connection = made(pool)
    pool.set_max_age(100 * SECOND, 50 * SECOND)
    assert 140 * SECOND <= connection.old <= 150 * SECOND
    pool.set_max_age(100 * SECOND, 90 * SECOND)  # a reload that changes nothing
    assert connection.old <= 150 * SECOND


async def test_steady_traffic_moves_to_new_connections() -> None:
    """What DNS says is asked for again, because there is something to dial."""
    async with Backend() as backend:
        config = routing({"b": [backend.url]}, "[[route]]\nto = 'b'")
        async with gateway(config + "pool = { max_age = '300ms' }\n") as gate:
            client = await gate.connect()
            async with asyncio.timeout(20):
                while len(backend.peers) < 3:
                    assert (await ask(client, "GET", "/x")).status == 200
            assert backend.peers[-1].received  # and are used


# many


async def test_what_was_needed_a_moment_ago_is_kept() -> None:
    """500 at once, twice: nobody dials in the second round."""

    async def waits(peer: Peer) -> None:
        while True:
            await request(peer)
            arrived.append(1)
            await together.wait()
            peer.write(OK)

    async def round_of_requests(gate: Gateway) -> None:
        arrived.clear()
        together.clear()
        for client in clients:
            send(client, "GET", "/x")
        await eventually(lambda: len(arrived) == len(clients))
        together.set()
        for client in clients:
            assert (await client.answer()).status == 200

    arrived: list[int] = []
    together = asyncio.Event()
    async with Backend(waits) as backend, gateway(routes(backend)) as gate:
        clients = [await gate.connect() for _ in range(500)]
        await round_of_requests(gate)
        await round_of_requests(gate)
        await gate.recorded.collect()
        assert number(gate, "spangate.upstream.connections.created") == 500
        (pool,) = gate.worker._pools.values()
        assert pool.idle == 500


def test_the_one_used_last_is_lent_and_any_is_forgotten(pool: Pool) -> None:
    connections = [made(pool) for _ in range(5)]
    for connection in connections:
        pool.give(connection, 0)  # type: ignore[arg-type]
    pool.forget(connections[4])  # type: ignore[arg-type]
    pool.forget(connections[1])  # type: ignore[arg-type]
    assert [pool.take(True) for _ in range(4)] == [
        connections[3],
        connections[2],
        connections[0],
        None,
    ]


# the race between the upstream's end and the next request


class Raced:
    """An upstream by hand: one connection that the test closes at the instant it wants."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.setblocking(False)
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    async def accept(self) -> socket.socket:
        connection, _ = await asyncio.get_running_loop().sock_accept(self.listening)
        return connection

    async def serve(self, connection: socket.socket) -> bytes:
        loop = asyncio.get_running_loop()
        got = await loop.sock_recv(connection, 65536)
        await loop.sock_sendall(connection, OK)
        return got


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("method", ["POST", "PATCH", "GET"])
async def test_a_request_that_crosses_the_end_is_sent_again(method: str, written: bool) -> None:
    """FIN came after the connection was lent and before a byte of it arrived: it was not read."""
    upstream = Raced()
    async with gateway(routing({"b": [upstream.url]}, "[[route]]\nto = 'b'")) as gate:
        client = await gate.connect()
        send(client, "GET", "/1")
        first = await upstream.accept()
        await upstream.serve(first)
        assert (await client.answer()).status == 200
        (ours,) = gate.worker._connections
        body = b"" if method == "GET" else b"pay"
        head = f"{method} /2 HTTP/1.1\r\nHost: g\r\nContent-Length: {len(body)}\r\n\r\n"
        ours.data_received(head.encode() + body)  # lent, and to be written when this turn ends
        first.close()
        if written:
            gate.worker.outbox.flush()
        second = await upstream.accept()
        assert (await upstream.serve(second)).endswith(b"\r\n\r\n" + body)
        assert (await client.answer()).status == 200
        seen = (await traces(gate, 2))[1]
        second.close()
    assert [t.get("spangate.retry.reason") for t in seen.tried] == [None, "stale_connection"]


@pytest.mark.parametrize("how", ["acknowledged", "answered in part", "reset"])
async def test_what_may_have_been_read_is_not_sent_again(how: str) -> None:
    upstream = Raced()
    async with gateway(routing({"b": [upstream.url]}, "[[route]]\nto = 'b'")) as gate:
        client = await gate.connect()
        send(client, "GET", "/1")
        first = await upstream.accept()
        await upstream.serve(first)
        assert (await client.answer()).status == 200
        send(client, "POST", "/2", body=b"pay")
        loop = asyncio.get_running_loop()
        if how != "reset":
            assert (await loop.sock_recv(first, 65536)).endswith(b"pay")
        if how == "answered in part":
            await loop.sock_sendall(first, b"HTTP/1.1 200 OK\r\n")
        if how == "reset":
            await loop.sock_recv(first, 1)
        first.close()
        assert (await client.answer()).status == 502
        seen = (await traces(gate, 2))[1]
        assert len(seen.clients) == 1
    with pytest.raises(BlockingIOError):
        upstream.listening.accept()
