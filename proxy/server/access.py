"""The access rules of one route, ready for requests; made by `compile.py` from its `auth`, `allow`,
`deny`, `cors`. What becomes of a request is in `gate.py`."""

from __future__ import annotations

from typing import Any

from proxy.access.addresses import Addresses
from proxy.access.check import Check
from proxy.access.made import Made
from proxy.access.round import Wanted
from proxy.access.spellings import spellings
from proxy.config.model import Auth, Config, Route
from proxy.server.house import House
from proxy.server.peer import Peer
from proxy.server.snapshot import RouteEntry
from proxy.telemetry import instruments

NOBODY = Wanted((), (), (), {})


class Access:
    """Of one route."""

    __slots__ = (
        "addresses", "cookies", "cors", "mesh", "queries", "requests", "secure", "strips", "wanted"
    )  # fmt: skip

    def __init__(
        self, route: Route, wanted: Wanted, addresses: Addresses | None, requests: int
    ) -> None:
        self.addresses = addresses
        self.mesh: Any = None  # Allowed (`auth_mesh.py`), where `mesh.allow` has a say
        self.requests = requests  # that one client may have under way; 0 = any number
        self.cors: Any = _policy(route)
        self.secure: Any = _secure(route)
        self.wanted = wanted
        checks = wanted.checks  # of all: also of those that were not asked, as another let in
        self.cookies = frozenset(name for check in checks for name in check.hidden_cookies)
        self.queries = frozenset(name for check in checks for name in check.hidden_queries)
        self.strips = spellings(name for check in checks for name in check.strips)

    def refuses(self, house: House, entry: RouteEntry, peer: Peer) -> str:
        """Why a connection, without requests, may not come in, which is counted; "" = it may."""
        check = reason = "address"
        if self.addresses is None or not self.addresses.refuses(peer.address):
            refusal = self.mesh and self.mesh.refusal(peer.listener, peer.identity, None)
            if not refusal:
                return ""
            check, reason = "mesh", refusal.reason
        name = entry.route.name or entry.route.path
        labels = (
            ("spangate.check", check),
            ("spangate.denied.reason", reason),
            ("spangate.route", name),
        )
        house.recorder.registry.number(instruments.ACCESS_DENIED, labels).value += 1
        return reason


class Checks:
    """The checks of a configuration, each made once, and of those alone that a route asks for."""

    __slots__ = ("_addresses", "_config", "_made", "_mesh", "_ready")

    def __init__(self, config: Config, made: Made) -> None:
        self._config = config
        self._made = made
        self._ready: dict[str, Check] = {}
        self._mesh: Any = None
        if config.mesh is not None and config.mesh.allow:
            from proxy.server.auth_mesh import allowed  # which few configurations need

            self._mesh = allowed(config)
        self._addresses: dict[tuple[tuple[str, ...], ...], Addresses] = {}

    def access(self, route: Route) -> Access | None:
        """What the route says, None = everybody may come in."""
        use = self._config.defaults.auth if route.auth is None else route.auth
        wanted = NOBODY
        if use is not None and use.names:
            all_of, any_of = map(self._check, use.all), map(self._check, use.any)
            wanted = Wanted(tuple(all_of), tuple(any_of), use.scopes, use.claims)
        requests = self._config.limits.per_client.requests
        said = route.allow or route.deny or route.cors or route.secure_headers
        mesh = self._mesh if self._mesh is not None and self._mesh.concerns(route) else None
        if not wanted and not said and not requests and mesh is None:
            return None
        made = Access(route, wanted, self._lists(route), requests)
        made.mesh = mesh
        return made

    def _lists(self, route: Route) -> Addresses | None:
        """Made once for all routes that say the same."""
        if not route.allow and not route.deny:
            return None
        key = (tuple(route.allow), tuple(route.deny))
        found = self._addresses.get(key)
        if found is None:
            found = self._addresses[key] = Addresses(*key)
        return found

    def _check(self, name: str) -> Check:
        check = self._ready.get(name)
        if check is None:
            check = self._ready[name] = make(name, self._config.auth[name], self._made)
        return check


def make(name: str, said: Auth, made: Made) -> Check:
    """The check of that name. Workers without one of its kind do not load what it needs."""
    if said.jwt is not None:
        from proxy.access import jwt

        return jwt.make(name, said.jwt, made)
    if said.api_key is not None:
        from proxy.access import api_key

        return api_key.make(name, said.api_key, made)
    if said.basic is not None:
        from proxy.server import auth_basic

        return auth_basic.make(name, said.basic, made)
    if said.forward is not None:
        from proxy.server import auth_forward

        return auth_forward.make(name, said.forward, made)
    if said.mtls is not None:
        from proxy.access import mtls

        return mtls.make(name, said.mtls, made)
    if said.oidc is not None:
        from proxy.server import auth_oidc

        return auth_oidc.make(name, said.oidc, made)
    raise ValueError(f"auth.{name} says nothing")


def _policy(route: Route) -> Any:
    if route.cors is None:
        return None
    from proxy.access.cors import Policy  # which few configurations need

    return Policy(route.cors)


def _secure(route: Route) -> Any:
    if route.secure_headers is None:
        return None
    from proxy.access.secure_headers import SecureLines

    return SecureLines(route.secure_headers)
