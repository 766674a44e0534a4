"""Compressed answers through a running worker: which, how, and what their heads say."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import shutil
import subprocess
import zlib

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.server.compressors import maker
from proxy.server.turns import Busy, Turns
from tests.harness import Answer, Backend, Gateway, Peer, gateway, routes
from tests.server.kit import Gate, attributes, eventually, is_settled, number, reply, script, trace

try:
    from compression import zstd  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    from backports import zstd  # type: ignore[no-redef,unused-ignore]

CODINGS = ("zstd", "br", "gzip")
BODY = json.dumps([{"id": n, "name": f"item {n}"} for n in range(200)]).encode()
JSON = "Content-Type: application/json"
ALL = "Accept-Encoding: gzip, br, zstd"


def plain(coding: str, data: bytes) -> bytes:
    if coding == "gzip":
        return gzip.decompress(data)
    if coding == "br":
        return bytes(cramjam.brotli.decompress(data))
    return bytes(zstd.decompress(data)) if coding == "zstd" else data


def so_far(coding: str, data: bytes) -> bytes:
    """What can be read of a stream that has not ended."""
    if coding == "gzip":
        return zlib.decompressobj(31).decompress(data)
    if coding == "zstd":
        return bytes(zstd.ZstdDecompressor().decompress(data))
    return plain("br", data + b"\x03")  # RFC 7932 §9.2: an empty last meta-block


def compressing(backend: Backend, compress: str = "true", more: str = "") -> str:
    return routes(backend, route=f"compress = {compress}\n{more}")


async def get(gate: Gateway, *lines: str, method: str = "GET", version: str = "1.1") -> Answer:
    client = await gate.connect()
    head = [f"{method} / HTTP/{version}", "Host: a", *lines, "", ""]
    client.write("\r\n".join(head).encode())
    answer = await client.answer(head_only=method == "HEAD")
    await client.close()
    return answer


def serving(*lines: str, body: bytes = BODY, status: int = 200) -> Backend:
    return Backend(script(reply(status, body, *lines)))


@pytest.mark.parametrize("coding", CODINGS)
async def test_each_coding(coding: str) -> None:
    async with (
        serving(JSON, 'ETag: "v1"', "Accept-Ranges: bytes") as backend,
        gateway(compressing(backend)) as gate,
    ):
        answer = await get(gate, f"Accept-Encoding: {coding}")
        assert answer["content-encoding"] == coding
        assert plain(coding, answer.body) == BODY
        assert answer["content-length"] == str(len(answer.body))  # it came in one piece
        assert answer["vary"] == "accept-encoding"
        assert answer["etag"] == 'W/"v1"'
        assert answer["accept-ranges"] == ""
        assert len(answer.body) < len(BODY) / 3
        seen = await trace(gate)
        assert seen.about["spangate.compression"] == coding
        await gate.recorded.collect()
        labels = {"spangate_compression": coding}
        assert number(gate, "spangate.compression.input", **labels) == len(BODY)
        assert number(gate, "spangate.compression.output", **labels) == len(answer.body)


ANSWERS = [  # status, fields, body, whether it is compressed, whether Vary says so
    (200, [JSON], BODY, True, True),
    (404, [JSON], BODY, True, True),
    (500, [JSON], BODY, True, True),
    (200, ["Content-Type: TEXT/Html; charset=utf-8"], BODY, True, True),
    (200, ["Content-Type: application/problem+json"], BODY, True, True),
    (200, ["Content-Type: image/svg+xml"], BODY, True, True),
    (200, ["Content-Type: image/png"], BODY, False, False),
    (200, ["Content-Type: application/grpc+json"], BODY, False, False),
    (200, [], BODY, False, False),
    (200, [JSON], BODY[:1023], False, False),
    (200, [JSON], BODY[:1024], True, True),
    (200, [JSON, "Content-Encoding: gzip"], BODY, False, False),
    (200, [JSON, "Content-Encoding: br"], BODY, False, False),
    (200, [JSON, "Cache-Control: public, No-Transform"], BODY, False, False),
    (200, [JSON, "Content-Digest: sha-256=:AA==:"], BODY, False, False),
    (200, [JSON, "Repr-Digest: sha-256=:AA==:"], BODY, False, False),
    (200, [JSON, "Digest: sha-256=AA=="], BODY, False, False),
    (200, [JSON, "Content-MD5: AA=="], BODY, False, False),
    (206, [JSON, "Content-Range: bytes 0-9/10"], BODY, False, True),
    (204, [JSON], b"", False, False),
]


@pytest.mark.parametrize(("status", "lines", "body", "packed", "varies"), ANSWERS)
async def test_which_answers(
    status: int, lines: list[str], body: bytes, packed: bool, varies: bool
) -> None:
    async with serving(*lines, body=body, status=status) as backend:
        if status == 204:
            backend.handler = script(b"HTTP/1.1 204 No Content\r\n\r\n")
        async with gateway(compressing(backend)) as gate:
            answer = await get(gate, ALL)
            assert answer.status == status
            assert (answer["vary"] == "accept-encoding") is varies
            if packed:
                assert plain(answer["content-encoding"], answer.body) == body
            else:
                assert answer.body == body
                said = [x.partition(": ")[2] for x in lines if x.startswith("Content-Encoding")]
                assert answer["content-encoding"] == "".join(said)


@pytest.mark.parametrize(
    "lines",
    [
        ["Accept-Encoding: identity"],
        [],
        [ALL, "Range: bytes=0-1"],
        [ALL, "Cache-Control: no-transform"],
    ],
)
async def test_which_requests_get_it_as_it_is_and_are_told_that_it_varies(lines: list[str]) -> None:
    async with serving(JSON, 'ETag: "v1"') as backend, gateway(compressing(backend)) as gate:
        answer = await get(gate, *lines)
        assert (answer.body, answer["vary"], answer["etag"]) == (BODY, "accept-encoding", '"v1"')


@pytest.mark.parametrize(
    ("framing", "varies"),
    [("Content-Length: 9999", True), ("Content-Length: 99", False), ("X-No: length", True)],
)
async def test_an_answer_to_head_is_as_it_was(framing: str, varies: bool) -> None:
    head = f"HTTP/1.1 200 OK\r\n{JSON}\r\n{framing}\r\n\r\n".encode()
    async with Backend(script(head)) as backend, gateway(compressing(backend)) as gate:
        answer = await get(gate, ALL, method="HEAD")
        name, value = framing.split(": ")
        assert (answer[name], answer["content-encoding"]) == (value, "")
        assert (answer["vary"] == "accept-encoding") is varies


@pytest.mark.parametrize(
    ("tag", "asked", "told"),
    [
        ('"v1"', 'W/"v1"', 'W/"v1"'),  # what we made of it
        ('"v1"', '"v0", W/"v1"', 'W/"v1"'),
        ('"v1"', '"v1"', '"v1"'),
        ('"v1"', "*", '"v1"'),
        ('W/"v1"', 'W/"v1"', 'W/"v1"'),
    ],
)
async def test_a_304_names_the_tag_that_the_client_has(tag: str, asked: str, told: str) -> None:
    head = f"HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\n\r\n".encode()
    async with Backend(script(head)) as backend, gateway(compressing(backend)) as gate:
        answer = await get(gate, ALL, f"If-None-Match: {asked}")
        assert (answer.status, answer["etag"], answer["vary"]) == (304, told, "accept-encoding")
        assert backend.field("if-none-match") == asked


@pytest.mark.parametrize(
    ("said", "told"),
    [("Origin", "Origin, accept-encoding"), ("*", "*"), ("accept-Encoding", "accept-Encoding")],
)
async def test_vary_says_it_once(said: str, told: str) -> None:
    async with serving(JSON, f"Vary: {said}") as backend, gateway(compressing(backend)) as gate:
        assert (await get(gate, ALL))["vary"] == told


async def test_the_route_s_settings() -> None:
    compress = '{ types = ["image/*"], min = "10B", with = "gzip" }'
    async with (
        serving("Content-Type: image/bmp", body=b"x" * 10) as backend,
        gateway(compressing(backend, compress)) as gate,
    ):
        answer = await get(gate, ALL)
        assert (answer["content-encoding"], gzip.decompress(answer.body)) == ("gzip", b"x" * 10)
        await gate.reload(compressing(backend, "false"))
        assert (await get(gate, ALL)).body == b"x" * 10


async def test_the_route_s_own_header_edits_hold() -> None:
    more = 'headers.response.set = { etag = \'"route"\' }\nheaders.response.remove = ["x-a"]'
    async with (
        serving(JSON, "X-A: 1", 'ETag: "v1"') as backend,
        gateway(compressing(backend, more=more)) as gate,
    ):
        answer = await get(gate, ALL)
        assert (answer["etag"], answer["x-a"]) == ('W/"route"', "")


async def test_http_1_0_gets_a_length_where_it_can_be_known() -> None:
    async with serving(JSON) as backend, gateway(compressing(backend)) as gate:
        answer = await get(gate, ALL, "Connection: keep-alive", version="1.0")
        assert answer["connection"] == "keep-alive"
        assert plain(answer["content-encoding"], answer.body) == BODY


_CHANCE = random.Random(1)
LARGE = json.dumps([_CHANCE.random() for _ in range(120_000)]).encode()  # 2.4 MB


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
async def test_a_large_answer_however_it_comes(coding: str, framing: str) -> None:
    async def serve(peer: Peer) -> None:
        await peer.head()
        start = f"HTTP/1.1 200 OK\r\n{JSON}\r\n"
        if framing == "length":
            peer.write(f"{start}Content-Length: {len(LARGE)}\r\n\r\n".encode() + LARGE)
        elif framing == "chunks":
            peer.write(f"{start}Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n".encode())
            for i in range(0, len(LARGE), 300_000):
                piece = LARGE[i : i + 300_000]
                peer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            peer.write(b"0\r\nx-sum: 1\r\n\r\n")
        else:
            peer.write(start.encode() + b"Connection: close\r\n\r\n" + LARGE)
            await peer.writer.drain()
            peer.writer.close()

    async with Backend(serve) as backend, gateway(compressing(backend)) as gate:
        answer = await get(gate, f"Accept-Encoding: {coding}")
        assert answer["transfer-encoding"] == "chunked"
        assert plain(coding, answer.body) == LARGE
        seen = await trace(gate)
        assert seen.server.end_time_unix_nano >= seen.clients[0].end_time_unix_nano
        await eventually(lambda: all(p.idle == p.open for p in gate.worker._pools.values()))


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("framing", ["chunks", "close"])
async def test_events_arrive_when_they_are_sent(coding: str, framing: str) -> None:
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n" if framing == "chunks" else "\r\n"

    def chunk(data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if framing == "chunks" else data

    gate = Gate(head.encode() + chunk(b"data: 1\n\n"), chunk(b"data: 2\n\n"))
    async with Backend(gate) as backend, gateway(compressing(backend)) as running:
        client = await running.connect()
        client.write(f"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n".encode())
        answer = Answer(await client.head(), b"")
        assert answer["content-encoding"] == coding
        first = await _piece(client.reader)
        assert so_far(coding, first) == b"data: 1\n\n"
        gate.go.set()
        assert so_far(coding, first + await _piece(client.reader)) == b"data: 1\n\ndata: 2\n\n"


async def _piece(reader: asyncio.StreamReader) -> bytes:
    """One chunk of an answer."""
    async with asyncio.timeout(20):
        size = int(await reader.readline(), 16)
        data = await reader.readexactly(size)
        await reader.readexactly(2)
        return data


async def test_a_head_without_body_leaves_at_once() -> None:
    head = f"HTTP/1.1 200 OK\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    gate = Gate(head, b"0\r\n\r\n")
    async with Backend(gate) as backend, gateway(compressing(backend)) as running:
        client = await running.connect()
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        head_only = Answer(await client.head(), b"")
        assert head_only["content-encoding"] == "gzip"
        gate.go.set()
        assert gzip.decompress(await client._chunks()) == b""


async def test_nobody_waits_for_a_large_answer() -> None:
    """It goes in slices: in each turn others come between."""
    async with serving(JSON, body=LARGE) as backend, gateway(compressing(backend)) as gate:
        gate.worker.turns = turns = Counting()
        answer = await get(gate, "Accept-Encoding: gzip")
        assert gzip.decompress(answer.body) == LARGE
        assert turns.added > 3


class Counting(Turns):
    """Turns that know how many were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.added = 0

    def add(self, busy: Busy) -> None:
        self.added += 1
        super().add(busy)


