"""What a message says, and what of it is understood: everything else is refused by its name.

Owns the two lists of fields that change nothing here; which fields are understood is said by each
of `map_*.py`. An operator may name further ones in `[source.xds] ignore`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.unknown_fields import UnknownFieldSet

from proxy.config.units import seconds_text
from proxy.sources.xds.protos import unpacked

# By message: fields that say nothing about what happens to a request, such as names of statistics
# and notes for people; and fields by which others save memory or lock-free work.
HARMLESS = {
    "Listener": "stat_prefix metadata per_connection_buffer_limit_bytes tcp_backlog_size"
    " enable_reuse_port continue_on_listener_filters_timeout listener_filters_timeout"
    " traffic_direction drain_type ignore_global_conn_limit",
    "FilterChain": "name metadata transport_socket_connect_timeout",
    "HttpConnectionManager": "stat_prefix generate_request_id"
    " preserve_external_request_id always_set_request_id_in_response normalize_path merge_slashes"
    " use_remote_address drain_timeout delayed_close_timeout strip_any_host_port"
    " strip_trailing_host_dot strip_matching_host_port",
    "TcpProxy": "stat_prefix",
    "Router": "suppress_envoy_headers dynamic_stats start_child_span respect_expected_rq_timeout",
    "RouteConfiguration": "validate_clusters max_direct_response_body_size_bytes"
    " ignore_port_in_host_matching most_specific_header_mutations_wins metadata",
    "VirtualHost": "metadata per_request_buffer_limit_bytes",
    "Route": "metadata stat_prefix per_request_buffer_limit_bytes",
    "RouteAction": "include_vh_rate_limits max_internal_redirects",
    "RetryPolicy": "host_selection_retry_max_attempts",
    "Cluster": "alt_stat_name metadata per_connection_buffer_limit_bytes cleanup_interval"
    " track_cluster_stats track_timeout_budgets respect_dns_ttl dns_refresh_rate dns_jitter"
    " upstream_connection_options wait_for_warm_on_init dns_lookup_family",
    "CommonLbConfig": "update_merge_window ignore_new_hosts_until_first_hc"
    " close_connections_on_host_set_change",
    "OutlierDetection": "interval success_rate_minimum_hosts"
    " success_rate_request_volume success_rate_stdev_factor consecutive_gateway_failure"
    " enforcing_consecutive_gateway_failure max_ejection_time_jitter",
    "Http2ProtocolOptions": "max_concurrent_streams initial_stream_window_size"
    " initial_connection_window_size",
    "HealthCheck": "unhealthy_interval unhealthy_edge_interval healthy_edge_interval"
    " interval_jitter interval_jitter_percent initial_jitter no_traffic_interval"
    " no_traffic_healthy_interval event_log_path always_log_health_check_failures"
    " reuse_connection",
    "Policy": "overprovisioning_factor",
    "LbEndpoint": "metadata",
    "Endpoint": "hostname",
    "LocalityLbEndpoints": "proximity metadata",
    "UpstreamTlsContext": "max_session_keys allow_renegotiation",
    "DownstreamTlsContext": "session_timeout disable_stateless_session_resumption",
    "SocketAddress": "resolver_name",
    "RegexMatcher": "google_re2",
    "Secret": "",
}
_HARMLESS = {name: frozenset(fields.split()) for name, fields in HARMLESS.items()}


class Refused(Exception):
    """A resource that cannot be used as it says; the text names what is not supported."""


class Reader:
    """Looks at messages, and refuses what nobody asks for."""

    __slots__ = ("_ignore",)

    def __init__(self, ignore: Iterable[str] = ()) -> None:
        """`ignore`: "HttpConnectionManager.access_log", which then goes for harmless."""
        self._ignore = frozenset(ignore)

    def only(self, message: Any, *known: str) -> None:
        """Refused unless all that `message` says is `known` or harmless."""
        name = message.DESCRIPTOR.name
        harmless = _HARMLESS.get(name, frozenset())
        for field, value in message.ListFields():
            said = field.name
            if said in known or said in harmless or f"{name}.{said}" in self._ignore:
                continue
            if not _is_default(field, value):
                raise Refused(f"{name}.{said} is not supported")
        unknowns = UnknownFieldSet(message)
        for place in range(len(unknowns)):
            unknown = unknowns[place]
            if f"{name}.{unknown.field_number}" not in self._ignore:
                raise Refused(f"{name} has a field {unknown.field_number} that nobody knows here")

    def ignores(self, name: str) -> bool:
        return name in self._ignore

    def typed(self, packed: Any, where: str) -> Any:
        """The message in an Any."""
        try:
            made = unpacked(packed)
        except ValueError as error:
            raise Refused(f"{where}: {error}") from None
        if made is None:
            raise Refused(f"{where}: {packed.type_url or 'nothing'} is not supported")
        return made


def which(message: Any, oneof: str) -> str:
    """The name of the field of a oneof that is set; "" if none is."""
    return str(message.WhichOneof(oneof) or "")


def seconds(duration: Any) -> float:
    return float(duration.seconds + duration.nanos / 1e9)


def text_of(duration: Any) -> str:
    """As the file writes durations."""
    if (said := seconds(duration)) < 0:
        raise Refused(f"Duration of {said:g} s is less than none")
    return seconds_text(said)


def share_of(fraction: Any) -> float:
    """FractionalPercent, at most 1."""
    if fraction.denominator not in (0, 1, 2):
        raise Refused(f"FractionalPercent.denominator {fraction.denominator} is not supported")
    whole = (100, 10_000, 1_000_000)[fraction.denominator]
    return min(1.0, float(fraction.numerator / whole))


def named(name: str, where: str) -> str:
    """Refused for a name that is left out."""
    if not name:
        raise Refused(f"{where} is empty")
    return name


def _is_default(field: Any, value: Any) -> bool:
    """Whether it is a wrapper or a table that says what leaving it out says."""
    if field.message_type is None or not hasattr(value, "ListFields"):  # or repeated
        return False
    if field.message_type.full_name == "google.protobuf.BoolValue":
        return not value.value
    return field.message_type.full_name.endswith("Options") and not value.ListFields()
