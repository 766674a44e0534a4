"""Receivers of a collector: their keys, and what becomes of them."""

from __future__ import annotations

from typing import Any

from proxy.config.locate import Path
from proxy.config.otelcol.parts import MIB, SERVER_TLS, TUNING, server_auth
from proxy.config.otelcol.rules import (
    Walk,
    ignored,
    in_unit,
    listed,
    refused,
    same,
    seconds,
    silent,
    to,
)

_METADATA = ignored("batches carry no request headers")
_GRPC: dict[str, Any] = {
    "endpoint": silent,
    "transport": silent,
    "tls": SERVER_TLS,
    "max_recv_msg_size_mib": to("max_request_size", convert=MIB),
    "auth": server_auth,
    "include_metadata": _METADATA,
    **dict.fromkeys(
        ("max_concurrent_streams", "read_buffer_size", "write_buffer_size", "keepalive"), TUNING
    ),
    "middlewares": refused("leave it out"),
}
_HTTP: dict[str, Any] = {
    "endpoint": silent,
    "transport": silent,
    "tls": SERVER_TLS,
    "cors": {
        "allowed_origins": to("cors", "allowed_origins"),
        "allowed_headers": to("cors", "allowed_headers"),
        "max_age": to("cors", "max_age", convert=seconds),
        "exposed_headers": ignored("answers have none to expose"),
    },
    "auth": server_auth,
    "max_request_body_size": to("max_request_size", convert=in_unit("B")),
    "include_metadata": _METADATA,
    **dict.fromkeys(
        (
            "read_timeout", "read_header_timeout", "write_timeout", "idle_timeout",
            "keep_alives_enabled", "compression_algorithms", "response_headers",
        ),
        TUNING,
    ),
    **dict.fromkeys(
        ("traces_url_path", "metrics_url_path", "logs_url_path"),
        refused("the paths are /v1/traces, /v1/metrics and /v1/logs"),
    ),
    "middlewares": refused("leave it out"),
}  # fmt: skip


def protocols(
    ports: dict[str, tuple[str, int]], rules: dict[str, Any], default: dict[str, Any] = _GRPC
) -> Any:
    """`ports`: protocol -> our key and the customary port."""

    def rule(walk: Walk, value: Any, source: Path) -> None:
        if not isinstance(value, dict):
            walk.report.error(
                source, "expected a table", f"write {'{' + next(iter(ports))}: {{}}}}"
            )
            return
        for name, table in value.items():
            place = (*source, name)
            if name not in ports:
                hint = f"known: {', '.join(ports)}"
                walk.report.error(place, f"`{name}` is not known here", hint)
                continue
            key, port = ports[name]
            table = table if table is not None else {}
            walk.table(rules.get(name, default), table, place, ())
            endpoint = table.get("endpoint") if isinstance(table, dict) else None
            where = (*place, "endpoint") if endpoint is not None else place
            walk.put(f"localhost:{port}" if endpoint is None else endpoint, where, key)

    return rule


OTLP: dict[str, Any] = {
    "protocols": protocols(
        {"grpc": ("grpc", 4317), "http": ("http", 4318)}, {"grpc": _GRPC, "http": _HTTP}
    ),
}
_JAEGER: dict[str, Any] = {
    "endpoint": silent,
    "transport": silent,
    "max_recv_msg_size_mib": to("max_request_size", convert=MIB),
    "max_request_body_size": to("max_request_size", convert=in_unit("B")),
    "max_packet_size": to("max_packet_size", convert=in_unit("B")),
    "socket_buffer_size": to("socket_buffer_size", convert=in_unit("B")),
    "queue_size": TUNING,
    "workers": TUNING,
    "include_metadata": _METADATA,
    "tls": refused("the Jaeger receiver has no TLS; use OTLP"),
}
JAEGER: dict[str, Any] = {
    "protocols": protocols(
        {
            "grpc": ("grpc", 14250),
            "thrift_http": ("thrift_http", 14268),
            "thrift_compact": ("thrift_compact", 6831),
            "thrift_binary": ("thrift_binary", 6832),
        },
        {},
        _JAEGER,
    ),
    "remote_sampling": refused(
        "write [collector.receivers.jaeger.remote_sampling] in a routes.toml"
    ),
}
ZIPKIN: dict[str, Any] = {
    "endpoint": same,
    "parse_string_tags": same,
    "max_request_body_size": to("max_request_size", convert=in_unit("B")),
    "cors": ignored("pages of other origins cannot send"),
    "include_metadata": _METADATA,
    "tls": refused("the Zipkin receiver has no TLS; use OTLP"),
    "auth": refused("the Zipkin receiver asks nobody; use OTLP"),
}
_SERVICE_DISCOVERY = refused("name the targets: static_configs or file_sd_configs")
_TLS_CONFIG: dict[str, Any] = {
    "ca_file": "ca",
    "cert_file": "cert",
    "key_file": "key",
    "insecure_skip_verify": "insecure_skip_verify",
}
_JOB_KEYS = frozenset(
    (
        "job_name", "static_configs", "file_sd_configs", "scrape_interval", "scrape_timeout",
        "metrics_path", "scheme", "params", "headers", "basic_auth", "authorization",
        "follow_redirects", "honor_labels", "honor_timestamps", "relabel_configs",
        "metric_relabel_configs", "fallback_scrape_protocol", "sample_limit", "label_limit",
        "label_name_length_limit", "label_value_length_limit",
    )
)  # fmt: skip
_JOB_IGNORED = frozenset(
    (
        "enable_compression", "enable_http2", "scrape_protocols", "scrape_classic_histograms",
        "always_scrape_classic_histograms", "track_timestamps_staleness", "target_limit",
        "keep_dropped_targets", "native_histogram_bucket_limit", "metric_name_validation_scheme",
        "convert_classic_histograms_to_nhcb", "metric_name_escaping_scheme",
    )
)  # fmt: skip


