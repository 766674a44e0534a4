"""The twin in Python of the table in which rate limits are counted, shared by processes or not.

GCRA (ITU-T I.371 §A): a key has one number, the time at which all that it has taken would have
been worked off at the limit's pace (`tat`, theoretical arrival time). Memory is open addressing
with slots of 16 bytes: a hash of the key, never 0, and `tat` in monotonic ns, which on Linux is the
same clock in all processes of a host. A slot whose tat is over is as good as free, so nothing is
ever swept. A key lies within PROBES slots of where its hash points; where all of them are busy, the
one that owes least is taken away. Memory begins with HEADER bytes that are the owner's.

Here a range lock of fcntl stands for what `gcra.pyx` does by compare-and-swap: the kernel releases
it when its holder dies. `fd` is the file that the memory was mapped from; -1 = nobody shares it.
"""

from __future__ import annotations

import fcntl
from typing import Any

PROBES = 16  # slots a key may be in: two to four cache lines
HEADER = 64  # bytes before the slots
SLOT = 16


class Table:
    """Keys and what they have taken. `memory` is writable, HEADER + SLOT * a power of two long."""

    __slots__ = ("_cells", "_fd", "_mask")

    def __init__(self, memory: Any, fd: int = -1) -> None:
        self._cells = memoryview(memory).cast("B")[HEADER:].cast("Q")
        slots = len(self._cells) // 2
        if slots < PROBES or slots & (slots - 1):
            raise ValueError("a table has a power of two slots")
        self._mask = slots - 1
        self._fd = fd

    def take(self, key: int, now: int, cost: int, most: int) -> int:
        """How much `key` (a hash of 64 bits) owes at `now`, in ns of its pace; if that is at most
        `most`, this request is admitted and booked with `cost`: the ns between two requests."""
        key = key or 1
        if self._fd < 0:
            return self._take(key, now, cost, most)
        at = key & self._mask & ~(PROBES - 1)
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, at)
        try:
            return self._take(key, now, cost, most)
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, at)

    def _take(self, key: int, now: int, cost: int, most: int) -> int:
        cells = self._cells
        at = self._find(key) * 2
        owed = max(cells[at + 1] - now, 0) if cells[at] == key else 0
        if owed <= most:
            cells[at] = key
            cells[at + 1] = now + owed + cost
        return owed

    def _find(self, key: int) -> int:
        """Its slot, or the one that owes least in the group of PROBES that it may be in."""
        cells = self._cells
        first = key & self._mask & ~(PROBES - 1)
        best, least = first, 1 << 64
        for slot in range(first, first + PROBES):
            if cells[slot * 2] == key:
                return slot
            if cells[slot * 2 + 1] < least:
                best, least = slot, cells[slot * 2 + 1]
        return best
