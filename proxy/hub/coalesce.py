"""When what changes often is brought into force: plain functions of times, in seconds."""

from __future__ import annotations

QUIET = 0.1  # without news, after which it counts as all that was to come
LONGEST = 1.0  # that the first of the news waits for this
AGAIN = 5.0  # after which what could not be brought into force is tried again


class Storm:
    """News of one gateway, and what it took to bring the last ones into force."""

    __slots__ = ("_again", "_first", "_last", "_rested")

    def __init__(self) -> None:
        self._first = self._last = 0.0
        self._rested = 0.0  # until when there is a pause
        self._again = 0.0  # the same, after what went wrong

    def news(self, now: float) -> None:
        """Something has come."""
        self._first, self._last = self._first or now, now

    def due(self) -> float | None:
        """When it is to be brought into force, None = there is nothing."""
        if not self._first:
            return None
        return max(min(self._last + QUIET, self._first + LONGEST), self._rested, self._again)

    def begin(self) -> None:
        """What has come is being brought into force."""
        self._first = 0.0

    def end(self, began: float, now: float) -> None:
        """It is over. The pause is as long, so that at most half of the time goes into it."""
        self._rested = now + (now - began)

    def put_off(self, now: float) -> None:
        """Of what was begun, something could not be brought into force: it is news again."""
        self.news(now)
        self._again = now + AGAIN
