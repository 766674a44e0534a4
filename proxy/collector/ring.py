"""The collector's end of a ring: runs of entries come out, and are released when they are safe.

Whoever gets a run gets a `Receipt` with it, which batches carry on to what is made of them. When
the last batch that has it is gone, because it was exported, was dropped and counted, or is on disk,
the run is released. Nobody has to say so, hence nobody can forget it. Until then the run stays in
the ring, and a collector that replaces this one reads it again: at least once, never less.

What is beyond CUSTODY of a lane is released once it is read, for the workers need the room: then it
is the exporters' queues that say how much may wait.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Any, NamedTuple

from proxy.otlp.wire import WireError, fields
from proxy.ring import (
    BLOCKS,
    CELLS,
    CURSOR,
    DROPPED,
    HEAD,
    LANE,
    LANES,
    LINES,
    MAPS,
    NOTED,
    PAGE,
    SIZE,
    TAIL,
    bytes_between,
    items_between,
    lane_sizes,
    position,
)

CUSTODY = 0.75  # share of a lane
TURN = 1024 * 1024  # bytes of one run at most, so that nobody waits for long


_NOWHERE = memoryview(bytes(CELLS * 8)).cast("Q")  # of a lane that was let go: all is read


class Receipt:
    """For one run of a lane."""

    __slots__ = ("_lane", "_run")

    def __init__(self, lane: Lane, run: list[int]) -> None:
        self._lane = lane
        self._run = run

    def __del__(self) -> None:
        self._lane.release(self._run)


class Run(NamedTuple):
    """Whole entries, one after the other."""

    entries: bytes
    items: int
    receipt: Receipt


class Lane:
    """One ring of bytes, seen from its reading side."""

    __slots__ = ("_begin", "_block", "_cells", "_first", "_map", "_memory", "_runs", "_size")

    def __init__(self, memory: Any, cells: memoryview, number: int, begin: int, size: int) -> None:
        self._memory = memory
        self._cells = cells
        self._first = number * LANE
        self._map = MAPS + number * BLOCKS
        self._begin = begin
        self._size = size
        self._block = size // BLOCKS
        self._runs: deque[list[int]] = deque()  # [position behind it, is released]
        self._store(CURSOR, self._cell(TAIL))  # where a collector before this one had come to

    @property
    def head(self) -> int:
        return self._cell(HEAD)

    @property
    def unreleased(self) -> int:
        """Bytes."""
        return bytes_between(self._cell(TAIL), self._cell(HEAD))

    @property
    def is_done(self) -> bool:
        """Whether nothing is left that was ever written."""
        return self.unreleased == 0

    def read(self, head: int) -> Run | None:
        """What lies before that position, or the first TURN bytes of it.

        None if it is nothing, or was read already.
        """
        cursor = self._cell(CURSOR)
        size = bytes_between(cursor, head)
        if not 0 < size <= self._size:  # an older position than the cursor is far ahead of it
            return None
        entries = self._copy(cursor, min(size, TURN))
        if size > TURN:
            entries, head = self._cut(entries, cursor, head)
        run = [head, 0]
        self._runs.append(run)
        self._store(CURSOR, head)
        self._take_custody()
        return Run(entries, items_between(cursor, head), Receipt(self, run))

    def is_ahead(self, head: int) -> bool:
        """Whether something lies before that position that was not read."""
        return 0 < bytes_between(self._cell(CURSOR), head) <= self._size

    def release(self, run: list[int]) -> None:
        """That one is safe; room comes free in the order of the bytes."""
        run[1] = 1
        runs = self._runs
        while runs and runs[0][1]:
            self._store(TAIL, runs.popleft()[0])

    def new_drops(self) -> int:
        """Items that the worker had to drop since the last call, by whichever collector."""
        dropped = self._cell(DROPPED)
        new = dropped - self._cell(NOTED)
        if new:
            self._store(NOTED, dropped)
        return new

    def let_go(self) -> None:
        """All that is read is released, and the memory let go of: receipts may live for long."""
        if self._cells is not _NOWHERE:
            self._runs.clear()
            self._store(TAIL, self._cell(CURSOR))
            self._memory, self._cells = b"", _NOWHERE

    def _take_custody(self) -> None:
        """The oldest runs are the likeliest to be safe soon."""
        most = int(self._size * CUSTODY)
        while self._runs and self.unreleased > most:
            self._store(TAIL, self._runs.popleft()[0])

    def _cut(self, piece: bytes, cursor: int, head: int) -> tuple[bytes, int]:
        """The whole entries in it and the position behind them; all if the first is not whole."""
        size, items = _whole_lines(piece) if self._first == LINES * LANE else _whole(piece)
        if not items:
            return self._copy(cursor, bytes_between(cursor, head)), head
        return piece[:size], position((cursor >> 32) + items, cursor + size)

    def _copy(self, cursor: int, size: int) -> bytes:
        pieces = []
        at = cursor & (self._size - 1)
        while size:
            number, start = divmod(at, self._block)
            piece = min(size, self._block - start)
            begin = self._begin + self._memory[self._map + number] * self._block + start
            pieces.append(self._memory[begin : begin + piece])
            at = (at + piece) & (self._size - 1)
            size -= piece
        return b"".join(pieces)

    def _cell(self, cell: int) -> int:
        return self._cells[self._first + cell]

    def _store(self, cell: int, value: int) -> None:
        self._cells[self._first + cell] = value


def _whole(piece: bytes) -> tuple[int, int]:
    """Bytes and number of the entries that are there to their end."""
    size = items = 0
    with suppress(WireError):
        for _, _, _, _, end in fields(piece, 0, len(piece)):
            size = end
            items += 1
    return size, items


def _whole_lines(piece: bytes) -> tuple[int, int]:
    return piece.rfind(b"\n") + 1, piece.count(b"\n")


def lanes_of(memory: Any) -> tuple[Lane, Lane, Lane]:
    """Spans, logs, lines. One reader at a time: it starts again at the tail."""
    cells = memoryview(memory)[: CELLS * 8].cast("Q")
    begin, lanes = PAGE, []
    for number, size in zip(LANES, lane_sizes(cells[SIZE]), strict=True):
        lanes.append(Lane(memory, cells, number, begin, size))
        begin += size
    spans, logs, lines = lanes
    return spans, logs, lines
