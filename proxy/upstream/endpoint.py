"""One server of an upstream: its address and what this worker knows about it.

The balancer chooses among endpoints, the pool keeps connections to them; the endpoint itself
opens none.
"""

from __future__ import annotations

from urllib.parse import urlsplit


class Endpoint:
    """A server. `up` changes; all else stays as configured."""

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


def parse_server(url: str) -> tuple[str, int]:
    """Host (IPv6 without brackets) and port of "http://host[:port]"; ValueError if it is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is not a server: {error}") from None
    if parts.scheme != "http":
        raise ValueError(f"{url!r} is not a server: write http://host:port")
    if not host or port == 0 or not host.isascii() or any(c <= " " or c in '\\"<>' for c in url):
        raise ValueError(f"{url!r} is not a server: write http://host:port")
    if "@" in parts.netloc:
        raise ValueError(f"{url!r}: a server has no user or password")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(
            f"{url!r}: a server has no path, use rewrite = {{ prefix = ... }} on the route"
        )
    return host, port or 80
