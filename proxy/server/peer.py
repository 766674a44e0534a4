"""Who is at the other end of a connection: more than an address.

Made once for each connection. What stands here is what the connection itself shows, never what a
header says; `identity` is filled in where the peer has proved a name (TLS).
"""

from __future__ import annotations

from typing import Any

_UNIX = (("network.transport", "unix"),)  # else it is TCP, which goes without saying


class Peer:
    """The other end of one connection."""

    __slots__ = (
        "about", "address", "certificate", "claim", "encoded", "identity", "is_unix", "listener",
        "local", "port", "proof", "tls", "where",
    )  # fmt: skip

    def __init__(self, address: str, port: int, is_unix: bool = False) -> None:
        self.address = address  # IP address; "" for a Unix socket
        self.port = port
        self.is_unix = is_unix
        self.encoded = address.encode("ascii") or b"unix"  # as X-Forwarded-For says it
        self.where = (address, port)  # network.peer.address, network.peer.port
        self.identity: str | None = None  # subject or URI of a verified certificate
        self.about: tuple[tuple[str, str], ...] = _UNIX if is_unix else ()  # for its SERVER spans
        self.listener = ""  # the name of that by which it came in
        self.local: tuple[str, int] | None = None  # what it connected to, where a header said so
        # (its URI names, its subject) where a certificate was verified (RFC 4514)
        self.proof: tuple[tuple[str, ...], str] | None = None
        self.certificate: bytes | None = None  # that one, as X-Forwarded-Client-Cert says it
        self.claim: Any = None  # what its connection counts as (`per_client.py`)
        self.tls: bytes | None = None  # what spans say of the connection, where it has TLS

    def __repr__(self) -> str:
        return f"<Peer {self.address}:{self.port}>" if not self.is_unix else "<Peer unix>"


def peer_of(transport: Any) -> Peer:
    """Whom `transport` is connected to."""
    name = transport.get_extra_info("peername")
    if isinstance(name, tuple):
        address = name[0]
        if address.startswith("::ffff:") and "." in address:
            address = address[7:]  # on a socket of both families, which somebody else has opened
        return Peer(address, name[1])
    peer = Peer("", 0, is_unix=True)
    if isinstance(name, str):
        peer.where = (name, 0)  # its path, if it has one: servers do
    return peer


NOBODY = Peer("", 0)
