"""The table of everything that is counted: name, unit, kind, meaning, boundaries.

Prometheus and OTLP exposition are both made from it, so that they cannot disagree. Values are
integers everywhere, divided by `divisor` only when shown, which keeps sums exact.

Names without "spangate." are those of the semantic conventions: for HTTP 1.44 (http-metrics.md),
for gRPC 1.45 (rpc-metrics.md), for messages 1.45 (messaging-metrics.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Kind(IntEnum):
    COUNTER = 1  # only grows: a monotonic cumulative sum
    GAUGE = 2  # grows and shrinks: a non-monotonic cumulative sum (UpDownCounter)
    HISTOGRAM = 3


@dataclass(frozen=True, slots=True)
class Instrument:
    """What one metric is; boundaries and values are raw: `raw / divisor` is in `unit`."""

    name: str
    kind: Kind
    unit: str
    description: str
    boundaries: tuple[int, ...] = ()
    divisor: int = 1
    page: str = ""  # its name on /metrics, where the rules' one is none that Prometheus likes


# http-metrics.md: advised boundaries 0.005 … 10 s, in ns
DURATIONS = tuple(
    milliseconds * 1_000_000
    for milliseconds in (5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
)
SIZES = tuple(4**n for n in range(4, 15))  # 256 B … 256 MiB; the conventions advise none

SERVER_DURATION = "http.server.request.duration"
CLIENT_DURATION = "http.client.request.duration"
SERVER_CALL_DURATION = "rpc.server.call.duration"
CLIENT_CALL_DURATION = "rpc.client.call.duration"
ACTIVE = "http.server.active_requests"
REQUEST_SIZE = "http.server.request.body.size"
RESPONSE_SIZE = "http.server.response.body.size"
DOWNSTREAM_OPEN = "spangate.downstream.connections.open"
DOWNSTREAM_TOTAL = "spangate.downstream.connections"
H2_STREAMS = "spangate.downstream.streams.open"
H2_RESETS = "spangate.downstream.streams.reset"
H2_GOAWAYS = "spangate.downstream.goaways"
UPSTREAM_OPEN = "http.client.open_connections"
UPSTREAM_CREATED = "spangate.upstream.connections.created"
UPSTREAM_REUSED = "spangate.upstream.connections.reused"
UPSTREAM_STREAMS = "spangate.upstream.streams.open"
UPSTREAM_RESETS = "spangate.upstream.streams.reset"
KEYLESS = "spangate.upstream.keyless"
MIRROR_DROPPED = "spangate.mirror.dropped"
SPLIT_DURATION = "spangate.split.request.duration"
SHED = "spangate.upstream.shed"
RETRIES = "spangate.retries"
REJECTED = "spangate.rejected"
TRACE_CONTEXT = "spangate.trace_context"
RATE_REFUSED = "spangate.rate_limit.refused"
ACCESS_DENIED = "spangate.access.denied"
RATE_KEYLESS = "spangate.rate_limit.keyless"
RATE_FALLBACKS = "spangate.rate_limit.fallbacks"
TUNNELS = "spangate.tunnels"
STREAMS = "spangate.streams"
STREAMS_ACTIVE = "spangate.streams.active"
STREAM_BYTES = "spangate.streams.io"
LINES_DROPPED = "spangate.access_log.dropped"
OVERFLOWED = "spangate.metrics.overflowed"
LOOP_LAG = "spangate.loop.lag"
DOWNSTREAM_HANDSHAKES = "spangate.downstream.tls.handshakes"
DOWNSTREAM_TLS_FAILED = "spangate.downstream.tls.failures"
UPSTREAM_HANDSHAKES = "spangate.upstream.tls.handshakes"
UPSTREAM_TLS_FAILED = "spangate.upstream.tls.failures"
MESH_HANDSHAKES = "spangate.mesh.handshakes"
MESH_CONNECTIONS = "spangate.mesh.connections"
DESCRIPTORS_OUT = "spangate.descriptors.exhausted"
COMPRESSION_IN = "spangate.compression.input"
COMPRESSION_OUT = "spangate.compression.output"
MESSAGE_OPERATION = "messaging.client.operation.duration"
MESSAGES_SENT = "messaging.client.sent.messages"
MESSAGES_CONSUMED = "messaging.client.consumed.messages"
MESSAGE_PROCESS = "messaging.process.duration"
CONSUMER_LAG = "spangate.consumer.lag"
DEAD_LETTERS = "spangate.consumer.dead_letters"
REDELIVERIES = "spangate.consumer.retries"

# Gauges of something elsewhere: of a process that is gone they say nothing, and not 0.
MEASURED = frozenset({CONSUMER_LAG})

_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

INSTRUMENTS: dict[str, Instrument] = {
    row.name: row
    for row in (
        Instrument(SERVER_DURATION, _H, "s", "Duration of HTTP server requests.", DURATIONS, 10**9),
        Instrument(CLIENT_DURATION, _H, "s", "Duration of HTTP client requests.", DURATIONS, 10**9),
        Instrument(SERVER_CALL_DURATION, _H, "s", "Duration of incoming RPCs.", DURATIONS, 10**9),
        Instrument(CLIENT_CALL_DURATION, _H, "s", "Duration of outgoing RPCs.", DURATIONS, 10**9),
        Instrument(ACTIVE, _G, "{request}", "Number of active HTTP server requests."),
        Instrument(REQUEST_SIZE, _H, "By", "Size of HTTP server request bodies.", SIZES),
        Instrument(RESPONSE_SIZE, _H, "By", "Size of HTTP server response bodies.", SIZES),
        Instrument(DOWNSTREAM_OPEN, _G, "{connection}", "Connections of clients that are open."),
        Instrument(DOWNSTREAM_TOTAL, _C, "{connection}", "Connections accepted from clients."),
        Instrument(H2_STREAMS, _G, "{stream}", "Streams of clients' HTTP/2 that are open."),
        Instrument(H2_RESETS, _C, "{stream}", "Streams that ended early, by whom and why."),
        Instrument(H2_GOAWAYS, _C, "{connection}", "GOAWAY sent to clients, by reason."),
        Instrument(
            UPSTREAM_OPEN,
            _G,
            "{connection}",
            "Connections to upstreams that are open, by http.connection.state (active, idle).",
        ),
        Instrument(UPSTREAM_CREATED, _C, "{connection}", "Connections made to upstreams."),
        Instrument(UPSTREAM_REUSED, _C, "{request}", "Attempts that took a warm connection."),
        Instrument(
            UPSTREAM_STREAMS, _G, "{stream}", "Exchanges on shared connections to upstreams."
        ),
        Instrument(
            UPSTREAM_RESETS,
            _C,
            "{stream}",
            "Streams to upstreams that ended early, by who ended them (spangate.by) and why.",
        ),
        Instrument(
            DOWNSTREAM_HANDSHAKES,
            _C,
            "{handshake}",
            "TLS handshakes with clients, by version and whether a session was resumed.",
        ),
        Instrument(
            DOWNSTREAM_TLS_FAILED, _C, "{handshake}", "TLS handshakes with clients that failed."
        ),
        Instrument(
            UPSTREAM_HANDSHAKES,
            _C,
            "{handshake}",
            "TLS handshakes with upstreams, by version and whether a session was resumed.",
        ),
        Instrument(
            UPSTREAM_TLS_FAILED, _C, "{handshake}", "TLS handshakes with upstreams that failed."
        ),
        Instrument(
            MESH_HANDSHAKES,
            _C,
            "{handshake}",
            "TLS handshakes within the mesh, by direction and the peer's identity.",
        ),
        Instrument(
            MESH_CONNECTIONS,
            _C,
            "{connection}",
            "Connections that a sidecar took, by direction and what they were found to speak.",
        ),
        Instrument(KEYLESS, _C, "{try}", "Tries without the key that the upstream hashes."),
        Instrument(SHED, _C, "{request}", "Requests that `limits` of an upstream refused."),
        Instrument(
            MIRROR_DROPPED, _C, "{request}", "Copies of requests not made or given up, by reason."
        ),
        Instrument(
            SPLIT_DURATION, _H, "s", "Requests of routes that split, by side.", DURATIONS, 10**9
        ),
        Instrument(RETRIES, _C, "{retry}", "Attempts after the first, by the reason for them."),
        Instrument(REJECTED, _C, "{request}", "Input that never became a request, by reason."),
        Instrument(
            TRACE_CONTEXT,
            _C,
            "{request}",
            "Requests by the trace context that they brought: its result and format.",
        ),
        Instrument(RATE_REFUSED, _C, "{request}", "Requests refused by a rate limit."),
        Instrument(
            ACCESS_DENIED,
            _C,
            "{request}",
            "Requests refused by who may come in, by check and reason.",
        ),
        Instrument(RATE_KEYLESS, _C, "{request}", "Requests without what a rate limit counts by."),
        Instrument(RATE_FALLBACKS, _C, "{request}", "Requests for which Redis gave no answer."),
        Instrument(
            COMPRESSION_IN, _C, "By", "Content of answers before it was compressed, by coding."
        ),
        Instrument(COMPRESSION_OUT, _C, "By", "The same content once it was compressed."),
        Instrument(
            MESSAGE_OPERATION,
            _H,
            "s",
            "Duration of operations on queues.",
            DURATIONS,
            10**9,
        ),
        Instrument(MESSAGES_SENT, _C, "{message}", "Messages given to a broker."),
        Instrument(MESSAGES_CONSUMED, _C, "{message}", "Messages taken from a broker."),
        Instrument(MESSAGE_PROCESS, _H, "s", "Duration of processing a message.", DURATIONS, 10**9),
        Instrument(CONSUMER_LAG, _G, "{message}", "Messages that a group has not processed."),
        Instrument(DEAD_LETTERS, _C, "{message}", "Messages given up, by the reason for it."),
        Instrument(REDELIVERIES, _C, "{try}", "Further tries at messages, by the reason."),
        Instrument(TUNNELS, _C, "{tunnel}", "Tunnels that ended, by protocol and what ended them."),
        Instrument(STREAMS, _C, "{connection}", "Connections passed on, by what ended them."),
        Instrument(STREAMS_ACTIVE, _G, "{connection}", "Connections that are passed on now."),
        Instrument(STREAM_BYTES, _C, "By", "Bytes of connections passed on, by direction."),
        Instrument(LINES_DROPPED, _C, "{line}", "Access lines that stdout did not take in time."),
        Instrument(
            DESCRIPTORS_OUT,
            _C,
            "{pause}",
            "Times that accepting paused because file descriptors ran out.",
        ),
        Instrument(
            LOOP_LAG,
            _G,
            "s",
            "Longest delay of the process's event loop in the last minute.",
            divisor=10**9,
        ),
        Instrument(
            OVERFLOWED,
            _C,
            "{series}",
            "Times a new attribute set was folded into the overflow series.",
        ),
    )
}
