"""Listener -> tables [[listen]], and the route configuration that its requests go by.

A listener of HTTP has one connection manager, whatever names its chains are for: chains differ in
the certificates that they show, and nothing else. One of TCP passes bytes to one cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from proxy.sources.xds.map_action import upgrades
from proxy.sources.xds.map_endpoints import address_of
from proxy.sources.xds.map_routes import Routes, map_routes
from proxy.sources.xds.map_tls import NO_TLS, Tls, check_source, map_server
from proxy.sources.xds.reading import Reader, Refused, text_of, which

HTTP3 = 3  # HttpConnectionManager.CodecType
IDLE = "5m"  # Envoy's stream_idle_timeout
SLASHES = {0: "keep", 1: "keep", 2: "reject", 4: "decode"}  # PathWithEscapedSlashesAction
PEEKING = ("envoy.filters.listener.tls_inspector", "envoy.filters.listener.http_inspector")
ROUTER = "envoy.extensions.filters.http.router.v3.Router"


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener; requests go by `rds` or `routes`, connections of TCP to `cluster`."""

    name: str
    tables: tuple[dict[str, Any], ...]  # [[listen]], the first one is called as the listener
    rds: str = ""
    routes: Routes | None = None
    cluster: str = ""
    defaults: dict[str, Any] = field(default_factory=dict)  # of its routes
    tls: Tls = field(default_factory=lambda: NO_TLS)


def map_listener(listener: Any, reader: Reader) -> Listener:
    reader.only(
        listener, "name", "address", "additional_addresses", "filter_chains",
        "default_filter_chain", "listener_filters",
    )  # fmt: skip
    if not listener.name:
        raise Refused("it has no name")
    for one in listener.listener_filters:
        if one.name not in PEEKING:
            raise Refused(f"Listener.listener_filters {one.name} is not supported")
    chains = [*listener.filter_chains]
    if listener.HasField("default_filter_chain"):
        chains.append(listener.default_filter_chain)
    if not chains:
        raise Refused("Listener has no filter_chains")
    _check_apart(listener.filter_chains)
    tls = _tls(chains, reader)
    filters = [_filter(chain, reader) for chain in chains]
    if any(one != filters[0] for one in filters):
        raise Refused("Listener.filter_chains with different filters are not supported")
    made = _manager(filters[0], reader)
    addresses = [address_of(listener.address, reader)]
    for more in listener.additional_addresses:
        reader.only(more, "address")
        addresses.append(address_of(more.address, reader))
    if len(set(addresses)) < len(addresses):
        raise Refused("Listener.additional_addresses: an address is there twice")
    compat = listener.address.socket_address.ipv4_compat
    tables = tuple(
        _table(listener.name, place, _bound(address, compat), made, tls)
        for place, address in enumerate(addresses)
    )
    return Listener(
        listener.name, tables, made.rds, made.routes, made.cluster, made.defaults, tls or NO_TLS
    )


def names_of(listener: Listener) -> list[str]:
    """What `when.listener` says for its requests, one for each address."""
    return [str(table["name"]) for table in listener.tables]


def _table(name: str, place: int, address: str, made: Listener, tls: Tls | None) -> dict[str, Any]:
    table: dict[str, Any] = {"address": address, "name": f"{name}#{place + 1}" if place else name}
    if tls is not None:
        table["tls"] = tls.table
    if made.cluster:
        table["protocol"] = "tcp"
    return table


def _bound(address: str, compat: bool) -> str:
    """As given; "::" that takes IPv4 too is what ":80" is here."""
    return address.removeprefix("[::]") if compat and address.startswith("[::]:") else address


def _check_apart(chains: Any) -> None:
    """Each connection is for one chain."""
    known: set[tuple[str, ...]] = set()
    for match in (chain.filter_chain_match for chain in chains):
        more = (match.transport_protocol, *match.application_protocols)
        for name in dict.fromkeys(map(str.lower, match.server_names or [""])):
            if (name, *more) in known:
                what = f"server name {name!r}" if name else "connections"
                raise Refused(f"Listener.filter_chains: two of them are for the same {what}")
            known.add((name, *more))


def _tls(chains: list[Any], reader: Reader) -> Tls | None:
    """All chains have TLS, or none; the certificates of all of them, chosen by their names."""
    found = []
    for chain in chains:
        reader.only(chain, "filter_chain_match", "filters", "transport_socket")
        match = chain.filter_chain_match
        reader.only(match, "server_names", "transport_protocol", "application_protocols")
        secured = chain.HasField("transport_socket")
        if match.transport_protocol not in ("", "tls" if secured else "raw_buffer"):
            raise Refused(f"FilterChainMatch.transport_protocol {match.transport_protocol}")
        if match.server_names and not secured:
            raise Refused("FilterChainMatch.server_names without TLS is not supported")
        found.append(_secured(chain, reader) if secured else None)
    made = [tls for tls in found if tls is not None]
    if not made:
        return None
    if len(made) < len(found):
        raise Refused("Listener.filter_chains with and without TLS are not supported together")
    return _together(made)


