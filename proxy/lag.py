"""How late the event loop of a process is: a tick that notices when it comes too late.

What keeps a loop from its work (a long turn, a stolen processor) delays the tick as it delays
everything else. A delay of L shows as something between L - tick and L, and one shorter than a
tick only if a tick fell into it. So ticks come every 10 ms while the process is at work, when one
costs 5 µs, and seldom while it has nothing to do, when one costs 65 µs because the processor must
wake up for it and there is nothing that could be late: every 80 ms, or with other timers of a
process that rests (`rest.py`).

    lag = Lag()
    lag.start()          # in a running loop
    lag.longest()        # ns, the longest of the last minute
"""

from __future__ import annotations

import asyncio
from time import monotonic, thread_time

from proxy.rest import until_next

BUSY_TICK, LIGHT_TICK = 0.010, 0.080  # seconds
BUSY, LIGHT = 0.1, 0.02  # shares of a core from which on ticks come so often
WINDOW = 60  # seconds that a delay is remembered


class Lag:
    """The probe of one loop."""

    __slots__ = ("_due", "_looked", "_loop", "_spent", "_timer", "_window")

    def __init__(self) -> None:
        self._window = Window()
        self._due = self._looked = self._spent = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look, in the loop that runs."""
        self._loop = asyncio.get_running_loop()
        self._wait(monotonic())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def longest(self) -> int:
        """Nanoseconds; a delay that goes on now is in it when it is over."""
        return round(self._window.longest(monotonic()) * 1e9)

    def _wait(self, now: float) -> None:
        assert self._loop is not None
        spent, passed = thread_time(), now - self._looked
        tick = _tick((spent - self._spent) / passed if passed > 0 else 0.0, now)
        self._looked, self._spent, self._due = now, spent, now + tick
        self._timer = self._loop.call_later(tick, self._tick)

    def _tick(self) -> None:
        now = monotonic()
        self._window.note(now, now - self._due)
        self._wait(now)


def _tick(share: float, now: float) -> float:
    """Seconds until the next one, of a process that has used this share of a core."""
    if share > BUSY:
        return BUSY_TICK
    return LIGHT_TICK if share > LIGHT else until_next(now)


class Window:
    """The longest of what was noted in the last WINDOW seconds; times are arguments."""

    __slots__ = ("_longest", "_second")

    def __init__(self) -> None:
        self._longest = [0.0] * WINDOW  # by second
        self._second = 0  # the last one noted

    def note(self, now: float, delay: float) -> None:
        second = int(now)
        if second != self._second:
            self._turn(second)
        place = second % WINDOW
        if delay > self._longest[place]:
            self._longest[place] = delay

    def longest(self, now: float) -> float:
        self._turn(int(now))
        return max(self._longest)

    def _turn(self, second: int) -> None:
        """Forget the seconds that went by unnoted, and what was there a window ago."""
        for passed in range(max(self._second + 1, second - WINDOW + 1), second + 1):
            self._longest[passed % WINDOW] = 0.0
        self._second = max(self._second, second)
