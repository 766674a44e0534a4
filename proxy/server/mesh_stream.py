"""A connection whose bytes a sidecar passes on: it is known already where they go."""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.http.client_hello import Incomplete, NotTls, client_hello
from proxy.kernel.clock import monotonic_ns
from proxy.server.h1_client_states import TUNNEL
from proxy.server.h1_goodbye import WRITE_HIGH, reset
from proxy.server.house import Door, House
from proxy.server.listener import Listener
from proxy.server.mesh_away import is_ours
from proxy.server.mesh_first import First
from proxy.server.peer import NOBODY
from proxy.server.tap import Tap
from proxy.server.tcp import Found
from proxy.server.tcp_client import StreamConnection
from proxy.server.tcp_upstream import was_cut


class MeshStream(StreamConnection):
    """One of them."""

    __slots__ = ("_doubts", "_heard", "_name")

    def __init__(
        self, house: House, door: Any, listener: Listener, name: str, found: Found
    ) -> None:
        entered: Door = door
        super().__init__(house, entered, listener)
        self._name = name  # that a ClientHello asked for
        self._found: Found = found
        self._doubts: First | None = None  # whether the client, silent until now, is a sidecar
        self._heard = b""  # of it meanwhile

    def doubt(self, first: First) -> None:
        """Its client has not said a word yet: what it says may be a ClientHello that is late."""
        self._doubts = first

    def data_received(self, data: bytes) -> None:
        if self._doubts is not None and self._is_late(self._doubts, data):
            return
        story = self._story
        if story is not None:
            story.on_body(data, False)

    def _is_late(self, first: First, data: bytes) -> bool:
        """Whether that is a sidecar; then this connection is lost, as it was spoken to in plain
        text, and the next one is waited for."""
        self._heard += data
        try:
            name = client_hello(self._heard).server_name or ""
        except Incomplete:
            return False
        except NotTls:
            name = ""
        self._doubts, self._heard = None, b""
        if not is_ours(name):
            return False
        first.note_late(self.peer.address, monotonic_ns())
        why = "its ClientHello came after mesh.detect; the next ones of its address are waited for"
        self._house.refuse("mesh_late", f"listener {self._listener.name}: {self.peer!r}: {why}")
        reset(self.transport)
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._tap = Tap(transport)
        self._since = monotonic_ns()
        self._state = TUNNEL
        self.transport.set_write_buffer_limits(high=WRITE_HIGH)
        self.peer = self._door.welcome(self, transport) or NOBODY
        self.judge()
        self._routes = routes = self._house.snapshot.streams.get(self._found.side)
        if routes is None:
            self._turn_away("no_route", "this is no sidecar any more")
        else:
            self._choose(routes, self._name)
        upstream = self._found.upstream
        if self._story is None and upstream is not None:
            upstream.drop()  # nobody will carry it

    def eof_received(self) -> bool:
        return not was_cut(self.transport) and super().eof_received()

    def abort(self) -> None:
        tls = self.transport.get_extra_info("tls")
        if tls is not None:  # a sidecar, which tells its client no end that was none
            self.push()
            tls.say_no_goodbye()
        super().abort()
