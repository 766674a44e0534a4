"""How much each client has under way, of all workers together: memory that they all map.

Each worker has a place of its own, a table of addresses with open connections or requests that run;
it alone writes there, nothing is locked, and whoever wants to know how much an address has adds up
the places. A slot is two u64: a hash of the address, and connections << 32 | requests; a slot with
0 is free. A hash lies in the bucket that it points at, or nowhere: then its worker counts it alone.
A worker that dies leaves its place behind; the hub wipes it before another one gets it.
"""

from __future__ import annotations

import mmap
from typing import Any

SLOTS = 65536  # of a place
BUCKET = 16  # slots
_CELLS = 2  # of a slot
REGION = SLOTS * _CELLS * 8  # bytes of a place, whole pages
_HEADER = 64 * 1024  # bytes: for each place the number of addresses in it
_MASK = SLOTS // BUCKET - 1

CONNECTIONS, REQUESTS = 32, 0  # by how many bits they are shifted


def size(places: int) -> int:
    """Bytes of the whole memory; pages are taken only where something is written."""
    return _HEADER + places * REGION


def wipe(memory: mmap.mmap, place: int) -> None:
    """Forget all that the worker in that place has counted."""
    memory[place * 8 : place * 8 + 8] = bytes(8)
    memory.madvise(mmap.MADV_REMOVE, _HEADER + place * REGION, REGION)


class Crowd:
    """The memory as one worker writes it."""

    __slots__ = ("_cells", "_live", "_mine", "_own", "_places")

    def __init__(self, memory: Any, place: int) -> None:
        whole = memoryview(memory)
        self._places = (len(whole) - _HEADER) // REGION
        self._live = whole[: self._places * 8].cast("Q")
        self._cells = whole[_HEADER:].cast("Q")
        self._mine = place
        self._own = place * SLOTS * _CELLS

    def enter(self, key: int) -> int:
        """A slot for an address that has something now; -1 = there is none."""
        cells = self._cells
        first = self._own + (key & _MASK) * BUCKET * _CELLS
        for at in range(first, first + BUCKET * _CELLS, _CELLS):
            if not cells[at + 1]:
                cells[at] = key
                self._live[self._mine] += 1
                return at
        return -1

    def put(self, at: int, connections: int, requests: int) -> None:
        """What the address in that slot has here."""
        self._cells[at + 1] = connections << CONNECTIONS | requests

    def leave(self, at: int) -> None:
        """It has nothing any more."""
        self._cells[at + 1] = 0
        self._live[self._mine] -= 1

    def others(self, key: int, kind: int) -> int:
        """What an address has of that kind in all other places."""
        total = 0
        bucket = (key & _MASK) * BUCKET * _CELLS
        for place, live in enumerate(self._live.tolist()):
            if not live or place == self._mine:
                continue
            first = place * SLOTS * _CELLS + bucket
            found = self._cells[first : first + BUCKET * _CELLS].tolist()
            if key not in found:
                continue
            for at in range(0, BUCKET * _CELLS, _CELLS):
                if found[at] == key and found[at + 1]:
                    total += found[at + 1] >> kind & 0xFFFFFFFF
        return total
