"""Questions of a worker that only the hub can answer: whoever asks is called back, once.

Asked where somebody outside must be asked, and all workers would ask the same: the keys of an
issuer, for one. A question without an answer within `TIMEOUT` counts as answered by None.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.server import frames
from proxy.server.link import Link

TIMEOUT = 12.0  # seconds; the hub gives up before that (hub/asks.py)
MOST = 1000  # questions under way; more are answered by None at once

Done = Callable[[bytes | None], None]


class Asks:
    """Of one worker."""

    __slots__ = ("_link", "_number", "_waiting")

    def __init__(self, link: Link) -> None:
        self._link = link
        self._number = 0
        self._waiting: dict[int, tuple[Done, asyncio.TimerHandle]] = {}

    def ask(self, kind: bytes, payload: bytes, done: Done) -> None:
        """`kind` is one of those that the hub knows (hub/asks.py)."""
        if len(self._waiting) >= MOST:
            done(None)
            return
        self._number += 1
        number = self._number & 0x7FFFFFFF
        timer = asyncio.get_running_loop().call_later(TIMEOUT, self.answer, number, b"")
        self._waiting[number] = (done, timer)
        self._link.send(frames.QUESTION, kind + b"\0" + payload, number)

    def answer(self, number: int, payload: bytes) -> None:
        """What the hub has said; b"" = nothing."""
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            done, timer = waiting
            timer.cancel()
            done(payload[1:] if payload else None)
