"""Ordinary requests are answered as aiohttp's server answers them, byte by byte."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import proxy
from proxy.otlp.json import request_to_json
from proxy.otlp.parts import PART
from tests.collector.kit import Place, batch

PROTOBUF, JSON = "application/x-protobuf", "application/json"
GOOD = batch("traces").payload
TEXT = request_to_json("traces", GOOD)
AUTH = 'auth = { bearer = ["s3cret"] }\n'
compiled = pytest.mark.skipif(bool(proxy.WHY_PLAIN), reason="then all of it is aiohttp's")

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def receiving(toml: str = "") -> AsyncIterator[tuple[Place, Any, Pair]]:
    place = Place("receiver", "otlp")
    receiver = place.make('http = "127.0.0.1:0"\n' + toml)
    await receiver.start()
    pair = await asyncio.open_connection("127.0.0.1", receiver.addresses["http"])
    try:
        yield place, receiver.http, pair
    finally:
        pair[1].transport.abort()
        async with asyncio.timeout(20):
            await receiver.stop(1.0)


def request(body: bytes, kind: str = PROTOBUF, *extra: str, path: str = "/v1/traces") -> bytes:
    fields = ("Host: x", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *extra)
    return (
        f"POST {path} HTTP/1.1\r\n{''.join(f + chr(13) + chr(10) for f in fields)}\r\n".encode()
        + body
    )


async def answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"Content-Length: (\d+)", head)
        assert found is not None
        return re.sub(rb"Date: .*", b"Date:", head) + await reader.readexactly(int(found[1]))


def handed_over(server: Any) -> bool:
    """Whether aiohttp has the only connection."""
    (connection,) = server._server._connections
    return connection.inner is not None


CASES = {
    "protobuf": (GOOD, PROTOBUF),
    "JSON": (TEXT, JSON),
    "odd JSON": (b'{"resourceSpans":[],"resourceSpans":[]}', JSON),
    "gzip": (gzip.compress(GOOD), PROTOBUF, "Content-Encoding: gzip"),
    "no gzip": (GOOD, PROTOBUF, "Content-Encoding: gzip"),
    "gzip of much": (gzip.compress(bytes(3_000_000)), PROTOBUF, "Content-Encoding: gzip"),
    "nothing": (b"", PROTOBUF),
    "no protobuf": (b"\xff\xff", PROTOBUF),
    "no JSON": (b"[]", JSON),
    "no ids": (batch("traces").payload.replace(b"\x0a\x10", b"\x7a\x10"), PROTOBUF),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("room", [True, False])
async def test_the_same_answer_as_aiohttps(name: str, room: bool) -> None:
    body, kind, *extra = CASES[name]
    async with receiving() as (place, server, (reader, writer)):
        place.room = room
        writer.write(request(body, kind, *extra))
        ours = await answer(reader)
        assert not handed_over(server) or proxy.WHY_PLAIN
        writer.write(request(body, kind, *extra, "Origin: http://page"))
        theirs = await answer(reader)
        assert handed_over(server)
        assert ours == theirs
        assert server.inflow.in_flight == 0
        sent = [b.payload for b in place.out]
        assert sent[: len(sent) // 2] == sent[len(sent) // 2 :]


@compiled
@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
async def test_requests_in_pieces_and_behind_each_other(size: int) -> None:
    async with receiving() as (place, server, (reader, writer)):
        head, body = request(GOOD).split(b"\r\n\r\n", 1)
        writer.write(head + b"\r\n\r\n" + body[:1])
        rest = body[1:] + request(TEXT, JSON) + request(GOOD)
        for start in range(0, len(rest), size):
            writer.write(rest[start : start + size])
            if not start % (20 * size):
                await writer.drain()
                await asyncio.sleep(0)
        answers = [await answer(reader) for _ in range(3)]
        assert [a.split(b" ")[1] for a in answers] == [b"200"] * 3
        assert place.items == 3 * batch("traces").items
        assert server.inflow.in_flight == 0


ODD = {
    "Origin": ("Origin: http://page",),
    "Expect": ("Expect: 100-continue",),
    "Upgrade": ("Upgrade: websocket", "Connection: Upgrade"),
    "close": ("Connection: close",),
    "zstd": ("Content-Encoding: zstd",),
    "two codings": ("Content-Encoding: gzip", "Content-Encoding: gzip"),
    "long": ("X-Long: " + "x" * 5000,),
}


@pytest.mark.parametrize("name", ODD)
async def test_what_is_not_ordinary_is_aiohttps(name: str) -> None:
    async with receiving() as (_, server, (_, writer)):
        writer.write(request(GOOD, PROTOBUF, *ODD[name])[:-1])
        async with asyncio.timeout(20):
            while not server._server._connections or not handed_over(server):
                await asyncio.sleep(0.002)


@pytest.mark.parametrize("body", [bytes(PART + 1)])
async def test_what_is_large_is_aiohttps(body: bytes) -> None:
    async with receiving() as (_, server, (reader, writer)):
        writer.write(request(body))
        assert (await answer(reader)).startswith(b"HTTP/1.1 400 ")
        assert handed_over(server)


async def test_what_is_slow_is_aiohttps_and_still_taken() -> None:
    async with receiving() as (place, server, (reader, writer)):
        whole = request(GOOD)
        writer.write(whole[:-5])
        async with asyncio.timeout(20):
            while not server._server._connections or not handed_over(server):
                await asyncio.sleep(0.01)
        writer.write(whole[-5:])
        assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")
        assert place.items == batch("traces").items


@pytest.mark.parametrize(("field", "status"), [("", 401), ("Authorization: Bearer s3cret", 200)])
async def test_credentials(field: str, status: int) -> None:
    async with receiving(AUTH) as (_, _, (reader, writer)):
        writer.write(request(GOOD, PROTOBUF, *([field] if field else [])))
        assert (await answer(reader)).startswith(b"HTTP/1.1 %d " % status)


async def test_no_room_for_all_that_comes() -> None:
    async with receiving('max_in_flight_size = "1KB"\n') as (place, server, (reader, writer)):
        writer.write(request(bytes(2000)))
        assert (await answer(reader)).startswith(b"HTTP/1.1 503 ")
        assert server.inflow.in_flight == 0
        assert not place.out
