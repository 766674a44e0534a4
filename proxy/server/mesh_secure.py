"""A connection that another sidecar has secured, and by which it sends bytes that are no requests.

The application is dialled at once, as it may be the one who speaks first, and both are listened to.
Until one of them speaks nothing is judged, told or counted: the sidecar at the other end dials
whenever its client is silent, and goes away without a word if the client turns out to have
requests. That is what a Stage does; what differs is that nobody looks at the bytes.
"""

from __future__ import annotations

from typing import Any

from proxy.kernel.clock import monotonic_ns
from proxy.server.house import House
from proxy.server.listener import Listener
from proxy.server.mesh_first import LONGEST
from proxy.server.mesh_stage import Stage
from proxy.server.peer import Peer

MESH_BYTES = "mesh_bytes"  # how it was judged: the other end has said so


class Secure(Stage):
    """One of them, behind its handshake."""

    __slots__ = ()

    def __init__(
        self, house: House, door: Any, listener: Listener, sidecar: Any, peer: Peer
    ) -> None:
        super().__init__(house, door, listener, sidecar)
        self._peer = peer

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._since = now = monotonic_ns()
        place = self._place = self._sidecar.inward(self._peer, now)
        if place is None or self._sidecar.is_opaque(place) or not self._is_known():
            self._pass_bytes(MESH_BYTES)
            return
        if self._sidecar.first.is_server(place, now):
            self._pass_bytes(MESH_BYTES)
        else:
            self._ask(place, now)

    def data_received(self, data: bytes) -> None:
        if not self._over:
            self._first = data
            self._pass_bytes(MESH_BYTES)

    def _pass_bytes(self, how: str, name: str = "") -> None:
        super()._pass_bytes(MESH_BYTES, name)

    def _longest(self, now: int) -> float:
        return LONGEST if self._upstream is None else super()._longest(now)
