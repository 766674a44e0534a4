"""The worker's end of the ring: entries go in, and the collector is told now and then.

A write is one copy and one store of the head, which publishes it; nothing waits, ever. What does
not fit is dropped and counted. What memory looks like is said in proxy/ring.py.
"""

from __future__ import annotations

import os
from collections import deque
from heapq import heappop, heappush
from typing import Any

from proxy.ring import (
    BLOCKS,
    CELLS,
    CREATED,
    DROPPED,
    HEAD,
    HEADS,
    LANE,
    LANES,
    LINES,
    LOGS,
    MAPS,
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


class Lane:
    """One ring of bytes. `memory` is an mmap, whose slices are assigned by a plain copy."""

    __slots__ = (
        "_at", "_begin", "_block", "_bytes", "_cells", "_end", "_first", "_free", "_head",
        "_items", "_limit", "_map", "_memory", "_size", "_told", "_used", "dropped", "wake",
    )  # fmt: skip

    def __init__(self, memory: Any, cells: memoryview, number: int, begin: int, size: int) -> None:
        self._memory = memory
        self._cells = cells
        self._first = number * LANE
        self._head = self._first + HEAD
        self._map = MAPS + number * BLOCKS
        self._begin = begin
        self._size = size
        self._block = size // BLOCKS
        self._at = self._end = begin  # of the block that is being filled; none yet
        self._free = list(range(BLOCKS))  # a heap
        self._used: deque[int] = deque()  # in the order of the bytes
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
            self._spread(entries)
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
        """Keep the whole count."""
        self._cells[self._first + CREATED] = self._items

    def _spread(self, entries: bytes) -> None:
        """Over the end of a block and into the next ones."""
        start = 0
        while start < len(entries):
            if self._at == self._end:
                self._open_block(self._bytes + start)
            stop = min(len(entries), start + self._end - self._at)
            at, self._at = self._at, self._at + stop - start
            self._memory[at : self._at] = entries[start:stop]
            start = stop

    def _open_block(self, at: int) -> None:
        """Bytes from `at` on go into the first block that is free; there is one."""
        oldest = self._bytes - self._unreleased()
        in_use = at // self._block - oldest // self._block
        while len(self._used) > in_use:
            heappush(self._free, self._used.popleft())
        block = heappop(self._free)
        self._used.append(block)
        self._memory[self._map + at // self._block % BLOCKS] = block
        self._at = self._begin + block * self._block
        self._end = self._at + self._block

    def _has_room(self, end: int) -> bool:
        """Whether bytes up to `end` fit; wakes the reader when it should look."""
        if self._bytes > self._told:
            self.wake()
        oldest = self._bytes - self._unreleased()
        room = oldest - oldest % self._block + self._size  # a block that begins to be free is not
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
