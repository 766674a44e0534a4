"""Processors and connectors of a collector: their keys, and what becomes of them."""

from __future__ import annotations

from typing import Any

from proxy.config.locate import Path
from proxy.config.otelcol import legacy
from proxy.config.otelcol.out import without_nulls
from proxy.config.otelcol.rules import Walk, ignored, refused, same, silent

_NO_METADATA = ignored("batches carry no request headers")


def _max_size(walk: Walk, value: Any, source: Path) -> None:
    """Ours bounds a batch in bytes; so that it is seldom larger, it goes at that many items."""
    table = walk.defs["raw"]
    if value in (0, None):
        return
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        size = table.get("send_batch_size", 8192)
        if isinstance(size, int) and (size > value or "send_batch_size" not in table):
            walk.put(min(size, value), source, "send_batch_size")
    why = "a batch is bounded in bytes here: send_batch_max_bytes, 3 MiB"
    walk.report.warn(source, "this is ignored", why)


BATCH: dict[str, Any] = {
    "timeout": same,
    "send_batch_size": same,
    "send_batch_max_size": _max_size,
    "metadata_keys": _NO_METADATA,
    "metadata_cardinality_limit": _NO_METADATA,
}
MEMORY_LIMITER: dict[str, Any] = {
    **dict.fromkeys(
        (
            "check_interval", "limit_mib", "spike_limit_mib", "limit_percentage",
            "spike_limit_percentage",
        ),
        same,
    ),
    "min_gc_interval_when_soft_limited": silent,
    "min_gc_interval_when_hard_limited": silent,
}  # fmt: skip
PROBABILISTIC: dict[str, Any] = dict.fromkeys(
    (
        "sampling_percentage", "mode", "hash_seed", "fail_closed", "sampling_precision",
        "attribute_source", "from_attribute", "sampling_priority",
    ),
    same,
)  # fmt: skip
TAIL: dict[str, Any] = {
    **dict.fromkeys(
        (
            "policies", "decision_wait", "num_traces", "expected_new_traces_per_sec",
            "decision_wait_after_root_received", "sample_on_first_match", "block_on_overflow",
            "drop_pending_traces_on_shutdown",
        ),
        same,
    ),
    "decision_cache": {"sampled_cache_size": same, "non_sampled_cache_size": same},
    "maximum_trace_size_bytes": same,
}  # fmt: skip


def _match(walk: Walk, value: Any, source: Path) -> None:
    """`include` or `exclude`, whichever the key is."""
    if not isinstance(value, dict):
        walk.report.error(source, "expected a table", "write match_type: strict")
        return
    made = without_nulls(
        {k: v for k, v in value.items() if k not in ("regexp", "log_severity_number")}
    )
    number = value.get("log_severity_number")
    if isinstance(number, dict) and "min" in number:
        made["log_severity_min"] = number["min"]
    if isinstance(made.get("span_kinds"), list):
        made["span_kinds"] = [
            str(kind).removeprefix("SPAN_KIND_").lower() for kind in made["span_kinds"]
        ]
    walk.put(made, source, str(source[-1]))


ATTRIBUTES: dict[str, Any] = {"actions": same, "include": _match, "exclude": _match}
RESOURCE: dict[str, Any] = {"attributes": same}
_DETECTORS = {"env": "env", "system": "system", "docker": "host", "host": "host", "k8s": "k8s"}


def _detectors(walk: Walk, value: Any, source: Path) -> None:
    names = value if isinstance(value, list) else [value]
    found = []
    for index, name in enumerate(names):
        if str(name) in _DETECTORS:
            found.append(_DETECTORS[str(name)])
        else:
            why = "there are env, system, docker and k8s"
            walk.report.warn((*source, index), f"the detector {name!r} is left out", why)
    walk.put(found or ["env"], source, "detectors")


_DETECTOR = ignored("a detector finds what it finds")
RESOURCE_DETECTION: dict[str, Any] = {
    "detectors": _detectors,
    "override": same,
    "attributes": same,
    "timeout": silent,
    "refresh_interval": _DETECTOR,
    **dict.fromkeys(
        (
            "system", "docker", "ec2", "ecs", "eks", "gcp", "azure", "aks", "heroku", "lambda",
            "elastic_beanstalk", "k8snode", "kubeadm", "openshift", "consul", "dynatrace",
        ),
        _DETECTOR,
    ),
}  # fmt: skip


