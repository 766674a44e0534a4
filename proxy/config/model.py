"""The configuration as frozen structs: every key, its default, and what it means.

This is the reference from which the JSON schema and `docs/configuration.md` follow; the tables
about telemetry are in `observe.py`. Values are already in plain units here (seconds, bytes);
`load.py` makes them from text. `None` on a route or upstream means "not said here": a route's
value wins over its upstream's, then `[defaults]`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.config.access_model import Auth as Auth
from proxy.config.access_model import AuthUse as AuthUse
from proxy.config.access_model import Cors as Cors
from proxy.config.access_model import PerClient as PerClient
from proxy.config.access_model import SecureHeaders as SecureHeaders
from proxy.config.error_model import ErrorPage as ErrorPage
from proxy.config.error_model import Errors as Errors
from proxy.config.error_model import Maintenance as Maintenance
from proxy.config.error_model import RouteErrors as RouteErrors
from proxy.config.mesh_model import Mesh as Mesh
from proxy.config.messaging_model import Consume as Consume
from proxy.config.messaging_model import Messaging as Messaging
from proxy.config.messaging_model import Publish as Publish
from proxy.config.observe import (
    AccessLog,
    Collector,
    Export,
    Log,
    Metrics,
    Propagate,
    RouteTrace,
    Tracing,
)
from proxy.config.rate_model import RateLimit, Redis
from proxy.config.retry_model import GrpcCode as GrpcCode
from proxy.config.retry_model import Retry as Retry
from proxy.config.section import Count, Name, Positive, Section, Status
from proxy.config.see_model import Recent, Ui
from proxy.config.slo_model import Slo as Slo
from proxy.config.source_model import Sources as Sources
from proxy.config.split_model import Mirror as Mirror
from proxy.config.split_model import SplitBy
from proxy.config.units import Seconds, Size
from proxy.config.upstream_model import Balance as Balance
from proxy.config.upstream_model import Breaker as Breaker
from proxy.config.upstream_model import Dns
from proxy.config.upstream_model import Eject as Eject
from proxy.config.upstream_model import Health as Health
from proxy.config.upstream_model import Sticky as Sticky
from proxy.config.upstream_model import Upstream as Upstream
from proxy.config.upstream_model import UpstreamLimits as UpstreamLimits
from proxy.config.upstream_model import UpstreamTls as UpstreamTls


class Certificate(Section, frozen=True):
    """What a listener shows to clients that ask for one of its names."""

    cert: str  # path of the certificate and its chain, PEM
    key: str  # path of its private key, PEM


class ListenerTls(Section, frozen=True):
    """TLS on a listener; files are read at start and reload, and again when they change."""

    cert: str = ""  # path of the certificate and its chain, PEM: for names that no other one has
    key: str = ""  # path of its private key, PEM
    certificates: list[Certificate] = field(default_factory=list)  # further ones, chosen by SNI
    self_signed: bool = False  # one made at start instead, kept in memory: for development
    client_ca: str = ""  # path of the authorities whose client certificates count, PEM
    client: Literal["none", "request", "require"] | None = None  # None: require with client_ca
    min: Literal["1.2", "1.3"] = "1.2"  # the oldest version of TLS that is spoken


class Listener(Section, frozen=True):
    """One address that takes requests."""

    address: str  # ":8080" (IPv4 and IPv6), "127.0.0.1:8080", "[::1]:8080", "unix:/run/gw.sock"
    trust: list[str] | None = None  # CIDRs, "unix" = Unix sockets; None = [tracing] trust
    name: str = ""  # for people and for `when.listener`: what this listener is called
    tls: ListenerTls | None = None
    # "http": HTTP/1.1 and HTTP/2; "tcp": bytes; "tls": bytes, routed by SNI without decrypting
    protocol: Literal["http", "tcp", "tls"] = "http"
    proxy_protocol: bool = False  # a PROXY header, version 1 or 2, is required from trusted peers
    mode: str = "0660"  # of a Unix socket: who may connect, as of a file (chmod)
    to: str = ""  # tcp and tls: the upstream of all that no route sends elsewhere
    transparent: bool = False  # takes what TPROXY rules hand to it, for whichever address it was


class Admin(Section, frozen=True):
    """Where operators look: health, metrics, configuration, books."""

    listen: str = "127.0.0.1:9901"  # "" = no admin port
    # names that Host may have besides addresses and local names: "gw1.corp", "*.corp.example"
    hosts: list[str] = field(default_factory=list)
    # what must be shown for pages, /api/ and whatever changes something: Authorization: Bearer …
    token: str = ""
    # /ui/, /api/ and what peers' tools ask; by default where `listen` is on loopback or a Unix
    # socket, and elsewhere with a `token`
    ui: bool | None = None


class Limits(Section, frozen=True):
    """What one client may ask for; beyond it the answer is 413, 414, 431 or a closed door."""

    request_line: Size = Size(8 * 1024)  # nginx large_client_header_buffers: 8k
    head_bytes: Size = Size(64 * 1024)  # Envoy: 60 KiB
    head_fields: Positive = 100  # Envoy: 100, Apache: 100
    body: Size = Size(0)  # 0 = unlimited
    body_rate: Size = Size(256)  # bytes a second of a body over 10 s; 408; 0 = any. Apache: 500
    header_timeout: Seconds = Seconds(10)  # the whole head; 408
    handshake: Seconds = Seconds(10)  # of TLS, from the connection's first byte; 0 = any
    keepalive: Seconds = Seconds(75)  # nginx keepalive_timeout
    connection_age: Seconds = Seconds(0)  # then clients connect anew; 0 = never. nginx: 1 h
    half_closed: Seconds = Seconds(5)  # a client that shut its end waits so long for an answer
    streams: Positive = 100  # requests at once on one HTTP/2 connection. Envoy's edge: 100
    connections: Count = 10000  # for each worker; 0 = only the file-descriptor limit
    per_client: PerClient = field(default_factory=PerClient)  # what one address may have


class Forwarding(Section, frozen=True):
    """What is told to upstreams about the client (RFC 7239, RFC 9110 §7.6)."""

    trust: list[str] | None = None  # whose X-Forwarded-* and Forwarded are believed; None = tracing
    x_forwarded: bool = True  # X-Forwarded-For, -Proto and -Host
    forwarded: bool = False  # RFC 7239 Forwarded
    via: str = "spangate"  # pseudonym, "" = none
    request_id: bool = True  # X-Request-Id: kept from trusted peers, else made
    deadline: bool = True  # X-Request-Deadline: read from trusted peers, told to upstreams
    underscores: Literal["drop", "reject", "pass"] = "drop"  # X_Forwarded_For and its kind


class When(Section, frozen=True):
    """Further conditions on a request; all must hold."""

    # "GET" or a list of them; they are case-sensitive
    method: list[str] = field(default_factory=list)
    header: dict[str, str] = field(default_factory=dict)  # value, "*" = any, "~regex"
    query: dict[str, str] = field(default_factory=dict)  # the first parameter of that name, decoded
    scheme: Literal["http", "https"] | None = None  # of the client's connection
    listener: str = ""  # name of the listener that it came in by
    grpc: bool | None = None  # whether it is a gRPC call, by its Content-Type


class Rewrite(Section, frozen=True):
    """What becomes of the path: one of these."""

    strip: str | None = None  # take this prefix away
    prefix: str | None = None  # put this in the place of the matched prefix
    path: str | None = None  # template: "/v2/{id}"


class Redirect(Section, frozen=True):
    """An answer with a Location."""

    to: str  # URL or path with {name}, {path}, {query}; the query is kept unless `to` has its own
    status: Literal[301, 302, 303, 307, 308] = 308  # 308 and 307 keep the method


class Respond(Section, frozen=True):
    """An answer from the gateway itself."""

    status: Status = 200  # 200 to 599
    body: str = ""  # text
    headers: dict[str, str] = field(default_factory=dict)  # such as { retry-after = "5" }
    grpc_health: bool = False  # answer gRPC's health checking protocol instead


class HeaderEdit(Section, frozen=True):
    """Edits of one side."""

    set: dict[str, str] = field(default_factory=dict)  # in the place of all fields of that name
    add: dict[str, str] = field(default_factory=dict)  # besides those of that name
    remove: list[str] = field(default_factory=list)  # names


class Headers(Section, frozen=True):
    """Edits of header fields, which come before the gateway's own."""

    request: HeaderEdit = HeaderEdit()  # towards the upstream
    response: HeaderEdit = HeaderEdit()  # towards the client


