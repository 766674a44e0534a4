"""The tables of what gives routes and upstreams besides the file."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.config.section import Positive, Section
from proxy.config.upstream_model import UpstreamTls


class XdsSource(Section, frozen=True):
    """A control plane that speaks xDS: one ADS stream."""

    server: str = ""  # "grpc://control:18000", "grpcs://…"
    mode: Literal["delta", "sotw"] = "delta"  # incremental, or the state of the world
    node: str = ""  # id of the node; "" = service.instance.id
    cluster: str = ""  # of the node; "" = service.name
    metadata: dict[str, str] = field(default_factory=dict)  # of the node
    listeners: list[str] = field(default_factory=list)  # by name; [] = all that there are
    # "HttpConnectionManager.access_log": what may be left out though resources say it
    ignore: list[str] = field(default_factory=list)
    tls: UpstreamTls = field(default_factory=UpstreamTls)  # for grpcs://


class KubernetesSource(Section, frozen=True):
    """Gateways and routes of a Kubernetes cluster (Gateway API; Ingress where there is none)."""

    server: str = ""  # "https://10.0.0.1:443"; "" = that of the pod that this runs in
    token: str = ""  # path of the file with the token; "" = the pod's, none with `server`
    ca: str = ""  # path of the authorities that count; "" = the pod's, with `server` the system's
    namespaces: list[str] = field(default_factory=list)  # [] = all
    gateway_class: str = "spangate"  # whose Gateways are ours
    gateways: list[str] = field(default_factory=list)  # of these, "NAMESPACE/NAME"; [] = all
    ingress_class: str = "spangate"  # whose Ingresses are ours
    # spec.controllerName of the class that is ours, and whose entries in statuses are
    controller: str = "spangate.dev/gateway"
    # port of a Gateway's listener -> the one that is bound: { 80 = 8080, 443 = 8443 }
    ports: dict[str, Positive] = field(default_factory=dict)
    addresses: list[str] = field(default_factory=list)  # at which clients come, for statuses
    status: bool = True  # conditions are written back


class EtcdSource(Section, frozen=True):
    """A prefix of etcd: PREFIX/routes/NAME and PREFIX/upstreams/NAME, each one JSON table."""

    servers: list[str] = field(default_factory=list)  # "http://127.0.0.1:2379"
    prefix: str = "/spangate"  # of the keys
    user: str = ""  # with `password`, where etcd asks for them
    password: str = ""  # of `user`
    tls: UpstreamTls = field(default_factory=UpstreamTls)  # for https://


class ConsulSource(Section, frozen=True):
    """The catalogue of Consul: an upstream for each service."""

    server: str = "http://127.0.0.1:8500"  # an agent
    token: str = ""  # of the ACL, where Consul asks for one
    services: list[str] = field(default_factory=list)  # [] = all
    datacenter: str = ""  # "" = the agent's
    tag: str = ""  # only instances that have it
    prefix: str = ""  # before the names of upstreams
    tls: UpstreamTls = field(default_factory=UpstreamTls)  # for https://


class FileSource(Section, frozen=True):
    """Further files of routes and upstreams, watched."""

    path: str = ""  # "conf.d/*.toml"


class Sources(Section, frozen=True):
    """What gives routes and upstreams besides this file; each at most once."""

    xds: XdsSource | None = None  # a control plane that speaks xDS
    kubernetes: KubernetesSource | None = None  # Gateways and routes of a cluster
    etcd: EtcdSource | None = None  # a prefix of keys
    consul: ConsulSource | None = None  # the services of a catalogue
    file: FileSource | None = None  # further files
