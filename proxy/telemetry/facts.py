"""Exchange and Attempt: the mutable facts of one request, as plain slots.

The server fills them in while a request runs; the encoders read them once, at its end. Times are
`time.monotonic_ns()`, 0 = did not happen, except `wall_ns`, the Unix time that belongs to
`start`: a span's timestamps are wall_ns + (t - start), so that a clock step cannot turn a
duration negative.
"""

from __future__ import annotations

from typing import Any

from proxy.http.grpc import CANCELLED
from proxy.telemetry.blocks import RouteBlocks
from proxy.tracing.brought import NOTHING
from proxy.tracing.context import TraceContext
from proxy.upstream.state import Use

ASIDE = "aside"  # why an attempt is made that is none of its request's (server/side_request.py)


class Call:
    """What is known of an exchange that is a gRPC call, besides that it is one."""

    __slots__ = (
        "can_tell",
        "deadline",
        "is_recognised",
        "name",
        "pushback",
        "status",
        "timeout",
        "web",
    )

    def __init__(self, name: str, timeout: int) -> None:
        self.name = name  # what the path says, "package.Service/Method" or anything
        self.timeout = timeout  # the client's `grpc-timeout` in ns, -1 = none
        self.deadline = 0  # when it is over
        self.status = CANCELLED  # what the client was told; that, unless it was told anything
        self.is_recognised = False  # an upstream knows a method of that name
        self.can_tell = False  # the answer has begun, and a status may follow what was sent
        self.pushback: int | None = None  # `grpc-retry-pushback-ms`, -1 = never again
        self.web = ""  # "binary" or "text": the client speaks gRPC-Web


class Attempt:
    """One try against one endpoint: one CLIENT span."""

    __slots__ = (
        "address",
        "code",
        "connected",
        "cost_connect",
        "end",
        "error",
        "first_byte",
        "host",
        "ordinal",
        "peer",
        "port",
        "retry_reason",
        "reused",
        "scheme",
        "sent",
        "span_id",
        "start",
        "status",
        "tls",
        "upstream",
        "use",
        "version",
        "why",
        "withheld",
    )

    def __init__(self, start: int, span_id: bytes, ordinal: int) -> None:
        self.begin(start, span_id, ordinal)

    def begin(self, start: int, span_id: bytes, ordinal: int) -> None:
        """Set all of a new one; alone it is cheaper than by __init__ (make bench-check)."""
        self.start = start
        self.span_id = span_id  # 16 hex digits, injected into this attempt's headers
        self.ordinal = ordinal  # 0 first, then http.request.resend_count
        self.retry_reason = ""  # why the one before it failed: error.type or status
        self.upstream = ""  # the upstream's name
        self.address = ""  # "host:port" or URL authority as configured
        self.scheme = "http"
        self.host = ""  # server.address
        self.port = 0  # server.port
        self.version = "1.1"  # network.protocol.version of this hop
        self.peer: tuple[str, int] | None = None  # network.peer.address, .port, once connected
        self.tls: bytes | None = None  # what spans say of TLS on this hop (telemetry/tls.py)
        self.reused = False  # a warm connection
        self.withheld = 0  # of the trace context, see tracing/propagate.py
        self.connected = 0  # when a connection was at hand
        self.sent = 0  # when the head was written
        self.first_byte = 0  # when the response head was complete
        self.cost_connect = 0  # ns spent dialling
        self.end = 0
        self.status = 0
        self.code = CANCELLED  # of a gRPC call: its status, unless another one came of it
        self.error = ""  # error.type; "" = none. 4xx/5xx answers set it to the status
        self.why = ""  # what its error means, in words fit to be shown; never a peer's bytes
        self.use: Use | None = None  # told of its end, where a balancer learns from attempts

    def tell(self, now: int) -> None:
        """It is over, at `now` if it does not say when."""
        use, self.use = self.use, None
        if use is not None:
            use.end(self.status, self.error, self.end or now)


