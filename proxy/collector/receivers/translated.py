"""Translated: the way of foreign formats into the pipelines, common to their receivers.

Owns what is counted on it and when a thread is worth while. Formats and sockets are known to those
who use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from proxy.collector.batch import Batch
from proxy.collector.context import Context
from proxy.collector.receivers.loss import Loss
from proxy.collector.receivers.portions import hand_on
from proxy.collector.receivers.post import MALFORMED, Answer
from proxy.otlp.ids import Lost, merge
from proxy.otlp.partial import Rejected
from proxy.otlp.refusal import UNWANTED, Refusal
from proxy.otlp.wire import WireError

OFFLOAD = 16 * 1024  # bytes that are translated in a thread: above it takes over 5 ms
GROUP = 512  # spans that are one batch

Span = TypeVar("Span")


@dataclass(frozen=True, slots=True)
class Translation:
    """Batches, and how many spans were left out of them because of which id."""

    batches: list[Batch]
    lost: Lost


def in_groups(
    spans: Iterable[Span], make: Callable[[list[Span]], tuple[Any, int, Lost]]
) -> Translation:
    """Translate some spans at a time; `make` gives (request, spans, spans that it lost)."""
    batches: list[Batch] = []
    lost: Lost = {}
    left = iter(spans)
    while group := list(islice(left, GROUP)):
        request, taken, more = make(group)
        merge(lost, more)
        if taken:
            batches.append(Batch.of("traces", request, taken))
    return Translation(batches, lost)


class Translated:
    """One protocol of one receiver; `translate` raises WireError for what it cannot read."""

    __slots__ = ("_condition", "_loss", "_malformed", "_outlet", "_translate", "turns")

    def __init__(
        self, context: Context, protocol: str, translate: Callable[[bytes], Translation]
    ) -> None:
        self._outlet = context.outlet
        self._condition = context.condition
        self._translate = translate
        self.turns = context.turns
        self._malformed = context.counters.counter(
            "spangate.receiver.malformed",
            "Requests and packets that could not be read.",
            protocol=protocol,
        )
        self._loss = Loss(context, protocol=protocol)

    async def take(self, payload: bytes) -> Rejected | None:
        """For a sender that waits for the answer: what was left out; raises Refusal."""
        if not self._outlet.wants("traces"):
            raise Refusal(UNWANTED)
        try:
            if len(payload) > OFFLOAD:
                made = await self.turns.thread(partial(self._serialised, payload))
            else:
                await self.turns.gap()
                made = self._translate(payload)
            await hand_on(self._outlet, self.turns, made.batches)
        except WireError as error:
            self._malformed.add()
            raise Refusal(MALFORMED, str(error)) from None
        taken = sum(batch.items for batch in made.batches)
        return self._loss.told(taken, made.lost) if made.lost else None

    def _serialised(self, payload: bytes) -> Translation:
        """With what the next stages do first done already."""
        made = self._translate(payload)
        for batch in made.batches if len(made.batches) > 1 else ():
            batch.forget()
        return made

    async def answer(self, payload: bytes) -> Answer:
        """`take` for HTTP; these formats have no field for what was left out."""
        rejected = await self.take(payload)
        return Answer(body=f"{rejected.message}\n".encode() if rejected else b"")

    def push(self, payload: bytes) -> None:
        """For a sender that hears nothing; what cannot be read is counted."""
        try:
            made = self._translate(payload)
        except WireError as error:
            self.reject(str(error))
            return
        self._loss.count(made.lost)
        for batch in made.batches:
            self._outlet.push(batch)

    def reject(self, why: str) -> None:
        """Count a packet that is not even looked into."""
        self._malformed.add()
        self._condition.warn(why)
