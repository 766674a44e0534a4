"""Line: one connection of HTTP/2 on an asyncio transport, either side of it.

Owns when is read and written. A peer that does not read what it is sent is not read either, so
that nothing grows; and what it sends is worked on in slices, between which others have their turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic_ns
from typing import Any, cast

from proxy.http.h2 import Session


class Line(asyncio.Protocol):
    """`handle` and `lost` are its owner's."""

    __slots__ = (
        "_is_held", "_is_reading", "closing", "heard", "session", "stalled", "transport"
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, session: Session) -> None:
        self.session = session
        self.heard = 0  # when the last byte came; monotonic ns, as all times here
        self.stalled = 0  # since when nothing can be written, 0 = it can
        self.closing = 0  # since when nothing but the rest of what was written is to be sent
        self._is_held = False  # what came is not all worked on
        self._is_reading = True

    def handle(self, events: Iterable[Any]) -> None:
        """What happened; may send, and must not flush."""
        raise NotImplementedError

    def lost(self, error: Exception | None) -> None:
        """The connection is no more."""

    # what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.heard = monotonic_ns()
        self.flush()

    def data_received(self, data: bytes) -> None:
        if not self.closing:
            self.heard = monotonic_ns()
            self._receive(data)

    def pause_writing(self) -> None:
        self.stalled = monotonic_ns()
        self._read_on()

    def resume_writing(self) -> None:
        self.stalled = 0
        if not self.closing:
            self.flush()
        self._read_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = self.closing or monotonic_ns()
        self.lost(exc)

    # what comes, and what leaves

    def _receive(self, data: bytes) -> None:
        session = self.session
        self.handle(session.receive(data, monotonic_ns()))
        self.flush()
        if session.waiting and not self._is_held:
            self._is_held = True
            self._read_on()
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_held = False
        if not self.closing:
            self._receive(b"")
            self._read_on()

    def _read_on(self) -> None:
        """Or not, as things are."""
        may = not self._is_held and not self.stalled
        if may != self._is_reading and not self.closing:
            self._is_reading = may
            (self.transport.resume_reading if may else self.transport.pause_reading)()

    def flush(self) -> None:
        """Send what there is, as far as it is taken; the end of the session ends the line."""
        session, transport = self.session, self.transport
        while True:
            while not self.stalled and (data := session.take()):
                transport.write(data)
            events = session.events()
            if not events:
                break
            self.handle(events)
        if session.closed:
            self.close()

    def close(self) -> None:
        """Send what was written, then end."""
        if not self.closing:
            self.closing = monotonic_ns()
            self.transport.close()

    def abort(self) -> None:
        self.closing = self.closing or monotonic_ns()
        self.transport.abort()
