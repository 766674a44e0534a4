"""Whether a socket is read: it is not while a story wants no more, nor while its own connection
has enough. Either may stop it, and only both together let it run again."""

from __future__ import annotations

import select
from typing import Any


class Tap:
    """The reading of one transport."""

    __slots__ = ("_fd", "_transport", "held", "paused")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._fd = transport.get_extra_info("socket").fileno()
        self.paused = False  # by a story
        self.held = False  # by its connection

    def pause(self) -> None:
        if not self.paused and not self._transport.is_closing():
            self.paused = True
            if not self.held:
                self._transport.pause_reading()

    def resume(self) -> None:
        if self.paused and not self._transport.is_closing():
            self.paused = False
            if not self.held:
                self._transport.resume_reading()

    def hold(self) -> None:
        if not self.held and not self._transport.is_closing():
            self.held = True
            if not self.paused:
                self._transport.pause_reading()

    def let_go(self) -> None:
        if self.held and not self._transport.is_closing():
            self.held = False
            if not self.paused:
                self._transport.resume_reading()

    def open(self) -> None:
        """Read, whatever comes."""
        self.resume()
        self.let_go()

    def hides_the_end(self) -> bool:
        """Whether the other end has hung up unnoticed: the loop tells it while it reads."""
        if not self.paused and not self.held:
            return False
        poll = select.poll()
        poll.register(self._fd, select.POLLRDHUP)
        return bool(poll.poll(0))

    def has_input(self) -> bool:
        """Whether something waits to be read, the end included. 0.6 µs."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(0))
