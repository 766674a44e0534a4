"""Labels that say whose a series is, as OTLP's resource and scope.

Source: OpenTelemetry specification, compatibility/prometheus_and_openmetrics.md, "Resource
Attributes" and "Instrumentation Scope".
"""

from __future__ import annotations

from proxy import __version__
from proxy.otlp import metric_bytes

_PREFIX = "otel_scope_"
OUR_NAME = "spangate"
OUR_SCOPE = metric_bytes.scope(OUR_NAME, __version__)


def service(job: str, instance: str) -> list[tuple[str, str | int]]:
    """Resource attributes of a job, which may be namespace/name, and an instance."""
    namespace, _, name = job.rpartition("/")
    if not namespace or not name:  # "/a" and "a/" are jobs too, and come back as such
        namespace, name = "", job
    pairs: list[tuple[str, str | int]] = [("service.name", name)] if name else []
    if namespace:
        pairs.append(("service.namespace", namespace))
    return [*pairs, ("service.instance.id", instance)] if instance else pairs


def scope_of(labels: dict[str, str]) -> bytes:
    """The scope that labels name, which are taken out; ours if they name none."""
    named = {key for key in labels if key.startswith(_PREFIX)}
    if not named:
        return OUR_SCOPE
    found = {key.removeprefix(_PREFIX): labels.pop(key) for key in sorted(named)}
    found.pop("schema_url", None)
    name, version = found.pop("name", ""), found.pop("version", "")
    return metric_bytes.scope(name, version, found.items())
