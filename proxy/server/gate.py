"""A request at the gate of its route: what is asked, in which order, and what becomes of it.

The order is fixed (docs/access.md): address lists, `mesh.allow`, limits, CORS preflight,
authentication, authorization; the body limit comes behind. What has to be awaited (Redis, a
password, another server) makes a `Wait`, for which the story goes on in a coroutine of its own
(`serve.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from time import time
from typing import Any

from proxy.access.check import Asked, Identity, Pending, Refusal
from proxy.access.places import without
from proxy.access.round import Round
from proxy.errors import ProxyError
from proxy.http.head import Pair
from proxy.http.headers import FORWARDING, bits
from proxy.kernel.clock import time_ns
from proxy.server import answering, limits
from proxy.server.access import Access
from proxy.server.attempts import EVENT
from proxy.server.reply import Reply
from proxy.server.story import Story
from proxy.telemetry import instruments
from proxy.telemetry.facts import Told

Attributes = list[tuple[str, str | int]]

_FORWARDED = bits(FORWARDING)
CHECK, REASON = "spangate.check", "spangate.denied.reason"
_TYPES = {401: "unauthenticated", 403: "forbidden", 429: "rate_limited"}
_TEXTS = {
    401: "valid credentials are needed here",
    403: "this is not allowed",
    429: "more requests than this client may have",
}


class Denied(ProxyError):
    """A request that may not come in; what the client is told is the same whatever the reason."""

    reason = "http_request_denied"
    source = "client"
    told = True

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(_TEXTS.get(refusal.status, "whether this is allowed is not known now"))
        self.status = refusal.status
        self.error_type = _TYPES.get(refusal.status, "access_unavailable")
        lines = refusal.lines
        if refusal.challenge:
            lines = ((b"www-authenticate", refusal.challenge), *lines)
        self.lines = lines


class Wait:
    """A story that is not let in yet."""

    __slots__ = ("_asleep", "_came", "_captures", "_round", "_story")

    def __init__(self, story: Story, captures: Mapping[str, str], round_: Round | None) -> None:
        self._story = story
        self._captures = captures
        self._round = round_  # None: its limits are to be asked first
        self._came: Any = None  # an Identity or a Refusal
        self._asleep = False

    async def over(self, access: Access) -> bool:
        """Wait; False: the gateway has answered. Raises what refuses it, or ends it meanwhile."""
        story, round_ = self._story, self._round
        if not story.client.upload_done:
            story.client.pause()
        if round_ is None:
            await limits.shared(story)
            if _preflight(story, access):
                return False
            round_ = Round(access.wanted, _asked(story))
        while (pending := round_.go()) is not None:
            round_.take(await self._outcome(pending))
        return _settled(story, access, round_)

    async def _outcome(self, pending: Pending) -> Identity | Refusal:
        self._came = None
        try:
            pending.begin(self._story, self._done)
            while self._came is None:
                self._asleep = True
                await EVENT
        finally:
            self._asleep = False
            pending.stop()
        verdict: Identity | Refusal = self._came
        return verdict

    def _done(self, verdict: Identity | Refusal) -> None:
        self._came = verdict
        if self._asleep:
            self._asleep = False
            self._story.on_paused_enough()


def tell(story: Story, access: Access) -> None:
    """Note what every answer of the route has: one that says that it is closed, too."""
    told = story.x.told = Told()
    if access.cors is not None:
        told.drops = access.cors.drops
        told.lines = access.cors.lines(story.head.get(b"origin"))
    if access.secure is not None:
        told.secure = access.secure.of(story.x.scheme)


def enter(story: Story, access: Access, rates: Any, captures: Mapping[str, str]) -> Wait | bool:
    """Whether it may go on, after `tell`; False: the gateway has answered. Raises Denied or
    RateLimited."""
    _address(story, access)
    if access.mesh is not None:
        _mesh(story, access.mesh)
    if access.requests:
        _per_client(story, access.requests)
    if rates is not None:
        if rates.shared:
            return Wait(story, captures, None)
        limits.check(story, rates, captures)
    if _preflight(story, access):
        return False
    if not access.wanted:
        return True
    round_ = Round(access.wanted, _asked(story))
    pending = round_.go()
    if pending is not None:
        return Wait(story, captures, _Resumed(round_, pending))
    return _settled(story, access, round_)


class _Resumed(Round):
    """A round of which the first thing to be awaited is known already."""

    __slots__ = ("_first",)

    def __init__(self, before: Round, first: Pending) -> None:
        self._wanted, self._asked, self._at = before._wanted, before._asked, before._at
        self._refusals, self.identities = before._refusals, before.identities
        self.refused = before.refused
        self._first: Pending | None = first

    def go(self) -> Pending | None:
        first, self._first = self._first, None
        return first if first is not None else super().go()


def note(story: Story, check: str, reason: str) -> None:
    """Tell a refusal: a metric, an event of the span, and attributes."""
    x = story.x
    if x.told is None:
        x.told = Told()
    x.told.denied = (check, reason, time_ns())
    x.captured += [(CHECK, check), (REASON, reason)]
    route = "" if story.entry is None else story.entry.route.name or story.entry.route.path
    labels = ((CHECK, check), (REASON, reason), ("spangate.route", route))
    story.worker.recorder.registry.number(instruments.ACCESS_DENIED, labels).value += 1


def edit(story: Story, access: Access) -> None:
    """The request's head as the upstream may see it: with what was found out of the client, and
    without what only the gate may know."""
    told, edits = story.x.told, story.edits
    if told is None:
        return
    if access.strips:
        edits.remove(access.strips)
    cookies = access.cookies | told.cookies if told.cookies else access.cookies
    if cookies:
        _hide_cookies(story, cookies)
    if access.queries:
        edits.target = without(edits.target, access.queries)
    if told.headers:
        edits.extend(told.headers)


def _asked(story: Story) -> Asked:
    x, peer = story.x, story.client.peer
    asked = Asked(story.head, x.client, x.scheme, x.host, time())
    asked.port = x.host_port
    if peer.proof is not None:
        asked.identities, asked.certificate_subject = peer.proof
    return asked


def _address(story: Story, access: Access) -> None:
    """Who sent it, as far as trusted peers say so; whoever they hide may be anybody."""
    addresses = access.addresses
    if addresses is None:
        return
    head, is_hidden = story.head, False
    if story.client.forwards and head.seen & _FORWARDED and not FORWARDING.isdisjoint(head.fields):
        is_hidden = story.snapshot.forwarding.said(head.fields).hidden
    if is_hidden or addresses.refuses(story.x.client):
        raise _denied(story, "address", Refusal(403, "address"))


def _mesh(story: Story, allowed: Any) -> None:
    """Whether the mesh lets its identity do that (`auth_mesh.py`)."""
    peer = story.client.peer
    refusal = allowed.refusal(peer.listener, peer.identity, story.head)
    if refusal is not None:
        raise _denied(story, "mesh", refusal)


def _per_client(story: Story, most: int) -> None:
    """Count it as one of its client's, until it ends (`answering.finish`)."""
    told = story.x.told
    assert told is not None
    claim = story.worker.clients.begin(story.x.client, most)
    if claim is False:
        told.rate = [(b"retry-after", b"1")]
        raise _denied(story, "per_client", Refusal(429, "requests"))
    if claim is not True:
        told.claim = claim


