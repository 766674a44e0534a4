"""Exporters of a collector: their keys, and what becomes of them."""

from __future__ import annotations

from typing import Any

from proxy.config.locate import Path
from proxy.config.otelcol.out import is_true, like
from proxy.config.otelcol.parts import CLIENT_TLS, EXPORTER, SERVER_TLS, compression
from proxy.config.otelcol.receivers import KAFKA_BOTH, kafka_signals
from proxy.config.otelcol.rules import Walk, ignored, in_unit, refused, same, silent, to, whole


def _grpc_endpoint(walk: Walk, value: Any, source: Path) -> None:
    """host:port is with TLS in the Collector unless it is told not to."""
    text = str(value).removeprefix("dns:///").removeprefix("passthrough:///")
    if text.startswith("unix:"):
        walk.report.error(source, "a socket file cannot be reached", "write host:port")
        return
    scheme, separator, rest = text.partition("://")
    table = walk.defs["raw"].get("tls") or {}
    plain = is_true(table.get("insecure")) if isinstance(table, dict) else False
    if separator:
        plain = scheme == "http"
    made = f"{'grpc' if plain else 'grpcs'}://{rest if separator else text}".rstrip("/")
    walk.put(like(made, value), source, "endpoint")


OTLP_GRPC: dict[str, Any] = {
    **EXPORTER,
    "endpoint": _grpc_endpoint,
    "compression": compression("none", "gzip", "deflate", "zstd", "snappy"),
}
OTLP_HTTP: dict[str, Any] = {
    **EXPORTER,
    "endpoint": same,
    "traces_endpoint": same,
    "metrics_endpoint": same,
    "logs_endpoint": same,
    "profiles_endpoint": refused("leave it out"),
    "encoding": same,
    "compression": compression(
        "none", "gzip", "deflate", "zlib", "zstd", "snappy", "x-snappy-framed", "lz4", "brotli"
    ),
}
DEBUG: dict[str, Any] = {
    "verbosity": same,
    "sampling_initial": same,
    "sampling_thereafter": same,
    "use_internal_logger": silent,
    "output_paths": ignored("it writes to stderr"),
}
_LEVELS = {"debug": "detailed", "info": "normal", "warn": "basic", "error": "basic"}
LOGGING: dict[str, Any] = {
    **DEBUG,
    "loglevel": to("verbosity", convert=lambda value: _LEVELS.get(str(value), "basic")),
}


def _rotation(walk: Walk, value: Any, source: Path) -> None:
    units = {"max_megabytes": ("max_size", "MB"), "max_days": ("max_age", "d")}
    walk.out.table((*walk.target, "rotation"), source)
    for key, inner in walk.out.keys(value, source).items():
        place = (*source, key)
        if key in units:
            name, unit = units[key]
            try:
                walk.put(whole(inner, unit), place, "rotation", name)
            except ValueError as error:
                walk.report.error(place, str(error))
        elif key == "max_backups":
            walk.put(inner, place, "rotation", key)
        elif key != "localtime":
            walk.report.error(place, f"`{key}` is not known here", ", ".join(units))


FILE: dict[str, Any] = {
    "path": same,
    "format": same,
    "compression": same,
    "append": same,
    "flush_interval": same,
    "rotation": _rotation,
    "create_directory": silent,
    "directory_permissions": silent,
    "encoding": refused("write format: json or proto"),
    "group_by": {"enabled": refused("use an exporter for each file"), "resource_attribute": silent,
                 "max_open_files": silent},
}  # fmt: skip


def _suffixes(walk: Walk, value: Any, source: Path) -> None:
    if value is False:
        walk.put("UnderscoreEscapingWithoutSuffixes", source, "translation_strategy")


