"""An upgrade: another process, with the program as it lies on the disk now, follows this one.

It is started by this hub with the same command line and environment, and inherits what is listened
on (handed.py). Until it has said that it is ready nothing changes here; if it ends, fails or is
late, this hub goes on. Then it is told to go on alone: it has the admin port and the name of the
service, and this process finishes what it has begun, as at the end, and ends.

As both have the same sockets, whoever waits in the kernel's queue is served by either of them, and
nobody is refused at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from proxy.collector.books import as_dict
from proxy.config.load import STDIN
from proxy.hub import sticky_keys
from proxy.hub.ended import describe_exit
from proxy.hub.handed import RATES, VARIABLE, VERSION, Handed, Lines, write
from proxy.hub.notify import MANAGER
from proxy.hub.parts import Collector, Whole
from proxy.hub.receivers import on_disk
from proxy.hub.successor import Successor, start
from proxy.hub.upgrade_asked import Asker
from proxy.tasks import cancel, spawn

log = logging.getLogger("spangate")

READY_WITHIN = 60.0  # seconds: ten thousand routes on a busy machine
OPENED = 1.0  # seconds until the collector has looked again for a queue that is free now
KILL_AFTER = 10.0  # seconds that one which is not wanted any more has to end, besides its drain
INIT = 1  # the process with which a container ends


class _Sources(Protocol):
    def handed(self) -> bytes: ...


class _Services(Protocol):
    @property
    def sources(self) -> _Sources: ...


class Old(Whole, Protocol):
    """The hub, as far as it is left to another one."""

    @property
    def services(self) -> _Services | None: ...
    @property
    def admin(self) -> socket.socket | None: ...
    @property
    def line(self) -> list[int]:
        """The hubs before this one that may be alive."""

    @property
    def tickets(self) -> list[bytes]:
        """Keys of sessions of TLS: current, earlier."""

    @property
    def variables(self) -> Mapping[str, str]:
        """Of the environment, that were meant for this process alone."""

    async def leave(self, pid: int) -> None:
        """Give up what only one process can have."""

    def left(self) -> None:
        """Finish what runs and end."""

    def upgrading(self, ended: bool) -> None:
        """Tell the service manager."""


class Failed(Exception):
    """There is no new process; in words."""


class Upgrade:
    """The upgrades of one hub; `successor` is the process that is in charge, 0 = this one."""

    def __init__(self, hub: Old) -> None:
        self.successor = 0
        self._hub = hub
        self._new: Successor | None = None
        self._leaving = False  # there is no way back
        self._task: asyncio.Task[None] | None = None
        self._lines: Lines | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the process that was in charge has ended in no order."""
        return bool(self.successor) and self._new is not None and self._new.is_lost

    def ask(self) -> None:
        """USR2: begin, unless one is under way; whoever asked is told what came of it."""
        asker = Asker.find(os.getpid())
        if (refusal := self._refusal()) is not None:
            _refuse(asker, refusal)
        else:
            self._task = spawn(self._run(asker), "upgrade")

    async def stop(self) -> None:
        """The gateway stops: there is no upgrade, unless the new one is about to be in charge."""
        if self._leaving and self._task is not None:
            await asyncio.wait([self._task])
        await cancel(self._task)

    def pass_on(self, number: int) -> None:
        """A signal that is meant for whoever is in charge."""
        if self.successor:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.successor, number)

    def ended(self, counted: Mapping[str, Any]) -> None:
        """Say what this one has counted, as its last word: in the log, and to the new one."""
        if self._lines is not None:
            log.info(
                "upgrade: the books of process %d: %s",
                os.getpid(),
                json.dumps(counted),
                extra={"key": "upgrade.books"},
            )
            self._lines.send({"ended": counted})

    def _refusal(self) -> str | None:
        if self.successor:
            return f"process {self.successor} is in charge already"
        if self._task is not None and not self._task.done():
            return "another upgrade is under way"
        if self._hub.stopping:
            return "the gateway is stopping"
        if not self._hub.ready:
            return "the gateway is starting"
        if self._hub.loaded.file == STDIN:
            return "the configuration came from stdin, which is read once: run it from a file"
        if os.getpid() == INIT:
            return "this is process 1 of its container, which ends with it: replace the container"
        return None

    async def _run(self, asker: Asker) -> None:
        hub = self._hub
        if (refusal := await self._others_end()) is not None:
            _refuse(asker, refusal)
            return
        async with hub.changing:  # a reload that runs is in force or refused before
            hub.upgrading(ended=False)
            log.info(
                "upgrade: starting the program that follows this one",
                extra={"key": "upgrade.starting"},
            )
            try:
                pid = await self._start()
            except asyncio.CancelledError:
                _refuse(asker, "the gateway is stopping")
                raise
            except (Failed, OSError) as error:
                hub.upgrading(ended=True)
                log.error(
                    "upgrade failed: %s; this process goes on",
                    error,
                    extra={"key": "upgrade.failed"},
                )
                asker.tell({"failed": str(error).split("\n")})
                return
            await self._leave(pid)
            asker.tell({"ready": pid})

    async def _leave(self, pid: int) -> None:
        """From here on there is no way back."""
        self._leaving = True
        self.successor = pid
        try:
            await self._hub.leave(pid)
        finally:
            assert self._lines is not None
            self._lines.send({"go": True})
            log.info(
                "upgrade: process %d is in charge; this one finishes what it has begun",
                pid,
                extra={"key": "upgrade.done"},
            )
            self._hub.left()

    async def _others_end(self) -> str | None:
        """A queue on disk is one process's at a time: if the gateway before this one has it still,
        a third one would be too many. None when there is nothing to wait for."""
        hub, before = self._hub, self._hub.before
        if before is None or not before.drains or not on_disk(hub.loaded.config):
            return None
        log.info(
            "upgrade: waiting for process %d, which has the queues on disk",
            before.handed.pid,
            extra={"key": "upgrade.waits_for_queues"},
        )
        if not await before.gone(hub.loaded.config.drain_timeout + KILL_AFTER):
            return f"process {before.handed.pid} before this one still has the queues on disk"
        await asyncio.sleep(OPENED)
        return None

    async def _start(self) -> int:
        """A process that is ready, or Failed and there is none."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        self._lines = Lines(ours)
        handed = hand_over(self._hub)
        memory = write(handed)
        try:
            new = await _spawn(theirs.fileno(), memory, handed, self._hub.variables)
        finally:
            theirs.close()
            os.close(memory)
        try:
            async with asyncio.timeout(READY_WITHIN):
                await self._is_ready(ours, self._lines, new)
        except TimeoutError:
            self._give_up(new, ours)
            raise Failed(f"process {new.pid} was not ready within {READY_WITHIN:g} s") from None
        except BaseException:
            self._give_up(new, ours)
            raise
        self._new = new
        return new.pid

    async def _is_ready(self, channel: socket.socket, lines: Lines, new: Successor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            data = await loop.sock_recv(channel, 65536)
            for message in lines.feed(data):
                if reasons := message.get("failed"):
                    raise Failed("\n".join(map(str, reasons)))
                if message.get("ready"):
                    return
            if not data:
                status = await new.exited()
                how = "ended" if status is None else describe_exit(status)
                raise Failed(f"process {new.pid} {how} before it was ready")

    def _give_up(self, new: Successor, channel: socket.socket) -> None:
        self._lines = None
        channel.close()
        spawn(new.end(self._hub.loaded.config.drain_timeout + KILL_AFTER), "end the new process")


def _refuse(asker: Asker, why: str) -> None:
    log.error("upgrade refused: %s", why, extra={"key": "upgrade.refused"})
    asker.tell({"failed": [why]})


def hand_over(hub: Old) -> Handed:
    """What the next hub needs to know of this one."""
    return Handed(
        VERSION,
        os.getpid(),
        line=[*hub.line, os.getpid()],
        places=hub.sockets.hand_over(),
        given=hub.sockets.given(),
        admin=hub.admin.fileno() if hub.admin is not None else -1,
        admin_listen=hub.booted.admin.listen,
        rates=hub.boards.rates,
        rates_layout=RATES,
        tickets=hub.tickets,
        sticky=sticky_keys.secret(),
        made=hub.loaded.material.self_signed,
        mesh=hub.loaded.material.mesh,
        trust=hub.loaded.material.trust,
        drained=[key for key, member in hub.roster if member.drained],
        sources=hub.services.sources.handed() if hub.services is not None else b"",
    )


def last_words(collector: Collector) -> dict[str, Any]:
    """The books as they are closed."""
    return dict(as_dict(collector.standings()))


async def _spawn(
    channel: int, memory: int, handed: Handed, variables: Mapping[str, str]
) -> Successor:
    environ = {**os.environ, **variables, VARIABLE: f"{channel},{memory}"}
    fds = _each_once([channel, memory, *handed.descriptors()])
    return await start(command(), environ, fds, orphan=MANAGER in variables)


def command() -> list[str]:
    """What this process was started by, for another one."""
    return [sys.executable, *sys.orig_argv[1:]]


def _each_once(numbers: Iterable[int]) -> list[int]:
    return list(dict.fromkeys(numbers))
