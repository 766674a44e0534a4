"""How late the event loop of a process is: a tick that notices when it comes too late.

What keeps a loop from its work (a long turn, a stolen processor) delays the tick as it delays
everything else. A delay of L shows as something between L - tick and L, and one shorter than a
tick only if a tick fell into it. So ticks come every 10 ms while the process is at work, when one
costs 5 µs, and every 80 ms while it is idle, when one costs 65 µs because the processor must wake
up for it: 0.05 and 0.09 % of a core.

    lag = Lag()
    lag.start()          # in a running loop
    lag.longest()        # ns, the longest of the last minute
"""

from __future__ import annotations

import asyncio
from time import monotonic, thread_time

BUSY_TICK, IDLE_TICK = 0.010, 0.080  # seconds
BUSY = 0.1  # share of a core from which on the process is at work
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
        spent = thread_time()
        is_busy = spent - self._spent > BUSY * (now - self._looked)
        tick = BUSY_TICK if is_busy else IDLE_TICK
        self._looked, self._spent, self._due = now, spent, now + tick
        self._timer = self._loop.call_later(tick, self._tick)

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
