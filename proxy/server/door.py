"""The door between a listener and the codecs: who comes in, what is known of them, who serves them.

Everything between accept and the first byte of a protocol happens here, once for each connection
and never for a request: counting and limits, the peer, whose word counts, and the choice of the
codec. A PROXY header is read by a protocol of its own (`proxy_stage.py`), which then puts the next
one in its place (`transport.set_protocol`) with the peer that it has learnt; a TLS hello is read
behind it. The codecs know nothing of that.
"""

from __future__ import annotations

from typing import Any

from proxy.server.h1_client import ClientConnection
from proxy.server.house import Door as Entry
from proxy.server.house import Guest, House, Tell
from proxy.server.listener import Listener
from proxy.server.peer import Peer, peer_of
from proxy.server.proxy_stage import ProxyStage
from proxy.server.tcp_client import StreamConnection


class Door:
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

    def behind(self, door: Entry) -> Any:
        """The same once a PROXY header, if there must be one, has been read: `door` knows the peer
        that it told."""
        if self._listener.address in self._house.snapshot.streams:
            return StreamConnection(self._house, door, self._listener)
        return ClientConnection(self._house, door)

    def welcome(self, guest: Guest, transport: Any) -> Peer | None:
        """Count a new connection; its peer, or None if it is one too many."""
        if not self._house.admit(guest):
            return None
        peer = peer_of(transport)
        peer.listener = self._listener.name
        return peer

    def trust(self, peer: Peer) -> tuple[bool, bool]:
        """Whether its trace context counts, and whether its forwarding fields do."""
        forwarding = self._house.snapshot.forwarding
        return self._listener.trusted(peer.address), forwarding.trusted(peer.address)
