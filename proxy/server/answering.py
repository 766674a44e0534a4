"""How a story ends: an answer of the gateway's own, a failure told or shown, and the record.

Errors become answers in `reply.py` alone, and whatever every answer has comes from `added.py`;
what is decided here is what can still be told.
"""

from __future__ import annotations

from typing import Any

from proxy.errors import ClientError, ClientGone, ProxyError, UpstreamTimeout
from proxy.http import grpc
from proxy.http.edits import NO_EDITS, WANTS_TUNNEL
from proxy.http.head import made_response
from proxy.kernel.clock import monotonic_ns
from proxy.kernel.hexes import span_id, span_of
from proxy.server import added, grpc_calls, split, tunnel
from proxy.server.reply import Reply, as_call, synthesize, synthesize_call
from proxy.server.sides import NO_TRAILERS
from proxy.server.snapshot import RouteEntry
from proxy.server.story import Story
from proxy.telemetry.facts import Call, Exchange
from proxy.tracing import decision

LATE = "the client's deadline is over"


def trace(story: Story, entry: RouteEntry | None) -> None:
    """Whose trace this is part of, and whether it is recorded."""
    snapshot, x, head = story.snapshot, story.x, story.head
    sampler = snapshot.sampler if entry is None else entry.sampler
    if snapshot.untraced and head.path in snapshot.untraced:
        sampler = snapshot.never
    parent, trusted = snapshot.extractor.read(head, head.seen), story.client.trusted
    x.brought = snapshot.extractor.brought(parent, trusted, head, head.seen)
    story.worker.recorder.contexts.count(x.brought)
    x.trace_id, x.context, x.link, x.sampled, x.flags_random = decision.begin(
        parent, trusted, sampler, snapshot.untrusted, story.worker.getrandbits
    )
    if sampler is snapshot.never:
        x.sampled = False  # not even for a caller in debug, whom samplers obey
    if x.request_id and not x.is_id_given:
        x.span_id = span_of(x.request_id)  # so a call that passes it on tells whose it is
    else:
        x.span_id = span_id(story.worker.getrandbits)
    if snapshot.attributes is not None and x.sampled:
        x.captured += snapshot.attributes.read(head, story.client.trusted)


def reply(story: Story, own: Reply, entry: RouteEntry | None) -> None:
    """An answer of the gateway's own."""
    x, client = story.x, story.client
    if x.call is not None:
        own = _as_call(x, x.call, own)
    x.status = own.status
    x.head_sent = True
    if own.status >= 500 and not x.error:
        x.error = str(own.status)
    body, declared = own.body, b""
    if own.status in (204, 304):
        body = b""
    else:
        declared = b"%d" % len(body)
        if story.head.method == "HEAD":
            body = b""
    client.skip_body()
    head = made_response(own.status, own.headers, len(body), declared)
    edits = NO_EDITS if entry is None else entry.response_edits
    client.send_head(head, edits, added.lines(x, story.snapshot, edits, head))
    x.first_byte = monotonic_ns()
    if body:
        x.body_out = len(body)
        client.send_data(body, True)
    client.end(NO_TRAILERS)


def fail(story: Story, error: ProxyError, entry: RouteEntry | None) -> None:
    """Tell the client what can still be told."""
    x = story.x
    if story.flow is not None:
        story.flow.stop()
    if story.tunnel is not None:
        tunnel.cut(story, error)
        return
    leave(story, error)
    if isinstance(error, ClientGone):
        x.client_gone = x.call is None or not _was_late(x, x.call)
        return
    x.error = error.error_type if error.status >= 500 or x.head_sent or error.told else ""
    x.why = error.detail if x.error else ""
    if x.call is not None:
        x.call.status = grpc.of_error(error)
    if x.head_sent and not _take_back(story):
        if x.call is None or not grpc_calls.tell(story, x.call, error):
            story.client.abort()  # the truncation must be seen
        return
    if not x.trace_id:
        trace(story, entry)
    own = _told(story, error, entry)
    if error.close or story.edits.wants & WANTS_TUNNEL:
        story.client.close_after()  # what came early cannot be told from a request
    if isinstance(own, Reply):
        reply(story, own, entry)
    else:
        story.later = own.serve(story, entry)


