"""Who the client is, and what upstreams are told about it (RFC 7239, RFC 9110 §7.6.3).

Fields that came with the request count only where the peer is trusted. From anyone else they
are removed, all spellings of them alike, and written anew.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.errors import LoopDetected
from proxy.http.edits import Edits
from proxy.http.forwarded import NOTHING, READ, Said, read
from proxy.http.head import Pair, RequestHead
from proxy.http.headers import FORWARDING, OLD, bits, tokens
from proxy.http.target import split_authority

_MOST_VIAS = 10  # passes through this gateway before a request counts as a loop
_MOST_KNOWN = 1024  # clients behind proxies whose fields are remembered, since they ask again
_LONGEST_KNOWN = 512  # bytes of such fields
_MOST_HOSTS = 1024  # authorities whose lines are remembered
_LONGEST_HOST = 128  # characters of such an authority

_Hosts = dict[str, tuple[Pair, ...]]  # authority -> all that is added but the peer


class Forwarding:
    """The rules of one snapshot; `trusted` says whether an address may speak for others."""

    __slots__ = (
        "_forwarded",
        "_hosts",
        "_hosts_2",
        "_known",
        "_pseudonym",
        "_secure_hosts",
        "_secure_hosts_2",
        "_via",
        "_x",
        "trusted",
    )

    def __init__(
        self, trusted: Callable[[str], bool], x_forwarded: bool, forwarded: bool, via: str
    ) -> None:
        self.trusted = trusted
        self._x = x_forwarded
        self._forwarded = forwarded
        self._pseudonym = via.lower().encode("ascii")
        self._via = b"1.1 " + via.encode("ascii") if via else b""
        self._hosts: _Hosts = {}
        self._secure_hosts: _Hosts = {}
        self._hosts_2: _Hosts = {}  # for HTTP/2
        self._secure_hosts_2: _Hosts = {}
        self._known: dict[tuple[bytes | None, ...], Said] = {}

    def said(self, fields: dict[bytes, bytes]) -> Said:
        """What the fields of a request from a trusted peer say about what was before it."""
        key = tuple(map(fields.get, READ))
        try:
            return self._known[key]
        except KeyError:
            found = read(fields, self.trusted)
        if sum(map(len, filter(None, key))) <= _LONGEST_KNOWN:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[key] = found
        return found

    def add(self, edits: Edits, head: RequestHead, peer: bytes, scheme: str, trusted: bool) -> None:
        """Add Forwarded, X-Forwarded-* and Via for the next hop; `peer` and `scheme` are those
        of the connection that the request came on.

        Raises LoopDetected (508) when Via shows that the request goes round in circles.
        """
        if not head.seen & _UNUSUAL or _says_nothing(head):
            if head.version != "2":
                hosts = self._hosts if scheme == "http" else self._secure_hosts
            else:
                hosts = self._hosts_2 if scheme == "http" else self._secure_hosts_2
            lines = hosts.get(head.authority)
            if lines is None:
                lines = self._remember(hosts, head, scheme)
            pairs = edits.added
            if self._x:
                pairs.append((b"x-forwarded-for", peer))
            if self._forwarded:
                pairs.append((b"forwarded", _element(peer, head, scheme)))
            pairs += lines
            return
        self._add_whatever(edits.added, head, peer, scheme, trusted)

    def _remember(self, hosts: _Hosts, head: RequestHead, scheme: str) -> tuple[Pair, ...]:
        authority = head.authority
        lines: tuple[Pair, ...] = ()
        if self._x:
            proto = (b"x-forwarded-proto", scheme.encode("ascii"))
            lines = (proto, (b"x-forwarded-host", authority.encode("ascii")))
        if self._via:
            lines += ((b"via", self._received(head.version)),)
        if len(authority) <= _LONGEST_HOST:
            if len(hosts) >= _MOST_HOSTS:
                hosts.clear()
            hosts[authority] = lines
        return lines

    def _add_whatever(
        self, pairs: list[Pair], head: RequestHead, peer: bytes, scheme: str, trusted: bool
    ) -> None:
        """As `add`, whatever the request says and the configuration wants."""
        fields = head.fields
        said = self.said(fields) if trusted else NOTHING
        agreed = _agreed(said, head, peer, scheme)
        if self._x:
            pairs += ((name, agreed[name]) for name in _WRITTEN if agreed[name])
        elif said.hops:
            agreed[b"x-forwarded-for"] = said.hops  # ours is for others to add
        if trusted:
            passed = _OTHERS if self._x else _X_FORWARDED
            pairs += ((n, agreed.get(n, value)) for n, value in fields.items() if n in passed)
        if self._forwarded:
            element = _element(peer, head, scheme)
            before = said.elements
            pairs.append((b"forwarded", element if not before else before + b", " + element))
        elif said.forwarded:
            pairs.append((b"forwarded", said.forwarded))
        via = fields.get(b"via")
        if via is not None:
            self._add_to_via(pairs, via, head.version)
        elif self._via:
            pairs.append((b"via", self._received(head.version)))

    def _received(self, version: str) -> bytes:
        """RFC 9110 §7.6.3: the version is that of the message as it came."""
        return self._via if version == "1.1" else version.encode() + self._via[3:]

    def _add_to_via(self, pairs: list[Pair], via: bytes, version: str) -> None:
        if not self._via:
            pairs.append((b"via", via))
            return
        if [t.split().pop() for t in tokens(via)].count(self._pseudonym) >= _MOST_VIAS:
            raise LoopDetected("the request came through this gateway ten times: a routing loop")
        pairs.append((b"via", via + b", " + self._received(version)))


_SAID = FORWARDING | {b"via"}
_UNUSUAL = bits(_SAID) | OLD


def _says_nothing(head: RequestHead) -> bool:
    """Whether it says nothing of what was before it, nor of a Host where it needs none."""
    return head.version != "1.0" and head.fields.keys().isdisjoint(_SAID)


_WRITTEN = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
_X_FORWARDED = FORWARDING - {b"forwarded", b"x-forwarded-client-cert"}  # that is `outbound.py`'s
_OTHERS = _X_FORWARDED - frozenset(_WRITTEN)


def _agreed(said: Said, head: RequestHead, peer: bytes, scheme: str) -> dict[bytes, bytes]:
    """What each of the X- fields says; one thing, whatever else came in them."""
    scheme = said.scheme or scheme
    authority = said.authority or head.authority
    proto = scheme.encode()
    port = split_authority(authority)[1] or said.port or (443 if scheme == "https" else 80)
    return {
        b"x-forwarded-for": said.hops + b", " + peer if said.hops else peer,
        b"x-forwarded-proto": proto,
        b"x-forwarded-protocol": proto,
        b"x-forwarded-scheme": proto,
        b"x-forwarded-ssl": b"on" if scheme == "https" else b"off",
        b"x-forwarded-host": authority.encode(),
        b"x-forwarded-port": b"%d" % port,
        b"x-real-ip": said.client.encode() or peer,
    }


def _element(peer: bytes, head: RequestHead, scheme: str) -> bytes:
    node = b'"[' + peer + b']"' if b":" in peer else peer
    if peer == b"unix":
        node = b"_unix"  # RFC 7239 §6.3: what is no address begins with an underscore
    host = b';host="' + head.authority.encode() + b'"' if head.authority else b""  # HTTP/1.0
    return b"for=" + node + host + b";proto=" + scheme.encode()
