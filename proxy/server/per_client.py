"""What one client address may have: `[limits] per_client`.

Connections count by the address that is connected, or that a PROXY header names, and new ones have
a pace; requests count by the true client's address, over all its connections. Trusted proxies have
the connections of many clients, so that theirs are not limited. All workers of the gateway count
together (`crowd.py`). An address is remembered while it has something, and no longer.
"""

from __future__ import annotations

from typing import Any

from proxy.config.access_model import PerClient as Said
from proxy.config.model import Config, Route
from proxy.config.rate_model import RateLimit
from proxy.server.crowd import CONNECTIONS, REQUESTS, Crowd
from proxy.server.limiter import Limiter
from proxy.server.peer import Peer
from proxy.server.rates import Rule, network
from proxy.telemetry import instruments

CHECK = "per_client"


class Client:
    """One address, or one network of IPv6, that has something here now."""

    __slots__ = ("at", "connections", "key", "name", "requests")

    def __init__(self, name: bytes, key: int) -> None:
        self.name = name
        self.key = key
        self.at = -1  # its slot in the crowd
        self.connections = 0
        self.requests = 0


class Clients:
    """All of them, of one worker."""

    __slots__ = ("_clients", "_crowd", "_limiter", "_registry", "_rule", "_said", "counts")

    def __init__(self, limiter: Limiter, registry: Any) -> None:
        self._limiter = limiter
        self._registry = registry
        self._crowd: Crowd | None = None
        self._said = Said()
        self._rule: Rule | None = None
        self._clients: dict[bytes, Client] = {}
        self.counts = False  # connections, or new ones

    def share(self, crowd: Crowd) -> None:
        """Count together with the other workers."""
        self._crowd = crowd

    def configure(self, config: Config) -> None:
        """Go by `limits.per_client`."""
        said = config.limits.per_client
        if said == self._said:
            return
        self._said, self._rule = said, None
        if said.new_connections:
            limit = RateLimit(limit=said.new_connections, key="client")
            self._rule = Rule(Route(name="limits.per_client"), limit)
        self.counts = said.connections > 0 or self._rule is not None

    # connections

    def enter(self, peer: Peer) -> str:
        """Count one more connection of that peer; "" = it may stay, else why not."""
        said = self._said
        name = network(peer.address)
        if name is None:
            return ""
        rule = self._rule
        if rule is not None and self._limiter.take(rule, b"=" + name) > rule.most:
            return self._deny("new_connections")
        if not said.connections:
            return ""
        client = self._client(name)
        if client is None:
            return ""
        client.connections += 1
        self._put(client)
        if client.connections + self._others(client, CONNECTIONS) > said.connections:
            client.connections -= 1
            self._put(client)
            return self._deny("connections")
        peer.claim = client
        return ""

    def leave(self, peer: Peer | None) -> None:
        """Its connection is over."""
        if peer is not None and peer.claim is not None:
            client, peer.claim = peer.claim, None
            client.connections -= 1
            self._put(client)

    # requests

    def begin(self, address: str, most: int) -> Client | bool:
        """Count one more request of that address: whose it is, True where nobody counts it; False
        = there are `most` already."""
        name = network(address)
        client = None if name is None else self._client(name)
        if client is None:
            return True
        client.requests += 1
        self._put(client)
        if client.requests + self._others(client, REQUESTS) > most:
            self.end(client)
            return False
        return client

    def end(self, client: Client) -> None:
        """One of its requests is over."""
        client.requests -= 1
        self._put(client)

    def _client(self, name: bytes) -> Client | None:
        """None where there are more than are told apart."""
        client = self._clients.get(name)
        if client is None and len(self._clients) < self._said.size:
            key = self._limiter.hashed(b"client=" + name)
            client = self._clients[name] = Client(name, key)
        return client

    def _put(self, client: Client) -> None:
        """Show others what it has; forget it when that is nothing."""
        crowd, has = self._crowd, client.connections or client.requests
        if not has:
            del self._clients[client.name]
        if crowd is None:
            return
        if has and client.at < 0:
            client.at = crowd.enter(client.key)
        if client.at >= 0:
            if has:
                crowd.put(client.at, client.connections, client.requests)
            else:
                crowd.leave(client.at)
                client.at = -1

    def _others(self, client: Client, kind: int) -> int:
        return 0 if self._crowd is None else self._crowd.others(client.key, kind)

    def _deny(self, reason: str) -> str:
        labels = (
            ("spangate.check", CHECK),
            ("spangate.denied.reason", reason),
            ("spangate.route", ""),
        )
        self._registry.number(instruments.ACCESS_DENIED, labels).value += 1
        return reason
