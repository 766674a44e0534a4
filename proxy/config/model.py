"""The configuration as frozen structs: every key, its default, and what it means.

This is the reference from which the JSON schema and `docs/configuration.md` follow. Values are
already in plain units here (seconds, bytes); `load.py` makes them from text. `None` on a route or
upstream means "not said here": a route's value wins over its upstream's, then `[defaults]`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from proxy.config.units import Seconds, Share, Size

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Status = Annotated[int, Meta(ge=100, le=599)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Format = Literal["w3c", "b3", "b3multi"]


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A table of the file: immutable, and unknown keys are errors. Sent without its defaults."""


class Listener(Section, frozen=True):
    """One address that takes requests."""

    address: str  # ":8080", "127.0.0.1:8080", "[::1]:8080"
    trust: list[str] | None = None  # CIDRs; None = [tracing] trust
    name: str = ""


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


class Admin(Section, frozen=True):
    """Where operators look: health, metrics, configuration, books."""

    listen: str = "127.0.0.1:9901"  # "" = no admin port


class AccessLog(Section, frozen=True):
    """One record for each request."""

    stdout: bool | None = None  # None = when stdout is a terminal
    otlp: bool = True  # as OTLP logs, where [export] takes logs


class Metrics(Section, frozen=True):
    series: Positive = 2000  # cap for each instrument; what exceeds it is counted as "other"
    forget: Seconds = Seconds(900)  # without a change, after which a series goes; 0 = never
    body_sizes: bool = False
    exemplars: bool = True


class Limits(Section, frozen=True):
    """What one client may ask for; beyond it the answer is 413, 414, 431 or a closed door."""

    request_line: Size = Size(8 * 1024)  # nginx large_client_header_buffers: 8k
    head_bytes: Size = Size(64 * 1024)  # Envoy: 60 KiB
    head_fields: Positive = 100  # Envoy: 100, Apache: 100
    body: Size = Size(0)  # 0 = unlimited
    header_timeout: Seconds = Seconds(10)  # the whole head; 408
    keepalive: Seconds = Seconds(75)  # nginx keepalive_timeout
    connections: Count = 10000  # for each worker; 0 = only the file-descriptor limit


class Forwarding(Section, frozen=True):
    """What is told to upstreams about the client (RFC 7239, RFC 9110 §7.6)."""

    trust: list[str] | None = None  # whose X-Forwarded-* and Forwarded are believed; None = tracing
    x_forwarded: bool = True
    forwarded: bool = False  # RFC 7239 Forwarded
    via: str = "spangate"  # pseudonym, "" = none
    request_id: bool = True  # X-Request-Id: kept from trusted peers, else made
    underscores: Literal["drop", "reject", "pass"] = "drop"  # X_Forwarded_For and its kind


class Retry(Section, frozen=True):
    """Extra tries of one request."""

    times: Count = 1
    on: list[Status] = field(default_factory=list)  # besides refused, reset and connect timeout
    methods: list[str] = field(
        default_factory=lambda: ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]
    )  # idempotent, RFC 9110 §9.2.2
    backoff: Seconds = Seconds(0.025)  # first pause, doubled each time, with jitter
    budget: Share = Share(0.2)  # retries may be this share of recent requests


class When(Section, frozen=True):
    """Further conditions on a request; all must hold."""

    method: list[str] = field(default_factory=list)
    header: dict[str, str] = field(default_factory=dict)  # value, "*" = any, "~regex"
    query: dict[str, str] = field(default_factory=dict)


class Rewrite(Section, frozen=True):
    strip: str | None = None  # take this prefix away
    prefix: str | None = None  # put this in the place of the matched prefix
    path: str | None = None  # template: "/v2/{id}"


class Redirect(Section, frozen=True):
    to: str  # absolute or path; {name} of the route's template and {path}, {query} are filled in
    status: Literal[301, 302, 303, 307, 308] = 308


class Respond(Section, frozen=True):
    status: Status = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class HeaderEdit(Section, frozen=True):
    set: dict[str, str] = field(default_factory=dict)
    add: dict[str, str] = field(default_factory=dict)
    remove: list[str] = field(default_factory=list)


class Headers(Section, frozen=True):
    request: HeaderEdit = field(default_factory=HeaderEdit)
    response: HeaderEdit = field(default_factory=HeaderEdit)


