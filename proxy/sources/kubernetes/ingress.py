"""Ingress, for clusters that have no Gateways yet: rules by host and path, and TLS by Secrets.

Its requests come to ports 80 and 443. It has no conditions: what is wrong is told as left out.
Annotations of other controllers mean nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from proxy.routing.pattern import parse_host
from proxy.sources.kubernetes import matches
from proxy.sources.kubernetes.backends import Backends, Wanted
from proxy.sources.kubernetes.conditions import Told
from proxy.sources.kubernetes.core_objects import Ingress, IngressBackend, IngressTls
from proxy.sources.kubernetes.kinds import Broken, Key, place
from proxy.sources.kubernetes.listeners import name_of
from proxy.sources.kubernetes.matches import Match, Unsupported
from proxy.sources.kubernetes.objects import HttpMatch, PathMatch
from proxy.sources.kubernetes.rules import FAILS, Entry
from proxy.sources.kubernetes.vault import Vault
from proxy.sources.kubernetes.world import Terms, World, age

HTTP, HTTPS = 80, 443
CLASS = "kubernetes.io/ingress.class"  # the annotation that was before ingressClassName
DEFAULT = "ingressclass.kubernetes.io/is-default-class"
TYPES = {"Exact": "Exact", "Prefix": "PathPrefix", "ImplementationSpecific": "PathPrefix"}
Table = dict[str, Any]


class _Rule(NamedTuple):
    host: str  # "" = any
    match: Match
    backend: IngressBackend


@dataclass(slots=True)
class Ingresses:
    """What all of them say."""

    entries: list[Entry] = field(default_factory=list)
    ports: list[tuple[int, str]] = field(default_factory=list)  # with a certificate's name, or ""
    pairs: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    secrets: set[Key] = field(default_factory=set)  # that are referred to
    ours: list[Key] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def find(world: World, terms: Terms, vault: Vault, backends: Backends) -> Ingresses:
    """Those of our class."""
    found = Ingresses()
    mine = [(key, one) for key, one in world.all("Ingress") if _is_ours(one, world, terms)]
    for key, ingress in sorted(mine, key=lambda pair: age(pair[1])):
        where = place("Ingress", key)
        why = ingress.why if isinstance(ingress, Broken) else world.blocked.get(where)
        if why is not None:
            found.left_out.append(f"{where}: {why}")
            continue
        found.ours.append(key)
        _routes(ingress, where, found, backends)
        for tls in ingress.spec.tls or ():
            _certificate(key, tls, where, found, world, vault)
    if found.entries:
        found.ports.append((HTTP, ""))
    return found


def _is_ours(ingress: Ingress | Broken, world: World, terms: Terms) -> bool:
    if isinstance(ingress, Broken):
        spec = ingress.spec
        return isinstance(spec, dict) and spec.get("ingressClassName") == terms.ingress_class
    name = ingress.spec.ingress_class_name
    if name is None:
        name = (ingress.metadata.annotations or {}).get(CLASS)
    known = world.get("IngressClass", "", terms.ingress_class)
    if known is not None and (
        isinstance(known, Broken) or known.spec.controller != terms.controller
    ):
        return False
    if name is None:
        said = (known.metadata.annotations or {}) if known is not None else {}
        return said.get(DEFAULT) == "true"
    return name == terms.ingress_class


def _routes(ingress: Ingress, where: str, found: Ingresses, backends: Backends) -> None:
    meta = ingress.metadata
    name = f"ingress:{meta.namespace}/{meta.name}"
    ports = [HTTP, *([HTTPS] if ingress.spec.tls else [])]
    number = 0
    for rule in _rules(ingress, where, found):
        target = _target(ingress, rule.backend, where, found, backends)
        for port in ports:
            number += 1
            table: Table = {"name": name if number == 1 else f"{name}#{number}"}
            table |= {"host": [rule.host]} if rule.host else {}
            when = {**rule.match.when, "listener": name_of(port)}
            table |= {"path": rule.match.path, "when": when, **target}
            rank = (2, *rule.match.rank[1:], *age(ingress), number)
            found.entries.append(Entry(rank, table, where))


def _rules(ingress: Ingress, where: str, found: Ingresses) -> Iterator[_Rule]:
    for rule in ingress.spec.rules or ():
        for path in rule.http.paths if rule.http is not None else ():
            try:
                kind = TYPES.get(path.path_type)
                if kind is None:
                    raise Unsupported(f"pathType {path.path_type} is not supported")
                if rule.host:
                    parse_host(rule.host)
                yield _Rule(rule.host, _match(kind, path.path), path.backend)
            except ValueError as error:
                found.left_out.append(f"{where}: {error}")
    if ingress.spec.default_backend is not None:
        yield _Rule("", _match("PathPrefix", "/"), ingress.spec.default_backend)


def _match(kind: str, path: str) -> Match:
    return matches.http(HttpMatch(path=PathMatch(kind, path or "/")))


def _target(
    ingress: Ingress, backend: IngressBackend, where: str, found: Ingresses, backends: Backends
) -> Table:
    service, namespace = backend.service, ingress.metadata.namespace
    if service is None:
        found.left_out.append(f"{where}: a backend that is no Service is not supported")
        return FAILS
    port = service.port.number or service.port.name
    wanted = Wanted("Ingress", namespace, "", "Service", namespace, service.name, port)
    name = backends.find(wanted, ())
    if isinstance(name, Told):
        found.left_out.append(f"{where}: {name.message}")
        return FAILS
    return {"to": {name: 1}}


def _certificate(
    key: Key, tls: IngressTls, where: str, found: Ingresses, world: World, vault: Vault
) -> None:
    secret = (key[0], tls.secret_name)
    if not tls.secret_name:
        found.left_out.append(f"{where}: tls without a secretName")
        return
    found.secrets.add(secret)
    known = world.get("Secret", *secret)
    if known is None:
        found.left_out.append(f"{where}: there is no Secret {'/'.join(secret)}")
        return
    pair = vault.pair(known, world.now)
    if pair.why:
        found.left_out.append(f"{where}: Secret {'/'.join(secret)}: {pair.why}")
        return
    name = "/".join(secret)
    found.pairs[name] = (pair.cert, pair.key)
    found.ports.append((HTTPS, name))
