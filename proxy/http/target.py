"""Request target and Host: which authority and which path a request is about (RFC 9112 §3.2)."""

from __future__ import annotations

import re

from proxy.errors import BadRequest, ClientError
from proxy.http.head import RequestHead
from proxy.http.path import normalise

# RFC 3986 §3.2: reg-name or IPv4, or a bracketed IP literal, then an optional port. No userinfo.
_AUTHORITY = re.compile(
    r"(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+(?::[0-9]{1,5})?"
    r"|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?"
)
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)


class Authorities:
    """Checked Host values, remembered: clients send the same few again and again."""

    __slots__ = ("_known",)
    _MOST = 1024

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}

    def check(self, raw: bytes) -> str:
        """`raw` in lower case; BadRequest (400) if it is not a valid authority."""
        try:
            return self._known[raw]
        except KeyError:
            return self._look(raw)

    def _look(self, raw: bytes) -> str:
        try:
            text = raw.decode("ascii")
        except UnicodeDecodeError:
            raise BadRequest("the Host header is not ASCII") from None
        if _AUTHORITY.fullmatch(text) is None:
            raise BadRequest("the Host header is missing, doubled or not a valid authority")
        if len(self._known) >= self._MOST:
            self._known.clear()
        self._known[raw] = text = text.lower()
        return text


def split_authority(authority: str) -> tuple[str, int]:
    """(host without brackets and without the root's dot, port or 0)."""
    host, colon, port = authority.rpartition(":")
    if not colon or not port.isdigit():
        host, port = authority, "0"
    return host.strip("[]").removesuffix("."), int(port)


def resolve(head: RequestHead, authorities: Authorities) -> None:
    """Fill in authority, path and query from the target and Host.

    Raises BadRequest (400) where the target's form does not fit the method, where it names a
    scheme other than http, or where its authority contradicts Host; 501 for CONNECT.
    """
    host = head.fields.get(b"host")
    target = head.target
    if host is not None:
        head.authority = authorities.check(host)
    elif head.version != "1.0":
        raise BadRequest("HTTP/1.1 requires a Host header")
    if target[:1] != b"/" or head.method == "CONNECT":
        target = _unusual(head, authorities)
    path, _, query = target.partition(b"?")
    try:
        head.query = query.decode("ascii")
        head.path = normalise(path.decode("ascii")) if path != b"*" else "*"
    except UnicodeDecodeError:
        raise BadRequest("the request target is not ASCII") from None
    if "#" in head.query:
        raise BadRequest("a request target has no fragment")


def _unusual(head: RequestHead, authorities: Authorities) -> bytes:
    """Every form but origin-form; returns the origin-form of the target."""
    if head.method == "CONNECT":
        raise ClientError(501, "CONNECT is for forward proxies; this is a gateway", close=True)
    if head.target == b"*" and head.method == "OPTIONS":
        return head.target
    match = _ABSOLUTE.fullmatch(head.target.decode("latin-1"))
    if match is None:
        raise BadRequest("the request target must begin with a slash")
    scheme, authority, rest = match.groups()
    if scheme.lower() != "http":
        raise BadRequest(f"the request target's scheme does not fit this listener: {scheme}")
    named = authorities.check(authority.encode("latin-1"))
    if head.authority and _without_default(named) != _without_default(head.authority):
        raise BadRequest("the request target and the Host header name different hosts")
    head.authority = named
    if not rest and head.method == "OPTIONS":
        return b"*"  # RFC 9112 §3.2.4
    origin: str = rest if rest.startswith("/") else "/" + rest
    return origin.encode("latin-1")


def _without_default(authority: str) -> str:
    return authority.removesuffix(":80")  # RFC 9110 §4.2.3
