"""Who the client is, and what upstreams are told about it (RFC 7239, RFC 9110 §7.6.3).

Fields that came with the request count only where the peer is trusted. From anyone else they
are removed, all spellings of them alike, and written anew.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.errors import LoopDetected
from proxy.http.edits import Edits
from proxy.http.head import Pair, RequestHead
from proxy.http.headers import FORWARDING, tokens

_MOST_VIAS = 10  # passes through this gateway before a request counts as a loop


class Forwarding:
    """The rules of one snapshot; `trusted` says whether an address may speak for others."""

    __slots__ = ("_forwarded", "_pseudonym", "_usual", "_via", "_x", "trusted")

    def __init__(
        self, trusted: Callable[[str], bool], x_forwarded: bool, forwarded: bool, via: str
    ) -> None:
        self.trusted = trusted
        self._x = x_forwarded
        self._forwarded = forwarded
        self._pseudonym = via.lower().encode("ascii")
        self._via = b"1.1 " + via.encode("ascii") if via else b""
        self._usual = bool(x_forwarded and via and not forwarded)

    def client(self, fields: dict[bytes, bytes], peer: str) -> str:
        """client.address: the right-most address that is not a trusted proxy's (facts in
        X-Forwarded-For are only as good as who wrote them, so they are read from the right)."""
        value = fields.get(b"x-forwarded-for")
        if value is None:
            return self._from_forwarded(fields, peer)
        client = peer
        for hop in reversed(value.split(b",")):
            address = _address(hop.strip().decode("latin-1"))
            if not address:
                return client
            client = address
            if not self.trusted(client):
                return client
        return client

    def _from_forwarded(self, fields: dict[bytes, bytes], peer: str) -> str:
        value = fields.get(b"forwarded")
        if value is None:
            return peer
        client = peer
        for element in reversed(value.decode("latin-1").split(",")):
            address = _address(_parameter(element, "for"))
            if not address:
                return client
            client = address
            if not self.trusted(client):
                return client
        return client

    def add(self, edits: Edits, head: RequestHead, peer: bytes, scheme: str, trusted: bool) -> None:
        """Add Forwarded, X-Forwarded-* and Via for the next hop; `peer` and `scheme` are those
        of the connection that the request came on.

        Raises LoopDetected (508) when Via shows that the request goes round in circles.
        """
        fields, pairs = head.fields, edits.added
        if self._usual and head.version == "1.1" and fields.keys().isdisjoint(_SAID):
            host = (b"x-forwarded-host", head.authority.encode("ascii"))
            pairs += ((b"x-forwarded-for", peer), _PROTO[scheme], host, (b"via", self._via))
            return
        if self._x:
            before = fields.get(b"x-forwarded-for") if trusted else None
            pairs.append((b"x-forwarded-for", peer if before is None else before + b", " + peer))
            self._add_origin(pairs, head, scheme, trusted)
        elif trusted:
            _copy(pairs, fields, _X_FORWARDED)
        if self._forwarded:
            element = _element(peer, head, scheme)
            before = fields.get(b"forwarded") if trusted else None
            pairs.append((b"forwarded", element if before is None else before + b", " + element))
        elif trusted and b"forwarded" in fields:
            pairs.append((b"forwarded", fields[b"forwarded"]))
        via = fields.get(b"via")
        if via is not None:
            self._add_to_via(pairs, via, head.version)
        elif self._via:
            pairs.append((b"via", self._received(head.version)))

    def _add_origin(self, pairs: list[Pair], head: RequestHead, scheme: str, trusted: bool) -> None:
        fields = head.fields
        proto = fields.get(b"x-forwarded-proto") if trusted else None
        host = fields.get(b"x-forwarded-host") if trusted else None
        pairs.append(_PROTO[scheme] if proto is None else (b"x-forwarded-proto", proto))
        pairs.append((b"x-forwarded-host", head.authority.encode() if host is None else host))
        if trusted and not fields.keys().isdisjoint(_OTHERS):
            _copy(pairs, fields, _OTHERS)

    def _received(self, version: str) -> bytes:
        """RFC 9110 §7.6.3: the version is that of the message as it came."""
        return self._via if version == "1.1" else version.encode() + self._via[3:]

    def _add_to_via(self, pairs: list[Pair], via: bytes, version: str) -> None:
        if not self._via:
            pairs.append((b"via", via))
            return
        if [t.split()[-1] for t in tokens(via)].count(self._pseudonym) >= _MOST_VIAS:
            raise LoopDetected("the request came through this gateway ten times: a routing loop")
        pairs.append((b"via", via + b", " + self._received(version)))

    def scheme(self, fields: dict[bytes, bytes], own: str) -> str:
        """url.scheme: what a trusted proxy says it was, else `own`, the connection's."""
        said = fields.get(b"x-forwarded-proto")
        if said is None:
            return own
        return "https" if said.strip().lower() == b"https" else "http"


_PROTO = {s: (b"x-forwarded-proto", s.encode("ascii")) for s in ("http", "https")}
_SAID = FORWARDING | {b"via"}
_WRITTEN = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"})
_X_FORWARDED = FORWARDING - {b"forwarded"}
_OTHERS = _X_FORWARDED - _WRITTEN


def _copy(pairs: list[Pair], fields: dict[bytes, bytes], names: frozenset[bytes]) -> None:
    pairs.extend(pair for pair in fields.items() if pair[0] in names)


def _element(peer: bytes, head: RequestHead, scheme: str) -> bytes:
    node = b'"[' + peer + b']"' if b":" in peer else peer
    return b"for=" + node + b';host="' + head.authority.encode() + b'";proto=' + scheme.encode()


def _parameter(element: str, name: str) -> str:
    for part in element.split(";"):
        key, _, value = part.strip().partition("=")
        if key.lower() == name:
            return value.strip('"')
    return ""


def _address(node: str) -> str:
    """The IP address of a node identifier (RFC 7239 §6) without port; "" if it has none."""
    if node.startswith("["):
        node = node[1:].partition("]")[0]
    elif node.count(":") == 1:
        node = node.partition(":")[0]
    ok = node and all(c in "0123456789abcdefABCDEF.:" for c in node)
    return node if ok and (":" in node or node.count(".") == 3) else ""
