"""When a process that has nothing to do looks whether that is still so.

Waking up a processor for a timer costs 65 µs, a hundred times of what most timers then do. So what
can wait does, until moments that all timers of a process have in common, and the processor wakes up
once for all of them.
"""

from __future__ import annotations

from math import floor

REST = 0.25  # seconds between two of these moments


def until_next(now: float) -> float:
    """Seconds from monotonic `now` until such a moment, half to one and a half of REST: who wakes
    up a little early for one is not woken up for it again."""
    return (floor(now / REST + 0.5) + 1) * REST - now
