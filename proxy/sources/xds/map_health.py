"""What a Cluster says of its servers' health and of what they bear -> tables of an upstream."""

from __future__ import annotations

from typing import Any

from proxy.sources.xds.reading import Reader, Refused, text_of, which

NORMAL = 0  # RoutingPriority.DEFAULT


def map_health(checks: Any, reader: Reader) -> dict[str, Any]:
    """HealthChecks -> `health`."""
    if len(checks) > 1:
        raise Refused("Cluster.health_checks is supported once")
    check = checks[0]
    reader.only(
        check, "timeout", "interval", "unhealthy_threshold", "healthy_threshold", "alt_port",
        "http_health_check", "tcp_health_check", "grpc_health_check",
    )  # fmt: skip
    table: dict[str, Any] = {
        "every": text_of(check.interval),
        "timeout": text_of(check.timeout),
        "fall": max(1, check.unhealthy_threshold.value),
        "rise": max(1, check.healthy_threshold.value),
    }
    if check.HasField("alt_port"):
        table["port"] = check.alt_port.value
    kind = which(check, "health_checker")
    if kind == "tcp_health_check":
        reader.only(check.tcp_health_check)
        table["tcp"] = True
    elif kind == "grpc_health_check":
        reader.only(check.grpc_health_check, "service_name")
        table["grpc"] = check.grpc_health_check.service_name
    elif kind == "http_health_check":
        _http(check.http_health_check, table, reader)
    else:
        raise Refused(f"HealthCheck.{kind or 'health_checker'} is not supported")
    return table


def _http(http: Any, table: dict[str, Any], reader: Reader) -> None:
    reader.only(http, "host", "path", "expected_statuses", "method")
    if http.method not in (0, 1):
        raise Refused("HttpHealthCheck.method is supported as GET only")
    table["path"] = http.path
    if http.host:
        table["host"] = http.host
    if http.expected_statuses:
        spans = [(span.start, span.end) for span in http.expected_statuses]
        if any(not 100 <= start < end <= 600 for start, end in spans):
            raise Refused("HttpHealthCheck.expected_statuses are from 100 to 599")
        table["status"] = sorted({status for span in spans for status in range(*span)})
    else:
        table["status"] = [200]


def map_outliers(outliers: Any, reader: Reader) -> dict[str, Any]:
    """OutlierDetection -> `eject`, with Envoy's defaults."""
    reader.only(
        outliers, "consecutive_5xx", "base_ejection_time", "max_ejection_percent",
        "enforcing_consecutive_5xx", "enforcing_success_rate",
    )  # fmt: skip
    table: dict[str, Any] = {"errors": 5, "base": "30s", "max": 0.1}
    if outliers.HasField("consecutive_5xx"):
        table["errors"] = outliers.consecutive_5xx.value
    if outliers.HasField("enforcing_consecutive_5xx") and not (
        outliers.enforcing_consecutive_5xx.value
    ):
        table["errors"] = 0
    if outliers.HasField("base_ejection_time"):
        table["base"] = text_of(outliers.base_ejection_time)
    if outliers.HasField("max_ejection_percent"):
        table["max"] = min(1.0, outliers.max_ejection_percent.value / 100)
    if outliers.HasField("enforcing_success_rate"):
        table["success_rate"] = outliers.enforcing_success_rate.value > 0
    return table


def map_limits(breakers: Any, reader: Reader) -> dict[str, int]:
    """CircuitBreakers -> `limits`; what is not said is not limited."""
    reader.only(breakers, "thresholds")
    table: dict[str, int] = {}
    for thresholds in breakers.thresholds:
        if thresholds.priority != NORMAL:
            continue  # no route has another one
        reader.only(
            thresholds, "max_connections", "max_pending_requests", "max_requests", "max_retries",
            "track_remaining",
        )  # fmt: skip
        for field, key in (
            ("max_connections", "connections"),
            ("max_pending_requests", "pending"),
            ("max_requests", "requests"),
            ("max_retries", "retries"),
        ):
            if thresholds.HasField(field) and not getattr(thresholds, field).value:
                raise Refused(f"Thresholds.{field} 0 is not supported")
            if thresholds.HasField(field):
                table[key] = getattr(thresholds, field).value
    if "pending" in table and not table.keys() & {"requests", "connections"}:
        del table["pending"]  # nobody ever waits
    return table
