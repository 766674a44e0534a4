"""E9, E11, E12 and stale connections: answers that come before, during or without a request."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from tests.harness import OK, Backend, Peer, gateway, routes
from tests.server.kit import ask, eventually, is_settled, request, send
from tests.server.upstream_rows import EARLY
from tests.server.wire import AFTER, get, post, raw

# E12: interim answers


async def _with_hints(peer: Peer) -> None:
    while True:
        await request(peer)
        peer.write(EARLY + b"HTTP/1.1 100 Continue\r\n\r\n" + EARLY + OK)


async def test_interim_answers_are_relayed() -> None:
    async with Backend(_with_hints) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for _ in range(2):
            send(client, "GET", "/x")
            answers = [await client.answer() for _ in range(4)]
            assert [a.status for a in answers] == [103, 100, 103, 200]
            assert answers[0]["link"] == "</a.css>; rel=preload"
            assert answers[0]["connection"] == ""
            assert answers[3].body == b"ok"
        assert len(backend.peers) == 1


async def test_interim_answers_are_not_for_http_1_0() -> None:
    async with Backend(_with_hints) as backend, gateway(routes(backend)) as gate:
        got = await gate.exchange(get(version=b"HTTP/1.0"))
        assert got.startswith(b"HTTP/1.1 200 OK\r\n")
        assert got.count(b"HTTP/1.1") == 1


# E9: Expect


async def test_the_client_sends_its_body_when_the_upstream_says_so() -> None:
    async def handler(peer: Peer) -> None:
        while True:
            head = await peer.head()
            assert b"expect: 100-continue" in head.lower()
            peer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            assert await peer.body(3) == b"abc"
            peer.write(OK)

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for _ in range(2):
            client.write(post(b"Expect: 100-continue", b"Content-Length: 3"))
            assert (await client.answer()).status == 100
            client.write(b"abc")
            assert (await client.answer()).body == b"ok"
        assert len(backend.peers) == 1


@pytest.mark.parametrize("framing", [b"Content-Length: 3", b"Transfer-Encoding: chunked"])
async def test_an_upstream_that_refuses_before_the_body_is_not_used_again(framing: bytes) -> None:
    async def handler(peer: Peer) -> None:
        while True:
            await peer.head()
            peer.write(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        client.write(post(b"Expect: 100-continue", framing))
        answer = await client.answer()
        assert (answer.status, answer["connection"]) == (401, "close")
        assert await client.at_end()
        # had it been pooled, this would be taken for the body that never came
        assert (await gate.get("/next")).status == 401
        assert len(backend.peers) == 2
        assert b"/next" not in backend.peers[0].received


# E11: an answer while the request is still coming


async def test_an_early_answer_is_relayed_and_the_rest_of_the_request_read_and_thrown_away() -> (
    None
):
    async def full(peer: Peer) -> None:
        await peer.head()
        peer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await peer.rest()

    async with Backend(full) as backend, gateway(routes(backend)) as gate:
        client = await raw(gate, post(b"Content-Length: 8000000", body=bytes(1000)))
        await client.until(b"big")
        client.transport.write(bytes(500_000) + AFTER)
        got = await client.end()
        assert got.startswith(b"HTTP/1.1 413 Too Large\r\n")
        assert b"connection: close" in got
        assert got.endswith(b"\r\n\r\nbig")
        await eventually(lambda: is_settled(gate))


# stale connections


async def test_a_get_on_a_connection_that_ends_as_it_is_written_is_tried_again() -> None:
    async with Backend(_ends_at_the_second) as backend, gateway(routes(backend)) as gate:
        assert (await gate.get("/1")).status == 200
        assert (await gate.get("/2")).status == 200
        assert [b"/2" in peer.received for peer in backend.peers] == [True, True]


async def test_a_post_is_sent_once() -> None:
    async with Backend(_ends_at_the_second) as backend, gateway(routes(backend)) as gate:
        assert (await gate.get("/1")).status == 200
        client = await gate.connect()
        assert (await ask(client, "POST", "/2", body=b"x")).status == 502
        assert len(backend.peers) == 1


async def _ends_at_the_second(peer: Peer) -> None:
    await request(peer)
    peer.write(OK)
    await request(peer)


async def test_a_post_is_not_written_to_a_connection_that_has_ended() -> None:
    """However little before: the end and the request wait in the same turn of the loop."""
    never = asyncio.Event()

    async def once(peer: Peer) -> None:
        await request(peer)
        peer.write(OK)
        await never.wait()

    async with Backend(once) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        assert (await ask(client, "GET", "/1")).status == 200
        with _same_socket(backend.peers[0].writer) as sock:
            sock.shutdown(socket.SHUT_RDWR)
        with _same_socket(client.writer) as sock:
            sock.send(post(b"Content-Length: 1", body=b"x"))
        assert (await client.answer()).status == 200
        assert len(backend.peers) == 2


def _same_socket(writer: asyncio.StreamWriter) -> socket.socket:
    return socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