def _told(story: Story, error: ProxyError, entry: RouteEntry | None) -> Any:
    """The answer that tells of it, or `error_pages.Pending`, what will be one."""
    x = story.x
    if x.call is not None:
        return synthesize_call(error)
    own = synthesize(error, story.head.get(b"accept"), x.trace_id if x.sampled else b"")
    pages = story.snapshot.errors if entry is None else entry.errors
    return own if pages is None else pages.dressed(own, error, story.head, x)


def _as_call(x: Exchange, call: Call, own: Reply) -> Reply:
    """The gateway's own answer to a gRPC call."""
    if own.code is None:
        own = as_call(own)
    call.status = grpc.UNKNOWN if own.code is None else own.code
    if call.status in grpc.SERVER_ERRORS and not x.error:
        x.error = grpc.NAMES[call.status]
    return own


def _was_late(x: Exchange, call: Call) -> bool:
    """A client that leaves when its own deadline is over has not just changed its mind."""
    if not grpc_calls.is_late(call, monotonic_ns()):
        return False
    late = UpstreamTimeout(LATE)
    call.status = grpc.of_error(late)
    x.error, x.why = late.error_type, late.detail
    if x.attempts:
        attempt = x.attempts[-1]
        if not attempt.error:
            attempt.error, attempt.why = late.error_type, late.detail
            attempt.code = call.status
    return True


def leave(story: Story, error: ProxyError) -> None:
    """Give up the attempt that is under way."""
    x, attempt = story.x, story.attempt
    upstream, story.upstream = story.upstream, None
    if upstream is not None:
        upstream.abort()
    if attempt is not None and (not attempt.end or x.head_sent):
        attempt.end = monotonic_ns()
        if not isinstance(error, ClientGone | ClientError):
            attempt.error = error.error_type
            attempt.why = error.detail
            attempt.code = grpc.of_error(error)
            story.worker.faults.tell(attempt.upstream, attempt.address, error, attempt.end)


def _take_back(story: Story) -> bool:
    """Forget a head that was not written yet, and what was captured of it."""
    if not story.client.take_back():
        return False
    captured = story.x.captured
    captured[:] = [pair for pair in captured if not pair[0].startswith(added.CAPTURED)]
    return True


def _leave_others(story: Story) -> None:
    """Those who have a part in it beside its two sides."""
    entry, target = story.entry, story.target
    if story.flow is not None:
        story.flow.stop()
    if story.ticket is not None:
        story.worker.overload.left(story.ticket)
    if story.copy is not None:
        story.copy.cut()
    if entry is not None and entry.message is not None:
        entry.message.end(story)
    told = story.x.told
    if told is not None and told.claim is not None:
        story.worker.clients.end(told.claim)
        told.claim = None
    if entry is not None and entry.only is None and target is not None:
        split.count(story, entry, target)


def settle(story: Story) -> None:
    """Complete the facts: nothing more will happen."""
    x, attempt = story.x, story.attempt
    x.end = x.end or monotonic_ns()
    if attempt is not None and x.head_sent and attempt.status:
        attempt.end = x.end
    story.coroutine = None
    story.upstream = None
    _leave_others(story)
    if x.status >= 500 and not x.error:
        x.error = str(x.status)
    if story.tunnel is not None:
        tunnel.finish(story)


def finish(story: Story) -> None:
    """Always, once, and without waiting: the record of what happened, unless more is to come."""
    x, later = story.x, story.later
    if later is not None:
        story.coroutine, story.later = later, None
        story.begin()
        return
    settle(story)
    try:
        worker = story.worker
        if worker.upstreams.learning:
            for tried in x.attempts:
                tried.tell(x.end)
        worker.recorder.finish(x)
    finally:
        story.client.next(x.end)
