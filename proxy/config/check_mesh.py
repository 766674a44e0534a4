"""What must hold within `[mesh]`, and between it and the rest, before it is expanded."""

from __future__ import annotations

import contextlib
import ipaddress
import re

from proxy.config.checks import attempt
from proxy.config.locate import Path
from proxy.config.mesh_expand import is_secure, outbound_of
from proxy.config.mesh_model import Mesh
from proxy.config.mesh_names import INBOUND, OUTBOUND, RESERVED
from proxy.config.mesh_peers import has, parsed
from proxy.config.model import Config, Listener, Route
from proxy.config.report import Report
from proxy.config.syntax import (
    is_everywhere,
    is_loopback,
    is_unix,
    overlap,
    parse_address,
    parse_network,
    parse_server,
)

_HOST = re.compile(r"(?:\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")


def check_mesh(config: Config, report: Report) -> bool:
    """Report what cannot work; whether the table can be expanded."""
    mesh = config.mesh
    if mesh is None or report.has_failed("mesh"):
        return False
    _places(mesh, report)
    _app(mesh, report)
    _excluded(mesh, report)
    _names(config, report)
    _in_plain(mesh, config, report)
    if mesh.name and not mesh.name.isprintable():
        report.error(("mesh", "name"), "a name is one line of visible characters")
    said = config.resource.get("service.name", "")
    if mesh.name and said not in ("", mesh.name) and report.lines.exact(_SERVICE):
        remedy = "say it once"
        report.warn(_SERVICE, f"the sidecar's service is {mesh.name!r}, as `name` says", remedy)
    return not report.is_broken("mesh")


def _in_plain(mesh: Mesh, config: Config, report: Report) -> None:
    """Upstreams of the file are asked as they say, whoever their servers are."""
    peers = parsed(mesh)
    for name, upstream in config.upstream.items() if is_secure(mesh) and mesh.peers else ():
        for url in upstream.servers:
            with contextlib.suppress(ValueError):
                server = parse_server(url)
                if server.scheme in ("http", "tcp") and has(peers, server.host, server.host):
                    message = f"{url} is one of [mesh] `peers`, and is called in plain text"
                    report.warn(("upstream", name, "servers"), message, _BY_MTLS)
                    break


_BY_MTLS = (
    'write "https://…" and tls = { ca = "mesh:", cert = "mesh:", key = "mesh:", server_name ='
    ' "outbound.mesh.NAME" } (docs/mesh-identity.md), or leave the upstream out'
)
_SERVICE: Path = ("resource", "service.name")


def _places(mesh: Mesh, report: Report) -> None:
    fine = True
    for key in (INBOUND, OUTBOUND):
        path: Path = ("mesh", key)
        text = getattr(mesh, key)
        if report.is_broken(*path):
            fine = False
        elif is_unix(text):
            fine = False
            remedy = f'write ":{15006 if key == INBOUND else 15001}"'
            report.error(path, "a sidecar takes TCP", remedy)
        else:
            fine = attempt(parse_address, text, path, report) and fine
    if not fine:
        return
    (host, port), (other, its) = parse_address(mesh.inbound), parse_address(outbound_of(mesh))
    if port and port == its and overlap(host, other):
        report.error(("mesh", OUTBOUND), "inbound listens there", "use another port")
    if not is_loopback(other):
        message = "whoever reaches this address can have requests sent anywhere in this one's name"
        report.warn(("mesh", OUTBOUND), message, f'write "127.0.0.1:{its}"')


def _app(mesh: Mesh, report: Report) -> None:
    path: Path = ("mesh", "app")
    if report.is_broken(*path):
        return
    if not mesh.app:
        if mesh.redirect == "none":
            message = "nothing says where the application listens"
            report.error(path, message, 'write app = "127.0.0.1:8000", or redirect = "nft"')
        return
    if mesh.app.isdigit():
        remedy = f'write "127.0.0.1:{mesh.app}"'
        report.error(path, f"{mesh.app!r} is not an address", remedy)
        return
    if not attempt(parse_address, mesh.app, path, report):
        return
    host, port = parse_address(mesh.app)
    if not port:
        report.error(path, "an application cannot be reached at port 0", "write its port")
    elif is_everywhere(host) or host == "0.0.0.0":
        if host:
            report.error(path, f"{host!r} is every address", f'write "127.0.0.1:{port}"')
    elif not is_loopback(host) and not _is_address(host):
        remedy = f'write "127.0.0.1:{port}"'
        report.error(path, "the application is on this machine: give an address of it", remedy)
    _not_itself(mesh, host or "127.0.0.1", port, report)


def _not_itself(mesh: Mesh, host: str, port: int, report: Report) -> None:
    for key in (INBOUND, OUTBOUND):
        if report.is_broken("mesh", key):
            continue
        own, its = parse_address(getattr(mesh, key))
        if port == its and overlap(own, host):
            message = f"that is the sidecar's own {key} listener"
            report.error(("mesh", "app"), message, "write the port of the application")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _excluded(mesh: Mesh, report: Report) -> None:
    for i, network in enumerate(mesh.exclude.networks):
        if not report.is_broken("mesh", "exclude", "networks", i):
            attempt(parse_network, network, ("mesh", "exclude", "networks", i), report)
    for i, peer in enumerate(mesh.peers):
        path: Path = ("mesh", "peers", i)
        if report.is_broken(*path) or _HOST.fullmatch(peer):
            continue
        attempt(parse_network, peer, path, report)


def _names(config: Config, report: Report) -> None:
    """What the sidecar makes has names that the file cannot give to something else."""
    before = len(report.problems)
    for name in RESERVED:
        if name in config.upstream:
            message = f"with [mesh] {name!r} is an upstream that the sidecar makes"
            report.error(("upstream", name), message, "call it otherwise")
    for i, listener in enumerate(config.listen):
        if isinstance(listener, Listener) and listener.name in (INBOUND, OUTBOUND):
            message = f"with [mesh] {listener.name!r} is the sidecar's listener"
            report.error(("listen", i, "name"), message, "call it otherwise")
    for i, route in enumerate(config.route):
        if isinstance(route, Route) and route.name in (INBOUND, OUTBOUND):
            message = f"with [mesh] {route.name!r} is a route that the sidecar makes"
            report.error(("route", i, "name"), message, "call it otherwise")
    if len(report.problems) > before:
        report.fail(("mesh",))  # what follows from its absence is not one more mistake
