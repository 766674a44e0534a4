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
    # whether "parent": a trusted parent decides, "ratio": `sample` for all
    sampler: Literal["parent", "ratio", "always", "never"] = "parent"
    # which formats are read; the first that is valid wins
    extract: list[Format] = field(default_factory=lambda: ["w3c", "b3"])
    inject: list[Format] = field(default_factory=lambda: ["w3c"])  # which formats are written
    # networks whose trace context is continued; "unix" = whoever comes by a Unix socket
    trust: list[str] = field(
        default_factory=lambda: [
            "127.0.0.0/8",
            "::1/128",
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "fc00::/7",
            "unix",
        ]
    )
    untrusted: Literal["link", "drop"] = "link"  # context from elsewhere: a link to it, or nothing
    baggage: bool = True  # pass trusted baggage on, within the limits of W3C Baggage §3.3.2
    # exact paths that leave no span
    untraced: list[str] = field(
        default_factory=lambda: ["/healthz", "/health", "/livez", "/readyz", "/metrics", "/ping"]
    )
    request_headers: list[str] = field(default_factory=list)  # captured on the SERVER span
    response_headers: list[str] = field(default_factory=list)  # the same of the response
    # parameters whose values are hidden in spans and logs
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
    # other methods are `_OTHER`; RFC 9110 §9.3, PATCH, QUERY: HTTP semantic conventions 1.44
    known_methods: list[str] = field(
        default_factory=lambda: [
            "GET",
            "HEAD",
            "POST",
            "PUT",
            "DELETE",
            "CONNECT",
            "OPTIONS",
            "TRACE",
            "PATCH",
            "QUERY",
        ]
    )
    random_flag: bool = False  # send W3C level 2's flag 02 too; SDKs of level 1 may break on it
    response_header: str = ""  # name of a response header that tells the trace id, "" = none


class RouteTrace(Section, frozen=True):
    """How one route's requests are sampled."""

    sample: Share | None = None  # instead of [tracing] sample
    # instead of [tracing] sampler
    sampler: Literal["parent", "ratio", "always", "never"] | None = None


class Propagate(Section, frozen=True):
    """What of a caller's context goes on to an upstream; None = not said here."""

    baggage: bool | None = None  # None = [tracing] baggage
    tracestate: bool | None = None  # None = true
    context: Literal["pass", "drop"] | None = None  # None = pass; drop: no trace header at all


class Retrying(Section, frozen=True):
    """How an exporter tries again (names and defaults of the Collector's retry_on_failure)."""

    initial: Seconds = Seconds(1)  # first pause
    max: Seconds = Seconds(30)  # longest pause
    # 0 = for as long as the queue holds it; if left out "5m", and 0 with a `storage`
    elapsed: Seconds | None = None


class Tls(Section, frozen=True):
    """TLS towards a collector."""

    ca: str = ""  # PEM file; "" = the system's
    cert: str = ""  # PEM file of the client certificate; comes with `key`
    key: str = ""  # PEM file of its key
    insecure_skip_verify: bool = False  # take any certificate; for tests only


class Export(Section, frozen=True):
    """The short form of the collector: where this gateway's own telemetry goes."""

    otlp: list[str] = field(default_factory=list)  # grpc://h:4317, http://h:4318, http+json://…
    # HTTP URLs here are used as they stand, while otlp's get /v1/traces and so on appended.
    traces: list[str] = field(default_factory=list)  # for traces alone, instead of otlp
    metrics: list[str] = field(default_factory=list)  # for metrics alone, instead of otlp
    logs: list[str] = field(default_factory=list)  # for logs alone, instead of otlp
    # what is sent
    signals: list[Literal["traces", "metrics", "logs"]] = field(
        default_factory=lambda: ["traces", "metrics", "logs"]
    )
    console: bool = False  # print each finished trace as a tree on stderr
    # sent with each request; values are never shown
    headers: dict[str, str] = field(default_factory=dict)
    compression: Literal["none", "gzip"] = "none"  # of each request
    timeout: Seconds = Seconds(10)  # for one request to a collector
    # towards the collector, where the URL is grpcs:// or https://
    tls: Tls = field(default_factory=Tls)
    retry: Retrying = field(default_factory=Retrying)  # when and how often a batch is sent again
    batch_items: Positive = 8192  # spans, points or records in one batch
    batch_bytes: Size = Size(3 * 1024 * 1024)  # below gRPC's customary 4 MiB
    batch_age: Seconds = Seconds(0.5)  # how old a batch may become
    # what waits for a collector at most; more is dropped
    queue_bytes: Size = Size(64 * 1024 * 1024)
    storage: str = ""  # directory of queues on disk, one for each collector; "" = in memory
    storage_size: Size = Size(1024 * 1024 * 1024)  # bytes of each; 0 = no limit
    concurrency: Positive = 4  # requests under way to one collector
    # bytes of spans that each worker can hold ready for the collector; half as much for logs
    ring: Size = Size(32 * 1024 * 1024)
    metrics_interval: Seconds = Seconds(15)  # how often metrics are sent


class CollectorPipeline(Section, frozen=True):
    """One way through the collector; its name is a signal, or signal/name."""

    receivers: list[str]  # ids; connectors may be here
    exporters: list[str]  # each gets everything; connectors may be here
    processors: list[str] = field(default_factory=list)  # in this order


class Collector(Section, frozen=True):
    """What flows where on this host; the settings of a component follow from its type."""

    receivers: dict[str, Any] = field(default_factory=dict)  # id, type or type/name -> settings
    processors: dict[str, Any] = field(default_factory=dict)  # id -> settings
    exporters: dict[str, Any] = field(default_factory=dict)  # where telemetry goes: id -> settings
    # exporter of one pipeline, receiver of another: id -> settings
    connectors: dict[str, Any] = field(default_factory=dict)
    # what flows from where to where, and through what
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
    """What is measured, and how many series there may be."""

    series: Positive = 2000  # cap for each instrument; what exceeds it is counted as "other"
    forget: Seconds = Seconds(900)  # without a change, after which a series goes; 0 = never
    body_sizes: bool = False  # histograms of request and response body sizes
    exemplars: bool = True  # to sampled traces, in OpenMetrics and OTLP
