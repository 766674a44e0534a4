"""Lines: an access record as a line of JSON, member by member.

Everything a client wrote is escaped so that a line stays one line of valid JSON in plain ASCII,
whatever bytes were sent: no newline, escape or delete character gets to a terminal. The twin of
lines.pyx.
"""

from __future__ import annotations

from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii

from proxy.kernel.pen import TEXT_LIMIT, Pen, text
from proxy.kernel.sources import keep

_BEGIN = '{"time":"%s.%03dZ","method":%s,"path":%s,"query":%s,'
_OUTCOME = '"duration_ms":%.3f,%s'
_DESTINATION = '"upstream":%s,"endpoint":%s,"attempts":%d,'
_SIZES = '"bytes_in":%d,"bytes_out":%d,%s'
_CALLER = '"client":%s,"host":%s,"user_agent":%s,'
_END = '"request_id":%s,"trace_id":"%s","span_id":"%s","sampled":%s}\n'


def quote(value: str | bytes) -> str:
    """As a string of JSON; DEL is escaped too, which terminals act on."""
    if isinstance(value, str) and len(value) <= TEXT_LIMIT and value.isascii():
        return encode_basestring_ascii(value)
    return encode_basestring_ascii(text(value).decode())


class Lines:
    """Writes with that pen; the calls that make a line come in the order of its members."""

    __slots__ = ("_callers", "_destinations", "_parts", "_pen", "_second")

    def __init__(self, pen: Pen) -> None:
        self._pen = pen
        self._parts: list[str] = []
        self._destinations: dict[tuple[str, str, int], str] = {}
        self._callers: dict[tuple[str, str, bytes], str] = {}
        self._second = (0, "1970-01-01T00:00:00")

    def begin(self, time: int, method: str, path: str, query: str) -> None:
        """`time` in Unix ns."""
        second, milliseconds = divmod(time // 1_000_000, 1000)
        known, shown = self._second
        if known != second:  # most requests ask for the same second as the last one
            shown = datetime.fromtimestamp(second, UTC).isoformat()[:19]
            self._second = (second, shown)
        self._parts = [
            _BEGIN % (shown, milliseconds, quote(method), quote(path), quote(query)),
        ]

    def members(self, members: str) -> None:
        """As they are: ASCII, with a comma behind each."""
        self._parts.append(members)

    def outcome(self, took: int, upstream: str, endpoint: str, attempts: int) -> None:
        """`took` in ns."""
        key = (upstream, endpoint, attempts)
        found = self._destinations.get(key)
        if found is None:
            found = _DESTINATION % (quote(upstream), quote(endpoint), attempts)
            keep(self._destinations, key, found)
        self._parts.append(_OUTCOME % (took / 1e6, found))

    def caller(self, received: int, sent: int, client: str, host: str, agent: bytes) -> None:
        """And the bytes that were exchanged with it."""
        key = (client, host, agent)
        found = self._callers.get(key)
        if found is None:
            found = _CALLER % (quote(client), quote(host), quote(agent))
            keep(self._callers, key, found)
        self._parts.append(_SIZES % (received, sent, found))

    def end(self, request_id: bytes, trace_id: bytes, span_id: bytes, sampled: bool) -> None:
        """The ids are ASCII."""
        ids = trace_id.decode("ascii"), span_id.decode("ascii")
        self._parts.append(_END % (quote(request_id), *ids, "true" if sampled else "false"))
        self._pen.line("".join(self._parts).encode("ascii"))
