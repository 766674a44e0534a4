"""gRPC as an intermediary sees it: names, deadlines, statuses, and what each means elsewhere.

Pure tables and parsers; messages are not looked into. Sources: grpc/doc PROTOCOL-HTTP2.md,
statuscodes.md, http-grpc-status-mapping.md, and proposal A6 for retries.
"""

from __future__ import annotations

import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

from proxy.errors import (
    ClientError,
    ClientGone,
    LoopDetected,
    NoHttp2,
    NoRoute,
    ProxyError,
    StreamReset,
    Truncated,
    UpstreamTimeout,
)
from proxy.http.head import Pair, Trailers

CONTENT_TYPE = b"application/grpc"
# What an attempt says itself; a client's own are taken away.
TIMEOUT, PREVIOUS = b"grpc-timeout", b"grpc-previous-rpc-attempts"

OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND = range(6)
PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 7, 8, 12, 13, 14
DATA_LOSS, UNAUTHENTICATED = 15, 16

NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)

# What is an error of a server; of a client all but OK is (semantic conventions, grpc.md).
SERVER_ERRORS = frozenset(
    {UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS}
)

_HTTP = {400: INTERNAL, 431: INTERNAL, 401: UNAUTHENTICATED, 403: PERMISSION_DENIED}
_HTTP |= {404: UNIMPLEMENTED, 429: UNAVAILABLE, 502: UNAVAILABLE, 503: UNAVAILABLE}
_HTTP |= {504: UNAVAILABLE}

# RFC 9113 §7's codes; INTERNAL for all others (PROTOCOL-HTTP2.md "Errors")
_RESET = {7: UNAVAILABLE, 8: CANCELLED, 11: RESOURCE_EXHAUSTED, 12: PERMISSION_DENIED}

_OWN = {413: RESOURCE_EXHAUSTED, 405: UNIMPLEMENTED, 408: CANCELLED, 508: INTERNAL}

_UNITS = {
    b"H": 3_600_000_000_000,
    b"M": 60_000_000_000,
    b"S": 1_000_000_000,
    b"m": 1_000_000,
    b"u": 1_000,
    b"n": 1,
}
_FINEST = sorted(_UNITS.items(), key=lambda unit: unit[1])
_MOST = 99_999_999  # eight digits
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_STATUS = re.compile(rb"[0-9]{1,4}")
_PUSHBACK = re.compile(rb"[0-9]{1,10}")
_METHOD = re.compile(r"/([A-Za-z_][\w.]*)/([A-Za-z_]\w*)", re.ASCII)
_LONGEST = 200  # characters of a method's name that is told; gRPC sets no limit


def is_grpc(content_type: bytes | None) -> bool:
    """Whether it is application/grpc, application/grpc+proto and so on; gRPC-Web is not."""
    if content_type == CONTENT_TYPE:
        return True
    if content_type is None or content_type[:16].lower() != CONTENT_TYPE:
        return False
    return content_type[16:17] in (b"", b"+", b";", b" ")


def method_of(path: str) -> str:
    """rpc.method, "pkg.Service/Method", of a request's path; "" if it is none that gRPC makes."""
    if len(path) > _LONGEST or _METHOD.fullmatch(path) is None:
        return ""
    return path[1:]


def parse_timeout(value: bytes | None) -> int:
    """`grpc-timeout` in ns; -1 where there is none, or none that is valid, which means nothing."""
    found = None if value is None else _TIMEOUT.fullmatch(value)
    return -1 if found is None else int(found[1]) * _UNITS[found[2]]


def format_timeout(ns: int) -> bytes:
    """So many ns in the finest unit that takes it in eight digits, rounded up; at least 1n, since
    a server may take 0 for no time at all or for no limit."""
    ns = max(ns, 1)
    for unit, size in _FINEST:
        number = -(-ns // size)
        if number <= _MOST:
            return b"%d%b" % (number, unit)
    return b"%dH" % _MOST


def parse_status(value: bytes | None) -> int:
    """`grpc-status`: UNKNOWN where it is missing, malformed or no code that there is."""
    if value == b"0":
        return OK
    if value is None or _STATUS.fullmatch(value) is None:
        return UNKNOWN
    code = int(value)
    return code if code < len(NAMES) else UNKNOWN


def status_in(trailers: Trailers) -> int:
    """The status that these trailers tell; UNKNOWN if they tell none."""
    for name, value in trailers:
        if name == b"grpc-status":
            return parse_status(value)
    return UNKNOWN


def encode_message(text: str) -> bytes:
    """A text as `grpc-message`: UTF-8 with percent-encoding but for visible ASCII and spaces."""
    return quote_from_bytes(text.encode("utf-8", "replace"), safe=_SAFE).encode("ascii")


def decode_message(value: bytes) -> str:
    """The text of `grpc-message`, whatever it holds: what cannot be decoded stays or becomes �."""
    return unquote_to_bytes(value).decode("utf-8", "replace")


_SAFE = "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) != "%")


def pushback(value: bytes | None) -> int | None:
    """`grpc-retry-pushback-ms`: ms until the next try; -1 = do not try again, also where it says
    nothing that can be understood; None = it is not there."""
    if value is None:
        return None
    return int(value) if _PUSHBACK.fullmatch(value) else -1


def of_http(status: int) -> int:
    """The code of an answer that has no grpc-status."""
    return _HTTP.get(status, UNKNOWN)


def of_reset(code: int) -> int:
    """The code of a stream that was reset with this one of HTTP/2's."""
    return _RESET.get(code, INTERNAL)


def of_error(error: ProxyError) -> int:
    """The code that a client is told of an error of ours."""
    if isinstance(error, ClientGone):
        return CANCELLED
    if isinstance(error, NoRoute | NoHttp2):
        return UNIMPLEMENTED
    if isinstance(error, UpstreamTimeout):
        return DEADLINE_EXCEEDED
    if isinstance(error, ClientError | LoopDetected):
        return _OWN.get(error.status) or of_http(error.status)
    if isinstance(error, StreamReset | Truncated) and error.code is not None:
        return of_reset(error.code)
    if error.status == 429:
        return RESOURCE_EXHAUSTED
    if error.status in (401, 403):
        return of_http(error.status)
    return UNAVAILABLE if error.status in (502, 503, 504) else INTERNAL


def told(code: int, message: str) -> list[Pair]:
    """The two fields of a status."""
    fields = [(b"grpc-status", b"%d" % code)]
    if message:
        fields.append((b"grpc-message", encode_message(message)))
    return fields
