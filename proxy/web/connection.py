"""One connection of a guarded server: its clocks, and who reads what comes on it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from aiohttp import web

PATIENCE = 1.0  # seconds of a front, for the rest of a request


@dataclass(frozen=True, slots=True)
class Guards:
    """Connections, and seconds; 0 = no clock."""

    connections: int = 1024
    head: float = 10.0  # for the whole of it (nginx client_header_timeout: 60, Envoy: none)
    body: float = 30.0  # without a byte of it
    idle: float = 75.0  # between two requests (nginx keepalive_timeout: 75)
    unread: float = 30.0  # in which nothing of an answer could be sent on


class Front(Protocol):
    """What answers the ordinary requests of one connection by itself."""

    @property
    def is_reading(self) -> bool:
        """It has a part of a request."""

    @property
    def is_answering(self) -> bool:
        """It has a whole one, and nobody waits for the client."""

    def feed(self, data: bytes) -> bool:
        """More came; False = this and what follows is for aiohttp, from `rest` on."""

    def rest(self) -> bytes:
        """What came and was not answered."""

    def closed(self) -> None:
        """The connection is no more, or not its own any more."""


class Line(Protocol):
    """What a front sees of its connection."""

    @property
    def transport(self) -> asyncio.Transport: ...
    @property
    def is_stalled(self) -> bool: ...
    def begun(self) -> None:
        """A request is coming or being answered."""

    def answered(self) -> None:
        """It is over."""

    def hand_over(self) -> None:
        """The rest is for aiohttp."""


class Server(Protocol):
    """What a connection asks of its server."""

    @property
    def guards(self) -> Guards: ...
    def front(self, line: Line) -> Front | None: ...
    def handler(self, connection: Connection) -> web.RequestHandler | None:
        """aiohttp's protocol for it; None = `loaded` is called when there is one."""

    def admit(self, connection: Connection) -> bool: ...
    def release(self, connection: Connection) -> None: ...
    def stall(self, connection: Connection, stalled: bool) -> None: ...
    def works(self, connection: Connection) -> None: ...
    def waits(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """What goes on at one connection; what is not for its front is passed on to `inner`.

    Times are monotonic seconds, 0 = it is not so now.
    """

    __slots__ = (
        "_began", "_front", "_heard", "_is_admitted", "_loads", "_request", "_server", "_stalled",
        "_waits", "inner", "transport",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self.inner: web.RequestHandler | None = None  # aiohttp's
        self._front: Front | None = None
        self._server = server
        self._is_admitted = False
        self._loads = False  # aiohttp is loaded for it
        self._request: web.BaseRequest | None = None
        self._waits = 0.0  # since when for a request
        self._began = 0.0  # when the head began to come; a new connection owes one at once
        self._heard = 0.0  # when the last byte came
        self._stalled = 0.0  # since when nothing could be written

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._waits = self._began = self._heard = monotonic()
        self._is_admitted = self._server.admit(self)
        if not self._is_admitted:
            self.transport.abort()
            return
        self._front = self._server.front(self)
        if self._front is None:
            self.hand_over()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.release(self)
        if self._front is not None:
            self._front.closed()
        if self.inner is not None:
            self.inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard = monotonic()
        if not self._began:
            self._began = self._heard
        if self.inner is not None:
            self.inner.data_received(data)
        elif self._front is not None and not self._front.feed(data):
            self.hand_over()

    def hand_over(self) -> None:
        """The rest is aiohttp's."""
        if self._loads:
            return
        inner = self._server.handler(self)
        if inner is None:
            self._loads = True
            self.transport.pause_reading()
            return
        self.inner = inner  # from now on: whatever breaks, it is let go with the connection
        rest = b""
        if self._front is not None:
            rest = self._front.rest()
            self._front.closed()
            self._front = None
        inner.connection_made(self.transport)
        if self._stalled:
            inner.pause_writing()
        if rest:
            inner.data_received(rest)

    def loaded(self, well: bool) -> None:
        """There is a handler now, or there will never be one."""
        self._loads = False
        if self.transport.is_closing():
            return
        if not well:
            self.transport.abort()
            return
        self._heard = self._began = monotonic()  # it was not the client who was slow
        self.transport.resume_reading()
        self.hand_over()

    def eof_received(self) -> None:
        if self.inner is not None:
            self.inner.eof_received()

    def pause_writing(self) -> None:
        self._stalled = monotonic()
        self._server.stall(self, True)
        if self.inner is not None:
            self.inner.pause_writing()

    def resume_writing(self) -> None:
        self._stalled = 0.0
        self._server.stall(self, False)
        if self.inner is not None:
            self.inner.resume_writing()
        elif self._front is not None and not self._loads and not self._front.feed(b""):
            self.hand_over()

    @property
    def is_answering(self) -> bool:
        """Its front is at an answer."""
        return self._front is not None and self._front.is_answering

    @property
    def is_stalled(self) -> bool:
        return self._stalled > 0

    def begin(self, request: web.BaseRequest) -> None:
        self._request = request
        self._heard = monotonic()

    def end(self) -> None:
        self._request = None
        self._began = 0.0
        self._waits = monotonic()

    def begun(self) -> None:
        self._server.works(self)

    def answered(self) -> None:
        self.end()
        self._server.waits(self)

    def look(self, now: float) -> None:
        """What is too slow for a front is aiohttp's."""
        if self._front is not None and self._front.is_reading and now - self._began > PATIENCE:
            self.hand_over()

    def is_over(self, now: float) -> bool:
        """Whether a clock has run out."""
        guards = self._server.guards
        if self._stalled:
            return 0 < guards.unread < now - self._stalled
        if self._loads or self.is_answering:
            return False
        if self._request is not None:
            return 0 < guards.body < now - self._heard and self._owes_a_body()
        if self._began:
            return 0 < guards.head < now - self._began
        return 0 < guards.idle < now - self._waits

    def abort(self) -> None:
        self.transport.abort()

    def _owes_a_body(self) -> bool:
        """Bytes of it are missing, and it is not we who do not read them."""
        assert self._request is not None
        return not self._request.content.is_eof() and self.transport.is_reading()
