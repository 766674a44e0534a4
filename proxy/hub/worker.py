"""One worker process as the hub sees it: its state, its link, its ring.

Who decides to start, drain or replace it is the supervisor. A worker's state only moves forward,
so that "has it come to X yet" can be waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from enum import IntEnum

from proxy.hub.answers import Answers
from proxy.hub.link import Link
from proxy.hub.rings import Ring
from proxy.server import frames
from proxy.telemetry import report
from proxy.telemetry.metrics import Report


class WorkerState(IntEnum):
    STARTING = 0
    READY = 1
    DRAINING = 2  # no longer accepting
    DRAINED = 3  # everything is flushed
    GONE = 4  # the process has ended
    BURIED = 5  # its link has been read to the end and its books are closed


# What a frame says about the state of its sender.
_REACHED = {
    frames.READY: WorkerState.READY,
    frames.DRAINING: WorkerState.DRAINING,
    frames.DRAINED: WorkerState.DRAINED,
}


class Worker:
    """One process in one slot; `id` is never used twice. `report` gets the worker's numbers."""

    __slots__ = (
        "_asked",
        "_report",
        "_waiting",
        "answers",
        "asked_to_drain",
        "asks",
        "id",
        "link",
        "listeners",
        "loans",
        "place",
        "process",
        "ring",
        "slot",
        "started",
        "state",
        "stirred",
    )

    def __init__(
        self, slot: int, ring: Ring, report: Callable[[int, Report], None], started: float
    ) -> None:
        self.id = ring.number
        self.slot = slot
        self.started = started  # monotonic seconds
        self.place = -1  # on the board; -1 = none
        self.state = WorkerState.STARTING
        self.asked_to_drain = False
        self.answers = Answers()
        self.asks: Callable[[Worker, int, bytes], None] | None = None  # gets its questions
        self.stirred: Callable[[], None] = lambda: None  # called when it has answered
        self.ring = ring
        self.link = Link(self._take)
        self.listeners: Sequence[str] = ()  # addresses whose sockets it was started with
        self.loans: socket.socket | None = None  # our end of the way of descriptors
        self.process: subprocess.Popen[bytes] | None = None
        self._waiting: list[tuple[WorkerState, asyncio.Future[None]]] = []
        self._asked: dict[int, asyncio.Future[None]] = {}
        self._report = report

    def __repr__(self) -> str:
        return f"<Worker {self.id} slot {self.slot} pid {self.pid} {self.state.name.lower()}>"

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0

    @property
    def accepting(self) -> bool:
        return self.state is WorkerState.READY and not self.asked_to_drain

    @property
    def can_change(self) -> bool:
        """Whether a configuration still means something to it."""
        return self.state <= WorkerState.READY and not self.asked_to_drain

    @property
    def requests(self) -> int:
        return self.ring.requests

    @property
    def connections(self) -> int:
        return self.ring.connections if self.state < WorkerState.GONE else 0

    def drain(self) -> None:
        if not self.asked_to_drain:
            self.asked_to_drain = True
            self.link.send(frames.DRAIN)

    def hand(self, message: bytes, fds: Sequence[int]) -> None:
        """Lend it descriptors; to one that is gone, or hangs, nothing can be lent."""
        if self.loans is not None:
            with contextlib.suppress(OSError):
                socket.send_fds(self.loans, [message], fds)

    def kill(self) -> None:
        # Not Popen.kill, which reaps: until the supervisor has, the pid is surely this process.
        if self.process is not None and self.state < WorkerState.GONE:
            os.kill(self.process.pid, signal.SIGKILL)

    async def reached(self, state: WorkerState, timeout: float | None) -> bool:
        """Wait until the worker is in `state` or beyond it; False after `timeout` seconds."""
        if self.state >= state:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((state, future))
        return await _done_in_time(future, timeout)

    async def collect(self, number: int, timeout: float) -> bool:
        """Ask for everything recorded until now; True when it has arrived."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        self.link.send(frames.COLLECT, items=number)
        try:
            return await _done_in_time(future, timeout)
        finally:
            self._asked.pop(number, None)

    def advance(self, state: WorkerState) -> None:
        """Move forward; a state that was passed already changes nothing."""
        if state <= self.state:
            return
        self.state = state
        for wanted, future in self._waiting:
            if wanted <= state and not future.done():
                future.set_result(None)
        self._waiting = [(w, f) for w, f in self._waiting if not f.done()]
        if state >= WorkerState.GONE:
            if self.loans is not None:
                self.loans.close()
                self.loans = None
            for future in self._asked.values():
                if not future.done():
                    future.set_result(None)

    def _take(self, kind: int, items: int, payload: bytes) -> None:
        if self.answers.hear(kind, items, payload):
            self.stirred()
            if self.answers.refusals and self.state is WorkerState.STARTING:
                self.kill()  # it has nothing to serve with
        elif kind == frames.METRICS:
            self._report(self.id, report.decode(payload))
        elif kind == frames.COLLECTED:
            future = self._asked.get(items)
            if future is not None and not future.done():
                future.set_result(None)
        elif kind == frames.QUESTION:
            if self.asks is not None:
                self.asks(self, items, payload)
        elif (state := _REACHED.get(kind)) is not None:
            self.advance(state)


async def _done_in_time(future: asyncio.Future[None], timeout: float | None) -> bool:
    done, _ = await asyncio.wait([future], timeout=timeout)
    future.cancel()
    return bool(done)
