"""The process of queues as the hub sees it: started when there are queues, told of changes,
restarted when it dies, and asked for its numbers.

The hub keeps the socket where workers publish, so that what comes between a death and the next
start waits in its queue. It dies last of those who serve: until then workers publish.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import msgspec

from proxy.config.messaging_expand import publish_socket
from proxy.config.model import Config
from proxy.hub import meeting
from proxy.hub.ended import backoff, describe_exit
from proxy.hub.link import Link, pair
from proxy.hub.rings import Ring, Rings
from proxy.hub.snapshot import wanted
from proxy.hub.unix_sockets import UnixSocket
from proxy.messaging import frames, setup
from proxy.tasks import cancel, spawn
from proxy.telemetry import report
from proxy.telemetry.totals import Totals

log = logging.getLogger("spangate")

COMMAND = (sys.executable, "-m", "proxy.messaging")
FIRST_RING = 1_000_000_000  # workers' have the numbers from 1 on
QUICK = 1.0  # seconds: one that dies sooner is held to be broken
LONGEST_PAUSE = 5.0  # seconds before one that dies again and again is replaced
APPLIED = 15.0  # seconds that a reload waits until what has changed is in force
LEAVE = 10.0  # seconds for what is under way when there are no queues any more
COLLECT_TIMEOUT = 0.25  # seconds that a scrape waits for it
GRACE = 3.0  # seconds until one that was told to end is killed


class Bus:
    """One hub's. There is no process while the configuration has no use for one."""

    def __init__(self, rings: Rings, totals: Totals, command: Sequence[str] = COMMAND) -> None:
        self.restarts = 0
        self.cpu_spent = 0.0
        self._rings = rings
        self._totals = totals
        self._command = command
        self._config = Config()
        self._socket: UnixSocket | None = None
        self._run: _Run | None = None
        self._ids = FIRST_RING
        self._quick = 0
        self._questions = 0
        self._ending = False
        self._paused = False
        self._restarting: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        return self._run.process.pid if self._run is not None else 0

    async def configure(self, config: Config) -> None:
        """Go by it from now on; returns when it is in force, or soon."""
        self._config = config
        if not setup.is_wanted(config):
            await self.pause(LEAVE)
            await self.stop(0.0)
            self._ending = self._paused = False
            return
        if self._run is None:
            await cancel(self._restarting)
            await self._launch()
        if self._run is not None:
            await self._run.tell(config)

    async def refresh(self) -> None:
        """Bring in what it has counted until now; returns soon, with or without it."""
        if self._run is not None:
            self._questions += 1
            await self._run.collect(self._questions)

    async def pause(self, seconds: float) -> None:
        """Have it consume no more, and end what is under way within so long. Workers that drain
        may publish until the end: should it die meanwhile, another one takes that over."""
        self._paused = True
        if self._run is not None:
            await self._run.pause(seconds)

    async def stop(self, seconds: float) -> None:
        """End it: nobody publishes any more."""
        self._ending = True
        await cancel(self._restarting)
        if self._run is not None:
            await self._run.end(seconds + GRACE)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _launch(self) -> None:
        if self._socket is None:
            meeting.prepare()
            self._socket = UnixSocket(publish_socket(), 0o600)
        self._ids += 1
        run = _Run(self._rings.open(self._ids), self._take, self._ended)
        await run.start(self._command, self._socket.socket.fileno())
        self._run = run

    def _take(self, run: _Run, payload: bytes) -> None:
        self._totals.apply(run.ring.number, report.decode(payload), time.monotonic())

    def _ended(self, run: _Run, status: int, spent: float) -> None:
        self.cpu_spent += spent
        self._totals.retire(run.ring.number, time.monotonic())
        if self._run is run:
            self._run = None
        if self._ending or not setup.is_wanted(self._now):
            return
        message, said = "the process of queues (pid %d) %s", describe_exit(status)
        log.error(message, run.process.pid, said, extra={"key": "messaging.exited"})
        self._quick = self._quick + 1 if time.monotonic() - run.started < QUICK else 0
        self.restarts += 1
        pause = backoff(self._quick, LONGEST_PAUSE)
        self._restarting = spawn(self._again(pause), "replace the process of queues")

    async def _again(self, pause: float) -> None:
        await asyncio.sleep(pause)
        try:
            await self._launch()
        except OSError as error:
            log.error("cannot start it: %s", error, extra={"key": "messaging.not_started"})
            self._quick += 1
            pause = backoff(self._quick + 1, LONGEST_PAUSE)
            self._restarting = spawn(self._again(pause), "replace the process of queues")
            return
        if self._run is not None:
            await self._run.tell(self._now)

    @property
    def _now(self) -> Config:
        return without_consumers(self._config) if self._paused else self._config


