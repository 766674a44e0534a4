"""The collections of an API server that are read here, and how their objects are read.

An object that cannot be read stands as `Broken` among the others, with what names it, so that its
condition can say why.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.sources.kubernetes import core_objects, objects, policy_objects
from proxy.sources.kubernetes.objects import Meta
from proxy.sources.kubernetes.salvage import salvaged

GROUP = "gateway.networking.k8s.io"
Key = tuple[str, str]  # namespace ("" of what has none) and name


class Kind(msgspec.Struct, frozen=True):
    """One collection."""

    name: str
    group: str  # "" = core
    versions: tuple[str, ...]  # the newest first; one that is missing is passed over
    plural: str
    struct: type
    namespaced: bool = True
    optional: bool = False  # the cluster may not know it
    may_miss: bool = False  # nothing is let through that should not be if it cannot be read


class Broken(msgspec.Struct, frozen=True):
    """An object that cannot be read, and why."""

    metadata: Meta
    why: str
    spec: Any = None  # of whatever form
    status: Any = None


KINDS = {
    kind.name: kind
    for kind in (
        Kind("GatewayClass", GROUP, ("v1",), "gatewayclasses", objects.GatewayClass, False, True),
        Kind("Gateway", GROUP, ("v1",), "gateways", objects.Gateway, optional=True),
        Kind("HTTPRoute", GROUP, ("v1",), "httproutes", objects.HttpRoute, optional=True),
        Kind("GRPCRoute", GROUP, ("v1",), "grpcroutes", objects.GrpcRoute, optional=True),
        Kind(
            "ReferenceGrant", GROUP, ("v1", "v1beta1"), "referencegrants",
            policy_objects.ReferenceGrant, optional=True, may_miss=True,
        ),
        Kind(
            "BackendTLSPolicy", GROUP, ("v1", "v1alpha3"), "backendtlspolicies",
            policy_objects.BackendTlsPolicy, optional=True,
        ),
        Kind("Service", "", ("v1",), "services", core_objects.Service),
        Kind(
            "EndpointSlice", "discovery.k8s.io", ("v1",), "endpointslices",
            core_objects.EndpointSlice,
        ),
        Kind("Namespace", "", ("v1",), "namespaces", core_objects.Namespace, False, may_miss=True),
        Kind(
            "Ingress", "networking.k8s.io", ("v1",), "ingresses",
            core_objects.Ingress, may_miss=True,
        ),
        Kind(
            "IngressClass", "networking.k8s.io", ("v1",), "ingressclasses",
            core_objects.IngressClass, False, may_miss=True,
        ),
        Kind("Secret", "", ("v1",), "secrets", core_objects.Secret, may_miss=True),
        Kind("ConfigMap", "", ("v1",), "configmaps", core_objects.ConfigMap, may_miss=True),
    )
}  # fmt: skip
# Of these only what is referred to is read, each by its name.
BY_NAME = ("Secret", "ConfigMap")


class _Named(msgspec.Struct, frozen=True):
    metadata: Meta
    spec: Any = None
    status: Any = None


_named = msgspec.json.Decoder(_Named)
_decoders: dict[str, msgspec.json.Decoder[Any]] = {}


def read(kind: Kind, raw: bytes | msgspec.Raw) -> Any:
    """An object of this kind, `Broken` if it is none, None if not even its name can be read."""
    decoder = _decoders.get(kind.name)
    if decoder is None:
        decoder = _decoders[kind.name] = msgspec.json.Decoder(kind.struct)
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError) as error:
        why = str(error)
    if (part := salvaged(kind.name, raw)) is not None:
        return part
    try:
        found = _named.decode(raw)
    except (ValueError, RecursionError):
        return None
    return Broken(found.metadata, why, found.spec, found.status)


def key_of(found: Any) -> Key:
    return found.metadata.namespace, found.metadata.name


def place(kind: str, key: Key) -> str:
    """Of an object, as messages begin with it."""
    namespace, name = key
    return f"kubernetes {kind} {namespace}/{name}" if namespace else f"kubernetes {kind} {name}"


def path_of(kind: Kind, version: str, namespace: str = "") -> str:
    """Of the collection, in all namespaces or in one."""
    base = f"/apis/{kind.group}/{version}" if kind.group else f"/api/{version}"
    within = f"/namespaces/{namespace}" if namespace and kind.namespaced else ""
    return f"{base}{within}/{kind.plural}"
