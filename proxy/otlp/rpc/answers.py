"""What a gRPC server says: the fields of its answers, and a word to those who speak HTTP/1.

Pure.
"""

from __future__ import annotations

import re

from proxy.otlp.inflate import ENCODINGS
from proxy.otlp.refusal import NO_CODING, Reason, Refusal, status_bytes
from proxy.otlp.rpc import words

HEAD: tuple[words.Field, ...] = (
    (b":status", b"200"),
    (b"content-type", words.CONTENT_TYPE),
)
OK: tuple[words.Field, ...] = ((b"grpc-status", b"0"),)
_ACCEPTED = ", ".join(("identity", *ENCODINGS)).encode()

LATE = Reason(504, words.DEADLINE_EXCEEDED, "the deadline that was set is over")
OUR_FAULT = Reason(500, words.INTERNAL, "something unexpected happened here")

_METHOD = re.compile(rb"[A-Z]{3,10} ")
_HTTP_1 = (
    b"this port takes gRPC, which is HTTP/2 from the first byte on; other HTTP has another port\n"
)
_SAID = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_HTTP_1), _HTTP_1)
)


def to_others(data: bytes) -> bytes:
    """For bytes that are not HTTP/2; b"" if there is nothing that they would understand."""
    return _SAID if _METHOD.match(data) else b""


def refused(refusal: Refusal) -> list[words.Field]:
    """Trailers only, with google.rpc.Status."""
    reason = refusal.reason
    details = status_bytes(reason, refusal.message)
    fields = [
        *HEAD,
        (b"grpc-status", b"%d" % reason.grpc),
        (b"grpc-message", words.percent(refusal.message)),
        (b"grpc-status-details-bin", words.binary_text(details)),
    ]
    if reason is NO_CODING:
        fields.append((b"grpc-accept-encoding", _ACCEPTED))
    return fields