def _prometheus(walk: Walk, value: Any, source: Path) -> None:
    if not isinstance(value, dict):
        walk.report.error(source, "expected a table", "write scrape_configs: […]")
        return
    rules: dict[str, Any] = {
        "global": {
            "scrape_interval": to("scrape_interval"),
            "scrape_timeout": to("scrape_timeout"),
            "external_labels": ignored("use external_labels of the exporter"),
            "evaluation_interval": silent,
            "scrape_protocols": silent,
        },
        "scrape_configs": _jobs,
        "scrape_config_files": refused("write the jobs here"),
    }
    walk.table(rules, value, source, ())


def _jobs(walk: Walk, value: Any, source: Path) -> None:
    if not isinstance(value, list):
        walk.report.error(source, "expected a list")
        return
    walk.put(
        [_job(walk, job, (*source, i)) for i, job in enumerate(value)], source, "scrape_configs"
    )


def _job(walk: Walk, job: Any, source: Path) -> Any:
    if not isinstance(job, dict):
        return job
    made: dict[str, Any] = {}
    for key, value in job.items():
        place = (*source, key)
        if key in _JOB_KEYS:
            made[key] = value
        elif key == "tls_config" and isinstance(value, dict):
            made["tls"] = {_TLS_CONFIG.get(name, name): inner for name, inner in value.items()}
        elif key in ("bearer_token", "bearer_token_file"):
            remedy = "write authorization: {credentials: …}"
            walk.report.error(place, f"`{key}` is not there", remedy)
        elif key == "body_size_limit":
            made[key] = value if isinstance(value, str) and value != "0" else 0
        elif key.endswith("_sd_configs"):
            walk.report.error(place, "there is no such discovery", _SERVICE_DISCOVERY.remedy)
        elif key in _JOB_IGNORED:
            walk.report.warn(place, "this is ignored", "it changes nothing here")
        else:
            walk.report.error(place, f"`{key}` is not known here", "leave it out")
    return made


PROMETHEUS: dict[str, Any] = {
    "config": _prometheus,
    "trim_metric_suffixes": refused("leave it out"),
    "use_start_time_metric": ignored("starts are taken from the page, or from the first scrape"),
    "start_time_metric_regex": silent,
    "report_extra_scrape_metrics": ignored("they are not there"),
    "target_allocator": _SERVICE_DISCOVERY,
    "api_server": refused("see /pipelines of the admin port"),
}
_SCRAPERS = ("cpu", "memory", "network", "process")


def _scrapers(walk: Walk, value: Any, source: Path) -> None:
    names = list(value) if isinstance(value, dict) else []
    for name in names:
        if name not in _SCRAPERS:
            why = f"there are {', '.join(_SCRAPERS)}; its metrics are missing"
            walk.report.warn((*source, name), f"the scraper `{name}` is left out", why)
            continue
        table = walk.out.keys(value[name], (*source, name))
        for key in table:
            place = (*source, name, key)
            if name == "process" and key in ("include", "exclude"):
                _process_names(walk, walk.out.keys(table[key], place), place, key)
            elif not key.startswith("mute_"):
                walk.report.warn(place, "this is ignored", "all its metrics are sent")
    walk.put([name for name in names if name in _SCRAPERS], source, "scrapers")


