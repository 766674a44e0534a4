"""Pace: seconds that never run backwards, made of a clock that may be set."""

from __future__ import annotations

from collections.abc import Callable


class Pace:
    """Counts the steps forward; a step back counts as none, so that nobody waits for longer."""

    __slots__ = ("_elapsed", "_last", "_now_ns")

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._last = now_ns()
        self._elapsed = 0

    def __call__(self) -> float:
        """Seconds since it was made."""
        now = self._now_ns()
        if now > self._last:
            self._elapsed += now - self._last
        self._last = now
        return self._elapsed / 1e9
