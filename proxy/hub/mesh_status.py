"""What a sidecar knows of itself and of its peers: `/mesh` of the admin port, `spangate mesh
status`, and `/mesh/redirect`, which `spangate mesh run` asks before its command begins. Made of
what it holds and of what workers have counted; no peer is asked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from proxy.config.model import Config
from proxy.telemetry.instruments import (
    ACCESS_DENIED,
    DOWNSTREAM_TLS_FAILED,
    MESH_HANDSHAKES,
    UPSTREAM_TLS_FAILED,
)
from proxy.telemetry.metrics import Series

if TYPE_CHECKING:
    from proxy.hub.identity import Identity
    from proxy.mesh.svid import Svid

_FAILED = {DOWNSTREAM_TLS_FAILED: "inbound", UPSTREAM_TLS_FAILED: "outbound"}


def redirected(config: Config) -> dict[str, Any]:
    """How traffic gets to it, and where it takes what its application sends."""
    mesh = config.mesh
    if mesh is None:
        return {"mesh": False}
    return {"mesh": True, "redirect": mesh.redirect, "outbound": mesh.outbound}


def view(
    config: Config, identity: Identity | None, series: Iterable[Series], now: float
) -> dict[str, Any]:
    """`now` is Unix time."""
    mesh = config.mesh
    if mesh is None:
        return redirected(config)
    return {
        **redirected(config),
        "mtls": mesh.mtls,
        "source": mesh.identity.ca if mesh.identity is not None else "",
        "identity": _identity(identity.svid if identity is not None else None, now),
        "error": identity.error if identity is not None else "",
        "trust": _trust(identity.svid) if identity is not None and identity.svid else {},
        "allow": [
            {"from": rule.source, "path": rule.path, "method": rule.method} for rule in mesh.allow
        ],
        **_counted(series),
    }


def _identity(svid: Svid | None, now: float) -> dict[str, Any] | None:
    if svid is None:
        return None
    return {
        "id": str(svid.id),
        "trust_domain": svid.id.domain,
        "since": _time(svid.since),
        "until": _time(svid.until),
        "remaining_seconds": round(svid.until - now, 1),
        "expired": svid.until <= now,
        "sha256": svid.certified.fingerprint,
    }


def _trust(svid: Svid) -> dict[str, list[dict[str, str]]]:
    """The authorities of each trust domain."""
    return {
        domain: [
            {"subject": one.subject, "until": _time(one.until), "sha256": one.sha256}
            for one in roots
        ]
        for domain, roots in sorted(svid.roots.items())
    }


def _counted(series: Iterable[Series]) -> dict[str, Any]:
    """Who has shaken hands here, whoever has not and why, and what `allow` has refused."""
    peers: dict[str, dict[str, int]] = {}
    refused: dict[str, dict[str, int]] = {"inbound": {}, "outbound": {}}
    denied: dict[str, int] = {}
    for one in series:
        said = dict(one.attributes)
        number = one.value if isinstance(one.value, int) else 0
        name = one.instrument.name
        if name == MESH_HANDSHAKES:
            of = peers.setdefault(str(said["spangate.peer.identity"]), {})
            _add(of, str(said["spangate.direction"]), number)
        elif name in _FAILED:
            _add(refused[_FAILED[name]], str(said.get("spangate.reason", "")), number)
        elif name == ACCESS_DENIED and said.get("spangate.check") == "mesh":
            _add(denied, str(said["spangate.denied.reason"]), number)
    return {
        "peers": [{"identity": who, **of} for who, of in sorted(peers.items())],
        "handshakes_failed": refused,
        "denied": denied,
    }


def _add(to: dict[str, int], key: str, number: int) -> None:
    to[key] = to.get(key, 0) + number


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
