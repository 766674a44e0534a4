"""The worker's end of the ring: entries go in, and the collector is told now and then.

A write is one copy and one store of the head, which publishes it; nothing waits, ever. What does
not fit is dropped and counted. What memory looks like is said in proxy/ring.py.
"""

from __future__ import annotations

import mmap
import os
from collections import deque
from heapq import heappop, heappush
from typing import Any

from proxy.kernel.lane import Window
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
    items_between,
    lane_sizes,
    position,
    total,
)

AT_ONCE = 256 * 1024  # bytes that are told before the next tick, at the end of a block


class Lane:
    """One ring of bytes. Within a block, whoever writes may write to `window`."""

    __slots__ = (
        "_begin", "_block", "_bytes", "_cells", "_first", "_free", "_from", "_items", "_map",
        "_memory", "_size", "_told", "_used", "dropped", "wake", "window",
    )  # fmt: skip

    def __init__(self, memory: Any, cells: memoryview, number: int, begin: int, size: int) -> None:
        self._memory = memory
        self._cells = cells
        self._first = number * LANE
        self.window = window = Window(memory, self._first + HEAD)
        self._map = MAPS + number * BLOCKS
        self._begin = begin
        self._size = size
        self._block = size // BLOCKS
        window.at = window.end = begin  # of the block that is being filled; none yet
        self._free = list(range(BLOCKS))  # a heap
        self._used: deque[int] = deque()  # in the order of the bytes
        self._from = begin  # place in memory up to which these two count
        self._bytes = self._items = 0
        self._told = 0  # bytes of which the reader knows
        self.dropped = 0
        self.wake = _nobody  # tells the reader

    def write(self, entries: bytes, items: int) -> bool:
        """Publish whole entries; False if they were dropped."""
        return self.window.write(entries, items) or self._write_over(entries, items)

    @property
    def created(self) -> int:
        """Items that were written or dropped."""
        self._settle()
        return self._items + self.dropped

    @property
    def position(self) -> int:
        """The head."""
        self._settle()
        return self.window.position

    @property
    def is_told(self) -> bool:
        self._settle()
        return self._told == self._bytes

    def told(self) -> None:
        """The reader knows of everything."""
        self._told = self._bytes

    def tick(self) -> None:
        """Keep the whole count."""
        self._settle()
        self._cells[self._first + CREATED] = self._items

    def _settle(self) -> None:
        """Count what was written since the last time, and let the head begin anew where it ends."""
        window = self.window
        self._bytes += window.at - self._from
        self._from = window.at
        self._items += items_between(position(self._items, 0), window.position)
        window.position = position(self._items, self._bytes)

    def _write_over(self, entries: bytes, items: int) -> bool:
        """Over the end of a block, if the next ones are free."""
        self._settle()
        end = self._bytes + len(entries)
        if not self._has_room(end):
            self.dropped += items
            self._cells[self._first + DROPPED] = self.dropped
            return False
        self._spread(entries)
        self._from = self.window.at
        self._bytes = end
        self._items += items
        self.window.publish(position(self._items, end))
        return True

    def _spread(self, entries: bytes) -> None:
        window = self.window
        start = 0
        while start < len(entries):
            if window.at == window.end:
                self._open_block(self._bytes + start)
            at = window.at
            stop = min(len(entries), start + window.end - at)
            window.at = at + stop - start
            self._memory[at : window.at] = entries[start:stop]
            start = stop

    def _open_block(self, at: int) -> None:
        """Bytes from `at` on go into the first block that is free; there is one."""
        in_use = at // self._block - self._released() // self._block
        while len(self._used) > in_use:
            heappush(self._free, self._used.popleft())
        block = heappop(self._free)
        self._used.append(block)
        self._memory[self._map + at // self._block % BLOCKS] = block
        self.window.at = begin = self._begin + block * self._block
        self.window.end = begin + self._block

    def _has_room(self, end: int) -> bool:
        """Whether bytes up to `end` fit; wakes the reader when it should look."""
        released = self._released()
        room = released - released % self._block + self._size  # a block that is read in part is not
        if end > self._told + AT_ONCE or 2 * (room - end) < self._size:
            self.wake()
        return end <= room

    def _released(self) -> int:
        return self._bytes - ((self._bytes - self._cells[self._first + TAIL]) & MASK)


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


def memory_only(size: int = 32 * 1024 * 1024) -> mmap.mmap:
    """The same layout for whoever has no hub: tests, and benchmarks of a worker."""
    memory = mmap.mmap(-1, total(size))
    memoryview(memory)[: CELLS * 8].cast("Q")[SIZE] = lane_sizes(size)[0]
    return memory


def _nobody() -> None:
    return None
