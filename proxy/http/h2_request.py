"""HTTP/2 towards clients: a stream's field lines to a request that may be routed, and an answer's
head to field lines (RFC 9113 §8.2, §8.3).

What a request may say is decided where HTTP/1.1's is: lengths in `framing.py`, authority and path
in `target.py`, limits and underscores in `receive.py`. Here stands what the library lets pass and
what differs in the lines themselves: pseudo-header fields in the place of a first line, cookies in
crumbs, names in lower case. It checks nothing of what it sends, so all that leaves is checked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from proxy.errors import BadRequest, ClientError
from proxy.http.edits import Edits
from proxy.http.framing import CONTENT_LENGTH, declared_length, frame_request
from proxy.http.h1 import Limits, method_name
from proxy.http.h2 import NeverIndexedHeader
from proxy.http.head import Pair, RequestHead, ResponseHead, Trailers
from proxy.http.headers import HOP_BY_HOP, OF_REQUESTS, UNDERSCORED, bits, own, without
from proxy.http.kinds import REQUEST_KINDS, UNDERSCORE, request_kind
from proxy.http.receive import Rules
from proxy.http.target import Authorities, resolve

Lines = list[Pair]

_HOST = own(b"host")
_PROTOCOLS = {b"websocket": "websocket"}  # of RFC 8441's CONNECT
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})  # RFC 9110 §8.6: with a length, were it 0
_NEVER_SENT = HOP_BY_HOP | {b"content-length"}  # what of it is said is said by facts
# RFC 9110 §6.5.1: those that decide where a message goes or ends, or how it is read.
_NEVER_TRAILERS = _NEVER_SENT | {b"host", b"content-type", b"content-encoding", b"content-range"}
_BAD = re.compile(rb"[\0\r\n]")
_BLANK = 0x20
_COOKIE = b"cookie"
_UNKNOWN: bytes = b"?"  # of a name that was not seen before
_KINDS, _UNDERSCORE = REQUEST_KINDS, UNDERSCORE
_SENT: dict[bytes, bytes] = {}  # names of fields as they are spelled -> as they are sent
_MOST_SENT = 2048  # names that are remembered
_LONGEST_SENT = 64  # bytes of such a name
_ACCEPT = b"sec-websocket-accept"
_STATUS = b":status"
_STATUSES = {status: (_STATUS, b"%d" % status) for status in range(100, 600)}


def request_head(
    fields: Sequence[Pair], ended: bool, rules: Rules, authorities: Authorities
) -> RequestHead:
    """The request that these lines are. `ended`: no body follows.

    Raises BadRequest or ClientError, as `receive.receive` does: 400, 414, 417, 431, 501.
    """
    head = RequestHead()
    head.version = "2"
    head.is_h2 = True
    pseudo: dict[bytes, bytes] = {}
    size = _split(head, fields, pseudo)
    _check_size(head, size, pseudo, rules.limits)
    _apply_pseudo(head, pseudo)
    if head.seen & UNDERSCORED:
        rules.underscores(head)
    frame_request(head)
    if ended:
        _end(head)
    elif head.protocol or head.method == "CONNECT":
        head.length = 0  # what comes is the tunnel's
    elif head.field(CONTENT_LENGTH) is None:
        head.length = None
    resolve(head, authorities)
    return head


def _split(head: RequestHead, fields: Sequence[Pair], pseudo: dict[bytes, bytes]) -> int:
    """Put each line where it belongs; the bytes that they would be in HTTP/1.1."""
    pairs, special = head._pairs, head.fields
    size = 0
    cookies = 0  # where they are, +1
    underscored = 0
    for pair in fields:
        name, value = pair
        size += len(name) + len(value) + 4
        kind = _KINDS.get(name, _UNKNOWN)
        if kind is _UNKNOWN:
            if name.startswith(b":"):
                pseudo[name] = value
                continue
            kind = request_kind(name)
        if kind is None:
            if type(pair) is not tuple:
                pair = never_index(head, name, value)
            if name == _COOKIE:
                if cookies:  # RFC 9113 §8.2.3: crumbs of one field
                    pairs[cookies - 1] = (name, pairs[cookies - 1][1] + b"; " + value)
                    continue
                cookies = len(pairs) + 1
            pairs.append(pair)
        elif kind is _UNDERSCORE:
            pairs.append((name, value))
            underscored = UNDERSCORED
        else:
            special[kind] = special[kind] + b", " + value if kind in special else value
    head.seen = underscored
    return size


def never_index(head: RequestHead | ResponseHead, name: bytes, value: bytes) -> Pair:
    """The line as the kernel takes it: what nobody may index comes as another kind of pair. Which
    names these are is remembered, for they may not be indexed on any hop (RFC 7541 §7.1.3)."""
    head.never_indexed = (head.never_indexed or frozenset()) | {name}
    return name, value


def _check_size(head: RequestHead, size: int, pseudo: dict[bytes, bytes], limits: Limits) -> None:
    """The limits of HTTP/1.1 hold for the lines that it would have had."""
    path = pseudo.get(b":path", b"")
    if len(pseudo.get(b":method", b"")) + len(path) + 10 > limits.request_line:
        raise BadRequest("the request line is too long", status=414)
    if size > limits.head_bytes:
        raise BadRequest("the header fields are too large", status=431)
    if len(head._pairs) + len(head.fields) + 1 > limits.head_fields:
        raise BadRequest("too many header fields", status=431)


def _apply_pseudo(head: RequestHead, pseudo: dict[bytes, bytes]) -> None:
    """RFC 9113 §8.3.1, RFC 8441 §4. Of :scheme nothing is believed: the connection has one."""
    head.method = method_name(pseudo[b":method"])
    authority = pseudo.get(b":authority")
    host = head.fields.get(_HOST)
    if authority is not None:
        if host is not None and host.lower() != authority.lower():
            raise BadRequest("the :authority and the Host header name different hosts")
        head.fields[_HOST] = authority
    if pseudo.get(b":scheme", b"http").lower() not in (b"http", b"https"):
        raise BadRequest("the request target's scheme does not fit this listener")
    head._target = pseudo.get(b":path") or head.fields.get(_HOST) or b""
    protocol = pseudo.get(b":protocol")
    if protocol is not None:
        if protocol.lower() not in _PROTOCOLS:
            raise ClientError(501, "the only protocol for an extended CONNECT is websocket")
        head.protocol = _PROTOCOLS[protocol.lower()]
        head.method = "GET"  # what it is with HTTP/1.1, and what routes are asked for
    head.seen |= bits(head.fields)


def _end(head: RequestHead) -> None:
    head.length = 0
    if head.method in _WITH_LENGTH and head.field(CONTENT_LENGTH) is None:
        head.fields[CONTENT_LENGTH] = b"0"
        head.seen |= bits([CONTENT_LENGTH])


def answer_fields(
    head: ResponseHead, edits: Edits, more: Lines, asked: RequestHead | None
) -> Lines:
    """A whole answer's head: its lines less those removed, those added, `more` lines of this
    answer alone. A 101 is what HTTP/2 says by 200 (RFC 8441 §5)."""
    switched = head.status == 101
    first = _STATUSES[200 if switched else head.status]
    lines: Lines = []
    if edits.added:
        put(lines, edits.added, _NEVER_SENT)
    lines += more
    length = b"" if switched else declared_length(head, asked)
    if length:
        lines.append((CONTENT_LENGTH, length))
    came = _came(head, edits.removed)
    if switched:
        came = [pair for pair in came if pair[0] != _ACCEPT]
    fields = [first, *came, *_checked(lines)]
    names = head.never_indexed
    return fields if names is None else never_indexed(fields, names)


def never_indexed(fields: Lines, names: frozenset[bytes]) -> Lines:
    """The same, those with such a name marked so that no hop may index them."""
    return [NeverIndexedHeader(*pair) if pair[0] in names else pair for pair in fields]


def _came(head: ResponseHead, removed: frozenset[bytes] | None) -> Lines:
    """What of an upstream's head is sent on. Most was checked when it came, and is not walked
    again: 5 % of a request by HTTP/2 (make bench-check)."""
    if head.is_h2:
        return as_they_came(head._pairs, removed)
    scanned = head.lines
    if scanned is not None:
        return as_they_came(
            scanned.lowered(), OF_REQUESTS if removed is None else removed | OF_REQUESTS
        )
    lines: Lines = []
    put(lines, head if removed is None else without(head, removed), _NEVER_SENT)
    return _checked(lines)


def as_they_came(pairs: Lines, removed: frozenset[bytes] | None) -> Lines:
    """The lines of a head that `is_h2` or was scanned, less those removed, which may leave by
    HTTP/2 as they are: libnghttp2 takes no upper case, no blanks around values and, as our scanner,
    none of the characters that RFC 9110 §5.5 forbids; fields of one hop are not among them."""
    if removed is None:
        return pairs
    return [pair for pair in pairs if pair[0] not in removed]


def informational_fields(head: ResponseHead) -> Lines:
    """A 1xx answer's head."""
    fields = [_STATUSES[head.status]]
    put(fields, head, _NEVER_SENT)
    return _checked(fields)


