"""What probes and scrapers ask, against what aiohttp answers to the same."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.admin.app import Admin
from proxy.config.model import Admin as Settings
from proxy.hub.sockets import listen_once
from proxy.kernel.scan import SCANS
from proxy.telemetry.instruments import Instrument, Kind
from proxy.telemetry.metrics import Series
from proxy.web.connection import Guards
from tests.admin.test_app import Gateway

DEADLINE = 60
MANY = Instrument("many", Kind.GAUGE, "", "One of many.")
BY_AIOHTTP = b"Max-Forwards: 1\r\n"  # a field that no ordinary request has


class Large(Gateway):
    """Whose page of metrics is of 20 MB, if it has that many series."""

    def __init__(self, many: int = 200_000) -> None:
        super().__init__()
        self.many = many
        self.made = 0

    def series(self) -> Iterator[Series]:
        for number in range(self.many):
            self.made += 1
            yield Series(MANY, (("number", f"{number:080}"),), number)


class Port:
    def __init__(self, admin: Admin, number: int, view: Any) -> None:
        self.admin = admin
        self.number = number
        self.view = view

    @property
    def is_loaded(self) -> bool:
        return self.admin._site is not None

    async def connect(self, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number)
        writer.write(data)
        return reader, writer

    async def ask(self, data: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
        """First line, fields in lower case, and all that follows until the end."""
        async with asyncio.timeout(DEADLINE):
            reader, writer = await self.connect(data)
            said = await reader.read(-1)
            writer.close()
        head, _, body = said.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in lines)
        return first, fields, body


@asynccontextmanager
async def port(view: Gateway | None = None, guards: Guards | None = None) -> AsyncIterator[Port]:
    view = view or Gateway()
    admin = Admin(view, "127.0.0.1", *([guards] if guards else []))
    sock = listen_once("127.0.0.1:0", "admin.listen")
    await admin.start(sock)
    try:
        yield Port(admin, sock.getsockname()[1], view)
    finally:
        await admin.stop()


def request(path: str, *lines: bytes, method: str = "GET", host: bytes = b"127.0.0.1") -> bytes:
    """One after which the connection ends."""
    more = b"".join(line + b"\r\n" for line in (b"Connection: close", *lines))
    return f"{method} {path} HTTP/1.1\r\n".encode() + b"Host: " + host + b"\r\n" + more + b"\r\n"


def unchunked(fields: dict[bytes, bytes], body: bytes) -> bytes:
    if fields.get(b"transfer-encoding") != b"chunked":
        return body
    whole, rest = b"", body
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        whole, rest = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return whole


ORDINARY = [
    request("/live"),
    request("/ready"),
    request("/ready", method="HEAD"),
    request("/ready?verbose=1"),
    request("/ready", b"User-Agent: kube-probe/1.30", b"Accept: */*"),
    request("/ready", host=b"localhost"),
    request("/metrics"),
    request("/metrics", method="HEAD"),
    request("/metrics", b"Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
    request("/metrics", b"Accept-Encoding: gzip", b"Accept: text/plain"),
    request("/metrics", b"Accept-Encoding: deflate"),
    request("/metrics", b"Accept-Encoding: gzip;q=0, br"),
    request("/mesh/redirect"),
    request("/mesh/redirect", method="HEAD"),
    request("/mesh/redirect", b"Accept: application/json", b"Accept-Encoding: gzip"),
    request("/metrics", b"Traceparent: 00-00000000000000000000000000000001-0000000000000001-01"),
]


@pytest.mark.parametrize("reason", ["", "no worker is ready"])
@pytest.mark.parametrize("asked", ORDINARY)
async def test_it_says_what_aiohttp_says(asked: bytes, reason: str) -> None:
    async with port() as at:
        at.view.reason = reason
        quick = await at.ask(asked)
        assert at.is_loaded != SCANS
        at.view.refreshed = 0
        slow = await at.ask(asked.replace(b"\r\n\r\n", b"\r\n" + BY_AIOHTTP + b"\r\n"))
        assert at.is_loaded
    for first, fields, _ in (quick, slow):
        assert first.split(b" ", 2)[1] in (b"200", b"503")
        for theirs in (b"date", b"server"):
            fields.pop(theirs, None)
    assert quick[0] == slow[0]
    assert quick[1] == slow[1]
    bodies = [unchunked(fields, body) for _, fields, body in (quick, slow)]
    coding = quick[1].get(b"content-encoding")
    if coding and bodies[0]:
        bodies = [zlib.decompress(body, 47 if coding == b"gzip" else 15) for body in bodies]
    assert bodies[0] == bodies[1]


OTHER = [
    (request("/"), b"200"),
    (request("/nothing"), b"404"),
    (request("/live", method="POST"), b"405"),
    (request("/live", host=b"evil.example"), b"403"),
    (request("/live", host=b"a b"), b"400"),
    (request("/live", b"Host: 127.0.0.1"), b"400"),
    (b"GET /live HTTP/1.0\r\n\r\n", b"200"),
    (b"GET /live HTTP/1.1\r\nConnection: close\r\n\r\n", b"400"),
    (request("/live", b"Content-Length: 2") + b"ab", b"200"),
    (request("/live", b"Expect: 100-continue"), b"200"),
    (request("/live", b"Expect: 200-ok"), b"417"),
    (request("/live", b"X-Large: " + b"x" * 9000), b"400"),
    (b"nonsense\r\n\r\n", b"400"),
    (request("http://127.0.0.1/live"), b"200"),
]


@pytest.mark.parametrize(("asked", "status"), OTHER)
async def test_everything_else_is_answered_by_aiohttp(asked: bytes, status: bytes) -> None:
    async with port() as at:
        first, _, _ = await at.ask(asked)
        assert first.split(b" ", 2)[1] == status
        assert at.is_loaded


@pytest.mark.skipif(not SCANS, reason="uncompiled, all heads are aiohttp's")
async def test_a_connection_is_kept_and_may_ask_for_more_at_once() -> None:
    async with port() as at:
        one = request("/live").replace(b"Connection: close\r\n", b"")
        first, _, rest = await at.ask(one * 3 + request("/ready"))
        assert first == b"HTTP/1.1 200 OK"
        assert rest.count(b"HTTP/1.1 200 OK") == 3
        assert rest.endswith(b"ready\n")
        assert not at.is_loaded


@pytest.mark.parametrize("then", ["/stats", "/metrics", "/live"])
async def test_pages_and_probes_on_one_connection_come_in_order(then: str) -> None:
    kept = request("/metrics").replace(b"Connection: close\r\n", b"")
    async with port() as at:
        _, fields, rest = await at.ask(kept + kept.replace(b"/metrics", b"/config") + request(then))
        assert fields[b"transfer-encoding"] == b"chunked"
        assert rest.count(b"HTTP/1.1 200 OK") == 2
        assert rest.index(b"refreshed_total 1.0") < rest.index(b"</script>")


async def test_a_head_that_comes_slowly_is_answered_all_the_same() -> None:
    asked = request("/ready")
    async with port() as at, asyncio.timeout(DEADLINE):
        reader, writer = await at.connect(asked[:20])
        while not at.is_loaded:  # its patience is over
            await asyncio.sleep(0.01)
        writer.write(asked[20:])
        assert (await reader.read(-1)).endswith(b"ready\n")
        writer.close()


async def test_probes_are_answered_while_a_page_is_not_read() -> None:
    async with port(Large()) as at:
        reader, writer = await at.connect(request("/metrics"))
        await reader.readexactly(1)
        first, _, body = await at.ask(request("/ready"))
        assert (first, body) == (b"HTTP/1.1 200 OK", b"ready\n")
        made = -1
        while made != at.view.made:  # until it waits for its reader
            made = at.view.made
            await asyncio.sleep(0.05)
        assert made < 200_000, "made for nobody"
        rest = await reader.read(-1)
        assert rest.endswith(b"0\r\n\r\n")
        assert rest.count(b"many{number=") == 200_000
        writer.close()


async def test_who_never_reads_is_closed() -> None:
    async with port(Large(), Guards(unread=0.2)) as at, asyncio.timeout(DEADLINE):
        reader, writer = await at.connect(request("/metrics"))
        await reader.readexactly(1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        while len(at.admin._server):
            await asyncio.sleep(0.01)
        writer.transport.abort()


async def test_a_flood_of_probes_whose_answers_nobody_reads_is_bounded() -> None:
    one = request("/ready").replace(b"Connection: close\r\n", b"")
    async with port(guards=Guards(unread=0.2)) as at, asyncio.timeout(DEADLINE):
        _, writer = await at.connect(b"")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionError):
            while True:
                writer.write(one * 1000)
                await writer.drain()
        first, _, _ = await at.ask(request("/ready"))
        assert first == b"HTTP/1.1 200 OK"


async def test_a_page_that_is_being_sent_is_finished_when_the_port_closes() -> None:
    async with port(Large(10_000)) as at, asyncio.timeout(DEADLINE):
        reader, writer = await at.connect(request("/metrics"))
        first = await reader.readexactly(1000)
        rest, _ = await asyncio.gather(reader.read(-1), at.admin.stop())
        assert (first + rest).count(b"many{number=") == 10_000
        assert rest.endswith(b"0\r\n\r\n")
        writer.close()


async def test_who_reads_nothing_does_not_outlast_the_port() -> None:
    async with port(Large()) as at, asyncio.timeout(DEADLINE):
        reader, writer = await at.connect(request("/metrics"))
        await reader.readexactly(1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await at.admin.stop()
        while len(at.admin._server):
            await asyncio.sleep(0)
        writer.transport.abort()


async def test_many_probes_at_once_are_aiohttps() -> None:
    one = request("/live").replace(b"Connection: close\r\n", b"")
    async with port() as at:
        _, _, rest = await at.ask(one * 1000 + request("/ready"))
        assert at.is_loaded
        assert rest.count(b"HTTP/1.1 200 OK") == 1000
        assert rest.endswith(b"ready\n")


async def test_settings_hold_for_who_comes_after_aiohttp_was_loaded() -> None:
    async with port() as at:
        at.admin.configure(Settings(token="sesame"))
        first, _, _ = await at.ask(request("/api/info"))
        assert first.split(b" ", 2)[1] == b"401"
        at.admin.configure(Settings())
        first, _, _ = await at.ask(request("/api/info", b"Origin: http://x.example"))
        assert first.split(b" ", 2)[1] == b"403"
