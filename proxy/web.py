"""A small HTTP server that strangers cannot use up: aiohttp's protocol behind guards.

Each port has a limit of connections and all ports of a process together a share of its
descriptors, so that some are left for supervision. Where a limit is reached, whoever has waited
longest without asking anything makes room for who comes: an operator gets in while a thousand
silent connections hold the port. Clocks end what does not go on: a head, a body, an idle
connection, an answer that nobody reads. One timer for each server looks at them.

Knows nothing of what is asked or answered, but for where a request begins and ends.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

SHARE = 0.5  # of the process's descriptors, for the connections of all guarded servers
BACKLOG = 1024  # what the kernel accepts for us, at most and
BACKLOG_SHARE = 0.125  # of the descriptors, since all of it may become some in one turn


@dataclass(frozen=True, slots=True)
class Guards:
    """Connections, and seconds; 0 = no clock."""

    connections: int = 1024
    head: float = 10.0  # for the whole of it (nginx client_header_timeout: 60, Envoy: none)
    body: float = 30.0  # without a byte of it
    idle: float = 75.0  # between two requests (nginx keepalive_timeout: 75)
    unread: float = 30.0  # in which nothing of an answer could be sent on


class _OurFault(logging.Filter):
    """Lets aiohttp complain of what we did wrong; what strangers do, they are told with a 4xx."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError)


log = logging.getLogger("spangate.web")
log.addFilter(_OurFault())


