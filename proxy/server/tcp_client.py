"""A client's connection whose bytes are passed on as they are: of a `tcp` or `tls` listener.

It is a connection of HTTP/1.1 that is a tunnel from its first byte (`h1_client.py`), so that
back-pressure, half-closes, draining and deadlines are the same. Where server names choose the
upstream, the first bytes are held until the ClientHello in them is whole, which has a time and a
size; it goes on to the upstream like all that follows, and nothing is decrypted.
"""

from __future__ import annotations

import asyncio

from proxy.http.client_hello import Incomplete, NotTls, server_name_of
from proxy.kernel.clock import monotonic_ns
from proxy.server.h1_client import ClientConnection
from proxy.server.h1_client_states import TUNNEL
from proxy.server.h1_goodbye import WRITE_HIGH, reset
from proxy.server.house import Door, House
from proxy.server.listener import Listener
from proxy.server.peer import NOBODY
from proxy.server.sides import StoryEvents
from proxy.server.tap import Tap
from proxy.server.tcp import Found, tell
from proxy.server.tcp_routes import StreamRoutes

_WORDS = {
    "address": "its address may not come in",
    "no_identity": "nobody may come in without an identity",
}


class StreamConnection(ClientConnection):
    """One of them. What it refuses has no span: it is counted and logged by its reason."""

    __slots__ = ("_found", "_listener", "_routes")

    def __init__(self, house: House, door: Door, listener: Listener) -> None:
        super().__init__(house, door)
        self._listener = listener
        self._routes: StreamRoutes | None = None
        self._found: Found | None = None  # of a sidecar's
        self._close = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._tap = Tap(transport)
        self._since = monotonic_ns()
        self._state = TUNNEL
        self.transport.set_write_buffer_limits(high=WRITE_HIGH)
        peer = self._door.welcome(self, transport)
        self.peer = peer or NOBODY
        self.judge()
        self._routes = self._house.snapshot.streams.get(self._listener.address)
        if peer is None:
            self._turn_away("too_many", "there are too many connections")
        elif self._routes is None or self.transport.is_closing():
            self.transport.abort()  # what it listens for has just changed
        elif self._routes.protocol == "tcp":
            self._choose(self._routes, "")

    def data_received(self, data: bytes) -> None:
        story = self._story
        if story is not None:
            story.on_body(data, False)
        elif self._routes is not None and not self.transport.is_closing():
            self._buffer += data
            self._read_hello(self._routes)

    def _read_hello(self, routes: StreamRoutes) -> None:
        try:
            name = server_name_of(self._buffer)
        except Incomplete:
            return
        except NotTls as error:
            self._turn_away("not_tls", str(error))
            return
        self._choose(routes, name or "")

    def _choose(self, routes: StreamRoutes, name: str) -> None:
        """Begin the story, with what has come until now."""
        entry = routes.find(name)
        if entry is None:
            why = f"no route takes the server name {name!r}" if name else "it names no server"
            self._turn_away("no_route" if name else "no_server_name", why)
            return
        if entry.access is not None and (
            why := entry.access.refuses(self._house, entry, self.peer)
        ):
            self._turn_away(why, _WORDS.get(why, "its identity may not come in"))
            return
        story: StoryEvents = tell(self._house, self, routes, entry, name, self._found)
        self._story = story
        held, self._buffer = self._buffer, b""
        story.begin()
        if held:
            story.on_body(held, False)

    def break_off(self) -> None:
        """Its server has: what came before goes first, if the client takes it."""
        self.push()
        if not self.transport.get_write_buffer_size():
            reset(self.transport)

    def _turn_away(self, reason: str, why: str) -> None:
        protocol = self._routes.protocol if self._routes is not None else "tcp"
        name = self._listener.name or self._listener.address
        self._house.refuse(f"{protocol}_{reason}", f"listener {name}: {self.peer!r}: {why}")
        self.transport.abort()

    def eof_received(self) -> bool:
        return super().eof_received() if self._story is not None else False

    def tick(self, now: int) -> None:
        if self._story is None and self._state == TUNNEL and not self.transport.is_closing():
            limit = self._house.snapshot.limits.header_timeout * 1e9
            if now - self._since > limit > 0:
                self._turn_away("timeout", "its ClientHello did not come in time")
            return
        super().tick(now)
