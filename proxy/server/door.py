"""The door between a listener and the codecs: who comes in, what is known of them, who serves them.

Everything between accept and the first byte of a protocol happens here, once for each connection
and never for a request: counting and limits, the peer, whose word counts, and the choice of the
codec. A PROXY header is read by a protocol of its own (`proxy_stage.py`), which then puts the next
one in its place (`transport.set_protocol`) with the peer that it has learnt. Where there is TLS,
the choice of the codec is made after the handshake (`tls_guest.py`), by what both ends agreed on;
the codecs know nothing of that, but for the scheme and the peer's identity.
"""

from __future__ import annotations

from typing import Any

from proxy.server.h1_client import ClientConnection
from proxy.server.h2_client import H2Connection
from proxy.server.house import Guest, House, Tell
from proxy.server.listener import Listener
from proxy.server.peer import Peer, peer_of
from proxy.server.proxy_stage import Entrance, ProxyStage
from proxy.server.tcp_client import StreamConnection
from proxy.server.tls_guest import TlsGuest
from proxy.server.tls_room import Room, introduce
from proxy.telemetry.tls import count_peer


class Door(Entrance):
    """One for each listener."""

    __slots__ = ("_house", "_listener", "tell")

    def __init__(self, house: House, listener: Listener, tell: Tell) -> None:
        self._house = house
        self._listener = listener
        self.tell = tell  # makes the story of a request

    def open(self) -> Any:
        """Who serves the next connection: all that a protocol does, but no heir of asyncio's."""
        if self._listener.proxied:
            return ProxyStage(self._house, self, self._listener)
        return self.behind(self)

    def behind(self, door: Entrance) -> Any:
        """The same once a PROXY header, if there must be one, has been read: `door` knows the peer
        that it told."""
        shown = self._listener.tls
        return self.codec(None, door) if shown is None else TlsGuest(self._house, door, shown)

    def codec(self, alpn: str | None, door: Any = None) -> Any:
        """Who speaks the protocol that was agreed on, None = nothing was said of one. `door`:
        what it knows of this door, if that is not the door itself."""
        if self._listener.address in self._house.snapshot.streams:
            return StreamConnection(self._house, door or self, self._listener)
        kind = H2Connection if alpn == "h2" else ClientConnection
        return kind(self._house, door or self)

    def welcome(self, guest: Guest, transport: Any) -> Peer | None:
        """Count a new connection; its peer, or None if it is one too many. Of a client that has
        enough of them it is closed at once."""
        peer = peer_of(transport)
        peer.listener = self._listener.name
        if not self._listener.proxied and not self.lets_in(peer):
            transport.abort()
            return peer
        if not self._house.admit(guest):
            self._house.clients.leave(peer)
            return None
        return peer

    def lets_in(self, peer: Peer) -> bool:
        """Whether its address may have one more connection; a proxy's are those of many clients."""
        house, listener = self._house, self._listener
        if not house.clients.counts or house.snapshot.forwarding.trusted(peer.address):
            return True
        reason = house.clients.enter(peer)
        if reason:
            name = listener.name or listener.address
            why = "too many connections" if reason == "connections" else "too many new connections"
            house.refuse(f"per_client_{reason}", f"listener {name}: {peer!r}: {why} of its address")
        return not reason

    def hand_over(self, guest: Any, data: bytes) -> None:
        """Its connection has turned out to speak HTTP/2; `data` is what came of it."""
        heir = H2Connection(self._house, self)
        self._house.succeed(guest, heir)
        guest.transport.set_protocol(heir)
        heir.take_over(guest.transport, guest.peer)
        heir.data_received(data)

    def enter(self, guest: TlsGuest, peer: Peer) -> Any:
        """The codec for a connection whose handshake is done."""
        self.meet(guest, peer)
        certified = guest.certified
        room = Room(self, peer, guest.shown, certified if guest.is_named else None)
        codec = self.codec(guest.tls.selected_alpn_protocol(), room)
        codec.scheme = "https"
        return codec

    def meet(self, guest: TlsGuest, peer: Peer) -> None:
        """Note who it is by the handshake."""
        certified = guest.certified
        by = certified.uri if certified is not None else ""
        introduce(peer, guest.tls, by, guest.shown.asks)
        if guest.shown.is_mesh:
            count_peer(self._house.recorder.registry, "inbound", peer.identity or "")

    def trust(self, peer: Peer) -> tuple[bool, bool]:
        """Whether its trace context counts, and whether its forwarding fields do."""
        forwarding = self._house.snapshot.forwarding
        return self._listener.trusted(peer.address), forwarding.trusted(peer.address)
