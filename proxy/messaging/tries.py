"""Tries at one message: how many there were, and when the next one is due.

Deciding alone: no clock, no I/O.
"""

from __future__ import annotations

from proxy.config.messaging_model import Consume
from proxy.messaging.deliver import Outcome
from proxy.pauses import doubled

LONGEST = 30.0  # seconds of a pause before another try
USUAL = 0.1  # seconds before the first try after a failure, where the file does not say
# Seconds before each further try of what may be buried, where it does not say and nobody is there:
# a restart of the upstream is to cost no message its place in the queue.
NOBODY = (1.0, 10.0, 30.0)
BROKEN = 0.2  # seconds before the first try after one that broke off, doubled each time
FREE = 5  # tries that broke off between us and a worker, before they count
SOON = 1.0  # seconds at most until a worker is looked for again


class Tries:
    """`count` of those that failed, the last one for `reason`."""

    __slots__ = ("_free", "_nobody", "_said", "count", "reason")

    def __init__(self, said: Consume) -> None:
        self.count, self.reason = 0, ""
        self._said = said
        self._free = self._nobody = 0

    def next(self, outcome: Outcome) -> tuple[float, float] | None:
        """Seconds until the next one, as we go and as the upstream asks; None = there is none, and
        the message is for the dead letters."""
        said = self._said
        if not outcome.counts:
            self._nobody += 1
            return min(SOON, pause_of(None, self._nobody)), 0.0
        if outcome.reason == "disconnected" and self._free < FREE:
            self._free += 1
            return pause_of(said.backoff, max(self.count, 1)), BROKEN * 2**self._free
        self.count, self.reason = self.count + 1, outcome.reason
        if said.dead_letter and self.count > said.retry:
            return None
        pause = pause_of(said.backoff, self.count, outcome.is_away and bool(said.dead_letter))
        if self.count > said.retry:  # what is tried for ever takes its time, whatever is said
            pause = max(pause, pause_of(None, self.count - said.retry))
        return pause, outcome.after


def pause_of(backoff: float | None, failures: int, is_away: bool = False) -> float:
    """Seconds before another try after that many failures. `backoff`: as the file says it;
    `is_away`: nobody is there to answer, and there are dead letters."""
    if backoff is None and is_away:
        return NOBODY[min(failures, len(NOBODY)) - 1]
    first = USUAL if backoff is None else backoff
    return doubled(first, failures - 1, LONGEST)
