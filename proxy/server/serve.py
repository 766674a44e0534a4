"""The life of a request, readable top to bottom in `serve`.

What it waits for (an answer's head, the end of its body) is what the two sides tell the story,
which steps this coroutine (`story.py`).
"""

from __future__ import annotations

import logging
from typing import Any

from proxy.errors import ProxyError, UpstreamError, WrongMethod
from proxy.http.edits import WANTS_TUNNEL
from proxy.http.head import RequestHead, ResponseHead, Trailers
from proxy.http.local import ALLOWED, MAY_END, check_length, last_hop
from proxy.server import (
    added,
    answering,
    attempts,
    gate,
    grpc_calls,
    grpc_health,
    hedging,
    limits,
    outbound,
    overload,
    split,
    tunnel,
)
from proxy.server.attempts import EVENT
from proxy.server.house import House
from proxy.server.reply import Reply
from proxy.server.sides import ClientSide
from proxy.server.snapshot import RouteEntry
from proxy.server.story import Story

log = logging.getLogger("spangate")


def tell(house: House, client: ClientSide, head: RequestHead) -> Story:
    """The story of the request with this head, not begun yet."""
    story = Story.__new__(Story)
    story.set_out(house, client, head)
    story.coroutine = serve(story)
    return story


async def serve(story: Story, wait: Any = None) -> None:
    """One request, from its head to its record. `wait`: for what, before it goes on (`gate.py`)."""
    try:
        if _goes_on(story) if wait is None else await _waited(story, wait):
            try:  # on a warm connection without a second coroutine: 2,000 less (make bench-check)
                warm = not story.entry.is_slow and attempts.is_sent(story)  # type: ignore[union-attr]
                response = await EVENT if warm else await dialled(story)
            except UpstreamError as error:
                another = attempts.after(story, error)
                if another is None:
                    raise
            else:
                another = attempts.follows(story, response)
            if another is not None:
                response = await attempts.again(story, another)
            packing = relay(story, response)
            trailers = await EVENT  # when the answer's body has ended
            if packing is not None:
                await packing.settle()
            end(story, trailers)
        elif story.later is None and not story.x.head_sent and _asks_health(story):
            await grpc_health.answer(story)
    except ProxyError as error:
        answering.fail(story, error, _entry(story, error))
    except Exception as error:
        log.exception("a request failed inside the gateway", extra={"key": "request.bug"})
        answering.fail(story, ProxyError(type(error).__name__), story.entry)
    finally:
        answering.finish(story)


def _goes_on(story: Story) -> bool:
    """Find out what is asked, whose trace it is part of, and where it goes; False: the gateway
    has answered it."""
    x, head, snapshot = story.x, story.head, story.snapshot
    if head.protocol and head.method == "CONNECT":
        head.method = "GET"  # RFC 8441: what HTTP/1.1 asks for by GET, for routes and upstreams too
    host = outbound.describe(x, head, story.client, snapshot)
    if snapshot.request_id:
        x.request_id = outbound.request_id(story)
    story.worker.recorder.begin(x)
    if head.method != "GET" and head.method in MAY_END:
        status = last_hop(head, snapshot.connects)
        if status:
            end_here(story, host, status)
            return False
        if snapshot.cors and _is_preflight(story, host):
            return False
    if snapshot.by_listener:
        head.listener = story.client.peer.listener
    entry, captures = snapshot.match(head, host)
    story.entry = entry
    x.route = entry.blocks
    answering.trace(story, entry)
    if entry.is_special or story.worker.in_maintenance:
        return _is_let_on(story, entry, captures)
    _forward(story, entry, captures)
    return True


def _is_let_on(story: Story, entry: RouteEntry, captures: dict[str, str]) -> bool:
    """The same on a route that answers, limits, or does more than to forward."""
    if is_answered(story, entry, captures):
        return False
    _forward(story, entry, captures)
    if entry.access is not None:
        gate.edit(story, entry.access)
    if entry.message is not None:
        entry.message.begin(story, captures)
    return True


async def _waited(story: Story, wait: Any) -> bool:
    """What `_goes_on` says, once it is known who asks."""
    entry = story.entry
    assert entry is not None
    if not await wait.over(entry.access):
        return False
    host = story.snapshot.host(story.head.authority)[0]
    captures = story.snapshot.match(story.head, host)[1]
    if _has_own(story, entry, captures):
        return False
    _forward(story, entry, captures)
    gate.edit(story, entry.access)
    if entry.message is not None:
        entry.message.begin(story, captures)
    return True


def _is_preflight(story: Story, host: str) -> bool:
    """Whether it only asks what a page of another origin may do: of the route that takes what the
    page wants to send (Fetch standard §4.8)."""
    head = story.head
    method = head.get(b"access-control-request-method")
    if method is None or head.get(b"origin") is None:
        return False
    entry = story.snapshot.expected(head, host, method.decode("latin-1"))
    if entry is None or entry.access is None or entry.access.cors is None:
        return False
    story.entry = entry
    story.x.route = entry.blocks
    answering.trace(story, entry)
    return is_answered(story, entry, story.snapshot.captures(head))