class GuardedServer:
    """One listening port; `options` are those of aiohttp's RequestHandler."""

    def __init__(self, handle: Handler, guards: Guards, **options: Any) -> None:
        self.guards = guards
        self._handle = handle
        self._server = web.Server(
            self._serve, access_log=None, logger=log, keepalive_timeout=guards.idle, **options
        )
        self._connections: dict[object, _Connection] = {}  # by aiohttp's protocol
        self._waiting: dict[_Connection, None] = {}  # for a request; the longest first
        self._stalled: dict[_Connection, None] = {}  # whose answer nobody reads; likewise
        self._listener: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(
        self,
        sock: socket.socket | None = None,
        address: tuple[str, int] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> int:
        """Listen on a socket that is bound, or on (host, port); returns the port.

        Raises OSError when the address cannot be had.
        """
        loop = asyncio.get_running_loop()
        backlog = min(BACKLOG, _descriptors(BACKLOG_SHARE))
        # Before its handshake a connection of TLS is not seen here, so that has the head's clock.
        handshake = self.guards.head or None if tls is not None else None
        listen = partial(
            loop.create_server, ssl=tls, backlog=backlog, ssl_handshake_timeout=handshake
        )
        if sock is not None:
            self._listener = await listen(self._connect, sock=sock)
        else:
            host, port = address or ("", 0)
            # "" and "::" are both families, as for the gateway's own listeners
            self._listener = await listen(self._connect, (host.strip(":") and host) or None, port)
        _servers.add(self)
        return int(self._listener.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Accept nothing more."""
        _servers.discard(self)
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def stop(self, grace: float) -> None:
        """Accept nothing more, let handlers end for `grace` seconds, then close everything."""
        self.close()
        await asyncio.sleep(0)  # requests that were read already have begun then
        self._server.pre_shutdown()
        await self._server.shutdown(max(grace, 0.001))  # to aiohttp, 0 is for ever
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __len__(self) -> int:
        return len(self._connections)

    # connections

    def _connect(self) -> asyncio.Protocol:
        return _Connection(self, self._server())

    def admit(self, connection: _Connection) -> bool:
        """Take one more, if need be in the place of another; False if none gives way."""
        if len(self) >= self.guards.connections and not self.evict():
            return False
        if sum(map(len, _servers)) >= _descriptors(SHARE) and not _evict_anywhere(self):
            return False
        self._connections[connection.inner] = connection
        self._waiting[connection] = None
        if self._timer is None:
            self._look_again()
        return True

    def release(self, connection: _Connection) -> None:
        self._connections.pop(connection.inner, None)
        self._waiting.pop(connection, None)
        self._stalled.pop(connection, None)

    def evict(self) -> bool:
        """Close who has waited longest; False if all of them are at work."""
        victim = next(iter(self._waiting), None) or next(iter(self._stalled), None)
        if victim is None:
            return False
        self.release(victim)
        victim.abort()
        return True

    def stall(self, connection: _Connection, stalled: bool) -> None:
        """Its answer is not read, or is read again."""
        self._stalled.pop(connection, None)
        if stalled and connection.inner in self._connections:
            self._stalled[connection] = None

    # requests

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = self._connections.get(request.protocol)
        if connection is None:  # it had to make room, and is closed already
            return web.Response(status=503)
        self._waiting.pop(connection, None)
        connection.begin(request)
        try:
            return await self._answer(request)
        finally:
            connection.end()
            if request.protocol in self._connections:
                self._waiting[connection] = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if _expectation(request) not in ("", "100-continue"):
            response: web.StreamResponse = web.Response(status=417, text="417 Expectation Failed\n")
        else:
            response = await self._handle(request)
        if not request.content.is_eof() and not response.prepared:
            response.force_close()  # the rest of the body is not worth reading, or never comes
        return response

    # clocks

    def _look_again(self) -> None:
        guards = self.guards
        clocks = [c for c in (guards.head, guards.body, guards.idle, guards.unread) if c]
        every = min(1.0, *(clock / 4 for clock in clocks)) if clocks else 1.0
        self._timer = asyncio.get_running_loop().call_later(every, self._look)

    def _look(self) -> None:
        self._timer = None
        now = monotonic()
        for connection in [c for c in self._connections.values() if c.is_over(now)]:
            self.release(connection)
            connection.abort()
        if self._connections:
            self._look_again()


class _Connection(asyncio.Protocol):
    """What goes on at one connection; everything is passed on to aiohttp's protocol, `inner`.

    Times are monotonic seconds, 0 = it is not so now.
    """

    __slots__ = (
        "_began",
        "_heard",
        "_is_admitted",
        "_request",
        "_server",
        "_stalled",
        "_transport",
        "_waits",
        "inner",
    )

    def __init__(self, server: GuardedServer, inner: web.RequestHandler) -> None:
        self.inner = inner
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._is_admitted = False
        self._request: web.BaseRequest | None = None
        self._waits = 0.0  # since when for a request
        self._began = 0.0  # when the head began to come; a new connection owes one at once
        self._heard = 0.0  # when the last byte came
        self._stalled = 0.0  # since when nothing could be written

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._waits = self._began = self._heard = monotonic()
        self._is_admitted = self._server.admit(self)
        if self._is_admitted:
            self.inner.connection_made(transport)
        else:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.release(self)
        if self._is_admitted:
            self.inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard = monotonic()
        if not self._began:
            self._began = self._heard
        self.inner.data_received(data)

    def eof_received(self) -> None:
        self.inner.eof_received()

    def pause_writing(self) -> None:
        self._stalled = monotonic()
        self._server.stall(self, True)
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self._stalled = 0.0
        self._server.stall(self, False)
        self.inner.resume_writing()

    def begin(self, request: web.BaseRequest) -> None:
        self._request = request
        self._heard = monotonic()

    def end(self) -> None:
        self._request = None
        self._began = 0.0
        self._waits = monotonic()

    def is_over(self, now: float) -> bool:
        """Whether a clock has run out."""
        guards = self._server.guards
        if self._stalled:
            return 0 < guards.unread < now - self._stalled
        if self._request is not None:
            return 0 < guards.body < now - self._heard and self._owes_a_body()
        if self._began:
            return 0 < guards.head < now - self._began
        return 0 < guards.idle < now - self._waits

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _owes_a_body(self) -> bool:
        """Bytes of it are missing, and it is not we who do not read them."""
        assert self._request is not None
        assert self._transport is not None
        return not self._request.content.is_eof() and self._transport.is_reading()


def reader(request: web.BaseRequest) -> Callable[[], Awaitable[bytes]]:
    """What gives a body's bytes as they come, b"" at its end.

    A client that waits for leave to send it (RFC 9110 §10.1.1) gets that when it is asked for.
    """
    waits = _expectation(request) and not request.content.total_bytes

    async def more() -> bytes:
        nonlocal waits
        if waits and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        waits = False
        return await request.content.readany()

    return more if waits else request.content.readany


def coding(request: web.BaseRequest) -> str:
    """Of all lines of Content-Encoding, in lower case."""
    return ", ".join(request.headers.getall("Content-Encoding", ())).strip().lower()


def _expectation(request: web.BaseRequest) -> str:
    """In lower case; HTTP/1.0 has none."""
    return request.headers.get("Expect", "").strip().lower() if request.version[1] else ""


_servers: set[GuardedServer] = set()  # that listen, in this process


def _descriptors(share: float) -> int:
    """So much of what the process may open."""
    return max(1, int(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * share))


def _evict_anywhere(first: GuardedServer) -> bool:
    """Make room in this server or the fullest other one."""
    others = sorted(_servers - {first}, key=len, reverse=True)
    fullest = [*others, first] if others and len(others[0]) > len(first) else [first, *others]
    return any(server.evict() for server in fullest)
