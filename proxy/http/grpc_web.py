"""gRPC-Web to gRPC and back (grpc/doc PROTOCOL-WEB.md), a piece at a time and without I/O.

What browsers can send and read is HTTP/1.1 without trailers: so the status follows the messages in
a last frame with flag 0x80, and the "text" kind is base64, of which each piece that is flushed is
padded on its own. Messages stay as they are, in both directions.
"""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64
from typing import Literal

from proxy.errors import BadRequest
from proxy.http.grpc import CONTENT_TYPE, is_grpc
from proxy.http.head import RequestHead, ResponseHead, Trailers

Kind = Literal["", "binary", "text"]

WEB, WEB_TEXT = b"application/grpc-web", b"application/grpc-web-text"
EXPOSED = b"grpc-status,grpc-message,grpc-status-details-bin"  # what scripts may read of a head

_TRAILERS = 0x80  # the flag of the frame that holds them
_REPLACED = frozenset({b"content-type", b"content-length"})


def kind_of(content_type: bytes | None) -> Kind:
    """Whether a request is gRPC-Web, and which; "" = it is not."""
    low = (content_type or b"").lower()
    if low.startswith(WEB_TEXT):
        return "text" if low[len(WEB_TEXT) :][:1] in (b"", b"+", b";", b" ") else ""
    if low.startswith(WEB):
        return "binary" if low[len(WEB) :][:1] in (b"", b"+", b";", b" ") else ""
    return ""


def to_grpc(content_type: bytes) -> bytes:
    """The content type for the server: application/grpc-web-text+proto -> application/grpc+proto,
    without parameters."""
    kind = content_type.partition(b";")[0].strip()
    return CONTENT_TYPE + kind[kind.index(b"+") :] if b"+" in kind else CONTENT_TYPE


def to_web(content_type: bytes, kind: str) -> bytes:
    """The content type for the browser: application/grpc+proto -> application/grpc-web+proto."""
    return (WEB_TEXT if kind == "text" else WEB) + content_type[len(CONTENT_TYPE) :]


def request_head(head: RequestHead) -> RequestHead:
    """The head that the same request would have in gRPC: over HTTP/2, with a body whose length is
    not known, as base64 makes it longer."""
    made = RequestHead()
    made.method, made.path, made.query, made.tail = head.method, head.path, head.query, head.tail
    made.authority, made.version = head.authority, "2"
    made.length = 0 if head.length == 0 else None
    made.never_indexed = head.never_indexed
    made.pairs.extend([pair for pair in head if pair[0].lower() not in _REPLACED])
    made.pairs.append((b"content-type", to_grpc(head.get(b"content-type") or b"")))
    made.fields.update({n: v for n, v in head.fields.items() if n not in _REPLACED})
    made.seen = head.seen
    return made


def answer_head(head: ResponseHead, kind: str) -> ResponseHead | None:
    """The head of an answer for the browser; None if it is no gRPC, and passes as it is."""
    content_type = head.get(b"content-type")
    if content_type is None or not is_grpc(content_type):
        return None
    made = ResponseHead()
    made.status, made.reason, made.dated = head.status, head.reason, head.dated
    made.length = 0 if head.length == 0 else None  # the body becomes a longer one
    made.never_indexed = head.never_indexed
    made.pairs.extend(pair for pair in head if pair[0].lower() not in _REPLACED)
    made.pairs.append((b"content-type", to_web(content_type, kind)))
    made.fields.update({n: v for n, v in head.fields.items() if n not in _REPLACED})
    return made


def trailer_frame(trailers: Trailers) -> bytes:
    """The last frame: trailers as lines of a head, names in lower case, without a blank line."""
    lines = b"".join(b"%b: %b\r\n" % (name.lower(), value) for name, value in trailers)
    return bytes((_TRAILERS,)) + len(lines).to_bytes(4, "big") + lines


def encode(piece: bytes, kind: str) -> bytes:
    """A piece of an answer as it goes to the browser."""
    return b2a_base64(piece, newline=False) if kind == "text" else piece


class Decoder:
    """The body of a request in base64, to bytes. Padding may stand between two pieces, which were
    encoded one by one; groups of four that a piece has cut wait for their rest."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def decode(self, piece: bytes) -> bytes:
        """What `piece` completes. BadRequest (400) for what is no base64."""
        data = self._rest + piece
        whole = len(data) & ~3
        self._rest = data[whole:]
        data = data[:whole]
        try:
            if b"=" not in data[:-2]:
                return a2b_base64(data, strict_mode=True)
            return b"".join(a2b_base64(group, strict_mode=True) for group in _split(data))
        except Error as error:
            raise BadRequest("the body of a gRPC-Web request is no base64") from error

    def end(self) -> None:
        """The request is complete. BadRequest if it was cut within a group."""
        if self._rest:
            raise BadRequest("the body of a gRPC-Web request ends within a group of base64")


def _split(data: bytes) -> list[bytes]:
    """Groups of four up to and with one that is padded, which is where a piece ended."""
    parts = []
    begin = 0
    while begin < len(data):
        pad = data.find(b"=", begin)
        if pad >= 0 and not pad & 3:  # Python 3.11 takes it behind a group that is whole
            raise Error("a group of nothing but padding")
        end = len(data) if pad < 0 else (pad & ~3) + 4
        parts.append(data[begin:end])
        begin = end
    return parts
