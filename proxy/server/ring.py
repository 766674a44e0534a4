"""The worker's end of the ring: entries go in, and the collector is told now and then.

A write is one copy and one store of the head, which publishes it; nothing waits, ever. What does
not fit is dropped and counted. What memory looks like is said in proxy/ring.py.
"""

from __future__ import annotations

import os
from typing import Any

from proxy.ring import (
    BASE,
    CELLS,
    CREATED,
    DROPPED,
    HEAD,
    HEADS,
    LANE,
    LANES,
    LINES,
    LOGS,
    MASK,
    PAGE,
    SIZE,
    SPANS,
    TAIL,
    lane_sizes,
    position,
    total,
)

AT_ONCE = 512 * 1024  # bytes that are told before the next tick: what the reader takes in one turn
REWIND = 64 * 1024  # bytes behind which an empty lane begins anew


class Lane:
    """One ring of bytes. `memory` is an mmap, whose slices are assigned by a plain copy."""

    __slots__ = (
        "_at", "_begin", "_bytes", "_cells", "_end", "_first", "_head", "_items", "_limit",
        "_memory", "_size", "_told", "dropped", "wake",
    )  # fmt: skip

    def __init__(self, memory: Any, cells: memoryview, number: int, begin: int, size: int) -> None:
        self._memory = memory
        self._cells = cells
        self._first = number * LANE
        self._head = self._first + HEAD
        self._begin = self._at = begin
        self._size = size
        self._end = begin + size
        self._bytes = 0  # ever written
        self._items = 0
        self._told = 0  # bytes of which the reader knows
        self._limit = 0  # bytes at which there is something to be seen to; looked up when reached
        self.dropped = 0
        self.wake = _nobody  # tells the reader

    def write(self, entries: bytes, items: int) -> bool:
        """Publish whole entries; False if they were dropped."""
        end = self._bytes + len(entries)
        if end > self._limit and not self._has_room(end):
            self.dropped += items
            self._cells[self._first + DROPPED] = self.dropped
            return False
        at = self._at
        stop = at + len(entries)
        if stop <= self._end:
            self._memory[at:stop] = entries
            self._at = stop
        else:
            self._wrap(entries)
        self._bytes = end
        self._items = items = self._items + items
        self._cells[self._head] = (items & MASK) << 32 | end & MASK
        return True

    @property
    def created(self) -> int:
        """Items that were written or dropped."""
        return self._items + self.dropped

    @property
    def position(self) -> int:
        """The head."""
        return position(self._items, self._bytes)

    @property
    def is_told(self) -> bool:
        return self._told == self._bytes

    def told(self) -> None:
        """The reader knows of everything."""
        self._told = self._bytes

    def tick(self) -> None:
        """Keep the whole count; start again at the beginning of the memory if nothing is there.

        So a lane that is emptied in time stays in a few pages, which a processor's cache holds.
        """
        cells, first = self._cells, self._first
        cells[first + CREATED] = self._items
        if self._at > self._begin + REWIND and self._unreleased() == 0:
            self._at = self._begin
            cells[first + BASE] = self._bytes & MASK

    def _wrap(self, entries: bytes) -> None:
        cut = self._end - self._at
        rest = len(entries) - cut
        self._memory[self._at : self._end] = entries[:cut]
        self._memory[self._begin : self._begin + rest] = entries[cut:]
        self._at = self._begin + rest

    def _has_room(self, end: int) -> bool:
        """Whether bytes up to `end` fit; wakes the reader when it should look."""
        if self._bytes > self._told:
            self.wake()
        room = self._bytes - self._unreleased() + self._size
        self._limit = min(room, end + AT_ONCE)
        return end <= room

    def _unreleased(self) -> int:
        return (self._bytes - self._cells[self._first + TAIL]) & MASK


class Ring:
    """All lanes of one worker. `pipe` is a descriptor that does not block, -1 = nobody listens."""

    __slots__ = ("_lanes", "_pipe", "cells", "lines", "logs", "spans")

    def __init__(self, memory: Any, pipe: int = -1) -> None:
        self.cells = memoryview(memory)[: CELLS * 8].cast("Q")
        begin = PAGE
        self._pipe = pipe
        self._lanes: list[Lane] = []
        for number, size in zip(LANES, lane_sizes(self.cells[SIZE]), strict=True):
            lane = Lane(memory, self.cells, number, begin, size)
            lane.wake = self.tell
            self._lanes.append(lane)
            begin += size
        self.spans, self.logs, self.lines = (self._lanes[n] for n in (SPANS, LOGS, LINES))

    def tick(self) -> None:
        """What is to be done a few times a second."""
        for lane in self._lanes:
            lane.tick()
        if not all(lane.is_told for lane in self._lanes):
            self.tell()

    def tell(self) -> None:
        """Wake the reader. A full pipe has waked it already; what is behind is told later."""
        if self._pipe < 0:
            return
        try:
            os.write(self._pipe, HEADS.pack(*(lane.position for lane in self._lanes)))
        except BlockingIOError:
            return
        except OSError:
            self._pipe = -1  # nobody will read again: hub and collector are gone
        for lane in self._lanes:
            lane.told()


def memory_only(size: int = 0) -> bytearray:
    """The same layout for whoever has no collector: tests, and benchmarks of a worker."""
    memory = bytearray(total(size))
    memoryview(memory)[: CELLS * 8].cast("Q")[SIZE] = lane_sizes(size)[0]
    return memory


def _nobody() -> None:
    return None
