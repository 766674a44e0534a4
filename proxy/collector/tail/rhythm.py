"""Rhythm: calls a stage when a trace is due, with one timer and no task.

A call that fails is no reason to stop: what the stage holds would never leave it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

FINEST = 0.01  # seconds between two calls
COARSEST = 1.0  # so that a clock that was set, or replaced by a test, is looked at


class Rhythm:
    """`act` says in how many seconds it wants to be called again."""

    __slots__ = ("_act", "_stopped", "_timer")

    def __init__(self, act: Callable[[], float]) -> None:
        self._act = act
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def need(self, seconds: float) -> None:
        """A call within so many seconds, unless one is coming anyway."""
        if self._stopped:
            return
        loop = asyncio.get_running_loop()
        delay = min(max(seconds, FINEST), COARSEST)
        if self._timer is not None:
            if self._timer.when() <= loop.time() + delay + FINEST:
                return
            self._timer.cancel()
        self._timer = loop.call_later(delay, self._beat)

    def stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        self._timer = None
        seconds = COARSEST
        try:
            seconds = self._act()
        finally:
            self._next(seconds)

    def _next(self, seconds: float) -> None:
        if seconds != float("inf"):
            self.need(seconds)