async def dialled(story: Story) -> ResponseHead:
    """Send the first try, if what the route's requests share with other gateways allows it, and
    when its upstream's bounds do."""
    entry = story.entry
    if entry is not None and entry.is_slow:
        if entry.access is None:
            await limits.shared(story)
        if entry.mirror is not None:
            story.worker.mirrors.copy(story)
        if story.target is not None and story.target.hedge is not None:
            return await hedging.first(story)
        if attempts.is_sent(story):
            response: ResponseHead = await EVENT
            return response
    return await attempts.first(story)


def _forward(story: Story, entry: RouteEntry, captures: dict[str, str]) -> None:
    """Where it goes, as what, and until when."""
    x, head, snapshot = story.x, story.head, story.snapshot
    target = entry.only
    if target is None:
        target = entry.pick(split.spot(story, entry))
    story.target = target
    if head.length != 0:  # a call less, as above (make bench-check)
        check_length(head.length, target.body_limit)
    if target.total_ns:
        story.total = x.start + target.total_ns
    story.edits = outbound.request(story, entry, snapshot, captures)
    if x.call is not None:
        grpc_calls.begin(story, x.call)
    elif head.protocol or (snapshot.connects and head.method == "CONNECT"):
        tunnel.admit(story, entry)


def is_answered(story: Story, entry: RouteEntry, captures: dict[str, str]) -> bool:
    """On a route that answers, translates, limits, or is closed: whether it is the gateway that
    answers."""
    if entry.grpc_web and story.x.call is None:
        grpc_calls.translate(story)
    if entry.access is not None:
        gate.tell(story, entry.access)
    closed = entry.maintenance
    if closed is not None and (closed.always or story.worker.in_maintenance):
        closed.check(story.x)
    if entry.access is not None:
        entered = gate.enter(story, entry.access, entry.rates, captures)
        if entered is not True:
            if entered is not False:
                story.later = serve(story, entered)
            return True
    elif entry.rates is not None:
        limits.check(story, entry.rates, captures)
    return _has_own(story, entry, captures)


def _has_own(story: Story, entry: RouteEntry, captures: dict[str, str]) -> bool:
    """Whether the route's answer is the gateway's own, which is given."""
    if entry.answer is None:
        return False
    if not _asks_health(story):
        answering.reply(story, entry.answer(story.head, captures), entry)
    return True


def _asks_health(story: Story) -> bool:
    """Whether it is a call of the health protocol, which is answered when all of it has come."""
    entry = story.entry
    return entry is not None and entry.is_health and story.x.call is not None


def end_here(story: Story, host: str, status: int) -> None:
    """Answer a request that must not be forwarded."""
    if story.head.method == "CONNECT":
        story.client.close_after()  # what it sends next may be no HTTP
    story.entry = entry = story.snapshot.expected(story.head, host, story.head.method)
    answering.trace(story, entry)
    answering.reply(story, Reply(status, [(b"allow", ALLOWED)], b""), entry)


def relay(story: Story, response: ResponseHead) -> Any:  # CompressingSide or None
    """Begin the answer; from here on nothing can be tried again. What compresses it, if it is."""
    x, client, entry = story.x, story.client, story.entry
    assert entry is not None
    if response.status >= 400 and entry.errors is not None:
        entry.errors.intercept(story, response)
    story.held = []
    story.replayable = False
    story.wait(0, 0)
    x.status = response.status
    edits = entry.response_edits
    if x.call is not None:
        grpc_calls.relay(x.call, response)
    asked = story.edits.wants & WANTS_TUNNEL != 0
    if asked and not tunnel.is_granted(story.head, response):
        asked = False
        client.close_after()  # what it sent early cannot be told from a request
    packing = None
    if entry.compression is not None and not asked and x.call is None:
        edits = entry.compression.begin(story, edits, response)
        if story.client is not client:
            packing = client = story.client
    lines, target = added.lines(x, story.snapshot, edits, response), story.target
    if target is not None and target.state.chooser is not None:
        target.state.chooser.mark(story, lines)
    client.send_head(response, edits, lines)
    x.head_sent = True
    attempt = story.attempt
    assert attempt is not None
    x.first_byte = attempt.first_byte
    if story.ticket is not None:
        overload.answered(story, attempt)
    if asked:
        tunnel.begin(story)
    if client.blocked and story.upstream is not None:
        story.upstream.pause()  # by an answer before this one
    return packing


def end(story: Story, trailers: Trailers) -> None:
    call = story.x.call
    if call is not None:
        grpc_calls.end(story, call, trailers)
    story.client.end(trailers)


def _entry(story: Story, error: ProxyError) -> RouteEntry | None:
    """The route whose answer it is: also one that takes the request with another method."""
    if not isinstance(error, WrongMethod):
        return story.entry
    entry = story.snapshot.entry(error.route)
    if entry.access is not None:
        gate.tell(story, entry.access)
    return entry
