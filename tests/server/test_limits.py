"""What one client may ask for, and for how long: sizes, slow heads, slow readers, half requests."""

from __future__ import annotations

import asyncio
import socket
from time import monotonic_ns

import pytest

from tests.harness import OK, Backend, Client, Gateway, Peer, gateway, routes
from tests.server.kit import ask, eventually, number, reply, request, script
from tests.server.wire import AFTER, Received, get, post, raw, split_answers

_LIMITED = "[limits]\nbody = '10B'"


async def test_a_body_announced_too_long_is_refused_before_a_byte_is_forwarded() -> None:
    async with Backend() as backend, gateway(routes(backend, _LIMITED)) as gate:
        client = await gate.connect()
        assert (await ask(client, "POST", "/x", body=b"0123456789")).status == 200
        client.write(post(b"Content-Length: 11", body=b"0123456789a") + AFTER)
        answers = split_answers(await client.read_all())
        assert [a.status for a in answers] == [413]
        assert answers[0]["connection"] == "close"
        assert len(backend.heads) == 1


async def test_a_client_that_waits_to_be_asked_is_refused_at_once() -> None:
    async with Backend() as backend, gateway(routes(backend, _LIMITED)) as gate:
        got = await gate.exchange(post(b"Content-Length: 11", b"Expect: 100-continue"))
        assert got.startswith(b"HTTP/1.1 413 ")
        assert not backend.peers


async def test_chunks_are_counted() -> None:
    received = Received()
    async with Backend(received) as backend, gateway(routes(backend, _LIMITED)) as gate:
        client = await gate.connect()
        for size in (b"4", b"6"):
            client.write(post(b"Transfer-Encoding: chunked") if size == b"4" else b"")
            client.write(size + b"\r\n" + b"x" * int(size) + b"\r\n")
        client.write(b"0\r\n\r\n")
        assert (await client.answer()).status == 200
        client.write(post(b"Transfer-Encoding: chunked", body=b"4\r\nabcd\r\n"))
        await eventually(lambda: len(backend.heads) == 2)
        client.write(b"7\r\nabcdefg\r\n0\r\n\r\n" + AFTER)
        assert [a.status for a in split_answers(await client.read_all())] == [413]
        assert len(received.whole) == 1


async def test_limits_are_configured() -> None:
    more = "[limits]\nrequest_line = '32B'\nhead_bytes = '200B'\nhead_fields = 3"
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        for data, status in (
            (get(target=b"/" + b"x" * 18), 200),
            (get(target=b"/" + b"x" * 19), 414),
            (get(b"A: b", b"C: d"), 200),
            (get(b"A: b", b"C: d", b"E: f"), 431),
            (get(b"A: " + b"b" * 136), 200),
            (get(b"A: " + b"b" * 200), 431),
        ):
            client = await gate.connect()
            client.write(data)
            assert (await client.answer()).status == status, data
            await client.close()
        await gate.recorded.collect()
        assert number(gate, "spangate.rejected") == 3


# time

_HASTY = "[limits]\nheader_timeout = '500ms'\nkeepalive = '60s'"


@pytest.mark.parametrize("part", [b"G", b"\r", b"GET /x HTTP/1.1\r\n", get(b"X-A: b")[:-2]])
async def test_a_head_that_does_not_end_in_time(part: bytes) -> None:
    async with Backend() as backend, gateway(routes(backend, _HASTY)) as gate:
        client = await gate.connect()
        client.write(part)
        answers = split_answers(await client.read_all())
        assert [a.status for a in answers] == [408]
        assert answers[0]["connection"] == "close"
        assert not backend.peers


async def test_a_head_that_drips_does_not_gain_time() -> None:
    async with Backend() as backend, gateway(routes(backend, _HASTY)) as gate:
        client = await gate.connect()
        client.write(b"GET /x HTTP/1.1\r\nX-A: ")
        ended = asyncio.get_running_loop().create_task(client.read_all())
        while not ended.done():
            client.write(b"b")
            await asyncio.sleep(0.01)
        assert (await ended).startswith(b"HTTP/1.1 408 ")


