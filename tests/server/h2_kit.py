"""A client that speaks HTTP/2 by the engine, and one that writes frames by hand."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Any

from proxy.http import h2
from proxy.http.h2 import Rules, Session
from proxy.http.head import Pair
from tests.harness import DEADLINE, Gateway
from tests.http.h2_frames import DATA, SETTINGS, frame, frames


@dataclass
class Got:
    """What came on one stream."""

    fields: list[Pair] = field(default_factory=list)
    informational: list[list[Pair]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)  # bytes would be copied for each piece
    trailers: list[Pair] = field(default_factory=list)
    reset: int | None = None  # the code of a RST_STREAM
    closed: bool = False

    @property
    def status(self) -> int:
        return int(self[":status"] or 0)

    def __getitem__(self, name: str) -> str:
        return ", ".join(v.decode("latin-1") for n, v in self.fields if n == name.encode())


_PIECE = 1024 * 1024


class H2Client(asyncio.Protocol):
    """`await` what must come; bodies are acknowledged unless `reads` is false."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.session = Session(False, rules or Rules())
        self.got: dict[int, Got] = {}
        self.settings: dict[int, int] = {}
        self.goaways: list[h2.GoAwayReceived] = []
        self.reads = True
        self.lost = False
        self.transport: Any = None
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._changed.set()

    def data_received(self, data: bytes) -> None:
        events = self.session.receive(data, 1)
        while self.session.waiting:
            events += self.session.receive(b"", 1)
        for event in events:
            self._take(event)
        self.flush()
        self._changed.set()

    def _take(self, event: Any) -> None:
        if isinstance(event, h2.GoAwayReceived):
            self.goaways.append(event)
        elif isinstance(event, h2.SettingsReceived):
            self.settings |= event.settings
        got = self.got.get(getattr(event, "stream_id", 0))
        if got is not None:
            self._take_of(got, event)

    def _take_of(self, got: Got, event: Any) -> None:
        if isinstance(event, h2.ResponseReceived):
            got.fields = list(event.headers)
        elif isinstance(event, h2.InformationalResponseReceived):
            got.informational.append(list(event.headers))
        elif isinstance(event, h2.DataReceived):
            got.body += event.data
            if self.reads:
                self.session.acknowledge(len(event.data), event.stream_id)
        elif isinstance(event, h2.TrailersReceived):
            got.trailers = list(event.headers)
        elif isinstance(event, h2.StreamReset):
            got.reset = event.error_code
        elif isinstance(event, h2.StreamClosed):
            got.closed = True

    def flush(self) -> None:
        if self.transport is None:
            return
        while data := self.session.take():
            if not self.transport.is_closing():
                self.transport.write(data)
        for event in self.session.events():
            self._take(event)

    def read(self, stream: int) -> None:
        """Acknowledge what has come, and what comes."""
        self.reads = True
        self.session.acknowledge(self.session.owed(stream), stream)
        self.flush()

    def ask(
        self, method: str = "GET", path: str = "/x", *more: Pair,
        end: bool = True, authority: str = "gateway.test",
    ) -> int:  # fmt: skip
        fields = [
            (b":method", method.encode()),
            (b":scheme", b"http"),
            (b":authority", authority.encode()),
            (b":path", path.encode()),
            *more,
        ]
        stream = self.session.send_request(fields, end)
        assert stream
        self.got[stream] = Got()
        self.flush()
        return stream

    def data(self, stream: int, data: bytes, end: bool = False) -> None:
        """In pieces, since what waits for a window is copied whenever some of it goes."""
        for start in range(0, max(len(data), 1), _PIECE):
            last = start + _PIECE >= len(data)
            assert self.session.send_data(stream, data[start : start + _PIECE], end and last)
        self.flush()

    def reset(self, stream: int, code: int = h2.CANCEL) -> None:
        self.session.reset(stream, code)
        self.flush()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def head(self, stream: int) -> Got:
        got = self.got[stream]
        await self.until(lambda: got.fields or got.closed)
        return got

    async def answer(self, stream: int) -> Got:
        """All of it, or how it ended."""
        got = self.got[stream]
        await self.until(lambda: got.closed or self.lost)
        return got

    async def get(self, path: str = "/x", *more: Pair, method: str = "GET") -> Got:
        return await self.answer(self.ask(method, path, *more))


async def h2_client(
    gate: Gateway, rules: Rules | None = None, tls: ssl.SSLContext | None = None
) -> H2Client:
    loop = asyncio.get_running_loop()
    name = "gateway.test" if tls is not None else None
    _, client = await loop.create_connection(
        lambda: H2Client(rules), "127.0.0.1", gate.port, ssl=tls, server_hostname=name
    )
    return client


class Frames(asyncio.Protocol):
    """What a client sees that writes frames by hand."""

    def __init__(self) -> None:
        self.received = b""
        self.lost = False
        self.transport: Any = None
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._changed.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._changed.set()

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    @property
    def frames(self) -> list[tuple[int, int, int, bytes]]:
        return frames(self.received)

    @property
    def bodies(self) -> set[tuple[int, bytes]]:
        return {(stream, payload) for kind, _, stream, payload in self.frames if kind == DATA}

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


async def by_hand(port: int, *, preface: bytes = h2.PREFACE + frame(SETTINGS, 0, 0)) -> Frames:
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(Frames, "127.0.0.1", port)
    client.write(preface)
    return client
