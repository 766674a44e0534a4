"""How much endpoints have to do, for policies that choose by it.

Attempts that run are those of all workers, by the board (`board.py`), or of this one alone where
an endpoint has no number there. What was failed lately counts as if it still ran, for about a
second: a server that refuses in a millisecond is always free, and would attract everything.
"""

from __future__ import annotations

from math import exp

from proxy.upstream.balance import Outcome
from proxy.upstream.board import Board
from proxy.upstream.endpoint import Endpoint

FADING = 1e9  # ns until a failure counts for 1/e
FORGOTTEN = 0.01  # a sum of failures that is less counts for nothing

BAD = frozenset({Outcome.SERVER_ERROR, Outcome.ERROR})


class Load:
    """A Feedback. `total` is of this worker."""

    __slots__ = ("_active", "_board", "_failures", "now", "total")

    def __init__(self, board: Board | None = None) -> None:
        self._board = board
        self._active: dict[Endpoint, int] = {}
        self._failures: dict[Endpoint, tuple[float, int]] = {}  # their sum, and when it was so
        self.now = 0  # the latest time that was told (monotonic ns): `end` is told none
        self.total = 0

    def begin(self, endpoint: Endpoint, now: int) -> None:
        """See `Feedback`."""
        self.now = now
        self.total += 1
        self._active[endpoint] = self._active.get(endpoint, 0) + 1

    def end(self, endpoint: Endpoint, outcome: Outcome, ns: int) -> None:
        """See `Feedback`."""
        self.total -= 1
        left = self._active.get(endpoint, 0) - 1
        if left > 0:
            self._active[endpoint] = left
        else:
            self._active.pop(endpoint, None)
        if outcome in BAD:
            self._failures[endpoint] = (self._failed(endpoint, self.now) + 1, self.now)

    def forget(self, endpoint: Endpoint) -> None:
        """It is gone; what still runs there is told of as before."""
        self._failures.pop(endpoint, None)

    def own(self, endpoint: Endpoint) -> int:
        """Attempts that run, of this worker."""
        return self._active.get(endpoint, 0)

    def active(self, endpoint: Endpoint) -> int:
        """Attempts that run, of all workers if that is known."""
        board = self._board
        if board is not None and endpoint.number >= 0:
            return board.active(endpoint)
        return self._active.get(endpoint, 0)

    def burden(self, endpoint: Endpoint, now: int) -> float:
        """What runs, and what has failed lately, at monotonic `now` (ns)."""
        if self._failures and endpoint in self._failures:
            return self.active(endpoint) + self._failed(endpoint, now)
        return self.active(endpoint)

    def _failed(self, endpoint: Endpoint, now: int) -> float:
        found = self._failures.get(endpoint)
        if found is None:
            return 0.0
        left = found[0] * exp(min(found[1] - now, 0) / FADING)
        if left < FORGOTTEN:
            del self._failures[endpoint]
            return 0.0
        return left
