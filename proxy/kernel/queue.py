"""A queue of things that come round again and again, the earliest deadline first.

`queue.pyx` does the same in C. Who has had a turn stands again its own `step` later, so that the
turns of a thing are to those of another as their steps are the other way round. A turn or a
change costs O(log n). What is dropped stays in the heap until its turn would come, and is passed
over then.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any


class Queue:
    """Things, told apart by what they are equal to, each with the step of its turns."""

    __slots__ = ("_heap", "_number", "_places")

    def __init__(self, things: Iterable[tuple[object, float]]) -> None:
        # Each has the number of its place in the queue; another number in the heap is void.
        self._places: dict[object, int] = {}
        self._heap: list[tuple[float, int, float, Any]] = []
        self._number = 0
        for thing, step in things:
            self._number += 1
            self._places[thing] = self._number
            self._heap.append((step, self._number, step, thing))
        heapify(self._heap)

    def __len__(self) -> int:
        return len(self._places)

    def void(self) -> int:
        """Places in the heap that are to be passed over."""
        return len(self._heap) - len(self._places)

    def turn(self) -> Any:
        """Who is next; None if nobody is there."""
        heap = self._heap
        while heap:
            at, number, step, thing = heap[0]
            if self._places.get(thing) == number:
                heapreplace(heap, (at + step, number, step, thing))
                return thing
            heappop(heap)
        return None

    def put(self, thing: object, step: float) -> None:
        """One that has its first turn a `step` from now on; the place that it had is void."""
        self._number += 1
        self._places[thing] = self._number
        now = self._heap[0][0] if self._heap else 0.0
        heappush(self._heap, (now + step, self._number, step, thing))

    def drop(self, thing: object) -> None:
        """One that has no more turns."""
        self._places.pop(thing, None)
