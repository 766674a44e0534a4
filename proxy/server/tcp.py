"""The story of one connection whose bytes are passed on: an upstream is dialled, then bytes go both
ways until both sides have shut theirs, one breaks, or nothing moves for too long.

It is a Story (`story.py`) that is a tunnel from the beginning; what differs is told here: there is
no request, so nothing is read, matched or answered, and a connection that cannot be passed on is
reset. Its records are of their own kind (`telemetry/streams.py`).
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from proxy.config.mesh_names import OUTBOUND
from proxy.errors import (
    ClientGone,
    ProxyError,
    TlsFailed,
    Truncated,
    UpstreamError,
    UpstreamReset,
)
from proxy.http.head import RequestHead
from proxy.kernel.clock import monotonic_ns
from proxy.kernel.hexes import span_id
from proxy.server import overload, tunnel
from proxy.server.attempts import EVENT
from proxy.server.h1_goodbye import reset
from proxy.server.house import House
from proxy.server.nobody import nobody
from proxy.server.sides import NO_TRAILERS, ClientSide
from proxy.server.snapshot import RouteEntry, Target
from proxy.server.story import Story
from proxy.server.tcp_routes import StreamRoutes
from proxy.server.tunnel import Tunnel
from proxy.telemetry import streams
from proxy.telemetry.facts import Attempt
from proxy.tracing import decision
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.retry import backoff, may_retry
from proxy.upstream.state import Use

log = logging.getLogger("spangate")

_REPEATABLE = "GET"  # nothing was sent while a connection is made


class Found(NamedTuple):
    """What a sidecar has found out of a connection before its story (`mesh_stage.py`)."""

    how: str  # how it was judged
    side: str
    upstream: Any = None  # a StreamUpstream that is connected already


def tell(
    house: House,
    client: ClientSide,
    routes: StreamRoutes,
    entry: RouteEntry,
    server_name: str,
    found: Found | None = None,
) -> Story:
    """The story of a connection that goes by that route, not begun yet."""
    story = Story(house, client, RequestHead())
    story.entry = entry
    story.target = entry.pick(house.random())
    story.tunnel = Tunnel("")
    about = streams.Stream(routes.name, routes.protocol, server_name, story.x, entry.blocks)
    ready = None
    if found is not None:
        story.head.authority = server_name  # by which a sidecar may know another one
        about.found, about.is_outbound, ready = found.how, found.side == OUTBOUND, found.upstream
    story.coroutine = carry(story, about, ready)
    return story


async def carry(story: Story, about: streams.Stream, ready: Any = None) -> None:
    """One connection, from its beginning to its record. `ready`: the upstream's, if it is made."""
    try:
        _begin(story, about)
        upstream = await _connect(story) if ready is None else _take(story, ready)
        _join(story, upstream)
        await EVENT  # when both sides have shut theirs
        story.client.end(NO_TRAILERS)
    except ProxyError as error:
        _fail(story, error)
    except Exception as error:
        log.exception("a connection failed inside the gateway", extra={"key": "connection.bug"})
        _fail(story, ProxyError(type(error).__name__))
    finally:
        _finish(story, about)


def _begin(story: Story, about: streams.Stream) -> None:
    """Whose it is, and whether it is recorded."""
    x, snapshot, house, entry = story.x, story.snapshot, story.worker, story.entry
    assert entry is not None
    peer = story.client.peer
    x.peer, x.peer_port = peer.where
    x.client, x.tls = peer.address, peer.tls
    x.trace_id, x.context, x.link, x.sampled, x.flags_random = decision.start(
        {}, False, snapshot.extractor, entry.sampler, snapshot.untrusted, house.getrandbits
    )
    x.span_id = span_id(house.getrandbits)
    about.is_unix = peer.is_unix
    streams.begin(house.recorder, about)


async def _connect(story: Story) -> Any:
    """A connection to one endpoint after the other, as the route's policy for retries says."""
    target, failed, reason = story.target, None, ""
    assert target is not None
    if target.bounds is not None and not story.worker.overload.admit(story, target):
        await overload.turn(story)
    while True:
        attempt = _attempt(story, target, failed, reason)
        if target.bounds is not None:
            await overload.line(story, target)
        dialling = story.worker.dial(story, _endpoint(story), target.connect)
        try:
            upstream = await EVENT
        except ProxyError as error:
            dialling.forget()
            attempt.end = monotonic_ns()
            if not isinstance(error, UpstreamError):
                raise
            attempt.error, attempt.why = error.error_type, error.detail
            pause = _pause(story, target, error)
            if pause is None:
                raise
        else:
            attempt.connected = monotonic_ns()
            attempt.cost_connect = attempt.connected - attempt.start
            return upstream
        failed, reason = story.endpoint, attempt.error
        attempt.tell(attempt.end)
        if pause > 0:
            story.worker.later(pause, story)
            await EVENT


