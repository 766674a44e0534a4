"""The door between a listener and the codecs: who comes in, what is known of them, who serves them.

Everything between accept and the first byte of a protocol happens here, once for each connection
and never for a request: counting and limits, the peer, whose word counts, and the choice of the
codec. Today that choice is made before a byte is read. A PROXY header or a TLS hello is read by a
protocol of its own, which then puts the codec in its place (`transport.set_protocol`) with the
peer and scheme that it has learnt; the codecs know nothing of that.
"""

from __future__ import annotations

from typing import Any

from proxy.server.h1_client import ClientConnection
from proxy.server.h2_client import H2Connection
from proxy.server.house import Guest, House, Tell
from proxy.server.listener import Listener
from proxy.server.peer import Peer, peer_of


class Door:
    """One for each listener."""

    __slots__ = ("_house", "_listener", "tell")

    def __init__(self, house: House, listener: Listener, tell: Tell) -> None:
        self._house = house
        self._listener = listener
        self.tell = tell  # makes the story of a request

    def open(self) -> Any:
        """Who serves the next connection: all that a protocol does, but no heir of asyncio's."""
        return ClientConnection(self._house, self)

    def welcome(self, guest: Guest, transport: Any) -> Peer | None:
        """Count a new connection; its peer, or None if it is one too many."""
        return peer_of(transport) if self._house.admit(guest) else None

    def hand_over(self, guest: Guest, data: bytes) -> None:
        """Its connection has turned out to speak HTTP/2; `data` is what came of it."""
        heir = H2Connection(self._house, self)
        self._house.succeed(guest, heir)
        guest.transport.set_protocol(heir)
        heir.take_over(guest.transport, guest.peer)
        heir.data_received(data)

    def trust(self, peer: Peer) -> tuple[bool, bool]:
        """Whether its trace context counts, and whether its forwarding fields do."""
        forwarding = self._house.snapshot.forwarding
        return self._listener.trusted(peer.address), forwarding.trusted(peer.address)
