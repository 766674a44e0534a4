"""HTTP/2 towards an upstream: a request's head to field lines, and an answer's lines to a head.

Owns what differs from HTTP/1.1 in the lines themselves (RFC 9113 §8.1 to §8.3): pseudo-header
fields in the place of first lines, no fields about the connection, names in lower case. What a
head may say, how long its body is and what becomes of its fields are the rules of the other
files here, the same for both protocols. libnghttp2 checks what it reads and nothing of what it
sends, so all that leaves is checked here, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.errors import BadResponse, ClientError
from proxy.http.answer_limits import MOST_HEAD
from proxy.http.edits import WANTS_TRAILERS, Edits
from proxy.http.framing import CONTENT_LENGTH, frame_response
from proxy.http.h2_request import as_they_came, never_index, never_indexed, put
from proxy.http.head import Pair, RequestHead, ResponseHead
from proxy.http.headers import DATE, HOP_BY_HOP, OF_REQUESTS, bits, without
from proxy.http.kinds import RESPONSE_KINDS, response_kind
from proxy.http.upgrade import KEY
from proxy.kernel.tokens import is_value

# RFC 9113 §8.2.2: a message with one of these is malformed. A Trailer field is none of them, but
# belongs to one hop in any version (RFC 9110 §6.6.2).
CONNECTION_FIELDS = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_NEVER_SENT = HOP_BY_HOP | {b"host", b"content-length"}  # what of it is said is said by facts
_DATED = bits([DATE])
_STATUSES = {b"%d" % status: status for status in range(100, 600)}
_TE: Pair = (b"te", b"trailers")

Lines = list[Pair]


def request_fields(head: RequestHead, edits: Edits, more: Lines, scheme: bytes) -> Lines:
    """A whole request head: its lines less those removed, those added, `more` lines of this try
    alone. `scheme` is that of the connection.

    Raises ClientError (400) for what may not stand in a field value.
    """
    removed, scanned = edits.removed, head.lines
    came: Lines = []
    if head.is_h2:  # it was checked when it came, and so was a scanned one: 9 % of a call
        came = as_they_came(head._pairs, removed)  # (make bench-check)
    elif scanned is not None:
        came = as_they_came(scanned.lowered(), removed)
    else:
        put(came, head if removed is None else without(head, removed), _NEVER_SENT)
        _check(came)
    first = [
        (b":method", head.method.encode("ascii")),
        (b":scheme", scheme),
        (b":authority", edits.authority.encode("ascii")),
        (b":path", edits.target.encode("ascii")),
    ]
    ours = _ours(head, edits, more)
    _check(first)
    _check(ours)
    fields = [*first, *came, *ours]
    names = head.never_indexed
    return fields if names is None else never_indexed(fields, names)


def _ours(head: RequestHead, edits: Edits, more: Lines) -> Lines:
    """The lines that the gateway adds."""
    lines: Lines = []
    put(lines, edits.added, _NEVER_SENT)
    lines += more
    if edits.wants & WANTS_TRAILERS:
        lines.append(_TE)
    length = head.length
    if length is not None and (length or head.field(CONTENT_LENGTH) is not None):
        lines.append((CONTENT_LENGTH, b"%d" % length))
    return lines


def _check(fields: Lines) -> None:
    if not is_value(b"".join([value for _, value in fields])):
        raise ClientError(400, "a field value has a control character")


def as_extended_connect(fields: Lines, protocol: str) -> Lines:
    """The head of a request to switch protocols as HTTP/2 asks for it (RFC 8441 §4, §5)."""
    kept = [pair for pair in fields[1:] if pair[0].lower() not in (KEY, CONTENT_LENGTH)]
    return [(b":method", b"CONNECT"), (b":protocol", protocol.encode("latin-1")), *kept]


def response_head(fields: Sequence[Pair], method: str, ended: bool) -> ResponseHead:
    """The head that these lines are, framed. `method` is what was asked; `ended`: nothing follows.

    Raises BadResponse (502).
    """
    head = _head(fields)
    frame_response(head, method)
    if ended:
        if head.length:
            raise BadResponse("the upstream's answer ends before its body")
        head.length = 0
    head.keep_alive = True  # of a stream's answer nothing of the kind can be said
    return head


def informational_head(fields: Sequence[Pair]) -> ResponseHead:
    """A 1xx answer; BadResponse for 101, which HTTP/2 does not have (RFC 9113 §8.6)."""
    head = _head(fields)
    if head.status == 101:
        raise BadResponse("the upstream switched protocols (101), which HTTP/2 cannot")
    return head


def _head(fields: Sequence[Pair]) -> ResponseHead:
    head = ResponseHead()
    head.version = "2"
    head.is_h2 = True
    head.status = _status(fields)
    pairs, special = head._pairs, head.fields
    seen = size = 0
    for pair in fields[1:]:
        name, value = pair
        size += len(name) + len(value) + 4  # as in HTTP/1.1
        try:
            kind = RESPONSE_KINDS[name]
        except KeyError:
            kind = response_kind(name)
        if kind is None:
            if name not in OF_REQUESTS:
                pairs.append(pair if type(pair) is tuple else never_index(head, name, value))
        elif kind is DATE:
            pairs.append((name, value))
            seen = _DATED
        elif kind in CONNECTION_FIELDS:
            raise BadResponse(f"the upstream's head has {name!r}, which HTTP/2 does not know")
        else:
            special[kind] = special[kind] + b", " + value if kind in special else value
    if size > MOST_HEAD:
        raise BadResponse(f"the upstream's head is larger than {MOST_HEAD} bytes")
    head.dated = seen != 0
    head.seen = seen | bits(special)
    return head


def _status(fields: Sequence[Pair]) -> int:
    if not fields or fields[0][0] != b":status":
        raise BadResponse("the upstream's head does not begin with :status")
    status = _STATUSES.get(fields[0][1])
    if status is None:
        raise BadResponse("the upstream's status is none of 100 to 599")
    return status
