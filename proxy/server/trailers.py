"""What becomes of trailers: the policy, in this one place.

All codecs read and write them. They pass where the client speaks HTTP/2, whose peers know them
apart from header fields; what then goes to an HTTP/1.1 server is in its trailer section, and no
name that the gateway reads, removes or writes is among them: those that merge trailers into the
header are how names that a filter has removed come back. From and to HTTP/1.1 clients they are
dropped, which RFC 9110 §6.5.1 allows, since few of them read any.
"""

from __future__ import annotations

from proxy.http.head import RequestHead, Trailers
from proxy.http.headers import FORWARDING, HOP_BY_HOP, TRACE
from proxy.server.sides import NO_TRAILERS

# RFC 9110 §6.5.1: what frames, routes, authenticates, or says how content is to be read; and what
# upstreams believe because the gateway wrote it.
_FORBIDDEN = (
    HOP_BY_HOP
    | FORWARDING
    | TRACE
    | {
        b"authorization", b"baggage", b"cache-control", b"content-encoding", b"content-length",
        b"content-range", b"content-type", b"cookie", b"expect", b"host", b"max-forwards",
        b"set-cookie", b"via", b"x-request-deadline", b"x-request-id",
    }
)  # fmt: skip
NO_NAMES: frozenset[bytes] = frozenset()
_MOST = 64  # fields
_MOST_BYTES = 8 * 1024


def passed_on(trailers: Trailers, asked: RequestHead, never: frozenset[bytes]) -> Trailers:
    """Those of `trailers` that go to the other side, of the request `asked` or its answer; none
    of them if they are too many. `never`: further names that do not, lower case with dashes."""
    if asked.version != "2" or len(trailers) > _MOST:
        return NO_TRAILERS
    size = 0
    kept = []
    for name, value in trailers:
        size += len(name) + len(value)
        dashed = name.lower().replace(b"_", b"-")
        if dashed not in _FORBIDDEN and dashed not in never:
            kept.append((name, value))
    return NO_TRAILERS if size > _MOST_BYTES else tuple(kept)
