"""Table G: what becomes of an upstream's answers, whole, cut off or malformed."""

from __future__ import annotations

import asyncio

import pytest

from tests.harness import OK, Backend, Peer, gateway, routes
from tests.server.kit import ask, request, send, trace
from tests.server.upstream_rows import ABC, CASES, CHUNKED, EARLY, Case, answered, refused
from tests.server.wire import get, raw


class Scripted:
    """Says one case's answer, and OK to all later requests."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.asked = 0

    async def __call__(self, peer: Peer) -> None:
        while True:
            await request(peer)
            self.asked += 1
            if self.asked > 1:
                peer.write(OK)
                continue
            peer.write(self.case.answer)
            if self.case.end == "reset":
                peer.reset()
            if self.case.end:
                return


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_an_answer(case: Case) -> None:
    scripted = Scripted(case)
    async with Backend(scripted) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        body = b"x" if case.method == "POST" else b""
        answer = await ask(client, case.method, "/x", body=body)
        assert answer.status == case.status
        if case.status != 502:
            assert answer.body == case.body
        for name, value in case.fields:
            assert answer[name] == value
        assert scripted.asked == 1  # nothing here is tried twice
        # whatever it was, the client's connection is in order, and the upstream's if it says so
        assert (await ask(client, "GET", "/again")).body == b"ok"
        assert len(backend.peers) == (1 if case.reused else 2)
        await client.close()


async def test_answers_come_byte_by_byte() -> None:
    async def slowly(peer: Peer) -> None:
        while True:
            await request(peer)
            for byte in EARLY + CHUNKED + ABC:
                peer.write(bytes([byte]))
                await asyncio.sleep(0)

    async with Backend(slowly) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for _ in range(2):
            send(client, "GET", "/x")
            assert (await client.answer()).status == 103
            assert (await client.answer()).body == b"abc"
        assert len(backend.peers) == 1


TRUNCATED = {
    "length": answered(b"Content-Length: 10", body=b"abc"),
    "a chunk": CHUNKED + b"5\r\nabc",
    "after a chunk": CHUNKED + b"3\r\nabc\r\n",
    "in the last chunk": CHUNKED + b"3\r\nabc\r\n0\r\n",
    "in the trailers": CHUNKED + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n",
    "both framings": answered(
        b"Content-Length: 3", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n"
    ),
}


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("answer", TRUNCATED.values(), ids=TRUNCATED.keys())
async def test_a_truncated_answer_is_seen_as_truncated(answer: bytes, version: str) -> None:
    async def cut(peer: Peer) -> None:
        await request(peer)
        peer.write(answer)

    async with Backend(cut) as backend, gateway(routes(backend)) as gate:
        client = await raw(gate, get(version=b"HTTP/" + version.encode()))
        got = await client.end()
        head, _, body = got.partition(b"\r\n\r\n")
        if version == "1.1" or b"content-length" in head:
            # what there is arrives, and the framing tells that it is not all
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert body in (b"abc", b"3\r\nabc\r\n")
            assert b"content-length: 10" in head or not body.endswith(b"0\r\n\r\n")
        else:
            assert client.reset  # the end of the connection would be the end of the answer
        span = (await trace(gate)).about
        assert span["error.type"] == "response_truncated"


async def test_malformed_chunks_that_come_with_the_head_are_no_answer() -> None:
    case = refused("", CHUNKED + b"zz\r\n")
    async with Backend(Scripted(case)) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        assert (await ask(client, "GET", "/x")).status == 502
        assert (await ask(client, "GET", "/x")).status == 200


@pytest.mark.parametrize(
    "tail",
    [
        b"zz\r\n",
        b" 3\r\nabc",
        b"3\v\r\nabc",
        b"3\nabc",
        b"3 \nabc",
        b"3 a\r\n",
        b"\r\n",
        b"0\r\n \r\n",
    ],
)
async def test_malformed_chunks_end_the_answer(tail: bytes) -> None:
    arrived = asyncio.Event()

    async def malformed(peer: Peer) -> None:
        await request(peer)
        peer.write(CHUNKED + b"3\r\nabc\r\n")
        await arrived.wait()
        peer.write(tail)
        await peer.rest()

    async with Backend(malformed) as backend, gateway(routes(backend)) as gate:
        client = await raw(gate, get())
        await client.until(b"abc")
        arrived.set()
        got = await client.end()
        assert not got.endswith(b"0\r\n\r\n")
        assert (await trace(gate)).about["error.type"] == "response_truncated"


async def test_a_reset_does_not_end_a_close_delimited_answer_well() -> None:
    arrived = asyncio.Event()

    async def cut(peer: Peer) -> None:
        await request(peer)
        peer.write(answered(body=b"abc"))
        await arrived.wait()
        peer.reset()

    async with Backend(cut) as backend, gateway(routes(backend)) as gate:
        client = await raw(gate, get())
        await client.until(b"abc")
        arrived.set()
        assert not (await client.end()).endswith(b"0\r\n\r\n")


async def test_a_close_delimited_answer_to_a_client_of_http_1_0() -> None:
    async def old(peer: Peer) -> None:
        await request(peer)
        peer.write(answered(body=b"abc"))

    async with Backend(old) as backend, gateway(routes(backend)) as gate:
        client = await raw(gate, get(b"Connection: keep-alive", version=b"HTTP/1.0"))
        head, _, body = (await client.end()).partition(b"\r\n\r\n")
        assert body == b"abc"
        assert b"connection: close" in head
        assert not client.reset


async def test_the_reason_phrase_is_cleaned() -> None:
    """A client that splits lines at other bytes must not find more of them than were meant."""
    odd = answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.1 200 a\x00b\x0bc")
    fine = answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.1 299 Caf\xe9")

    async def handler(peer: Peer) -> None:
        await request(peer)
        peer.write(odd)
        await request(peer)
        peer.write(fine)

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        assert (await ask(client, "GET", "/x")).head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert (await ask(client, "GET", "/x")).head.startswith(b"HTTP/1.1 299 Caf\xe9\r\n")
