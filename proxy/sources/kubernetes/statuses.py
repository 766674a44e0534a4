"""Statuses as merge patches (RFC 7396), None where nothing is to be changed. Pure.

Whoever else has written into a status keeps what is theirs: other controllers' entries of a route
and of a policy, and conditions of types that are not ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Any

from proxy.sources.kubernetes.conditions import Told, kept, written
from proxy.sources.kubernetes.kinds import GROUP, Broken
from proxy.sources.kubernetes.objects import (
    Condition,
    Gateway,
    Kind,
    ListenerStatus,
    ParentStatus,
    Reference,
)
from proxy.sources.kubernetes.outcome import GatewayTold, ListenerTold, PolicyTold, RouteTold
from proxy.sources.kubernetes.policy_objects import AncestorStatus

Patch = dict[str, Any]
# Of ours, which are not always there.
OWN = ("PartiallyInvalid", "OverlappingTLSConfig", "ResolvedRefs")
MOST_ENTRIES = {"parents": 32, "ancestors": 16}  # as the schemas have it


def of_class(found: Any, told: Sequence[Told], now: str) -> Patch | None:
    before = [] if isinstance(found, Broken) else found.status.conditions
    made = _conditions(told, before, found.metadata.generation, now)
    return _patch(found, {"conditions": made}) if _differs(made, before) else None


def of_gateway(
    found: Gateway | Broken, told: GatewayTold, refused: str, addresses: Sequence[str], now: str
) -> Patch | None:
    """`refused`: why the state that it is part of did not come into force, "" = it did."""
    generation = found.metadata.generation
    status = None if isinstance(found, Broken) else found.status
    before = status.conditions if status is not None else []
    why = refused or told.why
    reason = "AddressNotUsable" if told.is_accepted and told.why and not refused else "Invalid"
    holds = told.is_accepted and not why
    why = why or ("" if holds else "it is not accepted")
    programmed = Told("Programmed", holds, "Programmed" if holds else reason, why)
    known = {one.name: one for one in (status.listeners or ())} if status is not None else {}
    made: Patch = {
        "conditions": _conditions([*told.told, programmed], before, generation, now),
        "listeners": [
            _listener(one, known.get(one.name), generation, refused, now) for one in told.listeners
        ],
        "addresses": [_address(address) for address in addresses],
    }
    if status is not None and not _differs(made["conditions"], before):
        listeners = [_plain_listener(one) for one in status.listeners or ()]
        same = [_address(one.value) for one in status.addresses or ()] == made["addresses"]
        if same and listeners == made["listeners"]:
            return None
    return _patch(found, made)


def of_route(found: Any, told: RouteTold, controller: str, now: str) -> Patch | None:
    before: list[ParentStatus] = [] if isinstance(found, Broken) else found.status.parents
    others = [_plain_parent(one) for one in before if one.controller_name != controller]
    mine = [one for one in before if one.controller_name == controller]
    made = []
    for reference, conditions in told.parents:
        shown = _reference(reference)
        known = next((one.conditions for one in mine if one.parent_ref == shown), [])
        made.append(
            {
                "parentRef": shown,
                "controllerName": controller,
                "conditions": _conditions(conditions, known, found.metadata.generation, now),
            }
        )
    entries = [*others, *made][: MOST_ENTRIES["parents"]]
    if entries == [_plain_parent(one) for one in before]:
        return None
    return _patch(found, {"parents": entries})


def of_policy(found: Any, told: PolicyTold, controller: str, now: str) -> Patch | None:
    before: list[AncestorStatus] = [] if isinstance(found, Broken) else found.status.ancestors
    others = [_plain_ancestor(one) for one in before if one.controller_name != controller]
    mine = [one for one in before if one.controller_name == controller]
    made = []
    for namespace, name in told.gateways:
        shown = {"group": GROUP, "kind": "Gateway", "namespace": namespace, "name": name}
        known = next((one.conditions for one in mine if one.ancestor_ref == shown), [])
        made.append(
            {
                "ancestorRef": shown,
                "controllerName": controller,
                "conditions": _conditions(told.told, known, found.metadata.generation, now),
            }
        )
    entries = [*others, *made][: MOST_ENTRIES["ancestors"]]
    if entries == [_plain_ancestor(one) for one in before]:
        return None
    return _patch(found, {"ancestors": entries})


def of_ingress(found: Any, addresses: Sequence[str]) -> Patch | None:
    if not addresses:
        return None
    made = [{_kind_of(one)[1]: one} for one in addresses]
    if found.status.load_balancer.ingress == made:
        return None
    return _patch(found, {"loadBalancer": {"ingress": made}})


def _patch(found: Any, status: Patch) -> Patch:
    """With the version that it was made of, so that a change in between is a conflict."""
    return {"metadata": {"resourceVersion": found.metadata.resource_version}, "status": status}


def _conditions(
    told: Iterable[Told], before: Sequence[Condition], generation: int, now: str
) -> list[Patch]:
    said = list(told)
    own = {*(one.type for one in said), *OWN}
    return [*written(said, before, generation, now), *kept(own, before)]


def _differs(made: Sequence[Patch], before: Sequence[Condition]) -> bool:
    return list(made) != [_plain(one) for one in before]


def _plain(one: Condition) -> Patch:
    return kept((), [one])[0]


def _listener(
    told: ListenerTold, before: ListenerStatus | None, generation: int, refused: str, now: str
) -> Patch:
    holds = told.is_open and not refused
    why = refused or ("" if holds else "it takes no requests")
    programmed = Told("Programmed", holds, "Programmed" if holds else "Invalid", why)
    known = before.conditions if before is not None else []
    return {
        "name": told.name,
        "supportedKinds": [{"group": GROUP, "kind": kind} for kind in told.kinds],
        "attachedRoutes": told.attached,
        "conditions": _conditions([*told.told, programmed], known, generation, now),
    }


def _plain_listener(one: ListenerStatus) -> Patch:
    return {
        "name": one.name,
        "supportedKinds": [_plain_kind(kind) for kind in one.supported_kinds or ()],
        "attachedRoutes": one.attached_routes,
        "conditions": [_plain(condition) for condition in one.conditions],
    }


def _plain_kind(kind: Kind) -> Patch:
    return {"group": kind.group, "kind": kind.kind}


def _plain_parent(one: ParentStatus) -> Patch:
    return {"parentRef": one.parent_ref, **_said_of(one)}


def _plain_ancestor(one: AncestorStatus) -> Patch:
    return {"ancestorRef": one.ancestor_ref, **_said_of(one)}


def _said_of(one: ParentStatus | AncestorStatus) -> Patch:
    conditions = [_plain(condition) for condition in one.conditions]
    return {"controllerName": one.controller_name, "conditions": conditions}


def _reference(said: Reference) -> Patch:
    """As it stands in the route, so that its owner finds it again."""
    made = {
        "group": said.group if said.group is not None else GROUP,
        "kind": said.kind or "Gateway",
        "namespace": said.namespace,
        "name": said.name,
        "sectionName": said.section_name,
        "port": said.port,
    }
    return {key: value for key, value in made.items() if value is not None}


def _address(value: str) -> Patch:
    return {"type": _kind_of(value)[0], "value": value}


def _kind_of(address: str) -> tuple[str, str]:
    """As a Gateway and as an Ingress calls it."""
    try:
        ip_address(address)
    except ValueError:
        return "Hostname", "hostname"
    return "IPAddress", "ip"
