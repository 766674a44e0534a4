"""Objects as people write them, short."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
GATEWAY = "gateway.networking.k8s.io"
CONTROLLER = "spangate.dev/gateway"
APIS = {
    "GatewayClass": f"{GATEWAY}/v1",
    "Gateway": f"{GATEWAY}/v1",
    "HTTPRoute": f"{GATEWAY}/v1",
    "GRPCRoute": f"{GATEWAY}/v1",
    "ReferenceGrant": f"{GATEWAY}/v1beta1",
    "BackendTLSPolicy": f"{GATEWAY}/v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "Ingress": "networking.k8s.io/v1",
    "IngressClass": "networking.k8s.io/v1",
}


def made(kind: str, name: str, namespace: str = "", **more: Any) -> Object:
    """`name` may have its namespace before it: "shop/orders"."""
    if "/" in name:
        namespace, name = name.split("/")
    meta: Object = {"name": name, **({"namespace": namespace} if namespace else {})}
    meta |= more.pop("metadata", {})
    return {"apiVersion": APIS.get(kind, "v1"), "kind": kind, "metadata": meta, **more}


def gateway_class(controller: str = CONTROLLER, **spec: Any) -> Object:
    return made("GatewayClass", "spangate", spec={"controllerName": controller, **spec})


def listener(port: int = 80, name: str = "", **more: Any) -> Object:
    found = {"name": name or f"p{port}", "port": port, "protocol": "HTTP", **more}
    if "routes" in found:
        found["allowedRoutes"] = {"namespaces": {"from": found.pop("routes")}}
    return found


def gateway(name: str = "infra/edge", *listeners: Object, **more: Any) -> Object:
    spec = {"gatewayClassName": "spangate", "listeners": list(listeners) or [listener()]}
    return made("Gateway", name, spec={**spec, **more.pop("spec", {})}, **more)


def service(name: str, *ports: Any, **more: Any) -> Object:
    """Ports are numbers, or what stands there."""
    listed = [p if isinstance(p, dict) else {"name": f"p{p}", "port": p} for p in ports or (80,)]
    return made("Service", name, spec={"ports": listed, **more})


def endpoints(name: str, *addresses: Any, **more: Any) -> Object:
    """Addresses are texts "10.0.0.1", or whole endpoints; `ports` by name."""
    namespace, service_name = name.split("/")
    ports = more.pop("ports", {"p80": 8080})
    listed = [{"addresses": [a]} if isinstance(a, str) else a for a in addresses]
    suffix = more.pop("suffix", "a")
    meta = {"labels": {"kubernetes.io/service-name": service_name}}
    return {
        **made("EndpointSlice", f"{namespace}/{service_name}-{suffix}", metadata=meta),
        "addressType": more.pop("family", "IPv4"),
        "endpoints": listed,
        "ports": [{"name": n, "port": p, "protocol": "TCP"} for n, p in ports.items()],
    }


def to(name: str, port: int = 80, **more: Any) -> Object:
    """A backendRef; `name` may have its namespace before it."""
    namespace, _, short = name.rpartition("/")
    return {
        "name": short, "port": port, **({"namespace": namespace} if namespace else {}), **more
    }  # fmt: skip


def route(
    name: str = "shop/orders", *rules: Object, kind: str = "HTTPRoute", **more: Any
) -> Object:
    """Attached to infra/edge, unless `parents` says otherwise."""
    parents = more.pop("parents", [{"name": "edge", "namespace": "infra"}])
    spec = {"parentRefs": parents, "rules": list(rules) or [{"backendRefs": [to("orders")]}]}
    metadata = {"creationTimestamp": more.pop("created")} if "created" in more else {}
    return made(kind, name, spec={**spec, **more}, metadata=metadata)


def path(value: str, kind: str = "PathPrefix") -> Object:
    return {"path": {"type": kind, "value": value}}


def grant(
    namespace: str, kind: str, source: str, target: str = "Service", name: str = ""
) -> Object:
    spec = {
        "from": [{"group": GATEWAY, "kind": kind, "namespace": source}],
        "to": [{"group": "", "kind": target, **({"name": name} if name else {})}],
    }
    return made("ReferenceGrant", f"{namespace}/from-{source}", spec=spec)


def edge(*listeners: Object) -> list[Object]:
    """A class and a Gateway that takes routes of all namespaces."""
    return [gateway_class(), gateway("infra/edge", *(listeners or [listener(routes="All")]))]


def orders(*addresses: str) -> list[Object]:
    return [service("shop/orders"), endpoints("shop/orders", *(addresses or ("10.0.0.1",)))]
