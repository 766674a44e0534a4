"""One tree of errors, each of which knows what the client must be told.

An error carries the HTTP status of the answer, a machine-readable reason (the `error` parameter
of Proxy-Status, RFC 9209 §2.3), the value of the span attribute `error.type`, whose fault it is,
and whether another attempt may help. Only `server/reply.py` turns one into bytes.

ProxyError
├── ClientError                 the request is wrong: 4xx, 501, 505
│   ├── BadRequest              malformed: 400 and the connection closes
│   ├── UpgradeRefused          426, a protocol that is not spoken here
│   └── ClientGone              nobody is left to answer
├── NoRoute                     404
│   └── WrongMethod             405, some route takes all of it but the method
├── Overloaded                  503, the gateway's own limits
│   └── ShuttingDown            503, its time to drain is over
├── LoopDetected                508
└── UpstreamError               502/503/504
    ├── NoEndpoint              503
    │   ├── LeadsNowhere        500
    │   └── BreakerOpen         nobody is asked until a trial succeeds
    ├── ConnectRefused / ConnectTimeout (TlsTimeout) / ConnectFailed (ConnectReset, DnsFailed)
    ├── TlsFailed               502, before anything was asked
    ├── UpstreamReset           closed before a complete response head
    ├── StreamReset             502, this exchange alone was reset before that (HTTP/2)
    │   └── CalmAsked           503, ENHANCE_YOUR_CALM: the upstream has too much of us
    ├── NotProcessed            503, the upstream says that it has done nothing of the request
    │   └── OlderRequired       HTTP_1_1_REQUIRED: not by HTTP/2
    ├── UpstreamTimeout         504: first byte, idle, or the route's total time
    │   ├── TryTimeout          504, of one try
    │   ├── StreamTimeout       504, of the whole exchange, also as a tunnel or stream
    │   └── DeadlineOver        504, no try is begun any more
    ├── BadResponse             502, the upstream does not speak HTTP
    │   └── UpgradeFailed       it switched protocols, but not as it was asked to
    └── Truncated               the body ended early; the client must see that
ConfigError                     a file that cannot be used; names file, key and remedy
"""

from __future__ import annotations

import errno
import os

from proxy.problem import UNKNOWN_KEY as UNKNOWN_KEY
from proxy.problem import ConfigError as ConfigError
from proxy.problem import Problem as Problem


class ProxyError(Exception):
    """Base of everything that ends a request early."""

    status: int = 500
    reason: str = "proxy_internal_error"  # RFC 9209 §2.3
    error_type: str = "proxy_internal_error"  # span attribute error.type, low cardinality
    source: str = "proxy"  # client | proxy | upstream
    retryable: bool = False  # another attempt may succeed, and nothing was given away yet
    close: bool = False  # the client connection must not be used again
    lines: tuple[tuple[bytes, bytes], ...] = ()  # fields that the answer has besides others
    which: str = ""  # of the limits it was, told as `details` of Proxy-Status (RFC 9209 §2.1.4)
    received: int = 0  # the status that an upstream gave, where it did (RFC 9209 §2.1.6)
    public: bool = False  # clients may read `detail`, though it is not their fault
    told: bool = False  # `error_type` is recorded though the answer is a 4xx

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.reason)
        self.detail = detail or self.reason


class ClientError(ProxyError):
    """A request that is refused for what it is; `status` is given by the place that found it."""

    reason = "http_request_error"
    source = "client"

    def __init__(self, status: int, detail: str, *, close: bool = False) -> None:
        super().__init__(detail)
        self.status = status
        self.error_type = self.rejected = str(status)  # the latter where it is no request at all
        self.close = close


class BadRequest(ClientError):
    """A malformed request: where it ends is not certain, so the connection closes (RFC 9112 §9)."""

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(status, detail, close=True)


class UpgradeRefused(ClientError):
    """A switch to a protocol that is not spoken here (RFC 9110 §15.5.22, RFC 6455 §4.2.2): `may`
    is what Upgrade lists. What the client sent early cannot be told from a request: close."""

    told = True

    def __init__(self, detail: str, may: str, *more: tuple[bytes, bytes]) -> None:
        super().__init__(426, detail, close=True)
        self.error_type = "upgrade_refused"
        self.lines = ((b"connection", b"upgrade"), (b"upgrade", may.encode("latin-1")), *more)


class ClientGone(ProxyError):
    """The client closed the connection before its answer was complete."""

    status = 499  # nginx's number for it; only logs see it
    reason = "client_gone"
    error_type = "client_gone"
    source = "client"
    close = True


class NoRoute(ProxyError):
    status = 404
    reason = "destination_not_found"
    error_type = "404"
    source = "client"


class WrongMethod(NoRoute):
    """A route takes the request but for the method (RFC 9110 §15.5.6); `methods` go in Allow.
    `route`: the place of the first that does, whose answer it is."""

    status = 405
    reason = "http_request_error"
    error_type = "405"

    def __init__(self, methods: tuple[str, ...], route: int) -> None:
        super().__init__("no route takes this method here: see Allow")
        self.methods = methods
        self.route = route


class Overloaded(ProxyError):
    status = 503
    reason = "connection_limit_reached"
    error_type = "overloaded"


class ShuttingDown(Overloaded):
    """The time to drain was over before the answer was there."""

    reason = "proxy_internal_response"
    error_type = "shutting_down"


