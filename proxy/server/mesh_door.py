"""The doors of a sidecar: one at which its application is called, one by which the application
calls others. Behind both the first bytes say who serves a connection (`mesh_stage.py`).
"""

from __future__ import annotations

from typing import Any

from proxy.config.mesh_names import OUTBOUND
from proxy.http.target import Authorities
from proxy.server.door import Door
from proxy.server.h1_client import ClientConnection
from proxy.server.h2_client import H2Connection
from proxy.server.house import Guest, House
from proxy.server.listener import Listener
from proxy.server.mesh_secure import Secure
from proxy.server.mesh_sidecar import Sidecar
from proxy.server.mesh_stage import Stage
from proxy.server.mesh_story import tell as tell_outward
from proxy.server.peer import Peer
from proxy.server.proxy_stage import Entrance
from proxy.server.serve import tell
from proxy.server.tls_guest import TlsGuest


class MeshDoor(Door):
    """One for each listener of the sidecar's. An application may have been told that its sidecar
    is its proxy (`http_proxy`), and sends what RFC 9112 §3.2.2 has for one; nobody stands before
    it who could have gone by another Host."""

    __slots__ = ("_sidecar", "authorities", "side")

    def __init__(self, house: House, listener: Listener, sidecar: Sidecar, side: str) -> None:
        super().__init__(house, listener, tell_outward if side == OUTBOUND else tell)
        self._sidecar = sidecar
        self.side = side
        self.authorities = Authorities(as_proxy=True) if side == OUTBOUND else house.authorities

    def open(self) -> Any:
        return Stage(self._house, self, self._listener, self._sidecar)

    def codec(self, alpn: str | None, door: Any = None) -> Any:
        kind: Any = H2Connection if alpn == "h2" else None
        if kind is None:
            return super().codec(alpn, door)
        return kind(self._house, door or self)

    def trust(self, peer: Peer) -> tuple[bool, bool]:
        """Whoever gets here is of the mesh: its trace goes on, and so does what it says of those
        before it."""
        trusted = self._listener.trusted(peer.address)
        return trusted, trusted

    def lend(self, stage: Stage, for_bytes: bool = False) -> Passed:
        """The door for what follows on a stage; `for_bytes`: behind TLS there are no requests."""
        return Passed(self._house, self, stage, for_bytes)

    def listen(self, guest: TlsGuest, peer: Peer) -> Any:
        """Who serves a connection of a sidecar's that will send bytes."""
        self.meet(guest, peer)
        return Secure(self._house, self, self._listener, self._sidecar, peer)


class Passed(Entrance):
    """The door for a connection whose first bytes were seen: it is counted already."""

    __slots__ = ("_door", "_for_bytes", "_house", "_stage", "tell")

    def __init__(self, house: House, door: MeshDoor, stage: Stage, for_bytes: bool) -> None:
        self._house = house
        self._door = door
        self._stage = stage
        self._for_bytes = for_bytes
        self.tell = door.tell

    def welcome(self, guest: Guest, transport: Any) -> Peer | None:
        stage: Any = self._stage
        self._house.succeed(stage, guest)
        if isinstance(guest, ClientConnection):
            guest.authorities = self._door.authorities
        return self._stage.peer

    def lets_in(self, peer: Peer) -> bool:
        return True

    def behind(self, door: Any) -> Any:
        return self._door.codec(None, door)

    def trust(self, peer: Peer) -> tuple[bool, bool]:
        return self._door.trust(peer)

    def enter(self, guest: TlsGuest, peer: Peer) -> Any:
        enter = self._door.listen if self._for_bytes else self._door.enter
        return enter(guest, peer)

    def hand_over(self, guest: Any, data: bytes) -> None:
        """HTTP/2, by its preface."""
        heir: Any = H2Connection(self._house, self)
        self._house.succeed(guest, heir)
        guest.transport.set_protocol(heir)
        heir.take_over(guest.transport, guest.peer)
        heir.data_received(data)
