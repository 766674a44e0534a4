"""When to try a batch again: exponential backoff with jitter, and when to give it up.

Pure: time since the first attempt and random numbers are arguments. Which answers may be tried
again at all is said in `otlp/status.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proxy.collector.parts import Queue, Retry

FACTOR = 1.5  # multiplier and jitter of the Collector's retry_on_failure
JITTER = 0.5
ELAPSED = 300.0  # seconds, the Collector's max_elapsed_time
# One that does not try again gives up when its first pause would begin.
_AT_ONCE = 1e-9
LONGEST = 3600.0  # a wrong clock or date at the other end must not silence us for good


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds throughout. `elapsed` 0 = never give up."""

    initial: float
    max: float
    elapsed: float

    def pause(
        self, attempt: int, asked: float | None, spent: float, random: Callable[[], float]
    ) -> float | None:
        """Seconds to wait after the failed `attempt` (1 = first); None = give up.

        `asked` is what the collector wants us to wait (Retry-After, RetryInfo): never tried
        earlier, but the jitter goes on top, so that not everyone returns in the same instant.
        `spent` is the time since the first attempt began. A pause that would end after `elapsed`
        is not begun.
        """
        # The exponent is bounded: 1.5 ** 64 exceeds any sensible maximum, 1.5 ** 2000 a float.
        grown = min(self.max, self.initial * FACTOR ** min(attempt - 1, 64))
        wait = grown * (1 - JITTER + 2 * JITTER * random())
        if asked is not None and asked > 0:
            wait = max(wait, min(asked, LONGEST) + self.initial * JITTER * random())
        if self.elapsed and spent + wait > self.elapsed:
            return None
        return wait


def backoff(retry: Retry, queue: Queue | None = None) -> Backoff:
    """What the settings of an exporter say.

    A queue on disk is there to bridge an outage, so that nothing is given up unless it is asked.
    """
    elapsed: float | None = retry.max_elapsed_time if retry.enabled else _AT_ONCE
    if elapsed is None:
        elapsed = 0.0 if queue is not None and queue.storage else ELAPSED
    return Backoff(retry.initial_interval, retry.max_interval, elapsed)
