"""Dead letters: what was given up, as it came, with the reason in its headers."""

from __future__ import annotations

import time

from proxy.config.messaging_model import Consume
from proxy.config.topics import Topic
from proxy.messaging import trace
from proxy.messaging.deliver import Outcome
from proxy.messaging.message import Headers, Message, NotWritten, Taken
from proxy.messaging.publish import Queue
from proxy.messaging.telemetry import Span, Telemetry
from proxy.telemetry import instruments

PREFIX = "dead-letter-"


async def bury(
    said: Consume,
    queue: Queue,
    telemetry: Telemetry,
    what: tuple[Taken, Span],
    why: tuple[Outcome, int],
) -> NotWritten | None:
    """Write it; None = the broker has it. Its PRODUCER span is a child of the CONSUMER span."""
    taken, parent = what
    topic = Topic(said.dead_letter, ("topic",)).fill({"topic": taken.topic})
    span = trace.below(parent, topic)
    headers = [*_kept(taken.headers), *_reasons(said, taken, *why)]
    told = trace.injected(headers, span, queue.settings.inject, telemetry.random_flag)
    place = queue.producer.place
    value = taken.value
    if value is None and taken.key is None and place.system == "kafka":
        value = b""  # it takes no record that has neither, which would be tried for ever
    (outcome,) = await queue.producer.send(topic, [Message(value, taken.key, told)], True)
    span.put("spangate.queue", queue.name)
    if isinstance(outcome, NotWritten):
        span.fail(outcome.reason, outcome.detail)
        telemetry.finish(span, place, topic)
        return outcome
    span.pairs += outcome.pairs()
    telemetry.finish(span, place, topic)
    telemetry.count(instruments.MESSAGES_SENT, place, "send", 1)
    return None


def _kept(headers: Headers) -> list[tuple[str, bytes]]:
    """Without what an earlier death has said of it."""
    return [pair for pair in headers if not pair[0].lower().startswith(PREFIX)]


def _reasons(said: Consume, taken: Taken, outcome: Outcome, tries: int) -> list[tuple[str, bytes]]:
    told = {
        "reason": outcome.reason,
        "detail": outcome.detail[:500],
        "tries": str(tries),
        "topic": taken.topic,
        "partition": "" if taken.partition is None else str(taken.partition),
        "offset": str(taken.offset),
        "group": said.group,
        "consumer": said.name,
        "time": str(time.time_ns() // 1_000_000),
    }
    return [(PREFIX + name, value.encode()) for name, value in told.items() if value]
