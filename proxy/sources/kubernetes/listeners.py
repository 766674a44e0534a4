"""Listeners of Gateways: which of them take requests, and the addresses that are made of them.

All Gateways of the class share one gateway process, so listeners of one port are one address, and
are told apart by their hostnames. Of two that cannot be told apart the older Gateway's counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

from proxy.sources.kubernetes.conditions import Told
from proxy.sources.kubernetes.hostnames import covers
from proxy.sources.kubernetes.kinds import GROUP, Broken, Key
from proxy.sources.kubernetes.objects import Gateway, Listener, Reference
from proxy.sources.kubernetes.vault import Vault
from proxy.sources.kubernetes.world import Terms, World, age

PROTOCOLS = ("HTTP", "HTTPS")
ROUTES = ("HTTPRoute", "GRPCRoute")
Table = dict[str, Any]


@dataclass(slots=True)
class Door:
    """One listener of a Gateway."""

    gateway: Key
    listener: Listener
    kinds: tuple[str, ...] = ROUTES  # of routes that may attach
    told: dict[str, Told] = field(default_factory=dict)  # what is wrong, by type of condition
    certificates: list[str] = field(default_factory=list)  # names in the tables
    attached: int = 0

    @property
    def is_distinct(self) -> bool:
        """Whether routes may attach: it is accepted, though perhaps without a certificate."""
        return "Accepted" not in self.told

    @property
    def is_open(self) -> bool:
        """Whether it takes requests."""
        tls = self.listener.protocol == "HTTPS"
        return self.is_distinct and (bool(self.certificates) or not tls)

    @property
    def name(self) -> str:
        """Of the address, as `when.listener` has it."""
        return name_of(self.listener.port)


def name_of(port: int) -> str:
    return f"kubernetes:{port}"


def place_of(port: int) -> str:
    """As messages about an address begin."""
    return f"kubernetes listener {port}"


@dataclass(slots=True)
class Doors:
    """Of all Gateways that are ours."""

    gateways: dict[Key, Gateway | Broken] = field(default_factory=dict)
    refused: dict[Key, Told] = field(default_factory=dict)  # Gateways as a whole
    doors: list[Door] = field(default_factory=list)
    pairs: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)  # certificates by name
    secrets: set[Key] = field(default_factory=set)  # that are referred to

    def of(self, gateway: Key) -> list[Door]:
        return [door for door in self.doors if door.gateway == gateway]


def find(world: World, terms: Terms, vault: Vault) -> Doors:
    """Those of Gateways of our class."""
    found = Doors()
    if not is_ours(world, terms):
        return found
    mine = [
        (key, one) for key, one in world.all("Gateway") if _class_of(one) == terms.gateway_class
    ]
    for key, gateway in sorted(mine, key=lambda pair: age(pair[1])):
        if terms.gateways and "/".join(key) not in terms.gateways:
            continue
        found.gateways[key] = gateway
        fault = _fault(gateway)
        if fault is not None:
            found.refused[key] = fault
            continue
        for listener in gateway.spec.listeners:
            door = Door(key, listener)
            _judge(door, found, world)
            if door.is_distinct and listener.protocol == "HTTPS":
                _certificates(door, found, world, vault)
            found.doors.append(door)
    _overlaps(found.doors)
    return found


def is_ours(world: World, terms: Terms) -> bool:
    """Whether there is the class, and this controller is to answer for it."""
    found = world.get("GatewayClass", "", terms.gateway_class)
    return (
        found is not None
        and not isinstance(found, Broken)
        and found.spec.controller_name == terms.controller
        and found.spec.parameters_ref is None
    )


def tables(
    doors: Iterable[Door], terms: Terms, more: Iterable[tuple[int, str]] = ()
) -> list[Table]:
    """[[listen]], one for each port. `more`: ports with a certificate's name, "" = without."""
    ports: dict[int, list[str]] = {}
    for door in doors:
        if door.is_open:
            ports.setdefault(door.listener.port, []).extend(door.certificates)
    for port, certificate in more:
        ports.setdefault(port, []).extend([certificate] if certificate else [])
    return [_table(port, certificates, terms) for port, certificates in sorted(ports.items())]


def _table(port: int, certificates: list[str], terms: Terms) -> Table:
    made: Table = {"address": f":{terms.ports.get(port, port)}", "name": name_of(port)}
    pairs = [{"cert": f"source:{n}", "key": f"source:{n}"} for n in dict.fromkeys(certificates)]
    if pairs:
        made["tls"] = {**pairs[0], **({"certificates": pairs[1:]} if pairs[1:] else {})}
    return made


def _class_of(gateway: Gateway | Broken) -> object:
    if isinstance(gateway, Broken):
        spec = gateway.spec
        return spec.get("gatewayClassName") if isinstance(spec, dict) else None
    return gateway.spec.gateway_class_name


def _fault(gateway: Gateway | Broken) -> Told | None:
    if isinstance(gateway, Broken):
        return Told("Accepted", False, "Invalid", gateway.why)
    spec = gateway.spec
    if spec.infrastructure is not None and spec.infrastructure.parameters_ref is not None:
        message = "spec.infrastructure.parametersRef is not supported"
        return Told("Accepted", False, "InvalidParameters", message)
    for address in spec.addresses:
        if address.type not in (None, "IPAddress", "Hostname"):
            message = f"addresses of type {address.type} are not supported"
            return Told("Accepted", False, "UnsupportedAddress", message)
    said = {"tls": spec.tls, "backendTLS": spec.backend_tls}
    if spec.default_scope not in (None, "", "None"):
        said["defaultScope"] = spec.default_scope
    for name, value in said.items():
        if value:
            return Told("Accepted", False, "Invalid", f"spec.{name} is not supported")
    return None


