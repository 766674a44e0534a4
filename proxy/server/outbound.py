"""What is different in the heads that leave the gateway, towards the upstream and the client.

Framing is the codecs'. Nominated and hop-by-hop fields are already gone when a head arrives here
(`http/framing.py`), and the gateway's own fields are written last, so that nothing a client sends
can take them away.
"""

from __future__ import annotations

from proxy.http import deadline
from proxy.http.client_cert import XFCC, forwarded
from proxy.http.edits import NO_EDITS, WANTS_TRAILERS, Edits
from proxy.http.forwarded import Said
from proxy.http.head import RequestHead
from proxy.http.headers import FORWARDING, bits, own, tokens
from proxy.kernel import hexes
from proxy.server import grpc_calls
from proxy.server.sides import ClientSide
from proxy.server.snapshot import RouteEntry, Snapshot
from proxy.server.story import Story
from proxy.telemetry.facts import Exchange
from proxy.tracing.baggage import passed_on

USER_AGENT, REQUEST_ID = own(b"user-agent"), own(b"x-request-id")
_FORWARDED = bits(FORWARDING)
_OWN_ID = bits([REQUEST_ID])
BAGGAGE = "spangate.baggage"  # of a span: whether the baggage that came was passed on
_MOST_REQUEST_ID = 128  # bytes of an X-Request-Id that is passed on


def describe(x: Exchange, head: RequestHead, client: ClientSide, snapshot: Snapshot) -> str:
    """Fill in what was asked, and by whom; the host that routes are asked for.

    That is always the host of this request: whatever a proxy says of another one is recorded and
    passed on, and decides nothing.
    """
    x.method = head.method
    x.path = head.path
    x.query = head.query
    x.version = head.version
    x.user_agent = head.field(USER_AGENT) or b""
    host, x.host_port = snapshot.host(head.authority)
    x.host = host
    peer = client.peer
    x.peer, x.peer_port = peer.where
    x.client = peer.address
    x.tls = peer.tls
    x.scheme = client.scheme
    if head.version == "2":
        x.call = grpc_calls.call_of(head)
    if peer.about:
        x.captured += peer.about
    if client.forwards and head.seen & _FORWARDED and not FORWARDING.isdisjoint(head.fields):
        _believe(x, snapshot.forwarding.said(head.fields), snapshot)
    head.scheme = x.scheme
    if snapshot.request_headers:
        for name, key, instead in snapshot.request_headers:
            value = head.get(name)
            if value is not None:
                x.captured.append((key, instead or value.decode("utf-8", "replace")))
    return host


def _believe(x: Exchange, said: Said, snapshot: Snapshot) -> None:
    """The original client, scheme, host and port, as far as they are known."""
    x.client = said.client or x.client
    x.scheme = said.scheme or x.scheme
    if said.authority:
        x.host, x.host_port = snapshot.host(said.authority)
    x.host_port = x.host_port or said.port


def request_id(story: Story) -> bytes:
    """A trusted peer's, or a new one."""
    head = story.head
    given = head.field(REQUEST_ID) if head.seen & _OWN_ID else None
    if given and story.client.forwards and len(given) <= _MOST_REQUEST_ID and given.isascii():
        story.x.is_id_given = True
        return given
    return hexes.request_id(story.worker.getrandbits)


def request(story: Story, entry: RouteEntry, snapshot: Snapshot, captures: dict[str, str]) -> Edits:
    """The upstream's head, all but the trace context, which belongs to an attempt. The upstream is
    asked for the path, after a rewrite if there is one, and the query."""
    head, client, x = story.head, story.client, story.x
    path = head.path
    if entry.rewrite is not None:
        path = x.sent_path = entry.rewrite(path, captures)
    authority = entry.host_header
    edits = Edits.__new__(Edits)
    edits.begin(
        path + head.tail,
        # HTTP/1.0 may have named none, HTTP/1.1 must (RFC 9112 §3.2)
        (head.authority or _first_authority(story)) if authority is None else authority.decode(),
    )
    added = edits.added
    if client.peer.certificate is not None or head.seen & _CERTIFICATE:
        _certificate(edits, head, client, snapshot.passes_certificates)
    agent = x.user_agent
    if agent:
        added.append((b"user-agent", agent))
    snapshot.forwarding.add(edits, head, client.peer.encoded, client.scheme, client.forwards)
    if snapshot.request_id:
        added.append((b"x-request-id", x.request_id))
    else:
        given = head.field(REQUEST_ID)
        if given is not None:
            added.append((b"x-request-id", given))
    if head.seen & RARE:
        add_rare(edits, story)
    if entry.request_edits is not NO_EDITS:
        edits.take(entry.request_edits)  # which has none of the gateway's own fields
    return edits


def _first_authority(story: Story) -> str:
    assert story.target is not None
    return story.target.state.authority()


_CERTIFICATE = bits([XFCC])


def _certificate(edits: Edits, head: RequestHead, client: ClientSide, passes: bool) -> None:
    """Who the client has proved to be; what others say of it counts from trusted peers alone."""
    before = head.fields.get(XFCC) if client.forwards and passes else None
    value = forwarded(before, client.peer.certificate)
    if value is not None:
        edits.add(XFCC, value)


RARE = bits([b"te", b"baggage", b"expect", b"max-forwards", deadline.NAME])


def add_rare(edits: Edits, story: Story) -> None:
    fields = story.head.fields
    te = fields.get(b"te")
    if te is not None and (te == b"trailers" or b"trailers" in tokens(te)):
        edits.wants |= WANTS_TRAILERS
    expect = fields.get(b"expect")
    if expect is not None:
        edits.add(b"expect", expect)
    assert story.target is not None
    given = fields.get(b"baggage")
    if given is not None and story.client.trusted:
        baggage = passed_on(given) if story.target.baggage else b""
        if baggage:
            edits.add(b"baggage", baggage)
        story.x.captured.append((BAGGAGE, bool(baggage)))
    hops = fields.get(b"max-forwards")
    if hops is not None:
        edits.add(b"max-forwards", _fewer(hops, story.head.method))
    until = fields.get(deadline.NAME)
    if until is not None and story.client.forwards:
        _take_deadline(edits, story, until)


def _take_deadline(edits: Edits, story: Story, given: bytes) -> None:
    """What a trusted peer says of how long its caller waits; from others it means nothing."""
    if not story.snapshot.tells_deadline:
        edits.add(deadline.NAME, given)  # it is the services' own
        return
    x = story.x
    left = deadline.parse(given, x.wall_ns)
    if left is None:
        x.captured.append((deadline.MALFORMED, given[:64].decode("ascii", "replace")))
        return
    until = x.start + left
    story.total = min(story.total, until) if story.total else max(until, 1)


def _fewer(hops: bytes, method: str) -> bytes:
    """RFC 9110 §7.6.2: counted down for OPTIONS (and TRACE, which is refused); else as it came."""
    if method == "OPTIONS" and hops.isdigit() and len(hops) < 10:
        return b"%d" % (int(hops) - 1)
    return hops
