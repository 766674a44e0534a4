"""Questions of workers, and who answers them. What a question brings into the hub is bounded: in
number for each worker, and in time."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from proxy.hub.worker import Worker
from proxy.server import frames
from proxy.tasks import spawn

TIMEOUT = 10.0  # seconds for an answer
MOST = 64  # of one worker at once

log = logging.getLogger("spangate")

Handler = Callable[[bytes], Awaitable[bytes]]


class Asks:
    """Of one hub. `handlers`: kind -> who answers; an exception of theirs is no answer."""

    __slots__ = ("_under_way", "handlers")

    def __init__(self) -> None:
        self.handlers: dict[bytes, Handler] = {}
        self._under_way: Counter[int] = Counter()

    def take(self, worker: Worker, number: int, question: bytes) -> None:
        """A question has come."""
        kind, _, payload = question.partition(b"\0")
        handler = self.handlers.get(kind)
        if handler is None or self._under_way[worker.id] >= MOST:
            worker.link.send(frames.ANSWER, items=number)
            return
        self._under_way[worker.id] += 1
        spawn(self._answer(worker, number, handler, payload), f"answer {kind.decode()}")

    async def _answer(self, worker: Worker, number: int, handler: Handler, payload: bytes) -> None:
        answer = b""
        try:
            async with asyncio.timeout(TIMEOUT):
                answer = b"1" + await handler(payload)
        except TimeoutError:
            pass
        finally:
            self._under_way[worker.id] -= 1
            if not self._under_way[worker.id]:
                del self._under_way[worker.id]
            worker.link.send(frames.ANSWER, answer, number)
