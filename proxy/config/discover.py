"""Where an upstream's servers are looked up: the grammar of `discover`, and of [dns] servers.

    dns://orders.internal:8000          A and AAAA records; dns+https://, dns+tcp:// say the scheme
    srv://_http._tcp.orders.internal    SRV records (RFC 2782), which have ports and weights
    file:///etc/orders.json             a file that is watched; file:orders.json is a relative one
    source                              what gave the upstream says them too; source+https, +tcp

How they are looked up is the business of `hub/discovery/`.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from proxy.config.syntax import parse_server

WAYS = (
    '"dns://orders.internal:8000", "srv://_http._tcp.orders.internal" or "file:///etc/orders.json"'
)
SCHEMES = ("http", "https", "tcp")


class Discover(NamedTuple):
    """A value of `discover`, taken apart."""

    kind: str  # dns, srv, file, source
    scheme: str = "http"  # of the servers: http, https, tcp; a file has it in its URLs
    name: str = ""  # that DNS is asked for
    port: int = 0  # of the servers; SRV records have their own
    path: str = ""  # of a file, perhaps relative to the configuration's folder

    @property
    def server_name(self) -> str:
        """Whose certificate servers show: the name that was asked for, without the labels of a
        service (RFC 6125 §6.2.1), because what DNS answers proves nothing."""
        labels = self.name.removesuffix(".").split(".")
        while labels and labels[0].startswith("_"):
            labels.pop(0)
        return ".".join(labels)


@lru_cache(1024)  # thousands of upstreams say the same
def parse_discover(text: str) -> Discover:
    """ValueError with what to write for what is no such value."""
    way, colon, rest = text.partition(":")
    way = way.lower()
    if way == "file" and colon:
        return Discover("file", path=_path(rest, text))
    kind, _, scheme = way.partition("+")
    if kind == "source" and not colon and (scheme or "http") in SCHEMES:
        return Discover("source", scheme or "http")
    if kind not in ("dns", "srv") or not rest.startswith("//"):
        raise ValueError(_no_way(text, way))
    if scheme and scheme not in SCHEMES:
        ways = ", ".join(f"{kind}+{scheme}://" for scheme in SCHEMES)
        hint = '; HTTP/2 is protocol = "h2"' if scheme.startswith(("h2", "grpc")) else ""
        raise ValueError(f"{way}:// says no scheme of servers: write one of {ways}{hint}")
    return _dns(kind, scheme, rest[2:], text)


def parse_resolver(text: str) -> tuple[str, int]:
    """A DNS server's address: "10.0.0.2", "127.0.0.1:5353", "[::1]:53", "::1"; 53 by default."""
    try:
        return str(ipaddress.ip_address(text.strip("[]"))), 53
    except ValueError:
        pass
    host, _, digits = text.rpartition(":")
    try:
        address = str(ipaddress.ip_address(host.strip("[]")))
        port = int(digits) if digits.isascii() and digits.isdigit() else 0
    except ValueError:
        address, port = "", 0
    if not address or not 0 < port < 65536:
        raise ValueError(f'{text!r} is not the address of a DNS server: write "10.0.0.2:53"')
    return address, port


def may_be(text: str, scheme: str) -> bool:
    """Whether servers of this `discover` may have such URLs; "" discovers none."""
    try:
        found = parse_discover(text) if text else None
    except ValueError:
        return False
    return found is not None and (found.kind == "file" or found.scheme == scheme)


def server_name(text: str) -> str:
    """The name that TLS servers of this `discover` are verified by; "" = that of their URLs."""
    return parse_discover(text).server_name if may_be(text, "https") else ""


def _dns(kind: str, scheme: str, authority: str, text: str) -> Discover:
    if kind == "srv":
        scheme = scheme or ("https" if authority.lower().startswith("_https.") else "http")
    scheme = scheme or "http"
    url = f"{scheme}://{authority}" + (":1" if kind == "srv" and scheme == "tcp" else "")
    try:
        _, name, port = parse_server(url)
    except ValueError as error:
        raise ValueError(str(error).replace(url, text)) from None
    if _is_address(name):
        raise ValueError(f'{text!r}: an address needs no lookup: write servers = ["{url}"]')
    if kind == "srv" and ":" in authority:
        bare = text.rpartition(":")[0]
        raise ValueError(f'{text!r}: SRV records say the ports: write "{bare}"')
    if kind == "srv" and not name.startswith("_"):
        raise ValueError(f'{text!r} names no service: write "srv://_http._tcp.{name}"')
    return Discover(kind, scheme, name, 0 if kind == "srv" else port)


def _path(rest: str, text: str) -> str:
    path = unquote(rest.removeprefix("//").removeprefix("localhost/"))
    if rest.startswith("//localhost/"):
        path = f"/{path}"
    if not path or "\0" in path or path.endswith("/"):
        raise ValueError(f'{text!r} names no file: write "file:///etc/orders.json"')
    return path


def _no_way(text: str, way: str) -> str:
    if "://" not in text:
        return f"{text!r} is not a way to discover servers: write {WAYS}"
    if way in SCHEMES:
        rest = text.partition("://")[2]
        return f'{way}:// is a server: write servers = ["{text}"], or discover = "dns://{rest}"'
    return f"{way}:// is not a way to discover servers: write {WAYS}"


def _is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False
