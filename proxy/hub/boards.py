"""The board as the hub has it: it makes the memory, gives places to workers, numbers to endpoints.

What lies where is said in `upstream/board.py`.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable

from proxy.kernel.gcra import HEADER, SLOT
from proxy.server import crowd
from proxy.upstream.board import ACTIVE, CELLS, ENDPOINTS, size

RATES = HEADER + (1 << 21) * SLOT  # bytes: 1,000,000 keys of rate limits, and as many free

Key = tuple[str, str]  # upstream's name, server URL as in the configuration


class Boards:
    """One for all workers of a hub, of which `places` may be alive at the same time."""

    def __init__(self, places: int, rates: int = -1) -> None:
        """`rates`: the memory of rate limits of a hub before this one, -1 = there is none."""
        self.memory = os.memfd_create("spangate-board")
        os.ftruncate(self.memory, size(places))
        self.rates = rates if rates >= 0 else _rates()
        self.crowd = os.memfd_create("spangate-clients")
        os.ftruncate(self.crowd, crowd.size(places))
        self._crowd = mmap.mmap(self.crowd, 0)
        self._cells = memoryview(mmap.mmap(self.memory, 0)).cast("Q")
        self._stride = places * CELLS
        self._places = list(range(places - 1, -1, -1))
        self._numbers: dict[Key, int] = {}
        self._free: list[int] = []
        self._next = 0

    def enter(self) -> int:
        """A place for a worker that will be started; -1 = all are taken, so it judges alone."""
        return self._places.pop() if self._places else -1

    def leave(self, place: int) -> None:
        """The worker that had it is gone."""
        if place < 0:
            return
        for number in self._numbers.values():
            self._clear(number * self._stride + place * CELLS)
        crowd.wipe(self._crowd, place)
        self._places.append(place)

    def number(self, keys: Iterable[Key]) -> dict[Key, int]:
        """Numbers for these endpoints and no others: those that stay keep theirs; -1 = all are
        taken."""
        wanted = dict.fromkeys(keys, -1)
        for key in [key for key in self._numbers if key not in wanted]:
            self.drop(key)
        for key in wanted:
            wanted[key] = self.give(key)
        return wanted

    def give(self, key: Key) -> int:
        """A number for one more, or the one that it has; -1 = all are taken."""
        number = self._numbers.get(key, -1)
        if number < 0 and (number := self._take()) >= 0:
            self._numbers[key] = number
        return number

    def drop(self, key: Key) -> None:
        """It needs none any more; somebody else may be given it."""
        number = self._numbers.pop(key, -1)
        if number >= 0:
            self._free.append(number)

    def rows(self, key: Key) -> list[memoryview]:
        """An endpoint's cells, place by place; [] if it has no number."""
        number = self._numbers.get(key, -1)
        if number < 0:
            return []
        first = number * self._stride
        return [self._cells[at : at + CELLS] for at in range(first, first + self._stride, CELLS)]

    def total(self, key: Key, cell: int = ACTIVE) -> int:
        """Of all workers."""
        return sum(row[cell] for row in self.rows(key))

    def totals(self, key: Key) -> list[int]:
        """Every cell, of all workers; [] if it has no number."""
        number = self._numbers.get(key, -1)
        if number < 0:
            return []
        first = number * self._stride
        row = self._cells[first : first + self._stride].tolist()
        return [sum(row[cell::CELLS]) for cell in range(CELLS)]

    def _take(self) -> int:
        if self._free:
            number = self._free.pop()
            for at in range(number * self._stride, (number + 1) * self._stride, CELLS):
                self._clear(at)
            return number
        if self._next == ENDPOINTS:
            return -1
        self._next += 1
        return self._next - 1

    def _clear(self, at: int) -> None:
        self._cells[at : at + CELLS] = memoryview(bytes(CELLS * 8)).cast("Q")


def _rates() -> int:
    """The memory in which workers count requests together (`kernel/gcra.py`), behind a secret by
    which keys are hashed. It takes pages only where a limit with scope = "host" writes to them."""
    memory = os.memfd_create("spangate-rates")
    os.ftruncate(memory, RATES)
    os.pwrite(memory, os.urandom(32), 0)
    return memory
