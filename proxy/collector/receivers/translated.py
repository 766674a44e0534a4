"""Translated: the way of foreign formats into the pipelines, common to their receivers.

Owns what is counted on it and when a thread is worth while. Formats and sockets are known to those
who use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from proxy.collector.batch import Batch
from proxy.collector.context import Context
from proxy.collector.receivers.post import MALFORMED
from proxy.otlp.refusal import OVERLOADED, UNWANTED, Refusal
from proxy.otlp.wire import WireError

OFFLOAD = 32 * 1024  # bytes that are translated in a thread: above it takes over 5 ms


@dataclass(frozen=True, slots=True)
class Translation:
    """A batch, and how many spans were left out of it because they had no ids."""

    batch: Batch
    nameless: int = 0


class Translated:
    """One protocol of one receiver; `translate` raises WireError for what it cannot read."""

    __slots__ = ("_condition", "_malformed", "_nameless", "_outlet", "_translate", "_turn")

    def __init__(
        self, context: Context, protocol: str, translate: Callable[[bytes], Translation]
    ) -> None:
        self._outlet = context.outlet
        self._condition = context.condition
        self._translate = translate
        # One at a time: more would not be faster, and need the memory of all of them.
        self._turn = asyncio.Lock()
        count = context.counters.counter
        self._malformed = count(
            "spangate.receiver.malformed",
            "Requests and packets that could not be read.",
            protocol=protocol,
        )
        self._nameless = count(
            "spangate.receiver.spans.nameless",
            "Spans that were left out because they have no ids.",
            protocol=protocol,
        )

    async def take(self, payload: bytes) -> None:
        """For a sender that waits for the answer; raises Refusal."""
        if not self._outlet.wants("traces"):
            raise Refusal(UNWANTED)
        try:
            if len(payload) > OFFLOAD:
                async with self._turn:
                    made = await asyncio.to_thread(self._translate, payload)
            else:
                made = self._translate(payload)
            if made.batch.items and not self._outlet.consume(made.batch):
                raise Refusal(OVERLOADED)
        except WireError as error:
            self._malformed.add()
            raise Refusal(MALFORMED, str(error)) from None
        self._nameless.add(made.nameless)

    def push(self, payload: bytes) -> None:
        """For a sender that hears nothing; what cannot be read is counted."""
        try:
            made = self._translate(payload)
        except WireError as error:
            self.reject(str(error))
            return
        self._nameless.add(made.nameless)
        if made.batch.items:
            self._outlet.push(made.batch)

    def reject(self, why: str) -> None:
        """Count a packet that is not even looked into."""
        self._malformed.add()
        self._condition.warn(why)
