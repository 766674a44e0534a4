"""HTTP/1.1 heads: bytes to heads by llhttp, heads to bytes by joining.

The connection cuts the stream at the blank line and gives a whole head to a reader; bodies never
pass through llhttp, so nothing that it thinks of their length matters (`framing.py` decides).
"""

from __future__ import annotations

import re

import httptools

from proxy.errors import BadRequest, BadResponse
from proxy.http.head import Pair, RequestHead, ResponseHead
from proxy.http.headers import REQUEST_SPECIAL, RESPONSE_SPECIAL

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MINOR = re.compile(rb"HTTP/(\d)\.(\d)")


class RequestReader:
    """Reads one request head after the other from one connection."""

    __slots__ = ("_complete", "_head", "_parser", "_underscored")

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._head = RequestHead()
        self._complete = False
        self._underscored = False

    def read(self, data: bytes) -> RequestHead:
        """The head in `data`, which ends with its blank line.

        Raises BadRequest: 400 for what llhttp refuses, 505 for another major version.
        """
        head = self._head = RequestHead()
        self._complete = self._underscored = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._complete = False  # Upgrade or CONNECT: llhttp stops here, we do not care
        except httptools.HttpParserInvalidMethodError:
            return self._read_other_method(data)
        except httptools.HttpParserError as error:
            raise _refusal(data, error) from None
        head.method = self._parser.get_method().decode("ascii")
        head.version = self._parser.get_http_version()
        if not self._complete:
            self._parser = httptools.HttpRequestParser(self)  # 0.3 µs; it waits for a body
        return head

    def has_underscores(self) -> bool:
        """Whether a field name of the last head had an underscore (`X_Forwarded_For`)."""
        return self._underscored

    def _read_other_method(self, data: bytes) -> RequestHead:
        """llhttp knows a fixed list of methods, RFC 9110 §9.1 any token: lend it one it knows."""
        self._parser = httptools.HttpRequestParser(self)
        method, space, rest = data.partition(b" ")
        if not space or _TOKEN.fullmatch(method) is None or method.upper() == b"POST":
            raise BadRequest("the request line does not begin with a method")
        head = self.read(b"POST " + rest)
        head.method = method.decode("ascii")
        return head

    def on_url(self, url: bytes) -> None:
        self._head.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        low = name.lower()
        if low in REQUEST_SPECIAL:
            fields = self._head.fields
            before = fields.get(low)
            fields[low] = value if before is None else before + b", " + value
        else:
            self._head.headers.append((name, value))
            if b"_" in name:
                self._underscored = True

    def on_message_complete(self) -> None:
        self._complete = True


def _refusal(data: bytes, error: Exception) -> BadRequest:
    line = data.partition(b"\r\n")[0]
    version = _MINOR.search(line.rpartition(b" ")[2])
    if version is not None and version[1] != b"1":
        return BadRequest("this listener speaks HTTP/1.1 and HTTP/1.0", status=505)
    return BadRequest(f"malformed request: {error}")


class ResponseReader:
    """Reads one response head after the other from one connection."""

    __slots__ = ("_complete", "_head", "_parser")

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._head = ResponseHead()
        self._complete = False

    def read(self, data: bytes) -> ResponseHead:
        """The head in `data`, which ends with its blank line. Raises BadResponse (502)."""
        head = self._head = ResponseHead()
        self._complete = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._complete = False
        except httptools.HttpParserError as error:
            raise BadResponse(f"the upstream's answer is malformed: {error}") from None
        head.status = self._parser.get_status_code()
        head.version = self._parser.get_http_version()
        if not self._complete:
            self._parser = httptools.HttpResponseParser(self)
        if head.version not in ("1.1", "1.0") or not 100 <= head.status <= 599:
            raise BadResponse("the upstream's status line makes no sense")
        return head

    def on_status(self, reason: bytes) -> None:
        self._head.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        low = name.lower()
        if low in RESPONSE_SPECIAL:
            fields = self._head.fields
            before = fields.get(low)
            fields[low] = value if before is None else before + b", " + value
        else:
            self._head.headers.append((name, value))

    def on_message_complete(self) -> None:
        self._complete = True


def encode_request(method: str, target: str, pairs: list[Pair]) -> bytes:
    """A whole request head."""
    lines = [name + b": " + value for name, value in pairs]
    lines.insert(0, f"{method} {target} HTTP/1.1".encode("ascii"))
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def encode_response(status: int, reason: bytes, pairs: list[Pair], framing: bytes) -> bytes:
    """A whole response head; `framing` holds complete lines (length, coding, connection)."""
    line = _STATUS_LINES.get(status)
    if line is None or reason != _REASONS[status]:
        line = b"HTTP/1.1 %d %s\r\n" % (status, reason)
    lines = [name + b": " + value for name, value in pairs]
    lines.append(framing)
    return line + b"\r\n".join(lines) + b"\r\n"


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
_STATUS_LINES = {s: b"HTTP/1.1 %d %s\r\n" % (s, r) for s, r in _REASONS.items()}


def reason_of(status: int) -> bytes:
    """The customary reason phrase; empty where there is none."""
    return _REASONS.get(status, b"")
