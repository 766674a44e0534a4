"""All that is known of a cluster at one time, and what objects of one namespace may refer to in
another (ReferenceGrant). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from proxy.sources.kubernetes.kinds import GROUP, Broken, Key
from proxy.sources.kubernetes.policy_objects import ReferenceGrant

Objects = Mapping[str, Mapping[Key, Any]]  # by kind


class Terms(NamedTuple):
    """Which objects are ours, and what this gateway makes of them; see [source.kubernetes]."""

    controller: str = "spangate.dev/gateway"
    gateway_class: str = "spangate"
    ingress_class: str = "spangate"
    gateways: tuple[str, ...] = ()  # "NAMESPACE/NAME"; () = all of the class
    ports: Mapping[int, int] = {}  # of a Gateway's listener -> that is bound
    addresses: tuple[str, ...] = ()  # at which clients reach it, for statuses


class World:
    """A snapshot: its dicts are not changed any more."""

    __slots__ = ("_grants", "blocked", "now", "objects")

    def __init__(self, objects: Objects, blocked: Mapping[str, str], now: float) -> None:
        """`blocked`: places of objects that the gateway refused, and why; `now`: Unix time."""
        self.objects = objects
        self.blocked = blocked
        self.now = now
        self._grants: dict[str, list[ReferenceGrant]] = {}
        for (namespace, _), grant in self.all("ReferenceGrant"):
            if not isinstance(grant, Broken):
                self._grants.setdefault(namespace, []).append(grant)

    def all(self, kind: str) -> list[tuple[Key, Any]]:
        """In the order of their names, so that the same objects make the same tables."""
        return sorted(self.objects.get(kind, {}).items())

    def get(self, kind: str, namespace: str, name: str) -> Any:
        """None if there is none."""
        return self.objects.get(kind, {}).get((namespace, name))

    def may_refer(self, kind: str, namespace: str, to_kind: str, to: Key) -> bool:
        """Whether a Gateway API object of `kind` in `namespace` may refer to the core object
        `to`."""
        if namespace == to[0]:
            return True
        for grant in self._grants.get(to[0], ()):
            trusts = any(
                (one.group, one.kind, one.namespace) == (GROUP, kind, namespace)
                for one in grant.spec.sources
            )
            if trusts and any(
                one.group == "" and one.kind == to_kind and one.name in (None, "", to[1])
                for one in grant.spec.targets
            ):
                return True
        return False


def age(found: Any) -> tuple[str, str]:
    """Sorts older objects first, then by name, as conflicts are to be decided."""
    meta = found.metadata
    return meta.creation_timestamp or "9999", f"{meta.namespace}/{meta.name}"
