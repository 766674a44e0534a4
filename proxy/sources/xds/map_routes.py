"""RouteConfiguration -> tables of routes in its order, without the listener that asks for them.

Of the virtual hosts the one with the most specific domain takes a request, and no other one is
asked when none of its routes fits: so each ends with a route that answers 404. Domains are
compared without a port, as `ignore_port_in_host_matching` has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from proxy.routing.pattern import parse_host
from proxy.sources.xds.map_action import map_answer, map_forward, map_headers, map_redirect
from proxy.sources.xds.map_match import map_match
from proxy.sources.xds.map_retry import map_retry
from proxy.sources.xds.reading import Reader, Refused, which

_PORT = re.compile(r":(?:[0-9]+|\*)\Z")


@dataclass(frozen=True, slots=True)
class Entry:
    """One route."""

    name: str  # within its route configuration
    table: dict[str, Any]
    clusters: dict[str, int] = field(default_factory=dict)
    mirror: str = ""
    hashed: str = ""


@dataclass(frozen=True, slots=True)
class Routes:
    """One route configuration."""

    name: str
    entries: tuple[Entry, ...]
    clusters: frozenset[str]  # all that are named


def map_routes(config: Any, reader: Reader) -> Routes:
    """Refused, with the virtual host and the route that cannot be used."""
    reader.only(
        config, "name", "virtual_hosts", "request_headers_to_add", "request_headers_to_remove",
        "response_headers_to_add", "response_headers_to_remove",
    )  # fmt: skip
    entries: list[Entry] = []
    taken: dict[str, str] = {}
    known: set[str] = set()
    for host in config.virtual_hosts:
        try:
            if host.name in known:
                raise Refused("another one has that name")
            known.add(host.name)
            names = _hosts(host, taken)
            entries += _virtual_host(host, names, config, reader)
        except Refused as refused:
            raise Refused(f"virtual host {host.name}: {refused}") from None
    clusters = {name for entry in entries for name in (*entry.clusters, entry.mirror) if name}
    return Routes(config.name, tuple(entries), frozenset(clusters))


def _hosts(host: Any, taken: dict[str, str]) -> list[str]:
    """[] for any host. Each domain belongs to one virtual host."""
    names: list[str] = []
    for domain in host.domains:
        name = _PORT.sub("", domain) if not domain.startswith("[") or "]:" in domain else domain
        try:
            parse_host(name)
        except ValueError:
            raise Refused(f"domain {domain!r} is not supported") from None
        other = taken.setdefault(name.lower(), host.name)
        if other != host.name:
            raise Refused(f"domain {domain!r} belongs to virtual host {other} already")
        names.append(name)
    if not names:
        raise Refused("it has no domain")
    return [] if "*" in names else list(dict.fromkeys(names))


def _virtual_host(host: Any, names: list[str], config: Any, reader: Reader) -> list[Entry]:
    reader.only(
        host, "name", "domains", "routes", "retry_policy", "require_tls", "request_headers_to_add",
        "request_headers_to_remove", "response_headers_to_add", "response_headers_to_remove",
    )  # fmt: skip
    if host.require_tls:
        raise Refused("VirtualHost.require_tls is not supported")
    retry = map_retry(host.retry_policy, reader) if host.HasField("retry_policy") else None
    scope: dict[str, Any] = {"host": names} if names else {}
    entries = []
    for place, route in enumerate(host.routes):
        label = f"{host.name}/{route.name or place}"
        try:
            entry = _route(route, label, (host, config), reader)
        except Refused as refused:
            raise Refused(f"route {route.name or place}: {refused}") from None
        if retry is not None and entry.clusters:
            entry.table.setdefault("retry", retry)
        entry.table.update(scope)
        entries.append(entry)
    if names:
        table = {"path": "/*", "respond": {"status": 404}, **scope}
        entries.append(Entry(f"{host.name}/none", table))
    return entries


def _route(route: Any, label: str, outer: tuple[Any, Any], reader: Reader) -> Entry:
    reader.only(
        route, "name", "match", "route", "redirect", "direct_response", "request_headers_to_add",
        "request_headers_to_remove", "response_headers_to_add", "response_headers_to_remove",
    )  # fmt: skip
    match = map_match(route.match, reader)
    kind = which(route, "action")
    if kind == "route":
        action = map_forward(route.route, route.match, reader)
    elif kind == "redirect":
        action = map_redirect(route.redirect, route.match, reader)
    elif kind == "direct_response":
        action = map_answer(route.direct_response, reader)
    else:
        raise Refused(f"Route.{kind or 'action'} is not supported")
    table: dict[str, Any] = {"path": match.path, **action.table}
    if when := match.when():
        table["when"] = when
    if headers := map_headers((route, *outer), reader):
        table["headers"] = headers
    return Entry(label, table, action.clusters, action.mirror, action.hashed)
