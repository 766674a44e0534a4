"""Counts that a worker shares with the hub through memory, so that they outlive a `kill -9`.

Eight native u64 in a memfd: the worker writes, the hub only reads. What the worker had created
and never sent is the difference to what came over the link.
"""

from __future__ import annotations

import mmap
import os

SIZE = 64
(CREATED_SPANS, CREATED_LOGS, DROPPED_SPANS, DROPPED_LOGS, REQUESTS, CONNECTIONS) = range(6)


class Counts:
    """The hub's view of one worker's counts."""

    __slots__ = ("_cells", "_map", "fd")

    def __init__(self) -> None:
        self.fd = os.memfd_create("spangate-counts")
        os.ftruncate(self.fd, SIZE)
        self._map = mmap.mmap(self.fd, SIZE, prot=mmap.PROT_READ)
        self._cells = memoryview(self._map).cast("Q")

    def __getitem__(self, cell: int) -> int:
        return self._cells[cell]

    def close_fd(self) -> None:
        """Give up the descriptor once the worker has inherited it; the mapping stays readable."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def close(self) -> None:
        self.close_fd()
        self._cells.release()
        self._map.close()
