"""The share of a route's requests that each of its upstreams gets.

Owns weights only. Chance is an argument, so the same number always yields the same upstream.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate


class Split:
    """Upstream names with weights; immutable."""

    __slots__ = ("_bounds", "_names", "_only", "_total")

    def __init__(self, weights: dict[str, int]) -> None:
        if not weights or min(weights.values()) < 1:
            raise ValueError("a split needs upstreams, and weights of at least 1")
        self._names = list(weights)
        self._only = self._names[0] if len(weights) == 1 else ""
        self._bounds = list(accumulate(weights.values()))
        self._total = self._bounds.pop()  # without the last, so that no rounding leads past it

    def pick(self, r: float) -> str:
        """The upstream for `r`, a random number in [0, 1)."""
        return self._only or self._names[bisect_right(self._bounds, r * self._total)]
