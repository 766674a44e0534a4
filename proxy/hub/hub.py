"""The life of the process tree: start, serve, reload, stop.

Workers are started first, and the collector and everything heavy while they start, so that the
first request does not wait for it. Order of the stop: /ready says so, workers stop accepting and
finish, the collector exports their last records, the admin port closes.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from proxy import __version__
from proxy.config.load import Loaded
from proxy.config.model import Listener
from proxy.config.placed import placing
from proxy.config.syntax import is_everywhere, is_unix
from proxy.errors import ConfigError
from proxy.hub.boards import Boards
from proxy.hub.maintenance import Switch
from proxy.hub.notify import Notifier
from proxy.hub.parts import Collector
from proxy.hub.reload import Reloads, reload
from proxy.hub.rings import Rings
from proxy.hub.roster import Roster
from proxy.hub.snapshot import generation
from proxy.hub.sockets import Sockets
from proxy.hub.supervisor import COMMAND, RollFailed, Shared, Supervisor
from proxy.hub.worker import Worker
from proxy.lag import Lag
from proxy.plain import WHY_PLAIN, told
from proxy.server import frames, tls_tickets
from proxy.server.tls_tickets import TicketKeys
from proxy.tasks import cancel, spawn
from proxy.telemetry.instruments import LOOP_LAG
from proxy.telemetry.metrics import Attributes, Report
from proxy.telemetry.totals import Totals

if TYPE_CHECKING:
    from proxy.hub.services import Services

log = logging.getLogger("spangate")

PLACES = 4  # on the board for each slot: workers that drain have theirs until they are gone
SOON = 1.0  # seconds that workers get to start before anything else is done
_LABELS: Attributes = (("spangate.process", "hub"),)
_COLLECTOR: Attributes = (("spangate.process", "collector"),)
FLUSH_DEADLINE = 5.0  # seconds for the last telemetry


class Hub:
    """One gateway. `sockets` and `admin` are bound already; the hub closes them."""

    def __init__(
        self,
        loaded: Loaded,
        sockets: Sockets,
        admin: socket.socket | None,
        *,
        workers: int,
        command: Sequence[str] = COMMAND,
        keylog: str = "",
    ) -> None:
        self.generation = generation(1, loaded, time.time())
        self.booted = loaded.config  # what a restart would be compared with
        self.sockets = sockets
        self.started = time.monotonic()
        self.ready = False  # every worker has accepted once
        self.stopping = False
        self.reloads = Reloads()
        self.changing = asyncio.Lock()  # who changes the configuration, one after the other
        self.lag = Lag()
        self.totals = Totals(loaded.config.metrics.series, loaded.config.metrics.forget)
        self.rings = Rings(loaded.config.export.ring)
        self.boards = Boards(PLACES * workers)
        self.roster = Roster(self.boards, self._tell_of_endpoints)
        self.roster.configure(loaded.config.upstream)
        self.switch = Switch(lambda: self.loaded, self._tell_of_maintenance)
        shared = Shared(self.rings, self.boards)
        self.supervisor = Supervisor(
            sockets, shared, self.totals, greet=self._greet, command=command
        )
        self._keylog = keylog
        self._tickets = TicketKeys(os.urandom(tls_tickets.SIZE), self.started)
        self.secrets = tls_tickets.secrets(self._tickets, keylog)
        self._collector: Collector | None = None
        self.services: Services | None = None
        self._admin = admin
        self._count = workers
        self._notifier = Notifier(os.environ, os.getpid())
        self._signals: asyncio.Queue[int] = asyncio.Queue()
        self._serving = asyncio.Event()  # the services run, so that there is something to reload
        self._reload_due = False

    @property
    def loaded(self) -> Loaded:
        """What is in force."""
        return self.generation.loaded

    async def run(self) -> int:
        """Until a signal ends it; returns the exit code."""
        loop = asyncio.get_running_loop()
        self.lag.start()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
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
        lags = {(LOOP_LAG, _LABELS): self.lag.longest()}
        if self._collector is not None:
            await self._collector.refresh()
            if self._collector.pid:
                lags[LOOP_LAG, _COLLECTOR] = self._collector.lag
        self.totals.apply("hub", Report(lags), time.monotonic())

    def tell_endpoints(self) -> None:
        """Tell all workers what is known about every endpoint."""
        for payload in self.roster.messages():
            self._tell_of_endpoints(payload)

    def _tell_of_endpoints(self, payload: bytes) -> None:
        self.supervisor.broadcast(frames.ENDPOINTS, payload)

    def _tell_of_maintenance(self, on: bool) -> None:
        self.supervisor.broadcast(frames.MAINTAIN, b"1" if on else b"")

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
            await self.switch.look()
            await self.supervisor.start(self._count, _addresses(self.loaded))
            # What is imported now must not take the workers' cores while they start.
            await self.supervisor.ready(SOON)
            self._collector = await self._make_collector()
            with placing(self.loaded):
                services, _ = await asyncio.gather(
                    asyncio.to_thread(_import_services), self._collector.start(self.loaded.config)
                )
            self.services = services(self)
            await self.services.start(self._admin)
            self._serving.set()
            await self.supervisor.ready()
        except ConfigError as error:
            sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
            return False
        except (OSError, RollFailed) as error:
            sys.stderr.write(f"spangate: {error}\n")
            return False
        self.ready = True
        self._notifier.ready(self._status_line())
        self._notifier.watch()
        _settle()
        log.info(self._ready_line())
        return True

    async def _obey(self) -> None:
        """Handle signals until one says stop."""
        reloading: asyncio.Task[None] | None = None
        while await self._signals.get() == signal.SIGHUP:
            self._reload_due = True
            if reloading is None or reloading.done():
                reloading = spawn(self._reload(), "reload")
        await cancel(reloading)

    async def _reload(self) -> None:
        """Read the file as often as was asked for, but not several times at once."""
        await self._serving.wait()
        while self._reload_due and self.services is not None:
            self._reload_due = False
            self._notifier.reloading()
            async with self.changing:
                await reload(self, self.services)
            self._notifier.ready(self._status_line())
            _settle()

    async def _stop(self, failed: bool) -> int:
        self.stopping = True
        self._notifier.stopping()
        stop = spawn(self._drain(failed), "stop")
        again = spawn(self._second_signal(), "second signal")
        await asyncio.wait([stop, again], return_when=asyncio.FIRST_COMPLETED)
        if cut := not stop.done():
            log.warning("stopping at once")
            await cancel(stop)
            await self.supervisor.kill()
            await self._stop_services(0.0)
        await cancel(again)
        self.sockets.close(self.sockets.addresses)
        self._notifier.stop()
        return 1 if failed or cut else 0

    async def _drain(self, failed: bool) -> None:
        if failed:
            await self.supervisor.kill()
        else:
            await asyncio.sleep(self.loaded.config.drain_delay)
            await self.supervisor.drain(self.loaded.config.drain_timeout + 1.0)
        await self._stop_services(0.0 if failed else FLUSH_DEADLINE)

    async def _stop_services(self, deadline: float) -> None:
        if self.services is not None:
            await self.services.stop()
        if self._collector is not None:
            await self._collector.stop(deadline)
        if self.services is not None:
            await self.services.close()

    async def _make_collector(self) -> Collector:
        small = self.loaded.config.processes == "small"
        make = await asyncio.to_thread(_import_inside if small else _import_process)
        return make(self.rings)

    async def _second_signal(self) -> None:
        while await self._signals.get() == signal.SIGHUP:
            pass

    def _greet(self, worker: Worker) -> None:
        """Tell a new worker what is in force."""
        worker.link.send(frames.SECRETS, self.secrets)
        worker.link.send(frames.MAINTAIN, b"1" if self.switch.is_on else b"")
        number = worker.answers.asked = self.generation.number
        for message in self.generation.messages:
            worker.link.send(frames.SNAPSHOT, message, number)
        for payload in self.roster.messages():
            worker.link.send(frames.ENDPOINTS, payload)
        worker.link.send(frames.APPLY, items=number)

    def _status_line(self) -> str:
        """For `systemctl status`."""
        workers, routes = self._count, len(self.loaded.config.route)
        status = f"{_plural(workers, 'worker')}, {_plural(routes, 'route')}"
        status += f", configuration {self.generation.number}"
        return status if self.reloads.last else f"{status}; the last reload failed"

    def _ready_line(self) -> str:
        config = self.loaded.config
        parts = list(_places(config.listen, self.sockets))
        if self._admin is not None:
            place = _admin_name(config.admin.listen, self._admin)
            parts.append(f"admin on {place if is_unix(place) else f'http://{place}'}")
        parts.append(_plural(self._count, "worker"))
        parts.append(_plural(len(config.route), "route"))
        if WHY_PLAIN:
            parts.append(told())
        return f"spangate {__version__} ready: {', '.join(parts)}"


def _import_process() -> Callable[[Rings], Collector]:
    from proxy.hub.collector_process import CollectorProcess

    return CollectorProcess


def _import_inside() -> Callable[[Rings], Collector]:
    from proxy.hub.collector_inside import CollectorInside

    return CollectorInside


def _settle() -> None:
    """Keep the garbage collector from long turns: what is alive now lives long, and what comes
    later is young or in the totals, which have no cycles.

    It takes 40 ms to look at a configuration of ten thousand routes, 50 ms at totals at the cap.
    """
    gc.freeze()
    gc.set_threshold(5_000, 3, 3_000)


def _import_services() -> type[Services]:
    from proxy.hub.services import Services

    return Services


def _addresses(loaded: Loaded) -> list[str]:
    return [listener.address for listener in loaded.config.listen]


def _places(listeners: Sequence[Listener], sockets: Sockets) -> Iterator[str]:
    """ "http on :8080", "https on :8443": who speaks what, and where."""
    by_scheme: dict[str, list[str]] = {}
    for listener in listeners:
        by_scheme.setdefault(_scheme(listener), []).append(sockets.name(listener.address))
    for scheme, names in by_scheme.items():
        yield f"{scheme} on {', '.join(names)}"


def _scheme(listener: Listener) -> str:
    if listener.protocol != "http":
        return listener.protocol
    return "http" if listener.tls is None else "https"


def _admin_name(listen: str, sock: socket.socket) -> str:
    """`listen` with the port that was really bound and a host that a browser understands."""
    if is_unix(listen):
        return listen
    host = listen.rpartition(":")[0]
    if is_everywhere(host.strip("[]")):
        host = "localhost"
    return f"{host}:{sock.getsockname()[1]}"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
