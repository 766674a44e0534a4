"""One server of an upstream: its address, and what is known about it now.

Endpoints live in `state.py`, outlive a reload, and are shared by all requests. The balancer
chooses among them, the pool keeps connections to them; the endpoint itself opens none.
"""

from __future__ import annotations

from proxy.config.syntax import parse_server


class Endpoint:
    """A server. `up` and `weight` change; its address stays."""

    __slots__ = ("authority", "host", "port", "up", "upstream", "url", "weight")

    def __init__(self, url: str, weight: int = 1, upstream: str = "") -> None:
        self.host, self.port = parse_server(url)  # server.address, server.port
        self.url = url
        name = f"[{self.host}]" if ":" in self.host else self.host
        self.authority = name if self.port == 80 else f"{name}:{self.port}"  # as in Host
        self.weight = weight
        self.upstream = upstream
        self.up = True  # what health probes say; without probes always

    def __repr__(self) -> str:
        state = "up" if self.up else "down"
        return f"<Endpoint {self.upstream} {self.authority}: {state}>"
