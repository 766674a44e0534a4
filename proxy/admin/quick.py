"""What probes, scrapers and `spangate mesh run` ask of the admin port, without aiohttp: /live,
/ready, /metrics and /mesh/redirect.

Most gateways, and nearly all sidecars, are asked for nothing else. Ordinary is a GET or HEAD by
HTTP/1.1 whose head comes within a second and says nothing that asks for more; whatever is not goes
to aiohttp, with all that came of it, and is answered there by the same functions.

Heads are read by the kernel. Where nothing is compiled, none is, and everything is aiohttp's.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import NamedTuple

from proxy.admin.exposition import OPENMETRICS, TEXT, lines, wants_openmetrics
from proxy.admin.hosts import Hosts
from proxy.admin.pieces import Turns, accepted
from proxy.admin.view import View
from proxy.http import h1 as h1  # which tells the kernel what methods there are
from proxy.http.date import imf_fixdate
from proxy.http.headers import bits
from proxy.kernel.scan import Lines, scan_request
from proxy.tasks import spawn
from proxy.web.connection import Line

LIVE, READY, METRICS, REDIRECT = "/live", "/ready", "/metrics", "/mesh/redirect"
PATHS = (LIVE, READY, METRICS, REDIRECT)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_HEAD = 8192  # bytes of an ordinary one
_ODD = ~bits(
    (b"host", b"user-agent", b"connection", b"traceparent", b"tracestate", b"b3", b"baggage",
     b"x-request-id", b"x-forwarded-for", b"via")
)  # fmt: skip
_REASONS = {200: "OK", 503: "Service Unavailable"}


def short(path: str, view: View) -> tuple[int, str, str]:
    """Status, type and text of one that is not METRICS."""
    if path == REDIRECT:
        return 200, "application/json; charset=utf-8", json.dumps(view.redirected())
    reason = view.unready() if path == READY else ""
    said = f"not ready: {reason}" if reason else path.removeprefix("/")
    return 503 if reason else 200, "text/plain; charset=utf-8", f"{said}\n"


def metrics(view: View, accept: str) -> tuple[Mapping[str, str], Iterator[str]]:
    """Header fields and text, in the format that Accept prefers."""
    openmetrics = wants_openmetrics(accept)
    kind = OPENMETRICS if openmetrics else TEXT
    headers = {**HEADERS, "Content-Type": kind, "Vary": "Accept, Accept-Encoding"}
    return headers, lines(view.series(), openmetrics)


class Ask(NamedTuple):
    """One ordinary request."""

    path: str
    is_head: bool
    closes: bool
    accept: str
    codings: list[str]


class Terms:
    """What all connections of a port have in common."""

    __slots__ = ("_hosts", "turns", "view")

    def __init__(self, view: View, hosts: Hosts, turns: Turns) -> None:
        self._hosts = hosts
        self.view = view
        self.turns = turns

    def ask(self, head: bytes) -> Ask | None:
        """What the head asks for, None if it is no ordinary one."""
        lines = scan_request(head)
        if lines is None or lines.version != "1.1" or lines.seen & _ODD:
            return None
        if lines.method not in ("GET", "HEAD") or lines.path not in PATHS:
            return None
        connection = (lines.special(b"connection") or b"keep-alive").lower()
        if connection not in (b"keep-alive", b"close") or not self._is_for_us(lines):
            return None
        accept = ",".join(value.decode("latin-1") for value in lines.each(b"accept"))
        codings = [value.decode("latin-1") for value in lines.each(b"accept-encoding")]
        return Ask(lines.path, lines.method == "HEAD", connection == b"close", accept, codings)

    def _is_for_us(self, lines: Lines) -> bool:
        host = lines.special(b"host")
        return host is not None and not self._hosts.refusal([host.decode("latin-1")])


class Quick:
    """The Front of one connection."""

    __slots__ = ("_data", "_flows", "_line", "_task", "_terms")

    def __init__(self, terms: Terms, line: Line) -> None:
        self._terms = terms
        self._line = line
        self._data = b""  # that came and was not answered
        self._flows = asyncio.Event()  # the client reads
        self._task: asyncio.Task[None] | None = None

    @property
    def is_answering(self) -> bool:
        return self._task is not None

    @property
    def is_reading(self) -> bool:
        return bool(self._data) and self._task is None

    def rest(self) -> bytes:
        return self._data

    def closed(self) -> None:
        self._data = b""
        if self._task is not None:
            self._task.cancel()

    def feed(self, data: bytes) -> bool:
        self._data += data
        self._flows.set()  # it is called, too, when the client reads again
        if self._task is None and len(self._data) > _HEAD:
            return False  # so many at once are aiohttp's, which answers one in a turn of the loop
        while self._data and self._task is None and not self._line.is_stalled:
            end = self._data.find(b"\r\n\r\n", 0, _HEAD) + 4
            if end < 4:
                return len(self._data) < _HEAD
            ask = self._terms.ask(self._data[:end])
            if ask is None:
                return False
            self._data = self._data[end:]
            self._answer(ask)
        # Who asks on and reads no answers is aiohttp's: it knows when to stop reading.
        return self._task is not None or len(self._data) < _HEAD

    def _answer(self, ask: Ask) -> None:
        self._line.begun()
        if ask.path == METRICS:
            self._line.transport.pause_reading()
            self._task = spawn(self._show(ask), "show metrics")
            return
        status, kind, text = short(ask.path, self._terms.view)
        body = text.encode("utf-8")
        length = f"Content-Length: {len(body)}\r\n"
        head = _head(status, {**HEADERS, "Content-Type": kind}, length, ask)
        self._line.transport.write(head if ask.is_head else head + body)
        self._ended(ask)

    async def _show(self, ask: Ask) -> None:
        """All metrics, in chunks."""
        transport = self._line.transport
        try:
            await self._terms.view.refresh()
            headers, pieces = metrics(self._terms.view, ask.accept)
            coding = accepted(ask.codings)
            more = "" if ask.is_head else "Transfer-Encoding: chunked\r\n"
            more += f"Content-Encoding: {coding}\r\n" if coding else ""
            transport.write(_head(200, headers, more, ask))
            if not ask.is_head:
                await self._send(self._terms.turns.slices(pieces, coding))
        except BaseException:
            transport.abort()
            raise
        finally:
            self._task = None
        if transport.is_closing():
            return
        self._ended(ask)
        transport.resume_reading()
        if not self.feed(b""):
            self._line.hand_over()

    async def _send(self, slices: AsyncIterator[bytes]) -> None:
        transport = self._line.transport
        async for data in slices:
            while self._line.is_stalled:
                self._flows.clear()
                await self._flows.wait()
            transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        transport.write(b"0\r\n\r\n")

    def _ended(self, ask: Ask) -> None:
        self._line.answered()
        if ask.closes:
            self._data = b""
            self._line.transport.close()


def _head(status: int, headers: Mapping[str, str], more: str, ask: Ask) -> bytes:
    text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    closes = "Connection: close\r\n" if ask.closes else ""
    date = imf_fixdate(int(time.time())).decode("ascii")
    line = f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
    return f"{line}{text}{more}{closes}Date: {date}\r\n\r\n".encode("latin-1")
