"""Shared connections: who waits for them, how old they become, and whether they still live."""

from __future__ import annotations

import asyncio
from time import monotonic_ns
from typing import Any

import pytest

from proxy.http.h2 import Rules
from proxy.server.h2_pool import SharedPool
from proxy.server.h2_pulse import PING_AFTER, PING_LIMIT, Pulse
from proxy.server.h2_upstream import H2Upstream
from tests.harness import DEADLINE, Backend, Gateway, gateway
from tests.server.h2_backend import H2Backend, Stream, routes
from tests.server.kit import (
    ask,
    blackhole,
    eventually,
    is_settled,
    number,
    refusing,
    routing,
    send,
    trace,
    traces,
)

SECOND = 1_000_000_000
H2 = "protocol = 'h2'\n"


def pool_of(gate: Gateway) -> Any:
    (pool,) = gate.worker._pools.values()
    assert isinstance(pool, SharedPool)
    return pool


def line_of(gate: Gateway) -> H2Upstream:
    (line,) = pool_of(gate)._lines
    return line  # type: ignore[no-any-return]


def to(url: str, more: str = "") -> str:
    return routing({}, f"[[route]]\nto = 'b'\n{more}") + (
        f"[upstream.b]\nservers = ['{url}']\n{H2}connect_timeout = '300ms'\n"
    )


# dialling


async def test_all_who_wait_hear_that_nobody_listens() -> None:
    with refusing() as url:
        async with gateway(to(url)) as gate:
            answers = await asyncio.gather(*[gate.get("/x") for _ in range(10)])
            assert {a.status for a in answers} == {503}
            seen = await traces(gate, 10)
            assert {len(s.clients) for s in seen} == {1}
            assert {s.tried[0]["error.type"] for s in seen} == {"connection_refused"}
            await eventually(lambda: is_settled(gate))


async def test_who_waits_does_so_for_as_long_as_a_connection_may_take() -> None:
    with blackhole() as url:
        async with gateway(to(url)) as gate:
            answers = await asyncio.gather(*[gate.get("/x") for _ in range(3)])
            assert {a.status for a in answers} == {504}
            seen = (await traces(gate, 3))[0]
            assert seen.tried[0]["error.type"] == "connect_timeout"


async def test_who_has_gone_waits_no_more() -> None:
    with blackhole() as url:
        async with gateway(to(url)) as gate:
            client = await gate.connect()
            send(client, "GET", "/x")
            await eventually(lambda: gate.worker._pools and pool_of(gate)._waiting)
            client.vanish()
            await eventually(lambda: not pool_of(gate)._waiting)


async def test_attempts_tell_whether_their_connection_was_warm() -> None:
    async with H2Backend() as backend, gateway(routes(backend)) as gate:
        await gate.get("/x")
        await gate.get("/y")
        await traces(gate, 2)
        assert number(gate, "spangate.upstream.connections.created") == len(backend.lines) == 1
        assert number(gate, "spangate.upstream.connections.reused") == 1


async def test_who_waits_is_served_when_a_stream_ends() -> None:
    """A connection more is not made where the upstream does not take it."""
    go = asyncio.Event()

    async def handler(stream: Stream) -> None:
        if len(backend.streams) == 1:
            stream.ok()
            return
        await go.wait()
        stream.ok()

    backend = H2Backend(handler, Rules(streams=1))
    async with backend, gateway(routes(backend)) as gate:
        assert (await gate.get("/first")).status == 200
        assert backend._server is not None
        backend._server.close()
        slow = [await gate.connect() for _ in range(2)]
        for client in slow:
            send(client, "GET", "/slow")
        await eventually(lambda: len(backend.streams) == 2 and pool_of(gate)._waiting)
        go.set()
        assert [(await client.answer()).body for client in slow] == [b"ok", b"ok"]
        assert len(backend.lines) == 1
        seen = await traces(gate, 3)
        assert [len(s.clients) for s in seen] == [1, 1, 1]
        assert number(gate, "spangate.upstream.connections.reused") == 2


# age


async def test_an_idle_connection_is_closed_and_says_so() -> None:
    async with H2Backend() as backend, gateway(routes(backend)) as gate:
        await gate.get("/x")
        pool = pool_of(gate)
        pool.expire(monotonic_ns() + 3 * SECOND)
        assert pool.idle == 1
        pool.expire(monotonic_ns() + 5 * SECOND)
        async with asyncio.timeout(DEADLINE):
            await backend.lines[0].gone.wait()
        assert (await gate.get("/x")).body == b"ok"
        assert len(backend.lines) == 2


async def test_an_old_connection_ends_after_its_last_exchange() -> None:
    go = asyncio.Event()

    async def handler(stream: Stream) -> None:
        if stream[":path"] == "/slow":
            stream.head(200)
            await go.wait()
        stream.ok() if stream[":path"] != "/slow" else stream.end()

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/slow")
        await client.head()
        pool_of(gate).expire(monotonic_ns() + 301 * SECOND)
        assert (await gate.get("/x")).body == b"ok"
        assert [line.gone.is_set() for line in backend.lines] == [False, False]
        go.set()
        async with asyncio.timeout(DEADLINE):
            await client.reader.readuntil(b"0\r\n\r\n")
            await backend.lines[0].gone.wait()
        assert not backend.lines[1].gone.is_set()