_CONVERSION: dict[str, Any] = {
    "enabled": same,
    "exclude_service_attributes": ignored("all attributes of the resource become labels"),
}
PROMETHEUS: dict[str, Any] = {
    "endpoint": same,
    "tls": SERVER_TLS,
    "namespace": same,
    "const_labels": same,
    "send_timestamps": same,
    "metric_expiration": same,
    "enable_open_metrics": same,
    "resource_to_telemetry_conversion": _CONVERSION,
    "add_metric_suffixes": _suffixes,
    "translation_strategy": same,
    "without_scope_info": same,
    "max_request_body_size": silent,
    "read_timeout": silent,
    "auth": refused("scrapers are not asked who they are; bind it to a private address"),
}
REMOTE_WRITE: dict[str, Any] = {
    **EXPORTER,
    "endpoint": same,
    "namespace": same,
    "external_labels": same,
    "protobuf_message": same,
    "resource_to_telemetry_conversion": _CONVERSION,
    "target_info": {"enabled": to("target_info")},
    "add_metric_suffixes": _suffixes,
    "translation_strategy": same,
    "disable_scope_info": to("without_scope_info"),
    "compression": silent,
    "remote_write_queue": {
        "enabled": ignored("there is always a queue"),
        "queue_size": ignored("a queue is measured in bytes here, and holds 64 MiB"),
        "num_consumers": to("sending_queue", "num_consumers"),
    },
    "export_created_metric": ignored("starts are not sent as series of their own"),
    "max_batch_size_bytes": ignored("a request is as large as its batch"),
    "max_batch_request_parallelism": ignored("use num_consumers"),
    "send_metadata": silent,
    "wal": refused("write sending_queue: {storage: file_storage}"),
}
ZIPKIN: dict[str, Any] = {
    **EXPORTER,
    "endpoint": same,
    "compression": compression("none", "gzip", "deflate", "zstd", "snappy"),
    "format": ignored("JSON is sent"),
    "default_service_name": ignored("services without a name are called unknown_service"),
}
JAEGER: dict[str, Any] = {**OTLP_GRPC}
_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
KAFKA: dict[str, Any] = {
    **{k: v for k, v in EXPORTER.items() if k in ("timeout", "retry_on_failure", "sending_queue")},
    **KAFKA_BOTH,
    "partition_traces_by_id": same,
    "producer": {
        "compression": to("compression"),
        "max_message_bytes": to("max_message_bytes", convert=in_unit("B")),
        "required_acks": to("required_acks"),
        "flush_max_messages": silent,
        "compression_params": silent,
        "allow_auto_topic_creation": silent,
        "linger": silent,
    },
    "profiles": lambda walk, value, source: kafka_signals(walk, value, source, "profiles"),
    **dict.fromkeys(
        (
            "partition_metrics_by_resource_attributes", "partition_logs_by_resource_attributes",
            "topic_from_attribute", "topic_from_metadata_key", "include_metadata_keys",
        ),
        refused("messages go to the topic of their signal"),
    ),
}  # fmt: skip
ELASTICSEARCH: dict[str, Any] = {
    **{k: v for k, v in EXPORTER.items() if k not in ("auth",)},
    **dict.fromkeys(
        (
            "endpoint", "endpoints", "user", "password", "api_key", "traces_index",
            "metrics_index", "logs_index", "pipeline",
        ),
        same,
    ),
    "compression": compression("none", "gzip", "deflate", "zstd", "snappy"),
    "tls": CLIENT_TLS,
    "mapping": {"mode": same, "allowed_modes": silent},
    "flush": {"interval": same, "bytes": to("flush", "bytes", convert=in_unit("B"))},
    "retry": {
        "enabled": to("retry_on_failure", "enabled"),
        "initial_interval": to("retry_on_failure", "initial_interval"),
        "max_interval": to("retry_on_failure", "max_interval"),
        "max_requests": silent,
        "max_retries": silent,
        "retry_on_status": silent,
    },
    "num_workers": to("sending_queue", "num_consumers"),
    "auth": refused("write user and password, or api_key"),
    "cloudid": refused("write endpoint"),
    "discover": silent,
    "telemetry": silent,
}  # fmt: skip

EXPORTERS: dict[str, dict[str, Any]] = {
    "otlp_grpc": OTLP_GRPC,
    "otlp_http": OTLP_HTTP,
    "debug": LOGGING,
    "file": FILE,
    "prometheus": PROMETHEUS,
    "prometheus_remote_write": REMOTE_WRITE,
    "zipkin": ZIPKIN,
    "jaeger": JAEGER,
    "kafka": KAFKA,
    "elasticsearch": ELASTICSEARCH,
}
