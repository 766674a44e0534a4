"""The process that talks xDS: between the stream and the hub, with a clock."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any, cast

from proxy.frames import Frames
from proxy.frames import encode as framed
from proxy.sources.xds import frames
from proxy.sources.xds.client import Client
from proxy.sources.xds.protos import message
from proxy.sources.xds.reading import Reader
from proxy.sources.xds.session import Out, Session, Stream
from proxy.sources.xds.state import State
from proxy.sources.xds.stream_delta import Delta
from proxy.sources.xds.stream_sotw import Sotw
from proxy.sources.xds.tables import Tables
from proxy.sources.xds.upstreams import Table
from proxy.tasks import cancel, spawn

SHORT = 0.01  # seconds without a response, after which what has come is put together
STANDS = 1.0  # seconds after which a stream is believed to stay
SHARE = 4  # of the time that putting together takes: so long it rests after it


class Process(asyncio.Protocol):
    """The hub's other end. It ends when the hub does."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._settings: frames.Settings
        self._session: Session
        self._client: Client
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None  # until what has come is put together
        self._alarm: asyncio.TimerHandle | None = None  # of what is waited for in vain
        self._standing: asyncio.TimerHandle | None = None  # until a stream has stood for a while
        self._answers = False  # the server does, or at least keeps the stream
        self._rested = 0.0  # until when nothing is put together
        self._sent: dict[str, Table] = {}  # upstreams that the hub knows
        self._servers: dict[str, dict[str, int]] = {}  # to be told with the next tick
        self._versions: dict[str, str] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.ended.set()

    def data_received(self, data: bytes) -> None:
        for kind, items, payload in self._frames.feed(data):
            if kind == frames.START:
                self._start(frames.decode(payload, type=frames.Settings))
            elif kind == frames.SETTLED:
                reasons = frames.decode(payload, type=list[str])
                self._do(self._session.settled(items, reasons, time.monotonic()))
                self._soon()

    async def stop(self) -> None:
        await cancel(self._task)

    def _start(self, settings: frames.Settings) -> None:
        stream: Stream = (Delta if settings.mode == "delta" else Sotw)(node_of(settings))
        self._session = Session(stream, State(Reader(settings.ignore), settings.listeners))
        method = (stream.METHOD, stream.RESPONSE)
        self._client = Client(
            settings, method, self._opened, self._asked, self._received, self._lost
        )
        self._task = spawn(self._client.run(), "xDS")

    def _opened(self) -> list[Any]:
        return self._session.connected(time.monotonic()).requests

    def _asked(self) -> None:
        """A server that has nothing new may say nothing: it can be asked if it keeps the stream."""
        loop = asyncio.get_running_loop()
        self._standing = loop.call_later(STANDS, self._stood)

    def _stood(self) -> None:
        self._answers = True
        self._tell_versions()

    def _received(self, response: Any) -> list[Any]:
        self._answers = True
        out = self._session.received(response, time.monotonic())
        requests, out.requests = out.requests, []
        self._do(out)
        self._soon()
        return requests

    def _lost(self, reason: str) -> None:
        if self._standing is not None:
            self._standing.cancel()
        self._answers = False
        self._session.lost()
        self._tell(frames.FAILED, frames.encode(reason))

    def _soon(self) -> None:
        """Put together what has come, once nothing more comes for a moment."""
        now = time.monotonic()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(
                max(SHORT, self._rested - now), self._flush
            )

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        begun = time.monotonic()
        self._do(self._session.flush(begun))
        now = time.monotonic()
        self._rested = now + SHARE * (now - begun)
        if self._answers and self._session.applied != self._versions:
            self._tell_versions()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if (due := self._session.due(now)) is not None:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(max(SHORT, due - now), self._flush)

    def _do(self, out: Out) -> None:
        self._client.send(out.requests)
        if out.refused:
            self._tell(frames.REFUSED, frames.encode(out.refused))
        if out.servers:
            if not self._servers:
                asyncio.get_running_loop().call_soon(self._tell_servers)
            self._servers.update(out.servers)
        if out.tables is not None:
            self._tell_servers()
            self._give(out.tables, out.number)

    def _tell_versions(self) -> None:
        self._versions = dict(self._session.applied)
        self._tell(frames.VERSIONS, frames.encode(self._versions))

    def _tell_servers(self) -> None:
        servers, self._servers = self._servers, {}
        for part in frames.in_parts(servers):
            self._tell(frames.SERVERS, frames.encode(part))

    def _give(self, tables: Tables, number: int) -> None:
        known = self._sent
        changed: dict[str, Any] = {n: t for n, t in tables.upstreams.items() if known.get(n) != t}
        changed |= dict.fromkeys(known.keys() - tables.upstreams.keys())
        self._sent = tables.upstreams
        for part in frames.in_parts(changed):
            self._tell(frames.UPSTREAMS, frames.encode(part))
        for routes in frames.in_parts(tables.routes):
            self._tell(frames.ROUTES, frames.encode(routes))
        for places in frames.in_parts(list(tables.places.items())):
            self._tell(frames.PLACES, frames.encode(places))
        rest = frames.Rest(
            tables.listeners,
            tables.certificates,
            tables.authorities,
            dict(self._session.versions),
            tables.left_out,
            tables.kept,
        )
        self._tell(frames.GIVEN, frames.encode(rest), number)

    def _tell(self, kind: int, payload: bytes, items: int = 0) -> None:
        if self._transport is not None:
            self._transport.write(framed(kind, payload, items))


def node_of(settings: frames.Settings) -> Any:
    """envoy.config.core.v3.Node."""
    node = message("envoy.config.core.v3.Node")(
        id=settings.node, cluster=settings.cluster, user_agent_name=settings.agent.split(" ")[0]
    )
    node.user_agent_version = settings.agent.partition(" ")[2]
    node.metadata.update(settings.metadata)
    return node


async def serve(descriptor: int) -> None:
    """Talk to the hub by this end of a socket pair, until it is closed."""
    loop = asyncio.get_running_loop()
    process = Process()
    end = socket.socket(fileno=descriptor)
    end.setblocking(False)
    await loop.create_unix_connection(lambda: process, sock=end)
    await process.ended.wait()
    await process.stop()
