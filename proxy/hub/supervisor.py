"""Worker processes: started, watched, replaced, rolled over, drained.

It owns who fills which slot. Configuration, telemetry and the order of a shutdown belong to the
hub; a worker gets its snapshot as bytes that the supervisor does not read.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxy.hub.asks import Asks
from proxy.hub.boards import Boards
from proxy.hub.ended import BACKOFF, backoff, describe_exit, reap
from proxy.hub.keepers import Keepers
from proxy.hub.link import loans, pair
from proxy.hub.rings import Rings
from proxy.hub.sockets import Sockets
from proxy.hub.worker import Worker, WorkerState
from proxy.tasks import spawn
from proxy.telemetry.metrics import Report
from proxy.telemetry.totals import Totals

log = logging.getLogger("spangate")

COMMAND = (sys.executable, "-m", "proxy.server")
QUICK = 1.0  # seconds: a worker that dies sooner than this is held to be broken
START_TIMEOUT = 15.0  # seconds that a new worker may take to become ready in a roll-over
DRAIN_UNASKED = 3600.0  # seconds; such a worker keeps its own deadline
KILL_TIMEOUT = 3.0  # seconds until a killed worker must have been buried
COLLECT_TIMEOUT = 0.25  # seconds that a scrape waits for workers


class Slot:
    """One place for a worker; its sockets outlive the processes that fill it."""

    __slots__ = ("coming", "cpu_spent", "current", "number", "quick", "restarts")

    def __init__(self, number: int) -> None:
        self.number = number
        self.current: Worker | None = None
        self.coming: Worker | None = None  # takes over in a roll-over
        self.restarts = 0
        self.cpu_spent = 0.0  # seconds, of processes that have ended
        self.quick = 0  # deaths in a row that came soon after the start


@dataclass(frozen=True, slots=True)
class Shared:
    """Memory that workers are started with."""

    rings: Rings
    boards: Boards


class RollFailed(Exception):
    """A new worker did not become ready; the old ones go on."""


class Supervisor:
    """All workers of one hub.

    `greet` sends a new worker the configuration in force, then health. Its numbers go to `totals`,
    its records into a ring.
    """

    def __init__(
        self,
        sockets: Sockets,
        shared: Shared,
        totals: Totals,
        *,
        greet: Callable[[Worker], None],
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.slots: list[Slot] = []
        self.alive: set[Worker] = set()  # everything started and not yet buried
        self.stirred = asyncio.Event()  # a worker came, went, or said something of a configuration
        self.asks = Asks()  # what workers want to know
        self.listeners: tuple[str, ...] = ()  # addresses that new workers get
        self._sockets = sockets
        self._keepers = Keepers(sockets)
        self._shared = shared
        self._totals = totals
        self._greet = greet
        self._command = command
        self._refusal = ""  # why the last worker had nothing to serve with
        self._ids = 0
        self._questions = 0
        self._stopping = False

    async def start(self, count: int, listeners: Sequence[str]) -> None:
        """Fill `count` slots; returns when the processes run, not when they are ready."""
        self.listeners = tuple(listeners)
        self.slots = [Slot(n) for n in range(count)]
        for slot in self.slots:
            await self._launch(slot)

    def current(self) -> list[Worker]:
        """The workers that fill the slots now."""
        return [s.current for s in self.slots if s.current is not None]

    def is_short(self) -> bool:
        """Whether some slot waits for a worker that can be told of a configuration."""
        return any(s.current is None or not s.current.answers.asked for s in self.slots)

    def broadcast(self, kind: int, payload: bytes = b"") -> None:
        for worker in self.alive:
            worker.link.send(kind, payload)

    async def ready(self, timeout: float = float("inf")) -> None:
        """Wait until every slot has a worker that accepts, `timeout` seconds at most.

        For the start: RollFailed if a worker refuses the first configuration, which others would
        do for ever.
        """
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if self._refusal:
                raise RollFailed(self._refusal)
            waiting = [s for s in self.slots if s.current is None or not s.current.accepting]
            if not waiting:
                return
            worker = waiting[0].current
            if worker is None or worker.state is not WorkerState.STARTING:
                await asyncio.sleep(0.02)  # between a death and its replacement
            else:
                await worker.reached(WorkerState.READY, min(left, 1.0))

    async def collect(self) -> bool:
        """Have all workers report what happened until now; False if one did not in time."""
        self._questions += 1
        asked = [w for w in self.alive if WorkerState.READY <= w.state < WorkerState.DRAINED]
        answers = [w.collect(self._questions, COLLECT_TIMEOUT) for w in asked]
        return all(await asyncio.gather(*answers))

    async def roll(
        self, listeners: Sequence[str], drain_timeout: float, proven: Callable[[], None]
    ) -> None:
        """Replace the workers one by one, so that they listen on `listeners`.

        The first new worker proves the configuration: if it does not become ready, RollFailed is
        raised and nothing has changed; else `proven` is called before an old one is drained. A
        later one that fails is killed and tried again like any worker that dies.
        """
        before, self.listeners = self.listeners, tuple(listeners)
        for slot in self.slots:
            if self._stopping:
                return
            worker = await self._launch(slot, coming=True)
            await worker.reached(WorkerState.READY, START_TIMEOUT)
            slot.coming = None
            if worker.accepting:
                if slot is self.slots[0]:
                    proven()
                self._take_over(slot, worker, drain_timeout)
                continue
            worker.kill()
            await worker.reached(WorkerState.GONE, KILL_TIMEOUT)
            if slot is self.slots[0]:
                self.listeners = before
                if slot.current is None:
                    self._replace(slot, 0.0)
                raise RollFailed(f"worker {worker.id} {_why(worker)}")
            self._take_over(slot, None, drain_timeout)
            self._replace(slot, BACKOFF)

    async def drain(self, timeout: float) -> bool:
        """Stop all workers; True when each of them has finished what it had begun.

        The hub's copies of the sockets close first. So a worker that has emptied its queue and
        closes its own ends the socket for good, and what comes later is refused, not stranded.
        """
        self._stopping = True
        deadline = time.monotonic() + timeout
        self._sockets.close(self._sockets.addresses)
        for worker in self.alive:
            worker.drain()
        workers = list(self.alive)
        await asyncio.gather(
            *(w.reached(WorkerState.GONE, max(0.0, deadline - time.monotonic())) for w in workers)
        )
        late = [w for w in workers if w.state < WorkerState.GONE]
        for worker in late:
            log.warning(
                "worker %d did not finish in time and is killed",
                worker.id,
                extra={"key": "worker.killed"},
            )
        await self.kill()
        return not late

    async def kill(self) -> None:
        """End all workers at once and wait until they are buried."""
        self._stopping = True
        workers = list(self.alive)
        for worker in workers:
            worker.kill()
        await asyncio.gather(*(w.reached(WorkerState.BURIED, KILL_TIMEOUT) for w in workers))

    async def _launch(self, slot: Slot, *, coming: bool = False) -> Worker:
        self._ids += 1
        ring = self._shared.rings.open(self._ids)
        worker = Worker(slot.number, ring, self._report, time.monotonic())
        worker.listeners = self.listeners
        worker.place = self._shared.boards.enter()
        ours, theirs = pair()
        worker.loans, lent = loans()
        with theirs, lent:
            try:
                self._execute(worker, theirs.fileno(), lent.fileno())
            except BaseException:
                ours.close()
                worker.loans.close()
                raise
            finally:
                ring.started()
        # Its place must be known before the first await: it may die at once.
        if coming:
            slot.coming = worker
        else:
            slot.current = worker
        self.alive.add(worker)
        loop = asyncio.get_running_loop()
        pidfd = os.pidfd_open(worker.pid)
        loop.add_reader(pidfd, self._exited, slot, worker, pidfd)
        await loop.create_unix_connection(lambda: worker.link, sock=ours)
        worker.stirred, worker.asks = self.stirred.set, self.asks.take
        self._greet(worker)
        self.stirred.set()
        spawn(self._mind(slot, worker), f"watch worker {worker.id}")
        return worker

    def _execute(self, worker: Worker, link: int, lent: int) -> None:
        sockets = self._sockets.of_slot(worker.slot, self.listeners)
        ring, boards = worker.ring, self._shared.boards
        listening = [sock.fileno() for _, sock in sockets]
        arguments = ["--link", str(link), "--id", str(worker.id), "--slot", str(worker.slot)]
        arguments += ["--ring", str(ring.memory), "--wake", str(ring.writer)]
        arguments += ["--loans", str(lent)]
        arguments += ["--board", str(boards.memory), "--place", str(worker.place)]
        arguments += ["--rates", str(boards.rates), "--crowd", str(boards.crowd)]
        shared = [boards.memory, boards.rates, boards.crowd]
        for address, sock in sockets:
            arguments += ["--socket", f"{address}={sock.fileno()}"]
        worker.process = subprocess.Popen(
            [*self._command, *arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=[link, lent, *shared, ring.memory, ring.writer, *listening],
            process_group=0,  # Ctrl-C in a terminal reaches the hub alone, and the hub drains
        )

    def _exited(self, slot: Slot, worker: Worker, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        status, spent = reap(worker)
        slot.cpu_spent += spent
        expected = self._stopping or worker.asked_to_drain
        if worker.state is WorkerState.STARTING and worker.answers.refusals:
            self._refusal = f"worker {worker.id} {_why(worker)}"
        worker.advance(WorkerState.GONE)
        worker.ring.left()
        self._shared.boards.leave(worker.place)
        self.stirred.set()
        spawn(self._bury(worker), f"bury worker {worker.id}")
        if not expected or status > 0:
            log.error(
                "worker %d (pid %d) %s",
                worker.id,
                worker.pid,
                describe_exit(status),
                extra={"key": "worker.exited"},
            )
        if slot.current is worker and not self._stopping:
            slot.current = None
            quick = time.monotonic() - worker.started < QUICK
            slot.quick = slot.quick + 1 if quick else 0
            self._replace(slot, backoff(slot.quick))
            self._keepers.settle(self.slots, self.listeners)

    async def _mind(self, slot: Slot, worker: Worker) -> None:
        """It takes back what others kept for it; when it stops unasked (somebody sent it TERM) it
        has left its sockets to nobody."""
        await worker.reached(WorkerState.READY, None)
        if not self._stopping:
            self._keepers.settle(self.slots, self.listeners)
        await worker.reached(WorkerState.DRAINING, None)
        if worker.state < WorkerState.GONE and slot.current is worker and not self._stopping:
            self._take_over(slot, None, DRAIN_UNASKED)
            self._replace(slot, 0.0)
            self._keepers.settle(self.slots, self.listeners)

    def _replace(self, slot: Slot, delay: float) -> None:
        slot.restarts += 1
        spawn(self._refill(slot, delay), f"replace worker in slot {slot.number}")

    async def _refill(self, slot: Slot, delay: float) -> None:
        if delay:
            await asyncio.sleep(delay)
        if self._stopping or slot.current is not None or slot.coming is not None:
            return
        try:
            await self._launch(slot)
        except OSError as error:  # no memory or no process to be had now
            log.error("cannot start a worker: %s", error, extra={"key": "worker.not_started"})
            slot.quick += 1
            self._replace(slot, backoff(slot.quick + 1))

    def _take_over(self, slot: Slot, worker: Worker | None, drain_timeout: float) -> None:
        old, slot.current = slot.current, worker
        if old is not None:
            old.drain()
            spawn(self._end(old, drain_timeout + 1.0), f"drain worker {old.id}")
        self._keepers.settle(self.slots, self.listeners)

    async def _end(self, worker: Worker, timeout: float) -> None:
        if not await worker.reached(WorkerState.GONE, timeout):
            log.warning(
                "worker %d did not finish in time and is killed",
                worker.id,
                extra={"key": "worker.killed"},
            )
            worker.kill()

    def _report(self, worker: int, report: Report) -> None:
        self._totals.apply(worker, report, time.monotonic())

    async def _bury(self, worker: Worker) -> None:
        """Read the link to its end before the books of the dead are closed."""
        try:
            await asyncio.wait_for(worker.link.lost.wait(), 1.0)
        except TimeoutError:
            worker.link.close()
        self.alive.discard(worker)
        self._totals.retire(worker.id, time.monotonic())
        worker.advance(WorkerState.BURIED)


def _why(worker: Worker) -> str:
    """Why it is not ready."""
    refusals = list(worker.answers.refusals.values())
    if refusals:
        return f"refused the configuration: {refusals[-1]}"
    return "did not become ready with the configuration"
