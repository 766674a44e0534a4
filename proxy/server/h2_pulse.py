"""Whether an upstream that says nothing is still there: when it is asked by PING, and given up."""

from __future__ import annotations

# ns without a byte, while streams are open, after which it is asked; the second and third are for
# when nothing but such answers came. A gRPC server takes three pings within five minutes on which
# nothing else is said, then it closes the connection (its "ping strikes").
PING_AFTER = (10_000_000_000, 60_000_000_000, 310_000_000_000)
PING_LIMIT = 10_000_000_000  # ns that an answer may take


class Pulse:
    """Of one connection; times in monotonic ns."""

    __slots__ = ("_asked", "_in_a_row", "heard")

    def __init__(self) -> None:
        self.heard = 0  # when something came last
        self._asked = 0  # when it was asked; 0 = no answer is waited for
        self._in_a_row = 0  # times, with nothing but answers between

    def hear(self, now: int) -> None:
        """Something came, an answer for one."""
        self.heard = now
        self._asked = 0

    def work(self) -> None:
        """An exchange has made progress."""
        self._in_a_row = 0

    def is_due(self, now: int) -> bool:
        """Whether to ask now; if so, that counts as done. Only while streams are open."""
        after = PING_AFTER[min(self._in_a_row, len(PING_AFTER) - 1)]
        if self._asked or now - self.heard < after:
            return False
        self._asked = now
        self._in_a_row += 1
        return True

    def has_stopped(self, now: int) -> bool:
        """Whether it was asked and has not answered in time."""
        return self._asked > 0 and now - self._asked >= PING_LIMIT
