"""Who waits for a turn, in order of priority, and among equals in the order in which they came."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

HIGH, NORMAL, LOW = 0, 1, 2
NAMES = ("high", "normal", "low")  # of a route's `priority`


class Standing(IntEnum):
    OUT = 0  # it holds nothing
    WAITS = 1
    IN = 2


class Ticket:
    """What one request holds of its upstream's bounds. `story` is whom to tell."""

    __slots__ = ("bounds", "flies", "priority", "retries", "since", "standing", "story", "until")

    def __init__(self, bounds: Any, priority: int, story: Any = None) -> None:
        self.bounds = bounds  # Bounds (`bounds.py`)
        self.priority = priority
        self.story = story
        self.standing = Standing.OUT
        self.flies = False  # counted as one whose answer is waited for
        self.retries = False  # counted as one that is tried again
        self.since = 0  # when it began to wait
        self.until = 0  # when it must have its turn


class Waiting:
    """A queue that anybody may leave at any time; everything is O(1)."""

    __slots__ = ("_lanes",)

    def __init__(self) -> None:
        self._lanes: tuple[dict[Ticket, None], ...] = ({}, {}, {})

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    def __iter__(self) -> Iterator[Ticket]:
        for lane in self._lanes:
            yield from lane

    def add(self, ticket: Ticket) -> None:
        """Behind all that matter as much, before those that matter less."""
        self._lanes[ticket.priority][ticket] = None

    def remove(self, ticket: Ticket) -> bool:
        """False if it is not there."""
        lane = self._lanes[ticket.priority]
        if ticket not in lane:
            return False
        del lane[ticket]
        return True

    def first(self) -> Ticket | None:
        """Whose turn is next."""
        for lane in self._lanes:
            if lane:
                return next(iter(lane))
        return None

    def last_below(self, priority: int) -> Ticket | None:
        """Who came last of those that matter least, if they matter less than that."""
        for lane in reversed(self._lanes[priority + 1 :]):
            if lane:
                return next(reversed(lane))
        return None

    def is_before(self, priority: int) -> bool:
        """Whether anybody there has to be served before a newcomer of that priority."""
        return any(self._lanes[: priority + 1])

    def oldest(self) -> int:
        """Since when somebody waits (ns, monotonic); 0 = nobody does."""
        return min([next(iter(lane)).since for lane in self._lanes if lane], default=0)
