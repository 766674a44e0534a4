"""What `[mesh] identity` says: which source, and who this sidecar is where the source asks."""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.config.locate import Path
from proxy.config.material import MESH
from proxy.config.mesh_model import Mesh
from proxy.config.model import Config, Listener
from proxy.config.report import Report
from proxy.config.spiffe import Pattern, SpiffeId, check_domain, parse

LOCAL, FILES, SPIFFE = "local", "files", "spiffe"
INBOUND = "inbound"  # what the listener is called that `[mesh] inbound` makes
DOMAIN = "mesh"  # the trust domain of a local authority that says no other
LONGEST_TTL = 86400.0  # seconds; an authority trusts a root for as long after its last certificate
SHORTEST_TTL = 2.0
LEAST_TTL = 60.0  # below it a loaded machine may not have signed the next one in time

_REMEDY = 'write "local:///var/lib/spangate/ca", "files:///etc/certs" or "spiffe:///run/agent.sock"'


class Ca(NamedTuple):
    """A source's kind, and the path that it is about."""

    kind: str
    path: str


def parse_ca(text: str) -> Ca:
    """Raises ValueError."""
    kind, colon, path = text.partition("://")
    if not colon or kind not in (LOCAL, FILES, SPIFFE):
        raise ValueError(f"{text!r} is no source of identities")
    if not path.startswith("/") or "\0" in path:
        raise ValueError(f"{text!r} has no whole path: three slashes, as in {kind}:///DIR")
    return Ca(kind, path)


def who(config: Config) -> SpiffeId:
    """Who this sidecar is by a local authority."""
    mesh = config.mesh
    assert mesh is not None and mesh.identity is not None
    if mesh.identity.id:
        return parse(mesh.identity.id)
    name = mesh.name or str(config.resource.get("service.name", "")) or "spangate"
    return SpiffeId(mesh.identity.domain or DOMAIN, f"/{_segment(name)}")


def listeners_of(config: Config) -> list[Listener]:
    """Those by which peers come in: that show the identity, and the inbound one whatever it
    shows. There `mesh.allow` holds."""
    inbound = config.mesh.inbound if config.mesh is not None else ""
    return [one for one in config.listen if _shows(one) or (inbound and _is_inbound(one, inbound))]


def _shows(listener: Listener) -> bool:
    return listener.tls is not None and MESH in (listener.tls.cert, listener.tls.client_ca)


def _is_inbound(listener: Listener, address: str) -> bool:
    return listener.name == INBOUND or listener.address == address


def check_mesh_identity(config: Config, report: Report) -> None:
    """Report an identity that nobody could have, and rules that hold for nobody."""
    mesh = config.mesh
    if mesh is None:
        return
    if mesh.identity is not None and not report.is_broken("mesh", "identity"):
        _identity(mesh, report)
    proves = mesh.identity is not None and mesh.mtls != "off"
    for i, rule in enumerate(mesh.allow):
        if rule is not None and not report.is_broken("mesh", "allow", i):
            _source(rule.source, proves, ("mesh", "allow", i, "from"), report)
    if mesh.mtls == "strict" and mesh.identity is None:
        message = "nobody can show an identity to who has none"
        report.error(("mesh", "mtls"), message, "write [mesh] identity")


def _source(source: str, proves: bool, place: Path, report: Report) -> None:
    try:
        Pattern(source)
    except ValueError as error:
        message = f"{source!r} is no SPIFFE ID: {error}"
        report.error(place, message, 'write "spiffe://mesh/shop"')
        return
    if source != "*" and not proves:
        message = "nobody can show an identity here, so the rule lets nobody in"
        report.error(place, message, 'write [mesh] identity, and not mtls = "off"')


def _identity(mesh: Mesh, report: Report) -> None:
    said = mesh.identity
    assert said is not None
    place = ("mesh", "identity")
    try:
        parse_ca(said.ca)
    except ValueError as error:
        report.error((*place, "ca"), str(error), _REMEDY)
    if said.domain:
        try:
            check_domain(said.domain)
        except ValueError as error:
            report.error((*place, "domain"), f"{said.domain!r}: {error}", 'write "mesh"')
    if said.id:
        _id(said.id, said.domain, report)
    _ttl(said.ttl, report)


def _ttl(ttl: float, report: Report) -> None:
    place = ("mesh", "identity", "ttl")
    if not SHORTEST_TTL <= ttl <= LONGEST_TTL:
        report.error(place, f"{ttl:g} s is not between 2 s and 24 h", 'write "1h"')
    elif ttl < LEAST_TTL:
        message = f"{ttl:g} s: a machine under load may not have signed the next one in time"
        report.warn(place, message, 'write "1h", or at least "1m"')


def _id(text: str, domain: str, report: Report) -> None:
    place = ("mesh", "identity", "id")
    try:
        found = parse(text)
    except ValueError as error:
        report.error(place, f"{text!r} is no SPIFFE ID: {error}", 'write "spiffe://mesh/orders"')
        return
    if not found.path:
        report.error(place, "it names a trust domain and no workload", f'write "{text}/orders"')
    elif found.domain != (domain or found.domain):
        message = f"{text!r} is not of the trust domain {domain!r}"
        report.error(place, message, "leave out `domain`")


def _segment(name: str) -> str:
    """A segment of a path, of whatever a service is called."""
    made = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:200]
    return made if made.strip(".") else "spangate"
