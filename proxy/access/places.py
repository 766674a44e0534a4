"""Where a request shows its credentials: "header:NAME", "cookie:NAME", "query:NAME".

A place that holds two of them holds none that counts: which one the upstream would take is not
known here. A query's names are compared as the upstream decodes them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from urllib.parse import unquote_plus, unquote_to_bytes

from proxy.access.jws import MALFORMED, Unsound
from proxy.http.head import RequestHead

Look = Callable[[RequestHead], bytes | None]

BEARER = b"bearer "  # a scheme is followed by a space (RFC 9110 §11.4), and its case is any


def look_for(places: Iterable[str]) -> Look:
    """What finds a token: in the first place that has something; None = in none of them. It raises
    Unsound where something is there that cannot be a token."""
    looks = [_look(*place.partition(":")[::2]) for place in places]
    if len(looks) == 1:
        return looks[0]

    def first(head: RequestHead) -> bytes | None:
        for look in looks:
            if (found := look(head)) is not None:
                return found
        return None

    return first


def named(places: Iterable[str], kind: str) -> frozenset[str]:
    """The names of all places of that kind."""
    pairs = (place.partition(":") for place in places)
    return frozenset(name for said, _, name in pairs if said == kind)


def without(target: str, names: Container[str]) -> str:
    """A request target that has no such parameters."""
    path, mark, query = target.partition("?")
    kept = [part for part in query.split("&") if unquote_plus(part.partition("=")[0]) not in names]
    return f"{path}?{'&'.join(kept)}" if mark and kept else path


def _look(kind: str, name: str) -> Look:
    if kind == "cookie":
        return _cookie(name.encode())
    if kind == "query":
        return _query(name.encode())
    field = name.lower().encode()
    return _authorization if field == b"authorization" else _header(field)


def _authorization(head: RequestHead) -> bytes | None:
    value = head.get(b"authorization")
    if value is None:
        return None
    if value[:7].lower() == BEARER:
        return value[7:].lstrip(b" ")
    if b" " not in value.strip() or value[:6].lower() == b"bearer":
        raise Unsound(MALFORMED)  # no scheme, or "Bearer" and a tab
    return None  # another scheme, which another check may know


def _header(name: bytes) -> Look:
    def look(head: RequestHead) -> bytes | None:
        value = head.get(name)
        if value is None:
            return None
        return value[7:].lstrip(b" ") if value[:7].lower() == BEARER else value

    return look


def _cookie(name: bytes) -> Look:
    def look(head: RequestHead) -> bytes | None:
        found = None
        for line in head.each(b"cookie"):  # several are usual in HTTP/2 (RFC 9113 §8.2.3)
            if name not in line:
                continue
            for pair in line.split(b";"):
                said, _, value = pair.partition(b"=")
                if said.strip() == name:
                    found = _only(found, value.strip())
        return found

    return look


def _query(name: bytes) -> Look:
    def look(head: RequestHead) -> bytes | None:
        found = None
        if not head.query:
            return None
        for pair in head.query.encode("utf-8", "surrogateescape").split(b"&"):
            said, _, value = pair.partition(b"=")
            if unquote_to_bytes(said.replace(b"+", b" ")) == name:
                found = _only(found, value)
        return found

    return look


def _only(before: bytes | None, value: bytes) -> bytes:
    if before is not None:
        raise Unsound(MALFORMED)
    return value
