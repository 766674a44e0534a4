"""What workers know of endpoints together: memory that all of them map.

A row of cells, native u64, for each pair of an endpoint's number and a place that one worker
process has for itself. So each cell has one writer, nothing is locked, and whoever reads adds up
the places. A worker that dies leaves its cells behind; the hub clears them before it gives the
place to another one. Numbers and places come from the hub (`hub/boards.py`).
"""

from __future__ import annotations

from typing import Any

from proxy.upstream.balance import Outcome
from proxy.upstream.endpoint import Endpoint

ACTIVE = 0  # attempts that run
BEGUN = 1  # since the place was given to this worker, as the following ones
OK = 2  # ended without anything to hold against the endpoint
FAILED = 3  # ended with 5xx or without an answer (Outcome.SERVER_ERROR, ERROR)
STREAK = 4  # FAILED in a row, until now
TRIPPED = 5  # times that STREAK was as long as the upstream's `eject` allows
CIRCUIT = 6  # of the worker's breaker: its state (`breaker.CircuitState`), and 4 for each opening
LATENCY = 7  # ns that a try takes on average, where the worker's policy knows; 0 = unknown
CELLS = 8  # of a row: a cache line of 64 bytes

# of an upstream with `limits`, which has a row too (`Row`): what is under way there
REQUESTS = 0
FLYING = 1  # of these, whose answer has not begun
PENDING = 2  # requests that wait for their turn
RETRYING = 3  # requests that are tried again
CONNECTIONS = 4  # open or being made
LIMIT = 5  # the adaptive one as the worker sees it, in thousandths; 0 = it sees none
OLDEST = 6  # since when the first of those waits (ns, monotonic); 0 = none does

ENDPOINTS = 16384  # that have a number; the memory takes pages only where it is written to


def size(places: int) -> int:
    """Bytes of the whole memory."""
    return ENDPOINTS * places * CELLS * 8


class Board:
    """The memory as one worker writes it: a Feedback for whichever upstream wants one."""

    __slots__ = ("_cells", "_mine", "_stride")

    def __init__(self, memory: Any, place: int) -> None:
        self._cells = memoryview(memory).cast("Q")
        self._stride = len(self._cells) // ENDPOINTS
        self._mine = place * CELLS

    def begin(self, endpoint: Endpoint, now: int) -> None:
        """See `Feedback`."""
        number = endpoint.number
        if number >= 0:
            at = number * self._stride + self._mine
            self._cells[at + ACTIVE] += 1
            self._cells[at + BEGUN] += 1

    def end(self, endpoint: Endpoint, outcome: Outcome, ns: int) -> None:
        """See `Feedback`."""
        number = endpoint.number
        if number < 0:
            return
        cells, at = self._cells, number * self._stride + self._mine
        if cells[at + ACTIVE]:  # it was given another number meanwhile
            cells[at + ACTIVE] -= 1
        if outcome is Outcome.SERVER_ERROR or outcome is Outcome.ERROR:
            cells[at + FAILED] += 1
            cells[at + STREAK] += 1
        elif outcome is not Outcome.ABANDONED:
            cells[at + OK] += 1
            cells[at + STREAK] = 0

    def trip(self, endpoint: Endpoint, streak: int) -> None:
        """Count it if so many have failed in a row just now."""
        at = endpoint.number * self._stride + self._mine
        if endpoint.number >= 0 and self._cells[at + STREAK] == streak:
            self._cells[at + TRIPPED] += 1

    def show_circuit(self, endpoint: Endpoint, state: int, opened: int) -> None:
        """What has become of this worker's breaker."""
        if endpoint.number >= 0:
            at = endpoint.number * self._stride + self._mine
            self._cells[at + CIRCUIT] = state + 4 * opened

    def show_latency(self, endpoint: Endpoint, ns: float) -> None:
        """What this worker's policy takes for the endpoint's latency."""
        if endpoint.number >= 0:
            self._cells[endpoint.number * self._stride + self._mine + LATENCY] = int(ns)

    def total(self, endpoint: Endpoint, cell: int) -> int:
        """Of all workers; 0 for an endpoint without a number."""
        first = endpoint.number * self._stride
        return sum(self._cells[first + cell : first + self._stride : CELLS]) if first >= 0 else 0

    def _write(self, at: int, cells: list[int]) -> None:
        for offset, value in enumerate(cells):
            self._cells[at + offset] = value

    def active(self, endpoint: Endpoint) -> int:
        """Attempts that run, of all workers."""
        return self.total(endpoint, ACTIVE)


class Row:
    """One upstream's row: this worker's cells, which it alone writes, and those of all. Until it
    has a number, and without a board, this worker's are all there are."""

    __slots__ = ("_all", "_board", "_mine", "own")

    def __init__(self, board: Board | None = None) -> None:
        self._board = board
        self._all: slice | None = None
        self._mine = -1
        self.own = [0] * CELLS

    def move(self, number: int) -> None:
        """It has this number from now on; -1 = none."""
        board = self._board
        if board is None:
            return
        if self._mine >= 0:
            board._write(self._mine, [0] * CELLS)
        self._mine = number * board._stride + board._mine if number >= 0 else -1
        self._all = None
        if number >= 0:
            first = number * board._stride
            self._all = slice(first, first + board._stride)
            board._write(self._mine, self.own)

    def put(self, cell: int, value: int) -> None:
        """Of this worker."""
        self.own[cell] = value
        if self._mine >= 0 and self._board is not None:
            self._board._cells[self._mine + cell] = value

    def total(self, cell: int) -> int:
        """Of all workers."""
        row = self._all
        if row is None or self._board is None:
            return self.own[cell]
        return sum(self._board._cells[row.start + cell : row.stop : CELLS])

    def known(self, cell: int) -> list[int]:
        """Of each worker that has something there."""
        row = self._all
        if row is None or self._board is None:
            values = [self.own[cell]]
        else:
            values = self._board._cells[row.start + cell : row.stop : CELLS].tolist()
        return [value for value in values if value]


class Tripwire:
    """A Feedback that comes after a Board: it counts rows of `errors` failures."""

    __slots__ = ("_board", "_errors")

    def __init__(self, board: Board, errors: int) -> None:
        self._board = board
        self._errors = errors

    def begin(self, endpoint: Endpoint, now: int) -> None:
        """See `Feedback`."""

    def end(self, endpoint: Endpoint, outcome: Outcome, ns: int) -> None:
        """See `Feedback`."""
        if outcome is Outcome.SERVER_ERROR or outcome is Outcome.ERROR:
            self._board.trip(endpoint, self._errors)