class LoopDetected(ProxyError):
    """The request came through this gateway too often (RFC 9110 §7.6.3, RFC 5842 §7.2)."""

    status = 508
    reason = "proxy_loop_detected"
    error_type = "508"
    source = "client"


class UpstreamError(ProxyError):
    status = 502
    source = "upstream"


class NoEndpoint(UpstreamError):
    status = 503
    reason = "destination_unavailable"
    error_type = "no_endpoint"


class LeadsNowhere(NoEndpoint):
    """Whoever wrote the route names servers that do not exist."""

    status = 500
    reason = "proxy_configuration_error"
    error_type = "no_backend"


class BreakerOpen(NoEndpoint):
    """Breakers keep all endpoints from being asked that could be; `wait` in seconds."""

    error_type = "breaker_open"
    which = "breaker"

    def __init__(self, detail: str, wait: int) -> None:
        super().__init__(detail)
        self.lines = ((b"retry-after", b"%d" % wait),)


class ConnectRefused(UpstreamError):
    status = 503
    reason = "connection_refused"
    error_type = "connection_refused"
    retryable = True


class ConnectFailed(UpstreamError):
    """Unreachable host, failed name resolution, and their like."""

    status = 503
    reason = "destination_ip_unroutable"
    error_type = "connect_failed"
    retryable = True


class ConnectReset(ConnectFailed):
    """The connection was reset before it was established."""

    reason = "connection_terminated"
    error_type = "connect_reset"


class DnsFailed(ConnectFailed):
    reason = "dns_error"
    error_type = "dns_error"


class ConnectTimeout(UpstreamError):
    status = 504
    reason = "connection_timeout"
    error_type = "connect_timeout"
    retryable = True


class TlsTimeout(ConnectTimeout):
    error_type = "tls_timeout"  # of the handshake alone


class TlsFailed(UpstreamError):
    """The handshake with a server failed, or one side did not take the other's certificate."""

    reason = "tls_protocol_error"
    error_type = "tls_error"
    retryable = True

    def __init__(self, detail: str = "", kind: str = "other") -> None:
        super().__init__(detail)
        self.kind = kind  # of a few: what metrics go by


class UpstreamReset(UpstreamError):
    unread: bool = False  # it is certain that the upstream has seen nothing of the request
    reason = "connection_terminated"
    error_type = "connection_reset"
    retryable = True


class StreamReset(UpstreamError):
    """The upstream reset one exchange of a connection that goes on (RFC 9113 §5.4.2)."""

    code: int | None = None  # of RFC 9113 §7
    reason = "connection_terminated"
    error_type = "stream_reset"
    retryable = True


class CalmAsked(StreamReset):
    """By ENHANCE_YOUR_CALM: another try would be more of what it has too much of."""

    status = 503
    error_type = "calm_asked"
    retryable = False


class NotProcessed(UpstreamError):
    """REFUSED_STREAM, or a GOAWAY that leaves the request out (RFC 9113 §8.7): whatever its method,
    it may be sent again."""

    status = 503
    reason = "connection_terminated"
    error_type = "not_processed"
    retryable = True


class OlderRequired(NotProcessed):
    """HTTP_1_1_REQUIRED (RFC 9113 §7): the same by HTTP/1.1."""

    status = 502
    error_type = "http_1_1_required"


class UpstreamTimeout(UpstreamError):
    status = 504
    reason = "http_response_timeout"
    error_type = "timeout"


class TryTimeout(UpstreamTimeout):
    """The time of this try is over (`retry.per_try`): what others take is not known yet."""

    error_type = "per_try_timeout"


class StreamTimeout(UpstreamTimeout):
    error_type = "stream_timeout"  # of the whole exchange, whatever it has become


class DeadlineOver(UpstreamTimeout):
    """No time is left for a try: the request's limit or the caller's deadline is over."""

    error_type = "deadline_exceeded"


class BadResponse(UpstreamError):
    reason = "http_protocol_error"
    error_type = "bad_response"


class UpgradeFailed(BadResponse):
    reason = "http_upgrade_failed"
    error_type = "upgrade_failed"


class Truncated(UpstreamError):
    reason = "http_response_incomplete"
    error_type = "response_truncated"
    code: int | None = None  # as of StreamReset, where it was one


class NoHttp2(UpstreamError):
    """A gRPC call cannot be made over HTTP/1.1, which is all that the upstream is spoken to by."""

    reason = "http_protocol_error"
    error_type = "http2_required"


_LISTEN = {
    errno.EADDRINUSE: "stop the program that has it (`ss -lntup` tells which) or change `{key}`",
    errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE; change `{key}` or grant it",
    errno.EPERM: 'redirect = "tproxy" needs CAP_NET_ADMIN here; change `{key}` or grant it',
    errno.EADDRNOTAVAIL: "no interface of this machine has that address; change `{key}`",
}


def cannot_listen(address: str, error: OSError, key: str) -> tuple[str, str]:
    """(what is wrong, what to do about it) with an address to listen on."""
    code = error.errno or 0
    why = os.strerror(code).lower() if code > 0 else str(error)  # getaddrinfo's are negative
    remedy = _LISTEN.get(code, "change `{key}`").format(key=key)
    return f"cannot listen on {address}: {why}", remedy


def reason(error: BaseException) -> str:
    """What an exception says, in one line that is never empty."""
    return " ".join(str(error).split()) or type(error).__name__
