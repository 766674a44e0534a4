"""HTTP/2 clients that mean harm, or are broken: they end, and nobody else notices."""

from __future__ import annotations

import asyncio

import pytest

from proxy.http import h2
from tests.harness import OK, Backend, Peer, gateway, routes
from tests.http.h2_frames import DATA, END_HEADERS, GET, GOAWAY, HEADERS, POST, frame, literal
from tests.http.test_h2 import BLOCK, FLOODS
from tests.server.h2_kit import by_hand, h2_client
from tests.server.kit import Gate, eventually, is_settled, number, reply, request, script, trace
from tests.server.test_limits import sweep

_BATCH = 50  # frames in one write


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_a_flood_is_ended_and_others_are_served(flood) -> None:  # type: ignore[no-untyped-def]
    async with Backend() as backend, gateway(routes(backend)) as gate:
        other = await h2_client(gate)
        client = await by_hand(gate.port)
        if flood is FLOODS["empty data"]:
            client.write(frame(HEADERS, END_HEADERS, 1, literal(POST)))
        sent = 0
        while not said_goodbye(client) and sent < 100_000:
            client.write(b"".join([flood(n) for n in range(sent, sent + _BATCH)]))
            sent += _BATCH
            assert (await other.get()).status == 200
        assert sent <= 3000, "a thousand, and what was on its way"
        said = [payload[4:8] for kind, _, _, payload in client.frames if kind == GOAWAY]
        assert said in ([], [h2.ENHANCE_YOUR_CALM.to_bytes(4)])
        assert (await other.get()).status == 200
        other.transport.abort()
        await eventually(lambda: is_settled(gate))
        assert gate.worker.h2.open == 0


def said_goodbye(client) -> bool:  # type: ignore[no-untyped-def]
    return client.lost or GOAWAY in [kind for kind, *_ in client.frames]


async def test_who_floods_and_waits_is_closed_after_a_second_and_not_before() -> None:
    """It would come again at once."""
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await by_hand(gate.port)
        client.write(FLOODS["ping"](0) * 2000)
        await client.until(lambda: said_goodbye(client))
        (ours,) = gate.worker._connections
        sweep(gate, 0.5)
        assert not ours.transport.is_closing()
        sweep(gate, 1.1)
        assert ours.transport.is_closing()
        await client.until(lambda: client.lost)


async def test_who_floods_on_is_not_read_any_more() -> None:
    """Its GOAWAY has a second to arrive, in which nothing is read for nothing."""
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await by_hand(gate.port)
        await client.until(lambda: bool(client.frames))
        (ours,) = gate.worker._connections
        engine = ours.session
        client.write(FLOODS["ping"](0) * 100_000)
        await client.until(lambda: GOAWAY in [kind for kind, *_ in client.frames])
        await eventually(lambda: not ours.transport.is_reading())
        assert ours.session is not engine, "what it had to answer is forgotten"
        client.transport.abort()
        sweep(gate, 0.2)
        await eventually(lambda: ours not in gate.worker._connections)


async def test_a_bomb_of_a_head_closes_the_connection() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await by_hand(gate.port)
        bomb = literal(GET) + b"\x40" + literal([(b"a", b"x" * 3900)])[1:] + b"\xbe" * 4000
        client.write(frame(HEADERS, END_HEADERS | 1, 1, bomb))
        await client.until(lambda: client.lost or GOAWAY in [kind for kind, *_ in client.frames])
        await gate.recorded.collect()
        calm = number(gate, "spangate.downstream.goaways", spangate_reason="enhance_your_calm")
        assert calm == 1
        assert backend.heads == []


async def test_a_head_that_does_not_end_is_not_waited_for() -> None:
    more = '[limits]\nheader_timeout = "1s"'
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        for beginning in (frame(HEADERS, 0, 1, BLOCK), frame(HEADERS, 4, 1, BLOCK)[:-3]):
            client = await by_hand(gate.port)
            client.write(beginning)
            await client.until(lambda client=client: client.lost)
        await gate.recorded.collect()
        assert number(gate, "spangate.rejected", spangate_reason="408") == 2


async def test_a_slow_head_among_requests_is_served() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await by_hand(gate.port)
        data = frame(HEADERS, 5, 1, BLOCK)
        client.write(data[:-3])
        await asyncio.sleep(0)
        client.write(data[-3:])
        await client.until(lambda: (1, b"ok") in client.bodies)


async def test_a_refused_request_ends_its_stream_alone() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        bad = await client.get("/a#b")
        assert (bad.status, bad.reset) == (400, None)
        malformed = await client.get("/a b")
        assert (malformed.status, malformed.reset) == (0, h2.PROTOCOL_ERROR)
        large = [(b"x%d" % n, b"v" * 3000) for n in range(25)]
        assert (await client.get("/", *large)).status == 431
        assert (await client.get()).status == 200
        await gate.recorded.collect()
        assert number(gate, "spangate.rejected", spangate_reason="400") == 2
        assert number(gate, "spangate.rejected", spangate_reason="431") == 1