class Told:
    """What a client is told besides, and what was found out of it, where the route limits requests
    or says who may come in."""

    __slots__ = (
        "claim", "cookies", "denied", "drops", "headers", "lines", "rate", "secure"
    )  # fmt: skip

    def __init__(self) -> None:
        self.rate: list[tuple[bytes, bytes]] = []  # of the answer: limits
        self.lines: list[tuple[bytes, bytes]] = []  # of the answer: CORS, cookies
        self.drops: frozenset[bytes] = frozenset()  # lines of the upstream's answer that go
        self.headers: list[tuple[bytes, bytes]] = []  # for the upstream: who the client is
        self.cookies: frozenset[str] = frozenset()  # that the upstream must not see
        # (check, reason, Unix ns) of a refusal: an event of the SERVER span
        self.denied: tuple[str, str, int] | None = None
        self.secure: tuple[tuple[bytes, bytes], ...] = ()  # of the answer, unless it has them
        self.claim: Any = None  # what its client has of `per_client` until it ends


class Exchange:
    """One request: one SERVER span, one access record, one point in each histogram."""

    __slots__ = (
        "attempts",
        "body_in",
        "body_out",
        "brought",
        "call",
        "captured",
        "client",
        "client_gone",
        "context",
        "counted",
        "end",
        "error",
        "first_byte",
        "flags_random",
        "head_sent",
        "host",
        "host_port",
        "is_id_given",
        "link",
        "method",
        "path",
        "peer",
        "peer_port",
        "query",
        "request_id",
        "route",
        "sampled",
        "scheme",
        "sent_path",
        "span_id",
        "start",
        "status",
        "tls",
        "told",
        "trace_id",
        "user_agent",
        "version",
        "wall_ns",
        "why",
    )

    def __init__(self, start: int, wall_ns: int) -> None:
        self.begin(start, wall_ns)

    def begin(self, start: int, wall_ns: int) -> None:
        """As that of an Attempt."""
        self.start = start
        self.wall_ns = wall_ns
        self.end = 0
        self.first_byte = 0  # when the response head was written to the client
        # what was asked
        self.method = ""  # as received; encoders map unknown ones to _OTHER
        self.scheme = "http"
        self.path = ""
        self.query = ""
        self.sent_path = ""  # what the upstream was asked for after a rewrite, "" = path
        self.host = ""  # server.address, "" = not known
        self.host_port = 0  # server.port, 0 = not said
        self.version = "1.1"
        self.user_agent = b""
        self.client = ""  # client.address: the original client, from trusted forwarding fields
        self.peer = ""  # network.peer.address
        self.peer_port = 0
        self.tls: bytes | None = None  # as an attempt's, of the client's connection
        self.request_id = b""
        self.is_id_given = False  # the request brought it, from a peer who is believed
        self.call: Call | None = None  # of gRPC
        # (attribute key, value): allow-listed headers, and what few requests have
        self.captured: list[tuple[str, str | int]] = []
        self.told: Told | None = None  # where the route limits, or says who may come in
        # where it went
        self.route: RouteBlocks | None = None  # None = no route matched
        self.attempts: list[Attempt] = []
        # its trace
        self.trace_id = b""  # 32 hex digits
        self.span_id = b""  # 16 hex digits of the SERVER span
        self.sampled = False
        self.flags_random = True  # W3C level 2 flag that goes with trace_id
        self.context: TraceContext | None = None  # the trusted caller's: parent of the SERVER span
        self.link: TraceContext | None = None  # an untrusted caller's
        self.brought = NOTHING  # what it had of trace context, an index of BROUGHT
        # how it ended
        self.status = 0  # sent to the client, 0 = nothing was sent
        self.error = ""  # error.type; 5xx answers have the status here
        self.why = ""  # what the error means, as an attempt's
        self.head_sent = False
        self.client_gone = False
        self.body_in = 0  # bytes of request body received
        self.body_out = 0  # bytes of response body written
        self.counted = ""  # scheme under which Recorder.begin counted it as active
