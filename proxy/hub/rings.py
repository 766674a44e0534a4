"""The rings as the hub has them: it makes them, hands them out, and keeps them for the collector.

A ring outlives its worker until a collector has said that everything in it is safe, so that a
collector that dies too can be replaced by one that reads it again. The hub itself reads only the
cells, which tell how many records there are and where they have come to. Of a worker that lives a
ring takes three descriptors, and one of a worker that is gone: a back end that is away for an hour
must not use up what new workers and connections need.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable, Iterator
from typing import Literal

from proxy.ring import (
    CELLS,
    CONNECTIONS,
    CREATED,
    CURSOR,
    DROPPED,
    HEAD,
    ITEMS,
    LANE,
    LINES,
    LOGS,
    REQUESTS,
    SIZE,
    SPANS,
    items_between,
    lane_sizes,
    total,
)

Kind = Literal["traces", "logs", "lines"]
LANE_OF: dict[Kind, int] = {"traces": SPANS, "logs": LOGS, "lines": LINES}
RECORDS: tuple[Literal["traces", "logs"], ...] = ("traces", "logs")


class Ring:
    """One worker's. `memory` and `pipe` are for the collector, `writer` is for the worker."""

    __slots__ = ("_cells", "_map", "memory", "number", "pipe", "writer")

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.memory = os.memfd_create(f"spangate-ring-{number}")
        os.ftruncate(self.memory, total(size))
        self.pipe, self.writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._map = mmap.mmap(self.memory, mmap.PAGESIZE)
        cells = memoryview(self._map)[: CELLS * 8].cast("Q")
        cells[SIZE] = lane_sizes(size)[0]
        self._cells: memoryview | _Cells = cells

    def tally(self, kind: Kind) -> tuple[int, int, int]:
        """(created, dropped by the worker for want of room, not read yet).

        Read in this order, so that a busy worker or collector cannot make the third negative.
        """
        first = LANE_OF[kind] * LANE
        cursor = self._cells[first + CURSOR]
        head = self._cells[first + HEAD]
        # The whole count is a little late, and the head has its last bits.
        known = self._cells[first + CREATED]
        written = known + (((head >> 32) - known) & ITEMS)
        dropped = self._cells[first + DROPPED]
        return written + dropped, dropped, items_between(cursor, head)

    @property
    def requests(self) -> int:
        return self._cells[REQUESTS]

    @property
    def connections(self) -> int:
        return self._cells[CONNECTIONS]

    def started(self) -> None:
        """The worker has its end of the pipe; ours must not keep it open."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def left(self) -> None:
        """The worker is gone. Whoever reads the ring from now on finds the end of the pipe."""
        if self.pipe >= 0:  # else all of it is safe already
            os.close(self.pipe)
            self.pipe = -1
            self._unmap(_Cells(self.memory))

    def lend_pipe(self) -> int:
        """A descriptor for one more reader, who closes it."""
        if self.pipe >= 0:
            return os.dup(self.pipe)
        ended, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.close(writer)
        return ended

    def close(self) -> None:
        self.started()
        numbers = b"".join(self._cells[i].to_bytes(8, sys.byteorder) for i in range(CELLS))
        self._unmap(memoryview(numbers).cast("Q"))  # for whoever asks the dead
        for fd in (self.memory, self.pipe):
            if fd >= 0:
                os.close(fd)
        self.memory = self.pipe = -1

    def _unmap(self, instead: memoryview | _Cells) -> None:
        if isinstance(self._cells, memoryview):
            self._cells.release()
        self._cells = instead
        self._map.close()


class _Cells:
    """The cells of a ring that is not mapped any more, read when they are asked for."""

    __slots__ = ("_memory",)

    def __init__(self, memory: int) -> None:
        self._memory = memory

    def __getitem__(self, cell: int) -> int:
        return int.from_bytes(os.pread(self._memory, 8, 8 * cell), sys.byteorder)


class Rings:
    """All that are not done with. `opened` is called with each new one."""

    def __init__(self, size: int) -> None:
        self.opened: Callable[[Ring], None] = _nobody
        self._size = size
        self._rings: dict[int, Ring] = {}
        self._past: dict[tuple[Kind, int], int] = {}  # of rings that are: created, dropped

    def __iter__(self) -> Iterator[Ring]:
        return iter(list(self._rings.values()))

    def open(self, number: int) -> Ring:
        """For a worker that will be started with it."""
        ring = self._rings[number] = Ring(number, self._size)
        self.opened(ring)
        return ring

    def finish(self, number: int) -> None:
        """All of it is safe, or nothing will ever be in it."""
        ring = self._rings.pop(number, None)
        if ring is None:
            return
        for kind in LANE_OF:
            for column, items in enumerate(ring.tally(kind)[:2]):
                self._past[kind, column] = self._past.get((kind, column), 0) + items
        ring.close()

    def created(self, kind: Kind) -> int:
        """Since the hub started."""
        return self._sum(kind, 0)

    def dropped(self, kind: Kind) -> int:
        """By workers, for want of room."""
        return self._sum(kind, 1)

    def pending(self, kind: Kind) -> int:
        """Not read by the collector yet."""
        return sum(ring.tally(kind)[2] for ring in self._rings.values())

    def _sum(self, kind: Kind, column: int) -> int:
        alive = sum(ring.tally(kind)[column] for ring in self._rings.values())
        return self._past.get((kind, column), 0) + alive


def _nobody(ring: Ring) -> None:
    return None