class Compress(Section, frozen=True):
    """Answers are compressed for clients that take it (RFC 9110 §8.4, §12.5.3)."""

    # media types, "text/*" = all of one kind
    types: list[str] = field(
        default_factory=lambda: [
            "text/*",
            "application/json",
            "application/javascript",
            "application/xml",
            "application/*+json",
            "application/*+xml",
            "application/wasm",
            "image/svg+xml",
        ]
    )
    min: Size = Size(1024)  # bytes: smaller answers go as they are
    # "with" of the file: codings that may be used, the best first
    codings: list[Literal["zstd", "br", "gzip"]] = field(
        default_factory=lambda: ["zstd", "br", "gzip"], name="with"
    )


class Defaults(Section, frozen=True):
    """Values for routes and upstreams that say nothing else; 0 = no limit."""

    timeout: Seconds = Seconds(0)  # the client's whole wait, all tries and the body included
    connect_timeout: Seconds = Seconds(5)  # Envoy: 5 s
    tls_timeout: Seconds = Seconds(0)  # of that, what the TLS handshake with a server may take
    first_byte_timeout: Seconds = Seconds(60)  # nginx proxy_read_timeout
    idle_timeout: Seconds = Seconds(60)  # no byte in either direction
    # an exchange from its head to its end, tunnels and streams too (Envoy's max_stream_duration)
    stream_timeout: Seconds = Seconds(0)
    retry: Retry | None = None  # extra tries; a number, or a table
    slo: Slo | None = None  # what routes to upstreams promise: alerts are made of it
    auth: AuthUse | None = None  # who may come in: checks by name, "none"