async def test_a_client_that_does_not_take_its_answer_is_given_up() -> None:
    async def handler(peer: Peer) -> None:
        await request(peer)
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n")
        while True:
            peer.write(b"x" * 100_000)
            await peer.writer.drain()

    route = 'idle_timeout = "1s"'
    async with Backend(handler) as backend, gateway(routes(backend, route=route)) as gate:
        client = await h2_client(gate)
        client.reads = False
        got = await client.answer(client.ask())
        assert got.reset == h2.INTERNAL_ERROR
        assert len(got.body) < 100_000
        assert (await trace(gate)).about["error.type"] == "timeout"


async def test_an_upload_that_stops_is_told_so() -> None:
    route = 'idle_timeout = "1s"'
    gate_of = Gate(b"", b"")
    async with Backend(gate_of) as backend, gateway(routes(backend, route=route)) as gate:
        client = await h2_client(gate)
        stream = client.ask("POST", "/", end=False)
        client.data(stream, b"half")
        got = await client.answer(stream)
        assert (got.status, got.reset) == (408, h2.NO_ERROR)


async def test_streams_beyond_the_limit_are_refused_unprocessed() -> None:
    gate_of = Gate(b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    more = "[limits]\nstreams = 3"
    async with Backend(gate_of) as backend, gateway(routes(backend, more)) as gate:
        client = await by_hand(gate.port)
        client.write(b"".join([frame(HEADERS, 5, 2 * n + 1, BLOCK) for n in range(5)]))
        resets = [
            (3, 0, 7, h2.REFUSED_STREAM.to_bytes(4)),
            (3, 0, 9, h2.REFUSED_STREAM.to_bytes(4)),
        ]
        await client.until(lambda: [f for f in client.frames if f[0] == 3] == resets)
        assert len(backend.heads) <= 3
        gate_of.go.set()
        await client.until(lambda: client.bodies >= {(1, b"ok"), (3, b"ok"), (5, b"ok")})


async def test_too_many_connections_are_told_so_where_h2_was_agreed_on() -> None:
    """By prior knowledge the answer is HTTP/1.1's: nobody knows better before a byte is read."""
    async with Backend() as backend, gateway(routes(backend, "[limits]\nconnections = 1")) as gate:
        first = await h2_client(gate)
        assert (await first.get()).status == 200
        second = await by_hand(gate.port)
        await second.until(lambda: b"503" in second.received)


async def test_data_without_content_is_no_request() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await by_hand(gate.port)
        client.write(frame(HEADERS, END_HEADERS, 1, literal(POST)) + frame(DATA, 0, 1) * 10)
        client.write(frame(DATA, 1, 1))
        await client.until(lambda: any(kind == HEADERS for kind, *_ in client.frames))
        assert b"transfer-encoding: chunked" in backend.heads[0].lower()


async def test_a_body_that_trickles_is_given_up_on_its_stream() -> None:
    async def silent(peer: Peer) -> None:
        if (await peer.head()).startswith(b"POST"):
            await peer.rest()
        peer.write(OK)

    async with Backend(silent) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        stream = client.ask("POST", "/", end=False)
        client.data(stream, b"x" * 10)
        (ours,) = gate.worker._connections
        await eventually(lambda: backend.heads and not ours._streams[stream].reading_paused)
        sweep(gate, 0)
        for seconds in (4, 8):
            before = ours._streams[stream]._came
            client.data(stream, b"x")
            await eventually(lambda before=before: ours._streams[stream]._came > before)
            sweep(gate, seconds)
        sweep(gate, 11)
        got = await client.answer(stream)
        assert (got.status, got.reset) == (408, h2.NO_ERROR)
        assert (await client.get()).status == 200


async def test_a_complete_answer_that_nobody_takes_is_thrown_away() -> None:
    body = b"x" * 100_000  # more than a window, less than what is read ahead
    async with Backend(script(reply(200, body))) as backend, gateway(routes(backend)) as gate:
        client = await h2_client(gate)
        client.reads = False
        stream = client.ask()
        await trace(gate)  # the story is over
        got = client.got[stream]
        await client.until(lambda: len(got.body) == 65_535 or len(got.body) == 65_536)
        for seconds in (0, 29, 32):
            assert got.reset is None
            sweep(gate, seconds)
        await client.until(lambda: got.closed)
        assert got.reset == h2.CANCEL
        client.reads = True
        assert len((await client.get()).body) == len(body)
