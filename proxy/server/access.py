"""The access rules of one route, ready for requests; made by `compile.py` from its `auth`, `allow`,
`deny`, `cors`. What becomes of a request is in `gate.py`."""

from __future__ import annotations

from typing import Any

from proxy.access.check import Check
from proxy.access.made import Made
from proxy.access.round import Wanted
from proxy.config.model import Auth, Config, Route
from proxy.tracing.trust import Networks

NOBODY = Wanted((), (), (), {})


class Access:
    """Of one route."""

    __slots__ = ("allow", "cors", "deny", "strips", "wanted")

    def __init__(self, route: Route, wanted: Wanted) -> None:
        self.allow = Networks(route.allow) if route.allow else None
        self.deny = Networks(route.deny) if route.deny else None
        self.cors: Any = _policy(route)
        self.wanted = wanted
        self.strips: frozenset[bytes] = frozenset().union(
            *(check.strips for check in (*wanted.all, *wanted.any))
        )


class Checks:
    """The checks of a configuration, each made once, and of those alone that a route asks for."""

    __slots__ = ("_config", "_made", "_ready")

    def __init__(self, config: Config, made: Made) -> None:
        self._config = config
        self._made = made
        self._ready: dict[str, Check] = {}

    def access(self, route: Route) -> Access | None:
        """What the route says, None = everybody may come in."""
        use = self._config.defaults.auth if route.auth is None else route.auth
        wanted = NOBODY
        if use is not None and use.names:
            all_of, any_of = map(self._check, use.all), map(self._check, use.any)
            wanted = Wanted(tuple(all_of), tuple(any_of), use.scopes, use.claims)
        if not wanted and not route.allow and not route.deny and route.cors is None:
            return None
        return Access(route, wanted)

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
