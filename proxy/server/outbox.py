"""Small writes, gathered until the end of the event loop's turn.

A write to a socket whose reader sleeps wakes it, and waking an idle processor is dear: on the
machine of docs/performance.md a request cost 126 µs with immediate writes and 65 with gathered
ones, because several requests then share one awakening. Order on each transport is kept as long as
everything that is written to it comes through here, or `flush` is called first.
"""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.kernel.write import chunk

_LARGE = 16 * 1024  # bytes; beyond it a write is worth its awakening
_SMALL = 4 * 1024  # bytes that are cheaper to copy than to write on their own


class Outbox:
    """The writes of one worker."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[tuple[Any, bytes]] = []  # transport, data

    def put(self, transport: Any, data: bytes) -> None:
        """Write `data` in this turn of the loop, after what is put already; large data at once,
        for the back-pressure that follows from it."""
        if len(data) > _LARGE:
            self.flush()
            if not transport.is_closing():
                transport.write(data)
            return
        waiting = self._waiting
        if not waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        waiting.append((transport, data))

    def put_last(self, transport: Any, data: bytes) -> None:
        """The same for what completes a message: never at once, however large, so that the
        exchange is recorded before its last byte leaves."""
        waiting = self._waiting
        if not waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        waiting.append((transport, data))

    def put_chunk(self, transport: Any, data: bytes, last: bool = False) -> None:
        """`data` as a chunk (RFC 9112 §7.1), without copying it if it is large."""
        if len(data) <= _LARGE:
            self.put(transport, chunk(b"", data, False))
        else:
            self.put(transport, b"%x\r\n" % len(data))
            if last:
                self.put_last(transport, data)
            else:
                self.put(transport, data)
            self.put(transport, b"\r\n")

    def put_more(self, transport: Any, data: bytes) -> None:
        """As `put`, and in one write with what was put last, if that is for the same transport:
        a system call less, and a small request is one segment."""
        waiting = self._waiting
        if not waiting or len(data) > _LARGE:
            self.put(transport, data)
            return
        whose, before = waiting[-1]
        if whose is transport and len(before) + len(data) <= _SMALL:
            waiting[-1] = (transport, before + data)
        else:
            waiting.append((transport, data))

    def waiting(self, transport: Any) -> int:
        """Bytes that are put and not written."""
        return sum([len(data) for whose, data in self._waiting if whose is transport])

    def flush(self) -> None:
        """Write all of it now; before a transport is closed or written to directly."""
        waiting = self._waiting
        if not waiting:
            return
        self._waiting = []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)
