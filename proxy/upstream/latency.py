"""How long endpoints take: a mean that rises at once and falls slowly (peak-EWMA).

Finagle's and Linkerd's: a sample above the mean takes its place, one below it moves it by how long
ago the last sample was, with a time constant of 10 s. Without samples it falls by itself, so who
was slow is asked again some time. An attempt that failed counts as one that took a second: an
error that comes at once is no reason to send more.
"""

from __future__ import annotations

from math import exp

from proxy.upstream.balance import Outcome
from proxy.upstream.board import Board
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.load import BAD

TAU = 10e9  # ns
PENALTY = 1_000_000_000  # ns, what an attempt counts for that failed, or of which nothing is known


class Latency:
    """A Feedback, which shows on the board what it takes for true."""

    __slots__ = ("_board", "_means", "_now")

    def __init__(self, board: Board | None = None) -> None:
        self._board = board
        self._means: dict[Endpoint, tuple[float, int]] = {}  # ns, and when it was so
        self._now = 0  # the latest time that was told

    def begin(self, endpoint: Endpoint, now: int) -> None:
        """See `Feedback`."""
        self._now = now

    def end(self, endpoint: Endpoint, outcome: Outcome, ns: int) -> None:
        """See `Feedback`."""
        sample = float(max(ns, PENALTY) if outcome in BAD else ns)
        now, known = self._now, self._means.get(endpoint)
        if known is None:
            if outcome is not Outcome.ABANDONED:
                self._set(endpoint, sample)
            return
        kept = exp(min(known[1] - now, 0) / TAU)
        if sample > known[0] * kept:
            self._set(endpoint, sample)
        elif outcome is not Outcome.ABANDONED:  # else it would have taken longer
            self._set(endpoint, known[0] * kept + sample * (1 - kept))

    def _set(self, endpoint: Endpoint, mean: float) -> None:
        self._means[endpoint] = (mean, self._now)
        if self._board is not None:
            self._board.show_latency(endpoint, mean)

    def forget(self, endpoint: Endpoint) -> None:
        """It is gone."""
        self._means.pop(endpoint, None)

    def mean(self, endpoint: Endpoint, now: int) -> float | None:
        """ns at monotonic `now`; None if nothing is known."""
        known = self._means.get(endpoint)
        return None if known is None else known[0] * exp(min(known[1] - now, 0) / TAU)
