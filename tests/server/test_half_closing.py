"""Clients that shut their end after the request and read on: they get their answers."""

from __future__ import annotations

import asyncio
from time import monotonic_ns
from typing import Any

import pytest

from tests.harness import OK, Backend, Peer, gateway, routes
from tests.server.kit import Gate, eventually, is_settled, reply, request, routing, trace, traces
from tests.server.wire import AFTER, get, post, raw, split_answers

_BIG = bytes(20_000_000)  # more than sockets hold


async def echo(peer: Peer) -> None:
    while True:
        head, body = await request(peer)
        peer.write(reply(200, head.split()[1] + body))


REQUESTS = {
    "GET": (get(), [b"/x"]),
    "a GET that keeps alive, HTTP/1.0": (
        get(b"Connection: keep-alive", version=b"HTTP/1.0"),
        [b"/x"],
    ),
    "POST": (post(b"Content-Length: 3", body=b"abc"), [b"/xabc"]),
    "chunks": (post(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"), [b"/xabc"]),
    "pipelined": (get() + post(b"Content-Length: 1", body=b"a") + get(), [b"/x", b"/xa", b"/x"]),
    "many": (get() * 40, [b"/x"] * 40),
    "more than is read ahead": (get(b"X-A: " + bytes(b"b" * 1000)) * 300, [b"/x"] * 300),
    "and closes": (get() + AFTER, [b"/x", b"/after"]),
    "and half a request": (get() + b"GET /y HTTP/1.1\r\nHos", [b"/x"]),
}


@pytest.mark.parametrize(("sent", "bodies"), REQUESTS.values(), ids=REQUESTS.keys())
async def test_what_was_asked_before_the_end_is_answered(sent: bytes, bodies: list[bytes]) -> None:
    async with Backend(echo) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.write(sent)
        client.writer.write_eof()
        assert [a.body for a in split_answers(await client.read_all())] == bodies
        await eventually(lambda: is_settled(gate))
        seen = await traces(gate, len(bodies))
    assert [t.about["http.response.status_code"] for t in seen] == [200] * len(bodies)
    assert not any("spangate.client_gone" in t.about for t in seen)


async def test_answers_of_the_gateways_own() -> None:
    more = "[[route]]\npath = '/own'\nrespond = { body = 'mine' }"
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        client = await gate.connect()
        client.write(get(target=b"/own") * 50)
        client.writer.write_eof()
        answers = split_answers(await client.read_all())
        await eventually(lambda: is_settled(gate))
    assert [a.body for a in answers] == [b"mine"] * 50


class Sweeping:
    """The queue of a worker, where the sweep comes whenever somebody has got into line."""

    def __init__(self, turns: Any) -> None:
        self._turns = turns

    def add(self, busy: Any) -> None:
        self._turns.add(busy)
        busy.tick(monotonic_ns())


async def test_the_sweep_does_not_cut_off_who_waits_for_its_turn_to_close() -> None:
    """What is answered in the last turn before it has not been written yet."""
    more = "[[route]]\npath = '/own'\nrespond = { body = 'mine' }"
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        gate.worker.turns = Sweeping(gate.worker.turns)  # type: ignore[assignment]
        client = await gate.connect()
        client.write(get(target=b"/own") * 50)
        client.writer.write_eof()
        answers = split_answers(await client.read_all())
        await eventually(lambda: is_settled(gate))
    assert len(answers) == 50


@pytest.mark.parametrize("ends", ["close", "write_eof"])
async def test_who_shut_its_end_and_gets_no_answer_for_long_is_held_to_have_gone(ends: str) -> None:
    """A client that gave up after its own timeout: its upstream is let go, and the span says so."""
    handler = Gate(b"", OK)
    more = '[limits]\nhalf_closed = "100ms"'
    async with Backend(handler) as backend, gateway(routes(backend, more)) as gate:
        client = await gate.connect()
        client.write(get())
        await handler.reached.wait()
        getattr(client.writer, ends)()
        await asyncio.wait_for(handler.gone.wait(), 20)
        await eventually(lambda: is_settled(gate))
        seen = await trace(gate)
    assert seen.about["spangate.client_gone"] is True
    assert "error.type" not in seen.about and not seen.server.status.code


async def test_the_wait_for_a_half_closed_client_begins_anew_with_each_answer() -> None:
    go = asyncio.Event()

    async def slow(peer: Peer) -> None:
        for _ in range(2):
            await request(peer)
            await go.wait()
            go.clear()
            peer.write(OK)

    async with Backend(slow) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.write(get() * 2)
        client.writer.write_eof()
        await eventually(lambda: any(c._tap.ended for c in gate.worker._connections))
        (ours,) = gate.worker._connections
        first = ours._tap.ended_at
        go.set()
        await client.answer()
        await eventually(lambda: ours._tap.ended_at > first)
        go.set()
        answers = split_answers(await client.read_all())
    assert [a.status for a in answers] == [200]


async def test_zero_waits_as_long_as_the_route_does() -> None:
    handler = Gate(b"", OK)
    more = "[limits]\nhalf_closed = 0"
    async with Backend(handler) as backend, gateway(routes(backend, more)) as gate:
        client = await gate.connect()
        client.write(get())
        await handler.reached.wait()
        client.writer.write_eof()
        (ours,) = gate.worker._connections
        await eventually(lambda: ours._tap.ended)
        assert not ours._is_forgotten(ours._tap.ended_at + 3_600_000_000_000)
        handler.go.set()
        assert [a.status for a in split_answers(await client.read_all())] == [200]


async def test_an_end_that_comes_while_the_upstream_thinks() -> None:
    """Long after the request, and before the rest of an answer that has begun."""
    handler = Gate(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha", b"lf")
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.write(get())
        await client.head()
        (ours,) = gate.worker._connections
        client.writer.write_eof()
        await eventually(lambda: ours._tap.ended)
        handler.go.set()
        assert await client.read_all() == b"half"
        seen = await trace(gate)
    assert "spangate.client_gone" not in seen.about and not seen.server.status.code


async def test_a_large_answer_to_a_slow_reader() -> None:
    async def big(peer: Peer) -> None:
        await request(peer)
        peer.write(reply(200, _BIG))
        await peer.rest()

    async with Backend(big) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.writer.transport.pause_reading()
        client.write(get())
        client.writer.write_eof()
        await eventually(lambda: any(c.blocked for c in gate.worker._connections))
        client.writer.transport.resume_reading()
        (answer,) = split_answers(await client.read_all())
        await eventually(lambda: is_settled(gate))
    assert answer.body == _BIG


@pytest.mark.parametrize(
    "part",
    [post(b"Content-Length: 9", body=b"abc"), post(b"Transfer-Encoding: chunked", body=b"5\r\nab")],
    ids=["length", "chunks"],
)
async def test_half_a_request_is_given_up(part: bytes) -> None:
    handler = Gate(b"", OK)
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.write(part)
        await eventually(lambda: backend.heads)
        client.writer.write_eof()
        assert await client.read_all() == b""
        assert (await trace(gate)).about["spangate.client_gone"] is True
        await eventually(lambda: is_settled(gate))


async def test_half_a_request_that_nobody_reads_is_given_up_too() -> None:
    """The upstream takes no more, so the gateway does not read: the end is behind what it holds."""

    async def deaf(peer: Peer) -> None:
        await peer.head()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.get_running_loop().create_future()

    async with Backend(deaf) as backend, gateway(routes(backend)) as gate:
        client = await raw(gate, post(b"Content-Length: 100000000"))
        await eventually(lambda: backend.heads)
        (ours,) = gate.worker._connections
        while not ours.reading_paused:
            client.transport.write(bytes(100_000))
            await eventually(lambda: not client.transport.get_write_buffer_size())
        client.transport.close()
        assert (await trace(gate)).about["spangate.client_gone"] is True


@pytest.mark.parametrize("way", ["reset after the end", "reset"])
async def test_who_is_gone_for_good_is_known_by_the_reset(way: str) -> None:
    """Nothing is written to it, and nothing read: the sweep finds it."""
    handler = Gate(b"", OK)
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.write(get())
        await handler.reached.wait()
        if way != "reset":
            (ours,) = gate.worker._connections
            client.writer.write_eof()
            await eventually(lambda: ours._tap.ended)
        client.vanish()
        await asyncio.wait_for(handler.gone.wait(), 20)
        assert (await trace(gate)).about["spangate.client_gone"] is True
        await eventually(lambda: is_settled(gate))


async def test_who_has_closed_is_known_by_the_first_bytes_of_a_long_answer() -> None:
    """FIN is all that a client's close says; what is written to it then comes back as a reset."""
    ended = asyncio.Event()

    async def endless(peer: Peer) -> None:
        await request(peer)
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                peer.write(b"data" * 100)
                await peer.writer.drain()
                await asyncio.sleep(0)
        finally:
            ended.set()

    async with Backend(endless) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.write(get())
        await client.head()
        client.writer.close()
        await asyncio.wait_for(ended.wait(), 20)
        assert (await trace(gate)).about["spangate.client_gone"] is True


async def test_an_end_during_the_dial_and_between_two_tries() -> None:
    answers = [reply(503), reply(200, b"second")]

    async def handle(peer: Peer) -> None:
        while True:
            await request(peer)
            peer.write(answers.pop(0))

    more = "retry = { times = 1, on = [503], backoff = '20ms' }"
    async with Backend(handle) as backend:
        config = routing({"b": [backend.url]}, f"[[route]]\nto = 'b'\n{more}")
        async with gateway(config) as gate:
            client = await gate.connect()
            client.write(get())
            client.writer.write_eof()
            (answer,) = split_answers(await client.read_all())
            assert len((await trace(gate)).clients) == 2
    assert answer.body == b"second"