async def test_a_client_that_does_not_read_stops_the_upstream() -> None:
    incompressible = random.Random(2).randbytes(8 * 1024 * 1024)
    async with (
        serving("Content-Type: text/plain", body=incompressible) as backend,
        gateway(compressing(backend)) as gate,
    ):
        client = await gate.connect()
        client.reader._limit = 1024  # type: ignore[attr-defined]
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: zstd\r\n\r\n")
        await eventually(lambda: any(c.blocked for c in gate.worker._connections))
        client.reader._limit = 2**24  # type: ignore[attr-defined]
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert plain("zstd", (await client.answer()).body) == incompressible


async def test_an_answer_that_breaks_off_is_seen_to() -> None:
    head = f"HTTP/1.1 200 OK\r\n{JSON}\r\nContent-Length: {len(LARGE)}\r\n\r\n".encode()

    async def serve(peer: Peer) -> None:
        await peer.head()
        peer.write(head + LARGE[: len(LARGE) // 2])
        await peer.writer.drain()
        peer.reset()

    async with Backend(serve) as backend, gateway(compressing(backend)) as gate:
        client = await gate.connect()
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        data = await client.read_all()
        assert not data.endswith(b"0\r\n\r\n")
        assert (await trace(gate)).about["error.type"] == "response_truncated"
        await eventually(lambda: is_settled(gate))


async def test_a_failure_before_the_first_byte_is_an_answer_of_its_own() -> None:
    head = f"HTTP/1.1 200 OK\r\n{JSON}\r\nContent-Length: 5000\r\n\r\n".encode()
    gate = Gate(head + b"x", b"")
    async with Backend(gate) as backend, gateway(compressing(backend)) as running:
        client = await running.connect()
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n")
        await gate.reached.wait()
        client.vanish()
        await eventually(lambda: is_settled(running))
        about = (await trace(running)).about
        assert about["spangate.client_gone"] is True


async def test_a_route_that_says_nothing_compresses_nothing() -> None:
    async with serving(JSON) as backend, gateway(routes(backend)) as gate:
        answer = await get(gate, ALL)
        assert (answer.body, answer["vary"], answer["content-encoding"]) == (BODY, "", "")
        (span,) = [s for s in await gate.spans(2) if s.kind == 2]
        assert "spangate.compression" not in attributes(span)


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
async def test_curl(version: str, body: bytes) -> None:
    async with serving(JSON, body=body) as backend, gateway(compressing(backend)) as gate:
        curl = await asyncio.create_subprocess_exec(
            *("curl", "-sS", "--max-time", "20", version, "--compressed"),
            *("-w", "%{stderr}%{size_download}", f"http://127.0.0.1:{gate.port}/"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, size = await curl.communicate()
        assert out == body
        assert 0 < int(size) < len(body) * 0.6
        assert (await trace(gate)).about["spangate.compression"] == "zstd"


@given(
    st.sampled_from([b"zstd", b"br", b"gzip"]),
    st.lists(st.tuples(st.binary(max_size=200), st.booleans()), max_size=20),
)
def test_any_pieces_and_flushes_are_the_same_content(
    coding: bytes, pieces: list[tuple[bytes, bool]]
) -> None:
    compressor, out = maker(coding)(), b""
    for piece, flushes in pieces:
        out += compressor.add(piece)
        if flushes:
            out += compressor.flush()
    out += compressor.end()
    assert plain(coding.decode(), out) == b"".join(piece for piece, _ in pieces)
