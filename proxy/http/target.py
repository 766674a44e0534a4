"""Request target and Host: which authority and which path a request is about (RFC 9112 §3.2).

An authority is normalised once, as a path is: case, percent-encoding, the root's dot, the spelling
of an IPv6 address and of a port. What is matched is what is forwarded, so that no spelling of a
host goes by a route that another spelling would have met.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address

from proxy.errors import BadRequest
from proxy.http.head import RequestHead
from proxy.http.headers import own
from proxy.http.path import decode_unreserved, encode_utf8, normalise
from proxy.kernel.tokens import is_ordinary

# RFC 3986 §3.2: reg-name or IPv4, or a bracketed IP literal, then an optional port, which may be
# empty. No userinfo, no comma (two Hosts joined), no zone of an IPv6 address (RFC 6874 §4).
_AUTHORITY = re.compile(
    r"((?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+|\[[0-9A-Fa-f:.]+\])(?::([0-9]*))?"
)
_MOST_PORT = 65535
_HOST = own(b"host")
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)


class Authorities:
    """Checked Host values, remembered: clients send the same few again and again.

    `as_proxy`: whoever sends requests here knows of a proxy (RFC 9112 §3.2.2), whose clients may
    have Host say what they like; only the target says whom they mean.
    """

    __slots__ = ("_known", "as_proxy")
    _MOST = 1024
    _LONGEST = 256  # bytes of one that is remembered

    def __init__(self, as_proxy: bool = False) -> None:
        self._known: dict[bytes, str] = {}
        self.as_proxy = as_proxy

    def check(self, raw: bytes) -> str:
        """The normal form of `raw`; BadRequest (400) if it is not a valid authority."""
        try:
            return self._known[raw]
        except KeyError:
            return self._look(raw)

    def _look(self, raw: bytes) -> str:
        try:
            text = raw.decode("ascii")
        except UnicodeDecodeError:
            raise BadRequest("the Host header is not ASCII") from None
        text = normal_authority(text)
        if len(raw) <= self._LONGEST:
            if len(self._known) >= self._MOST:
                self._known.clear()
            self._known[raw] = text
        return text


def normal_authority(text: str) -> str:
    """The one spelling of an authority (RFC 3986 §6.2.2, §6.2.3); BadRequest if it is none.

    "Shop.%45xample.:080" is "shop.example:80", "shop.example:" is "shop.example".
    """
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise BadRequest("the Host header is missing, doubled or not a valid authority")
    host, digits = found.groups()
    host = _literal(host) if host.startswith("[") else _name(host)
    if not digits:
        return host
    digits = digits.lstrip("0") or "0"
    if len(digits) > 5 or int(digits) > _MOST_PORT:
        raise BadRequest("the Host header names a port that there cannot be")
    return f"{host}:{digits}"


def _literal(host: str) -> str:
    try:
        return f"[{IPv6Address(host[1:-1])}]"
    except ValueError:
        raise BadRequest("the Host header is not an IPv6 address") from None


def _name(host: str) -> str:
    name = decode_unreserved(host).lower().removesuffix(".")
    if "%" in name:
        raise BadRequest("the Host header encodes what no host name holds")
    if not name or name.startswith(".") or name.endswith(".") or ".." in name:
        raise BadRequest("the Host header has an empty label")
    return name


def without_port(authority: str) -> str:
    """The host of a checked authority as it stands in a URL."""
    if authority.endswith("]"):
        return authority
    return authority.rpartition(":")[0] or authority


def split_authority(authority: str) -> tuple[str, int]:
    """(host without brackets, port or 0) of an authority in its normal form."""
    host, colon, port = authority.rpartition(":")
    if not colon or not port.isdigit():
        host, port = authority, "0"
    return host.strip("[]"), int(port)


def resolve(head: RequestHead, authorities: Authorities) -> None:
    """Fill in authority, path and query from the target and Host.

    The query stays as it is, the empty one too.

    Raises BadRequest (400) where the target's form does not fit the method, where it names a
    scheme other than http, or where its authority contradicts Host and that counts.
    """
    host = head.field(_HOST)
    if host is not None:
        head.authority = authorities.check(host)
    elif head.version != "1.0":
        raise BadRequest("HTTP/1.1 requires a Host header")
    if head.path:
        return  # the scanner saw that it is usual
    target = head._target
    if not target.startswith(b"/") or head.method == "CONNECT":
        target = _unusual(head, authorities)
    try:
        text = target.decode("ascii")
    except UnicodeDecodeError:
        text = _encoded(target)
    path, mark, head.query = text.partition("?")
    if mark:
        head.tail = mark + head.query
        if "#" in head.query:
            raise BadRequest("a request target has no fragment")
    # is_ordinary: most are, and that is a call less (make bench-check)
    head.path = path if path == "*" or is_ordinary(path) else normalise(path)


def _encoded(target: bytes) -> str:
    path, mark, query = target.partition(b"?")
    if not path.isascii():
        raise BadRequest("the path of the request target is not ASCII")
    return (path + mark).decode("ascii") + encode_utf8(query)


def _unusual(head: RequestHead, authorities: Authorities) -> bytes:
    """Every form but origin-form; returns the origin-form of the target."""
    if head.method == "CONNECT":
        return _connected(head, authorities)
    if head._target == b"*" and head.method == "OPTIONS":
        return head._target
    match = _ABSOLUTE.fullmatch(head._target.decode("latin-1"))
    if match is None:
        raise BadRequest("the request target must begin with a slash")
    scheme, authority, rest = match.groups()
    if scheme.lower() != "http":
        raise BadRequest(f"the request target's scheme does not fit this listener: {scheme}")
    named = authorities.check(authority.encode("latin-1"))
    if head.authority and _without_default(named) != _without_default(head.authority):
        if not authorities.as_proxy:
            raise BadRequest("the request target and the Host header name different hosts")
        head.fields[_HOST] = named.encode("ascii")  # nobody may go by the other one any more
    head.authority = named
    if not rest and head.method == "OPTIONS":
        return b"*"  # RFC 9112 §3.2.4
    origin: str = rest if rest.startswith("/") else "/" + rest
    return origin.encode("latin-1")


def _connected(head: RequestHead, authorities: Authorities) -> bytes:
    """The authority-form of CONNECT (RFC 9112 §3.2.3), which has a port and no path: for routes
    it is "/"."""
    named = authorities.check(head._target)
    if not split_authority(named)[1]:
        raise BadRequest("the target of CONNECT is a host and a port")
    if head.authority and head.authority not in (named, without_port(named)):
        raise BadRequest("the request target and the Host header name different hosts")
    head.authority = named
    return b"/"


def _without_default(authority: str) -> str:
    return authority.removesuffix(":80")  # RFC 9110 §4.2.3