class RouteTrace(Section, frozen=True):
    sample: Share | None = None
    sampler: Literal["parent", "ratio", "always", "never"] | None = None


class Defaults(Section, frozen=True):
    """Values for routes and upstreams that say nothing else; 0 = no limit."""

    timeout: Seconds = Seconds(0)  # the client's whole wait, all tries and the body included
    connect_timeout: Seconds = Seconds(5)  # Envoy: 5 s
    first_byte_timeout: Seconds = Seconds(60)  # nginx proxy_read_timeout
    idle_timeout: Seconds = Seconds(60)  # no byte in either direction
    retry: Retry | None = None


class Route(Section, frozen=True):
    """Which requests, and what to do with them; exactly one of to, redirect, respond."""

    name: str = ""  # default: the path
    host: list[str] = field(default_factory=list)  # "shop.example", "*.example.com"; [] = any
    path: str = "/*"  # exact, template "/api/{id}", prefix "/api/*", regex "~^/v[0-9]+/.*$"
    when: When = field(default_factory=When)
    to: dict[str, Positive] = field(default_factory=dict)  # upstream name -> weight
    rewrite: Rewrite | None = None
    redirect: Redirect | None = None
    respond: Respond | None = None
    headers: Headers = field(default_factory=Headers)
    host_header: str | None = None  # what Host the upstream sees; None = the client's
    timeout: Seconds | None = None
    connect_timeout: Seconds | None = None
    first_byte_timeout: Seconds | None = None
    idle_timeout: Seconds | None = None
    retry: Retry | None = None
    body_limit: Size | None = None
    encoded_slash: Literal["keep", "decode", "reject"] = "keep"  # %2F, RFC 3986 §2.2
    trace: RouteTrace = field(default_factory=RouteTrace)
    labels: dict[str, str] = field(default_factory=dict)


class Health(Section, frozen=True):
    """Active probes, made by the hub; without it every endpoint counts as healthy."""

    path: str = "/healthz"
    every: Seconds = Seconds(5)
    timeout: Seconds = Seconds(2)
    status: list[Status] = field(default_factory=lambda: [200, 204])
    rise: Positive = 2  # good probes until up again
    fall: Positive = 3  # bad probes until down


class Pool(Section, frozen=True):
    """Warm connections, counted for each worker and endpoint."""

    idle: Count = 128  # kept at most
    idle_timeout: Seconds = Seconds(4)  # below what servers commonly keep; linkerd: 3 s


class Upstream(Section, frozen=True):
    servers: dict[str, Positive] = field(default_factory=dict)  # URL -> weight
    balance: Literal["round_robin"] = "round_robin"  # smooth weighted
    health: Health | None = None
    pool: Pool = field(default_factory=Pool)
    timeout: Seconds | None = None
    connect_timeout: Seconds | None = None
    first_byte_timeout: Seconds | None = None
    idle_timeout: Seconds | None = None
    retry: Retry | None = None


class Config(Section, frozen=True):
    """The whole file."""

    listen: list[Listener] = field(default_factory=lambda: [Listener(address=":8080")])
    workers: Positive | Literal["auto"] = "auto"
    processes: Literal["separate", "small"] = "separate"  # small: the collector within the hub
    drain_timeout: Seconds = Seconds(25)
    drain_delay: Seconds = Seconds(0)  # /ready says 503 for so long before accepting ends
    resource: dict[str, str] = field(default_factory=dict)  # OTLP resource attributes
    labels: dict[str, str] = field(default_factory=dict)  # on every span, metric and log
    attributes: dict[str, str] = field(default_factory=dict)  # SERVER spans: "header:x-tenant"
    tracing: Tracing = field(default_factory=Tracing)
    export: Export = field(default_factory=Export)
    collector: Collector | None = None  # the long form of export; see docs/collector.md
    admin: Admin = field(default_factory=Admin)
    access_log: AccessLog = field(default_factory=AccessLog)
    metrics: Metrics = field(default_factory=Metrics)
    limits: Limits = field(default_factory=Limits)
    forwarding: Forwarding = field(default_factory=Forwarding)
    defaults: Defaults = field(default_factory=Defaults)
    route: list[Route] = field(default_factory=list)
    upstream: dict[Name, Upstream] = field(default_factory=dict)
