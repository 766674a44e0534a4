"""The hub's end of the link to one worker: frames in, frames out.

It knows the frames and nothing of processes: records go to the intake, the rest is an event of
the worker that the link belongs to.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from proxy.server import frames
from proxy.telemetry import report
from proxy.telemetry.metrics import Report

if TYPE_CHECKING:
    from proxy.collector.batch import Signal

# A unix stream socket blocks its writer at the sender's SO_SNDBUF; the kernel caps this at
# net.core.wmem_max (208 KiB by default, doubled), about 1,000 requests' records.
BUFFER = 4 * 1024 * 1024

_SIGNALS: dict[int, Signal] = {frames.SPANS: "traces", frames.LOGS: "logs"}


class Intake(Protocol):
    """Where the records of workers go."""

    def records(self, signal: Signal, entries: bytes, items: int) -> None: ...

    def report(self, worker: int, report: Report) -> None: ...


class Link(asyncio.Protocol):
    """One worker's link. `lost` is set when no byte will come any more."""

    def __init__(self, worker: int, intake: Intake, event: Callable[[int, int], None]) -> None:
        self.lost = asyncio.Event()
        self.received: dict[Signal, int] = {"traces": 0, "logs": 0}  # items that arrived
        self._worker = worker
        self._intake = intake
        self._event = event  # (kind, items) of frames that carry no records
        self._frames = frames.Frames()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has no common base

    def data_received(self, data: bytes) -> None:
        for kind, items, payload in self._frames.feed(data):
            if (signal := _SIGNALS.get(kind)) is not None:
                self.received[signal] += items
                self._intake.records(signal, payload, items)
            elif kind == frames.METRICS:
                self._intake.report(self._worker, report.decode(payload))
            else:
                self._event(kind, items)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.lost.set()

    def send(self, kind: int, payload: bytes = b"", items: int = 0) -> None:
        """Queue a frame; one to a worker that is gone is thrown away."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frames.encode(kind, payload, items))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def pair() -> tuple[socket.socket, socket.socket]:
    """(hub's end, worker's end) of a link, with the largest buffers that the kernel gives."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for sock in (ours, theirs):
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    return ours, theirs
