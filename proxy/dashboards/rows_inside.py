"""Rows about the gateway itself: what may run short, its telemetry, trace context."""

from __future__ import annotations

from proxy.dashboards import fixed, promql
from proxy.dashboards.asked import GATE, NOW, ROUTE, one, rate, share, whole
from proxy.dashboards.panels import Query, Row, graph


def _times(metric: str) -> str:
    """How often since the point before."""
    return f"sum by (instance) (increase({metric}{{{GATE}}}[{NOW}]))"


_PROCESS = "instance, spangate_process, spangate_worker"
_OF = "{{spangate_process}} {{spangate_worker}} {{instance}}"
_EXPIRY = f"(spangate_tls_certificate_expiry_seconds{{{GATE}}} - time()) / 86400"
_UP = "spangate_upstream"
_USED, _LIMIT = (
    whole(f"spangate_upstream_limit{part}", f"{_UP}, spangate_limit") for part in ("_used", "")
)

SATURATION = Row(
    "Saturation",
    (
        one(
            "Requests under way",
            whole("http_server_active_requests", "instance"),
            "{{instance}}",
        ),
        graph(
            "Connections of clients",
            Query(whole("spangate_downstream_connections_open", "instance"), "open {{instance}}"),
            Query(whole("spangate_downstream_streams_open", "instance"), "streams {{instance}}"),
        ),
        one(
            "Delay of event loops",
            whole("spangate_loop_lag_seconds", _PROCESS, "max"),
            _OF,
            "s",
        ),
        one(
            "CPU",
            rate("process_cpu_time_seconds_total", _PROCESS),
            _OF,
            "percentunit",
            "Of one core.",
        ),
        one("Memory", whole("process_memory_usage_bytes", _PROCESS), _OF, "bytes"),
        one(
            "Open files, share of the limit",
            f"max by ({_PROCESS}) ({promql.open_files(GATE)})",
            _OF,
            "percentunit",
        ),
        one(
            "Limits, share in use",
            f"{_USED} / {_LIMIT}",
            "{{spangate_upstream}} {{spangate_limit}}",
            "percentunit",
        ),
        one(
            "Refused by limits",
            rate("spangate_upstream_shed_total", f"{_UP}, spangate_limit"),
            "{{spangate_upstream}} {{spangate_limit}}",
            "reqps",
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
        one("Days until certificates expire", _EXPIRY, "{{spangate_tls_name}} {{instance}}", "d"),
    ),
)

_BOOK, _OF_BOOK = "exporter, signal", "{{exporter}} {{signal}}"
_BALANCE = fixed.BALANCE.replace("_total)", f"_total{{{GATE}}})").replace(
    "_queued)", f"_queued{{{GATE}}})"
)
_FULL = f"otelcol_exporter_queue_size{{{GATE}}} / (otelcol_exporter_queue_capacity{{{GATE}}} > 0)"

TELEMETRY = Row(
    "Telemetry",
    (
        one("Offered", rate("spangate_export_created_total", _BOOK), _OF_BOOK, "ops"),
        one("Exported", rate("spangate_export_exported_total", _BOOK), _OF_BOOK, "ops"),
        one(
            "Lost, by reason",
            rate("spangate_export_dropped_total", f"{_BOOK}, reason"),
            f"{_OF_BOOK} {{{{reason}}}}",
            "ops",
        ),
        one("Waiting", whole("spangate_export_queued", _BOOK), _OF_BOOK),
        one("Queues, share in use", _FULL, "{{exporter}} {{instance}}", "percentunit"),
        one(
            "Balance of the books",
            _BALANCE,
            f"{_OF_BOOK} {{{{instance}}}}",
            what="created - exported - dropped - queued: 0 at every scrape.",
        ),
        one(
            "Recorded by workers",
            rate("spangate_records_created_total", "signal"),
            "{{signal}}",
            "ops",
        ),
        one("Recorded and not read yet", whole("spangate_link_pending", "signal"), "{{signal}}"),
        one(
            "Access lines not taken",
            rate("spangate_access_log_dropped_total", "instance"),
            "{{instance}}",
            "ops",
        ),
    ),
)

_CONTEXTS = "spangate_trace_context_total"
_SENT = rate(_CONTEXTS, "format", 'result!="absent"')
_INVALID = rate(_CONTEXTS, "format", 'result="invalid"')

PROPAGATION = Row(
    "Propagation",
    (
        one(
            "Trace context of requests",
            rate(_CONTEXTS, "result"),
            "{{result}}",
            "reqps",
            "continued: the caller's trace goes on; absent: it begins here.",
        ),
        one("By format", rate(_CONTEXTS, "result, format"), "{{format}} {{result}}", "reqps"),
        one(
            "Invalid, share of what callers send",
            share(_INVALID, _SENT, "format"),
            "{{format}}",
            "percentunit",
        ),
    ),
)
