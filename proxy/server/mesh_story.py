"""The life of a request that an application sends by its sidecar.

It is the application's own: nothing is added to it but the trace context of a try, and its spans
are the tries alone, children of whatever span the application has told. What the sidecar answers
itself, because a route says so or nobody else does, has a SERVER span as every answer of a gateway
(`serve.py`, whose steps these are). So has what it publishes, as no server is behind that.
"""

from __future__ import annotations

import logging
from typing import Any

from proxy.config.mesh_names import AWAY, OUTBOUND
from proxy.errors import ProxyError, UpstreamError
from proxy.http.edits import NO_EDITS, Edits
from proxy.http.head import RequestHead, ResponseHead
from proxy.http.headers import FORWARDING, bits
from proxy.http.local import MAY_END, check_length, last_hop
from proxy.server import answering, attempts, gate, grpc_calls, outbound, serve, split, tunnel
from proxy.server.attempts import EVENT
from proxy.server.house import House
from proxy.server.sides import ClientSide
from proxy.server.snapshot import RouteEntry, Snapshot
from proxy.server.story import Story
from proxy.telemetry.blocks import named
from proxy.telemetry.facts import Exchange
from proxy.telemetry.tls import with_service

log = logging.getLogger("spangate")

_PASSED = (*sorted(FORWARDING), b"via", b"x-request-id")  # fields that a gateway writes anew
_PASSED_BITS = bits(_PASSED)


def tell(house: House, client: ClientSide, head: RequestHead) -> Story:
    """The story of the request with this head, not begun yet."""
    story = Story.__new__(Story)
    story.set_out(house, client, head)
    story.coroutine = carry(story)
    return story


async def carry(story: Story) -> None:
    """One request, from its head to its record."""
    answered = False
    try:
        if _goes_on(story):
            try:  # as in `serve.py`, without a second coroutine
                warm = not story.entry.is_slow and attempts.is_sent(story)  # type: ignore[union-attr]
                response: ResponseHead = await EVENT if warm else await serve.dialled(story)
            except UpstreamError as error:
                another = attempts.after(story, error)
                if another is None:
                    raise
            else:
                another = attempts.follows(story, response)
            if another is not None:
                response = await attempts.again(story, another)
            packing = serve.relay(story, response)
            answered = True
            trailers = await EVENT
            if packing is not None:
                await packing.settle()
            serve.end(story, trailers)
    except ProxyError as error:
        answering.fail(story, error, story.entry)
    except Exception as error:
        log.exception("a request failed inside the gateway", extra={"key": "request.bug"})
        answering.fail(story, ProxyError(type(error).__name__), story.entry)
    finally:
        _finish(story, answered)


def _goes_on(story: Story) -> bool:
    """Find out what is asked and where it goes; False: the sidecar has answered it."""
    x, head, snapshot = story.x, story.head, story.snapshot
    if head.protocol and head.method == "CONNECT":
        head.method = "GET"  # RFC 8441, as in `serve.py`
    outbound.describe(x, head, story.client, snapshot)
    host, x.host_port = snapshot.host(head.authority)  # not what another proxy may have said
    x.host = host
    if head.method != "GET" and head.method in MAY_END:
        status = last_hop(head, snapshot.connects)
        if status:
            serve.end_here(story, host, status)
            return False
    head.listener = OUTBOUND
    entry, captures = snapshot.match(head, host)
    story.entry = entry
    x.route = entry.blocks
    answering.trace(story, entry)
    special = entry.is_special or story.worker.in_maintenance
    if special and serve.is_answered(story, entry, captures):
        return False
    _forward(story, entry, captures)
    if entry.access is not None:
        gate.edit(story, entry.access)
    if entry.message is not None:
        entry.message.begin(story, captures)
    return True


def _forward(story: Story, entry: RouteEntry, captures: dict[str, str]) -> None:
    """Where it goes, as what, and until when."""
    x, head = story.x, story.head
    target = entry.only
    if target is None:
        target = entry.pick(split.spot(story, entry))
    story.target = target
    if head.length != 0:
        check_length(head.length, target.body_limit)
    if target.total_ns:
        story.total = x.start + target.total_ns
    story.edits = _edits(story, entry, story.snapshot, captures)
    if x.call is not None:
        grpc_calls.begin(story, x.call)
    elif head.protocol or (story.snapshot.connects and head.method == "CONNECT"):
        tunnel.admit(story, entry)


def _edits(story: Story, entry: RouteEntry, snapshot: Snapshot, captures: dict[str, str]) -> Edits:
    """The head as the application has sent it, but for what a route of the file changes."""
    head, x = story.head, story.x
    path = head.path
    if entry.rewrite is not None:
        path = x.sent_path = entry.rewrite(path, captures)
    authority = entry.host_header
    edits = Edits.__new__(Edits)
    edits.begin(path + head.tail, head.authority if authority is None else authority.decode())
    if head.seen & _PASSED_BITS:
        fields = head.fields
        for name in _PASSED:
            value = fields.get(name)
            if value is not None:
                edits.add(name, value)
    if x.user_agent:
        edits.add(b"user-agent", x.user_agent)
    if head.seen & outbound.RARE:
        outbound.add_rare(edits, story)
    if entry.request_edits is not NO_EDITS:
        edits.take(entry.request_edits)
    return edits


def _finish(story: Story, answered: bool) -> None:
    """Always, once, and without waiting: the record, of whatever somebody else has answered by the
    tries alone."""
    x = story.x
    passed = answered or (x.client_gone and x.attempts)
    if not passed or story.later is not None or (story.entry and story.entry.message is not None):
        answering.finish(story)
        return
    answering.settle(story)
    try:
        for tried in x.attempts:
            tried.tell(x.end)
            if tried.upstream == AWAY:
                _as_called(x, story.head, tried)
        x.span_id = x.context.span_id if x.context is not None else b""  # the parent of tries
        story.worker.recorder.finished += 1
        story.worker.recorder.tried(x, True)
    finally:
        story.client.next(x.end)


def _as_called(x: Exchange, head: RequestHead, tried: Any) -> None:
    """Who was called is whom the application has named, wherever it was found; by an address alone
    it is whom the other end has proved to be."""
    if x.host:
        tried.host, tried.port = x.host, x.host_port or tried.port
        tried.address = head.authority
    if tried.tls is not None and not named(tried.host):
        tried.tls = with_service(tried.tls)