def _secured(chain: Any, reader: Reader) -> Tls:
    context = reader.typed(chain.transport_socket.typed_config, "FilterChain.transport_socket")
    if context.DESCRIPTOR.name != "DownstreamTlsContext":
        raise Refused(f"FilterChain.transport_socket {context.DESCRIPTOR.name} is not supported")
    return map_server(context, reader)


def _together(chains: list[Tls]) -> Tls:
    """One table for all chains. The last one's certificate is shown to whom no name fits."""
    own = ("cert", "key", "certificates")
    others = [{k: v for k, v in tls.table.items() if k not in own} for tls in chains]
    if any(other != others[0] for other in others):
        raise Refused("Listener.filter_chains whose TLS differs in more than certificates")
    made = Tls(dict(chains[-1].table))
    for tls in chains:
        made.certificates |= tls.certificates
        made.authorities |= tls.authorities
        made.own_certificates |= tls.own_certificates
        made.own_authorities |= tls.own_authorities
        if tls is not chains[-1]:
            more = [{"cert": tls.table["cert"], "key": tls.table["key"]}]
            more += tls.table.get("certificates", [])
            made.table["certificates"] = [*made.table.get("certificates", []), *more]
    return made


def _filter(chain: Any, reader: Reader) -> Any:
    if len(chain.filters) != 1:
        names = [one.name for one in chain.filters]
        raise Refused(f"FilterChain.filters {names} are not supported: it is one")
    return reader.typed(
        chain.filters[0].typed_config, f"FilterChain.filters {chain.filters[0].name}"
    )


def _manager(manager: Any, reader: Reader) -> Listener:
    if manager.DESCRIPTOR.name == "TcpProxy":
        reader.only(manager, "cluster")
        if not manager.cluster:
            raise Refused("TcpProxy names no cluster")
        return Listener("", (), cluster=manager.cluster)
    if manager.DESCRIPTOR.name != "HttpConnectionManager":
        raise Refused(f"FilterChain.filters {manager.DESCRIPTOR.name} is not supported")
    reader.only(
        manager, "rds", "route_config", "http_filters", "codec_type", "upgrade_configs",
        "stream_idle_timeout", "path_with_escaped_slashes_action", "common_http_protocol_options",
        "http_protocol_options", "http2_protocol_options",
    )  # fmt: skip
    if manager.codec_type not in (0, 1, 2):
        kind = "HTTP3" if manager.codec_type == HTTP3 else manager.codec_type
        raise Refused(f"HttpConnectionManager.codec_type {kind} is not supported")
    reader.only(manager.http_protocol_options)
    reader.only(manager.http2_protocol_options)
    _filters(manager, reader)
    defaults = _defaults(manager, reader)
    if which(manager, "route_specifier") == "route_config":
        return Listener("", (), routes=map_routes(manager.route_config, reader), defaults=defaults)
    if which(manager, "route_specifier") != "rds":
        raise Refused("HttpConnectionManager needs rds or route_config")
    check_source(manager.rds.config_source, "Rds.config_source")
    return Listener("", (), rds=manager.rds.route_config_name, defaults=defaults)


def _filters(manager: Any, reader: Reader) -> None:
    """The router, and what says itself that it may be left out."""
    for one in manager.http_filters:
        reader.only(one, "name", "typed_config", "is_optional", "disabled", "config_discovery")
        if one.typed_config.type_url.endswith("/" + ROUTER):
            reader.only(reader.typed(one.typed_config, one.name))
        elif not (one.is_optional or one.disabled or reader.ignores(one.name)):
            raise Refused(f"HttpConnectionManager.http_filters {one.name} is not supported")


def _defaults(manager: Any, reader: Reader) -> dict[str, Any]:
    """What its routes say, unless they say another thing themselves."""
    common = manager.common_http_protocol_options
    reader.only(common, "max_stream_duration", "headers_with_underscores_action")
    if common.headers_with_underscores_action:
        raise Refused("HttpProtocolOptions.headers_with_underscores_action is [forwarding]'s here")
    made: dict[str, Any] = {"upgrade": upgrades(manager.upgrade_configs, reader)}
    idle = manager.HasField("stream_idle_timeout")
    made["idle_timeout"] = text_of(manager.stream_idle_timeout) if idle else IDLE
    if common.HasField("max_stream_duration"):
        made["stream_timeout"] = text_of(common.max_stream_duration)
    action = manager.path_with_escaped_slashes_action
    if action not in SLASHES:
        raise Refused("HttpConnectionManager.path_with_escaped_slashes_action 3 is not supported")
    if SLASHES[action] != "keep":
        made["encoded_slash"] = SLASHES[action]
    return made
