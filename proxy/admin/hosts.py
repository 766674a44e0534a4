"""Which Host a request to the admin port may name: the guard against DNS rebinding.

A web page can point a name of its own at 127.0.0.1 or a private address and then read what
answers there, because for the browser it is still the page's own origin. Such a request carries
the page's name in Host, so names that a stranger could own in the public DNS are refused:

* addresses (`127.0.0.1`, `10.1.2.3`, `[::1]`) are always right: rebinding needs a name. On a
  loopback listener only loopback ones and the one listened on are;
* `localhost`, `*.localhost` (RFC 6761 §6.3) and the host that `admin.listen` names;
* where the port is open to the network: this machine's own name, names of a single label
  (Compose and Kubernetes services, search domains) and those under `.local`, `.internal`, `.svc`
  and `.cluster.local`, which public registries never give away (RFC 6762, ICANN 2024-07-29);
* what `[admin] hosts` names, everywhere.

A request without Host is no browser's. What is no authority at all is a bad request, as it is for
the gateway.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence

from proxy.config.syntax import is_loopback
from proxy.errors import BadRequest
from proxy.http.target import Authorities, split_authority

_PRIVATE = (".local", ".internal", ".svc")


class Hosts:
    """The guard of one admin address."""

    __slots__ = ("_authorities", "_endings", "_loopback", "_names", "_own")

    def __init__(self, listen_host: str) -> None:
        """`listen_host` as in `admin.listen`, without port and brackets."""
        self._authorities = Authorities()
        self._loopback = is_loopback(listen_host)
        self._own = {listen_host.lower(), "localhost"}
        if not self._loopback:
            self._own.add(socket.gethostname().lower())
        self.configure(())

    def configure(self, hosts: Iterable[str]) -> None:
        """Allow the names of `[admin] hosts` from now on."""
        named = {host.lower().removesuffix(".") for host in hosts}
        self._endings = tuple(name[1:] for name in named if name.startswith("*."))
        self._names = self._own | named

    def refusal(self, fields: Sequence[str]) -> int:
        """The status for a request with these Host fields: 0 where it may be answered, else 400 if
        they are no valid one, 403 if it names somebody else."""
        if not fields:
            return 0
        try:
            authority = self._authorities.check(",".join(fields).encode("utf-8", "replace"))
        except BadRequest:
            return 400
        return 0 if self._allows(split_authority(authority)[0]) else 403

    def _allows(self, name: str) -> bool:
        if name in self._names or name.endswith((".localhost", *self._endings)):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return not self._loopback and ("." not in name or name.endswith(_PRIVATE))
        return not self._loopback or address.is_loopback
