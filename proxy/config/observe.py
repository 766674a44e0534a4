"""The tables about telemetry: what is traced, measured and logged, and where it all goes.

Part of the reference in `model.py`, which holds the whole file.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import field

from proxy.config.section import Positive, Section
from proxy.config.units import Seconds, Share, Size

Format = Literal["w3c", "b3", "b3multi"]


class Tracing(Section, frozen=True):
    """Which context is believed, what is recorded, what is sent on."""

    sample: Share = Share(1.0)  # of the traces that start here; a trusted parent's is obeyed
    sampler: Literal["parent", "ratio", "always", "never"] = "parent"
    extract: list[Format] = field(default_factory=lambda: ["w3c", "b3"])
    inject: list[Format] = field(default_factory=lambda: ["w3c"])
    trust: list[str] = field(
        default_factory=lambda: [
            "127.0.0.0/8",
            "::1/128",
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "fc00::/7",
        ]
    )
    untrusted: Literal["link", "drop"] = "link"
    baggage: bool = True  # pass trusted baggage on, within the limits of W3C Baggage §3.3.2
    untraced: list[str] = field(
        default_factory=lambda: ["/healthz", "/health", "/livez", "/readyz", "/metrics", "/ping"]
    )
    request_headers: list[str] = field(default_factory=list)  # captured on the SERVER span
    response_headers: list[str] = field(default_factory=list)
    redact_query: list[str] = field(
        default_factory=lambda: [
            "X-Amz-Signature",
            "X-Amz-Credential",
            "X-Amz-Security-Token",
            "AWSAccessKeyId",
            "Signature",
            "sig",
            "X-Goog-Signature",
        ]
    )
    response_header: str = ""  # name of a response header that tells the trace id, "" = none


class RouteTrace(Section, frozen=True):
    sample: Share | None = None
    sampler: Literal["parent", "ratio", "always", "never"] | None = None


class Retrying(Section, frozen=True):
    """How an exporter tries again (names and defaults of the Collector's retry_on_failure)."""

    initial: Seconds = Seconds(1)
    max: Seconds = Seconds(30)
    # 0 = for as long as the queue holds it; if left out "5m", and 0 with a `storage`
    elapsed: Seconds | None = None


class Tls(Section, frozen=True):
    """TLS towards a collector."""

    ca: str = ""  # PEM file; "" = the system's
    cert: str = ""
    key: str = ""
    insecure_skip_verify: bool = False


class Export(Section, frozen=True):
    """The short form of the collector: where this gateway's own telemetry goes."""

    otlp: list[str] = field(default_factory=list)  # grpc://h:4317, http://h:4318, http+json://…
    # HTTP URLs here are used as they stand, while otlp's get /v1/traces and so on appended.
    traces: list[str] = field(default_factory=list)  # for traces alone, instead of otlp
    metrics: list[str] = field(default_factory=list)  # for metrics alone, instead of otlp
    logs: list[str] = field(default_factory=list)  # for logs alone, instead of otlp
    signals: list[Literal["traces", "metrics", "logs"]] = field(
        default_factory=lambda: ["traces", "metrics", "logs"]
    )
    console: bool = False  # print each finished trace as a tree on stderr
    headers: dict[str, str] = field(default_factory=dict)
    compression: Literal["none", "gzip"] = "none"
    timeout: Seconds = Seconds(10)
    tls: Tls = field(default_factory=Tls)
    retry: Retrying = field(default_factory=Retrying)
    batch_items: Positive = 8192
    batch_bytes: Size = Size(3 * 1024 * 1024)  # below gRPC's customary 4 MiB
    batch_age: Seconds = Seconds(0.5)
    queue_bytes: Size = Size(64 * 1024 * 1024)
    storage: str = ""  # directory of queues on disk, one for each collector; "" = in memory
    storage_size: Size = Size(1024 * 1024 * 1024)  # bytes of each; 0 = no limit
    concurrency: Positive = 4  # requests under way to one collector
    # bytes of spans that each worker can hold ready for the collector; half as much for logs
    ring: Size = Size(32 * 1024 * 1024)
    metrics_interval: Seconds = Seconds(15)


class CollectorPipeline(Section, frozen=True):
    """One way through the collector; its name is a signal, or signal/name."""

    receivers: list[str]  # ids; connectors may be here
    exporters: list[str]  # each gets everything; connectors may be here
    processors: list[str] = field(default_factory=list)  # in this order


class Collector(Section, frozen=True):
    """What flows where on this host; the settings of a component follow from its type."""

    receivers: dict[str, Any] = field(default_factory=dict)  # id, type or type/name -> settings
    processors: dict[str, Any] = field(default_factory=dict)
    exporters: dict[str, Any] = field(default_factory=dict)
    connectors: dict[str, Any] = field(default_factory=dict)
    pipelines: dict[str, CollectorPipeline] = field(default_factory=dict)


class Log(Section, frozen=True):
    """What the processes say on stderr, and how access lines look on stdout."""

    # "auto": text for people where the stream is a terminal, a line of JSON elsewhere
    format: Literal["auto", "text", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"  # of stderr alone


class AccessLog(Section, frozen=True):
    """One record for each request."""

    stdout: bool = True  # a line on stdout; its form is that of [log]
    otlp: bool = True  # as OTLP logs, where [export] takes logs


class Metrics(Section, frozen=True):
    series: Positive = 2000  # cap for each instrument; what exceeds it is counted as "other"
    forget: Seconds = Seconds(900)  # without a change, after which a series goes; 0 = never
    body_sizes: bool = False
    exemplars: bool = True
