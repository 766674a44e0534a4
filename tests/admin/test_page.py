"""Long pages: made in slices, for several readers by turns, and for nobody who does not read."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from proxy.admin.page import Pages
from proxy.admin.pieces import SLICE_BYTES, Turns, accepted, json_pieces, take
from proxy.config.redact import Computed
from proxy.web.connection import Guards
from proxy.web.server import GuardedServer

PIECE = "0123456789abcde\n"
PIECES = 1_000_000  # 16 MB: more than sockets hold

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4), st.booleans())
def test_json_is_that_of_the_standard_library(value: dict[str, Any], computed: bool) -> None:
    def lazy(_: str, member: object) -> object:
        if isinstance(member, list):
            return iter(member)
        return Computed(member, lazy) if isinstance(member, dict) else member

    given = Computed(value, lazy) if computed else value
    assert "".join(json_pieces(given)) == json.dumps(value, indent=2) + "\n"


@pytest.mark.parametrize(
    ("fields", "coding"),
    [
        ([], ""),
        (["gzip"], "gzip"),
        (["deflate, gzip"], "gzip"),
        (["br", "Deflate"], "deflate"),
        (["gzip;q=0, deflate;q=0.5"], "deflate"),
        (["gzip; q=0.0"], ""),
        (["identity"], ""),
    ],
)
def test_codings(fields: list[str], coding: str) -> None:
    assert accepted(fields) == coding


def test_a_slice_is_bounded() -> None:
    assert len(take(iter([PIECE] * PIECES))) <= SLICE_BYTES + len(PIECE)
    assert take(iter(())) == b""


class Site:
    """Sends one long page; `made` counts its pieces."""

    def __init__(self) -> None:
        self.pages = Pages(Turns())
        self.made = 0
        self.url = ""

    def pieces(self) -> Iterator[str]:
        for _ in range(PIECES):
            self.made += 1
            yield PIECE

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self.pages.send(request, {"X-Page": "1"}, self.pieces())


@asynccontextmanager
async def serving() -> AsyncIterator[Site]:
    site = Site()
    server = GuardedServer(site.handle, Guards())
    site.url = f"http://127.0.0.1:{await server.start(address=('127.0.0.1', 0))}/"
    try:
        yield site
    finally:
        await server.stop(0.0)


async def raw(site: Site, coding: str, method: str = "GET") -> tuple[aiohttp.ClientResponse, bytes]:
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.request(method, site.url, headers={"Accept-Encoding": coding}) as response,
    ):
        return response, await response.read()


@pytest.mark.parametrize(
    ("coding", "decode"),
    [("gzip", gzip.decompress), ("deflate", zlib.decompress), ("identity", bytes)],
)
async def test_a_page_is_whole_in_every_coding(coding: str, decode: Any) -> None:
    async with serving() as site:
        answers = await asyncio.gather(*(raw(site, coding) for _ in range(4)))
        for response, body in answers:
            assert decode(body) == PIECE.encode() * PIECES
            assert response.headers.get("Content-Encoding", "identity") == coding
            assert response.headers["X-Page"] == "1"


async def test_head_makes_nothing() -> None:
    async with serving() as site:
        response, body = await raw(site, "gzip", "HEAD")
        assert (response.status, body, site.made) == (200, b"", 0)
        assert response.headers["Content-Encoding"] == "gzip"


async def test_who_does_not_read_holds_neither_the_page_nor_others() -> None:
    async with serving() as site:
        port = int(site.url.rpartition(":")[2].strip("/"))
        _, deaf = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        deaf.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        _, body = await raw(site, "identity")
        assert len(body) == len(PIECE) * PIECES
        assert site.made <= 2 * PIECES
        made = -1
        while made != site.made:  # until it waits
            made = site.made
            await asyncio.sleep(0.01)
        assert site.made < 2 * PIECES, "made for nobody"
        deaf.transport.abort()
        await asyncio.sleep(0)
