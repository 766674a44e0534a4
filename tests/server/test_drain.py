"""The end of a worker: nobody who was let in is turned away, and nothing recorded is lost."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from proxy.server import frames
from tests.harness import DEADLINE, OK, Backend, Client, Gateway, gateway, routes
from tests.server.kit import Gate, ask, attributes, eventually, send, traces

HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"


async def drained(gate: Gateway) -> None:
    await gate.recorded.until(lambda: frames.DRAINED in gate.recorded.events)


def ends(gate: Gateway) -> list[int]:
    """The frames from DRAINING on, without the periodic numbers."""
    events = gate.recorded.events
    return [e for e in events[events.index(frames.DRAINING) :] if e != frames.METRICS]


async def test_a_request_under_way_ends_and_its_connection_with_it() -> None:
    handler = Gate(b"", OK)
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        await handler.reached.wait()
        gate.recorded.send(frames.DRAIN)
        await gate.recorded.until(lambda: frames.DRAINING in gate.recorded.events)
        assert frames.DRAINED not in gate.recorded.events
        handler.go.set()
        answer = await client.answer()
        assert (answer.status, answer.body, answer["connection"]) == (200, b"ok", "close")
        assert await client.at_end()
        await client.close()
        await drained(gate)
        await asyncio.wait_for(gate.worker.stopped.wait(), DEADLINE)
    assert ends(gate) == [frames.DRAINING, frames.DRAINED]
    assert {s.kind for s in gate.recorded.spans} == {2, 3}
    assert gate.recorded.events[-2:] == [frames.METRICS, frames.DRAINED]


async def test_an_answer_whose_head_has_gone_out_ends_in_full() -> None:
    handler = Gate(HALF, b"longer")
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        await client.head()
        gate.worker.drain()
        handler.go.set()
        assert await client.reader.readexactly(10) == b"halflonger"
        assert await client.at_end()
        await client.close()
        await drained(gate)


async def test_pipelined_requests_behind_the_last_answer_are_not_begun() -> None:
    """ "Connection: close" tells the client which of them it may send again."""
    handler = Gate(b"", OK)
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for i in range(3):
            send(client, "GET", f"/{i}")
        await handler.reached.wait()
        gate.worker.drain()
        handler.go.set()
        assert (await client.answer())["connection"] == "close"
        assert await client.at_end()
        await client.close()
        await drained(gate)
    assert len(backend.heads) == 1


async def test_no_connection_is_accepted_any_more() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        gate.worker.drain()
        await gate.recorded.until(lambda: frames.DRAINING in gate.recorded.events)
        await drained(gate)
        with pytest.raises(OSError):
            client = await gate.connect()
            await ask(client, "GET", "/x")


async def test_an_idle_connection_has_a_grace_for_a_request_on_its_way() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        quick, idle = await gate.connect(), await gate.connect()
        for client in (quick, idle):
            assert (await ask(client, "GET", "/x")).status == 200
        gate.worker.drain()
        answer = await ask(quick, "GET", "/x")
        assert (answer.status, answer["connection"]) == (200, "close")
        assert await quick.at_end()
        assert await idle.at_end()  # after the grace
        for client in (quick, idle):
            await client.close()
        await drained(gate)


async def test_connections_in_the_queue_of_the_listener_are_served() -> None:
    """The kernel has shaken hands with them; closing the socket would reset them."""
    async with Backend() as backend, gateway(routes(backend)) as gate:
        queued = [socket.create_connection(("127.0.0.1", gate.port)) for _ in range(5)]
        for sock in queued:  # without giving the loop a chance to accept
            sock.sendall(b"GET /x HTTP/1.1\r\nHost: g\r\n\r\n")
        gate.worker.drain()
        for sock in queued:
            sock.setblocking(False)
            client = Client(*await asyncio.open_connection(sock=sock))
            answer = await client.answer()
            assert (answer.status, answer["connection"]) == (200, "close")
            await client.close()
        await drained(gate)
    assert len(backend.heads) == 5


async def test_who_is_in_the_queue_is_adopted_even_if_the_sweep_comes_first() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        sock = socket.create_connection(("127.0.0.1", gate.port))
        sock.sendall(b"GET /x HTTP/1.1\r\nHost: g\r\n\r\n")
        gate.worker.drain()
        gate.worker._sweep._turn()
        sock.setblocking(False)
        client = Client(*await asyncio.open_connection(sock=sock))
        assert (await client.answer()).status == 200
        await client.close()
        await drained(gate)


async def test_when_the_time_is_up_what_has_no_answer_gets_503() -> None:
    handler = Gate(b"", OK)
    more = 'drain_timeout = "200ms"\n'
    async with Backend(handler) as backend, gateway(more + routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        await handler.reached.wait()
        gate.worker.drain()
        answer = await client.answer()
        assert (answer.status, answer["connection"]) == (503, "close")
        assert json.loads(answer.body)["status"] == 503
        assert await client.at_end()
        await drained(gate)
        await client.close()
        await asyncio.wait_for(handler.gone.wait(), DEADLINE)
        (seen,) = await traces(gate)
    assert seen.about["http.response.status_code"] == 503
    assert seen.about["error.type"] == "shutting_down"
    assert len(seen.clients) == 1


async def test_when_the_time_is_up_half_an_answer_is_cut_off() -> None:
    handler = Gate(HALF, b"")
    more = 'drain_timeout = "200ms"\n'
    async with Backend(handler) as backend, gateway(more + routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        await handler.reached.wait()
        gate.worker.drain()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.answer()
        await drained(gate)
        await client.close()
        await eventually(lambda: handler.gone.is_set())
        spans = gate.recorded.spans
    assert {attributes(s)["error.type"] for s in spans} == {"shutting_down"}


async def test_a_half_sent_head_does_not_hold_the_worker() -> None:
    more = 'drain_timeout = "200ms"\n'
    async with Backend() as backend, gateway(more + routes(backend)) as gate:
        client = await gate.connect()
        client.write(b"GET /x HTTP/1.1\r\nHo")
        await eventually(lambda: [c for c in gate.worker._connections if c._buffer])
        gate.worker.drain()
        assert await client.at_end()
        await client.close()
        await drained(gate)


async def test_draining_twice_is_draining_once() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        gate.recorded.send(frames.DRAIN)
        gate.recorded.send(frames.DRAIN)
        await drained(gate)
        gate.worker.drain()
    assert gate.recorded.events.count(frames.DRAINING) == 1
    assert gate.recorded.events.count(frames.DRAINED) == 1


async def test_a_lost_hub_means_draining() -> None:
    """Nobody could stop or reload the worker any more."""
    handler = Gate(b"", OK)
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        await handler.reached.wait()
        gate.recorded.transport.abort()
        await eventually(lambda: gate.worker.draining)
        handler.go.set()
        assert (await client.answer())["connection"] == "close"
        await client.close()
        await asyncio.wait_for(gate.worker.stopped.wait(), DEADLINE)
