"""The slower side sets the pace, and nothing is kept in between that grows with the body."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from proxy.server.h1_upstream import UpstreamConnection
from proxy.server.pool import Pool
from tests.harness import OK, Backend, Client, Gateway, Peer, gateway, routes
from tests.server.bodies import FRAMINGS, HUGE, MIB, PIECE, body_of, digest
from tests.server.kit import (
    ask,
    eventually,
    is_settled,
    reply,
    request,
    script,
    send,
    trace,
)

BOUND = 8 * MIB  # our 256 KiB each way, small() kernel buffers, and what went before these


def small(sock: socket.socket, size: int = 64 * 1024) -> None:
    """Stop the kernel from buffering megabytes: tcp_rmem may allow 32 of them."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, size)


async def narrow(gate: Gateway) -> Client:
    """A client between whom and the gateway the kernel buffers little."""
    for _, listening in gate.worker._sockets:
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


async def test_a_first_piece_that_cannot_be_sent_stops_the_client_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What came during the dial is more than the new connection takes at once."""

    class Small(UpstreamConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            small(transport.get_extra_info("socket"), 4096)

    class Smalls(Pool):
        def codec(self, alpn: str | None) -> Small:
            return Small(self)

    monkeypatch.setattr("proxy.server.pools.Pool", Smalls)
    over = asyncio.Event()

    async def deaf(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await over.wait()

    accepted = Accepted()
    async with Backend(deaf) as backend, gateway(routes(backend)) as gate:
        assert backend._server is not None
        for theirs in backend._server.sockets:
            with socket.socket(fileno=os.dup(theirs.fileno())) as same:
                small(same, 4096)
        for _, ours in gate.worker._sockets:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 200_000)
        sock = socket.create_connection(("127.0.0.1", gate.port))
        head = f"PUT /x HTTP/1.1\r\nHost: g\r\nContent-Length: {2 * HUGE}\r\n\r\n".encode()
        sock.sendall(head + bytes(200_000))  # there before the gateway reads for the first time
        sock.setblocking(False)
        client = Client(*await asyncio.open_connection(sock=sock))
        filling = asyncio.get_running_loop().create_task(accepted.fill(client.writer, HUGE))
        await asyncio.wait_for(accepted.blocked.wait(), 20)
        assert accepted.bytes < BOUND
        # and nobody reads from the client, yet that he resets the connection is noticed
        filling.cancel()
        Peer(client.reader, client.writer).reset()
        await eventually(lambda: is_settled(gate))
        assert (await trace(gate)).about["spangate.client_gone"] is True
        over.set()


def is_held_up(gate: Gateway) -> bool:
    """The upstream connection is back in its pool, or waits for the client to read."""
    pools = gate.worker._pools.values()
    return any(p.idle or any(c._tap.paused for c in p._open) for p in pools)


@pytest.mark.parametrize("size", [80_000, 120_000, 200_000, 300_000, 400_000])
async def test_a_connection_that_was_held_up_at_its_end_is_used_again(size: int) -> None:
    """The answer's last piece fills the client's buffer: the upstream must not stay paused."""
    answers = script(reply(200, bytes(size)))
    async with Backend(answers) as backend, gateway(routes(backend)) as gate:
        for _ in range(3):
            client = await narrow(gate)
            client.writer.transport.pause_reading()
            send(client, "GET", "/x")
            await eventually(lambda: is_held_up(gate))
            client.writer.transport.resume_reading()
            assert len((await client.answer()).body) == size
            await client.close()
    assert (len(backend.heads), len(backend.peers)) == (3, 1)


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
