"""`[mesh]` as what it stands for: two listeners, the upstreams behind them, and routes.

Inbound is for the application, and everything that comes there goes to it. Outbound is what the
application calls: the routes of the file first, then upstreams by their names, then wherever the
call was meant to go. A pure function from one Config to another, so that what is checked,
explained and shown is what is in force.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec.structs import replace

from proxy.config.material import MESH
from proxy.config.mesh_model import Mesh
from proxy.config.mesh_names import (
    APP,
    AWAY,
    BYTES,
    BYTES_SNI,
    H2,
    INBOUND,
    OUTBOUND,
    PEERS,
    RESERVED,
    SNI,
)
from proxy.config.model import Config, Listener, ListenerTls, Route, Upstream, UpstreamTls, When
from proxy.config.report import Report
from proxy.config.syntax import parse_address
from proxy.config.units import Seconds

_PEER_NAME, _BYTES_NAME = SNI + "spangate", BYTES_SNI + "spangate"

_HOST = re.compile(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")
_EVERYBODY = ["0.0.0.0/0", "::/0", "unix"]
_LOOPBACK = "localhost"


def expand(config: Config, report: Report, *, listens: bool) -> Config:
    """The configuration with all that its `[mesh]` stands for. `listens`: whether the file has
    listeners of its own."""
    mesh = config.mesh
    if mesh is None:
        return config
    listeners = [*(config.listen if listens else ()), *_listeners(mesh)]
    for i, key in ((len(listeners) - 2, INBOUND), (len(listeners) - 1, OUTBOUND)):
        report.lines.move(("listen", i, "address"), ("mesh", key))
        report.lines.alias(("listen", i, "tls"), ("mesh", "identity"))
    upstreams = {**config.upstream, **_upstreams(mesh)}
    mine = [_outward(route) if isinstance(route, Route) else route for route in config.route]
    routes = [*mine, *_routes(config, mine)]
    for i in range(len(mine), len(routes)):
        report.lines.alias(("route", i), ("mesh",))
    for name in RESERVED:
        report.lines.alias(("upstream", name), ("mesh",))
    resource = {**config.resource, "service.name": mesh.name} if mesh.name else config.resource
    return replace(config, listen=listeners, upstream=upstreams, route=routes, resource=resource)


def made_by(mesh: Mesh | None) -> tuple[str, ...]:
    """The names of the upstreams that are the sidecar's own."""
    return () if mesh is None else RESERVED


def is_secure(mesh: Mesh) -> bool:
    """Whether the sidecar has a name that it proves."""
    return mesh.identity is not None and mesh.mtls != "off"


def app_of(mesh: Mesh) -> tuple[str, int]:
    """Where the application listens; port 0 = where it was called."""
    if not mesh.app:
        return "127.0.0.1", 0
    host, port = parse_address(mesh.app)
    return host or "127.0.0.1", port


def outbound_of(mesh: Mesh) -> str:
    """Where the outbound side listens: without a host that is this machine alone, for on other
    addresses it would carry strangers' requests anywhere."""
    host, port = parse_address(mesh.outbound)
    return mesh.outbound if host else f"{_LOOPBACK}:{port}"


def key_of(config: Config, address: str) -> str:
    """What an address to listen on is written as: a key of `[mesh]`, or `listen`."""
    mesh = config.mesh
    if mesh is not None and address in (mesh.inbound, outbound_of(mesh)):
        return f"mesh.{INBOUND if address == mesh.inbound else OUTBOUND}"
    return "listen"


def _listeners(mesh: Mesh) -> Iterator[Listener]:
    tls = None
    if is_secure(mesh):
        # Whoever comes without a certificate is not asked: he does not begin our kind of TLS.
        tls = ListenerTls(cert=MESH, key=MESH, client_ca=MESH)
    handed = mesh.redirect == "tproxy"
    yield Listener(
        address=mesh.inbound, name=INBOUND, trust=_EVERYBODY, tls=tls, transparent=handed
    )
    yield Listener(address=outbound_of(mesh), name=OUTBOUND, trust=_EVERYBODY)


def _upstreams(mesh: Mesh) -> dict[str, Upstream]:
    host, port = app_of(mesh)
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    http = {f"http://{place}": 1} if port else {}
    made = {
        APP: Upstream(servers=http),
        APP + H2: Upstream(servers=http, protocol="h2"),
        APP + BYTES: Upstream(servers={f"tcp://{place}": 1} if port else {}),
        AWAY: Upstream(),
        AWAY + H2: Upstream(protocol="h2"),
        AWAY + BYTES: Upstream(),
    }
    if is_secure(mesh):
        tls = UpstreamTls(ca=MESH, cert=MESH, key=MESH, server_name=_PEER_NAME)
        made[PEERS] = Upstream(tls=tls)
        made[PEERS + BYTES] = Upstream(protocol="h1", tls=replace(tls, server_name=_BYTES_NAME))
    return {name: _patient(upstream) for name, upstream in made.items()}


def _patient(upstream: Upstream) -> Upstream:
    """An application waits for as long as it likes: what it calls by a sidecar must not end sooner
    than without one. Envoy gives an hour to connections on which nothing moves."""
    return replace(upstream, first_byte_timeout=Seconds(0), idle_timeout=Seconds(3600))


def _outward(route: Route) -> Route:
    """Routes of the file are for what the application calls, unless they name a listener."""
    if route.when.listener:
        return route
    return replace(route, when=replace(route.when, listener=OUTBOUND))


def _routes(config: Config, mine: list[Route]) -> Iterator[Route]:
    taken = {host.lower() for route in mine if _takes_all(route) for host in route.host}
    names = {route.name for route in mine if isinstance(route, Route)}
    for name in config.upstream:
        if name.lower() not in taken and _HOST.fullmatch(name):
            called = name if name not in names else f"{name}.{OUTBOUND}"
            yield Route(name=called, host=[name], to={name: 1}, when=When(listener=OUTBOUND))
    yield Route(name=INBOUND, to={APP: 1}, when=When(listener=INBOUND))
    yield Route(name=OUTBOUND, to={AWAY: 1}, when=When(listener=OUTBOUND))


def _takes_all(route: Route) -> bool:
    """Whether no request for its hosts goes past it."""
    plain = replace(route.when, listener="") == When() if isinstance(route, Route) else False
    return plain and route.path == "/*" and route.when.listener == OUTBOUND
