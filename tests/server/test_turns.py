"""Nothing stands still and nothing grows: clients that never read, floods of small things, and
the order of an answer's last byte and its record."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.harness import DEADLINE, OK, Backend, Gateway, Peer, gateway, routes
from tests.server.kit import eventually, refusing, reply, request, script

GET = b"GET %s HTTP/1.1\r\nHost: g\r\n\r\n"
LOCAL = '[[route]]\nname = "r"\npath = "/r"\nrespond = { status = 200, body = "%s" }\n' % (
    "x" * 4096
)
MOVED = '[[route]]\nname = "m"\npath = "/m"\nredirect = { to = "https://a.test/n", status = 308 }\n'


async def closing(peer: Peer) -> None:
    await request(peer)
    peer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 4096)
    peer.writer.close()


def unsent(gate: Gateway) -> int:
    """Bytes that the worker keeps for its clients, written or not, and of theirs."""
    waiting = sum(len(data) for _, data in gate.worker.outbox._waiting)
    connections = list(gate.worker._connections)
    kept = sum(len(c._buffer) for c in connections)  # type: ignore[attr-defined]
    return waiting + kept + sum(c.transport.get_write_buffer_size() for c in connections)


@pytest.mark.parametrize("path", [b"/r", b"/m", b"/none", b"/x", b"/refused"])
async def test_a_client_that_never_reads_costs_a_bounded_amount(path: bytes) -> None:
    """Until it is blocked at both ends: it can send no more, and nothing is begun for it."""
    with refusing() as url:
        refused = '[[route]]\nname = "f"\npath = "/refused"\nto = "f"\n'
        more = f'{LOCAL}{MOVED}{refused}[upstream.f]\nservers = ["{url}"]\n'
        async with Backend(closing) as backend:
            config = routes(backend, more).replace('path = "/*"', 'path = "/x"')
            async with gateway(config) as gate:
                await _flood(gate, GET % path)


async def _flood(gate: Gateway, wire: bytes) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", gate.port))
        sending = loop.create_task(_send_for_ever(client, wire * 200))
        (ours,) = await _connections(gate)
        most = 0
        async with asyncio.timeout(DEADLINE):
            while not (ours.blocked and ours._tap.held):
                most = max(most, unsent(gate))
                await asyncio.sleep(0)
        begun = gate.made
        for _ in range(200):
            most = max(most, unsent(gate))
            await asyncio.sleep(0)
        assert gate.made <= begun + 2
        assert most < 1024 * 1024
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send_for_ever(client: socket.socket, data: bytes) -> None:
    while True:
        await asyncio.get_running_loop().sock_sendall(client, data)


async def _connections(gate: Gateway) -> list[object]:
    await eventually(lambda: gate.worker._connections)
    return list(gate.worker._connections)


async def test_pipelined_local_answers_let_others_in_between() -> None:
    """Another client's answer comes long before the last of ten thousand pipelined ones."""
    async with Backend() as backend, gateway(routes(backend, LOCAL)) as gate:
        flood, other = await gate.connect(), await gate.connect()
        flood.write(GET % b"/r" * 10_000)
        await eventually(lambda: gate.made)
        other.write(GET % b"/r")
        reading = asyncio.get_running_loop().create_task(flood.reader.readexactly(10_000 * 4096))
        assert (await other.answer()).status == 200
        assert gate.made < 2_000
        await reading


async def test_endless_interim_answers_end_in_502() -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        peer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 5_000)

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.write(GET % b"/x")
        interim = 0
        while (answer := await client.answer()).status == 102:
            interim += 1
        assert (answer.status, interim) == (502, 32)
        await client.close()


async def test_a_million_tiny_chunks_arrive_and_let_others_in_between() -> None:
    async def handler(peer: Peer) -> None:
        head, body = await request(peer)
        if b" /up " in head:
            peer.write(reply(200, b"%d" % len(body)))
        elif b" /down " in head:
            peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            peer.write(b"1\r\nx\r\n" * 200_000 + b"0\r\n\r\n")
        else:
            peer.write(OK)

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.write(b"POST /up HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.write(b"01\r\nx\r\n" * 200_000 + b"0\r\n\r\n")
        other = await gate.connect()
        other.write(GET % b"/x")
        assert (await other.answer()).status == 200
        assert (await client.answer()).body == b"200000"
        client.write(GET % b"/down")
        got = b""
        async with asyncio.timeout(DEADLINE):
            while not got.endswith(b"0\r\n\r\n"):
                got += await client.reader.read(65536)
        assert got.partition(b"\r\n\r\n")[2].count(b"x") == 200_000


FIXED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"


@pytest.mark.parametrize("size", [10, 20_000, 1024 * 1024])
@pytest.mark.parametrize("form", [FIXED, CHUNKED])
async def test_who_has_the_whole_answer_finds_it_recorded(form: bytes, size: int) -> None:
    body = b"y" * (size - 1) + b"!"
    end = b"!" if form is FIXED else b"!\r\n0\r\n\r\n"
    async with Backend(script(form % (size, body))) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for number in range(1, 4):
            client.write(GET % b"/x")
            await client.reader.readuntil(end)
            assert gate.made == 2 * number
        await client.close()


async def test_own_answers_are_recorded_before_they_are_read() -> None:
    async with Backend() as backend, gateway(routes(backend, LOCAL)) as gate:
        client = await gate.connect()
        for number, path in enumerate((b"/r", b"/r"), 1):
            client.write(GET % path)
            assert (await client.answer()).status == 200
            assert gate.made == number
        await client.close()


async def test_idle_connections_are_not_looked_at() -> None:
    """The sweep's work is that of busy connections; idle ones are closed on their day."""
    more = '[limits]\nkeepalive = "600ms"\n'
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        clients = [await gate.connect() for _ in range(20)]
        sweep = gate.worker._sweep
        await eventually(lambda: len(gate.worker._connections) == 20 and not sweep._watched)
        assert sum(len(day) for day in sweep._calendar.values()) == 20
        for client in clients:
            assert await client.at_end()
        await eventually(lambda: not gate.worker._connections)


async def test_a_fault_in_one_check_ends_one_connection(caplog: pytest.LogCaptureFixture) -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        bad, good = await gate.connect(), await gate.connect()
        bad.write(b"GET /never")
        await eventually(lambda: [c for c in gate.worker._connections if c._buffer])  # type: ignore[attr-defined]
        (broken,) = [c for c in gate.worker._connections if c._buffer]  # type: ignore[attr-defined]
        broken._search = None  # type: ignore[attr-defined]
        assert await bad.at_end()
        good.write(GET % b"/x")
        assert (await good.answer()).status == 200
        await good.close()
    assert "failed inside the gateway" in caplog.text
