"""HTTP/1.1 heads to bytes, by joining: what was received, less and more what edits say."""

from __future__ import annotations

from proxy.http.edits import NO_EDITS, Edits
from proxy.http.head import Pair, RequestHead, ResponseHead, Trailers
from proxy.http.headers import without
from proxy.http.reasons import STATUS_LINES, status_line

# Joins a (name, value) pair. Adding bytes to bytes takes nearly twice as long, because each side
# is asked for a buffer (18 pairs: 4.9 µs added, 2.8 joined).
_LINE_OF = b": ".join


def encode_request(head: RequestHead, edits: Edits, more: list[Pair], framing: bytes) -> bytes:
    """A whole request head: its lines less those removed, those added, `more` lines of this try
    alone; `framing` holds complete lines."""
    pairs = head.pairs
    if edits.removed is not None:
        pairs = without(pairs, edits.removed)
    line = f"{head.method} {edits.target} HTTP/1.1\r\nhost: {edits.authority}".encode("ascii")
    lines = [line, *map(_LINE_OF, pairs + edits.added + more), framing]
    return b"\r\n".join(lines) + b"\r\n"


_NO_LINES: list[Pair] = []


def encode_response(
    head: ResponseHead, edits: Edits = NO_EDITS, more: list[Pair] = _NO_LINES, framing: bytes = b""
) -> bytes:
    """A whole response head: its lines less those removed, those added, `more` lines of this
    answer alone; `framing` holds complete lines (length, coding, connection)."""
    pairs = head.pairs
    try:
        line = STATUS_LINES[head.status, head.reason]
    except KeyError:
        line = status_line(head.status, head.reason)
    if edits is not NO_EDITS:
        if edits.removed is not None:
            pairs = without(pairs, edits.removed)
        pairs = pairs + edits.added
    return line + b"\r\n".join([*map(_LINE_OF, pairs + more), framing]) + b"\r\n"


def encode_trailers(trailers: Trailers) -> bytes:
    """The end of a chunked body: the last chunk and the trailer section (RFC 9112 §7.1.2)."""
    return b"\r\n".join([b"0", *map(_LINE_OF, trailers), b"\r\n"]) if trailers else LAST_CHUNK


LAST_CHUNK = b"0\r\n\r\n"
