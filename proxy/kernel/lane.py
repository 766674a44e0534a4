"""Window: the block of a lane that is being filled, as far as it is free.

A write is one copy and one store of the head, which publishes it. Where the block ends, and which
one comes next, is its lane's business (server/ring.py). The twin of lane.pyx.
"""

from __future__ import annotations

from typing import Any


class Window:
    """`memory` is an mmap, whose slices are assigned by a plain copy; `head`: number of the cell.

    `at` and `end`: places in memory. `position`: the head, which may run over until its lane
    settles it (proxy/ring.py).
    """

    __slots__ = ("_head", "_memory", "at", "end", "position")

    def __init__(self, memory: Any, head: int) -> None:
        self._memory = memory
        self._head = memoryview(memory)[8 * head : 8 * head + 8].cast("Q")
        self.at = self.end = 0  # no block yet
        self.position = 0

    def write(self, entries: bytes, items: int) -> bool:
        """Publish whole entries; False if there is no room for them here.

        4,800 instructions, of which a call alone takes 1,000.
        """
        at = self.at
        stop = at + len(entries)
        if stop >= self.end:
            return False
        self._memory[at:stop] = entries
        self.at = stop
        self.position = position = self.position + ((items << 32) + (stop - at))
        self._head[0] = position
        return True

    def publish(self, position: int) -> None:
        """Store the head, of what was written in another way."""
        self.position = position
        self._head[0] = position
