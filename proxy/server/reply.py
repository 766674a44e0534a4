"""The one place where an error becomes an answer to a client.

The body is short, JSON or plain text as the client accepts; Proxy-Status (RFC 9209) carries the
machine-readable reason. Nothing internal is told: no stack trace, no address of a backend.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache

from proxy.errors import NoHttp2, ProxyError, WrongMethod
from proxy.http import grpc
from proxy.http.accept import wants_text
from proxy.http.head import Pair
from proxy.http.reasons import reason_of

DENIED = b"spangate; error=http_request_denied"
_MESSAGE = 1024  # bytes of a fixed answer that are told as grpc-message


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer made by the gateway itself."""

    status: int
    headers: list[Pair]
    body: bytes
    close: bool = False
    code: int | None = None  # of gRPC, which is in `headers`; None = it does not say one


def synthesize(error: ProxyError, accept: bytes | None, trace_id: bytes = b"") -> Reply:
    """The answer to a request that ended in `error`."""
    detail = told(error)
    if wants_text(accept):
        kind, body = b"text/plain; charset=utf-8", f"{error.status} {detail}\n".encode()
    else:
        made = _json(error.status, error.reason, detail)
        if trace_id:
            made = b'%b, "trace_id": "%b"' % (made, trace_id)
        kind, body = b"application/json", made + b"}\n"
    headers = [
        (b"content-type", kind),
        (b"proxy-status", _proxy_status(error)),
    ]
    headers += error.lines
    if isinstance(error, WrongMethod):
        headers.append((b"allow", ", ".join(error.methods).encode("ascii")))
    return Reply(error.status, headers, body, error.close)


def synthesize_call(error: ProxyError) -> Reply:
    """The answer to a gRPC call that ended in `error`: a status alone, "trailers-only". A client
    finds its fields, such as WWW-Authenticate, in the metadata that come with the status."""
    code = grpc.of_error(error)
    own = _only_status(code, public(error), _proxy_status(error), error.close)
    own.headers.extend(error.lines)
    return own


def as_call(own: Reply) -> Reply:
    """A fixed answer, to a gRPC call: what is an error is told as one. Anything else stays, and
    the client sees that it is no gRPC."""
    if own.status < 400:
        return replace(own, code=grpc.UNKNOWN)
    message = own.body[:_MESSAGE].decode("utf-8", "replace").strip()
    message = message or reason_of(own.status).decode("ascii")
    return _only_status(grpc.of_http(own.status), message, DENIED, own.close)


def _proxy_status(error: ProxyError) -> bytes:
    if error.received:
        return b"spangate; received-status=%d" % error.received
    told = b"spangate; error=" + error.reason.encode("ascii")
    return told + (b"; details=" + quoted(error.which) if error.which else b"")


def quoted(text: str) -> bytes:
    """A String of structured fields (RFC 9651 §3.3.3)."""
    shown = "".join([c if " " <= c <= "~" else "?" for c in text])
    return b'"' + shown.replace("\\", "\\\\").replace('"', '\\"').encode("ascii") + b'"'


def _only_status(code: int, message: str, status: bytes, close: bool) -> Reply:
    headers = [
        (b"content-type", grpc.CONTENT_TYPE),
        (b"proxy-status", status),
        *grpc.told(code, message),
    ]
    return Reply(200, headers, b"", close, code)


def public(error: ProxyError) -> str:
    """What a client of gRPC may know of it."""
    if error.source == "client" or error.public or isinstance(error, NoHttp2):
        return error.detail
    return error.reason.replace("_", " ")


@lru_cache(256)  # 7,000 instructions of a 404 (make bench-check)
def _json(status: int, error: str, detail: str) -> bytes:
    """Up to the brace that closes it."""
    return json.dumps({"status": status, "error": error, "detail": detail}).encode()[:-1]


def told(error: ProxyError) -> str:
    """What a client may know of it."""
    if error.source == "client" or error.public:
        return error.detail
    return f"{reason_of(error.status).decode('ascii')}: {error.reason.replace('_', ' ')}"
