"""Which message may go when, and how far a partition is done. Deciding alone: no clock, no I/O.

Messages of one key go one after the other, in the order in which they came; those without a key
are in nobody's way. A partition's offset moves over messages that are done without a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Lanes(Generic[T]):
    """At most `concurrency` under way at once, of each lane one."""

    __slots__ = ("_busy", "_concurrency", "_lanes", "_ready", "under_way", "waiting")

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._lanes: dict[Hashable, deque[T]] = {}  # what waits; there is one for each busy lane
        self._busy: set[Hashable] = set()
        self._ready: deque[Hashable] = deque()  # lanes that may go, in the order of their first
        self.under_way = 0
        self.waiting = 0

    def put(self, lane: Hashable, item: T) -> None:
        """One more, behind those of its lane."""
        queue = self._lanes.get(lane)
        if queue is None:
            queue = self._lanes[lane] = deque()
            if lane not in self._busy:
                self._ready.append(lane)
        queue.append(item)
        self.waiting += 1

    def next(self) -> tuple[Hashable, T] | None:
        """One that may go now, with its lane, which is busy until `end`."""
        if self.under_way >= self._concurrency or not self._ready:
            return None
        lane = self._ready.popleft()
        queue = self._lanes[lane]
        item = queue.popleft()
        if not queue:
            del self._lanes[lane]
        self._busy.add(lane)
        self.under_way += 1
        self.waiting -= 1
        return lane, item

    def end(self, lane: Hashable) -> None:
        """What was under way in that lane is over."""
        self._busy.remove(lane)
        self.under_way -= 1
        if lane in self._lanes:
            self._ready.append(lane)

    def items(self) -> Iterator[T]:
        """All that wait."""
        for queue in self._lanes.values():
            yield from queue

    def drop(self, gone: Collection[T]) -> None:
        """Forget what waits of these."""
        for lane, queue in list(self._lanes.items()):
            kept = deque(item for item in queue if item not in gone)
            self.waiting -= len(queue) - len(kept)
            if kept:
                self._lanes[lane] = kept
            else:
                del self._lanes[lane]
        self._ready = deque(lane for lane in self._ready if lane in self._lanes)


class Offsets:
    """One partition: which offset is to be read next by whoever begins anew."""

    __slots__ = ("_done", "_open", "position")

    def __init__(self) -> None:
        self.position = -1  # -1 = nothing is known
        self._open: deque[int] = deque()  # taken and not passed yet, ascending
        self._done: set[int] = set()

    def take(self, offset: int) -> None:
        """It was read; offsets ascend, with gaps where a log was compacted."""
        if self.position < 0:
            self.position = offset
        self._open.append(offset)

    def end(self, offset: int) -> bool:
        """It is done; whether the position has moved."""
        self._done.add(offset)
        moved = False
        while self._open and self._open[0] in self._done:
            passed = self._open.popleft()
            self._done.remove(passed)
            self.position = passed + 1
            moved = True
        return moved
