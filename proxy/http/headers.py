"""Which header fields the gateway itself reads, removes or rewrites, and which it passes on.

Everything not named here goes from one side to the other as it came, in order.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.errors import BadRequest
from proxy.http.head import Pair
from proxy.kernel.names import know_names

# Connection-specific: never forwarded (RFC 9110 §7.6.1). Proxy-Authorization is for this hop.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",  # RFC 9113 §3.1: without its Upgrade it means nothing
    }
)

# What upstreams are told about the client, and might believe: from strangers all of it is removed.
# The rest are those that common servers and frameworks go by (Traefik, gunicorn, Werkzeug, Rails).
FORWARDING = frozenset(
    {
        b"forwarded",
        b"x-forwarded-client-cert",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-forwarded-prefix",
        b"x-forwarded-protocol",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-forwarded-tls-client-cert",
        b"x-forwarded-uri",
        b"x-real-ip",
    }
)

TRACE = frozenset(
    {
        b"traceparent",
        b"tracestate",
        b"b3",
        b"x-b3-traceid",
        b"x-b3-spanid",
        b"x-b3-parentspanid",
        b"x-b3-sampled",
        b"x-b3-flags",
    }
)

REQUEST_SPECIAL = (
    HOP_BY_HOP
    | FORWARDING
    | TRACE
    | {
        b"host",
        b"content-length",
        b"expect",
        b"max-forwards",
        b"via",
        b"user-agent",
        b"x-request-id",
        b"x-request-deadline",  # of trusted peers
        b"baggage",
    }
)

RESPONSE_SPECIAL = HOP_BY_HOP - {b"proxy-authorization", b"te", b"http2-settings"} | {
    b"content-length",
    b"x-request-id",
}
OF_REQUESTS = HOP_BY_HOP - RESPONSE_SPECIAL  # for one hop too, and out of place in an answer

# Which special fields a head has, in one integer: a bit for each name, or for a group of names of
# which few heads have any. Whoever asks for some keeps `bits(names)` and tests `head.seen` with it
# (`head.py`) before he looks at any of them. All bits are below 2**30: beyond it Python's integers
# take three times as long.
DATE = b"date"  # of answers: passed on, and noticed
UNDERSCORED = 1  # the bit of a field name with an underscore, which none of these has
OLD = 2  # the bit of HTTP/1.0
_OFTEN = HOP_BY_HOP | (REQUEST_SPECIAL - FORWARDING - TRACE) | {DATE, b"traceparent", b"tracestate"}
_PLACES = {name: place for place, name in enumerate(sorted(_OFTEN), 2)}
_PLACES |= dict.fromkeys(sorted(FORWARDING), len(_PLACES) + 2)
_PLACES |= dict.fromkeys(sorted(TRACE - _OFTEN), max(_PLACES.values()) + 1)
_NAMES = {name: name for name in _PLACES}
_BITS = {name: 1 << place for name, place in _PLACES.items()}
know_names(
    _PLACES,
    REQUEST_SPECIAL,
    RESPONSE_SPECIAL,
    noticed={DATE},
    repeated={b"host", b"connection", b"keep-alive", b"transfer-encoding", b"te"},
    marks={"underscored": 0, "old": 1},
)


def bits(names: Iterable[bytes]) -> int:
    """The bits of these special names, and perhaps of others that share them."""
    found = 0
    for name in names:
        found |= _BITS[name]
    return found


def own(name: bytes) -> bytes:
    """The one object for a special name, which dicts of fields find quicker than an equal one: 70
    instructions less (benchmarks/micro_parse_instructions.py)."""
    return _NAMES[name]


# Nominating these in Connection is a sender's error (RFC 9110 §7.6.1): the nomination is ignored,
# because obeying it would change where the message goes or ends (Traefik CVE-2021-32813).
_NOT_NOMINATED = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"authorization", b"cookie", b"expect"}
)
_CONNECTION_OPTIONS = frozenset({b"close", b"keep-alive", b"upgrade", b"te"})
_MAX_NOMINATED = 10  # Envoy's sanitizeConnectionHeader


def tokens(value: bytes) -> list[bytes]:
    """The members of a comma-separated list, lower case, empty ones left out."""
    return list(filter(None, map(bytes.strip, value.lower().split(b","))))


def nominated(connection: bytes) -> list[bytes]:
    """The field names that a Connection header asks to remove.

    Raises BadRequest (400) for pseudo-header names and for more than ten.
    """
    names = [t for t in tokens(connection) if t not in _CONNECTION_OPTIONS]
    if len(names) > _MAX_NOMINATED or [n for n in names if n.startswith(b":")]:
        raise BadRequest("the Connection header nominates too many or impossible fields")
    return [n for n in names if n not in _NOT_NOMINATED]


def without(headers: Iterable[Pair], names: list[bytes] | frozenset[bytes]) -> list[Pair]:
    """`headers` less the fields with these lower-case names."""
    return [pair for pair in headers if pair[0].lower() not in names]


def keep_alive_ns(value: bytes) -> int:
    """For how long a Keep-Alive field lets a connection be used, less a second; 0 = not said."""
    for token in tokens(value):
        name, _, number = token.partition(b"=")
        if name == b"timeout" and number.isdigit() and len(number) < 9:
            return max((int(number) - 1) * 1_000_000_000, 1)
    return 0