def trailer_fields(trailers: Trailers) -> Lines:
    """Trailers as they are sent; those that may not be there are left out."""
    fields: Lines = []
    put(fields, trailers, _NEVER_TRAILERS)
    return _checked([pair for pair in fields if pair[0][:1] != b":"])


def trailers_of(fields: Iterable[Pair]) -> Trailers:
    """The trailers that came, without those that must not come there; what becomes of the others
    is policy (`server/trailers.py`)."""
    return tuple([(name, value) for name, value in fields if name not in _NEVER_TRAILERS])


def put(fields: Lines, pairs: Iterable[Pair], never: frozenset[bytes]) -> None:
    """Names in lower case and values without blanks around: others are malformed (§8.2)."""
    for name, value in pairs:
        sent = _SENT.get(name, _UNKNOWN)
        if sent is _UNKNOWN:
            sent = _sent_name(name)
        if sent not in never:
            if value and (value[0] <= _BLANK or value[-1] <= _BLANK):
                value = value.strip(b" \t")
            fields.append((sent, value))


def _sent_name(name: bytes) -> bytes:
    """The name in lower case, remembered."""
    low = name.lower()
    if len(name) <= _LONGEST_SENT:
        if len(_SENT) >= _MOST_SENT:
            _SENT.clear()
        _SENT[name] = low
    return low


def _checked(fields: Lines) -> Lines:
    """Lines without CR, LF and NUL in them: they would end up in an HTTP/1.1 head somewhere."""
    parts: list[bytes] = []
    for pair in fields:
        parts += pair
    text = b"".join(parts)
    if b"\n" not in text and b"\r" not in text and b"\0" not in text:
        return fields
    return [pair for pair in fields if _BAD.search(pair[0] + pair[1]) is None]