def _process_names(walk: Walk, table: Any, source: Path, key: str) -> None:
    names = walk.out.items(table.get("names"), (*source, "names"))
    strict = table.get("match_type") == "strict"
    patterns = [f"^{_escaped(str(name))}$" if strict else name for name in names]
    walk.put(patterns, source, "processes", key)


def _escaped(name: str) -> str:
    return "".join(c if c.isalnum() or c in "_-" else f"\\{c}" for c in name)


HOST_METRICS: dict[str, Any] = {
    "collection_interval": same,
    "initial_delay": same,
    "root_path": same,
    "scrapers": _scrapers,
    "timeout": silent,
    "metadata_collection_interval": silent,
}


def kafka_signals(walk: Walk, value: Any, source: Path, key: str) -> None:
    """`traces: {topic, encoding}`."""
    table = value if isinstance(value, dict) else {}
    for name, inner in table.items():
        place = (*source, name)
        if name == "topic":
            walk.put(inner, place, f"{key}_topic")
        elif name == "topics" and isinstance(inner, list) and len(inner) == 1:
            walk.put(inner[0], place, f"{key}_topic")
        elif name == "encoding":
            walk.put(inner, place, "encoding")
        else:
            walk.report.error(place, f"`{name}` is not known here", "topic and encoding are")


def _topic(walk: Walk, value: Any, source: Path) -> None:
    """One topic for the one signal that a pipeline takes from it; which, is told by pipelines."""
    for signal in kafka_users(walk):
        walk.put(value, source, f"{signal}_topic")


def kafka_users(walk: Walk) -> list[str]:
    """The signals of the pipelines that name this component."""
    section = "receivers" if "receivers" in walk.target else "exporters"
    service = walk.root.get("service")
    pipelines = service.get("pipelines") if isinstance(service, dict) else None
    found = set()
    for name, pipeline in (pipelines if isinstance(pipelines, dict) else {}).items():
        ids = pipeline.get(section) if isinstance(pipeline, dict) else None
        if isinstance(ids, list) and walk.id in ids:
            found.add(str(name).partition("/")[0])
    return sorted(found)


SASL: dict[str, Any] = {
    "username": to("sasl", "username"),
    "password": to("sasl", "password"),
    "mechanism": to("sasl", "mechanism"),
    "version": silent,
}
KAFKA_TLS: dict[str, Any] = {
    "ca_file": to("tls", "ca"),
    "cert_file": to("tls", "cert"),
    "key_file": to("tls", "key"),
    "insecure_skip_verify": to("tls", "insecure_skip_verify"),
    "insecure": silent,
}
KAFKA_AUTH: dict[str, Any] = {
    "sasl": SASL,
    "tls": KAFKA_TLS,
    "plain_text": {"username": to("sasl", "username"), "password": to("sasl", "password")},
    "kerberos": refused("use sasl"),
}
KAFKA_BOTH: dict[str, Any] = {
    "brokers": to("brokers", convert=listed),
    "client_id": same,
    "encoding": same,
    "topic": _topic,
    "traces": lambda walk, value, source: kafka_signals(walk, value, source, "traces"),
    "metrics": lambda walk, value, source: kafka_signals(walk, value, source, "metrics"),
    "logs": lambda walk, value, source: kafka_signals(walk, value, source, "logs"),
    "tls": KAFKA_TLS,
    "auth": KAFKA_AUTH,
    "protocol_version": silent,
    "resolve_canonical_bootstrap_servers_only": silent,
    "metadata": TUNING,
}
KAFKA: dict[str, Any] = {
    **KAFKA_BOTH,
    "group_id": same,
    "initial_offset": same,
    "session_timeout": same,
    "heartbeat_interval": same,
    "max_fetch_wait": same,
    "autocommit": {"enable": same, "interval": same},
    "message_marking": {"after": same, "on_error": silent, "on_permanent_error": silent},
    "header_extraction": {"extract_headers": same, "headers": same},
    **dict.fromkeys(
        ("group_rebalance_strategy", "min_fetch_size", "default_fetch_size", "max_fetch_size"),
        TUNING,
    ),
    "error_backoff": TUNING,
}
REMOTE_WRITE: dict[str, Any] = {"endpoint": same, "tls": SERVER_TLS, "auth": server_auth}

RECEIVERS: dict[str, dict[str, Any]] = {
    "otlp": OTLP,
    "jaeger": JAEGER,
    "zipkin": ZIPKIN,
    "prometheus": PROMETHEUS,
    "host_metrics": HOST_METRICS,
    "kafka": KAFKA,
    "prometheus_remote_write": REMOTE_WRITE,
}
