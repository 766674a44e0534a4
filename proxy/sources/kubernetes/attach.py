"""Which listeners of which Gateways a route is attached to, and by which hosts; if to none, why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from proxy.sources.kubernetes.conditions import Told, accepted
from proxy.sources.kubernetes.hostnames import intersection
from proxy.sources.kubernetes.kinds import GROUP, Broken, Key
from proxy.sources.kubernetes.listeners import Door, Doors
from proxy.sources.kubernetes.objects import Expression, Reference, Selector
from proxy.sources.kubernetes.world import World


@dataclass(slots=True)
class Parent:
    """One of a route's parents that is ours."""

    reference: Reference
    gateway: Key
    told: Told  # Accepted
    doors: list[Door] = field(default_factory=list)


def parents(
    kind: str, route: Any, doors: Doors, world: World
) -> tuple[list[Parent], dict[str, Any]]:
    """Our parents of a route, and its hosts by the names of addresses. Doors that it is attached
    to count it."""
    spec, namespace = route.spec, route.metadata.namespace
    found: list[Parent] = []
    hosts: dict[str, dict[str, None]] = {}
    counted: list[Door] = []
    for reference in spec.parent_refs:
        key = _gateway_of(reference, namespace, doors)
        if key is None:
            continue
        parent = Parent(reference, key, accepted())
        found.append(parent)
        for door, names in _attached(parent, kind, spec.hostnames, namespace, doors, world):
            parent.doors.append(door)
            if not any(door is other for other in counted):
                counted.append(door)
                door.attached += 1
            if door.is_open:
                hosts.setdefault(door.name, {}).update(dict.fromkeys(names))
    return found, {name: list(some) for name, some in hosts.items()}


def _gateway_of(reference: Reference, namespace: str, doors: Doors) -> Key | None:
    if (reference.group or GROUP, reference.kind or "Gateway") != (GROUP, "Gateway"):
        return None
    key = (reference.namespace or namespace, reference.name)
    return key if key in doors.gateways else None


def _attached(
    parent: Parent, kind: str, hostnames: Sequence[str], namespace: str, doors: Doors, world: World
) -> list[tuple[Door, list[str]]]:
    """The listeners, each with the hosts; none of them is told in `parent`."""
    refused = doors.refused.get(parent.gateway)
    if refused is not None:
        parent.told = accepted("Pending", f"its Gateway is not accepted: {refused.message}")
        return []
    named = [
        door
        for door in doors.of(parent.gateway)
        if parent.reference.section_name in (None, "", door.listener.name)
        and parent.reference.port in (None, 0, door.listener.port)
    ]
    if not named:
        parent.told = accepted("NoMatchingParent", "the Gateway has no such listener")
        return []
    if not any(door.is_distinct for door in named):
        wrong = named[0].told["Accepted"]
        message = f"its listener {named[0].listener.name} is not accepted: {wrong.message}"
        parent.told = accepted("Pending", message)
        return []
    allowed = [
        door
        for door in named
        if kind in door.kinds and door.is_distinct and _lets(door, namespace, world)
    ]
    if not allowed:
        message = f"no listener takes a {kind} of namespace {namespace}"
        parent.told = accepted("NotAllowedByListeners", message)
        return []
    common = [(door, intersection(door.listener.hostname, hostnames)) for door in allowed]
    found = [(door, names) for door, names in common if names]
    if not found:
        message = "none of its hostnames is one of the listeners"
        parent.told = accepted("NoMatchingListenerHostname", message)
    return found


def _lets(door: Door, namespace: str, world: World) -> bool:
    wanted = door.listener.allowed_routes.namespaces
    if wanted.wanted == "All":
        return True
    if wanted.wanted == "Same":
        return namespace == door.gateway[0]
    if wanted.wanted != "Selector" or wanted.selector is None:
        return False
    found = world.get("Namespace", "", namespace)
    if found is None or isinstance(found, Broken):
        return False
    return selects(wanted.selector, found.metadata.labels or {})


def selects(selector: Selector, labels: dict[str, str]) -> bool:
    """Whether these labels are selected (metav1.LabelSelector); an unknown operator selects
    nothing."""
    exact = all(labels.get(key) == value for key, value in (selector.match_labels or {}).items())
    return exact and all(_holds(one, labels) for one in selector.match_expressions or ())


def _holds(expression: Expression, labels: dict[str, str]) -> bool:
    value, values = labels.get(expression.key), expression.values or ()
    if expression.operator == "In":
        return value in values
    if expression.operator == "NotIn":
        return value not in values
    if expression.operator == "Exists":
        return value is not None
    return expression.operator == "DoesNotExist" and value is None