def _judge(door: Door, found: Doors, world: World) -> None:
    """What is wrong with it, beside those that count already."""
    listener = door.listener
    if listener.fault:
        door.told["Accepted"] = Told("Accepted", False, "UnsupportedValue", listener.fault)
        door.kinds = ()
        return
    if listener.protocol not in PROTOCOLS:
        message = f"protocol {listener.protocol} is not supported: HTTP and HTTPS are"
        door.told["Accepted"] = Told("Accepted", False, "UnsupportedProtocol", message)
        door.kinds = ()
        return
    _kinds(door)
    if not 0 < listener.port < 65536:
        message = f"{listener.port} is no port"
        door.told["Accepted"] = Told("Accepted", False, "PortUnavailable", message)
    elif (why := world.blocked.get(place_of(listener.port))) is not None:
        door.told["Accepted"] = Told("Accepted", False, "PortUnavailable", why)
    for other in found.doors:
        if other.is_distinct and other.listener.port == listener.port:
            _compare(door, other)


def _compare(door: Door, other: Door) -> None:
    mine, its = door.listener, other.listener
    where = f"listener {its.name} of Gateway {'/'.join(other.gateway)}"
    if mine.protocol != its.protocol:
        reason, message = "ProtocolConflict", f"{where} has this port with {its.protocol}"
    elif mine.hostname.lower() == its.hostname.lower():
        reason, message = "HostnameConflict", f"{where} has this port and hostname"
    else:
        return
    door.told["Conflicted"] = Told("Conflicted", True, reason, message)
    door.told["Accepted"] = Told("Accepted", False, reason, message)


def _overlaps(doors: Sequence[Door]) -> None:
    """Tell listeners of TLS on one port whose names overlap: a connection for the one may be used
    for requests to the other."""
    secure = [door for door in doors if door.is_distinct and door.listener.protocol == "HTTPS"]
    for door, other in permutations(secure, 2):
        mine, its = door.listener, other.listener
        if mine.port == its.port and _meet(mine.hostname.lower(), its.hostname.lower()):
            kind, reason = "OverlappingTLSConfig", "OverlappingHostnames"
            where = f"listener {its.name} of Gateway {'/'.join(other.gateway)}"
            message = f"{where} has names of this one"
            door.told.setdefault(kind, Told(kind, True, reason, message))


def _meet(one: str, other: str) -> bool:
    return covers(one, other) or covers(other, one)


def _kinds(door: Door) -> None:
    asked = door.listener.allowed_routes.kinds
    if not asked:
        return
    good = [k.kind for k in asked if k.kind in ROUTES and k.group in (None, GROUP)]
    door.kinds = tuple(dict.fromkeys(good))
    wrong = [k.kind for k in asked if k.kind not in good or k.group not in (None, GROUP)]
    if wrong:
        message = f"routes of kind {', '.join(wrong)} are not supported"
        door.told["ResolvedRefs"] = Told("ResolvedRefs", False, "InvalidRouteKinds", message)


def _certificates(door: Door, found: Doors, world: World, vault: Vault) -> None:
    tls = door.listener.tls
    if tls is None or not tls.certificate_refs:
        _unresolved(door, "InvalidCertificateRef", "tls.certificateRefs names no Secret")
        return
    wrong = "" if tls.mode == "Terminate" else f"tls.mode {tls.mode} is not supported with HTTPS"
    for name, value in (("frontendValidation", tls.frontend_validation), ("options", tls.options)):
        wrong = f"tls.{name} is not supported" if value else wrong
    if wrong:
        door.told["Accepted"] = Told("Accepted", False, "UnsupportedValue", wrong)
        return
    for reference in tls.certificate_refs:
        for reason, message in _certificate(reference, door, found, world, vault):
            _unresolved(door, reason, message)


def _certificate(
    reference: Reference, door: Door, found: Doors, world: World, vault: Vault
) -> Iterator[tuple[str, str]]:
    """Why it cannot be used, if it cannot."""
    if (reference.group or "", reference.kind or "Secret") != ("", "Secret"):
        yield "InvalidCertificateRef", f"{reference.kind} is no Secret"
        return
    key = (reference.namespace or door.gateway[0], reference.name)
    if not world.may_refer("Gateway", door.gateway[0], "Secret", key):
        yield "RefNotPermitted", f"no ReferenceGrant lets it refer to Secret {'/'.join(key)}"
        return
    found.secrets.add(key)
    secret = world.get("Secret", *key)
    if secret is None:
        yield "InvalidCertificateRef", f"there is no Secret {'/'.join(key)}"
        return
    pair = vault.pair(secret, world.now)
    if pair.why:
        yield "InvalidCertificateRef", f"Secret {'/'.join(key)}: {pair.why}"
        return
    name = "/".join(key)
    found.pairs[name] = (pair.cert, pair.key)
    door.certificates.append(name)


def _unresolved(door: Door, reason: str, message: str) -> None:
    known = door.told.get("ResolvedRefs")
    if known is not None and known.message:
        message = f"{known.message}; {message}"
    door.told["ResolvedRefs"] = Told("ResolvedRefs", False, reason, message)
