"""The access record: one line of JSON and one OTLP LogRecord for each request.

Everything a client wrote is escaped so that a record stays one line of valid JSON in plain ASCII,
whatever bytes were sent: no newline, escape or delete character gets to a terminal.
Source of the record: opentelemetry/proto/logs/v1, LogRecord.
"""

from __future__ import annotations

from binascii import unhexlify
from json.encoder import encode_basestring_ascii
from struct import Struct
from time import gmtime, strftime

from proxy.telemetry.blocks import LOG_ATTRIBUTES, ServerBlock
from proxy.telemetry.facts import Exchange
from proxy.telemetry.protobuf import (
    IntAttribute,
    TextAttribute,
    delimited,
    double_head,
    text,
    varint,
)
from proxy.telemetry.sources import Sources

# time_unix_nano (1), observed_time_unix_nano (11), flags (8): tags 0x09, 0x59, 0x45
_TIMES = Struct("<BQBQBI")
_DURATION = double_head(LOG_ATTRIBUTES, "spangate.duration_ms")
_HEAD_DURATION = Struct(f"<{len(_DURATION)}sd")
_HEADS = [b"\x12" + varint(size) for size in range(4096)]

_LINE = (
    '{"time":"%s.%03dZ","method":%s,"path":%s,"query":%s,%s"duration_ms":%.3f,'
    '"upstream":%s,"endpoint":%s,"attempts":%d,"bytes_in":%d,"bytes_out":%d,'
    '"client":%s,"host":%s,"user_agent":%s,"request_id":%s,'
    '"trace_id":"%s","span_id":"%s","sampled":%s}\n'
)


class RecordEncoder:
    """Makes access records; holds only what it has encoded before."""

    __slots__ = (
        "_attempts",
        "_endpoint",
        "_in",
        "_out",
        "_path",
        "_query",
        "_request_id",
        "_second",
        "_sources",
        "_upstream",
    )

    def __init__(self) -> None:
        self._sources = Sources(LOG_ATTRIBUTES)
        self._path = TextAttribute(LOG_ATTRIBUTES, "url.path")
        self._query = TextAttribute(LOG_ATTRIBUTES, "url.query")
        self._upstream = TextAttribute(LOG_ATTRIBUTES, "spangate.upstream")
        self._endpoint = TextAttribute(LOG_ATTRIBUTES, "spangate.endpoint")
        self._request_id = TextAttribute(LOG_ATTRIBUTES, "spangate.request_id")
        self._attempts = IntAttribute(LOG_ATTRIBUTES, "spangate.attempts")
        self._in = IntAttribute(LOG_ATTRIBUTES, "http.request.body.size")
        self._out = IntAttribute(LOG_ATTRIBUTES, "http.response.body.size")
        self._second = (0, "1970-01-01T00:00:00")

    def record(self, exchange: Exchange, block: ServerBlock, query: str) -> bytes:
        """A `ScopeLogs.log_records` entry (field 2); `query` without secrets."""
        took = exchange.end - exchange.start
        end = exchange.wall_ns + took
        flags = 0
        if exchange.trace_id:
            flags = (1 if exchange.sampled else 0) | (2 if exchange.flags_random else 0)
        parts = [
            _TIMES.pack(0x09, exchange.wall_ns, 0x59, end, 0x45, flags),
            block.log,
            self._path.encode(text(exchange.path)),
            self._sources.asked(exchange),
            self._sources.sent_by(exchange),
            _HEAD_DURATION.pack(_DURATION, took / 1e6),
            self._in.encode(exchange.body_in),
            self._out.encode(exchange.body_out),
        ]
        if exchange.trace_id:
            parts.append(unhexlify(b"4a10%b5208%b" % (exchange.trace_id, exchange.span_id)))
        if query:
            parts.append(self._query.encode(text(query)))
        if exchange.request_id:
            parts.append(self._request_id.encode(text(exchange.request_id)))
        if attempts := exchange.attempts:
            parts.append(self._upstream.encode(text(attempts[-1].upstream)))
            parts.append(self._endpoint.encode(text(attempts[-1].address)))
            parts.append(self._attempts.encode(len(attempts)))
        body = b"".join(parts)
        size = len(body)
        return _HEADS[size] + body if size < 4096 else delimited(2, body)

    def line(self, exchange: Exchange, block: ServerBlock, query: str) -> bytes:
        """A line of JSON; `query` without secrets. All keys are always there."""
        took = exchange.end - exchange.start
        attempts = exchange.attempts
        last = attempts[-1] if attempts else None
        second, milliseconds = divmod(exchange.wall_ns // 1_000_000, 1000)
        return (
            (
                _LINE
                % (
                    self._clock(second),
                    milliseconds,
                    _quote(exchange.method),
                    _quote(exchange.path),
                    _quote(query),
                    block.json,
                    took / 1e6,
                    _quote(last.upstream) if last else '""',
                    _quote(last.address) if last else '""',
                    len(attempts),
                    exchange.body_in,
                    exchange.body_out,
                    _quote(exchange.client),
                    _quote(exchange.host),
                    _quote_bytes(exchange.user_agent),
                    _quote_bytes(exchange.request_id),
                    exchange.trace_id.decode("ascii"),
                    exchange.span_id.decode("ascii"),
                    "true" if exchange.sampled else "false",
                )
            )
            .replace("\x7f", "\\u007f")
            .encode("ascii")
        )

    def _clock(self, second: int) -> str:
        """RFC 3339 without fraction; most requests ask for the same second as the last one."""
        known, shown = self._second
        if known != second:
            shown = strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
            self._second = (second, shown)
        return shown


def _quote(value: str) -> str:
    if len(value) < 1024 and value.isascii():
        return encode_basestring_ascii(value)
    return encode_basestring_ascii(text(value).decode())


def _quote_bytes(value: bytes) -> str:
    return encode_basestring_ascii(text(value).decode())
