"""Attributes that stay the same from request to request of one client or one name.

A keep-alive connection sends the same host and user agent from the same address again and again,
so that these attributes are encoded when first seen and looked up from then on. Everything here
is chosen by clients, so the caches are small and start again when full. The twin of sources.pyx,
which needs no caches: in C it takes as long to write an attribute as to look one up.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

from proxy.kernel.pen import IntAttribute, Pen, TextAttribute, text

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

LIMIT = 4096  # entries of some 300 bytes


class Sources:
    """Writes with that pen into one message type: `field` is where that has its attributes."""

    __slots__ = (
        "_agent", "_asked", "_attempts", "_client", "_destinations", "_endpoint", "_host",
        "_host_port", "_peer", "_peer_port", "_peers", "_put", "_sent_by", "_upstream",
    )  # fmt: skip

    def __init__(self, pen: Pen, field: int) -> None:
        self._put = pen.put
        self._host = TextAttribute(field, "server.address")
        self._host_port = IntAttribute(field, "server.port")
        self._agent = TextAttribute(field, "user_agent.original")
        self._client = TextAttribute(field, "client.address")
        self._peer = TextAttribute(field, "network.peer.address")
        self._peer_port = IntAttribute(field, "network.peer.port")
        self._upstream = TextAttribute(field, "spangate.upstream")
        self._endpoint = TextAttribute(field, "spangate.endpoint")
        self._attempts = IntAttribute(field, "spangate.attempts")
        self._asked: dict[tuple[str, int, bytes], bytes] = {}
        self._sent_by: dict[tuple[str, str, int], bytes] = {}
        self._peers: dict[tuple[str, int], bytes] = {}
        self._destinations: dict[tuple[str, str, int], bytes] = {}

    def asked(self, host: str, port: int, agent: bytes) -> None:
        """server.address, server.port, user_agent.original."""
        key = (host, port, agent)
        try:  # 100 instructions less than get(), here and below (make bench-check)
            found = self._asked[key]
        except KeyError:
            found = self._address(self._host, self._host_port, host, port)
            if agent:
                found += self._agent.encode(text(agent))
            keep(self._asked, key, found)
        self._put(found)

    def sent_by(self, client: str, peer: str, port: int) -> None:
        """client.address, network.peer.address, network.peer.port."""
        key = (client, peer, port)
        try:
            found = self._sent_by[key]
        except KeyError:
            found = self._client.encode(text(client)) if client else b""
            found += self._address(self._peer, self._peer_port, peer, port)
            keep(self._sent_by, key, found)
        self._put(found)

    def peer(self, peer: tuple[str, int]) -> None:
        """network.peer.address and network.peer.port of an upstream's end."""
        try:
            found = self._peers[peer]
        except KeyError:
            found = self._address(self._peer, self._peer_port, peer[0], peer[1])
            keep(self._peers, peer, found)
        self._put(found)

    def destination(self, upstream: str, endpoint: str, attempts: int) -> None:
        """spangate.upstream, spangate.endpoint, spangate.attempts."""
        key = (upstream, endpoint, attempts)
        found = self._destinations.get(key)
        if found is None:
            found = self._upstream.encode(text(upstream)) + self._endpoint.encode(text(endpoint))
            found += self._attempts.encode(attempts)
            keep(self._destinations, key, found)
        self._put(found)

    def _address(self, name: TextAttribute, number: IntAttribute, host: str, port: int) -> bytes:
        block = name.encode(text(host)) if host else b""
        return block + number.encode(port) if 0 < port < 65536 else block


def keep(cache: dict[K, V], key: K, value: V) -> None:
    """Remember `value`; a full cache starts again, which costs less than keeping an order."""
    if len(cache) >= LIMIT:
        cache.clear()
    cache[key] = value