async def test_connections_to_a_server_that_is_gone_from_the_file_end() -> None:
    async with H2Backend() as backend, H2Backend() as other, gateway(routes(backend)) as gate:
        await gate.get("/x")
        await gate.reload(routes(other))
        async with asyncio.timeout(DEADLINE):
            await backend.lines[0].gone.wait()
        assert (await gate.get("/x")).body == b"ok"
        assert len(other.lines) == 1


async def test_another_protocol_counts_from_the_reload_on() -> None:
    async with H2Backend() as backend, gateway(routes(backend)) as gate:
        await gate.get("/x")
        await gate.reload(routes(backend).replace('protocol = "h2"', 'protocol = "h1"'))
        assert (await gate.get("/x")).body == b"ok"  # the backend speaks both
        seen = await traces(gate, 2)
        assert [s.tried[0]["network.protocol.version"] for s in seen] == ["2", "1.1"]
        await gate.reload(routes(backend))
        assert (await gate.get("/x")).body == b"ok"
        seen = await traces(gate, 3)
        assert seen[2].tried[0]["network.protocol.version"] == "2"


# whether they live


async def test_a_silent_upstream_is_asked_whether_it_is_there() -> None:
    go = asyncio.Event()

    async def handler(stream: Stream) -> None:
        await go.wait()
        stream.ok()

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        await eventually(lambda: backend.streams)
        before = len(backend.lines[0].came)
        line = line_of(gate)
        line.tick(monotonic_ns() + PING_AFTER[0], SECOND)
        await eventually(lambda: b"spangate" in backend.lines[0].came[before:])
        await eventually(lambda: not line._pulse._asked)
        go.set()
        assert (await client.answer()).body == b"ok"


async def test_an_upstream_that_does_not_answer_a_ping_is_gone() -> None:
    async def handler(stream: Stream) -> None:
        stream.line.transport.pause_reading()

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        await eventually(lambda: backend.streams)
        line = line_of(gate)
        now = monotonic_ns() + PING_AFTER[0]
        line.tick(now, SECOND)
        line.tick(now + PING_LIMIT, SECOND)
        assert (await client.answer()).status == 502
        seen = await trace(gate)
        assert seen.tried[0]["error.type"] == "connection_reset"
        assert "did not answer a PING" in seen.clients[0].status.message


def test_pings_become_rarer_while_nothing_else_is_said() -> None:
    pulse = Pulse()
    pulse.hear(1)
    asked, now = [], 1
    for _ in range(4):
        while not pulse.is_due(now):
            now += SECOND
        asked.append(now)
        pulse.hear(now)  # its answer
    assert [b - a for a, b in zip([1, *asked], asked, strict=False)] == [
        PING_AFTER[0], PING_AFTER[1], PING_AFTER[2], PING_AFTER[2],
    ]  # fmt: skip
    pulse.work()
    assert pulse.is_due(now + PING_AFTER[0])
    assert not pulse.is_due(now + PING_AFTER[0])
    assert not pulse.has_stopped(now + PING_AFTER[0] + PING_LIMIT - 1)
    assert pulse.has_stopped(now + PING_AFTER[0] + PING_LIMIT)


# clients that do not read


async def test_slow_clients_do_not_stop_new_ones() -> None:
    """Where they hold half of a connection's window, others get another connection."""
    size = 8 * 1024 * 1024

    async def handler(stream: Stream) -> None:
        stream.head(200, ("content-length", str(size)))
        stream.data(bytes(size), True)

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        slow = [await gate.connect() for _ in range(32)]
        for client in slow:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            send(client, "GET", "/slow")
        await eventually(
            lambda: gate.worker._pools and pool_of(gate)._lines and line_of(gate).paused == 32
        )
        quick = await gate.connect()
        assert len((await ask(quick, "GET", "/quick")).body) == size
        assert len(backend.lines) == 2


# metrics


async def test_connections_streams_and_resets_are_counted() -> None:
    go = asyncio.Event()

    async def handler(stream: Stream) -> None:
        if stream[":path"] == "/reset":
            stream.rst(8)
            return
        stream.head(200)
        await go.wait()
        stream.end()

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        clients = [await gate.connect() for _ in range(3)]
        for client in clients:
            send(client, "GET", "/x")
            await client.head()
        assert (await gate.get("/reset")).status == 502
        clients.pop().vanish()
        await eventually(lambda: any(s.reset == 8 for s in backend.streams))
        await gate.recorded.collect()
        active = {"http_connection_state": "active"}
        assert number(gate, "http.client.open_connections", **active) == 1
        assert number(gate, "spangate.upstream.streams.open") == 2
        resets = "spangate.upstream.streams.reset"
        why = {"spangate_reason": "cancel"}
        assert number(gate, resets, spangate_by="upstream", **why) == 1
        assert number(gate, resets, spangate_by="gateway", **why) == 1
        go.set()
        for client in clients:
            async with asyncio.timeout(DEADLINE):
                await client.reader.readuntil(b"0\r\n\r\n")
        await gate.recorded.collect()
        assert number(gate, "spangate.upstream.streams.open") == 0
        assert number(gate, "http.client.open_connections", **active) == 0


@pytest.mark.parametrize("protocol", ["h1", "auto"])
async def test_in_plaintext_nothing_else_is_spoken_than_http_1_1(protocol: str) -> None:
    async with Backend() as backend:
        text = to(backend.url).replace("'h2'", f"'{protocol}'")
        async with gateway(text) as gate:
            assert (await gate.get("/x")).body == b"ok"
