"""When a second try begins beside one that takes long: after a time, or a percentile of times.

Pure: times are arguments. The percentile is that of the answers that a route's requests to an
upstream got lately, one worker's: a histogram whose buckets grow by an eighth each, so a percentile
is right within that, and whose counts are halved when there are many, so that it follows what is.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

LEAST = 50  # answers until a percentile says anything; before that nothing is hedged
MOST = 2000  # answers until their counts are halved
ANEW = 16  # answers until the percentile is looked up again
_EDGES = [int(100_000 * 1.125**n) for n in range(120)]  # ns: 0.1 ms to 2 min


class Hedge:
    """`after` in ns, or `share` in (0, 1) of answers that are quicker than that."""

    __slots__ = ("_after", "_counts", "_share", "_since", "_total")

    def __init__(self, after: int = 0, share: float = 0.0) -> None:
        self._after = after
        self._share = share
        self._counts = [0] * (len(_EDGES) + 1)
        self._total = 0
        self._since = 0  # answers since the percentile was looked up

    def after(self) -> int:
        """How long to wait (ns) for an answer until another try begins; 0 = no other begins."""
        if self._share and self._total >= LEAST and (not self._after or self._since >= ANEW):
            self._since = 0
            sums = list(accumulate(self._counts))
            at = bisect_left(sums, self._share * self._total)
            self._after = _EDGES[min(at, len(_EDGES) - 1)]
        return self._after

    def answered(self, took: int) -> None:
        """The head of an answer came after so many ns, counted from the first try's head."""
        if not self._share:
            return
        self._counts[bisect_left(_EDGES, took)] += 1
        self._total += 1
        self._since += 1
        if self._total >= MOST:
            self._counts = [count // 2 for count in self._counts]
            self._total = sum(self._counts)
