"""When DNS is asked again: plain functions of TTLs, failures and chance (0 to 1)."""

from __future__ import annotations

from typing import NamedTuple

from proxy.pauses import doubled

JITTER = 0.1  # share by which pauses are shortened, so that gateways do not fall into step


class Pace(NamedTuple):
    """Bounds of the pause between two lookups, in seconds."""

    shortest: float = 1.0
    longest: float = 300.0
    slowest: float = 30.0  # after failures

    def after(self, ttl: float, chance: float) -> float:
        """Not later than `ttl` seconds, as far as the bounds allow."""
        pause = min(max(ttl, self.shortest), self.longest) * (1 - JITTER * chance)
        return max(pause, self.shortest * (1 + JITTER * chance))

    def again(self, failures: int, chance: float) -> float:
        """After that many failures or empty answers in a row: doubled each time."""
        return doubled(self.shortest, failures - 1, self.slowest) * (1 + JITTER * chance)
