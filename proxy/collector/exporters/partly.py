"""Delivery of a batch that the other side takes in parts: what was taken is not sent again.

An exporter sends a whole batch again when nothing of it was taken. Once something was, that would
make doubles, so what is left of it is tried again here, by the same rules, and what must be given
up counts as rejected. How a part is sent is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from proxy.collector.retry import Backoff
from proxy.otlp.status import Outcome, Verdict


class Part(Protocol):
    @property
    def items(self) -> int: ...


P = TypeVar("P", bound=Part)

_WELL = Outcome(Verdict.ACCEPTED)


@dataclass(slots=True)
class Attempt(Generic[P]):
    """What came of one attempt."""

    left: list[P] = field(default_factory=list)  # may be tried again
    rejected: int = 0  # items refused for good
    trouble: Outcome = _WELL  # reason, message and delay of what went wrong


async def deliver(
    parts: Sequence[P],
    attempt: Callable[[Sequence[P]], Awaitable[Attempt[P]]],
    backoff: Backoff,
    random: Callable[[], float],
) -> Outcome:
    """RETRY or PERMANENT only if nothing was taken; raises nothing that `attempt` does not."""
    loop = asyncio.get_running_loop()
    begun, tries, rejected, message = loop.time(), 0, 0, ""
    everything = sum(part.items for part in parts)
    left = parts
    while True:
        tries += 1
        made = await attempt(left)
        rejected += made.rejected
        trouble, left = made.trouble, made.left
        message = trouble.message or message
        if len(left) == len(parts):
            return trouble
        if not left:
            if trouble.verdict is Verdict.PERMANENT and rejected == everything:
                return trouble
            return Outcome(Verdict.ACCEPTED, message=message, rejected=rejected)
        pause = backoff.pause(tries, trouble.delay, loop.time() - begun, random)
        if pause is None:
            rejected += sum(part.items for part in left)
            return Outcome(Verdict.ACCEPTED, message=f"given up: {message}", rejected=rejected)
        await asyncio.sleep(pause)
