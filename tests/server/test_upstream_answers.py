"""Table G and E11 to E13: what becomes of an upstream's answers, good, odd and hostile."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass

import pytest

from tests.harness import OK, Backend, Peer, gateway, routes
from tests.server.kit import ask, eventually, is_settled, request, send, trace
from tests.server.wire import AFTER, get, post, raw

_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_ABC = b"3\r\nabc\r\n0\r\n\r\n"


def answered(*lines: bytes, body: bytes = b"", status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([status, *lines, b"", body])


@dataclass(frozen=True)
class Case:
    """What an upstream says, how it ends, and what the client is told."""

    id: str
    answer: bytes
    status: int
    body: bytes = b""
    reused: bool = False  # the upstream connection
    end: str = ""  # fin, reset; "" = it stays open
    method: str = "GET"
    fields: tuple[tuple[str, str], ...] = ()  # of the answer; "" = must not be there


def refused(name: str, answer: bytes, end: str = "", method: str = "GET") -> Case:
    return Case(name, answer, 502, end=end, method=method)


def _odd_heads() -> list[Case]:
    heads = {
        "two lengths": answered(b"Content-Length: 2", b"Content-Length: 3", body=b"okk"),
        "the same length twice": answered(b"Content-Length: 2", b"Content-Length: 2", body=b"ok"),
        "length +2": answered(b"Content-Length: +2", body=b"ok"),
        "length of 20 digits": answered(b"Content-Length: 00000000000000000002", body=b"ok"),
        "no length": answered(b"Content-Length: ", body=b"ok"),
        "gzip, chunked": answered(b"Transfer-Encoding: gzip, chunked", body=_ABC),
        "gzip": answered(b"Transfer-Encoding: gzip", body=b"x"),
        "chunked twice": answered(b"Transfer-Encoding: chunked, chunked", body=_ABC),
        "chunked in HTTP/1.0": answered(
            b"Transfer-Encoding: chunked", body=_ABC, status=b"HTTP/1.0 200 OK"
        ),
        "NUL in a value": answered(b"Content-Length: 2", b"X-A: b\0c", body=b"ok"),
        "CR in a value": answered(b"Content-Length: 2", b"X-A: b\rX-C: d", body=b"ok"),
        "folded value": answered(b"Content-Length: 2", b"X-A: b", b" c", body=b"ok"),
        "space before the colon": answered(b"Content-Length: 2", b"X-A : b", body=b"ok"),
        "a field without a name": answered(b"Content-Length: 2", b": b", body=b"ok"),
        "LF line ends": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "LF in the middle": b"HTTP/1.1 200 OK\r\nContent-Length: 2\nX-A: b\r\n\r\nok",
        "a banner": b"SSH-2.0-OpenSSH_9.2\r\n",
        "something like a head": b"220 mail ESMTP\r\nhello: x\r\n\r\n",
        "RTSP": answered(b"Content-Length: 2", body=b"ok", status=b"RTSP/1.0 200 OK"),
        "HTTP/2.0": answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/2.0 200 OK"),
        "an empty line first": b"\r\n" + OK,
        "status 099": answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.1 099 x"),
        "status 2000": answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.1 2000 x"),
        "status 600": answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.1 600 x"),
        "101 unasked (F4)": answered(
            b"Connection: upgrade", b"Upgrade: websocket", status=b"HTTP/1.1 101 Switching"
        ),
        "200 kB of head": answered(b"X-A: " + b"a" * 200_000, b"Content-Length: 2", body=b"ok"),
        "a head just over 64 KiB": answered(b"X-A: " + b"a" * 65_536, body=b"ok"),
        "65 KiB and no end": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 65_536,
    }
    return [refused(name, answer) for name, answer in heads.items()]


CASES = [
    refused("FIN before any byte", b"", "fin"),
    refused("FIN before any byte, POST", b"", "fin", "POST"),
    refused("RST before any byte", b"", "reset"),
    refused("RST before any byte, POST", b"", "reset", "POST"),
    refused("FIN in the head", b"HTTP/1.1 200 OK\r\nContent-Le", "fin"),
    *_odd_heads(),
    Case(
        "both framings: chunked wins, not used again",
        answered(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=_ABC),
        200,
        b"abc",
        fields=(("content-length", ""), ("transfer-encoding", "chunked")),
    ),
    Case(
        "a head of 60 kB",
        answered(b"X-A: " + b"a" * 60_000, b"Content-Length: 0"),
        200,
        reused=True,
    ),
    Case("bytes after the body", OK + b"HTTP/1.1 200 OK\r\n", 200, b"ok"),
    Case("bytes after the chunks", _CHUNKED + _ABC + b"x", 200, b"abc"),
    Case("bytes after an empty body", answered(b"Content-Length: 0", body=b"x"), 200),
    Case("length", OK, 200, b"ok", True),
    Case("chunks", _CHUNKED + _ABC, 200, b"abc", True),
    Case(
        "trailers, dropped",
        _CHUNKED + b"0\r\nSet-Cookie: a=b\r\n\r\n",
        200,
        b"",
        True,
        fields=(("set-cookie", ""),),
    ),
    Case("until close", answered(body=b"abc"), 200, b"abc", end="fin"),
    Case(
        "until close, HTTP/1.0",
        answered(body=b"abc", status=b"HTTP/1.0 200 OK"),
        200,
        b"abc",
        end="fin",
    ),
    Case(
        "HTTP/1.0",
        answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.0 200 OK"),
        200,
        b"ok",
    ),
    Case(
        "HTTP/1.0, kept alive",
        answered(
            b"Connection: Keep-Alive", b"Content-Length: 2", body=b"ok", status=b"HTTP/1.0 200 OK"
        ),
        200,
        b"ok",
        True,
        fields=(("connection", ""),),
    ),
    Case(
        "Connection: close",
        answered(b"Connection: close", b"Content-Length: 2", body=b"ok"),
        200,
        b"ok",
        fields=(("connection", ""),),
    ),
    Case(
        "Proxy-Connection: close means nothing",
        answered(b"Proxy-Connection: close", b"Content-Length: 0"),
        200,
        reused=True,
        fields=(("proxy-connection", ""),),
    ),
    Case(
        "whitespace after a length", answered(b"Content-Length: 2 ", body=b"ok"), 200, b"ok", True
    ),
    Case(
        "nominated field",
        answered(b"Connection: X-A", b"X-A: b", b"Content-Length: 2", body=b"ok"),
        200,
        b"ok",
        True,
        fields=(("x-a", ""),),
    ),
    Case(
        "no reason phrase",
        answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.1 200"),
        200,
        b"ok",
        True,
    ),
    Case(
        "HEAD with a length",
        answered(b"Content-Length: 5"),
        200,
        reused=True,
        method="HEAD",
        fields=(("content-length", "5"),),
    ),
    Case("HEAD with chunked", _CHUNKED, 200, reused=True, method="HEAD"),
    Case("HEAD without framing", answered(), 200, reused=True, method="HEAD"),
    Case("HEAD with a body", OK, 200, method="HEAD", fields=(("content-length", "2"),)),
    Case(
        "204",
        answered(status=b"HTTP/1.1 204 x"),
        204,
        reused=True,
        fields=(("content-length", ""),),
    ),
    Case(
        "204 with a length",
        answered(b"Content-Length: 0", status=b"HTTP/1.1 204 x"),
        204,
        reused=True,
        fields=(("content-length", ""),),
    ),
    Case(
        "204 with a body",
        answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.1 204 x"),
        204,
        fields=(("content-length", ""),),
    ),
    Case(
        "304 with a length",
        answered(b"Content-Length: 5", status=b"HTTP/1.1 304 x"),
        304,
        reused=True,
        fields=(("content-length", "5"),),
    ),
    Case(
        "304 with a body", answered(b"Content-Length: 2", body=b"ok", status=b"HTTP/1.1 304 x"), 304
    ),
    Case(
        "304 in HTTP/1.0 with an odd Connection",
        answered(b"Connection: x", status=b"HTTP/1.0 304 x"),
        304,
    ),
]


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
            for byte in EARLY + _CHUNKED + _ABC:
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
    "a chunk": _CHUNKED + b"5\r\nabc",
    "after a chunk": _CHUNKED + b"3\r\nabc\r\n",
    "in the last chunk": _CHUNKED + b"3\r\nabc\r\n0\r\n",
    "in the trailers": _CHUNKED + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n",
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
    case = refused("", _CHUNKED + b"zz\r\n")
    async with Backend(Scripted(case)) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        assert (await ask(client, "GET", "/x")).status == 502
        assert (await ask(client, "GET", "/x")).status == 200


@pytest.mark.parametrize("tail", [b"zz\r\n", b"3 \r\nabc", b"3\nabc", b"\r\n", b"0\r\n \r\n"])
async def test_malformed_chunks_end_the_answer(tail: bytes) -> None:
    arrived = asyncio.Event()

    async def malformed(peer: Peer) -> None:
        await request(peer)
        peer.write(_CHUNKED + b"3\r\nabc\r\n")
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


# E12: interim answers

EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: close\r\n\r\n"


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
