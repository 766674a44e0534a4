"""One server of an upstream: its address, and what is known about it now.

Endpoints live in `state.py`, outlive a reload, and are shared by all requests. The balancer
chooses among them, the pool keeps connections to them; the endpoint itself opens none.
"""

from __future__ import annotations

from proxy.config.syntax import parse_server

# Why an endpoint gets no requests; several may hold at once. `Endpoint.out` is their sum.
PROBED = 1  # active probes find it down
EJECTED = 2  # its answers were too bad, for a time
DRAINED = 4  # an operator said so
BROKEN = 8  # this worker's breaker is open


class Endpoint:
    """A server. `up`, `out`, `weight` and `number` change; its address stays."""

    __slots__ = (
        "authority",
        "discovered",
        "host",
        "key",
        "number",
        "out",
        "port",
        "scheme",
        "source",
        "up",
        "upstream",
        "url",
        "weight",
    )

    def __init__(self, url: str, weight: int = 1, upstream: str = "") -> None:
        server = parse_server(url)
        self.scheme = server.scheme  # http, https, tcp, unix
        self.host, self.port = server.host, server.port  # server.address, server.port
        self.url = url
        self.key = f"{upstream} {url}"  # of its pool: settings of connections are an upstream's
        name = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if server.scheme == "https" else 80
        # host, and port if it is not the usual one; of a Unix socket its URL
        self.authority = name if self.port == usual else f"{name}:{self.port}"
        if server.scheme == "unix":
            self.authority = url
        self.weight = weight
        self.upstream = upstream
        self.source = ""  # the address that connections are made from; "" = the system's choice
        self.discovered = False  # no file says it; a reload keeps it
        self.up = True  # whether it gets requests: nothing speaks against it
        self.out = 0  # what does
        self.number = -1  # its place in the memory that workers share; -1 = none

    def mark(self, reason: int, holds: bool) -> bool:
        """Note that `reason` speaks against it, or does no more; True if that changes `up`."""
        self.out = self.out | reason if holds else self.out & ~reason
        up, self.up = self.up, not self.out
        return up != self.up

    def __repr__(self) -> str:
        state = "up" if self.up else "down"
        return f"<Endpoint {self.upstream} {self.authority}: {state}>"
