"""Cluster -> the table of an upstream, and where its servers come from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from proxy.sources.xds.map_endpoints import Endpoints, map_endpoints
from proxy.sources.xds.map_health import map_health, map_limits, map_outliers
from proxy.sources.xds.map_tls import NO_TLS, Tls, check_source, map_client
from proxy.sources.xds.reading import Reader, Refused, seconds, text_of, which

STATIC, STRICT_DNS, LOGICAL_DNS, EDS, ORIGINAL_DST = range(5)  # Cluster.DiscoveryType
KINDS = ("STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS", "ORIGINAL_DST")
# Cluster.LbPolicy, and names of load_balancing_policies -> policy and algorithm
POLICIES = {
    0: ("round_robin", ""), 1: ("least_request", ""), 2: ("hash", "ring"), 3: ("random", ""),
    5: ("hash", "maglev"), 7: ("round_robin", ""),
}  # fmt: skip
TYPED = {
    "RoundRobin": ("round_robin", ""), "LeastRequest": ("least_request", ""),
    "Random": ("random", ""), "RingHash": ("hash", "ring"), "Maglev": ("hash", "maglev"),
}  # fmt: skip
HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True, slots=True)
class Cluster:
    """An upstream; its servers are `fixed`, or come by EDS under the name `eds`."""

    name: str
    table: dict[str, Any]
    eds: str = ""
    fixed: Endpoints | None = None
    dns: str = ""  # the one name that its servers are looked up by
    scheme: str = "http"
    weighted: bool = False  # localities have shares
    algorithm: str = ""  # "ring" or "maglev": by a hash, of what routes say
    tls: Tls = field(default_factory=lambda: NO_TLS)


def map_cluster(cluster: Any, reader: Reader) -> Cluster:
    reader.only(
        cluster, "name", "type", "eds_cluster_config", "connect_timeout", "lb_policy",
        "load_assignment", "health_checks", "circuit_breakers", "typed_extension_protocol_options",
        "http2_protocol_options", "http_protocol_options", "outlier_detection", "common_lb_config",
        "transport_socket", "load_balancing_policy", "ring_hash_lb_config", "maglev_lb_config",
        "least_request_lb_config", "round_robin_lb_config",
    )  # fmt: skip
    table: dict[str, Any] = {"connect_timeout": "5s"}
    if cluster.HasField("connect_timeout"):
        table["connect_timeout"] = text_of(cluster.connect_timeout)
        if not seconds(cluster.connect_timeout):
            raise Refused("Cluster.connect_timeout is 0")
    made = Cluster(cluster.name, table)
    made = _found(cluster, made, reader)
    made = _balanced(cluster, made, reader)
    _protocol(cluster, table, reader)
    made = _secured(cluster, made, reader)
    _common(cluster.common_lb_config, table, reader)
    if cluster.health_checks:
        table["health"] = map_health(cluster.health_checks, reader)
    if cluster.HasField("outlier_detection"):
        table["eject"] = map_outliers(cluster.outlier_detection, reader)
    if cluster.HasField("circuit_breakers") and (
        limits := map_limits(cluster.circuit_breakers, reader)
    ):
        table["limits"] = limits
    weighted = cluster.common_lb_config.HasField("locality_weighted_lb_config")
    return replace(made, weighted=weighted or made.weighted)


def _found(cluster: Any, made: Cluster, reader: Reader) -> Cluster:
    if cluster.HasField("cluster_type"):
        raise Refused(f"Cluster.cluster_type {cluster.cluster_type.name} is not supported")
    if cluster.type == EDS:
        if cluster.HasField("load_assignment"):
            raise Refused("Cluster.load_assignment is not supported with EDS")
        reader.only(cluster.eds_cluster_config, "eds_config", "service_name")
        check_source(cluster.eds_cluster_config.eds_config, "EdsClusterConfig.eds_config")
        return replace(made, eds=cluster.eds_cluster_config.service_name or cluster.name)
    if cluster.type not in (STATIC, STRICT_DNS, LOGICAL_DNS):
        kind = KINDS[cluster.type] if cluster.type < len(KINDS) else cluster.type
        raise Refused(f"Cluster.type {kind} is not supported")
    fixed = map_endpoints(cluster.load_assignment, reader)
    places = [place for group in fixed.groups for place in group.servers]
    dns = places[0] if cluster.type == STRICT_DNS and len(places) == 1 else ""
    return replace(made, fixed=fixed, dns=dns)


def _balanced(cluster: Any, made: Cluster, reader: Reader) -> Cluster:
    for config in ("ring_hash_lb_config", "maglev_lb_config", "least_request_lb_config"):
        reader.only(getattr(cluster, config), "minimum_ring_size", "maximum_ring_size",
                    "table_size", "choice_count")  # fmt: skip
    reader.only(cluster.round_robin_lb_config)
    if cluster.HasField("load_balancing_policy"):
        policy, algorithm, weighted = _typed(cluster.load_balancing_policy, reader)
    elif cluster.lb_policy in POLICIES:
        (policy, algorithm), weighted = POLICIES[cluster.lb_policy], False
    else:
        raise Refused(f"Cluster.lb_policy {cluster.lb_policy} is not supported")
    if policy not in ("hash", "round_robin"):
        made.table["balance"] = {"policy": policy}
    return replace(made, algorithm=algorithm, weighted=weighted)


def _typed(policies: Any, reader: Reader) -> tuple[str, str, bool]:
    """The first policy that is known; the list goes from what is wanted most."""
    names = []
    for policy in policies.policies:
        packed = policy.typed_extension_config.typed_config
        names.append(packed.type_url.rpartition(".")[2])
        if names[-1] == "WrrLocality":
            inner = reader.typed(packed, "load_balancing_policy")
            return (*_typed(inner.endpoint_picking_policy, reader)[:2], True)
        if names[-1] in TYPED:
            return (*TYPED[names[-1]], False)
    raise Refused(f"Cluster.load_balancing_policy: none of {names} is supported")


def _protocol(cluster: Any, table: dict[str, Any], reader: Reader) -> None:
    if cluster.HasField("http2_protocol_options"):
        reader.only(cluster.http2_protocol_options)
        table["protocol"] = "h2"
    reader.only(cluster.http_protocol_options)
    for name, packed in cluster.typed_extension_protocol_options.items():
        if name != HTTP:
            raise Refused(f"Cluster.typed_extension_protocol_options {name} is not supported")
        options = reader.typed(packed, name)
        reader.only(options, "explicit_http_config", "auto_config")
        kind = which(options, "upstream_protocol_options")
        if kind == "explicit_http_config":
            reader.only(
                options.explicit_http_config, "http_protocol_options", "http2_protocol_options"
            )
            chosen = which(options.explicit_http_config, "protocol_config")
            if not chosen:
                raise Refused("HttpProtocolOptions.explicit_http_config says no protocol")
            reader.only(getattr(options.explicit_http_config, chosen))
            table["protocol"] = "h2" if chosen == "http2_protocol_options" else "h1"


def _secured(cluster: Any, made: Cluster, reader: Reader) -> Cluster:
    if not cluster.HasField("transport_socket"):
        return made
    context = reader.typed(cluster.transport_socket.typed_config, "Cluster.transport_socket")
    name = context.DESCRIPTOR.name
    if name != "UpstreamTlsContext":
        raise Refused(f"Cluster.transport_socket {name} is not supported")
    if made.fixed is not None and made.fixed.has_pipes:
        raise Refused("Cluster.transport_socket: TLS to an Address.pipe is not supported")
    tls = map_client(context, reader)
    made.table["tls"] = tls.table
    return replace(made, tls=tls, scheme="https")


def _common(config: Any, table: dict[str, Any], reader: Reader) -> None:
    reader.only(config, "healthy_panic_threshold", "locality_weighted_lb_config")
    if config.HasField("healthy_panic_threshold"):
        if not 0 <= (percent := config.healthy_panic_threshold.value) <= 100:
            raise Refused(f"CommonLbConfig.healthy_panic_threshold {percent:g} is no percentage")
        table["panic"] = percent / 100
