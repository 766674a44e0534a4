"""Where a message's body begins and ends (RFC 9112 §6), and what is refused for being unclear.

llhttp has already refused most of it; what it lets through (HTTP/1.0 with Transfer-Encoding,
`gzip, chunked`, 30 digits) is refused here. Anything ambiguous is an error and closes the
connection, because two readers that disagree about where a message ends can be made to see
different requests.
"""

from __future__ import annotations

from proxy.errors import BadRequest, BadResponse
from proxy.http.edits import WANTS_TRAILERS, WANTS_TUNNEL, Edits
from proxy.http.head import RequestHead, ResponseHead
from proxy.http.headers import OLD, bits, nominated, own, tokens
from proxy.http.upgrade import wanted
from proxy.kernel.tokens import decimal

TRANSFER_ENCODING, CONTENT_LENGTH = own(b"transfer-encoding"), own(b"content-length")
CONNECTION, EXPECT, UPGRADE = own(b"connection"), own(b"expect"), own(b"upgrade")

_CODING = bits([TRANSFER_ENCODING])
_LENGTH = bits([CONTENT_LENGTH])
_CONNECTION = bits([CONNECTION])
_EXPECT = bits([EXPECT])
_OLD = OLD
FRAMING = _CODING | _LENGTH | _CONNECTION | _EXPECT | _OLD  # where a request says none of it


def frame_request(head: RequestHead) -> None:
    """Set `length`, `keep_alive` and `protocol`, and take hop-by-hop fields nominated in
    Connection away.

    Raises BadRequest: 400 for unclear framing, 417 for an unknown expectation, 501 for a
    transfer coding other than chunked.
    """
    seen = head.seen
    if seen & _OLD and head.version == "1.0":
        _check_old(head)
    length = head.field(CONTENT_LENGTH) if seen & _LENGTH else None
    if seen & _CODING and is_chunked(head):
        _check_chunked(head.field(TRANSFER_ENCODING) or b"", length, head.version)
        head.length = None
    elif length is not None:
        head.length = decimal(length)
        if head.length is None:
            raise BadRequest("Content-Length is not one decimal number")
    if seen & _CONNECTION:
        _apply_connection(head, head.field(CONNECTION))
    expect = head.field(EXPECT) if seen & _EXPECT else None
    if expect is not None and expect.lower() != b"100-continue":
        raise BadRequest("the only expectation known is 100-continue", status=417)


def _check_old(head: RequestHead) -> None:
    head.keep_alive = False
    length = head.field(CONTENT_LENGTH)
    if length is not None and length != b"0" and head.method in ("GET", "HEAD"):
        raise BadRequest("HTTP/1.0 GET and HEAD have no body")


def _check_chunked(coding: bytes, length: bytes | None, version: str) -> None:
    if version == "1.0":
        raise BadRequest("HTTP/1.0 has no Transfer-Encoding")  # RFC 9112 §6.1: faulty framing
    if length is not None:
        raise BadRequest("Content-Length together with Transfer-Encoding")
    if coding.lower() == b"chunked":
        return
    codings = tokens(coding)
    if codings[-1:] == [b"chunked"] and len(codings) > 1 and codings.count(b"chunked") == 1:
        raise BadRequest("no transfer coding but chunked is understood", status=501)
    raise BadRequest("a Transfer-Encoding that does not end in one chunked")


def _apply_connection(head: RequestHead, connection: bytes | None) -> None:
    if connection is None:
        return
    if connection == b"keep-alive":
        head.keep_alive = True
        return
    options = tokens(connection)
    if b"upgrade" in options and head.version != "1.0":  # RFC 9110 §7.8
        head.protocol = wanted(head.field(UPGRADE) or b"")
    if b"close" in options:
        head.keep_alive = False
    elif b"keep-alive" in options:
        head.keep_alive = True
    names = nominated(connection)
    if names:
        head.remove(names)
        for name in names:
            head.fields.pop(name, None)


