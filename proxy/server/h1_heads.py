"""Looking for the end of a request's head that comes in pieces, and losing patience with it."""

from __future__ import annotations

from proxy.http.h1 import Limits, check_partial
from proxy.kernel.clock import monotonic_ns


class HeadSearch:
    """What is known of an incomplete head."""

    __slots__ = ("_blank", "begun", "seen", "touched")

    def __init__(self) -> None:
        self.begun = 0  # when its first bytes came; 0 = they did not
        self.seen = 0  # bytes of it that were looked at
        self.touched = False  # there is something to reset
        self._blank = False  # an empty line came before it

    def reset(self) -> None:
        """A head was complete, the next one has not begun."""
        self.begun = self.seen = 0
        self.touched = self._blank = False

    def waited(self, now: int) -> int:
        """For how long (ns) its rest has been waited for."""
        return now - self.begun if self.begun else 0

    def partial(self, data: bytes, limits: Limits) -> bytes:
        """`data`, which holds no complete head, or less if an empty line was before it.

        Raises BadRequest for what can no longer become a head (`h1.check_partial`).
        """
        self.touched = True
        if data[:2] == b"\r\n" and not self._blank:
            self._blank = True  # RFC 9112 §2.2: ignore an empty line before the request line
            self.begun = 0
            return data[2:]
        if not self.begun:
            self.begun = monotonic_ns()
        if data != b"\r" or self._blank:
            self.seen = check_partial(data, self.seen, limits)
        return data
