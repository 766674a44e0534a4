"""Switching protocols: what a client asks for, what a WebSocket's handshake must say, and how it
is said over HTTP/1.1 (RFC 9110 §7.8, RFC 6455 §4) and over HTTP/2 (RFC 8441).

Between two codecs a switch has one form, whatever is on the wire: `RequestHead.protocol` says what
is asked for ("" = nothing), and an answer that grants it is a 101. So a codec of HTTP/1.1 makes a
key where the request brought none (`with_key`) and checks the answer that comes (`check_granted`),
and adds the answer to its own client's key (`confirm`); one of HTTP/2 leaves key and answer out
(`KEY`, `as_accepted`) and takes any 2xx for a 101 (`as_switched`).
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Collection

from proxy.errors import BadRequest, ClientError, UpgradeFailed, UpgradeRefused
from proxy.http.head import Pair, RequestHead, ResponseHead
from proxy.http.local import ALLOWED

WEBSOCKET = "websocket"
VERSION = b"13"  # of the protocol, RFC 6455 §4.1
KEY, ACCEPT = b"sec-websocket-key", b"sec-websocket-accept"

_WHICH = b"sec-websocket-version"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
# Offers to speak the same HTTP in another way, which whoever does not want to passes over
# (RFC 9110 §7.8). Apache's HttpClient makes one of TLS with every request.
_SAME = frozenset({"h2", "h2c"})
_SAME_FAMILIES = ("http/", "tls/")


def wanted(field: bytes) -> str:
    """The protocols that an Upgrade field asks for, as they came, but for those that are ignored:
    "h2c, websocket" -> "websocket"."""
    return ", ".join(filter(_counts, _members(field.decode("latin-1"))))


def _members(text: str) -> list[str]:
    return [member for member in map(str.strip, text.split(",")) if member]


def _counts(protocol: str) -> bool:
    low = protocol.lower()
    return low not in _SAME and not low.startswith(_SAME_FAMILIES)


def choose(asked: str, allowed: Collection[str]) -> str:
    """The first of the protocols in `asked` that is `allowed` (in lower case); UpgradeRefused
    (426) names those that are."""
    for protocol in _members(asked):
        if protocol.lower() in allowed:
            return WEBSOCKET if protocol.lower() == WEBSOCKET else protocol
    # 426 must list something (RFC 9110 §15.5.22): what is spoken here already.
    may = ", ".join(allowed) or "HTTP/1.1"
    raise UpgradeRefused("this route does not switch to the protocol asked for", may)


def check_tunnel(head: RequestHead, allowed: Collection[str], *, connect: bool) -> None:
    """Whether a request that asks to switch protocols, or a CONNECT, may begin a tunnel; leaves
    one protocol in `head.protocol`, or none for CONNECT. `connect`: the route takes that.

    Raises UpgradeRefused (426), BadRequest (400), ClientError (405).
    """
    if head.protocol:
        head.protocol = choose(head.protocol, allowed)
    elif not connect:
        error = ClientError(405, "this route does not take CONNECT", close=True)
        error.lines = ((b"allow", ALLOWED),)
        raise error
    check_asked(head)


def check_asked(head: RequestHead) -> None:
    """Whether the request may begin a tunnel at all, and a WebSocket's is a valid handshake.

    Raises BadRequest (400), and UpgradeRefused (426) for another version (RFC 6455 §4.2.2).
    """
    if head.length != 0:
        # What such a body is for one reader are another one's first bytes of the tunnel.
        raise BadRequest("a request to switch protocols has no body")
    if head.protocol != WEBSOCKET:
        return
    if head.version.startswith("1.") and head.method != "GET":
        raise BadRequest("a WebSocket is asked for by GET")
    version = head.get(_WHICH)
    if version != VERSION and not (version is None and head.version == "2"):
        if version is None:
            raise BadRequest("a WebSocket's handshake says its version")
        raise UpgradeRefused("the only version of WebSocket is 13", WEBSOCKET, (_WHICH, VERSION))
    if head.version.startswith("1.") and not is_key(head.get(KEY)):
        raise BadRequest("a WebSocket's handshake has a key of 16 bytes")


def is_key(value: bytes | None) -> bool:
    """Whether it is 16 bytes in base64 (RFC 6455 §4.2.1)."""
    if value is None or len(value) != 24:
        return False
    try:
        return len(a2b_base64(value, strict_mode=True)) == 16
    except ValueError:
        return False


def accept_of(key: bytes) -> bytes:
    """What Sec-WebSocket-Accept says to a key (RFC 6455 §4.2.2)."""
    import hashlib  # 0.6 MB where there is no WebSocket

    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return b2a_base64(digest, newline=False)


def with_key(head: RequestHead, more: list[Pair], random: bytes) -> tuple[list[Pair], bytes]:
    """`more` lines of a request over HTTP/1.1, with what a WebSocket's lacks; and its key, b"" if
    it asks for something else. `random`: 16 bytes."""
    if head.protocol != WEBSOCKET:
        return more, b""
    key = head.get(KEY)
    if key is None:
        key = b2a_base64(random, newline=False)
        more = [*more, (KEY, key)]
    if head.get(_WHICH) is None:
        more = [*more, (_WHICH, VERSION)]
    return more, key


def check_granted(head: ResponseHead, protocol: str, key: bytes) -> None:
    """Whether a 101 grants what was asked for, with `key`. Raises UpgradeFailed (502)."""
    to = (head.field(b"upgrade") or b"").decode("latin-1")
    if not protocol or to.lower() != protocol.lower():
        raise UpgradeFailed("the upstream switched to another protocol than was asked for")
    if key and head.get(ACCEPT) != accept_of(key):
        raise UpgradeFailed("the upstream's Sec-WebSocket-Accept is the answer to another key")


def confirm(head: ResponseHead, asked: RequestHead) -> list[Pair]:
    """The line that a 101 over HTTP/1.1 lacks because the upstream's was said by HTTP/2."""
    key = asked.get(KEY) if asked.protocol == WEBSOCKET else None
    return [] if key is None or head.get(ACCEPT) is not None else [(ACCEPT, accept_of(key))]


def as_switched(head: ResponseHead, protocol: str) -> None:
    """Make a 101 of the 2xx that granted an extended CONNECT (RFC 8441 §5)."""
    head.status = 101
    head.reason = b"Switching Protocols"
    head.length = None
    head.hold({b"upgrade": protocol.encode("latin-1")})


def as_accepted(head: ResponseHead) -> None:
    """The opposite."""
    head.status = 200
    head.reason = b"OK"
    head.length = None
    head.drop(ACCEPT)
