"""What a worker knows as a sidecar: whose, where things go, and what was learnt on the way.

It lives as long as the worker; a reload gives it another `[mesh]`.
"""

from __future__ import annotations

from typing import Any

from proxy.config.mesh_expand import app_of, is_secure
from proxy.config.mesh_model import Mesh
from proxy.config.mesh_names import APP, AWAY, BYTES, BYTES_SNI, INBOUND, OUTBOUND
from proxy.config.mesh_peers import has, is_address, parsed
from proxy.config.model import Config
from proxy.config.syntax import is_unix, parse_address
from proxy.http.client_hello import ClientHello
from proxy.http.target import without_port
from proxy.kernel.clock import monotonic_ns
from proxy.server.mesh_away import choosers, is_ours
from proxy.server.mesh_first import First
from proxy.server.mesh_places import Here, Place, original
from proxy.server.peer import Peer
from proxy.upstream.endpoint import Endpoint

MOST_JUDGED = 4096  # places with their hosts of which it is remembered whether a sidecar is there


class Sidecar:
    """One for each worker."""

    __slots__ = (
        "_app", "_choosers", "_has_peers", "_is_tproxy", "_judged", "_opaque", "_own", "_peers",
        "first", "here", "house", "is_strict", "mesh", "secure", "sides",
    )  # fmt: skip

    def __init__(self, house: Any) -> None:
        self.house = house
        self.first = First()
        self.here = Here()
        self._own: set[int] = set()  # ports of this gateway
        self._choosers = choosers(self)
        self.follow(Config(mesh=Mesh()))

    def follow(self, config: Config) -> None:
        """Go by that configuration from now on."""
        assert config.mesh is not None
        self.mesh = mesh = config.mesh
        self.sides = {
            x.address: x.name for x in config.listen if x.name in (INBOUND, OUTBOUND)
        }  # by address
        self.secure = is_secure(mesh)
        self.is_strict = self.secure and mesh.mtls == "strict"
        self._app = app_of(mesh)
        self._is_tproxy = mesh.redirect == "tproxy"
        self._opaque = frozenset(mesh.opaque)
        self._peers = parsed(mesh)
        self._has_peers = self.secure and bool(mesh.peers)
        self._judged: dict[tuple[str, str], bool] = {}
        if config.admin.listen and not is_unix(config.admin.listen):
            self._own.add(parse_address(config.admin.listen)[1])
        for name, chooser in self._choosers.items():
            state = self.house.upstreams.get(name)
            if state is not None:
                state.chooser = chooser

    def listens(self, port: int) -> None:
        """That port is this gateway's own."""
        self._own.add(port)

    # places

    def introduce(self, peer: Peer, transport: Any, side: str, port: int) -> None:
        """Note where a new connection was meant to go, if it was turned here; `port`: where it
        came in."""
        redirect = self.mesh.redirect
        if (redirect == "tproxy" and side == OUTBOUND) or (redirect == "ebpf" and side == INBOUND):
            redirect = "nft"  # these are turned by NAT there too, if at all
        place = original(transport, redirect)
        if place is not None and place[1] == port:
            # Whoever calls this machine so has called us; on another one that port is anybody's.
            is_us = side == INBOUND or self.here.has(place[0], monotonic_ns())
            place = None if is_us else place
        peer.local = place

    def place_of(self, peer: Peer, side: str, now: int) -> Place | None:
        """Where its bytes would go, None = that is not known yet, or nowhere."""
        return self.inward(peer, now) if side == INBOUND else peer.local

    def inward(self, peer: Peer, now: int) -> Place | None:
        """Where the application is for this connection; None: what was called is not here. A
        sidecar that called others for its clients would be an open relay."""
        called, app = peer.local, self._app
        port = app[1]
        if called is None or (port and called[1] == port):
            return app if port else None
        return called if self.here.has(called[0], now) and called[1] not in self._own else None

    def is_own(self, place: Place, now: int) -> bool:
        """Whether somebody who goes there comes back here. Of a name nobody knows where it leads,
        so that none of them leads to a port that is listened on here."""
        host, port = place
        return port in self._own and (not is_address(host) or self.here.has(host, now))

    def is_opaque(self, place: Place) -> bool:
        """Whether its bytes are not looked at."""
        return place[1] in self._opaque

    def source(self, peer: Peer, place: Place) -> str:
        """The address from which the application is called for that client: with TPROXY it sees
        who calls it, if both are of one family. "" = this machine's own."""
        if not self._is_tproxy or (":" in peer.address) != (":" in place[0]):
            return ""
        return "" if self.here.has(peer.address, monotonic_ns()) else peer.address

    def bytes_at(self, place: Place, side: str, peer: Peer) -> Endpoint | None:
        """Who is asked for bytes there; None where nobody may be."""
        if side == OUTBOUND and self.is_own(place, monotonic_ns()):
            return None
        inbound = side == INBOUND
        name = (APP if inbound else AWAY) + BYTES
        source = self.source(peer, place) if inbound else ""
        try:
            return self._choosers[name].at(place, source)
        except ValueError:
            return None

    def is_for_us(self, hello: ClientHello) -> bool:
        """Whether a sidecar of the mesh has begun that handshake."""
        return hello.server_name is not None and is_ours(hello.server_name)

    def is_for_bytes(self, hello: ClientHello) -> bool:
        """Whether it has, and will send bytes that are no requests."""
        return hello.server_name is not None and hello.server_name.startswith(BYTES_SNI)

    def goes_by_name(self, name: str) -> bool:
        """Whether bytes that ask for that name may be sent in another way than those without."""
        return self._has_peers and (is_ours(name) or self._is_peer("", name))

    def is_peer(self, place: Place, authority: str) -> bool:
        """Whether a sidecar of the mesh is there, which is called with mTLS."""
        if not self._has_peers:
            return False
        key = (place[0], authority)
        found = self._judged.get(key)
        if found is None:
            if len(self._judged) >= MOST_JUDGED:
                self._judged.clear()
            found = self._judged[key] = self._is_peer(place[0], authority)
        return found

    def _is_peer(self, address: str, authority: str) -> bool:
        return has(self._peers, address, without_port(authority).lower())
