"""The row about what is behind the gateway."""

from __future__ import annotations

from proxy.dashboards import promql
from proxy.dashboards.asked import durations, one, rate, share, whole
from proxy.dashboards.panels import Query, Row, graph

_UP = "spangate_upstream"
_NAME = "{{spangate_upstream}}"
_ENDPOINT = "spangate_upstream, server_address, server_port"
_AT = "{{spangate_upstream}} {{server_address}}:{{server_port}}"
_TRIED = f"{promql.TRIED}_count"
_TRIES = rate(_TRIED, _UP)
_FAILED = rate(_TRIED, f"{_ENDPOINT}, error_type", 'error_type!=""')
_RETRIED = rate("spangate_retries_total", f"{_UP}, spangate_retry_reason")
_SERVED = rate(f"{promql.SERVED}_count")

UPSTREAMS = Row(
    "Upstreams",
    (
        graph(
            "Tries and requests",
            Query(_TRIES, _NAME),
            Query(_SERVED, "requests"),
            unit="reqps",
            what="Tries of all upstreams above requests are retries.",
        ),
        one("Failed tries", _FAILED, f"{_AT} {{{{error_type}}}}", "reqps"),
        graph("Duration of tries", *durations(promql.TRIED, _UP), unit="s"),
        one("Retries", _RETRIED, "{{spangate_upstream}} {{spangate_retry_reason}}", "reqps"),
        one(
            "Retries, share of tries",
            share(rate("spangate_retries_total", _UP), _TRIES, _UP),
            _NAME,
            "percentunit",
            "The retry budget of an upstream limits it; what it refuses is among the refused.",
        ),
        one(
            "Share of servers that are up",
            whole("spangate_upstream_endpoint_up", _UP, "avg"),
            _NAME,
            "percentunit",
        ),
        graph(
            "Ejected, and open breakers",
            Query(whole("spangate_upstream_endpoint_ejected", _ENDPOINT, "max"), f"ejected {_AT}"),
            Query(whole("spangate_upstream_breaker_open", _ENDPOINT), f"breakers {_AT}"),
        ),
        one("Ejections", rate("spangate_upstream_ejections_total", _ENDPOINT), _AT, "ops"),
        one(
            "Connections",
            whole("http_client_open_connections", f"{_UP}, http_connection_state"),
            "{{spangate_upstream}} {{http_connection_state}}",
        ),
        one(
            "Tries that found a warm connection",
            share(rate("spangate_upstream_connections_reused_total", _UP), _TRIES, _UP),
            _NAME,
            "percentunit",
        ),
    ),
)