def frame_response(head: ResponseHead, request_method: str) -> None:
    """Set `length` (None = chunked or until close) and `keep_alive` of an upstream's answer.

    Raises BadResponse (502). Where Transfer-Encoding and Content-Length come together the former
    wins and the connection is not used again (RFC 9112 §6.3).
    """
    seen = head.seen
    coding = head.field(TRANSFER_ENCODING) if seen & _CODING else None
    length = head.field(CONTENT_LENGTH) if seen & _LENGTH else None
    connection = head.field(CONNECTION) if seen & _CONNECTION else None
    if connection is not None and connection != b"keep-alive":
        _response_connection(head, connection)
    elif seen & _OLD and head.version == "1.0" and connection is None:
        head.keep_alive = False
    if coding is not None:
        _response_coding(head, coding, length)
    elif length is not None:
        head.length = decimal(length)
        if head.length is None:
            raise BadResponse("the upstream's Content-Length is not one decimal number")
    else:
        head.length = None
        head.keep_alive = False
    if request_method == "HEAD" or head.status in (204, 304):
        if head.length is None and coding is None:
            head.keep_alive = _persistent(head, tokens(connection or b""))
        # A 204 or 304 that speaks of a body may be followed by one, though there is none; the
        # length of a 304 is that of another answer (RFC 9110 §8.6, RFC 9112 §6.1).
        if (coding is not None and request_method != "HEAD") or (
            length is not None and head.status == 204 and head.length
        ):
            head.keep_alive = False
        head.length = 0


def announces_body(head: ResponseHead) -> bool:
    """Whether it speaks of a body, there being one or not."""
    return is_chunked(head) or (head.field(CONTENT_LENGTH) or b"0").strip(b"0") != b""


def _persistent(head: ResponseHead, options: list[bytes]) -> bool:
    """RFC 9112 §9.3."""
    return b"close" not in options and (head.version == "1.1" or b"keep-alive" in options)


def _response_connection(head: ResponseHead, connection: bytes) -> None:
    options = tokens(connection)
    head.keep_alive = _persistent(head, options)
    names = [t for t in options if t not in (b"close", b"keep-alive", b"upgrade")]
    if names:
        head.remove(names)


def _response_coding(head: ResponseHead, coding: bytes, length: bytes | None) -> None:
    if coding.lower() != b"chunked" or head.version == "1.0":
        raise BadResponse("the upstream uses a transfer coding other than chunked")
    if length is not None:
        head.keep_alive = False
        del head.fields[b"content-length"]
    head.length = None


def is_chunked(head: RequestHead | ResponseHead) -> bool:
    """Whether the body comes in chunks; what the framing rules refused is not seen here."""
    return head.seen & _CODING != 0 and head.field(TRANSFER_ENCODING) is not None


def frame_answer(head: ResponseHead, asked: RequestHead | None) -> tuple[bytes, bool | None]:
    """How an answer goes out over HTTP/1.1: the lines that frame it, and whether in chunks (None:
    its end is that of the connection). `asked` None: to what never became a request."""
    status = head.status
    if head.length is not None or _is_bodiless(status, asked):
        declared = declared_length(head, asked)
        return (b"content-length: " + declared + b"\r\n" if declared else b""), False
    if status == 101 or (asked is not None and asked.method == "CONNECT" and status < 300):
        return _switched(head), False
    if asked is not None and asked.version == "1.1":
        return b"transfer-encoding: chunked\r\n", True
    return b"", None


def declared_length(head: ResponseHead, asked: RequestHead | None) -> bytes:
    """The Content-Length that an answer goes out with, whatever the protocol; b"" = none."""
    if head.status == 204:
        return b""
    if _is_bodiless(head.status, asked):
        return head.field(CONTENT_LENGTH) or b""
    return b"" if head.length is None else b"%d" % head.length


def _is_bodiless(status: int, asked: RequestHead | None) -> bool:
    return asked is not None and (asked.method == "HEAD" or status == 304)


def frame_upload(head: RequestHead, edits: Edits) -> bytes:
    """The lines that frame a request over HTTP/1.1, from facts."""
    if head.length is None:
        lines = b"transfer-encoding: chunked\r\n"
    elif head.seen & _LENGTH and head.field(CONTENT_LENGTH) is not None:
        lines = b"content-length: %d\r\n" % head.length
    else:
        lines = b""
    trailers = edits.wants & WANTS_TRAILERS
    if trailers:
        lines += b"te: trailers\r\n"
    if edits.wants & WANTS_TUNNEL and head.protocol:
        to = head.protocol.encode("latin-1")
        return lines + _upgrade(to, b"te, upgrade" if trailers else b"upgrade")
    # TE is for one hop, so its sender names it in Connection (RFC 9110 §10.1.4).
    return lines + b"connection: te\r\n" if trailers else lines


def _switched(head: ResponseHead) -> bytes:
    to = head.field(UPGRADE)
    return _upgrade(to) if head.status == 101 and to is not None else b""


def _upgrade(to: bytes, options: bytes = b"upgrade") -> bytes:
    return b"connection: %b\r\nupgrade: %b\r\n" % (options, to)
