"""Requests of workers, each of which is to become messages: the target says of what kind.

The answer comes when the broker has acknowledged, and tells where each message is. A worker that
does not wait any more changes nothing: what was begun is ended, and its span says how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from proxy.config.messaging_model import Kafka, RedisStreams
from proxy.messaging import batch, trace
from proxy.messaging.message import Message, NotWritten, Producer, Written
from proxy.messaging.telemetry import Span, Telemetry, shown_key
from proxy.telemetry import instruments

Outcome = Written | NotWritten
_KEPT = ("content-type", "content-encoding")  # what a message's value is
_BAGGAGE = "baggage"


@dataclass(frozen=True, slots=True)
class Queue:
    """One of [messaging], as long as its settings stay."""

    name: str
    settings: Kafka | RedisStreams
    producer: Producer


class Publisher:
    """`queues` is the process's, by name."""

    def __init__(self, queues: Mapping[str, Queue], telemetry: Telemetry) -> None:
        self._queues = queues
        self._telemetry = telemetry

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        said = request.query
        topic, template = said["topic"], said.get("template", "")
        queue = self._queues.get(said["queue"])
        if queue is None:  # a reload is under way
            return _answer(topic, NotWritten(503, "no_queue", "there is no such queue now"))
        span = trace.published(said["parent"], said.get("state", ""), template or topic)
        try:
            found = await _messages(request, queue)
        except NotWritten as error:
            self._record(queue, topic, [error], span)
            return _answer(topic, error)
        except ConnectionError as error:  # the worker has gone, with its client
            gone = NotWritten(400, "client_gone", "the request ended before it was complete")
            self._record(queue, topic, [gone], span)
            raise web.HTTPBadRequest from error
        outcomes = await self._write(queue, topic, found, span, not template)
        if template:
            span.put("messaging.destination.template", template)
        if "batch" in said:
            span.put("messaging.batch.message_count", len(outcomes))
        else:
            _describe(queue, span, found[0], outcomes[0])
        self._record(queue, topic, outcomes, span)
        if "batch" in said:
            return _answers(topic, outcomes)
        return _answer(topic, outcomes[0])

    async def _write(
        self,
        queue: Queue,
        topic: str,
        found: Sequence[Message | NotWritten],
        span: Span,
        fixed: bool,
    ) -> list[Outcome]:
        """An outcome for each; those that are none are not sent."""
        how = queue.settings.inject, self._telemetry.random_flag
        ready = [
            Message(one.value, one.key, trace.injected(one.headers, span, *how))
            for one in found
            if isinstance(one, Message)
        ]
        sent = iter(await queue.producer.send(topic, ready, fixed) if ready else ())
        return [next(sent) if isinstance(one, Message) else one for one in found]

    def _record(self, queue: Queue, topic: str, outcomes: Sequence[Outcome], span: Span) -> None:
        failed = [one for one in outcomes if isinstance(one, NotWritten)]
        if failed:
            many = f"{len(failed)} of {len(outcomes)} were not written: " * (len(outcomes) > 1)
            span.fail(failed[0].reason, many + failed[0].detail)
        place, written = queue.producer.place, len(outcomes) - len(failed)
        span.put("spangate.queue", queue.name)
        self._telemetry.finish(span, place, topic)
        self._telemetry.count(instruments.MESSAGES_SENT, place, "send", written)
        for error in failed:
            more = ("error.type", error.reason)
            self._telemetry.count(instruments.MESSAGES_SENT, place, "send", 1, more)


async def _messages(request: web.BaseRequest, queue: Queue) -> list[Message | NotWritten]:
    """What the request holds. Raises NotWritten if it cannot be read."""
    said, most = request.query, int(queue.settings.message)
    body = await _body(request, int(said["most"]) if "batch" in said else most)
    carried = [pair for name in said.getall("carry", []) for pair in _header(request, name)]
    carried += _header(request, _BAGGAGE)
    if "batch" in said:
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise NotWritten(415, "encoded", "a batch is read here: it must not be encoded")
        found = batch.messages(body, request.content_type, carried)
    else:
        key = said.get("key")
        for name in _KEPT:
            carried += _header(request, name)
        found = [Message(body, None if key is None else bytes.fromhex(key), carried)]
    return [_fitting(one, most) for one in found]


def _fitting(one: Message | NotWritten, most: int) -> Message | NotWritten:
    if isinstance(one, Message) and one.size > most:
        return NotWritten(413, "too_large", f"a message has at most {most} bytes")
    return one


async def _body(request: web.BaseRequest, most: int) -> bytes:
    pieces, size = [], 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size > most:
            raise NotWritten(413, "too_large", f"more than {most} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _header(request: web.BaseRequest, name: str) -> list[tuple[str, bytes]]:
    """Lines of one name as one, as RFC 9110 §5.3 has it; of a type there is one alone."""
    values = request.headers.getall(name, [])[: 1 if name == "content-type" else None]
    return [(name, ", ".join(values).encode("utf-8", "surrogateescape"))] if values else []


def _describe(queue: Queue, span: Span, one: Message | NotWritten, outcome: Outcome) -> None:
    is_kafka = queue.producer.place.system == "kafka"
    if isinstance(one, Message):
        span.put("messaging.message.body.size", len(one.value or b""))
        span.put("messaging.kafka.message.key", shown_key(one.key) if is_kafka else "")
    if isinstance(outcome, Written):
        span.pairs += outcome.pairs()


def _told(topic: str, outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, NotWritten):
        return {"status": outcome.status, "error": outcome.reason, "detail": outcome.detail}
    return {
        "status": 200,
        "topic": topic,
        "partition": outcome.partition,
        "offset": outcome.offset,
    }


def _status(outcome: Outcome) -> int:
    return outcome.status if isinstance(outcome, NotWritten) else 200


def _answer(topic: str, outcome: Outcome) -> web.Response:
    return _response(_status(outcome), _told(topic, outcome))


def _answers(topic: str, outcomes: Sequence[Outcome]) -> web.Response:
    """207 (RFC 4918 §11.1) where they differ."""
    statuses = {_status(one) for one in outcomes} or {200}
    status = statuses.pop() if len(statuses) == 1 else 207
    return _response(status, {"results": [_told(topic, one) for one in outcomes]})


def _response(status: int, told: object) -> web.Response:
    headers = {"server": "spangate"}  # else aiohttp tells of itself
    if status == 503:
        headers["retry-after"] = "1"
    return web.Response(
        status=status,
        body=msgspec.json.encode(told),
        content_type="application/json",
        headers=headers,
    )
