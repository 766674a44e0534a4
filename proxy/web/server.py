"""A small HTTP server that strangers cannot use up: aiohttp's protocol behind guards.

Each port has a limit of connections and all ports of a process together a share of its
descriptors, so that some are left for supervision. Where a limit is reached, whoever has waited
longest without asking anything makes room for who comes: an operator gets in while a thousand
silent connections hold the port. Clocks end what does not go on: a head, a body, an idle
connection, an answer that nobody reads. One timer for each server looks at them.

A `Front` may answer what it knows how to before aiohttp sees anything of it; the connection is
aiohttp's from the first request on that it does not know.

Knows nothing of what is asked or answered, but for where a request begins and ends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from proxy.web import crowd, ports
from proxy.web.connection import Connection, Front, Guards, Line
from proxy.web.requests import expectation

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _OurFault(logging.Filter):
    """Lets aiohttp complain of what we did wrong; what strangers do, they are told with a 4xx."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError)


log = logging.getLogger("spangate.web")
log.addFilter(_OurFault())


class GuardedServer:
    """One listening port; `options` are those of aiohttp's RequestHandler."""

    def __init__(
        self,
        handle: Handler,
        guards: Guards,
        front: Callable[[Line], Front] | None = None,
        **options: Any,
    ) -> None:
        self.guards = guards
        self._front = front
        self._handle = handle
        self._server = web.Server(
            self._serve, access_log=None, logger=log, keepalive_timeout=guards.idle, **options
        )
        self._connections: dict[Connection, None] = {}
        self._handlers: dict[object, Connection] = {}  # by aiohttp's protocol
        self._waiting: dict[Connection, None] = {}  # for a request; the longest first
        self._stalled: dict[Connection, None] = {}  # whose answer nobody reads; likewise
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
        # Before its handshake a connection of TLS is not seen here, so that has the head's clock.
        handshake = self.guards.head or None if tls is not None else None
        listen = partial(
            loop.create_server, ssl=tls, backlog=crowd.backlog(), ssl_handshake_timeout=handshake
        )
        if sock is not None:
            self._listener = await listen(self._connect, sock=sock)
        else:
            host, port = address or ("", 0)
            # "" and "::" are both families, as for the gateway's own listeners
            place = (host.strip(":") and host) or None
            shared = ports.share(place or "", port)
            self._listener = await listen(self._connect, place, port, reuse_port=shared)
            ports.prefer(self._listener.sockets)
        crowd.join(self)
        name = self._listener.sockets[0].getsockname()
        return int(name[1]) if isinstance(name, tuple) else 0  # a Unix socket has none

    def close(self) -> None:
        """Accept nothing more."""
        crowd.leave(self)
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def stop(self, grace: float) -> None:
        """Accept nothing more, let handlers end for `grace` seconds, then close everything."""
        self.close()
        await asyncio.sleep(0)  # requests that were read already have begun then
        self._server.pre_shutdown()
        await self._server.shutdown(max(grace, 0.001))  # to aiohttp, 0 is for ever
        for connection in [c for c in self._connections if c.inner is None]:
            connection.transport.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __len__(self) -> int:
        return len(self._connections)

    # connections

    def _connect(self) -> asyncio.Protocol:
        return Connection(self)

    def front(self, line: Line) -> Front | None:
        return self._front(line) if self._front is not None else None

    def handler(self, connection: Connection) -> web.RequestHandler:
        """aiohttp's protocol for it."""
        made = self._server()
        self._handlers[made] = connection
        return made

    def admit(self, connection: Connection) -> bool:
        """Take one more, if need be in the place of another; False if none gives way."""
        if len(self) >= self.guards.connections and not self.evict():
            return False
        if not crowd.has_room(self):
            return False
        self._connections[connection] = None
        self._waiting[connection] = None
        if self._timer is None:
            self._look_again()
        return True

    def release(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self._handlers.pop(connection.inner, None)
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

    def stall(self, connection: Connection, stalled: bool) -> None:
        """Its answer is not read, or is read again."""
        self._stalled.pop(connection, None)
        if stalled and connection in self._connections:
            self._stalled[connection] = None

    # requests

    def works(self, connection: Connection) -> None:
        """It does not wait for a request."""
        self._waiting.pop(connection, None)

    def waits(self, connection: Connection) -> None:
        """It does, from now on."""
        if connection in self._connections:
            self._waiting.pop(connection, None)
            self._waiting[connection] = None

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = self._handlers.get(request.protocol)
        if connection is None:  # it had to make room, and is closed already
            return web.Response(status=503)
        self.works(connection)
        connection.begin(request)
        try:
            return await self._answer(request)
        finally:
            connection.end()
            self.waits(connection)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if expectation(request) not in ("", "100-continue"):
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
        for connection in list(self._connections):
            connection.look(now)
            if connection.is_over(now):
                self.release(connection)
                connection.abort()
        if self._connections:
            self._look_again()
