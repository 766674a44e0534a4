"""Settings of the remote-write exporter; names and defaults of the OpenTelemetry Collector's."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.collector.exporters.prometheus.settings import Conversion
from proxy.collector.parts import (
    Problems,
    Queue,
    Retry,
    TlsClient,
    check_headers,
    check_queue,
    check_tls,
)
from proxy.config.section import Positive, Section
from proxy.config.syntax import parse_otlp
from proxy.config.units import Seconds


class OrderedQueue(Queue, frozen=True):
    """One request at a time, so that samples of a series arrive in order."""

    num_consumers: Positive = 1  # more only for back ends that take samples out of order


class Settings(Section, frozen=True):
    """[collector.exporters.prometheus_remote_write]"""

    endpoint: str  # "http://prometheus:9090/api/v1/write"
    # 2.0 falls back to 1.0 where it is not understood.
    protobuf_message: Literal["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] = (
        "prometheus.WriteRequest"
    )
    namespace: str = ""  # put before each name
    external_labels: dict[str, str] = field(default_factory=dict)  # of every series
    translation_strategy: Literal[  # how names are made those of Prometheus
        "UnderscoreEscapingWithSuffixes", "UnderscoreEscapingWithoutSuffixes"
    ] = "UnderscoreEscapingWithSuffixes"
    resource_to_telemetry_conversion: Conversion = field(default_factory=Conversion)
    target_info: bool = True  # a series with the attributes of each resource
    without_scope_info: bool = False  # no otel_scope_… labels
    tls: TlsClient = field(default_factory=TlsClient)
    headers: dict[str, str] = field(default_factory=dict)
    timeout: Seconds = Seconds(5)
    retry_on_failure: Retry = field(default_factory=Retry)
    sending_queue: OrderedQueue = field(default_factory=OrderedQueue)

    def problems(self) -> Problems:
        try:
            if parse_otlp(self.endpoint)[0] not in ("http", "https"):
                raise ValueError(f"{self.endpoint!r} is not http:// or https://")
        except ValueError as error:
            yield ("endpoint",), str(error), 'write "http://localhost:9090/api/v1/write"'
        yield from check_headers("headers", self.headers)
        yield from check_tls("tls", self.tls)
        yield from check_queue("sending_queue", self.sending_queue)
