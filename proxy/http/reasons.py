"""Status lines of HTTP/1.1, and the customary reason phrases in them."""

from __future__ import annotations

import re

_REASON = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")  # RFC 9112 §4; llhttp lets control bytes pass

_REASONS = {
    200: b"OK",
    201: b"Created",
    202: b"Accepted",
    204: b"No Content",
    206: b"Partial Content",
    301: b"Moved Permanently",
    302: b"Found",
    303: b"See Other",
    304: b"Not Modified",
    307: b"Temporary Redirect",
    308: b"Permanent Redirect",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    413: b"Content Too Large",
    414: b"URI Too Long",
    417: b"Expectation Failed",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
    508: b"Loop Detected",
}
# By status: the customary reason and the line with it, since most say that reason or none. A list,
# because a dictionary of (status, reason) costs 1,100 instructions more (micro_parse.py).
NO_LINE = (b"", b"")
LINES = [
    (_REASONS[status], b"HTTP/1.1 %d %s" % (status, _REASONS[status]))
    if status in _REASONS
    else NO_LINE
    for status in range(600)
]


def other_line(status: int, reason: bytes) -> bytes:
    """The line of an answer, less its end, where LINES has none with that reason. One that is
    missing or may not be sent is replaced by the customary one."""
    if not reason or _REASON.fullmatch(reason) is None:
        reason = reason_of(status)
    return b"HTTP/1.1 %d %s" % (status, reason)


def reason_of(status: int) -> bytes:
    """The customary reason phrase; empty where there is none."""
    return _REASONS.get(status, b"")
