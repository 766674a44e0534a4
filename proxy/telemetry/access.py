"""The access record: one line of text or JSON and one OTLP LogRecord for each request.

Everything a client wrote is escaped so that a record stays one line of valid JSON in plain ASCII,
whatever bytes were sent: no newline, escape or delete character gets to a terminal.
Source of the record: opentelemetry/proto/logs/v1, LogRecord.
"""

from __future__ import annotations

from binascii import unhexlify
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii
from struct import Struct

from proxy.telemetry.blocks import LOG_ATTRIBUTES, NO_MESSAGE, ServerBlock
from proxy.telemetry.facts import Exchange
from proxy.telemetry.protobuf import (
    TEXT_LIMIT,
    IntAttribute,
    TextAttribute,
    attributes,
    double_head,
    entry,
    text,
)
from proxy.telemetry.sources import Sources, keep

# time_unix_nano (1), observed_time_unix_nano (11), flags (8): tags 0x09, 0x59, 0x45
_TIMES = Struct("<BQBQBI")
_DURATION = double_head(LOG_ATTRIBUTES, "spangate.duration_ms")
_HEAD_DURATION = Struct(f"<{len(_DURATION)}sd")

_LINE = (
    '{"time":"%s.%03dZ","method":%s,"path":%s,"query":%s,%s"duration_ms":%.3f,'
    '%s"bytes_in":%d,"bytes_out":%d,%s"request_id":%s,'
    '"trace_id":"%s","span_id":"%s","sampled":%s}\n'
)
_DESTINATION = '"upstream":%s,"endpoint":%s,"attempts":%d,'
_NOWHERE = _DESTINATION % ('""', '""', 0)
_CALLER = '"client":%s,"host":%s,"user_agent":%s,'


class RecordEncoder:
    """Makes access records; holds only what it has encoded before."""

    __slots__ = (
        "_callers",
        "_destinations",
        "_in",
        "_out",
        "_path",
        "_query",
        "_request_id",
        "_second",
        "_sources",
    )

    def __init__(self) -> None:
        self._sources = Sources(LOG_ATTRIBUTES)
        self._path = TextAttribute(LOG_ATTRIBUTES, "url.path")
        self._query = TextAttribute(LOG_ATTRIBUTES, "url.query")
        self._request_id = TextAttribute(LOG_ATTRIBUTES, "spangate.request_id")
        self._in = IntAttribute(LOG_ATTRIBUTES, "http.request.body.size")
        self._out = IntAttribute(LOG_ATTRIBUTES, "http.response.body.size")
        self._destinations: dict[tuple[str, str, int], tuple[bytes, str]] = {}
        self._callers: dict[tuple[str, str, bytes], str] = {}
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
        if exchange.attempts:
            parts.append(self._destination(exchange)[0])
        if block.other:
            original = ("http.request.method_original", exchange.method)
            parts.append(attributes(LOG_ATTRIBUTES, [original]))
        if exchange.why:
            parts.append(attributes(LOG_ATTRIBUTES, [("spangate.error.message", exchange.why)]))
        return entry(b"".join(parts))

    def line(self, exchange: Exchange, block: ServerBlock, query: str) -> bytes:
        """A line of JSON; `query` without secrets. All keys are always there."""
        took = exchange.end - exchange.start
        second, milliseconds = divmod(exchange.wall_ns // 1_000_000, 1000)
        line = _LINE % (
            self._clock(second),
            milliseconds,
            _quote(exchange.method),
            _quote(exchange.path),
            _quote(query),
            _because(block.json, exchange.why) if exchange.why else block.json,
            took / 1e6,
            self._destination(exchange)[1] if exchange.attempts else _NOWHERE,
            exchange.body_in,
            exchange.body_out,
            self._caller(exchange),
            _quote(exchange.request_id),
            exchange.trace_id.decode("ascii"),
            exchange.span_id.decode("ascii"),
            "true" if exchange.sampled else "false",
        )
        # JSON has no need to escape DEL, but terminals act on it.
        return line.replace("\x7f", "\\u007f").encode("ascii")

    def people(self, exchange: Exchange, block: ServerBlock, query: str) -> bytes:
        """A line for somebody who watches, in local time; `query` without secrets."""
        last = exchange.attempts[-1] if exchange.attempts else None
        begun = datetime.fromtimestamp(exchange.wall_ns // 1_000_000 / 1000)
        parts = (
            begun.isoformat(timespec="milliseconds")[11:],
            f"{block.shown or '-':>3}",
            _plain(exchange.method),
            _plain(exchange.host) + _plain(exchange.path) + (query and "?" + _plain(query)),
            f"{(exchange.end - exchange.start) / 1e6:.1f} ms",
            block.error,
            f"({_plain(exchange.why)})" if exchange.why else "",
            f"{_plain(last.upstream)} {_plain(last.address)}" if last else "",
            f"{len(exchange.attempts)} attempts" if len(exchange.attempts) > 1 else "",
            exchange.trace_id.decode("ascii"),
        )
        return "  ".join(filter(None, parts)).encode("ascii") + b"\n"

    def _destination(self, exchange: Exchange) -> tuple[bytes, str]:
        """Upstream, endpoint and number of attempts: attributes, and members of a line."""
        last, count = exchange.attempts[-1], len(exchange.attempts)
        key = (last.upstream, last.address, count)
        found = self._destinations.get(key)
        if found is None:
            pairs = (
                ("spangate.upstream", last.upstream),
                ("spangate.endpoint", last.address),
                ("spangate.attempts", count),
            )
            members = _DESTINATION % (_quote(last.upstream), _quote(last.address), count)
            found = (attributes(LOG_ATTRIBUTES, pairs), members)
            keep(self._destinations, key, found)
        return found

    def _caller(self, exchange: Exchange) -> str:
        """Client, host and user agent: members of a line."""
        key = (exchange.client, exchange.host, exchange.user_agent)
        found = self._callers.get(key)
        if found is None:
            members = _CALLER % (_quote(key[0]), _quote(key[1]), _quote(key[2]))
            found = keep(self._callers, key, members)
        return found

    def _clock(self, second: int) -> str:
        """RFC 3339 without fraction; most requests ask for the same second as the last one."""
        known, shown = self._second
        if known != second:
            shown = datetime.fromtimestamp(second, UTC).isoformat()[:19]
            self._second = (second, shown)
        return shown


def _plain(value: str | bytes) -> str:
    """As in JSON, without its quotes."""
    return _quote(value)[1:-1].replace("\x7f", "\\u007f")


def _because(members: str, why: str) -> str:
    """A block's constant members, with the error's reason in the place of none."""
    return members.removesuffix(NO_MESSAGE) + f'"error_message":{_quote(why)},'


def _quote(value: str | bytes) -> str:
    if isinstance(value, str) and len(value) <= TEXT_LIMIT and value.isascii():
        return encode_basestring_ascii(value)
    return encode_basestring_ascii(text(value).decode())
