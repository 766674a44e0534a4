"""How fast a request's body comes: against clients that send a byte now and then, for ever.

An idle timeout does not end them, since something comes each time. Only the time counts in which
the gateway reads and the client could send; no timer runs, the sweep asks.
"""

from __future__ import annotations

WINDOW_NS = 10_000_000_000  # Apache: 20 s, Kestrel: 5 s before the rate is looked at


class UploadPace:
    """That of one connection's present request."""

    __slots__ = ("_before", "_last", "_request", "_since")

    def __init__(self) -> None:
        self._request: object = None
        self._before = 0  # bytes that had come when the window began
        self._since = 0  # when that was, moved on by the time that does not count
        self._last = 0

    def is_slow(self, request: object, came: int, now: int, rate: int, *, counts: bool) -> bool:
        """Whether less than `rate` bytes a second came for a whole window, of `request`, of whose
        body `came` bytes are here. `counts`: since the last look it was the client's turn."""
        if request is not self._request:
            self._request, self._before, self._since = request, came, now
        elif not counts:
            self._since += now - self._last
        self._last = now
        if now - self._since < WINDOW_NS:
            return False
        slow = (came - self._before) * 1_000_000_000 < rate * (now - self._since)
        self._before, self._since = came, now
        return slow
