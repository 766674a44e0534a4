"""Rows about what is behind the gateway and in it: upstreams, what runs short, telemetry."""

from __future__ import annotations

from proxy.dashboards import fixed, promql
from proxy.dashboards.asked import GATE, NOW, ROUTE, durations, one, rate, share, whole
from proxy.dashboards.panels import Query, Row, graph

_ENDPOINT = "spangate_upstream, server_address, server_port"
_AT = "{{spangate_upstream}} {{server_address}}:{{server_port}}"
_OF = "{{spangate_process}} {{spangate_worker}} {{instance}}"


def upstreams() -> Row:
    up = "spangate_upstream"
    tried = f"{promql.TRIED}_count"
    tries = rate(tried, up)
    failed = rate(tried, f"{_ENDPOINT}, error_type", 'error_type!=""')
    retried = rate("spangate_retries_total", f"{up}, spangate_retry_reason")
    served = rate(f"{promql.SERVED}_count")
    used, limit = (
        whole(f"spangate_upstream_limit{w}", f"{up}, spangate_limit") for w in ("_used", "")
    )
    return Row(
        "Upstreams",
        (
            graph(
                "Tries and requests",
                Query(tries, "{{spangate_upstream}}"),
                Query(served, "requests"),
                unit="reqps",
                what="Tries of all upstreams above requests are retries.",
            ),
            one("Failed tries", failed, f"{_AT} {{{{error_type}}}}", "reqps"),
            graph("Duration of tries", *durations(promql.TRIED, up), unit="s"),
            one("Retries", retried, "{{spangate_upstream}} {{spangate_retry_reason}}", "reqps"),
            one(
                "Retries, share of tries",
                share(rate("spangate_retries_total", up), tries, up),
                "{{spangate_upstream}}",
                "percentunit",
                "The retry budget of an upstream limits it; what it refuses is among the refused.",
            ),
            one(
                "Refused by limits",
                rate("spangate_upstream_shed_total", f"{up}, spangate_limit"),
                "{{spangate_upstream}} {{spangate_limit}}",
                "reqps",
            ),
            one(
                "Share of servers that are up",
                whole("spangate_upstream_endpoint_up", up, "avg"),
                "{{spangate_upstream}}",
                "percentunit",
            ),
            graph(
                "Ejected, and open breakers",
                Query(
                    whole("spangate_upstream_endpoint_ejected", _ENDPOINT, "max"), f"ejected {_AT}"
                ),
                Query(whole("spangate_upstream_breaker_open", _ENDPOINT), f"breakers {_AT}"),
            ),
            one("Ejections", rate("spangate_upstream_ejections_total", _ENDPOINT), _AT, "ops"),
            one(
                "Connections",
                whole("http_client_open_connections", f"{up}, http_connection_state"),
                "{{spangate_upstream}} {{http_connection_state}}",
            ),
            one(
                "Tries that found a warm connection",
                share(rate("spangate_upstream_connections_reused_total", up), tries, up),
                "{{spangate_upstream}}",
                "percentunit",
            ),
            one(
                "Limits, share in use",
                f"{used} / {limit}",
                "{{spangate_upstream}} {{spangate_limit}}",
                "percentunit",
            ),
        ),
    )


def saturation() -> Row:
    expiry = f"(spangate_tls_certificate_expiry_seconds{{{GATE}}} - time()) / 86400"
    process = "instance, spangate_process, spangate_worker"
    return Row(
        "Saturation",
        (
            one(
                "Requests under way",
                whole("http_server_active_requests", "instance"),
                "{{instance}}",
            ),
            graph(
                "Connections of clients",
                Query(
                    whole("spangate_downstream_connections_open", "instance"), "open {{instance}}"
                ),
                Query(
                    whole("spangate_downstream_streams_open", "instance"), "streams {{instance}}"
                ),
            ),
            one(
                "Delay of event loops",
                whole("spangate_loop_lag_seconds", process, "max"),
                _OF,
                "s",
            ),
            one(
                "CPU",
                rate("process_cpu_time_seconds_total", process),
                _OF,
                "percentunit",
                "Of one core.",
            ),
            one("Memory", whole("process_memory_usage_bytes", process), _OF, "bytes"),
            one(
                "Open files, share of the limit",
                f"max by ({process}) "
                f"(process_open_fds{{{GATE}}} / (process_max_fds{{{GATE}}} > 0))",
                _OF,
                "percentunit",
            ),
            one(
                "Turned away",
                rate("spangate_rejected_total", "spangate_reason"),
                "{{spangate_reason}}",
                "ops",
                "Input that never became a request.",
            ),
            one(
                "Refused by rate limits",
                rate("spangate_rate_limit_refused_total", "spangate_route", ROUTE),
                "{{spangate_route}}",
                "reqps",
            ),
            one("Workers", whole("spangate_workers", "instance, state"), "{{state}} {{instance}}"),
            one(
                "Processes replaced",
                _times("spangate_worker_restarts_total"),
                "{{instance}}",
            ),
            one(
                "Ran out of descriptors",
                _times("spangate_descriptors_exhausted_total"),
                "{{instance}}",
            ),
            one(
                "Days until certificates expire", expiry, "{{spangate_tls_name}} {{instance}}", "d"
            ),
        ),
    )


def _times(metric: str) -> str:
    """How often since the point before."""
    return f"sum by (instance) (increase({metric}{{{GATE}}}[{NOW}]))"


def telemetry() -> Row:
    by, legend = "exporter, signal", "{{exporter}} {{signal}}"
    balance = fixed.BALANCE.replace("_total)", f"_total{{{GATE}}})").replace(
        "_queued)", f"_queued{{{GATE}}})"
    )
    full = (
        f"otelcol_exporter_queue_size{{{GATE}}} / (otelcol_exporter_queue_capacity{{{GATE}}} > 0)"
    )
    return Row(
        "Telemetry",
        (
            one("Offered", rate("spangate_export_created_total", by), legend, "ops"),
            one("Exported", rate("spangate_export_exported_total", by), legend, "ops"),
            one(
                "Lost, by reason",
                rate("spangate_export_dropped_total", f"{by}, reason"),
                f"{legend} {{{{reason}}}}",
                "ops",
            ),
            one("Waiting", whole("spangate_export_queued", by), legend),
            one("Queues, share in use", full, "{{exporter}} {{instance}}", "percentunit"),
            one(
                "Balance of the books",
                balance,
                f"{legend} {{{{instance}}}}",
                what="created - exported - dropped - queued: 0 at every scrape.",
            ),
            one(
                "Recorded by workers",
                rate("spangate_records_created_total", "signal"),
                "{{signal}}",
                "ops",
            ),
            one(
                "Recorded and not read yet", whole("spangate_link_pending", "signal"), "{{signal}}"
            ),
            one(
                "Access lines not taken",
                rate("spangate_access_log_dropped_total", "instance"),
                "{{instance}}",
                "ops",
            ),
        ),
    )


def propagation() -> Row:
    contexts = "spangate_trace_context_total"
    sent = rate(contexts, "format", 'result!="absent"')
    invalid = rate(contexts, "format", 'result="invalid"')
    return Row(
        "Propagation",
        (
            one(
                "Trace context of requests",
                rate(contexts, "result"),
                "{{result}}",
                "reqps",
                "continued: the caller's trace goes on; absent: it begins here.",
            ),
            one("By format", rate(contexts, "result, format"), "{{format}} {{result}}", "reqps"),
            one(
                "Invalid, share of what callers send",
                share(invalid, sent, "format"),
                "{{format}}",
                "percentunit",
            ),
        ),
    )
