"""An open-loop client: requests leave at a given rate, whatever the answers do.

Every tick it hands out the requests that are due to idle connections, so that a slow proxy is
seen as slow instead of being asked less. Some clients leave on purpose, in the middle of sending,
waiting or reading. Runs inside the benchmark's own process, on the load's core.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import cast

from benchmarks import workload
from proxy.tasks import spawn

TICK = 0.001  # seconds between two hand-outs: a longer one makes bursts, and bursts make queues
WHOLE, CUT_REQUEST, NO_ANSWER, CUT_ANSWER = range(4)
CONNECT_PATIENCE = 5.0


@dataclass(slots=True)
class Tally:
    """What happened so far."""

    sent: int = 0
    answered: int = 0
    left: int = 0  # clients that went away on purpose
    failed: int = 0  # connections closed on us, or answers other than 200
    late: int = 0  # requests that were due while no connection was free
    refused: int = 0  # connections that could not be made
    latencies: list[float] = field(default_factory=list)  # seconds, of whole answers


class Crowd:
    """`size` connections to `port` that share a rate. `leaving` is the share that goes away."""

    def __init__(self, port: int, size: int, rate: float, leaving: float = 0.0) -> None:
        self.tally = Tally()
        self._port = port
        self._size = size
        self._rate = rate
        self._leaving = leaving
        self._idle: deque[_Visitor] = deque()
        self._all: set[_Visitor] = set()
        self._dialling: set[asyncio.Task[None]] = set()
        self._random = random.Random(7)
        self._requests = [workload.request(t) for t in workload.trace_ids()]
        self._bulk = workload.request("1" * 32, path="/bulk/zeros")
        self._open = True

    async def run(self, seconds: float) -> None:
        """Ask at the rate for `seconds`. May be called again: connections are kept."""
        while len(self._all) + len(self._dialling) < self._size:
            self._dial()
        begin = time.perf_counter()
        handed = 0
        while (passed := time.perf_counter() - begin) < seconds:
            due = int(passed * self._rate)
            handed += self._hand_out(due - handed)
            await asyncio.sleep(TICK)

    async def close(self) -> None:
        """Let what runs end (a second at most), then close every connection."""
        deadline = time.perf_counter() + 1
        while len(self._idle) < len(self._all) and time.perf_counter() < deadline:
            await asyncio.sleep(TICK)
        self._open = False
        for visitor in list(self._all):
            visitor.leave()
        await asyncio.gather(*self._dialling, return_exceptions=True)

    def free(self, visitor: _Visitor) -> None:
        """An answer is complete: its connection may be used again."""
        self._idle.append(visitor)

    def gone(self, visitor: _Visitor) -> None:
        """A connection ended: somebody else comes."""
        self._all.discard(visitor)
        if self._open:
            self._dial()

    def _hand_out(self, due: int) -> int:
        for _ in range(due):
            visitor = self._idle_one()
            if visitor is None:
                self.tally.late += 1
                continue
            leaves = self._random.random() < self._leaving
            how = self._random.randrange(CUT_REQUEST, CUT_ANSWER + 1) if leaves else WHOLE
            ordinary = self._requests[self.tally.sent % len(self._requests)]
            self.tally.sent += 1
            visitor.ask(self._bulk if how == CUT_ANSWER else ordinary, how)
        return due

    def _idle_one(self) -> _Visitor | None:
        while self._idle:
            visitor = self._idle.popleft()
            if visitor in self._all:
                return visitor
        return None

    def _dial(self) -> None:
        task = spawn(self._connect(), "a client dials")
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CONNECT_PATIENCE
        while self._open and loop.time() < deadline:
            try:
                await loop.create_connection(lambda: _Visitor(self), "127.0.0.1", self._port)
                return
            except OSError:
                self.tally.refused += 1
                await asyncio.sleep(0.1)

    def came(self, visitor: _Visitor) -> None:
        """A connection is there."""
        self._all.add(visitor)
        self._idle.append(visitor)


class _Visitor(asyncio.Protocol):
    """One connection with at most one request under way."""

    __slots__ = ("_asked", "_crowd", "_how", "_missing", "_transport")

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._transport: asyncio.Transport | None = None
        self._asked = 0.0  # 0 = idle
        self._missing = -1  # bytes of the answer still to come, -1 = no head yet
        self._how = WHOLE

    def ask(self, request: bytes, how: int) -> None:
        assert self._transport is not None
        self._how, self._missing = how, -1
        self._asked = time.perf_counter()
        self._transport.write(request[: len(request) // 2] if how == CUT_REQUEST else request)
        if how in (CUT_REQUEST, NO_ANSWER):
            # a moment later, so that the proxy has it in hand when we go
            asyncio.get_running_loop().call_later(0.001, self._depart)

    def leave(self) -> None:
        self._asked, self._how = 0.0, NO_ANSWER
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self._crowd.came(self)

    def data_received(self, data: bytes) -> None:
        if self._how != WHOLE:
            if self._how == CUT_ANSWER:
                self._depart()
            return
        if self._missing < 0:
            head, _, data = data.partition(b"\r\n\r\n")  # a head comes in one piece here
            status_ok = head.startswith(b"HTTP/1.1 200 ")
            self._missing = int(head.lower().partition(b"content-length:")[2].split(b"\r", 1)[0])
            if not status_ok:
                self._crowd.tally.failed += 1
        self._missing -= len(data)
        if self._missing <= 0:
            tally = self._crowd.tally
            tally.answered += 1
            tally.latencies.append(time.perf_counter() - self._asked)
            self._asked = 0.0
            self._crowd.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._asked and self._how == WHOLE:
            self._crowd.tally.failed += 1
        self._crowd.gone(self)

    def _depart(self) -> None:
        if self._asked:
            self._crowd.tally.left += 1
            self.leave()
