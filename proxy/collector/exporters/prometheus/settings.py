"""Settings of the Prometheus exporter; names and defaults of the OpenTelemetry Collector's."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.collector.parts import Auth, Problems, TlsServer, check_address
from proxy.config.section import Positive, Section
from proxy.config.units import Seconds


class Conversion(Section, frozen=True):
    """resource_to_telemetry_conversion."""

    enabled: bool = False  # every attribute of the resource becomes a label of its series


class Settings(Section, frozen=True):
    """[collector.exporters.prometheus]"""

    endpoint: str  # address to listen on, customarily ":8889"
    metrics_path: str = "/metrics"  # what is asked for
    namespace: str = ""  # put before each name
    const_labels: dict[str, str] = field(default_factory=dict)  # of every series
    send_timestamps: bool = False  # those of the points, not the time of the scrape
    metric_expiration: Seconds = Seconds(300)  # after the last point of a series; 0 = never
    enable_open_metrics: bool = False  # for scrapers that ask for it; exemplars need it
    resource_to_telemetry_conversion: Conversion = field(default_factory=Conversion)
    target_info: bool = True  # a series with the attributes of each resource
    without_scope_info: bool = False  # no otel_scope_… labels
    translation_strategy: Literal[  # how names are made those of Prometheus
        "UnderscoreEscapingWithSuffixes", "UnderscoreEscapingWithoutSuffixes"
    ] = "UnderscoreEscapingWithSuffixes"
    series_limit: Positive = 200_000  # data points that are remembered; further ones are dropped
    tls: TlsServer | None = None
    auth: Auth = field(default_factory=Auth)

    def problems(self) -> Problems:
        yield from check_address("endpoint", self.endpoint)
        if not self.metrics_path.startswith("/"):
            yield ("metrics_path",), "a path begins with /", 'write "/metrics"'
