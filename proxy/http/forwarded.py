"""What trusted proxies say about a request before them: one reader for all fields that say it.

One client, one scheme, one host and one port follow from Forwarded, X-Forwarded-* and their kin
together; what is sent on is written from that, so that no two fields contradict each other. It
must not know who is trusted. The grammar is in `hops.py`.

- The client is the first address from the right that is not a trusted proxy's.
- Scheme and host are those of the hop on which the client came: its element of Forwarded, or the
  nearest after it that says one; its place in an X-Forwarded-* list that is as long as
  X-Forwarded-For, else the first member, as frameworks read it.
- Forwarded counts before X-Forwarded-*, as the semantic conventions have it, unless the two name
  different clients: then somebody passed on a Forwarded that was not his own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.errors import BadRequest
from proxy.http import hops
from proxy.http.target import normal_authority

Fields = dict[bytes, bytes]
Trusted = Callable[[str], bool]

_SCHEMES = {"http": "http", "ws": "http", "https": "https", "wss": "https", "on": "https"}
_SAYS_SCHEME = (
    b"x-forwarded-proto",
    b"x-forwarded-protocol",
    b"x-forwarded-scheme",
    b"x-forwarded-ssl",
)
READ = (
    *_SAYS_SCHEME,
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-real-ip",
)


@dataclass(frozen=True, slots=True)
class Said:
    """All that is known of a request before the peer; "" and 0 where nothing is."""

    client: str = ""
    scheme: str = ""
    authority: str = ""
    port: int = 0  # of X-Forwarded-Port: counts where the authority has none
    hops: bytes = b""  # X-Forwarded-For, up to the peer but without it
    forwarded: bytes = b""  # the Forwarded that came, put right where it contradicts the rest
    elements: bytes = b""  # Forwarded up to the peer, with all that is known
    hidden: bool = False  # where the client's address should be stands what is none


NOTHING = Said()


@dataclass(slots=True)
class _Source:
    """What one of the two families says."""

    nodes: list[str] = field(default_factory=list)  # as Forwarded has them, the right-most first
    client: str = ""
    place: int = 0  # of the client's hop among the nodes
    scheme: str = ""
    authority: str = ""
    hidden: bool = False  # as in Said
    is_sound: bool = True  # nothing in it is malformed, or said by strangers


def read(fields: Fields, trusted: Trusted) -> Said:
    """What the fields of a request say that came from a trusted peer."""
    x, forwarded = _listed(fields, trusted), _forwarded(fields, trusted)
    first = forwarded
    if forwarded.client and x.client and forwarded.client != x.client:
        first = _Source(is_sound=False)
    chain = first if first.nodes and (first.client or not x.client) else x
    scheme, authority = first.scheme or x.scheme, first.authority or x.authority
    whole = _written(chain, scheme, authority)
    raw = fields.get(b"forwarded", b"") if first.is_sound else b""
    is_complete = scheme == first.scheme and authority == first.authority
    return Said(
        first.client or x.client,
        scheme,
        authority,
        _port(_pick(fields, b"x-forwarded-port", x)),
        _hops(fields, x, chain),
        raw or (whole if forwarded.nodes else b""),
        raw if raw and is_complete and chain is first else whole,
        x.hidden or forwarded.hidden,
    )


def _listed(fields: Fields, trusted: Trusted) -> _Source:
    """X-Forwarded-* and X-Real-IP."""
    listed = hops.members(fields.get(b"x-forwarded-for"))
    listed = listed or hops.members(fields.get(b"x-real-ip"))[:1]
    x = _Source([hops.node(member) for member in listed[: hops.MOST]])
    x.client, x.place = hops.client(listed, trusted)
    x.hidden = _is_hidden(listed, x.place)
    schemes = (_SCHEMES.get(_pick(fields, name, x).lower(), "") for name in _SAYS_SCHEME)
    x.scheme = next(filter(None, schemes), "")
    x.authority = _authority(_pick(fields, b"x-forwarded-host", x))
    return x


def _forwarded(fields: Fields, trusted: Trusted) -> _Source:
    elements = [hops.element(m) for m in hops.members(fields.get(b"forwarded"))[: hops.MOST + 1]]
    f = _Source([element.get("for", "unknown") for element in elements[: hops.MOST]])
    f.client, f.place = hops.client(f.nodes, trusted)
    f.hidden = _is_hidden(f.nodes, f.place)
    f.is_sound = len(elements) <= f.place + 1 and all(elements)
    for element in elements[: f.place + 1]:  # those further left are nearer to the client
        f.scheme = _SCHEMES.get(element.get("proto", "").lower(), f.scheme)
        f.authority = _authority(element.get("host", "")) or f.authority
    return f


def _is_hidden(nodes: list[str], place: int) -> bool:
    """Whether the search for the client has ended at "unknown", "_hidden" or rubbish."""
    return place < len(nodes) and not hops.address(nodes[place])


def _pick(fields: Fields, name: bytes, x: _Source) -> str:
    """The member of a list that goes with the client's hop."""
    listed = hops.members(fields.get(name))
    if not listed:
        return ""
    return hops.unquoted(listed[x.place if len(listed) == len(x.nodes) else -1])


def _authority(text: str) -> str:
    try:
        return normal_authority(text) if text else ""
    except BadRequest:
        return ""


def _port(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 and int(text) <= 65535 else 0


def _hops(fields: Fields, x: _Source, chain: _Source) -> bytes:
    """X-Forwarded-For as it came, or what Forwarded says in its stead."""
    came = hops.members(fields.get(b"x-forwarded-for"))
    if not came or (chain.client and not x.client):
        came = [hops.address(node) or "unknown" for node in chain.nodes]
    return ", ".join(reversed(came)).encode("latin-1")


def _written(chain: _Source, scheme: str, authority: str) -> bytes:
    """Forwarded anew: host and scheme on the client's hop, and nothing but addresses elsewhere."""
    nodes = chain.nodes or (["unknown"] if scheme or authority else [])
    elements = []
    for place, node in enumerate(nodes):
        element = hops.parameter("for", node)
        if place == chain.place:
            element += ";" + hops.parameter("host", authority) if authority else ""
            element += f";proto={scheme}" if scheme else ""
        elements.append(element)
    return ", ".join(reversed(elements)).encode("latin-1")
