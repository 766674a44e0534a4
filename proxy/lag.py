"""How late the event loop of a process is: a tick that notices when it comes too late.

What keeps a loop from its work (a long turn, a stolen processor) delays the tick as it delays
everything else. The tick is due every TICK; so a delay of L shows as something between L - TICK
and L, and one shorter than TICK only if a tick fell into it. 40 ticks a second cost an idle
process 0.04 % of a core; twice as many would show little more.

    lag = Lag()
    lag.start()          # in a running loop
    lag.longest()        # ns, the longest of the last minute
"""

from __future__ import annotations

import asyncio
from time import monotonic

TICK = 0.025  # seconds
WINDOW = 60  # seconds that a delay is remembered


class Lag:
    """The probe of one loop."""

    __slots__ = ("_due", "_loop", "_timer", "_window")

    def __init__(self) -> None:
        self._window = Window()
        self._due = 0.0
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
        self._due = now + TICK
        self._timer = self._loop.call_later(TICK, self._tick)

    def _tick(self) -> None:
        now = monotonic()
        self._window.note(now, now - self._due)
        self._wait(now)


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
