"""HTTP/1.1 heads to bytes: what was received, less and more what edits say."""

from __future__ import annotations

from proxy.http.edits import NO_EDITS, Edits
from proxy.http.head import Pair, RequestHead, ResponseHead, Trailers
from proxy.http.reasons import LINES, NO_LINE, other_line
from proxy.kernel.write import request_start, write_head


def encode_request(head: RequestHead, edits: Edits, more: list[Pair], framing: bytes) -> bytes:
    """A whole request head: its lines less those removed, those added, `more` lines of this try
    alone; `framing` holds complete lines."""
    start = request_start(head.method, edits.target, edits.authority)
    came = head._pairs if head.lines is None else head.lines
    return write_head(start, came, edits.removed, edits.added, more, framing)


_NO_LINES: list[Pair] = []


def encode_response(
    head: ResponseHead, edits: Edits = NO_EDITS, more: list[Pair] = _NO_LINES, framing: bytes = b""
) -> bytes:
    """A whole response head: its lines less those removed, those added, `more` lines of this
    answer alone; `framing` holds complete lines (length, coding, connection)."""
    status, reason = head.status, head.reason
    customary, start = LINES[status] if 0 <= status < 600 else NO_LINE
    if not start or (reason and reason != customary):
        start = other_line(status, reason)
    came = head._pairs if head.lines is None else head.lines
    return write_head(start, came, edits.removed, edits.added, more, framing)


def encode_trailers(trailers: Trailers) -> bytes:
    """The end of a chunked body: the last chunk and the trailer section (RFC 9112 §7.1.2)."""
    return write_head(b"0", _NO_LINES, None, _NO_LINES, [*trailers], b"")