class Route(Section, frozen=True):
    """Which requests, and what to do with them; exactly one of to, redirect, respond, publish."""

    name: str = ""  # default: the path
    host: list[str] = field(default_factory=list)  # "shop.example", "*.example.com"; [] = any
    path: str = "/*"  # exact, template "/api/{id}", prefix "/api/*", regex "~^/v[0-9]+/.*$"
    when: When = When()
    # of sources whose routes come one after the other: its place among those that have one; they
    # are asked after the routes of their host that have none
    order: Positive | None = None
    to: dict[str, Positive] = field(default_factory=dict)  # upstream name -> weight
    rewrite: Rewrite | None = None
    redirect: Redirect | None = None
    respond: Respond | None = None
    headers: Headers = Headers()
    host_header: str | None = None  # what Host the upstream sees; None = the client's
    # the client's whole wait, instead of the upstream's and [defaults]
    timeout: Seconds | None = None
    connect_timeout: Seconds | None = None  # for one connection to a server
    tls_timeout: Seconds | None = None  # of that, the TLS handshake
    first_byte_timeout: Seconds | None = None  # from the request's end to the response head
    idle_timeout: Seconds | None = None  # without a byte in either direction
    stream_timeout: Seconds | None = None  # the whole exchange, as a tunnel or stream too
    retry: Retry | None = None  # instead of the upstream's and that in [defaults]
    body_limit: Size | None = None  # instead of [limits] body
    encoded_slash: Literal["keep", "decode", "reject"] = "keep"  # %2F, RFC 3986 §2.2
    path_parameters: Literal["keep", "reject"] | None = None  # "/a;x", RFC 3986 §3.3; None = keep
    upper_case: Literal["keep", "reject"] | None = None  # "/A": capitals in the path; None = keep
    upgrade: list[str] = field(default_factory=lambda: ["websocket"])  # protocols; others get 426
    connect: bool = False  # whether CONNECT may open a tunnel here (RFC 9110 §9.3.6)
    grpc_web: bool = False  # translate gRPC-Web to gRPC
    publish: Publish | None = None  # the request becomes a message of a queue
    compress: Compress | None = None  # answers; true, or a table
    mirror: Mirror | None = None  # copies of requests: { to = "shadow", share = 0.1 }
    split: SplitBy | None = None  # with several in `to`: who goes where
    rate: list[RateLimit] = field(default_factory=list)  # "100/s", a table, or several
    auth: AuthUse | None = None  # who may come in: checks by name, "none"; None = [defaults]
    allow: list[str] = field(default_factory=list)  # CIDRs of clients, "unix"; [] = all
    deny: list[str] = field(default_factory=list)  # CIDRs of clients that are refused, "unix"
    cors: Cors | None = None  # pages of other origins that may read answers
    secure_headers: SecureHeaders | None = None  # of answers; true, or a table
    errors: RouteErrors | None = None  # answers for failures, before those of [errors]
    maintenance: bool | None = None  # true: 503 now; false: never; None: as [errors] says
    # which requests are refused last, and first, where an upstream's `limits` are reached
    priority: Literal["high", "normal", "low"] = "normal"
    slo: Slo | None = None  # what it promises; a table, or false for nothing
    trace: RouteTrace = RouteTrace()
    propagate: Propagate = Propagate()  # what is sent on of trace context
    labels: dict[str, str] = field(default_factory=dict)  # on this route's spans, metrics and logs