def without_consumers(config: Config) -> Config:
    """The same, that publishes alone: another process still has the places in the groups."""
    return msgspec.structs.replace(config, consume=[])


class _Run:
    """One process, from its start to its end."""

    def __init__(
        self,
        ring: Ring,
        numbers: Callable[[_Run, bytes], None],
        ended: Callable[[_Run, int, float], None],
    ) -> None:
        self.ring = ring
        self.started = time.monotonic()
        self.process: subprocess.Popen[bytes]
        self._numbers = numbers
        self._ended = ended
        self._link = Link(self._take)
        self._gone = asyncio.Event()
        self._applied = asyncio.Event()
        self._quiet = asyncio.Event()
        self._asked: dict[int, asyncio.Event] = {}
        self._told: setup.Setup | None = None

    async def start(self, command: Sequence[str], listening: int) -> None:
        ours, theirs = pair()
        ring = self.ring
        with theirs:
            places = {
                "--link": theirs.fileno(),
                "--ring": ring.memory,
                "--wake": ring.writer,
                "--listen": listening,
            }
            said = [text for name, fd in places.items() for text in (name, str(fd))]
            try:
                self.process = subprocess.Popen(
                    [*command, *said],
                    stdin=subprocess.DEVNULL,
                    pass_fds=list(places.values()),
                    process_group=0,  # Ctrl-C in a terminal reaches the hub alone
                )
            except BaseException:
                ours.close()
                raise
            finally:
                ring.started()
        loop = asyncio.get_running_loop()
        pidfd = os.pidfd_open(self.process.pid)
        loop.add_reader(pidfd, self._exited, pidfd)
        await loop.create_unix_connection(lambda: self._link, sock=ours)

    async def tell(self, config: Config) -> None:
        """What to go by, if that has changed; wait until it is in force, not for ever."""
        made = setup.setup(config, "traces" in wanted(config))
        if made == self._told:
            return
        self._told = made
        self._applied.clear()
        self._link.send(frames.SETUP, setup.encode(made))
        await _soon(self._applied, APPLIED)

    async def collect(self, number: int) -> None:
        answered = self._asked[number] = asyncio.Event()
        self._link.send(frames.COLLECT, items=number)
        await _soon(answered, COLLECT_TIMEOUT)
        self._asked.pop(number, None)

    async def pause(self, seconds: float) -> None:
        self._link.send(frames.PAUSE, msgspec.msgpack.encode(float(seconds)))
        await _soon(self._quiet, seconds + GRACE)

    async def end(self, seconds: float) -> None:
        self._link.send(frames.STOP)
        if not await _soon(self._gone, seconds):
            os.kill(self.process.pid, signal.SIGKILL)
            await self._gone.wait()

    def _take(self, kind: int, items: int, payload: bytes) -> None:
        if kind == frames.METRICS:
            self._numbers(self, payload)
        elif kind == frames.DONE:
            self._applied.set()
        elif kind == frames.QUIET:
            self._quiet.set()
        elif kind == frames.COLLECTED and items in self._asked:
            self._asked[items].set()

    def _exited(self, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.ring.left()
        spawn(self._bury(usage.ru_utime + usage.ru_stime), "bury the process of queues")

    async def _bury(self, spent: float) -> None:
        """Read its last words before anybody is told."""
        if not await _soon(self._link.lost, 1.0):
            self._link.close()
        self._ended(self, self.process.returncode, spent)
        for waited in (self._gone, self._applied, self._quiet, *self._asked.values()):
            waited.set()


async def _soon(event: asyncio.Event, seconds: float) -> bool:
    """Wait for it, so long at most; whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
