"""How many requests an upstream takes at once, found out by how long its answers take.

Pure: samples and times (ns, monotonic) are arguments. The limit follows a gradient, as Envoy's
adaptive concurrency and Netflix's gradient2 do: limit = limit · (TOLERANCE · base / latency) +
√limit, once for each window of samples, where `base` is the latency without a queue.

What is different is how `base` is found. A queue gets shorter when fewer requests are let in, and
a server that has become slower does not get faster by that. So each time that the limit has fallen
by a third, and on purpose for one window in every EVERY (a dip), the latencies before and after
are compared: if fewer requests did not make it shorter, there is no queue, and what is measured
is the base. See decision 151.
"""

from __future__ import annotations

from math import sqrt

FIRST = 20.0  # before anything is known; Netflix: 20
LEAST = 4.0  # Netflix's and Envoy's is 3 to 20: below it too little comes back to learn from
MOST = 1e6
TOLERANCE = 1.25  # of the base: as Envoy's min_rtt buffer of 25 %
STEEPEST = 0.5  # by what one window lowers the limit at most
SAMPLES = 50  # of a window at least, or
FEW = 10  # once it has lasted for
LONG = 1_000_000_000  # ns
SHORT = 50_000_000  # ns that it lasts at least
ENOUGH = 2000  # samples that are kept of a window
EVERY = 10_000_000_000  # ns between two dips; they begin by the clock, so in all workers together
DIP = 0.7  # of the limit, for a window
FELL = 0.75  # of the limit that is compared: a fall by so much tells
EASE = 0.5  # of the way that the base goes down in a window


class Gradient:
    """One worker's idea of one upstream's limit. What is in force is the mean of all workers'."""

    __slots__ = (
        "_before",
        "_day",
        "_ended",
        "_latency",
        "_mark",
        "_own",
        "_peak",
        "_samples",
        "_since",
        "base",
    )

    def __init__(self) -> None:
        self._own = FIRST
        self.base = 0.0  # ns of an answer without a queue; 0 = not known yet
        self._latency = 0.0  # ns, the last window's
        self._samples: list[int] = []
        self._since = 0  # what began earlier, began under another limit
        self._ended = 0  # when the last window did
        self._peak = 0  # of requests at once in this window, of all workers
        self._mark = (0.0, 0.0)  # limit and latency that later ones are compared with
        self._before: tuple[float, float, float] | None = None  # a dip: own, limit, latency before
        self._day = 0  # the number of the time between two dips

    @property
    def limit(self) -> float:
        """What this worker would have, the dip of the moment included."""
        return self._own if self._before is None else max(self._own * DIP, 1.0)

    def saw(self, active: int) -> None:
        """So many requests are under way, of all workers."""
        self._peak = max(self._peak, active)

    def ended(self, ns: int, now: int, good: bool, limit: float) -> bool:
        """A request's answer began after `ns`; `limit` is in force. True if that changes ours.

        Not `good`: it failed, or nobody waited for the answer any more, which says only that it
        would have taken longer.
        """
        if now - ns < self._since or (not good and ns <= self._latency):
            return False
        samples = self._samples
        if len(samples) < ENOUGH:
            samples.append(ns)
        lasted = now - self._ended
        if len(samples) < SAMPLES and (lasted < LONG or len(samples) < FEW):
            return False
        if lasted < SHORT:
            return False
        samples.sort()
        # Without the tails, and no median: servers that all take the same time end in waves, and
        # a median jumps from one wave to the next where the mean follows the queue (Little).
        tail = len(samples) // 10
        middle = samples[tail : len(samples) - tail]
        self._turn(sum(middle) / len(middle), now, limit)
        return True

    def _turn(self, latency: float, now: int, limit: float) -> None:
        """A window has ended, in which `limit` was in force."""
        used = self._peak * 2 >= limit
        self._samples.clear()
        self._peak, self._ended, self._latency = 0, now, latency
        if not self.base:
            self.base = latency
        elif latency < self.base:
            self.base += (latency - self.base) * EASE
        if self._before is not None:
            self._own, was, before = self._before
            self._before = None
            self._judge(was, before, limit, latency)
        elif used:
            self._look(limit, latency)
            self._own = self._next(limit, latency)
            self._dip(now, limit, latency)
        # What has begun by now is answered by a queue of the limit before.
        self._since = now + int(min(latency, LONG))

    def _next(self, limit: float, latency: float) -> float:
        gradient = max(min(TOLERANCE * self.base / latency, 2.0), STEEPEST) if latency else 1.0
        wanted = limit * gradient + sqrt(limit)
        return min(max((limit + wanted) / 2, LEAST), MOST)  # half the way: else it swings

    def _dip(self, now: int, limit: float, latency: float) -> None:
        day = now // EVERY
        if day != self._day:
            if self._day:
                self._before = (self._own, limit, latency)
            self._day = day

    def _look(self, limit: float, latency: float) -> None:
        """Compare with the worst since the limit began to fall."""
        was, before = self._mark
        if limit >= was or latency > before * 1.1:
            self._mark = (limit, latency)
        elif limit <= was * FELL:
            self._judge(was, before, limit, latency)
            self._mark = (limit, latency)

    def _judge(self, was: float, before: float, limit: float, latency: float) -> None:
        """Fewer requests, `limit` instead of `was`: has that made the latency shorter? By half of
        what a queue would have become shorter at least, or there was none."""
        share = limit / was
        if share < 0.9 and latency > self.base and latency > before * (1 + share) / 2:
            self.base = latency
