"""Services that routes refer to, as upstreams whose servers are their endpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from proxy.sources.kubernetes.conditions import Told, resolved
from proxy.sources.kubernetes.core_objects import Service, ServicePort
from proxy.sources.kubernetes.kinds import Broken, Key, place
from proxy.sources.kubernetes.policies import Policies
from proxy.sources.kubernetes.world import World

Table = dict[str, Any]

# Take the share of what refers to nothing: no server, and 500 instead of 503 but for calls of gRPC.
NOWHERE, NOWHERE_FOR_CALLS = "kubernetes.nowhere", "kubernetes.nowhere.h2"
LONGEST = 63  # characters of an upstream's name
H2C = ("kubernetes.io/h2c",)
PLAIN = ("", "http", "https", "kubernetes.io/ws", "tcp", "grpc", "http2", "ws")


class Port(NamedTuple):
    """Of a service: which of its endpoints are servers."""

    service: Key
    name: str  # of the port; "" = it has none
    scheme: str  # of the servers


class Wanted(NamedTuple):
    """What some route refers to."""

    kind: str  # of the route
    namespace: str
    group: str
    to_kind: str
    to_namespace: str
    name: str
    port: int | str | None  # its number; Ingress may say its name
    is_grpc: bool = False


class Backends:
    """Of all routes of one state."""

    def __init__(self, world: World, policies: Policies) -> None:
        self.world = world
        self._policies = policies
        self.tables: dict[str, Table] = {}
        self.ports: dict[str, Port] = {}  # by upstream
        self.places: dict[str, str] = {}

    def nowhere(self, is_grpc: bool) -> str:
        """The upstream that fails."""
        name = NOWHERE_FOR_CALLS if is_grpc else NOWHERE
        self.tables[name] = {"discover": "source", "empty_status": 503 if is_grpc else 500}
        self.places[name] = "kubernetes"
        return name

    def find(self, wanted: Wanted, gateways: Iterable[Key]) -> str | Told:
        """The upstream's name, or why there is none. `gateways`: where the route is attached."""
        if (wanted.group, wanted.to_kind) != ("", "Service"):
            return resolved("InvalidKind", f"backends of kind {wanted.to_kind} are not supported")
        key = (wanted.to_namespace, wanted.name)
        shown = f"Service {'/'.join(key)}"
        if not self.world.may_refer(wanted.kind, wanted.namespace, "Service", key):
            return resolved("RefNotPermitted", f"no ReferenceGrant lets it refer to {shown}")
        service = self.world.get("Service", *key)
        if service is None:
            return resolved("BackendNotFound", f"there is no {shown}")
        port = _port(service, wanted.port)
        if isinstance(port, str):
            return resolved("BackendNotFound", f"{shown} {port}")
        why = self.world.blocked.get(place("Service", key))
        if why is not None:
            return resolved("UnsupportedProtocol", why)
        return self._upstream(key, port, wanted.is_grpc, gateways)

    def _upstream(
        self, key: Key, port: ServicePort, is_grpc: bool, gateways: Iterable[Key]
    ) -> str | Told:
        is_h2 = is_grpc or port.app_protocol in H2C
        if not is_h2 and port.app_protocol not in PLAIN:
            message = f"appProtocol {port.app_protocol} is not supported"
            return resolved("UnsupportedProtocol", message)
        policy = self._policies.of(key, port.name)
        if policy is not None:
            policy.ancestors.update(gateways)
            if policy.why:
                message = f"BackendTLSPolicy {'/'.join(policy.key)}: {policy.why}"
                return resolved("BackendNotFound", message)
        scheme = "https" if policy is not None else "http"
        name = _name(key, str(port.port), "h2" if is_h2 else "")
        if name not in self.tables:
            table: Table = {"discover": "source" if scheme == "http" else f"source+{scheme}"}
            if is_h2:
                table["protocol"] = "h2"
            if policy is not None:
                table["tls"] = policy.tls
            self.tables[name] = table
            self.ports[name] = Port(key, port.name, scheme)
            self.places[name] = place("Service", key)
        return name


def _port(service: Service | Broken, wanted: int | str | None) -> ServicePort | str:
    """The port, or why there is none."""
    if isinstance(service, Broken):
        return f"cannot be read: {service.why}"
    if service.spec.type == "ExternalName":
        return "is of type ExternalName, which is not supported"
    if wanted is None:
        return "is referred to without a port"
    for port in service.spec.ports or ():
        if wanted in (port.port, port.name) and port.protocol == "TCP":
            return port
    return f"has no TCP port {wanted}"


def _name(key: Key, port: str, more: str) -> str:
    name = ".".join(filter(None, (*key, port, more)))
    if len(name) <= LONGEST:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: LONGEST - 13]}-{mark}"
