"""The first bytes of a connection on a listener with `proxy_protocol`: who it is made for.

The header comes before TLS and HTTP, complete within its bounds and within five seconds, and only
from peers that the listener trusts; whoever does otherwise is closed without an answer, since
nobody knows what it speaks. Then the next protocol takes the connection over, with the peer that
the header has told: that one's word counts or does not count, as if it had connected itself.
"""

from __future__ import annotations

from typing import Any

from proxy.errors import ClientError
from proxy.http.proxy_header import ProxyHeader, ProxyHeaderError, ProxyHeaderReader
from proxy.kernel.clock import monotonic_ns
from proxy.server.house import Guest, House, Tell
from proxy.server.listener import Listener
from proxy.server.peer import NOBODY, Peer
from proxy.server.tls_guest import Reception, TlsGuest

TIMEOUT = 5_000_000_000  # ns for the whole header
UNIQUE_ID = "spangate.proxy_protocol.unique_id"  # on the SERVER spans of such a connection


class Entrance(Reception):
    """What a connection goes by at the door (`door.py`), before and behind this stage."""

    __slots__ = ()

    tell: Tell  # makes the story of a request

    def lets_in(self, peer: Peer) -> bool:
        """Whether its address may have one more connection."""
        raise NotImplementedError

    def behind(self, door: Entrance) -> Any:
        """Who serves a connection that has passed: TLS or a codec; `door` is what it goes by."""
        raise NotImplementedError

    def trust(self, peer: Peer) -> tuple[bool, bool]:
        """Whether its trace context counts, and whether its forwarding fields do."""
        raise NotImplementedError


class ProxyStage:
    """One connection until its header is read."""

    __slots__ = (
        "_door", "_house", "_listener", "_over", "_peer", "_reader", "_since", "filed", "transport",
        "watched",
    )  # fmt: skip

    def __init__(self, house: House, door: Entrance, listener: Listener) -> None:
        self._house = house
        self._door = door
        self._listener = listener
        self._reader = ProxyHeaderReader()
        self._peer = NOBODY  # the socket's
        self._since = 0
        self._over = False
        self.watched = self.filed = False  # the sweep's
        self.transport: Any = None

    # asyncio's protocol

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._since = monotonic_ns()
        peer = self._door.welcome(self, transport)
        if peer is None:
            self._house.count_refused(ClientError(503, "too many connections", close=True))
            self._end()
            return
        self._peer = peer
        if not self._listener.trusted(peer.address):
            self._refuse("untrusted", "its peers are not trusted with a PROXY header")

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        try:
            header = self._reader.feed(data)
        except ProxyHeaderError as error:
            self._refuse(error.reason, str(error))
            return
        if header is not None:
            self._pass(header)

    def eof_received(self) -> bool:
        return False  # closed; whoever only looks whether somebody listens is no fault

    def connection_lost(self, error: Exception | None) -> None:
        self._over = True
        self._house.release(self)

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass

    # the house's guest

    def tick(self, now: int) -> None:
        if self._over:
            return
        if now - self._since > TIMEOUT:
            self._refuse("timeout", "the PROXY header did not come within 5 s")
        elif self._house.is_closing_idle(now - self._since):
            self._end()

    def idle_since(self) -> int:
        return -1 if self._over else 0

    def judge(self) -> None:
        pass

    def close_after(self) -> None:
        pass  # it may have asked already, behind its header

    def retire(self) -> None:
        pass  # its codec is not here yet

    def cut(self) -> None:
        self._end()

    def _pass(self, header: ProxyHeader) -> None:
        """Put the next protocol in this one's place."""
        self._over = True
        codec = self._door.behind(_Passed(self._house, self._door, self, _learnt(header, self)))
        self.transport.set_protocol(codec)
        codec.connection_made(self.transport)
        if self._reader.rest and not self.transport.is_closing():
            codec.data_received(self._reader.rest)

    def _refuse(self, reason: str, why: str) -> None:
        name = self._listener.name or self._listener.address
        self._house.refuse(f"proxy_header_{reason}", f"listener {name}: {self._peer!r}: {why}")
        self._end()

    def _end(self) -> None:
        self._over = True
        self.transport.abort()

    @property
    def peer(self) -> Peer:
        """Who is really connected: the load balancer."""
        return self._peer


class _Passed(Entrance):
    """The door for what is behind: it is counted already, and its peer is the one that was told."""

    __slots__ = ("_door", "_house", "_peer", "_stage", "tell")

    def __init__(self, house: House, door: Entrance, stage: Guest, peer: Peer) -> None:
        self._house = house
        self._door = door
        self._stage = stage
        self._peer = peer
        self.tell = door.tell

    def welcome(self, guest: Guest, transport: Any) -> Peer | None:
        self._house.succeed(self._stage, guest)
        if self._peer is not self._stage.peer and not self._door.lets_in(self._peer):
            transport.abort()
        return self._peer

    def lets_in(self, peer: Peer) -> bool:
        return self._door.lets_in(peer)

    def enter(self, guest: TlsGuest, peer: Peer) -> Any:
        return self._door.enter(guest, peer)

    def trust(self, peer: Peer) -> tuple[bool, bool]:
        return self._door.trust(peer)


def _learnt(header: ProxyHeader, stage: ProxyStage) -> Peer:
    """The peer that counts from now on."""
    if header.source is not None:
        peer = Peer(*header.source)
        peer.local = header.destination
    elif header.is_unix:
        peer = Peer("", 0, is_unix=True)
    else:
        peer = stage.peer
    peer.listener = stage.peer.listener
    if header.unique_id:
        peer.about += ((UNIQUE_ID, _readable(header.unique_id)),)
    return peer


def _readable(unique_id: bytes) -> str:
    """Text where it is some, else hex digits."""
    text = unique_id.decode("ascii", "replace")
    return text if text.isprintable() and "\ufffd" not in text else unique_id.hex()
