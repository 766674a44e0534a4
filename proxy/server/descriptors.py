"""File descriptors that run out: new clients wait in the kernel's queue, who is here is served.

The kernel gives the lowest free number, so the number of a new descriptor tells how many are in
use. That is asked for one client in many, as long as there is much room. A share is kept for
connections to upstreams: while it is touched nobody is accepted, and the sweep looks whether that
is over. Where even a dial finds none, an idle connection to some upstream
is closed, or a warm one to the right upstream taken when it comes back. The last few are for
accept(2): where that finds none, libuv resets everybody in the queue (uv__emfile_trick).
"""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import Callable
from time import monotonic_ns

from proxy.telemetry import instruments
from proxy.telemetry.metrics import Registry

_SHARE = 4  # a fourth is not for clients
_LEAST, _MOST = 8, 1024  # of what is not
_SPARE = 4  # not for dials either
_UNASKED = 64  # clients at most, or a fourth of the room, between two looks at it
_AGAIN = 600_000_000_000  # ns until the same is said again

log = logging.getLogger("spangate")


class Descriptors:
    """Those of one worker. `pause` stops accepting, `resume` goes on, `free` closes an idle
    connection to an upstream, if there is one."""

    __slots__ = ("_free", "_pause", "_registry", "_resume", "_said", "_unasked", "paused")

    def __init__(
        self,
        pause: Callable[[], None],
        resume: Callable[[], None],
        free: Callable[[], None],
        registry: Registry,
    ) -> None:
        self._pause = pause
        self._resume = resume
        self._free = free
        self._registry = registry
        self._said = -_AGAIN
        self._unasked = 0  # clients that may come before the next look
        self.paused = False

    def accepted(self) -> None:
        """A client has come."""
        if self._unasked > 0:
            self._unasked -= 1
        elif not self.paused:
            room = _room()
            self._unasked = min(room // 4, _UNASKED)
            if room <= 0:
                self._wait()

    def look(self) -> None:
        """Accept again, if there is room; a few times a second."""
        self._unasked = 0
        if self.paused and _room() > 0:
            self.paused = False
            self._resume()

    def are_out(self) -> bool:
        """Whether there is none for a dial. If so, room is made, as far as that is possible."""
        left = _left()
        if left > _SPARE:
            if left <= _share():  # dials have come this far since a client was last asked for
                self._unasked = 0
            return False
        if not self.paused:
            self._wait()
        self._free()
        return True

    def _wait(self) -> None:
        self.paused = True
        self._registry.number(instruments.DESCRIPTORS_OUT).value += 1
        now = monotonic_ns()
        if now - self._said >= _AGAIN:
            self._said = now
            log.error(
                "out of file descriptors (%d at most): new clients wait until others leave; raise"
                " the limit (LimitNOFILE= of the unit, ulimit -n) or lower limits.connections",
                _limit(),
                extra={"key": "descriptors.exhausted"},
            )
        self._pause()


def _limit() -> int:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return soft if soft >= 0 else 1 << 30


def _next() -> int:
    """The number that the next descriptor would have; -1 = there is none."""
    try:
        number = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
    os.close(number)
    return number


def _left() -> int:
    number = _next()
    return max(0, _limit() - number) if number >= 0 else 0


def _share() -> int:
    """So many are not for clients."""
    return min(max(_limit() // _SHARE, _LEAST), _MOST)


def _room() -> int:
    """Descriptors that clients may still take."""
    return max(0, _left() - _share())
