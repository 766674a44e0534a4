"""Every limit on time: which one ends a request, and what client and backend see of it.

Limits are 50 to 200 ms and the sweep runs every 100 ms; nothing here measures how long it took.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.harness import OK, Backend, Client, Peer, gateway, routes
from tests.server.kit import (
    Gate,
    ask,
    blackhole,
    eventually,
    is_settled,
    number,
    reply,
    request,
    routing,
    script,
    send,
    trace,
)

HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"


async def silent(peer: Peer) -> None:
    """Reads all there is and says nothing."""
    await peer.rest()


async def deaf(peer: Peer) -> None:
    """Reads the head and nothing else."""
    await peer.head()
    peer.writer.transport.pause_reading()
    await asyncio.get_running_loop().create_future()


async def test_connecting_takes_too_long() -> None:
    with blackhole() as url:
        config = routing({"b": [url]}, '[[route]]\nto = "b"\nconnect_timeout = "50ms"')
        async with gateway(config) as gate:
            client = await gate.connect()
            answer = await ask(client, "POST", "/x", body=b"hello")
            assert (answer.status, answer["proxy-status"]) == (
                504,
                "spangate; error=connection_timeout",
            )
            assert (await trace(gate)).about["error.type"] == "connect_timeout"
            await client.close()
            await eventually(lambda: is_settled(gate))


async def test_the_total_time_ends_dialling_too() -> None:
    with blackhole() as url:
        config = routing({"b": [url]}, '[[route]]\nto = "b"\ntimeout = "50ms"')
        async with gateway(config) as gate:
            answer = await gate.get("/x")
            assert (answer.status, answer["proxy-status"]) == (
                504,
                "spangate; error=http_response_timeout",
            )
            await eventually(lambda: is_settled(gate))


# what the backend does, the limit, and the answer to a request of 5 bytes
ANSWERED = {
    "no answer": (silent, "first_byte_timeout = '150ms'", 504),
    "half a head": (script(b"HTTP/1.1 200 OK\r\nX-A: "), "first_byte_timeout = '50ms'", 504),
    "only 1xx": (script(b"HTTP/1.1 103 Hints\r\n\r\n"), "first_byte_timeout = '50ms'", 504),
    "total": (silent, "timeout = '50ms'", 504),
    "total with first byte longer": (silent, "timeout = '50ms'\nfirst_byte_timeout = '9s'", 504),
}


@pytest.mark.parametrize("case", ANSWERED)
async def test_a_limit_before_the_head_is_answered(case: str) -> None:
    handler, limit, status = ANSWERED[case]
    async with Backend(handler) as backend, gateway(routes(backend, route=limit)) as gate:
        client = await gate.connect()
        answer = await ask(client, "POST", "/x", body=b"hello")
        while answer.status < 200:
            answer = await client.answer()
        assert answer.status == status
        assert "http_response_timeout" in answer["proxy-status"]
        assert answer["connection"] == ""  # the client did nothing wrong and may go on
        await eventually(lambda: not any(p.open for p in gate.worker._pools.values()))
        await client.close()


# what the backend sends, and the limit after which the answer breaks off
CUT_OFF = {
    "idle": (HALF, "idle_timeout = '500ms'"),
    "total": (HALF, "timeout = '500ms'"),
    "idle in chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "idle_timeout = '500ms'",
    ),
    "idle until close": (b"HTTP/1.1 200 OK\r\n\r\nhalf", "idle_timeout = '500ms'"),
}


@pytest.mark.parametrize("case", CUT_OFF)
async def test_a_limit_within_the_body_breaks_the_answer_off(case: str) -> None:
    """The client must see that it has not got everything."""
    sent, limit = CUT_OFF[case]
    async with Backend(Gate(sent, b"")) as backend, gateway(routes(backend, route=limit)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError, ValueError)):
            await client.answer()
        assert (await trace(gate)).about["error.type"] == "timeout"
        await client.close()
        await eventually(lambda: is_settled(gate))


async def test_an_answer_longer_than_the_idle_limit_is_fine_while_it_moves() -> None:
    """Each piece within the limit of the one before it, with much to spare on busy machines;
    together longer than the limit."""

    async def slowly(peer: Peer) -> None:
        await request(peer)
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        for _ in range(6):
            await asyncio.sleep(0.2)  # the passing of time is what this is about
            peer.write(b".")

    route = "idle_timeout = '1s'"
    async with Backend(slowly) as backend, gateway(routes(backend, route=route)) as gate:
        answer = await gate.get("/x")
    assert answer.body == b"." * 6


async def test_the_first_byte_has_its_own_clock_once_all_is_sent() -> None:
    """An upload may take longer than the first byte may."""
    route = "first_byte_timeout = '1s'"
    async with Backend(script(OK)) as backend, gateway(routes(backend, route=route)) as gate:
        client = await gate.connect()
        send(client, "PUT", "/x", "Content-Length: 6")
        for _ in range(6):
            client.write(b"x")
            await asyncio.sleep(0.2)  # see above
        assert (await client.answer()).status == 200
        await client.close()


# requests whose body stops coming


@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("part", [b"", b"5\r\n123"])
async def test_a_request_body_that_stops_coming_is_408(framing: str, part: bytes) -> None:
    route = "idle_timeout = '100ms'"
    async with Backend(silent) as backend, gateway(routes(backend, route=route)) as gate:
        client = await gate.connect()
        send(client, "POST", "/x", framing)
        client.write(part)
        answer = await client.answer()
        assert (answer.status, answer["connection"]) == (408, "close")
        assert await client.at_end()
        seen = await trace(gate)
        await client.close()
        await eventually(lambda: is_settled(gate))
    assert seen.about["http.response.status_code"] == 408 and "error.type" not in seen.about


async def test_a_backend_that_stops_taking_the_body_is_504() -> None:
    """The client waits for us and we for the backend: not the client's fault."""
    route = "idle_timeout = '100ms'"
    async with Backend(deaf) as backend, gateway(routes(backend, route=route)) as gate:
        client = await gate.connect()
        send(client, "POST", "/x", f"Content-Length: {64 * 1024 * 1024}")
        writing = asyncio.get_running_loop().create_task(flood(client, 64 * 1024 * 1024))
        answer = await client.answer()
        assert (answer.status, answer["connection"]) == (504, "close")
        writing.cancel()
        client.writer.transport.abort()
        await eventually(lambda: is_settled(gate))
        assert (await trace(gate)).about["error.type"] == "timeout"


