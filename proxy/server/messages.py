"""Requests that become messages, and messages that have become requests.

What speaks to brokers is a process of its own (`proxy/messaging`), which a worker knows as an
upstream and as a client. Here a request gets a target that says what it is published as, and a
delivery the ids of the span that it is part of: the process of queues writes the PRODUCER and the
CONSUMER span, and a worker what is HTTP.
"""

from __future__ import annotations

from urllib.parse import quote_from_bytes, urlencode

from proxy.config.messaging_model import Publish
from proxy.config.messaging_names import TRY
from proxy.config.topics import Topic, is_topic
from proxy.errors import ClientError
from proxy.server.rates import key_of
from proxy.server.story import Story

_TRY = frozenset({TRY})


class Publishing:
    """What a route says of how its requests are published."""

    __slots__ = ("_key", "_said", "_topic")

    def __init__(self, said: Publish, captures: tuple[str, ...]) -> None:
        self._topic = Topic(said.topic, captures)
        self._key = key_of(said.key) if said.key else None
        fixed = [("queue", said.to), ("template", said.topic if self._topic.names else "")]
        fixed += [("carry", name.lower()) for name in said.headers]
        if said.batch:
            fixed.append(("batch", "1"))
        self._said = urlencode(fixed)

    def begin(self, story: Story, captures: dict[str, str]) -> None:
        """Say in the request's target what it is published as, and as part of which trace. Raises
        ClientError for a topic that is none."""
        x = story.x
        topic = self._topic.fill(captures)
        if not is_topic(topic):
            raise ClientError(400, "the path names no topic")
        target = f"/publish?{self._said}&topic={topic}"
        if self._key is not None:
            key = self._key(story.head, captures, x.client)
            if key is not None:
                target += "&key=" + key.hex()
        if story.target is not None:
            target += f"&most={story.target.body_limit}"
        flags = x.sampled + 2 * x.flags_random
        parent = b"00-%b-%b-%02x" % (x.trace_id, x.span_id, flags)
        target += "&parent=" + parent.decode()
        if x.context is not None and x.context.state:
            target += "&state=" + quote_from_bytes(x.context.state)
        story.edits.target = target

    def end(self, story: Story) -> None:
        """Nothing is left to be told."""


class Delivering:
    """How requests of the process of queues are passed on."""

    __slots__ = ()

    def begin(self, story: Story, captures: dict[str, str]) -> None:
        """Its tries are children of the CONSUMER span, whose ids came with it."""
        x = story.x
        story.edits.remove(_TRY)
        x.span_id = x.context.span_id if x.context is not None else b""

    def end(self, story: Story) -> None:
        """Count tries from the first of this message."""
        number, _, reason = (story.head.get(TRY) or b"").decode("latin-1").partition(" ")
        if not number.isdigit():
            return
        for attempt in story.x.attempts:
            attempt.ordinal += int(number)
            attempt.retry_reason = attempt.retry_reason or reason