class Config(Section, frozen=True):
    """The whole file."""

    # where requests come in
    listen: list[Listener] = field(default_factory=lambda: [Listener(address=":8080")])
    # processes; "auto" = one for each core that this one may use
    workers: Positive | Literal["auto"] = "auto"
    processes: Literal["separate", "small"] = "separate"  # small: the collector within the hub
    drain_timeout: Seconds = Seconds(25)  # how long running requests may take to finish at the end
    drain_delay: Seconds = Seconds(0)  # /ready says 503 for so long before accepting ends
    watch: bool = False  # read this file again whenever it, or what it refers to, has changed
    resource: dict[str, str] = field(default_factory=dict)  # OTLP resource attributes
    labels: dict[str, str] = field(default_factory=dict)  # on every span, metric and log
    attributes: dict[str, str] = field(default_factory=dict)  # SERVER spans: "header:x-tenant"
    tracing: Tracing = field(default_factory=Tracing)
    export: Export = field(default_factory=Export)
    collector: Collector | None = None  # the long form of export; see docs/collector.md
    admin: Admin = field(default_factory=Admin)
    recent: Recent = field(default_factory=Recent)
    ui: Ui = field(default_factory=Ui)
    log: Log = field(default_factory=Log)
    access_log: AccessLog = field(default_factory=AccessLog)
    metrics: Metrics = field(default_factory=Metrics)
    limits: Limits = field(default_factory=Limits)
    forwarding: Forwarding = field(default_factory=Forwarding)
    defaults: Defaults = field(default_factory=Defaults)
    dns: Dns = field(default_factory=Dns)
    redis: Redis = field(default_factory=Redis)
    errors: Errors = field(default_factory=Errors)
    auth: dict[Name, Auth] = field(default_factory=dict)  # checks of who may come in
    mesh: Mesh | None = None  # this gateway is the sidecar of an application
    source: Sources = field(default_factory=Sources)  # routes and upstreams besides this file's
    messaging: Messaging = field(default_factory=Messaging)  # message queues
    consume: list[Consume] = field(default_factory=list)
    route: list[Route] = field(default_factory=list)
    upstream: dict[Name, Upstream] = field(default_factory=dict)
