"""Registry: which types of components there are, and where each one lives.

Names only: nothing is imported before a configuration uses it, and `spangate check` imports the
settings alone, which are light. A component of module `process_batch` has

    proxy/collector/settings/process_batch.py   class Settings: its table in routes.toml
    proxy/collector/process_batch.py            make(settings, context) -> Source or Stage

How to add one is told in docs/collector-components.md.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["receiver", "processor", "exporter", "connector"]

TML = ("traces", "metrics", "logs")
ALL = (*TML, "profiles")
TRACES, METRICS, LOGS = ("traces",), ("metrics",), ("logs",)


@dataclass(frozen=True, slots=True)
class Component:
    """One type. `signals` go in; out of a receiver come `signals`, of a connector `outputs`."""

    kind: Kind
    type: str
    module: str
    signals: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()  # older or newer names of the same type
    stability: str = "beta"

    @property
    def built(self) -> bool:
        """Whether it is there: names are taken before everything is built."""
        return importlib.util.find_spec(f"proxy.collector.settings.{self.module}") is not None

    def settings(self) -> Any:
        """Its settings class; light."""
        return importlib.import_module(f"proxy.collector.settings.{self.module}").Settings

    def factory(self) -> Callable[..., Any]:
        """`make(settings, context)`; may import anything."""
        make: Callable[..., Any] = importlib.import_module(f"proxy.collector.{self.module}").make
        return make


COMPONENTS = (
    Component("receiver", "otlp", "receive_otlp", ALL),
    Component("receiver", "gateway", "receive_gateway", TML),
    Component("receiver", "jaeger", "receive_jaeger", TRACES),
    Component("receiver", "zipkin", "receive_zipkin", TRACES),
    Component("receiver", "prometheus", "receive_prometheus", METRICS),
    Component(
        "receiver",
        "prometheus_remote_write",
        "receive_prometheus_remote_write",
        METRICS,
        aliases=("prometheusremotewrite",),
    ),
    Component("receiver", "kafka", "receive_kafka", ALL),
    Component("receiver", "host_metrics", "receive_host_metrics", METRICS, (), ("hostmetrics",)),
    Component("processor", "batch", "process_batch", ALL),
    Component("processor", "memory_limiter", "process_memory_limiter", ALL),
    Component(
        "processor", "probabilistic_sampler", "process_probabilistic_sampler", ("traces", "logs")
    ),
    Component("processor", "tail_sampling", "process_tail_sampling", TRACES),
    Component("processor", "attributes", "process_attributes", TML),
    Component("processor", "resource", "process_resource", TML),
    Component("processor", "filter", "process_filter", TML),
    Component("processor", "transform", "process_transform", TML),
    Component("processor", "redaction", "process_redaction", TML),
    Component(
        "processor",
        "resource_detection",
        "process_resource_detection",
        TML,
        aliases=("resourcedetection",),
    ),
    Component(
        "processor", "group_by_trace", "process_group_by_trace", TRACES, (), ("groupbytrace",)
    ),
    Component(
        "connector", "span_metrics", "connect_span_metrics", TRACES, METRICS, ("spanmetrics",)
    ),
    Component(
        "connector", "service_graph", "connect_service_graph", TRACES, METRICS, ("servicegraph",)
    ),
    Component("connector", "forward", "connect_forward", ALL, ALL),
    Component("exporter", "otlp_grpc", "export_otlp_grpc", ALL, aliases=("otlp",)),
    Component("exporter", "otlp_http", "export_otlp_http", ALL, aliases=("otlphttp",)),
    Component("exporter", "otlp_websocket", "export_otlp_websocket", ALL),
    Component("exporter", "console", "export_console", TRACES),
    Component("exporter", "debug", "export_debug", ALL),
    Component("exporter", "file", "export_file", ALL),
    Component("exporter", "jaeger", "export_jaeger", TRACES),
    Component("exporter", "zipkin", "export_zipkin", TRACES),
    Component("exporter", "prometheus", "export_prometheus", METRICS),
    Component(
        "exporter",
        "prometheus_remote_write",
        "export_prometheus_remote_write",
        METRICS,
        aliases=("prometheusremotewrite",),
    ),
    Component("exporter", "elasticsearch", "export_elasticsearch", TML),
    Component("exporter", "kafka", "export_kafka", ALL),
)

_BY_NAME: dict[tuple[str, str], Component] = {
    (component.kind, name): component
    for component in COMPONENTS
    for name in (component.type, *component.aliases)
}


def find(kind: str, name: str) -> Component | None:
    """The component called `name`, by any of its names."""
    return _BY_NAME.get((kind, name))


def names(kind: str) -> list[str]:
    """All names of that kind that can be used."""
    return sorted(
        name for (k, name), component in _BY_NAME.items() if k == kind and component.built
    )
