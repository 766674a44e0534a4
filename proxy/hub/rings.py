"""The rings as the hub has them: it makes them, hands them out, and keeps them for the collector.

A ring outlives its worker until a collector has said that everything in it is safe, so that a
collector that dies too can be replaced by one that reads it again. The hub itself reads only the
cells, which tell how many records there are and where they have come to.
"""

from __future__ import annotations

import mmap
import os
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
        self._cells = memoryview(self._map)[: CELLS * 8].cast("Q")
        self._cells[SIZE] = lane_sizes(size)[0]

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

    def close(self) -> None:
        self.started()
        os.close(self.memory)
        os.close(self.pipe)
        last = memoryview(self._cells.tobytes()).cast("Q")  # for whoever asks the dead
        self._cells.release()
        self._cells = last
        self._map.close()


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
