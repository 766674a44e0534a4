"""The sweep: deadlines of connections, checked a few times a second for those that do something.

Connections on which something runs are looked at each time; idle ones lie in a calendar and are
looked at when their time has come, which costs nothing while they are idle. A connection that
was filed and became busy is filed anew when its old day comes, not before.

While there is nothing to look at each time, the sweep rests (`rest.py`), until something is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from time import monotonic_ns

from proxy.rest import until_next
from proxy.server.house import Guest

SWEEP = 0.1  # seconds; the precision of every timeout
SWEEP_NS = int(SWEEP * 1e9)
_FOREVER = 60_000_000_000  # ns until an idle connection without a deadline is looked at again

log = logging.getLogger("spangate")


class Sweep:
    """The calendar of one worker. `each` is called every time, for what else has deadlines; it
    says whether that may rest."""

    __slots__ = (
        "_calendar",
        "_day",
        "_each",
        "_keepalive",
        "_rests",
        "_runs",
        "_timer",
        "_watched",
    )

    def __init__(self, each: Callable[[int], bool]) -> None:
        self._each = each
        self._timer: asyncio.TimerHandle | None = None
        self._rests = False
        self._watched: list[Guest] = []
        self._calendar: dict[int, list[Guest]] = {}
        self._day = 0  # the last one that was looked at
        self._keepalive = _FOREVER  # ns
        self._runs = True

    def start(self) -> None:
        self._day = monotonic_ns() // SWEEP_NS
        self._wait(SWEEP)

    def stop(self) -> None:
        """There is nothing more to sweep."""
        self._runs = self._rests = False
        if self._timer is not None:
            self._timer.cancel()

    def watch(self, guest: Guest) -> None:
        """Look at it each time, until it is idle."""
        if not guest.watched:
            guest.watched = True
            self._watched.append(guest)
            if self._rests:
                self.rouse()

    def rouse(self) -> None:
        """Rest no longer: there is something to do."""
        if self._rests and self._timer is not None:
            self._timer.cancel()
            self._wait(SWEEP)

    def keep(self, keepalive: float, guests: Iterable[Guest]) -> None:
        """How long connections may be idle from now on, in seconds; 0 = for ever."""
        before, self._keepalive = self._keepalive, int(keepalive * 1e9) or _FOREVER
        if self._keepalive < before:  # what is filed lies too late
            self.watch_all(guests)

    def watch_all(self, guests: Iterable[Guest]) -> None:
        """Look at all of them once more."""
        for guest in guests:
            self.watch(guest)

    def _wait(self, seconds: float, *, rests: bool = False) -> None:
        self._rests = rests
        self._timer = asyncio.get_running_loop().call_later(seconds, self._turn)

    def _turn(self) -> None:
        self._rests = False
        now = monotonic_ns()
        self._wake(now)
        watched, self._watched = self._watched, []
        for guest in watched:
            self._look(guest, now)
        may_rest = False
        try:
            may_rest = self._each(now)
        except Exception:
            log.exception("a deadline could not be checked", extra={"key": "deadline.bug"})
        if not self._runs:
            return
        if may_rest and not self._watched:
            self._wait(until_next(now / 1e9), rests=True)
        else:
            self._wait(SWEEP)

    def _wake(self, now: int) -> None:
        """Those in the calendar whose day has come."""
        today = now // SWEEP_NS
        for day in range(self._day + 1, today + 1):
            for guest in self._calendar.pop(day, ()):
                guest.filed = False
                self.watch(guest)
        self._day = today

    def _look(self, guest: Guest, now: int) -> None:
        """One connection's deadlines; whatever goes wrong ends that one alone."""
        try:
            guest.tick(now)
            since = guest.idle_since()
        except Exception:
            log.exception("a connection failed inside the gateway", extra={"key": "connection.bug"})
            guest.transport.abort()
            since = 0
        if since < 0:
            guest.watched = False
        elif since:
            guest.watched = False
            self._file(guest, max(since + self._keepalive, now + SWEEP_NS))
        else:
            self._watched.append(guest)

    def _file(self, guest: Guest, due: int) -> None:
        if not guest.filed:
            guest.filed = True
            self._calendar.setdefault(due // SWEEP_NS + 1, []).append(guest)
