"""A small HTTP server that strangers cannot use up: aiohttp's protocol behind guards.

Each port has a limit of connections and all ports of a process together a share of its
descriptors, so that some are left for supervision. Where a limit is reached, whoever has waited
longest without asking anything makes room for who comes: an operator gets in while a thousand
silent connections hold the port. Clocks end what does not go on: a head, a body, an idle
connection, an answer that nobody reads. One timer for each server looks at them.

A `Front` may answer what it knows how to before aiohttp sees anything of it; the connection is
aiohttp's from the first request on that it does not know. Until there is such a request aiohttp
need not be loaded: a handler that is made `Later` is made then, in a thread.

Knows nothing of what is asked or answered, but for where a request begins and ends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.tasks import cancel, spawn
from proxy.web import crowd, ports
from proxy.web.connection import Connection, Front, Guards, Line

if TYPE_CHECKING:
    from aiohttp import web

    from proxy.web.inner import Handler

log = logging.getLogger("spangate")

_LOOK = 0.01  # seconds between two looks whether a front has answered


class Later(NamedTuple):
    """How to make a handler, when one is needed."""

    make: Callable[[], Handler]


class GuardedServer:
    """One listening port; `options` are those of aiohttp's RequestHandler."""

    def __init__(
        self,
        handle: Handler | Later,
        guards: Guards,
        front: Callable[[Line], Front] | None = None,
        **options: Any,
    ) -> None:
        self.guards = guards
        self._front = front
        self._options = options
        self._later = handle if isinstance(handle, Later) else None
        self._handle: Handler | None = None
        self._server: web.Server | None = None  # aiohttp's
        self._loading: asyncio.Task[None] | None = None
        self._asking: list[Connection] = []  # for which aiohttp is loaded now
        if not isinstance(handle, Later):
            self._have(handle)
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
        await cancel(self._loading)
        end = monotonic() + grace
        while any(c.is_answering for c in self._connections) and monotonic() < end:
            await asyncio.sleep(_LOOK)
        if self._server is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(max(end - monotonic(), 0.001))  # to aiohttp, 0 is for ever
        for connection in [*self._connections]:
            if connection.is_answering or connection.is_stalled:  # its client may never read on
                connection.abort()
            elif connection.inner is None:
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

    def handler(self, connection: Connection) -> web.RequestHandler | None:
        """aiohttp's protocol for it; None = not yet, and it is asked again when there is one."""
        if self._server is None:
            self._load_for(connection)
            return None
        made = self._server()
        self._handlers[made] = connection
        return made

    def _have(self, handle: Handler) -> None:
        from proxy.web import inner

        self._handle = handle
        self._server = inner.make(self._serve, self.guards.idle, **self._options)

    def _load_for(self, connection: Connection) -> None:
        self._asking.append(connection)
        if self._loading is None:
            self._loading = spawn(self._load(), "load what answers at a port")

    async def _load(self) -> None:
        assert self._later is not None
        try:
            self._have(await asyncio.to_thread(self._later.make))
        finally:
            self._loading = None
            asking, self._asking = self._asking, []
            for connection in asking:
                try:
                    connection.loaded(self._server is not None)
                except Exception:  # of one front, and the others have waited as well
                    log.exception("a connection could not go on", extra={"key": "port.bug"})
                    connection.abort()

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
        from proxy.web import inner

        connection = self._handlers.get(request.protocol)
        if connection is None or self._handle is None:  # it had to make room
            return inner.away()
        self.works(connection)
        connection.begin(request)
        try:
            return await inner.answer(request, self._handle)
        finally:
            connection.end()
            self.waits(connection)

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
