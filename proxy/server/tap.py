"""Whether a socket is read: it is not while a story wants no more, nor while its own connection
has enough. Either may stop it, and only both together let it run again."""

from __future__ import annotations

import select
from fcntl import ioctl
from struct import unpack
from termios import FIONREAD, TIOCOUTQ
from typing import Any

_GONE = select.POLLHUP | select.POLLERR  # both directions are shut, or a reset came


class Tap:
    """The reading of one transport."""

    __slots__ = (
        "_fd",
        "_input",
        "_tls",
        "_transport",
        "ended",
        "ended_at",
        "held",
        "lent",
        "paused",
    )

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._fd = transport.get_extra_info("socket").fileno()
        self._tls = transport.get_extra_info("tls")  # tls.py, between us and the socket; or None
        self._input: select.poll | None = None  # made when it is first asked for
        self.paused = False  # by a story
        self.held = False  # by its connection
        self.lent = False  # somebody else reads the socket (splice.py)
        self.ended = False  # the other end has shut: there is nothing more to read
        self.ended_at = 0

    def pause(self) -> None:
        if not self.paused and not self._transport.is_closing():
            self.paused = True
            if not self.held and not self.lent:
                self._transport.pause_reading()

    def resume(self) -> None:
        if self.paused and not self._transport.is_closing():
            self.paused = False
            if not self.held and not self.lent:
                self._transport.resume_reading()

    def hold(self) -> None:
        if not self.held and not self._transport.is_closing():
            self.held = True
            if not self.paused and not self.lent:
                self._transport.pause_reading()

    def let_go(self) -> None:
        if self.held and not self.ended and not self._transport.is_closing():
            self.held = False
            if not self.paused and not self.lent:
                self._transport.resume_reading()

    def lend(self) -> None:
        """Let somebody else read, which `pause` and `hold` do not stop."""
        self.lent = True
        if not self.paused and not self.held:
            self._transport.pause_reading()

    def take_back(self) -> None:
        """Read again, unless it is paused or held by now."""
        self.lent = False
        if not self.paused and not self.held and not self._transport.is_closing():
            self._transport.resume_reading()

    def write_last(self) -> None:
        """What is written next is the last, and the connection's end follows in this turn."""
        if self._tls is not None:
            self._tls.hold()

    def open(self) -> None:
        """Read, whatever comes."""
        self.resume()
        self.let_go()

    def end(self, now: int) -> None:
        """The other end has shut; whoever writes may go on."""
        self.ended = self.held = True
        self.ended_at = now

    def hides_the_end(self, missing: int) -> bool:
        """Whether the other end has gone unnoticed: the loop tells it while it reads. Who has shut
        its end alone is not gone, unless the `missing` bytes of its request are not there."""
        if not (self.paused or self.held) or self._transport.is_closing():
            return False
        poll = select.poll()
        poll.register(self._fd, select.POLLRDHUP)
        for _, events in poll.poll(0):
            return bool(events & _GONE) or self._unread() < missing
        return False

    def _unread(self) -> int:
        unread = int(unpack("i", ioctl(self._fd, FIONREAD, bytes(4)))[0])
        return unread if self._tls is None else unread + int(self._tls.held_back())

    def unacknowledged(self) -> int:
        """Bytes that were written and not acknowledged by the other end's kernel."""
        unacknowledged = int(unpack("i", ioctl(self._fd, TIOCOUTQ, bytes(4)))[0])
        return unacknowledged if self._tls is None else int(self._tls.untold(unacknowledged))

    def has_input(self) -> bool:
        """Whether something waits to be read, the end included. 0.4 µs."""
        poll = self._input
        if poll is None:
            poll = self._input = select.poll()
            poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(0))
