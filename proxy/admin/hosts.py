"""Which Host a request to the admin port may name: the guard against DNS rebinding.

A web page can point a name of its own at 127.0.0.1 or a private address and then read what
answers there, because for the browser it is still the page's own origin. Such a request carries
the page's name in Host, so names that a stranger could own in the public DNS are refused:

* addresses (`127.0.0.1`, `10.1.2.3`, `[::1]`) are always right: rebinding needs a name. On a
  loopback listener only loopback ones and the one listened on are;
* `localhost`, `*.localhost` (RFC 6761 §6.3) and the host that `admin.listen` names;
* where the port is open to the network: this machine's own name, names of a single label
  (Compose and Kubernetes services, search domains) and those under `.local`, `.internal`, `.svc`
  and `.cluster.local`, which public registries never give away (RFC 6762, ICANN 2024-07-29).

A request without Host is no browser's.
"""

from __future__ import annotations

import ipaddress
import socket

_PRIVATE = (".local", ".internal", ".svc")


class Hosts:
    """The guard of one admin address."""

    __slots__ = ("_loopback", "_names")

    def __init__(self, listen_host: str) -> None:
        """`listen_host` as in `admin.listen`, without port and brackets."""
        self._loopback = _is_loopback(listen_host)
        self._names = {listen_host.lower(), "localhost"}
        if not self._loopback:
            self._names.add(socket.gethostname().lower())

    def allows(self, header: str) -> bool:
        """Whether a request with this Host header field may be answered."""
        name = _without_port(header.strip().lower()).removesuffix(".")
        if not name or name in self._names or name.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return not self._loopback and ("." not in name or name.endswith(_PRIVATE))
        return not self._loopback or address.is_loopback


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