async def test_the_clock_of_a_head_starts_with_its_first_byte() -> None:
    """And not with the idle time before it, which may be as long as `keepalive`."""
    async with Backend() as backend, gateway(routes(backend, _HASTY)) as gate:
        idle = [await gate.connect() for _ in range(2)]
        await ask(idle[1], "GET", "/x")  # one of them has carried a request
        await _outlast_a_head(gate)
        for client in idle:
            client.write(b"GET /x HT")
        await _read(gate, b"GET /x HT", 2)
        for connection in gate.worker._connections:
            connection.tick(monotonic_ns())
        for client in idle:
            client.write(b"TP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.answer()).status == 200


async def test_an_empty_line_does_not_start_the_clock() -> None:
    """Some clients end a body with one, and may then be idle (RFC 9112 §2.2)."""
    async with Backend() as backend, gateway(routes(backend, _HASTY)) as gate:
        client = await gate.connect()
        client.write(post(b"Content-Length: 3", body=b"abc\r\n"))
        assert (await client.answer()).status == 200
        await _outlast_a_head(gate)
        assert (await ask(client, "GET", "/x")).status == 200


async def _outlast_a_head(gate: Gateway) -> None:
    """Wait until a head that begins now is too old."""
    client = await gate.connect()
    client.write(b"G")
    assert (await client.answer()).status == 408
    await client.close()


async def _read(gate: Gateway, part: bytes, times: int) -> None:
    """Wait until so many connections hold `part` in their buffers."""

    def held() -> int:
        return sum(c._buffer == part for c in gate.worker._connections)

    await eventually(lambda: held() == times)


# slow readers

_SMALL = 16 * 1024


async def slow_client(gate: Gateway) -> Client:
    """One whose socket takes little, as the gateway's does from now on."""
    for listener in gate.worker._listeners:
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", gate.port))
    client = Client(*await asyncio.open_connection(sock=sock, limit=2**24))
    client.writer.transport.pause_reading()
    return client


def sweep(gate: Gateway, seconds: float) -> None:
    """Have the deadlines checked as if it were so much later."""
    for connection in list(gate.worker._connections):
        connection.tick(monotonic_ns() + int(seconds * 1e9))


_BODY = bytes(range(256)) * 400  # 100 kB: more than the kernel takes, less than stops an upstream


@pytest.mark.parametrize("upload", [b"", b"Expect: 100-continue\r\nContent-Length: 9\r\n"])
async def test_the_last_answer_on_a_connection_reaches_a_slow_reader(upload: bytes) -> None:
    """However long it is closed already, and whether or not the request was read to its end."""

    async def handler(peer: Peer) -> None:
        await peer.head()
        peer.write(reply(200, _BODY))

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await slow_client(gate)
        client.write(b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + upload + b"\r\n")
        await eventually(lambda: gate.made)
        for seconds in (0, 1.5, 3):
            sweep(gate, seconds)
        client.writer.transport.resume_reading()
        answer = await client.answer()
        assert answer.body == _BODY


async def test_who_takes_nothing_of_the_last_answer_is_dropped() -> None:
    async with Backend(script(reply(200, _BODY))) as backend, gateway(routes(backend)) as gate:
        client = await slow_client(gate)
        client.write(get(b"Connection: close"))
        await eventually(lambda: gate.made)
        sweep(gate, 0)
        sweep(gate, 31)
        await eventually(lambda: not gate.worker._connections)


async def test_who_sends_on_after_a_refusal_is_dropped() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await raw(gate, b"GET /x\r\n")
        await client.until(b'"}\n')
        for _ in range(10):
            client.transport.write(bytes(1000))
        sweep(gate, 1.5)
        await eventually(lambda: not gate.worker._connections)
        assert client.received.count(b"HTTP/1.1") == 1


# order and bounds of pipelining (E8)


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def echo(peer: Peer) -> None:
        while True:
            head, body = await request(peer)
            peer.write(reply(200, head.split()[1] + body))

    async with Backend(echo) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.write(
            get(target=b"/1")
            + post(b"Content-Length: 3", body=b"abc")
            + get(target=b"/2")
            + post(b"Transfer-Encoding: chunked", body=b"2\r\nde\r\n0\r\n\r\n")
            + b"\r\n"
            + get(target=b"/3")
            + AFTER
        )
        bodies = [a.body for a in split_answers(await client.read_all())]
        assert bodies == [b"/1", b"/xabc", b"/2", b"/xde", b"/3", b"/after"]
        assert len(backend.peers) == 1


async def test_bytes_after_a_whole_request_that_are_none() -> None:
    """A15: the request before them is answered, they are refused."""
    async with Backend() as backend, gateway(routes(backend)) as gate:
        got = await gate.exchange(post(b"Content-Length: 3", body=b"abc{}\r\n") + AFTER)
        assert [a.status for a in split_answers(got)] == [200, 400]
        assert len(backend.heads) == 1


async def test_a_flood_of_requests_waits_outside() -> None:
    release = asyncio.Event()

    async def held(peer: Peer) -> None:
        await request(peer)
        await release.wait()
        peer.write(OK)
        while True:
            await request(peer)
            peer.write(OK)

    async with Backend(held) as backend, gateway(routes(backend)) as gate:
        client = await raw(gate, get(b"X-A: " + b"b" * 1000) * 900 + AFTER)  # 1 MB
        await eventually(lambda: backend.heads)
        (connection,) = gate.worker._connections
        await eventually(lambda: connection._tap.held)
        assert len(connection._buffer) < 512 * 1024
        release.set()
        got = await client.end()
        assert got.count(b"HTTP/1.1 200 OK") == 901


# a body that does not come (A16)


@pytest.mark.parametrize(
    "part",
    [
        post(b"Content-Length: 10", body=b"abc"),
        post(b"Transfer-Encoding: chunked", body=b"5\r\nabc"),
    ],
)
async def test_half_a_request_does_not_look_whole_to_the_upstream(part: bytes) -> None:
    received = Received()
    async with Backend(received) as backend, gateway(routes(backend)) as gate:
        client = await raw(gate, part)
        await eventually(lambda: backend.heads)
        client.transport.close()
        await eventually(lambda: not gate.worker._connections)
        assert (await gate.get("/next")).status == 200
        assert [head.split()[1] for head, _ in received.whole] == [b"/next"]
        assert len(backend.peers) == 2
