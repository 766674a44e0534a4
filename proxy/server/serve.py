"""The life of a request, readable top to bottom in `serve`.

What it waits for (an answer's head, the end of its body) is what the two sides tell the story,
which steps this coroutine (`story.py`).
"""

from __future__ import annotations

import logging

from proxy.errors import ProxyError, WrongMethod
from proxy.http.head import RequestHead, ResponseHead
from proxy.http.local import ALLOWED, check_length, last_hop
from proxy.server import added, answering, attempts, outbound
from proxy.server.attempts import EVENT
from proxy.server.house import House
from proxy.server.reply import Reply
from proxy.server.sides import ClientSide
from proxy.server.snapshot import RouteEntry
from proxy.server.story import Story

log = logging.getLogger("spangate")


def tell(house: House, client: ClientSide, head: RequestHead) -> Story:
    """The story of the request with this head, not begun yet."""
    story = Story(house, client, head)
    story.coroutine = serve(story)
    return story


async def serve(story: Story) -> None:
    """One request, from its head to its record."""
    x, head, snapshot = story.x, story.head, story.snapshot
    entry: RouteEntry | None = None
    try:
        host = outbound.describe(x, head, story.client, snapshot)
        if snapshot.request_id:
            x.request_id = outbound.request_id(story)
        story.worker.recorder.begin(x)
        status = last_hop(head)
        if status:
            entry = snapshot.expected(head, host, head.method)
            answering.trace(story, entry)
            answering.reply(story, Reply(status, [(b"allow", ALLOWED)], b""), entry)
            return
        entry, captures = _match(story, host)
        answering.trace(story, entry)
        if entry.answer is not None:
            answering.reply(story, entry.answer(head, captures), entry)
            return
        target = story.target = entry.pick(story.worker.random())
        check_length(head.length, target.body_limit)
        path = outbound.target(head, x, entry, captures)
        story.edits = outbound.request(story, entry, snapshot, path)
        if target.total_ns:
            story.total = x.start + target.total_ns
        response = await attempts.run(story, target)
        _relay(story, entry, response)
        story.client.end(await EVENT)  # when the answer's body has ended, with its trailers
    except WrongMethod as error:
        answering.fail(story, error, snapshot.expected(head, host, error.methods[0]))
    except ProxyError as error:
        answering.fail(story, error, entry)
    except Exception as error:
        log.exception("a request failed inside the gateway")
        answering.fail(story, ProxyError(type(error).__name__), entry)
    finally:
        answering.finish(story)


def _match(story: Story, host: str) -> tuple[RouteEntry, dict[str, str]]:
    found = story.snapshot.match(story.head, host)
    story.x.route = found[0].blocks
    return found


def _relay(story: Story, entry: RouteEntry, response: ResponseHead) -> None:
    """Begin the answer; from here on nothing can be tried again."""
    x, client = story.x, story.client
    story.held = []
    story.replayable = False
    story.wait(0, 0)
    x.status = response.status
    edits = entry.response_edits
    client.send_head(response, edits, added.lines(x, story.snapshot, edits, response))
    x.head_sent = True
    x.first_byte = x.attempts[-1].first_byte
    if client.blocked and story.upstream is not None:
        story.upstream.pause()  # by an answer before this one
