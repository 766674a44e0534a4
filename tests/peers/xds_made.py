"""Resources of xDS for tests, as text in the published protos' JSON form where that is shorter."""

from __future__ import annotations

from typing import Any

from tests.peers import xds_protos

xds_protos.use()

from envoy.config.cluster.v3 import cluster_pb2  # noqa: E402
from envoy.config.endpoint.v3 import endpoint_pb2  # noqa: E402
from envoy.config.listener.v3 import listener_pb2  # noqa: E402
from envoy.config.route.v3 import route_pb2  # noqa: E402
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: E402, F401
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: E402
    http_connection_manager_pb2,  # noqa: F401
)
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2  # noqa: E402, F401
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2  # noqa: E402, F401
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: E402, F401
from google.protobuf.json_format import ParseDict  # noqa: E402

ADS = {"ads": {}, "resource_api_version": "V3"}
EXTENSIONS = "type.googleapis.com/envoy.extensions"
HCM = f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"},
}


def address(port: int, host: str = "127.0.0.1") -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def cluster(name: str, **more: Any) -> Any:
    """One whose servers come by EDS."""
    said = {"name": name, "type": "EDS", "eds_cluster_config": {"eds_config": ADS}, **more}
    return ParseDict(said, cluster_pb2.Cluster())


def endpoint(port: int, weight: int = 1, host: str = "127.0.0.1", **more: Any) -> dict[str, Any]:
    place = {"endpoint": {"address": address(port, host)}}
    return {**place, "load_balancing_weight": weight, **more}


def endpoints(name: str, *ports: int, **weights: int) -> Any:
    """One locality with these ports of 127.0.0.1."""
    return assignment(name, [endpoint(port) for port in ports])


def assignment(name: str, *localities: list[dict[str, Any]]) -> Any:
    said = {
        "cluster_name": name,
        "endpoints": [
            {"locality": {"zone": f"z{i}"}, "load_balancing_weight": 1, "lb_endpoints": one}
            for i, one in enumerate(localities)
        ],
    }
    return ParseDict(said, endpoint_pb2.ClusterLoadAssignment())


def route(match: dict[str, Any], to: str = "", **more: Any) -> dict[str, Any]:
    action = {"route": {"cluster": to}} if to else {}
    return {"match": match, **action, **more}


def host(name: str, domains: list[str], *routes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "domains": domains, "routes": list(routes), **more}


def routes(name: str, *hosts: dict[str, Any], **more: Any) -> Any:
    return ParseDict(
        {"name": name, "virtual_hosts": list(hosts), **more}, route_pb2.RouteConfiguration()
    )


def manager(rds: str = "", **more: Any) -> dict[str, Any]:
    source = {"rds": {"route_config_name": rds, "config_source": ADS}} if rds else {}
    return {"@type": HCM, "stat_prefix": "http", "http_filters": [ROUTER], **source, **more}


def listener(name: str, port: int, rds: str = "", **more: Any) -> Any:
    """One of HTTP; what is more goes to its connection manager."""
    return listening(name, port, manager(rds, **more))


def listening(name: str, port: int, typed: dict[str, Any], **chain: Any) -> Any:
    filters = [{"name": typed["@type"].rpartition(".")[2], "typed_config": typed}]
    said = {
        "name": name,
        "address": address(port),
        "filter_chains": [{"filters": filters, **chain}],
    }
    return ParseDict(said, listener_pb2.Listener())


def api_listener(name: str, rds: str) -> Any:
    """What gRPC's own client asks for."""
    said = {"name": name, "api_listener": {"api_listener": manager(rds)}}
    return ParseDict(said, listener_pb2.Listener())


def secret(name: str, **said: Any) -> Any:
    return ParseDict({"name": name, **said}, secret_pb2.Secret())
