"""Page: the numbers of all ledgers in memory that outlives the collector's process.

The hub makes the memory, a collector writes it, and whoever replaces a collector that died goes on
from what it finds, so that no counter falls and what the dead one held is known. A row belongs to
one signal and exporter. A name is written before the number that makes it count, so that a kill
leaves no half row. Owns no meaning: what is created or dropped is said in books.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

ROW = 2048  # bytes
ROWS = 1024
SIZE = ROW * ROWS  # the kernel gives pages only for rows that are used

KEY_LENGTH, CREATED, EXPORTED, FAILED, REFUSED, REASONS = range(6)  # cells of a row, u64
_CELLS = 64  # bytes
_KEY = 512 - _CELLS
_REASON = 64  # bytes: u64 items, u8 length, name
_NAME = _REASON - 9
_MOST = (ROW - 512) // _REASON  # reasons
OTHER = "other"  # what is dropped for the reasons after those

LINES_DROPPED = 1  # the first row has no key, and this cell


class Row:
    """The numbers of one ledger; `dropped` by reason."""

    __slots__ = ("_memory", "_places", "cells", "dropped")

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self.cells = memory[:_CELLS].cast("Q")
        self._places: dict[str, memoryview] = {}
        self.dropped: dict[str, int] = {}
        for number in range(self.cells[REASONS]):
            at = 512 + number * _REASON
            name = bytes(memory[at + 9 : at + 9 + memory[at + 8]]).decode()
            self._places[name] = memory[at : at + 8].cast("Q")
            self.dropped[name] = self._places[name][0]

    def drop(self, items: int, reason: str) -> None:
        """Add to the items that were dropped for that reason."""
        place = self._places.get(reason)
        if place is None:
            reason = self._word(reason)
            place = self._places.get(reason) or self._open(reason)
        self.dropped[reason] = place[0] = place[0] + items

    def _word(self, reason: str) -> str:
        if len(self._places) >= _MOST - 1:
            return OTHER
        return reason.encode()[:_NAME].decode(errors="ignore")

    def _open(self, reason: str) -> memoryview:
        at = 512 + len(self._places) * _REASON
        name = reason.encode()
        self._memory[at + 9 : at + 9 + len(name)] = name
        self._memory[at + 8] = len(name)
        place = self._places[reason] = self._memory[at : at + 8].cast("Q")
        self.cells[REASONS] = len(self._places)
        return place


class Page:
    """All rows. `memory` is a writable mmap of SIZE bytes."""

    __slots__ = ("_memory", "_rows", "_used")

    def __init__(self, memory: Any) -> None:
        self._memory = memoryview(memory)
        self._rows: dict[tuple[str, str], Row] = {}
        self._used = 1
        while self._used < ROWS:
            memory = self._row(self._used)
            size = memory[:8].cast("Q")[0]
            if not size:
                break
            signal, _, exporter = bytes(memory[_CELLS : _CELLS + size]).decode().partition(" ")
            self._rows[signal, exporter] = Row(memory)
            self._used += 1

    def __iter__(self) -> Iterator[tuple[str, str, Row]]:
        for (signal, exporter), row in self._rows.items():
            yield signal, exporter, row

    def open(self, signal: str, exporter: str) -> Row:
        """The row of that signal and exporter; one of its own, if all are taken."""
        row = self._rows.get((signal, exporter))
        if row is None:
            key = f"{signal} {exporter}".encode()
            if self._used == ROWS or len(key) > _KEY:
                return alone()
            memory = self._row(self._used)
            memory[_CELLS : _CELLS + len(key)] = key
            memory[:8].cast("Q")[KEY_LENGTH] = len(key)
            self._used += 1
            row = self._rows[signal, exporter] = Row(memory)
        return row

    @property
    def lines_dropped(self) -> int:
        """Access lines that stdout did not take."""
        return self._row(0)[:_CELLS].cast("Q")[LINES_DROPPED]

    @lines_dropped.setter
    def lines_dropped(self, lines: int) -> None:
        self._row(0)[:_CELLS].cast("Q")[LINES_DROPPED] = lines

    def _row(self, number: int) -> memoryview:
        return self._memory[number * ROW : (number + 1) * ROW]


def alone() -> Row:
    """A row that is nobody else's and ends with the process."""
    return Row(memoryview(bytearray(ROW)))