async def flood(client: Client, size: int) -> None:
    piece = bytes(256 * 1024)
    try:
        for _ in range(size // len(piece)):
            client.write(piece)
            await client.writer.drain()
    except ConnectionError:
        pass


# a client that stops reading


async def test_a_client_that_stops_reading_is_dropped_in_the_end() -> None:
    async def much(peer: Peer) -> None:
        await request(peer)
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
        piece = bytes(256 * 1024)
        for _ in range(256):
            peer.write(piece)
            await peer.writer.drain()

    route = "idle_timeout = '100ms'"
    async with Backend(much) as backend, gateway(routes(backend, route=route)) as gate:
        client = await gate.connect()
        client.writer.transport.pause_reading()
        send(client, "GET", "/x")
        await eventually(lambda: gate.made)
        await eventually(lambda: is_settled(gate))
        client.writer.transport.abort()


# heads and idle connections


async def test_a_head_that_does_not_come_to_its_end_is_408() -> None:
    more = "[limits]\nheader_timeout = '100ms'"
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        client = await gate.connect()
        client.write(b"GET /x HTTP/1.1\r\nHost:")
        answer = await client.answer()
        assert (answer.status, answer["connection"]) == (408, "close")
        assert await client.at_end()
        await client.close()
        await gate.recorded.collect()
        assert number(gate, "spangate.rejected", spangate_reason="408") == 1
        assert not gate.recorded.spans


@pytest.mark.parametrize("before", [0, 1])
async def test_an_idle_client_connection_is_closed_without_a_word(before: int) -> None:
    more = "[limits]\nkeepalive = '500ms'"
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        client = await gate.connect()
        for _ in range(before):
            assert (await ask(client, "GET", "/x")).status == 200
        assert await client.at_end()
        await client.close()


async def test_a_request_that_follows_a_pause_is_served_on_the_same_connection() -> None:
    more = "[limits]\nheader_timeout = '1s'\nkeepalive = '30s'"
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        client = await gate.connect()
        assert (await ask(client, "GET", "/1")).status == 200
        await asyncio.sleep(1.2)  # longer than a head may take: waiting is not reading a head
        assert (await ask(client, "GET", "/2")).status == 200
        await client.close()


async def test_a_waiting_pipelined_head_has_its_own_clock() -> None:
    """Half a second request that came with the first one is timed from its own turn."""
    handler = Gate(b"", OK)
    more = "[limits]\nheader_timeout = '1s'"
    async with Backend(handler) as backend, gateway(routes(backend, more)) as gate:
        client = await gate.connect()
        client.write(b"GET /1 HTTP/1.1\r\nHost: g\r\n\r\nGET /2 HTTP/1.1\r\nHo")
        await handler.reached.wait()
        await asyncio.sleep(1.2)  # the first answer takes longer than a head may
        handler.go.set()
        assert (await client.answer()).status == 200
        client.write(b"st: g\r\n\r\n")
        assert (await client.answer()).status == 200
        await client.close()


async def test_an_upstreams_hint_shortens_the_time_in_the_pool() -> None:
    """Keep-Alive: timeout=1 would leave no time at all, so the connection is not kept."""
    answers = script(reply(200, b"ok", "Keep-Alive: timeout=1"))
    async with Backend(answers) as backend, gateway(routes(backend)) as gate:
        await gate.get("/1")
        await eventually(lambda: not any(p.idle for p in gate.worker._pools.values()))
        await gate.get("/2")
    assert len(backend.peers) == 2


async def test_an_idle_upstream_connection_is_closed_when_its_time_is_up() -> None:
    config = '[[route]]\nto = "b"\n'
    async with Backend() as backend:
        pool = f'[upstream.b]\nservers = ["{backend.url}"]\npool = {{ idle_timeout = "100ms" }}'
        async with gateway(routing({}, config + pool)) as gate:
            await gate.get("/1")
            assert [p.idle for p in gate.worker._pools.values()] == [1]
            await eventually(lambda: [p.open for p in gate.worker._pools.values()] == [0])
            await gate.get("/2")
    assert len(backend.peers) == 2