def _preflight(story: Story, access: Access) -> bool:
    cors = access.cors
    if cors is None or not cors.is_preflight(story.head):
        return False
    assert story.x.told is not None
    # not of the reply's own head, from which `drops` go as from an upstream's
    story.x.told.lines = cors.preflight(story.head)
    answering.reply(story, Reply(204, [], b""), story.entry)
    return True


def _settled(story: Story, access: Access, round_: Round) -> bool:
    """Let in, with what is known of the client (True), or answered (False). Raises Denied."""
    if round_.refused is not None:
        check, refusal = round_.refused
        if refusal.reply is None:
            raise _denied(story, check, refusal)
        if refusal.reason:
            note(story, check, refusal.reason)
        answering.reply(story, refusal.reply, story.entry)
        return False
    x, told = story.x, story.x.told
    assert told is not None
    for identity in round_.identities:
        told.headers += identity.headers
        told.lines += identity.answer
        told.cookies |= identity.cookies
        if identity.attributes:
            x.captured = _with(x.captured, identity.attributes)
    x.captured.append((CHECK, ",".join([identity.check for identity in round_.identities])))
    return True


def _with(captured: Attributes, found: Attributes) -> Attributes:
    """What is verified, in the place of what the client says of itself under the same name
    (`[attributes]`)."""
    names = {name for name, _ in found}
    return [*[pair for pair in captured if pair[0] not in names], *found]


def _denied(story: Story, check: str, refusal: Refusal) -> Denied:
    note(story, check, refusal.reason)
    return Denied(refusal)


def _hide_cookies(story: Story, names: frozenset[str]) -> None:
    lines = story.head.each(b"cookie")  # several are usual in HTTP/2 (RFC 9113 §8.2.3)
    if not lines:
        return
    kept = [part for part in b"; ".join(lines).split(b";") if _name(part) not in names]
    edits = story.edits
    edits.remove(frozenset({b"cookie"}))
    if kept:
        line: Pair = (b"cookie", b";".join(kept).strip())
        edits.add(*line)


def _name(cookie: bytes) -> str:
    return cookie.partition(b"=")[0].strip().decode("latin-1")
