"""Registry: which types of components there are, and where each one lives.

Names only: nothing is imported before a configuration uses it, and `spangate check` imports the
settings alone, which are light. The processor `batch` has

    proxy/collector/processors/batch/settings.py    class Settings: its table in routes.toml
    proxy/collector/processors/batch/processor.py   make(settings, context) -> Source or Stage

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
    signals: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()  # older or newer names of the same type
    stability: str = "beta"

    @property
    def package(self) -> str:
        """The folder of its settings, its factory and whatever else it is made of."""
        return f"proxy.collector.{self.kind}s.{self.type}"

    @property
    def built(self) -> bool:
        """Whether it is there: names are taken before everything is built."""
        return importlib.util.find_spec(self.package) is not None

    def settings(self) -> Any:
        """Its settings class; light."""
        return importlib.import_module(f"{self.package}.settings").Settings

    def factory(self) -> Callable[..., Any]:
        """`make(settings, context)`; may import anything."""
        make: Callable[..., Any] = importlib.import_module(f"{self.package}.{self.kind}").make
        return make


COMPONENTS = (
    Component("receiver", "otlp", ALL),
    Component("receiver", "gateway", TML),
    Component("receiver", "jaeger", TRACES),
    Component("receiver", "zipkin", TRACES),
    Component("receiver", "prometheus", METRICS),
    Component(
        "receiver",
        "prometheus_remote_write",
        METRICS,
        aliases=("prometheusremotewrite",),
    ),
    Component("receiver", "kafka", ALL),
    Component("receiver", "host_metrics", METRICS, (), ("hostmetrics",)),
    Component("processor", "batch", ALL),
    Component("processor", "memory_limiter", ALL),
    Component("processor", "probabilistic_sampler", ("traces", "logs")),
    Component("processor", "tail_sampling", TRACES),
    Component("processor", "attributes", TML),
    Component("processor", "resource", TML),
    Component("processor", "filter", TML),
    Component("processor", "transform", TML),
    Component("processor", "redaction", TML),
    Component(
        "processor",
        "resource_detection",
        TML,
        aliases=("resourcedetection",),
    ),
    Component("processor", "group_by_trace", TRACES, (), ("groupbytrace",)),
    Component("connector", "span_metrics", TRACES, METRICS, ("spanmetrics",)),
    Component("connector", "service_graph", TRACES, METRICS, ("servicegraph",)),
    Component("connector", "forward", ALL, ALL),
    Component("exporter", "otlp_grpc", ALL, aliases=("otlp",)),
    Component("exporter", "otlp_http", ALL, aliases=("otlphttp",)),
    Component("exporter", "otlp_websocket", ALL),
    Component("exporter", "console", TRACES),
    Component("exporter", "debug", ALL),
    Component("exporter", "recent", ("traces", "logs")),
    Component("exporter", "file", ALL),
    Component("exporter", "jaeger", TRACES),
    Component("exporter", "zipkin", TRACES),
    Component("exporter", "prometheus", METRICS),
    Component(
        "exporter",
        "prometheus_remote_write",
        METRICS,
        aliases=("prometheusremotewrite",),
    ),
    Component("exporter", "elasticsearch", TML),
    Component("exporter", "kafka", ALL),
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
