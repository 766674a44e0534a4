"""Tries that are left behind: stale connections, late answers, answers that nobody wants."""

from __future__ import annotations

import asyncio
import os
import socket

from tests.harness import OK, Backend, Peer, gateway, routes
from tests.server.kit import (
    Gate,
    ask,
    blackhole,
    eventually,
    eventually_collected,
    is_settled,
    number,
    reply,
    request,
    routing,
    script,
    send,
    trace,
    traces,
)

TWICE = "retry = { times = 2, on = [503], backoff = '1ms' }"


# stale connections


async def test_a_connection_that_went_stale_is_replaced_without_the_client_seeing_it() -> None:
    """The backend closes as the request is under way: here, on reading its head."""
    served = 0

    async def once_each(peer: Peer) -> None:
        nonlocal served
        await request(peer)
        peer.write(OK)
        served += 1
        await peer.head()  # and no answer

    async with Backend(once_each) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        first = await ask(client, "GET", "/1")
        second = await ask(client, "GET", "/2")
        await client.close()
        found = await traces(gate, 2)
        retried = number(gate, "spangate.retries", spangate_retry_reason="stale_connection")
    assert (first.status, second.status, served, retried) == (200, 200, 2, 1)
    old, new = found[1].tried
    assert (old["error.type"], new.get("error.type")) == ("connection_reset", None)
    assert new["spangate.retry.reason"] == "stale_connection"
    assert new["http.request.resend_count"] == 1
    assert "error.type" not in found[1].about


async def test_several_stale_connections_cost_one_try() -> None:
    """The siblings of a stale connection are as old, so the next try dials."""
    handler = Gate(b"", OK)

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        clients = [await gate.connect() for _ in range(3)]
        for client in clients:
            send(client, "GET", "/x")
        await eventually(lambda: len(backend.heads) == 3)
        handler.go.set()
        for client in clients:
            assert (await client.answer()).status == 200

        async def hang_up(peer: Peer) -> None:
            await request(peer)
            peer.write(OK)

        backend.handler = hang_up
        handler.go.clear()
        send(clients[0], "GET", "/last")
        await eventually(lambda: len(backend.heads) == 4)
        warm = next(p for p in backend.peers if p.received.count(b"\r\n\r\n") == 2)
        warm.reset()
        assert (await clients[0].answer()).status == 200
        found = await traces(gate, 4)
        for client in clients:
            await client.close()
    assert len(found[-1].clients) == 2 and len(backend.peers) == 4


async def test_a_post_on_a_stale_connection_is_not_repeated() -> None:
    """RFC 9110 §9.2.2: a proxy must not."""

    async def once_each(peer: Peer) -> None:
        await request(peer)
        peer.write(OK)
        await request(peer)

    async with Backend(once_each) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        assert (await ask(client, "GET", "/1")).status == 200
        assert (await ask(client, "POST", "/2", body=b"x")).status == 502
        await client.close()
    assert len(backend.heads) == 2


async def test_an_idle_connection_that_the_backend_closed_is_not_used() -> None:
    async def once_each(peer: Peer) -> None:
        await request(peer)
        peer.write(OK)

    async with Backend(once_each) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for _ in range(3):
            assert (await ask(client, "POST", "/x", body=b"x")).status == 200
            await eventually(lambda: not any(p.open for p in gate.worker._pools.values()))
        await client.close()
        assert all(len(seen.clients) == 1 for seen in await traces(gate, 3))


async def test_a_connection_that_is_just_closing_is_not_used() -> None:
    """The backend's FIN and a request that must not be repeated come in one turn of the loop."""
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        assert (await ask(client, "GET", "/1")).status == 200
        (ours,) = gate.worker._connections
        theirs = backend.peers[0].writer.get_extra_info("socket")
        with socket.socket(fileno=os.dup(theirs.fileno())) as same:
            same.shutdown(socket.SHUT_WR)
        ours.data_received(b"POST /2 HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\n\r\nx")
        assert (await client.answer()).status == 200
        await client.close()
    assert len(backend.peers) == 2


# answers that come too late


async def test_a_late_answer_to_a_try_that_was_given_up_reaches_nobody() -> None:
    """The first try times out and a second one is made; then the first backend answers."""
    first_gate, second_gate = Gate(b"", reply(200, b"late")), Gate(b"", reply(200, b"second"))
    async with Backend(first_gate) as first, Backend(second_gate) as second:
        route = "retry = { times = 1, on = [504], backoff = '1ms' }\nfirst_byte_timeout = '1s'"
        config = routing({"b": [first.url, second.url]}, f"[[route]]\nto = 'b'\n{route}")
        async with gateway(config) as gate:
            client = await gate.connect()
            send(client, "GET", "/x")
            await asyncio.wait_for(second_gate.reached.wait(), 20)
            await asyncio.wait_for(first_gate.gone.wait(), 20)  # its connection was cut
            first_gate.go.set()
            second_gate.go.set()
            answer = await client.answer()
            await client.close()
            await eventually(lambda: is_settled(gate))
    assert (answer.status, answer.body) == (200, b"second")


async def test_an_answer_that_nobody_wants_does_not_hold_its_connection() -> None:
    """A 503 whose body never ends, retried elsewhere: the connection must not stay for ever."""
    stuck = b"HTTP/1.1 503 S\r\nContent-Length: 10\r\n\r\nhalf"

    async def never_ending(peer: Peer) -> None:
        await request(peer)
        peer.write(stuck)
        await peer.reader.read(-1)

    async with Backend(never_ending) as first, Backend() as second:
        config = routing({"b": [first.url, second.url]}, f"[[route]]\nto = 'b'\n{TWICE}")
        async with gateway(config) as gate:
            answer = await gate.get("/x")
            assert answer.status == 200 and len(second.heads) == 1
            await eventually(lambda: is_settled(gate))


async def test_a_connection_whose_answer_was_not_wanted_is_kept_if_it_was_whole() -> None:
    answers = script(reply(503), OK)
    async with Backend(answers) as backend, gateway(routes(backend, route=TWICE)) as gate:
        assert (await gate.get("/x")).status == 200
    assert len(backend.peers) == 1


async def test_a_slow_dial_is_not_taken_for_the_answer_of_another_try() -> None:
    """Idle limits shorter than the time to connect must not start a second try beside it."""
    with blackhole() as slow:
        route = (
            "retry = { times = 1, on = [504], backoff = '1ms' }\n"
            "idle_timeout = '500ms'\nconnect_timeout = '1s'"
        )
        async with Backend() as backend:
            config = routing({"b": [slow, backend.url]}, f"[[route]]\nto = 'b'\n{route}")
            async with gateway(config) as gate:
                answer = await gate.get("/x")
                seen = await trace(gate)
                await eventually_collected(gate, lambda: is_settled(gate))
    assert answer.status == 200
    assert [t.get("error.type") for t in seen.tried] == ["connect_timeout", None]
