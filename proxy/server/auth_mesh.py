"""`mesh.allow`: who of the mesh may ask for what, by the identity that the connection has proved.

It holds for what comes in by the listeners of the mesh: those that show its certificate, and the
inbound one whatever it shows. What does not hold is refused; there is nothing but what is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from proxy.access.check import Refusal
from proxy.config.material import MESH
from proxy.config.mesh_identity import listeners_of
from proxy.config.mesh_model import MeshAllow
from proxy.config.model import Config, Listener, Route, When
from proxy.config.spiffe import Pattern, parse
from proxy.http.head import RequestHead
from proxy.routing.table import Table

CHECK = "mesh"  # its name where refusals are told

NO_IDENTITY = Refusal(403, "no_identity")  # nothing was shown, and nobody may ask without
IDENTITY = Refusal(403, "identity")  # no rule is for whoever it is
REQUEST = Refusal(403, "request")  # rules are for it, and none for this path and method

_EVERYTHING = "/*"

_parsed = lru_cache(256)(parse)


class Rule:
    """One of `allow`."""

    __slots__ = ("_table", "is_for_all", "who")

    def __init__(self, said: MeshAllow) -> None:
        self.who = Pattern(said.source)
        self.is_for_all = said.path == _EVERYTHING and not said.method
        route = Route(path=said.path, when=When(method=said.method))
        self._table = None if self.is_for_all else Table.compile([route])

    def holds(self, head: RequestHead) -> bool:
        """For a request of somebody whom it is for."""
        table = self._table
        if table is None:
            return True
        if "%2F" in head.path:
            return False  # who is behind us may read a slash there, and thus another path
        return table.match("", head.method, head.path, head.query, head) is not None


class Allowed:
    """All rules, and where they hold."""

    __slots__ = ("_rules", "_where")

    def __init__(self, rules: Sequence[MeshAllow], listeners: Sequence[Listener]) -> None:
        self._rules = [Rule(said) for said in rules]
        # By name, as connections know theirs: whether it has verified who calls.
        self._where: dict[str, bool] = {}
        for listener in listeners:
            proves = listener.tls is not None and listener.tls.client_ca == MESH
            self._where[listener.name] = self._where.get(listener.name, True) and proves

    def refusal(self, name: str, identity: str | None, head: RequestHead | None) -> Refusal | None:
        """Why what comes in by the listener `name` may not; None = it may. `identity`: of its
        connection; `head`: None = bytes, which have neither path nor method."""
        proves = self._where.get(name)
        if proves is None:
            return None
        who = _parsed(identity) if proves and identity else None
        rules = [rule for rule in self._rules if rule.who.holds(who)]
        if not rules:
            return NO_IDENTITY if who is None else IDENTITY
        for rule in rules:
            if rule.is_for_all if head is None else rule.holds(head):
                return None
        return REQUEST

    def knows(self, name: str, identity: str | None) -> bool:
        """Whether any rule is for whoever that is, whatever it may ask for."""
        return self.refusal(name, identity, None) in (None, REQUEST)

    def concerns(self, route: Route) -> bool:
        """Whether its requests may come in by one of these listeners."""
        return not route.when.listener or route.when.listener in self._where


def allowed(config: Config) -> Allowed | None:
    """What the configuration says; None = everybody whom the handshake lets in."""
    mesh = config.mesh
    if mesh is None or not mesh.allow:
        return None
    return Allowed(mesh.allow, listeners_of(config))
