"""The end of a client's connection: half-closed, lingering, or hard.

A client may shut its end after its request and read on (`nc -N`, shell scripts, old libraries):
all that came before the FIN is answered. A client that has gone for good sends the same FIN, so
that it is known by its RST, when something is written to it or by a probe of the kernel's.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Any

from proxy.kernel.clock import monotonic_ns
from proxy.server.h1_answer import AnswerWriter
from proxy.server.h1_client_states import BODY, CLOSED, HEAD, LINGER, TUNNEL, WAIT
from proxy.server.house import House
from proxy.server.outbox import Outbox
from proxy.server.sides import NO_TRAILERS, StoryEvents

WRITE_HIGH = 64 * 1024  # asyncio's default: more gained nothing in benchmarks/stream.py
_LINGER_NS = 1_000_000_000  # reading on after the last answer, so that a reset cannot eat it
_RESET = struct.pack("ii", 1, 0)  # struct linger: on, for no time
_STALL_NS = 30_000_000_000  # waiting for a client to take any more of its answers
_PROBES = (  # a host that is gone is known after 40 s; a closed socket when it is forgotten there
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)


class Unsent:
    """What a client has not taken yet, and since when it takes nothing."""

    __slots__ = ("_bytes", "_since")

    def __init__(self) -> None:
        self._bytes = -1
        self._since = 0

    def start(self, now: int) -> None:
        """Watch from now on."""
        self._bytes = -1
        self._since = now

    def has_waited(self, unsent: int, now: int) -> bool:
        """Whether it was enough; `unsent` in bytes."""
        if unsent and unsent != self._bytes:
            self._bytes = unsent
            self._since = now  # answers are still on their way
            return False
        return now - self._since > (_STALL_NS if unsent else _LINGER_NS)


class Leaver(AnswerWriter):
    """The part of a client's connection that ends it (`h1_client.py`)."""

    __slots__ = ("_buffer", "_house", "_queued", "_state", "_story", "_unsent")

    def __init__(self, house: House, outbox: Outbox) -> None:
        super().__init__(outbox)
        self._house = house
        self._state = HEAD
        self._buffer = b""
        self._story: StoryEvents | None = None
        self._queued = False  # for a later turn
        self.blocked = False
        self._unsent = Unsent()

    def eof_received(self) -> bool:
        """The client has shut its end; True: what it asked before is still to be answered."""
        state, story = self._state, self._story
        if state == TUNNEL and story is not None:
            story.on_body_end(NO_TRAILERS)
            return True
        if state == BODY and not self._queued:
            return False  # half a request: whoever sent it does not want it any more
        if state in (WAIT, BODY) or (self._buffer and (self._queued or self.blocked)):
            self._tap.end(monotonic_ns())
            self._close = self._close or (state == WAIT and not self._buffer)
            sock = self.transport.get_extra_info("socket")
            with contextlib.suppress(OSError):  # a Unix socket, whose ends know of each other
                for option in _PROBES:
                    sock.setsockopt(*option)
            return True
        return self._leave_by_turns()

    def _leave_by_turns(self) -> bool:
        """Ten thousand idle clients may leave at once, and closing takes 45 µs each; False: at
        once, because it waits for a turn already."""
        if self._queued or self._state == CLOSED:
            return False
        if self._state != LINGER:
            self._state = LINGER
            self._unsent.start(monotonic_ns())  # else the sweep would think it had waited
        self._queued = True
        me: Any = self
        self._house.turns.add(me)
        return True

    def _let_go(self) -> None:
        """Read on; or if nothing more will come, see what that means now."""
        if not self._tap.ended:
            self._tap.let_go()
            return
        self._tap.ended_at = monotonic_ns()  # the next answer has as much time as this one
        if self._state == BODY:
            self.transport.close()
        elif self._state == HEAD and not self.blocked:
            self._leave_by_turns()
        elif self._state == WAIT and not self._buffer:
            self._close = True

    def _is_forgotten(self, now: int) -> bool:
        """Whether the client shut its end and no answer came for so long that it is held to have
        gone: one that gave up sends the same FIN, and a reset only when it is written to."""
        limit = self._house.snapshot.limits.half_closed * 1e9
        story = self._story
        if not self._tap.ended or story is None or story.is_answering():
            return False
        return now - self._tap.ended_at > limit > 0

    def hang_up(self) -> None:
        """Close so that the answer arrives: data unread at a close would reset the connection and
        take the answer with it (RFC 9112 §9.6), so what still comes is read and thrown away."""
        unread = (self._state in (BODY, HEAD) or self._buffer) and not self._tap.ended
        self._buffer = b""
        self._linger()
        self._tap.write_last()
        self.push()
        if unread:
            self._tap.open()
            self.shut()
        else:
            self.transport.close()

    def _linger(self) -> None:
        self._state = LINGER
        self._unsent.start(monotonic_ns())
        me: Any = self
        self._house.watch(me)

    def cut(self) -> None:
        if self._story is not None:
            self._close = True
            self._story.on_shutdown()
        self.push()
        if self._state != CLOSED:
            self.transport.close()

    def abort(self) -> None:
        """Send what there is, if the client reads and can see that it is incomplete, or reset."""
        self._story = None
        if self._until_close or self.transport.get_write_buffer_size() > WRITE_HIGH:
            self._state = CLOSED
            reset(self.transport)
            return
        self.push()
        self._linger()
        self.transport.close()


def reset(transport: Any) -> None:
    """End the connection by RST; abort() alone sends FIN."""
    if not transport.is_closing():  # else its socket's number may be another's by now
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
