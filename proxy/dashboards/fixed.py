"""Alerts about the gateway itself, the same for every file.

Each is told for each gateway (`instance`) that has the trouble, but for what concerns a service
behind all of them. docs/alerts.md has a section for each, which `runbook_url` leads to.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from proxy.dashboards import promql
from proxy.dashboards.rules import ERRORS, Rule

INSTANCE = "{{ $labels.instance }}"
UPSTREAM = "{{ $labels.spangate_upstream }}"
ENDPOINT = "{{ $labels.server_address }}:{{ $labels.server_port }}"
VALUE = "{{ $value | humanize }}"
PERCENT = "{{ $value | humanizePercentage }}"


class Alert(NamedTuple):
    name: str
    severity: str
    wait: str  # how long it must hold; "" = it is told at once
    expr: str
    summary: str
    description: str


_OF_ENDPOINT = "instance, spangate_upstream, server_address, server_port"
_BOOK = "sum by (instance, exporter, signal) (spangate_export_{}_total)"
_CREATED, _EXPORTED, _DROPPED = (_BOOK.format(w) for w in ("created", "exported", "dropped"))
BALANCE = (
    f"{_CREATED}\n- {_EXPORTED}\n- ({_DROPPED} or {_CREATED} * 0)\n"
    "- sum by (instance, exporter, signal) (spangate_export_queued)"
)
_CONTEXTS = promql.rate("spangate_trace_context_total", "10m", 'result!="absent"', by="format")
_INVALID = promql.rate("spangate_trace_context_total", "10m", 'result="invalid"', by="format")

_OPEN_FILES = promql.open_files('spangate_process!=""')

DENIED = "spangate_access_denied_total"
UNKNOWN = 'spangate_denied_reason=~"keys_missing|unavailable"'
TURNED_AWAY = 'spangate_denied_reason!~"login|redirected"'  # who comes to log in is no attack
_SOME = f"sum by (spangate_route) (increase({promql.SERVED}_count[5m])) >= 20"

SERVING = (
    Alert(
        "SpangateErrors",
        "page",
        "5m",
        promql.share(
            promql.rate(f"{promql.SERVED}_count", "5m", promql.FAILED),
            promql.rate(f"{promql.SERVED}_count", "5m"),
        )
        + f" > 0.05\nand on (spangate_route) {_SOME}\n"
        + f"unless on (spangate_route) {ERRORS.record}:rate5m",
        f"{PERCENT} of the requests to {{{{ $labels.spangate_route }}}} fail.",
        "For routes without an objective of their own: more than 5 % of at least 20 requests.",
    ),
    Alert(
        "SpangateUpstreamDown",
        "page",
        "1m",
        "max by (instance, spangate_upstream) (spangate_upstream_endpoint_up) == 0\n"
        "or min by (instance, spangate_upstream) (spangate_upstream_endpoint_ejected) == 1\n"
        "or sum by (instance, spangate_upstream) (spangate_upstream_discovered) == 0",
        f"{UPSTREAM} has no server that {INSTANCE} can use.",
        "All its servers fail their probes, are ejected, or none was discovered: requests get 503.",
    ),
    Alert(
        "SpangateUpstreamDegraded",
        "ticket",
        "5m",
        "avg by (instance, spangate_upstream) (spangate_upstream_endpoint_up) < 0.5",
        f"Of the servers of {UPSTREAM} {PERCENT} are up.",
        "The others fail their probes; /upstreams of the admin port says why.",
    ),
    Alert(
        "SpangateEjected",
        "ticket",
        "10m",
        f"max by ({_OF_ENDPOINT}) (spangate_upstream_endpoint_ejected) == 1",
        f"{ENDPOINT} of {UPSTREAM} is out for its bad answers.",
        "It has been put out of the choice for ten minutes, again and again or for good.",
    ),
    Alert(
        "SpangateBreakerOpen",
        "ticket",
        "5m",
        f"max by ({_OF_ENDPOINT}) (spangate_upstream_breaker_open) > 0",
        f"{VALUE} workers send nothing to {ENDPOINT} of {UPSTREAM}.",
        "Their breaker is open, because too many of their tries there failed.",
    ),
    Alert(
        "SpangateRetries",
        "ticket",
        "10m",
        promql.rate("spangate_retries_total", "5m", by="spangate_upstream")
        + "\n/ "
        + promql.rate(f"{promql.TRIED}_count", "5m", by="spangate_upstream")
        + " > 0.1",
        f"{PERCENT} of the tries at {UPSTREAM} are retries.",
        "Retries hide failures from clients until the budget for them is used up.",
    ),
    Alert(
        "SpangateAccessUnknown",
        "page",
        "2m",
        promql.rate(DENIED, "5m", UNKNOWN, by="spangate_check, spangate_denied_reason") + " > 0",
        "{{ $labels.spangate_check }} cannot tell who may come in.",
        "Requests get 503: an issuer's keys are missing, or the server that is asked is silent.",
    ),
    Alert(
        "SpangateDenials",
        "ticket",
        "10m",
        promql.rate(DENIED, "10m", TURNED_AWAY, by="spangate_check, spangate_route")
        + " > 1\nand "
        + promql.rate(DENIED, "10m", TURNED_AWAY, by="spangate_check, spangate_route")
        + " > 5 * ("
        + promql.rate(DENIED, "1h", TURNED_AWAY, by="spangate_check, spangate_route").replace(
            "[1h]", "[1h] offset 1d"
        )
        + " or "
        + promql.rate(DENIED, "10m", TURNED_AWAY, by="spangate_check, spangate_route")
        + " * 0)",
        f"{{{{ $labels.spangate_check }}}} refuses {VALUE} requests a second.",
        "That is more than five times as many as a day ago.",
    ),
)

ITSELF = (
    Alert(
        "SpangateReloadFailed",
        "ticket",
        "",
        "spangate_config_last_reload_success == 0",
        f"{INSTANCE} has refused its configuration.",
        "The configuration before it goes on serving. /stats of the admin port has the reason.",
    ),
    Alert(
        "SpangateCertificateExpires",
        "ticket",
        "1h",
        "(spangate_tls_certificate_expiry_seconds - time()) / 86400 < 14",
        f"The certificate for {{{{ $labels.spangate_tls_name }}}} expires in {VALUE} days.",
        "It is read from {{ $labels.spangate_tls_file }}, and again whenever that file changes.",
    ),
    Alert(
        "SpangateWorkersDie",
        "ticket",
        "",
        "sum by (instance) (increase(spangate_worker_restarts_total[10m])) > 3\n"
        "or sum by (instance) (increase(spangate_collector_restarts_total[10m])) > 1",
        f"Processes of {INSTANCE} died and were replaced {VALUE} times in ten minutes.",
        "Its log says by which signal, or has the error that they ended with.",
    ),
    Alert(
        "SpangateDescriptors",
        "page",
        "",
        f"max by (instance) ({_OPEN_FILES}) > 0.8\n"
        "or sum by (instance) (increase(spangate_descriptors_exhausted_total[5m])) > 0",
        f"A process of {INSTANCE} has hardly a file descriptor left, or had none.",
        "More than 80 % are in use, or accepting paused because there was none. Raise its limit of "
        "open files, or lower `limits.connections`.",
    ),
    Alert(
        "SpangateLate",
        "ticket",
        "10m",
        "max by (instance, spangate_process, spangate_worker) "
        '(spangate_loop_lag_seconds{spangate_process="worker"}) > 0.1',
        f"The event loop of a worker of {INSTANCE} is {VALUE} s late.",
        "Give the machine more CPU, or the gateway more workers.",
    ),
)

TELEMETRY = (
    Alert(
        "SpangateTelemetryLost",
        "ticket",
        "5m",
        "sum by (instance, exporter, signal, reason) (rate(spangate_export_dropped_total[5m])) > 0",
        "{{ $labels.signal }} for {{ $labels.exporter }} are dropped: {{ $labels.reason }}.",
        "What each reason means and what helps is in docs/telemetry.md, The books.",
    ),
    Alert(
        "SpangateQueueFull",
        "ticket",
        "5m",
        "otelcol_exporter_queue_size / (otelcol_exporter_queue_capacity > 0) > 0.8",
        f"The queue for {{{{ $labels.exporter }}}} is {PERCENT} full.",
        "The other side takes less than comes in; what does not fit any more is dropped.",
    ),
    Alert(
        "SpangateBooksUnbalanced",
        "ticket",
        "10m",
        f"abs({BALANCE}) > 0",
        f"{VALUE} items of {{{{ $labels.signal }}}} for {{{{ $labels.exporter }}}} are nowhere.",
        "created = exported + dropped + queued does not hold, which is a mistake in the gateway.",
    ),
    Alert(
        "SpangatePropagationBroken",
        "ticket",
        "10m",
        f"{_INVALID}\n/ {_CONTEXTS} > 0.05\n"
        "and on (format) sum by (format) "
        '(increase(spangate_trace_context_total{result!="absent"}[10m])) >= 20',
        f"{PERCENT} of the {{{{ $labels.format }}}} contexts that callers send are invalid.",
        "Traces break there. /api/doctor and `spangate doctor` name the service that sends them.",
    ),
)


def down(job: str) -> Alert:
    """A gateway that is not scraped, and no gateway at all."""
    up = f"up{{job={promql.literal(job)}}}"
    return Alert(
        "SpangateDown",
        "page",
        "1m",
        f"{up} == 0\nor absent({up})",
        f"The admin port of {INSTANCE} does not answer.",
        "It is down, cannot be reached, or its job is called otherwise in Prometheus (--job).",
    )


def alerts(job: str) -> dict[str, tuple[Alert, ...]]:
    """By what they are about."""
    return {
        "serving": (down(job), *SERVING),
        "gateway": ITSELF,
        "telemetry": TELEMETRY,
    }


def rule(alert: Alert, runbooks: str) -> Rule:
    made: dict[str, Any] = {"alert": alert.name, "expr": alert.expr}
    if alert.wait:
        made["for"] = alert.wait
    return {
        **made,
        "labels": {"severity": alert.severity},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{runbooks}#{alert.name.lower()}",
        },
    }
