"""HTTP/1.1 heads from bytes, by llhttp and by a scanner that agrees with it.

The connection cuts the stream at the blank line and gives a whole head to a reader; bodies never
pass through llhttp, so nothing that it thinks of their length matters (`framing.py` decides).

What is accepted is stated here, by llhttp and the checks around it. Compiled, `kernel/scan.pyx`
reads the heads that are usual and by the letter, and leaves all others to llhttp, which words the
refusals; uncompiled it leaves all of them. A parser is made for the first head that is left.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

import httptools

from proxy.errors import BadRequest, BadResponse
from proxy.http.head import RequestHead, ResponseHead, scanned_request, scanned_response
from proxy.http.headers import DATE, OLD, UNDERSCORED, bits
from proxy.http.kinds import (
    REQUEST_KINDS,
    RESPONSE_KINDS,
    UNDERSCORE,
    request_kind,
    response_kind,
)
from proxy.http.malformed import malformed_answer
from proxy.http.path import encode_utf8
from proxy.kernel.scan import SCANS, Lines, scan_request, scan_response
from proxy.kernel.tokens import know_methods


class Limits(Protocol):
    """How large a request head may be."""

    @property
    def request_line(self) -> int: ...
    @property
    def head_bytes(self) -> int: ...
    @property
    def head_fields(self) -> int: ...


_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^ ]+ HTTP/([0-9]\.[0-9])")
# Minor versions to come are understood as the highest that is known (RFC 9110 §2.5).
_LATER_REQUEST = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^ \r\n]+ HTTP/1\.[2-9](?=\r\n)")
_LATER_ANSWER = re.compile(rb"HTTP/1\.[2-9] ")
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")

# The methods that llhttp takes in an HTTP request (it knows those of RTSP and ICE, too).
_NAMES = (
    "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY COPY LOCK MKCOL MOVE PROPFIND "
    "PROPPATCH SEARCH UNLOCK BIND REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH "
    "NOTIFY SUBSCRIBE UNSUBSCRIBE PURGE MKCALENDAR LINK UNLINK"
)
_METHODS = {name.encode("ascii"): name for name in _NAMES.split()}
# The target of CONNECT is an authority.
know_methods(tuple(name for name in _METHODS.values() if name != "CONNECT"))


_DATED = bits([DATE])
_WITH_UNDERSCORE = UNDERSCORED
_SCANS = SCANS
_MOST_FIELDS = 1 << 30
# After a request with one of these llhttp may wait for a body, or it has stopped: it takes
# Proxy-Connection for Connection. A new parser costs 0.3 µs.
_UNSURE = bits([b"content-length", b"transfer-encoding", b"upgrade", b"proxy-connection"])


class RequestReader:
    """Reads one request head after the other from one connection.

    The parser is used again only where it is certain to stand at the beginning of a message:
    nothing of one head may change how the next is read.
    """

    __slots__ = ("_append", "_fields", "_head", "_parser", "_underscored")

    def __init__(self) -> None:
        self._parser: Any = None
        self._underscored = 0

    def read(self, data: bytes, most: int = _MOST_FIELDS) -> RequestHead:
        """The head in `data`, which ends with its blank line and has at most `most` fields.

        Raises BadRequest: 400 for what is malformed, 431, 505 for another version.
        """
        if _SCANS:
            lines = scan_request(data)
            if lines is not None:
                return self._scanned(lines, most)
        # a field takes four bytes at least, so short heads need no counting
        if len(data) > 4 * most and data.count(b"\r\n") > most + 2:
            raise BadRequest("too many header fields", status=431)
        self._parser = self._parser or httptools.HttpRequestParser(self)
        head = self._head = RequestHead.__new__(RequestHead)
        head.begin()
        self._fields = head.fields
        self._append = head._pairs.append
        self._underscored = 0
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # Upgrade or CONNECT: llhttp stops here, we do not care
        except httptools.HttpParserError as error:
            return self._read_again(data, error)
        method: bytes = self._parser.get_method()
        head.method = _METHODS.get(method) or method.decode("ascii")
        # Single spaces, and HTTP rather than RTSP or ICE: llhttp is content with less. Half the
        # price of its get_http_version().
        if not data.startswith(b" HTTP/1.1\r\n", len(method) + 1 + len(head._target)):
            head.version = _version(data)
        seen = bits(head.fields)
        head.seen = seen | self._underscored | (OLD if head.version == "1.0" else 0)
        if seen & _UNSURE or method == b"CONNECT":
            self._parser = None
        return head

    def _scanned(self, lines: Lines, most: int) -> RequestHead:
        if lines.count > most:
            raise BadRequest("too many header fields", status=431)
        self._underscored = lines.seen & _WITH_UNDERSCORE
        return scanned_request(lines)

    def has_underscores(self) -> bool:
        """Whether a field name of the last head had an underscore (`X_Forwarded_For`)."""
        return self._underscored != 0

    def _read_again(self, data: bytes, error: Exception) -> RequestHead:
        """What llhttp refuses and RFC 9110 or common clients do not.

        It knows fixed lists of methods and versions, RFC 9110 (§9.1, §2.5) any token and any minor
        version: lend it one that it knows.
        """
        self._parser = None
        later = _LATER_REQUEST.match(data)
        if later is not None:
            return self.read(data[: later.end() - 1] + b"1" + data[later.end() :])
        line, end, fields = data.partition(b"\r\n")
        path, mark, query = line.partition(b"?")
        if not query.isascii():
            # llhttp takes no byte beyond ASCII in a target.
            return self.read(path + mark + encode_utf8(query).encode() + end + fields)
        method, space, rest = data.partition(b" ")
        if method in _METHODS:
            raise _refusal(data, error) from None
        if not space or _TOKEN.fullmatch(method) is None:
            raise BadRequest("the request line does not begin with a method") from None
        head = self.read(b"POST " + rest)
        head.method = method.decode("ascii")
        return head

    def close(self) -> None:
        """Let go of the parser, which refers back here: a cycle that only the collector frees."""
        self._parser = None

    def on_url(self, url: bytes) -> None:
        self._head._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        try:  # 100 instructions a field less than get() (benchmarks/micro_parse.py)
            kind = REQUEST_KINDS[name]
        except KeyError:
            kind = request_kind(name)
        append = self._append  # called from a slot it costs 80 instructions more
        if kind is None:
            append((name, value))
        elif kind is UNDERSCORE:
            append((name, value))
            self._underscored = UNDERSCORED
        else:
            fields = self._fields
            value = value.strip()  # llhttp leaves whitespace at the end (RFC 9112 §5.1)
            fields[kind] = fields[kind] + b", " + value if kind in fields else value


def method_name(method: bytes) -> str:
    """The method as text; BadRequest (400) if it is no token (RFC 9110 §9.1)."""
    name = _METHODS.get(method)
    if name is None:
        if _TOKEN.fullmatch(method) is None:
            raise BadRequest("the method is not a token")
        name = method.decode("ascii")
    return name


def _version(data: bytes) -> str:
    """The version of a request line that is not HTTP/1.1 by the letter, or BadRequest."""
    match = _LINE.fullmatch(data.partition(b"\r\n")[0])
    if match is None or match[1] == b"1.1":
        raise BadRequest("the request line is not a method, a target and a version")
    if match[1][:2] == b"1.":
        return "1.0" if match[1] == b"1.0" else "1.1"
    raise BadRequest("this listener speaks HTTP/1.1 and HTTP/1.0", status=505)


def _refusal(data: bytes, error: Exception) -> BadRequest:
    match = _LINE.fullmatch(data.partition(b"\r\n")[0])
    if match is not None and match[1][:2] != b"1.":
        return BadRequest("this listener speaks HTTP/1.1 and HTTP/1.0", status=505)
    return BadRequest(f"malformed request: {error}")


def check_partial(data: bytes, seen: int, limits: Limits) -> int:
    """Refuse what can no longer become a request head, so that nobody waits for its end.

    `data` is what came until now, of which the first `seen` bytes need not be looked at again;
    the result is `seen` for the next time, short enough to find a blank line that is cut in two.
    Raises BadRequest: 400 for a bare CR or LF and for a first line that is not one of HTTP/1,
    414 and 431 for what is too long.
    """
    if not seen and _TOKEN.match(data) is None:
        raise BadRequest("the request line does not begin with a method")
    line_end = data.find(b"\r\n")
    if (line_end if line_end >= 0 else len(data) - 1) > limits.request_line:
        raise BadRequest("the request line is too long", status=414)
    if len(data) > limits.head_bytes:
        raise BadRequest("the header fields are too large", status=431)
    if _BARE.search(data, seen) is not None:
        raise BadRequest("a line ends in a bare CR or LF")
    if line_end >= seen and not data.startswith(b" HTTP/1.1", line_end - 9):
        _version(data)
    return max(len(data) - 3, 0)


# llhttp wants it in a 101, and some servers have Upgrade alone (caddyserver/caddy#6134).
_SWITCHES = b"connection: upgrade\r\n\r\n"


class ResponseReader:
    """Reads one response head after the other from one connection."""

    __slots__ = ("_append", "_complete", "_fields", "_head", "_noticed", "_parser")

    def __init__(self) -> None:
        self._parser: Any = None
        self._complete = False
        self._noticed = 0

    def read(self, data: bytes) -> ResponseHead:
        """The head in `data`, which ends with its blank line. Raises BadResponse (502)."""
        if _SCANS:
            lines = scan_response(data)
            if lines is not None:
                return scanned_response(lines)
        self._parser = self._parser or httptools.HttpResponseParser(self)
        head = self._head = ResponseHead.__new__(ResponseHead)
        head.begin()
        self._fields = head.fields
        self._append = head._pairs.append
        self._complete = False
        self._noticed = 0
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._complete = False
        except httptools.HttpParserError as error:
            if _LATER_ANSWER.match(data) is not None:
                self._parser = None
                return self.read(b"HTTP/1.1 " + data[9:])
            if "CONNECT/Upgrade" in str(error) and not data.endswith(_SWITCHES):
                self._parser = None
                return self.read(data[:-2] + _SWITCHES)
            head = self._read_both_framings(data, error)
        head.status = status = self._parser.get_status_code()
        old = 0
        if not data.startswith(b"HTTP/1.1 "):
            head.version = _old_answer(data)
            old = OLD
        if not 100 <= status <= 599:
            raise BadResponse(f"the upstream's status {status} is none of 100 to 599")
        if not self._complete or status < 200 or b"proxy-connection" in head.fields:
            self._parser = None  # as in RequestReader
        head.dated = self._noticed != 0
        head.seen = old | self._noticed | bits(head.fields)
        return head

    def _read_both_framings(self, data: bytes, error: Exception) -> ResponseHead:
        """Transfer-Encoding with Content-Length: refused by llhttp, settled by `frame_response`.

        The only leniency ever asked of llhttp, which is harmless where it does not frame bodies.
        """
        if "present with" not in str(error):
            raise malformed_answer(data, error) from None
        parser = self._parser = httptools.HttpResponseParser(self)
        parser.set_dangerous_leniencies(lenient_chunked_length=True)
        head = self._head = ResponseHead()
        self._fields = head.fields
        self._append = head._pairs.append
        self._noticed = 0
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as other:
            raise malformed_answer(data, other) from None
        self._complete = False  # a parser with a leniency reads one head and no more
        return head

    def close(self) -> None:
        """As in RequestReader."""
        self._parser = None

    def on_status(self, reason: bytes) -> None:
        self._head.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        try:
            kind = RESPONSE_KINDS[name]
        except KeyError:
            kind = response_kind(name)
        append = self._append
        if kind is None:
            append((name, value))
        elif kind is DATE:
            append((name, value))
            self._noticed = _DATED
        else:
            fields = self._fields
            value = value.strip()
            fields[kind] = fields[kind] + b", " + value if kind in fields else value

    def on_message_complete(self) -> None:
        self._complete = True


def _old_answer(data: bytes) -> str:
    if not data.startswith(b"HTTP/1.0 "):  # llhttp reads RTSP, too
        raise BadResponse("the upstream does not answer in HTTP/1")
    return "1.0"


def check_partial_answer(data: bytes) -> None:
    """Refuse what can no longer become a response head. Raises BadResponse (502)."""
    if not b"HTTP/1.".startswith(data[:7]):
        raise BadResponse("the upstream does not answer in HTTP/1")
    if _BARE.search(data) is not None:
        raise BadResponse("a line of the upstream's head ends in a bare CR or LF")
