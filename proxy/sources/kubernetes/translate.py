"""A cluster as tables of routes.toml, and what is to be told to it. Pure: a World in, an Outcome
out; nothing in a World makes it raise, since objects are other people's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from proxy.sources.kubernetes import ingress, listeners
from proxy.sources.kubernetes.attach import Parent, parents
from proxy.sources.kubernetes.backends import Backends
from proxy.sources.kubernetes.conditions import Told, accepted, resolved
from proxy.sources.kubernetes.filters import Way
from proxy.sources.kubernetes.hostnames import covers
from proxy.sources.kubernetes.kinds import Broken, Key, place
from proxy.sources.kubernetes.listeners import ROUTES, Door, Doors
from proxy.sources.kubernetes.objects import Reference
from proxy.sources.kubernetes.outcome import (
    GatewayTold,
    ListenerTold,
    Outcome,
    PolicyTold,
    RouteTold,
)
from proxy.sources.kubernetes.policies import Policies
from proxy.sources.kubernetes.rules import Entry, Made, Rules
from proxy.sources.kubernetes.vault import Vault
from proxy.sources.kubernetes.world import Terms, World
from proxy.sources.source import Given

SHOWN = 5  # reasons of one condition


def translate(world: World, terms: Terms, vault: Vault, version: str) -> Outcome:
    """What there is for our class. `version` is that of what is given."""
    doors = listeners.find(world, terms, vault)
    policies = Policies(world, vault)
    backends = Backends(world, policies)
    entries: list[Entry] = []
    routes: dict[tuple[str, Key], RouteTold] = {}
    for kind in ROUTES:
        for key, route in world.all(kind):
            told, made = _route(kind, key, route, doors, backends)
            entries += made
            if told.parents or _is_mine(route, terms):
                routes[kind, key] = told
    entries += _apart(doors)
    found = ingress.find(world, terms, vault, backends)
    entries += found.entries
    tables = listeners.tables(doors.doors, terms, found.ports)
    outcome = Outcome(
        _given(version, entries, tables, backends),
        backends.ports,
        doors.secrets | found.secrets,
        policies.config_maps,
        _classes(world, terms),
        {
            **{key: _gateway(key, doors, terms) for key in doors.gateways},
            **_left_behind(world, terms),
        },
        routes,
        {one.key: PolicyTold(sorted(one.ancestors), one.told) for one in policies.all},
        found.ours,
        world,
    )
    outcome.given = msgspec.structs.replace(
        outcome.given,
        certificates={**doors.pairs, **found.pairs},
        authorities=policies.authorities,
        left_out=[*_left_out(outcome), *found.left_out],
    )
    return outcome


def _route(
    kind: str, key: Key, route: Any, doors: Doors, backends: Backends
) -> tuple[RouteTold, list[Entry]]:
    where = place(kind, key)
    if isinstance(route, Broken):
        told = [accepted("UnsupportedValue", route.why), resolved()]
        return RouteTold([(one, told) for one in _parents_of(route, key, doors)]), []
    world = backends.world
    found, hosts = parents(kind, route, doors, world)
    made = Made()
    blocked = world.blocked.get(where)
    if blocked is not None:
        made.refused.append(blocked)
    elif found:
        ways = {door.name: (_way(door), hosts[door.name]) for door in _open(found, hosts)}
        gateways = list(dict.fromkeys(parent.gateway for parent in found))
        made = Rules(kind, route, ways, where, backends, gateways).all()
    if made.refused and not made.rules:
        _detach(found)
    return RouteTold(
        [(parent.reference, _told(kind, parent, made)) for parent in found]
    ), made.entries


def _detach(found: Sequence[Parent]) -> None:
    """Routes that are not accepted do not count as attached."""
    doors = {id(door): door for parent in found for door in parent.doors}
    for door in doors.values():
        door.attached -= 1


def _open(found: Sequence[Parent], hosts: dict[str, list[str]]) -> Iterator[Door]:
    for parent in found:
        for door in parent.doors:
            if door.name in hosts:
                yield door


def _way(door: Door) -> Way:
    return Way("https" if door.listener.protocol == "HTTPS" else "http", door.listener.port)


def _told(kind: str, parent: Parent, made: Made) -> list[Told]:
    told = [parent.told]
    if parent.told.holds and made.refused:
        why = "; ".join(made.refused[:SHOWN])
        if made.rules:
            answer = "UNAVAILABLE" if kind == "GRPCRoute" else "500"
            message = f"Dropped Rule (requests that match it are answered {answer}): {why}"
            told.append(Told("PartiallyInvalid", True, "UnsupportedValue", message))
        else:
            told = [accepted("UnsupportedValue", why)]
    reasons = made.unresolved
    if reasons:
        message = "; ".join(dict.fromkeys(one.message for one in reasons[:SHOWN]))
        told.append(resolved(reasons[0].reason, message))
    else:
        told.append(resolved())
    return told


def _parents_of(route: Broken, key: Key, doors: Doors) -> list[Reference]:
    """Of what cannot be read as a whole."""
    said = route.spec.get("parentRefs") if isinstance(route.spec, dict) else None
    found = []
    for one in said if isinstance(said, list) else ():
        try:
            reference = msgspec.convert(one, Reference)
        except msgspec.ValidationError:
            continue
        if (reference.namespace or key[0], reference.name) in doors.gateways:
            found.append(reference)
    return found


def _is_mine(route: Any, terms: Terms) -> bool:
    """Whether something of ours stands in its status, which is to go if it is no parent now."""
    status = route.status
    if isinstance(route, Broken):
        return False
    return any(parent.controller_name == terms.controller for parent in status.parents)


def _apart(doors: Doors) -> Iterator[Entry]:
    """404 for names of a listener that none of its routes takes: they are not to fall to routes
    of another listener of that port, whose hostname covers them too."""
    found = [door for door in doors.doors if door.is_open and door.listener.hostname]
    for door in found:
        mine = door.listener.hostname.lower()
        others = (o for o in doors.doors if o is not door and o.is_open and o.name == door.name)
        if any(covers(other.listener.hostname.lower(), mine) for other in others):
            table = {
                "name": f"kubernetes:{door.listener.port}:{mine}",
                "host": [mine],
                "path": "/*",
                "when": {"listener": door.name},
                "respond": {"status": 404},
            }
            yield Entry((3, 0), table, place("Gateway", door.gateway))


def _given(
    version: str, entries: list[Entry], tables: list[dict[str, Any]], backends: Backends
) -> Given:
    entries.sort(key=lambda entry: entry.rank)
    places: dict[tuple[str | int, ...], str] = {
        ("route", i): entry.place for i, entry in enumerate(entries)
    }
    for i, table in enumerate(tables):
        places["listen", i] = listeners.place_of(int(table["name"].rpartition(":")[2]))
    places |= {("upstream", name): where for name, where in backends.places.items()}
    routes = [{**entry.table, "order": i} for i, entry in enumerate(entries, 1)]
    return Given(version, routes, backends.tables, tables, places=places)


def _classes(world: World, terms: Terms) -> dict[Key, Sequence[Told]]:
    key = ("", terms.gateway_class)
    found = world.get("GatewayClass", *key)
    if found is None:
        return {}
    if isinstance(found, Broken):
        spec = found.spec
        mine = isinstance(spec, dict) and spec.get("controllerName") == terms.controller
        return {key: [accepted("InvalidParameters", found.why)]} if mine else {}
    if found.spec.controller_name != terms.controller:
        return {}
    if found.spec.parameters_ref is not None:
        return {key: [accepted("InvalidParameters", "spec.parametersRef is not supported")]}
    return {key: [accepted()]}


def _gateway(key: Key, doors: Doors, terms: Terms) -> GatewayTold:
    refused = doors.refused.get(key)
    if refused is not None:
        return GatewayTold([refused], (), False, refused.message)
    mine = doors.of(key)
    good = [door for door in mine if door.is_distinct and "ResolvedRefs" not in door.told]
    told = accepted()
    if len(good) < len(mine):
        usable = any(door.is_distinct for door in mine)
        told = Told("Accepted", usable, "ListenersNotValid", "some listeners are not valid")
    elif not mine:
        told = Told("Accepted", False, "ListenersNotValid", "it has no listeners")
    gateway = doors.gateways[key]
    asked = () if isinstance(gateway, Broken) else gateway.spec.addresses
    missing = [one.value or "any" for one in asked if one.value not in terms.addresses]
    why = f"address {missing[0]} is none of this gateway's" if missing else ""
    shown = [_listener(door) for door in mine if door.listener.name]
    return GatewayTold([told], shown, told.holds, why)


def _left_behind(world: World, terms: Terms) -> dict[Key, GatewayTold]:
    """Gateways whose class is gone, and whose statuses still say that they are served."""
    if world.get("GatewayClass", "", terms.gateway_class) is not None:
        return {}
    why = f"there is no GatewayClass {terms.gateway_class}"
    told = GatewayTold([accepted("Pending", why)], (), False, why)
    return {
        key: told
        for key, gateway in world.all("Gateway")
        if not isinstance(gateway, Broken)
        and gateway.spec.gateway_class_name == terms.gateway_class
        and any(
            one.type == "Programmed" and one.status == "True" for one in gateway.status.conditions
        )
        and (not terms.gateways or "/".join(key) in terms.gateways)
    }


def _listener(door: Door) -> ListenerTold:
    told = [
        door.told.get("Accepted", accepted()),
        door.told.get("ResolvedRefs", resolved()),
        door.told.get("Conflicted", Told("Conflicted", False, "NoConflicts")),
    ]
    if (overlaps := door.told.get("OverlappingTLSConfig")) is not None:
        told.append(overlaps)
    return ListenerTold(door.listener.name, door.kinds, door.attached, told, door.is_open)


def _left_out(outcome: Outcome) -> Iterator[str]:
    """For /config and the log: what conditions say, in one line each."""
    for key, gateway in outcome.gateways.items():
        for listener in gateway.listeners:
            for one in listener.told:
                if one.type != "Conflicted" and not one.holds:
                    where = f"{place('Gateway', key)}: listener {listener.name}"
                    yield f"{where}: {one.reason}: {one.message}"
    for (kind, key), route in outcome.routes.items():
        wrong = [one for _, told in route.parents for one in told]
        for one in dict.fromkeys(wrong):
            if one.holds is (one.type == "PartiallyInvalid"):
                yield f"{place(kind, key)}: {one.reason}: {one.message}"
