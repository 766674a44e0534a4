"""Who is at the other end of a connection: more than an address.

Made once for each connection. What stands here is what the connection itself shows, never what a
header says; `identity` is filled in where the peer has proved a name (TLS).
"""

from __future__ import annotations

from typing import Any


class Peer:
    """The other end of one connection."""

    __slots__ = (
        "address", "certificate", "encoded", "identity", "is_unix", "port", "tls", "where",
    )  # fmt: skip

    def __init__(self, address: str, port: int, is_unix: bool = False) -> None:
        self.address = address  # IP address; "" for a Unix socket
        self.port = port
        self.is_unix = is_unix
        self.encoded = address.encode("ascii") or b"unix"  # as X-Forwarded-For says it
        self.where = (address, port)  # network.peer.address, network.peer.port
        self.identity: str | None = None  # subject or URI of a verified certificate
        self.certificate: bytes | None = None  # that one, as X-Forwarded-Client-Cert says it
        self.tls: bytes | None = None  # what spans say of the connection, where it has TLS

    def __repr__(self) -> str:
        return f"<Peer {self.address}:{self.port}>" if not self.is_unix else "<Peer unix>"


def peer_of(transport: Any) -> Peer:
    """Whom `transport` is connected to."""
    name = transport.get_extra_info("peername")
    if isinstance(name, tuple):
        return Peer(name[0], name[1])
    return Peer("", 0, is_unix=True)


NOBODY = Peer("", 0)
