"""Connections whose bytes are passed on, as telemetry has them: one SERVER span `tcp NAME`, one
CLIENT span for each try to connect, an access record, and numbers.

There is one of each for a connection, however long it lives, so nothing is encoded beforehand.
Attributes are those of the semantic conventions for network and TLS (registry, 1.44).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from proxy.kernel.pen import Pen
from proxy.telemetry import instruments, protobuf
from proxy.telemetry.blocks import (
    KIND_CLIENT,
    KIND_SERVER,
    LOG_ATTRIBUTES,
    SEVERITIES,
    SPAN_ATTRIBUTES,
    STATUS_ERROR,
    RouteBlocks,
    because,
)
from proxy.telemetry.facts import Attempt, Exchange
from proxy.telemetry.metrics import Attributes
from proxy.telemetry.protobuf import Value
from proxy.telemetry.recorder import Recorder
from proxy.telemetry.tls import with_service

# Span.flags, as in span.py: sampled, the parent is known to be none or ours; and random ids.
_OURS, _RANDOM = 0x101, 0x2

NOT_CONNECTED = "not_connected"  # what ended it: no upstream could be reached


class Stream:
    """What is known of one connection, besides the facts that it has in common with requests."""

    __slots__ = (
        "end",
        "found",
        "is_outbound",
        "is_unix",
        "listener",
        "protocol",
        "route",
        "server_name",
        "x",
    )

    def __init__(
        self, listener: str, protocol: str, server_name: str, x: Exchange, route: RouteBlocks
    ) -> None:
        self.listener = listener  # its name, or its address
        self.protocol = protocol  # tcp, tls
        self.server_name = server_name  # that a ClientHello asked for; "" = none
        self.x = x
        self.route = route
        self.is_unix = False
        self.end = ""  # what ended it
        self.found = ""  # how a sidecar found out that it speaks no HTTP
        self.is_outbound = False  # an application calls others by its sidecar


def begin(recorder: Recorder, stream: Stream) -> None:
    """Count it as active; `finish` ends that."""
    recorder.registry.number(instruments.STREAMS_ACTIVE, _listener(stream)).value += 1


def finish(recorder: Recorder, stream: Stream) -> None:
    """Record it, whose every fact must be in place; call it once."""
    registry, x = recorder.registry, stream.x
    where = _listener(stream)
    registry.number(instruments.STREAMS_ACTIVE, where).value -= 1
    ended = (
        *where,
        ("spangate.route", stream.route.name),
        ("spangate.tunnel.end", stream.end),
        ("error.type", x.error),
    )
    registry.number(instruments.STREAMS, tuple(pair for pair in ended if pair[1])).value += 1
    for direction, size in (("receive", x.body_in), ("transmit", x.body_out)):
        key: Attributes = (*where, ("network.io.direction", direction))
        registry.number(instruments.STREAM_BYTES, key).value += size
    pen, sink = Pen(), recorder.sink
    if x.sampled and recorder.spans:
        count = len(x.attempts)
        if not stream.is_outbound or not count:
            count += 1
            _server(pen, stream)
        for attempt in x.attempts:
            _client(pen, stream, attempt)
        pen.pour(sink.spans.window, sink.spans, count)
    if recorder.logs or recorder.watched:
        _log(pen, stream)
        pen.pour(sink.logs.window, sink.logs, 1)
    if recorder.lines:
        pen.line(_json(stream) if recorder.json else _text(stream))
        pen.pour(sink.lines.window, sink.lines, 1)


def _listener(stream: Stream) -> Attributes:
    return (("spangate.listener", stream.listener),)


def _said(*pairs: tuple[str, Value]) -> list[tuple[str, Value]]:
    """Those that have a value."""
    return [pair for pair in pairs if pair[1] not in ("", 0)]


def _facts(stream: Stream) -> list[tuple[str, Value]]:
    """The attributes of a connection that spans and logs share."""
    x = stream.x
    return [
        *_said(
            ("network.transport", "unix" if stream.is_unix else "tcp"),
            ("network.peer.address", x.peer),
            ("network.peer.port", x.peer_port),
            ("client.address", x.client),
            ("server.address", stream.server_name),
            ("error.type", x.error),
            ("spangate.listener", stream.listener),
            ("spangate.route", stream.route.name),
            ("spangate.tunnel.end", stream.end),
            ("spangate.detected", stream.found),
            *stream.route.labels.items(),
        ),
        ("spangate.tunnel.bytes_in", x.body_in),
        ("spangate.tunnel.bytes_out", x.body_out),
        *([("spangate.client_gone", True)] if x.client_gone else ()),
    ]


def _server(pen: Pen, stream: Stream) -> None:
    x = stream.x
    flags = _OURS | _RANDOM if x.flags_random else _OURS
    end = x.wall_ns + x.end - x.start
    pen.span(x.trace_id, x.span_id, b"", x.wall_ns, end, flags)
    span = _span(f"tcp {stream.listener}", KIND_SERVER, _facts(stream), x.error, x.why)
    if x.tls is not None:
        span += x.tls
    if x.context is not None and x.context.state:
        span += protobuf.delimited(3, protobuf.text(x.context.state))
    pen.put(span)
    pen.end()


def _client(pen: Pen, stream: Stream, attempt: Attempt) -> None:
    x = stream.x
    flags = _OURS | _RANDOM if x.flags_random else _OURS
    offset = x.wall_ns - x.start
    pen.span(
        x.trace_id, attempt.span_id, b"" if stream.is_outbound else x.span_id,
        attempt.start + offset, (attempt.end or x.end) + offset, flags,
    )  # fmt: skip
    peer, port = attempt.peer or ("", 0)
    service = stream.route.services.get(attempt.upstream, attempt.upstream)
    pairs = _said(
        ("network.transport", "tcp" if attempt.port else "unix"),
        ("server.address", attempt.host),
        ("server.port", attempt.port),
        ("network.peer.address", peer),
        ("network.peer.port", port),
        ("peer.service", service),
        ("spangate.upstream", attempt.upstream),
        ("error.type", attempt.error),
        ("spangate.retry.reason", attempt.retry_reason),
        *stream.route.labels.items(),
    )
    if stream.is_outbound:  # there is no other span that could tell it
        known = {key for key, _ in pairs} | {"client.address", "network.transport"}
        pairs += [pair for pair in _facts(stream) if pair[0] not in known]
    span = _span(f"tcp {attempt.upstream}", KIND_CLIENT, pairs, attempt.error, attempt.why)
    if attempt.tls is not None:
        span += attempt.tls if service else with_service(attempt.tls)
    pen.put(span)
    pen.end()


def _span(name: str, kind: int, pairs: list[tuple[str, Value]], error: str, why: str) -> bytes:
    """All of a Span but ids and times."""
    span = (
        protobuf.delimited(5, protobuf.text(name))
        + bytes((0x30, kind))
        + protobuf.attributes(SPAN_ATTRIBUTES, pairs)
        + (STATUS_ERROR if error else b"")
    )
    return because(span, why) if why else span


def _log(pen: Pen, stream: Stream) -> None:
    x = stream.x
    number, severity = SEVERITIES[2 if x.error else 0]
    took = x.end - x.start
    last = x.attempts[-1] if x.attempts else None
    more = _said(
        ("spangate.upstream", last.upstream if last else ""),
        ("spangate.endpoint", last.address if last else ""),
        ("spangate.attempts", len(x.attempts)),
        ("spangate.error.message", x.why),
        ("spangate.duration_ms", took / 1e6),
    )
    flags = (1 if x.sampled else 0) | (2 if x.flags_random else 0)
    block = (
        bytes((0x10, number))
        + protobuf.delimited(3, severity.encode())
        + protobuf.delimited(5, protobuf.any_value(f"tcp {stream.listener} {stream.end}"))
        + protobuf.attributes(LOG_ATTRIBUTES, _facts(stream) + more)
        + protobuf.delimited(12, b"spangate.connection")
    )
    pen.record(x.wall_ns, x.wall_ns + took, flags, block)
    pen.trace(x.trace_id, x.span_id)
    pen.end()


def _json(stream: Stream) -> bytes:
    """A line with the members that those of requests have, as far as there is something to say."""
    x = stream.x
    last = x.attempts[-1] if x.attempts else None
    when = datetime.fromtimestamp(x.wall_ns // 1_000_000 / 1e3, UTC)
    members = {
        "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "protocol": stream.protocol,
        "listener": stream.listener,
        "route": stream.route.name,
        "error": x.error,
        "labels": stream.route.labels,
        "error_message": x.why,
        "duration_ms": round((x.end - x.start) / 1e6, 3),
        "upstream": last.upstream if last else "",
        "endpoint": last.address if last else "",
        "attempts": len(x.attempts),
        "bytes_in": x.body_in,
        "bytes_out": x.body_out,
        "client": x.client,
        "host": stream.server_name,
        "end": stream.end,
        "trace_id": x.trace_id.decode("ascii"),
        "span_id": x.span_id.decode("ascii"),
        "sampled": x.sampled,
    }
    return json.dumps(members, separators=(",", ":")).encode("ascii") + b"\n"


def _text(stream: Stream) -> bytes:
    """A line for somebody who watches, in local time."""
    x = stream.x
    last = x.attempts[-1] if x.attempts else None
    begun = datetime.fromtimestamp(x.wall_ns // 1_000_000 / 1e3)
    parts = (
        begun.isoformat(timespec="milliseconds")[11:],
        f"{stream.protocol} {stream.listener}",
        stream.server_name,
        f"{x.body_in} bytes in, {x.body_out} out",
        f"{(x.end - x.start) / 1e6:.1f} ms",
        x.error or stream.end,
        f"({x.why})" if x.why else "",
        f"{last.upstream} {last.address}" if last else "",
        x.trace_id.decode("ascii"),
    )
    return "  ".join(filter(None, parts)).encode("ascii", "backslashreplace") + b"\n"
