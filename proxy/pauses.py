"""How long to wait before something is tried again that did not go: twice as long each time."""

from __future__ import annotations

MOST = 20  # times that it is doubled: a power of any number is no float at some time


def doubled(first: float, times: int, longest: float) -> float:
    """Seconds: `first`, doubled so many times, and `longest` at the most."""
    return min(first * 2.0 ** min(max(times, 0), MOST), longest)
