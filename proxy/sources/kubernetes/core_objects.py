"""Objects of Kubernetes itself as far as they are used here: services, their endpoints, secrets,
namespaces, and Ingress. What they say besides is another program's business."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from proxy.sources.kubernetes.objects import Meta


class ServicePort(Struct, frozen=True, rename="camel"):
    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str = ""


class ServiceSpec(Struct, frozen=True):
    ports: list[ServicePort] | None = None
    type: str = "ClusterIP"


class Service(Struct, frozen=True):
    metadata: Meta
    spec: ServiceSpec = field(default_factory=ServiceSpec)


class SlicePort(Struct, frozen=True):
    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class EndpointConditions(Struct, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(Struct, frozen=True):
    addresses: list[str] = field(default_factory=list)
    conditions: EndpointConditions = field(default_factory=EndpointConditions)


class LabelledMeta(Struct, frozen=True, rename="camel"):
    name: str = ""
    namespace: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    resource_version: str = ""
    labels: dict[str, str] | None = None


class EndpointSlice(Struct, frozen=True, rename="camel"):
    metadata: LabelledMeta
    address_type: str = "IPv4"
    endpoints: list[Endpoint] | None = None
    ports: list[SlicePort] | None = None


class Secret(Struct, frozen=True):
    """`data` in base64, as it comes."""

    metadata: Meta
    type: str = ""
    data: dict[str, str] | None = None


class ConfigMap(Struct, frozen=True):
    metadata: Meta
    data: dict[str, str] | None = None


class Namespace(Struct, frozen=True):
    metadata: LabelledMeta


class PortName(Struct, frozen=True):
    name: str = ""
    number: int = 0


class IngressService(Struct, frozen=True):
    name: str = ""
    port: PortName = field(default_factory=PortName)


class IngressBackend(Struct, frozen=True):
    service: IngressService | None = None
    resource: Any = None


class IngressPath(Struct, frozen=True, rename="camel"):
    backend: IngressBackend = field(default_factory=IngressBackend)
    path: str = "/"
    path_type: str = "ImplementationSpecific"


class IngressHttp(Struct, frozen=True):
    paths: list[IngressPath] = field(default_factory=list)


class IngressRule(Struct, frozen=True):
    host: str = ""
    http: IngressHttp | None = None


class IngressTls(Struct, frozen=True, rename="camel"):
    hosts: list[str] | None = None
    secret_name: str = ""


class IngressSpec(Struct, frozen=True, rename="camel"):
    ingress_class_name: str | None = None
    default_backend: IngressBackend | None = None
    rules: list[IngressRule] | None = None
    tls: list[IngressTls] | None = None


class AnnotatedMeta(Struct, frozen=True, rename="camel"):
    name: str = ""
    namespace: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class LoadBalancer(Struct, frozen=True):
    ingress: list[dict[str, Any]] | None = None


class IngressStatus(Struct, frozen=True, rename="camel"):
    load_balancer: LoadBalancer = field(default_factory=LoadBalancer)


class Ingress(Struct, frozen=True):
    metadata: AnnotatedMeta
    spec: IngressSpec = field(default_factory=IngressSpec)
    status: IngressStatus = field(default_factory=IngressStatus)


class IngressClassSpec(Struct, frozen=True):
    controller: str = ""


class IngressClass(Struct, frozen=True):
    metadata: AnnotatedMeta
    spec: IngressClassSpec = field(default_factory=IngressClassSpec)