def _conditions(walk: Walk, value: Any, source: Path) -> None:
    """`traces`, `metrics`, `logs` of filter: conditions, or the older include and exclude."""
    if legacy.is_legacy(value):
        legacy.translate(walk, value, source)
        return
    walk.put(without_nulls(value) or {}, source, str(source[-1]))


def _spans(walk: Walk, value: Any, source: Path) -> None:
    if legacy.is_legacy(value):
        legacy.translate(walk, value, source)
    else:
        walk.report.error(source, "this is not there", "write traces: {span: ['…']}")


FILTER: dict[str, Any] = {
    "error_mode": same,
    "traces": _conditions,
    "metrics": _conditions,
    "logs": _conditions,
    "trace_conditions": same,
    "metric_conditions": same,
    "log_conditions": same,
    "spans": _spans,
    "profiles": refused("profiles are not filtered"),
    "profile_conditions": refused("profiles are not filtered"),
}
TRANSFORM: dict[str, Any] = {
    "error_mode": same,
    "trace_statements": same,
    "metric_statements": same,
    "log_statements": same,
    "profile_statements": refused("profiles are not transformed"),
    "flatten_data": refused("leave it out"),
    **dict.fromkeys(("traces", "metrics", "logs"), refused("write trace_statements and its like")),
}
GROUP_BY_TRACE: dict[str, Any] = {
    "wait_duration": same,
    "num_traces": same,
    "num_workers": silent,
    "discard_orphans": silent,
    "store_on_disk": silent,
}
REDACTION: dict[str, Any] = {
    **dict.fromkeys(
        (
            "allow_all_keys", "allowed_keys", "ignored_keys", "blocked_key_patterns",
            "blocked_values", "allowed_values", "redact_all_types", "hash_function", "summary",
        ),
        same,
    ),
    "url_sanitizer": refused("write url_query = [\"*\"] in a routes.toml"),
    "db_sanitizer": refused("use transform: replace_pattern(attributes[\"db.query.text\"], …)"),
    "ignored_key_patterns": refused("name the keys: ignored_keys"),
}  # fmt: skip

PROCESSORS: dict[str, dict[str, Any]] = {
    "batch": BATCH,
    "memory_limiter": MEMORY_LIMITER,
    "probabilistic_sampler": PROBABILISTIC,
    "tail_sampling": TAIL,
    "attributes": ATTRIBUTES,
    "resource": RESOURCE,
    "resource_detection": RESOURCE_DETECTION,
    "filter": FILTER,
    "transform": TRANSFORM,
    "group_by_trace": GROUP_BY_TRACE,
    "redaction": REDACTION,
}

SPAN_METRICS: dict[str, Any] = {
    "histogram": {
        "disable": same,
        "unit": same,
        "explicit": {"buckets": same},
        "exponential": {"max_size": same},
        "dimensions": refused("write `dimensions` beside `histogram`"),
    },
    "exemplars": {"enabled": same, "max_per_data_point": same},
    **dict.fromkeys(
        (
            "dimensions", "exclude_dimensions", "dimensions_cache_size", "namespace",
            "aggregation_temporality", "metrics_flush_interval", "metrics_expiration",
            "aggregation_cardinality_limit", "resource_metrics_cache_size",
            "resource_metrics_key_attributes",
        ),
        same,
    ),
    "metric_timestamp_cache_size": silent,
    "include_instrumentation_scope": refused("leave it out"),
    "calls_dimensions": refused("write `dimensions`"),
    "events": {"enabled": refused("events are not counted"), "dimensions": silent},
    "add_resource_attributes": silent,
}  # fmt: skip
SERVICE_GRAPH: dict[str, Any] = {
    "latency_histogram_buckets": same,
    "dimensions": same,
    "store": {"ttl": same, "max_items": same},
    "virtual_node_peer_attributes": same,
    "virtual_node_extra_label": same,
    "metrics_flush_interval": same,
    "cache_loop": silent,
    "store_expiration_loop": silent,
    "exponential_histogram_max_size": refused("write latency_histogram_buckets"),
    "database_name_attribute": ignored("virtual_node_peer_attributes names databases"),
    "database_name_attributes": ignored("virtual_node_peer_attributes names databases"),
    "metrics_timestamp_offset": ignored("points have the time at which they are made"),
}
CONNECTORS: dict[str, dict[str, Any]] = {
    "span_metrics": SPAN_METRICS,
    "service_graph": SERVICE_GRAPH,
    "forward": {},
}
