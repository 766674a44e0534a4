"""The life of the process tree: start, serve, reload, stop.

Workers are started first, and the collector and everything heavy while they start, so that the
first request does not wait for it. Order of the stop: /ready says so, workers stop accepting and
finish, the collector exports their last records, the admin port closes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from proxy.config.load import Loaded
from proxy.config.placed import placing
from proxy.errors import ConfigError
from proxy.hub.boards import Boards
from proxy.hub.greeting import greet
from proxy.hub.late import import_services, make_collector, settle
from proxy.hub.maintenance import Switch
from proxy.hub.notify import Notifier
from proxy.hub.parts import Collector
from proxy.hub.readiness import Readiness
from proxy.hub.reload import Reloads, reload
from proxy.hub.reloader import Reloader
from proxy.hub.rings import Rings
from proxy.hub.roster import Roster
from proxy.hub.said import plural
from proxy.hub.settled import Marks
from proxy.hub.snapshot import generation
from proxy.hub.sockets import Sockets
from proxy.hub.supervisor import COMMAND, RollFailed, Shared, Supervisor
from proxy.hub.takeover import Takeover
from proxy.hub.upgrade import Upgrade, last_words
from proxy.hub.viewers import Viewers
from proxy.lag import Lag
from proxy.server import frames, tls_tickets
from proxy.server.tls_tickets import TicketKeys
from proxy.tasks import cancel, gently, spawn
from proxy.telemetry.instruments import LOOP_LAG
from proxy.telemetry.metrics import Attributes, Report
from proxy.telemetry.totals import Totals

if TYPE_CHECKING:
    from proxy.hub.services import Services

log = logging.getLogger("spangate")

PLACES = 4  # on the board for each slot: workers that drain have theirs until they are gone
LEFT = 0  # in the place of a signal: another process is in charge
SOON = 1.0  # seconds that workers get to start before anything else is done
_LABELS: Attributes = (("spangate.process", "hub"),)
_COLLECTOR: Attributes = (("spangate.process", "collector"),)
_STOPS = (signal.SIGTERM, signal.SIGINT)
FLUSH_DEADLINE = 5.0  # seconds for the last telemetry


@dataclass(frozen=True, slots=True)
class Begun:
    """How a hub was started, besides its configuration."""

    workers: int
    command: Sequence[str] = COMMAND  # starts a worker
    keylog: str = ""  # a file for the keys of all TLS connections
    seen: Marks | None = None  # the files of the configuration before it was read
    before: Takeover | None = None  # the hub that this one follows
    identity: Any = None  # Identity, where there is a mesh


class Hub:
    """One gateway. `sockets` and `admin` are bound already; the hub closes them."""

    def __init__(
        self, loaded: Loaded, sockets: Sockets, admin: socket.socket | None, begun: Begun
    ) -> None:
        self.generation = generation(1, loaded, time.time())
        self.booted = loaded.config  # what a restart would be compared with
        self.sockets = sockets
        self.started = time.monotonic()
        self.ready = self.stopping = False  # ready: every worker has accepted once
        self.readiness = Readiness(sockets, admin, begun.workers)
        self.reloads = Reloads(begun.seen)
        self.reloader = Reloader(self, self._reload)
        self.changing = asyncio.Lock()  # who changes the configuration, one after the other
        self.lag = Lag()
        self.totals = Totals(loaded.config.metrics.series, loaded.config.metrics.forget)
        self.rings = Rings(loaded.config.export.ring)
        before = self.before = begun.before
        self.boards = Boards(PLACES * begun.workers, before.rates if before else -1)
        self.roster = Roster(self.boards, self._tell_of_endpoints)
        self.roster.configure(loaded.config.upstream)
        shared = Shared(self.rings, self.boards)
        self.supervisor = Supervisor(
            sockets, shared, self.totals, greet=partial(greet, self), command=begun.command
        )
        self.viewers = Viewers(self)
        self.switch = Switch(lambda: self.loaded, self.supervisor.broadcast)
        self.keys = b""  # what KEYS frames carry; b"" = no issuer's are known
        self._keylog = begun.keylog
        self._tickets = TicketKeys(os.urandom(tls_tickets.SIZE), self.started)
        if before is not None:
            before.restore(self._tickets, self.roster)
        self.secrets = tls_tickets.secrets(self._tickets, self._keylog)
        self._collector: Collector | None = None
        self.services: Services | None = None
        self.identity = begun.identity
        self.admin, self._count = admin, begun.workers
        self._notifier = Notifier(os.environ, os.getpid())
        self._signals: asyncio.Queue[int] = asyncio.Queue()
        self.upgrade = Upgrade(self)
        self._serving = asyncio.Event()  # the services run, so that there is something to reload

    @property
    def number(self) -> int:
        return self.generation.number

    @property
    def loaded(self) -> Loaded:
        """What is in force."""
        return self.generation.loaded

    async def run(self) -> int:
        """Until a signal ends it; returns the exit code."""
        loop = asyncio.get_running_loop()
        self.lag.start()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
            loop.add_signal_handler(number, self._signals.put_nowait, number)
        starting = spawn(self._start(), "start")
        listening = spawn(self._obey(), "signals")
        await asyncio.wait([starting, listening], return_when=asyncio.FIRST_COMPLETED)
        failed = starting.done() and (starting.exception() is not None or not starting.result())
        if not failed:
            await listening
        await cancel(starting, listening)
        return await self._stop(failed)

    @property
    def collector(self) -> Collector:
        assert self._collector is not None, "there is one before anybody can ask"
        return self._collector

    async def refresh(self) -> None:
        """Bring in everything that workers have recorded until now."""
        await self.supervisor.collect()
        if self.services is not None:
            await self.services.bus.refresh()
        lags = {(LOOP_LAG, _LABELS): self.lag.longest()}
        if self._collector is not None:
            await self._collector.refresh()
            if self._collector.pid:
                lags[LOOP_LAG, _COLLECTOR] = self._collector.lag
        self.totals.apply("hub", Report(lags), time.monotonic())

    async def tell_endpoints(self) -> None:
        """Tell all workers what is known about every endpoint."""
        async for payload in gently(self.roster.messages()):
            self._tell_of_endpoints(payload)

    def _tell_of_endpoints(self, payload: bytes) -> None:
        self.supervisor.broadcast(frames.ENDPOINTS, payload)

    def renew_secrets(self) -> bool:
        """New keys for sessions of TLS, if it is time for them; all workers have them."""
        now = time.monotonic()
        due = self._tickets.is_due(now)
        if due:
            self._tickets.renew(os.urandom(tls_tickets.SIZE), now)
            self.secrets = tls_tickets.secrets(self._tickets, self._keylog)
            self.supervisor.broadcast(frames.SECRETS, self.secrets)
        return due

    async def _start(self) -> bool:
        """False, with the reason on stderr, if the gateway cannot run."""
        try:
            if self.before is None:
                await self._start_workers()
                # What is imported now must not take the workers' cores while they start.
                await self.supervisor.ready(SOON)
                services = await self._start_services()
                await services.admit(self.admin)
                await self.supervisor.ready()
                await services.merge_sources()
            else:
                await self._follow(self.before)
        except (ConfigError, OSError, RollFailed) as error:
            problems = getattr(error, "problems", [f"spangate: {error}"])
            sys.stderr.write("".join(f"{problem}\n" for problem in problems))
            if self.before is not None:
                self.before.failed(problems)
            return False
        self.ready = True
        self._notifier.ready(self._status_line())
        self._notifier.watch()
        settle()
        self.readiness.tell(self.loaded)
        return True

    async def _follow(self, before: Takeover) -> None:
        """Take over from another hub. The workers come last: whom they accept, they serve."""
        services = await self._start_services()
        await self._start_workers()
        await self.supervisor.ready()
        before.close_rest()
        await before.ready()
        self.sockets.own()
        await services.admit(self.admin)
        services.sources.begin()
        spawn(services.consume(), "consume")

    async def _start_workers(self) -> None:
        await self.supervisor.start(self._count, _addresses(self.loaded))

    async def _start_services(self) -> Services:
        self._collector = await make_collector(self.loaded.config, self.rings, self.line)
        with placing(self.loaded):
            services, _ = await asyncio.gather(
                asyncio.to_thread(import_services), self._collector.start(self.loaded.config)
            )
        self.services = services(self)
        await self.services.start()
        self._serving.set()
        return self.services

    async def _obey(self) -> None:
        """Handle signals until one says stop."""
        while (number := await self._signals.get()) in (signal.SIGHUP, signal.SIGUSR2):
            if number == signal.SIGHUP:
                self.reloader.ask()
            else:
                self.upgrade.ask()
        if await self.reloader.stop("the gateway is stopping"):
            self.upgrade.pass_on(signal.SIGHUP)

    async def _reload(self) -> str:
        """Once, for whoever has asked; see Reloader."""
        if self.stopping:
            return "the gateway is stopping"
        await self._serving.wait()
        assert self.services is not None
        self._notifier.reloading()
        await reload(self, self.services)
        self._notifier.ready(self._status_line())
        settle()
        return ""

    async def _stop(self, failed: bool) -> int:
        self.stopping = True
        await self.upgrade.stop()
        if self.before is None or self.before.is_mine:
            self._notifier.stopping()
        stop = spawn(self._drain(failed), "stop")
        again = spawn(self._second_signal(), "second signal")
        await asyncio.wait([stop, again], return_when=asyncio.FIRST_COMPLETED)
        if cut := not stop.done():
            log.warning("stopping at once", extra={"key": "stop.at_once"})
            await cancel(stop)
            await self.supervisor.kill()
            await self._stop_services(0.0)
        await cancel(again)
        self.sockets.close(self.sockets.addresses)
        self._notifier.stop()
        return 1 if failed or cut else 0

    async def _drain(self, failed: bool) -> None:
        config = self.loaded.config
        if failed and self.before is None:
            await self.supervisor.kill()
            await self._stop_services(0.0)
            return
        if not failed and not self.upgrade.successor:
            await asyncio.sleep(config.drain_delay)
        if self.services is not None:  # what is consumed goes through the workers
            await self.services.bus.pause(config.drain_timeout)
        leaving: list[Coroutine[Any, Any, Any]] = [
            self.supervisor.drain(config.drain_timeout + 1.0)
        ]
        if self.upgrade.successor and self.services is not None:
            leaving.append(self.services.leave_receivers())
        await asyncio.gather(*leaving)
        await self._stop_services(FLUSH_DEADLINE)
        if self._collector is not None:
            self.upgrade.ended(last_words(self._collector))

    async def _stop_services(self, deadline: float) -> None:
        if self.services is not None:
            await self.services.stop()
        if self._collector is not None:
            await self._collector.stop(deadline)
        if self.services is not None:
            await self.services.close()

    async def _second_signal(self) -> None:
        spare = 1 if self.upgrade.successor else 0  # whoever stops a service means all of it
        while (number := await self._signals.get()) not in _STOPS or spare:
            if number == signal.SIGUSR2:
                self.upgrade.ask()
            elif number == signal.SIGHUP:
                self.upgrade.pass_on(number)
            elif number != LEFT:
                spare -= 1

    # what an upgrade needs of it

    @property
    def line(self) -> list[int]:
        return self.before.line if self.before is not None else []

    @property
    def tickets(self) -> list[bytes]:
        return [self._tickets.current, self._tickets.earlier]

    @property
    def variables(self) -> Mapping[str, str]:
        return self._notifier.variables

    def upgrading(self, ended: bool) -> None:
        if ended:
            self._notifier.ready(self._status_line())
        else:
            self._notifier.reloading()

    async def leave(self, pid: int) -> None:
        if await self.reloader.stop(f"process {pid} is in charge now, and has read the file"):
            self.upgrade.pass_on(signal.SIGHUP)
        self._notifier.follows(pid, f"process {pid} is in charge")
        if self.services is not None:
            await self.services.leave_admin()
        self.sockets.disown()

    def left(self) -> None:
        self._signals.put_nowait(LEFT)

    def _status_line(self) -> str:
        """For `systemctl status`."""
        workers, routes = self._count, len(self.loaded.config.route)
        status = f"{plural(workers, 'worker')}, {plural(routes, 'route')}"
        status += f", configuration {self.generation.number}"
        return status if self.reloads.last else f"{status}; the last reload failed"


def _addresses(loaded: Loaded) -> list[str]:
    return [listener.address for listener in loaded.config.listen]
