"""A backend that speaks HTTP/2 without TLS, as well or as badly as a test wants it to.

Its engine is the gateway's own, which checks nothing of what it sends; what not even that can say
is written as bytes (`tests/http/h2_frames.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from time import monotonic_ns
from typing import Any

from proxy.http import h2
from proxy.http.h2 import NeverIndexedHeader, Rules, Session
from proxy.tasks import spawn
from tests.harness import OK

Pairs = tuple[tuple[str, str], ...]


class Stream:
    """One exchange, as the backend sees it."""

    def __init__(self, line: Line, number: int, fields: Any) -> None:
        self.line = line
        self.number = number
        self.fields = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in fields]
        self.never_indexed = {pair[0] for pair in fields if isinstance(pair, NeverIndexedHeader)}
        self.got = b""  # of the request's body
        self.unread = 0
        self.ended = False
        self.trailers: list[tuple[bytes, bytes]] = []
        self.reset: int | None = None  # the gateway's
        self.closed = asyncio.Event()
        self.changed = asyncio.Event()

    def __getitem__(self, name: str) -> str:
        return ", ".join(value for key, value in self.fields if key == name)

    def head(self, status: int = 200, *fields: tuple[str, str], end: bool = False) -> None:
        pairs = [(b":status", b"%d" % status)]
        pairs += [(n.encode("latin-1"), v.encode("latin-1")) for n, v in fields]
        if status < 200:
            self.line.session.send_informational(self.number, pairs)
        else:
            self.line.session.send_response(self.number, pairs, end)
        self.line.flush()

    def data(self, data: bytes, end: bool = False) -> None:
        self.line.session.send_data(self.number, data, end)
        self.line.flush()

    def end(self, *trailers: tuple[str, str]) -> None:
        if trailers:
            pairs = [(n.encode(), v.encode()) for n, v in trailers]
            self.line.session.send_trailers(self.number, pairs)
        else:
            self.line.session.end(self.number)
        self.line.flush()

    def rst(self, code: int) -> None:
        self.line.session.reset(self.number, code)
        self.line.flush()

    def ok(self, body: bytes = b"ok") -> None:
        self.head(200, ("content-length", str(len(body))))
        self.data(body, True)

    @property
    def queued(self) -> int:
        """Bytes of the answer that the gateway has not taken."""
        return self.line.session.queued(self.number)

    async def body(self) -> bytes:
        """All of the request's body."""
        while not self.ended and not self.closed.is_set():
            await self._change()
        self.take()
        return self.got

    async def some(self, size: int) -> bytes:
        """What has come, once it is `size` bytes; nothing of it is acknowledged."""
        while len(self.got) < size:
            await self._change()
        return self.got

    def take(self) -> None:
        self.line.session.acknowledge(self.line.session.owed(self.number), self.number)
        self.line.flush()

    async def _change(self) -> None:
        self.changed.clear()
        await self.changed.wait()


class Line(asyncio.Protocol):
    """One connection."""

    def __init__(self, backend: H2Backend) -> None:
        self.backend = backend
        self.session = Session(True, backend.rules)
        self.streams: dict[int, Stream] = {}
        self.transport: Any = None
        self.writable = True
        self.gone = asyncio.Event()
        self.pings = 0
        self.most = 0  # streams at once
        self.came = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.backend.lines.append(self)
        if self.backend.greet is not None:
            self.backend.greet(self)

    def data_received(self, data: bytes) -> None:
        self.came += data
        if self.came[:3] != b"PRI":
            self.transport.write(OK)  # by HTTP/1.1: each request comes in one piece
            return
        if not self.backend.speaks:
            return
        self.act(self.session.receive(data, monotonic_ns()))
        while self.session.waiting:
            self.act(self.session.receive(b"", monotonic_ns()))
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        self.gone.set()
        for stream in self.streams.values():
            self._close(stream)

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self.flush()

    def flush(self) -> None:
        while self.writable and not self.transport.is_closing():
            data = self.session.take()
            if not data:
                break
            self.transport.write(data)
        self.act(self.session.events())

    def act(self, events: list[Any]) -> None:
        for event in events:
            stream = self.streams.get(getattr(event, "stream_id", 0))
            match event:
                case h2.RequestReceived(number, fields, end):
                    stream = self.streams[number] = Stream(self, number, fields)
                    stream.ended = end
                    self.backend.streams.append(stream)
                    open_now = [s for s in self.streams.values() if not s.closed.is_set()]
                    self.most = max(self.most, len(open_now))
                    spawn(self._serve(stream), "h2 backend")
                case h2.DataReceived(_, data, end) if stream is not None:
                    stream.got += data
                    stream.ended |= end
                    if self.backend.reads:
                        self.session.acknowledge(len(data), stream.number)
                case h2.TrailersReceived(_, fields) if stream is not None:
                    stream.trailers = list(fields)
                    stream.ended = True
                case h2.StreamReset(_, code) if stream is not None:
                    stream.reset = code
                case h2.StreamClosed() if stream is not None:
                    self._close(stream)
            if stream is not None:
                stream.changed.set()

    def _close(self, stream: Stream) -> None:
        stream.closed.set()
        stream.changed.set()

    async def _serve(self, stream: Stream) -> None:
        with contextlib.suppress(ConnectionError):
            await self.backend.handler(stream)

    def write(self, data: bytes) -> None:
        """Bytes past the engine."""
        self.transport.write(data)

    def goaway(self, last: int, code: int = 0) -> None:
        payload = last.to_bytes(4) + code.to_bytes(4)
        self.write(len(payload).to_bytes(3) + b"\x07\x00" + bytes(4) + payload)

    def reset(self) -> None:
        """Close with RST."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.transport.abort()


Handler = Callable[[Stream], Awaitable[None]]


async def say_ok(stream: Stream) -> None:
    await stream.body()
    stream.ok()


class H2Backend:
    """Says 200 to every request, unless the test says something else."""

    def __init__(
        self,
        handler: Handler = say_ok,
        rules: Rules | None = None,
        greet: Callable[[Line], None] | None = None,
        *,
        reads: bool = True,
        speaks: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.handler = handler
        self.rules = rules or Rules()
        self.greet = greet  # called with each new connection
        self.reads = reads  # False: bodies are acknowledged when the handler takes them
        self.speaks = speaks  # False: it says nothing at all
        self.tls = tls
        self.lines: list[Line] = []
        self.streams: list[Stream] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> H2Backend:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Line(self), "127.0.0.1", self.port, ssl=self.tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._server is not None:
            self._server.close()
        for line in self.lines:
            line.transport.abort()


def routes(backend: H2Backend, more: str = "", upstream: str = "", route: str = "") -> str:
    """The smallest file that sends everything to `backend` by HTTP/2, recording every span."""
    return f"""
[export]
otlp = "http://127.0.0.1:1"
{more}
[[route]]
name = "all"
path = "/*"
to = "b"
{route}
[upstream.b]
servers = ["{backend.url}"]
protocol = "h2"
{upstream}
"""