def _take(story: Story, ready: Any) -> Any:
    """The connection that somebody has made for this story."""
    assert story.target is not None
    try:
        attempt = _attempt(story, story.target, None, "")
    except ProxyError:
        ready.drop()
        raise
    attempt.connected = attempt.start
    attempt.reused = True
    return ready


def _attempt(story: Story, target: Target, failed: Endpoint | None, reason: str) -> Attempt:
    """Choose an endpoint for the next try, and not the one that `failed` if there is another."""
    now = monotonic_ns()
    if failed is None and target.budget is not None:
        target.budget.request(now * 1e-9)
    state, attempts = target.state, story.x.attempts
    if state.chooser is None:
        endpoint = state.balancer.pick(now, None, failed)
    else:
        endpoint = state.chooser.choose(story, now, failed)
    story.endpoint = endpoint
    if endpoint is None:
        raise nobody(target, now)
    attempt = Attempt(now, span_id(story.worker.getrandbits), len(attempts))
    if state.feedback is not None:
        attempt.use = Use(state.feedback, endpoint, now)
    attempt.upstream, attempt.address = target.name, endpoint.authority
    attempt.host, attempt.port = endpoint.host, endpoint.port
    attempt.retry_reason = reason
    story.attempt = attempt
    attempts.append(attempt)
    return attempt


def _endpoint(story: Story) -> Endpoint:
    assert story.endpoint is not None
    return story.endpoint


def _pause(story: Story, target: Target, error: UpstreamError) -> float | None:
    """Seconds to wait before another try, or None: this was the last one."""
    retry, budget = target.retry, target.budget
    tries = len(story.x.attempts) - 1
    if retry is None or budget is None:
        return None
    if not may_retry(retry, _REPEATABLE, tries, error, True, float("inf")):
        return None
    if not budget.take(monotonic_ns() * 1e-9, retry.budget):
        return None
    if story.ticket is not None and not story.worker.overload.may_retry(story):
        return None
    return backoff(retry, tries, story.worker.random())


def _join(story: Story, upstream: Any) -> None:
    """From now on bytes go both ways, those first that have come meanwhile."""
    attempt, client, held = story.attempt, story.client, story.held
    assert attempt is not None
    attempt.peer, attempt.tls = upstream.peer.where, upstream.peer.tls
    target = story.target
    if target is not None and target.stream_ns:
        story.total = story.x.start + target.stream_ns
    story.upstream, story.held = upstream, []
    upstream.carry(story)
    if held:
        upstream.send_data(b"".join(held), False)
    if story.tunnel.client_shut:
        upstream.end(NO_TRAILERS)
    if client.blocked:
        upstream.pause()
    if not upstream.blocked:
        client.resume()
    story.wait(0, 0)


def _fail(story: Story, error: ProxyError) -> None:
    x, attempt = story.x, story.attempt
    if isinstance(error, TlsFailed) and attempt is not None:
        # With TLS 1.3 a server may refuse us when we held it for connected; it has carried nothing.
        attempt.error, attempt.why = error.error_type, error.detail
    elif story.upstream is not None or (attempt is not None and attempt.connected):
        _cut(story, error)
        return
    story.tunnel.end = story.tunnel.end or streams.NOT_CONNECTED
    if isinstance(error, ClientGone):
        x.client_gone = True
        return
    x.error, x.why = error.error_type, error.detail
    client: Any = story.client
    reset(client.transport)  # as whoever connects to a closed port is


def _cut(story: Story, error: ProxyError) -> None:
    """Where one end has broken off, the other must not take it for the end of all. What an end
    has said to be all was passed on as such, and is no less so for what happens later."""
    upstream: Any = story.upstream
    client: Any = story.client
    shut = story.tunnel
    if isinstance(error, ClientGone):
        if upstream is not None and not shut.client_shut:
            reset(upstream.transport)
    elif isinstance(error, UpstreamReset | Truncated) and not shut.upstream_shut:
        client.break_off()
    tunnel.cut(story, error)


def _finish(story: Story, about: streams.Stream) -> None:
    """Always, once, and without waiting: the record of what happened."""
    x = story.x
    x.end = monotonic_ns()
    attempt = story.attempt
    if attempt is not None:
        attempt.end = attempt.end or x.end
    story.coroutine = None
    story.upstream = None
    if story.ticket is not None:
        story.worker.overload.left(story.ticket)
    about.end = story.tunnel.end
    try:
        for tried in x.attempts:
            tried.tell(x.end)
        streams.finish(story.worker.recorder, about)
    finally:
        story.client.next(x.end)
