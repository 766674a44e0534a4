"""The collector process: started, told what to go by, asked, restarted when it dies.

The hub keeps all that a collector cannot afford to lose with its life: the rings, and the page with
the numbers of its books. A new one gets both and goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from proxy.collector import frames, page, resource
from proxy.collector.books import Standing, left_behind
from proxy.collector.farewell import cut_short
from proxy.config.model import Config
from proxy.errors import ConfigError
from proxy.hub.carried import Carried
from proxy.hub.collector_run import Died, Run
from proxy.hub.ended import backoff, describe_exit
from proxy.hub.parts import Change
from proxy.hub.questions import AGAIN, Answered, Tell, Watching
from proxy.hub.rings import Ring, Rings
from proxy.hub.supervisor import QUICK
from proxy.tasks import cancel, spawn
from proxy.telemetry.metrics import Series

log = logging.getLogger("spangate")

COMMAND = (sys.executable, "-m", "proxy.collector")
COLLECT_TIMEOUT = 0.25  # seconds that a scrape waits for it
READY_TIMEOUT = 15.0  # seconds that a reload waits for one that is being replaced
QUICK_DEATHS = 2  # in a row: beyond that nobody waits for it
GRACE = 2.0  # seconds beyond its deadline after which it is killed
LONGEST_PAUSE = 5.0  # seconds before one that dies again and again is replaced


class CollectorProcess:
    """Implements parts.Collector."""

    def __init__(self, rings: Rings, command: Sequence[str] = COMMAND) -> None:
        self.restarts = 0
        self.cpu_spent = 0.0
        self.lag = 0
        self._rings = rings
        self._command = command
        self._started_ns = time.time_ns()
        self._page_fd = os.memfd_create("spangate-books")
        os.ftruncate(self._page_fd, page.SIZE)
        self._page = mmap.mmap(self._page_fd, page.SIZE)
        self._series = Carried()
        self._standings: list[Standing] | None = None  # None = nobody lives who could tell
        self._coming: list[Series] = []  # of an answer that is not complete
        self._view: Mapping[str, Any] = {}
        self._config = Config()
        self._run: Run | None = None  # None = between a death and its replacement
        self._running = asyncio.Event()
        self._quick = 0
        self._stopping = False
        self._restarting: asyncio.Task[None] | None = None
        self._watching: list[Watching] = []
        rings.opened = self._opened

    @property
    def pid(self) -> int:
        return self._run.process.pid if self._run is not None else 0

    async def start(self, config: Config) -> None:
        self._config = config
        await self._launch()

    async def prepare(self, config: Config) -> Change:
        payload = frames.encode(self._setup(config))
        while (run := await self._living()) is not None:
            with suppress(Died):
                await run.order(frames.PREPARE, payload)
                break
        return Prepared(run)

    async def adopt(self, config: Config, change: Change) -> None:
        self._config = config  # from here on a new process starts with it
        assert isinstance(change, Prepared)
        if change.run is not None and change.run is self._run:
            with suppress(Died):
                await change.run.order(frames.ADOPT)
        elif self._run is not None and self._running.is_set():
            await self._catch_up(self._run)

    async def refresh(self) -> None:
        if self._run is not None:
            await self._run.collect(COLLECT_TIMEOUT)

    def series(self) -> Iterable[Series]:
        return self._series

    async def ask(self, target: str, accept: str) -> Answered:
        return AGAIN if self._run is None else await self._run.questions.ask(target, accept)

    def tap(self, query: str, tell: Tell) -> Callable[[], None]:
        watching = Watching(query, tell)
        self._watching.append(watching)
        if self._run is not None:
            watching.begin(self._run.questions)

        def end() -> None:
            self._watching.remove(watching)
            watching.end()

        return end

    def standings(self) -> Sequence[Standing]:
        if self._standings is not None:
            return self._standings
        return left_behind(page.Page(self._page))

    def view(self) -> Mapping[str, Any]:
        return self._view

    @property
    def lines_dropped(self) -> int:
        return page.Page(self._page).lines_dropped

    async def report(self, series: Iterable[Series]) -> None:
        for payload in frames.slices(series, self._started_ns, time.time_ns()):
            if self._run is not None:
                self._run.link.send(frames.REPORT, payload)
            await asyncio.sleep(0)

    async def stop(self, deadline: float) -> None:
        self._stopping = True
        await cancel(self._restarting)
        if self._run is None and deadline and self._has_work():
            try:
                await self._launch()
            except (ConfigError, OSError) as error:
                log.error("%s", error, extra={"key": "collector.refused"})
        if self._run is not None and not await self._run.end(deadline, GRACE):
            cut_short(self.standings(), "the collector did not end in time")

    def _has_work(self) -> bool:
        """Whether records wait that nobody has read."""
        return any(True for _ in self._rings)

    async def _launch(self) -> None:
        """Start a process and bring the configuration into force there."""
        run = Run(self._tell, self._ended)
        await run.start(self._command, self._page_fd)
        self._run = run
        for ring in self._rings:
            run.hand_over(ring)
        config = self._config
        try:
            await run.order(frames.START, frames.encode(self._setup(config)))
        except Died:
            return  # and is replaced
        self._running.set()
        for watching in self._watching:
            watching.begin(run.questions)
        if config is not self._config:
            await self._catch_up(run)

    async def _catch_up(self, run: Run) -> None:
        """It was started while the configuration changed."""
        try:
            await run.order(frames.PREPARE, frames.encode(self._setup(self._config)))
            await run.order(frames.ADOPT)
        except Died:
            return
        except ConfigError as error:
            log.error(
                "the collector goes on as it was: %s", error, extra={"key": "collector.unchanged"}
            )

    def _ended(self, run: Run, status: int, spent: float) -> None:
        self.cpu_spent += spent
        self._run = None
        self._running.clear()
        self._series.retire()
        self._standings = None
        self._coming = []
        self.lag = 0
        if self._stopping or run.failed:
            return
        log.error(
            "collector (pid %d) %s",
            run.process.pid,
            describe_exit(status),
            extra={"key": "collector.exited"},
        )
        self._again(time.monotonic() - run.started < QUICK)

    def _again(self, quick: bool) -> None:
        self.restarts += 1
        self._quick = self._quick + 1 if quick else 0
        self._restarting = spawn(
            self._replace(backoff(self._quick, LONGEST_PAUSE)), "replace the collector"
        )

    async def _replace(self, delay: float) -> None:
        await asyncio.sleep(delay)
        try:
            await self._launch()
        except (ConfigError, OSError) as error:
            log.error(
                "cannot start the collector: %s", error, extra={"key": "collector.not_started"}
            )
            self._again(quick=True)

    async def _living(self) -> Run | None:
        """The process that runs, None if none could be started with what is in force."""
        try:
            patience = READY_TIMEOUT if self._quick <= QUICK_DEATHS else 0.0
            await asyncio.wait_for(self._running.wait(), patience)
        except TimeoutError:
            return None
        return self._run

    def _opened(self, ring: Ring) -> None:
        if self._run is not None:
            self._run.hand_over(ring)

    def _tell(self, kind: int, items: int, payload: bytes) -> None:
        """What the process says of itself."""
        if kind == frames.FINISHED:
            self._rings.finish(items)
        elif kind == frames.SERIES:
            self._coming += frames.decode_series(payload).series()
        elif kind == frames.STANDINGS:
            self._standings = frames.decode_standings(payload)
        elif kind == frames.VIEW:
            self._view = msgspec.msgpack.decode(payload)
        elif kind == frames.COLLECTED:
            self._series.apply(self._coming)
            self._coming = []
            self.lag = frames.decode_lag(payload)

    def _setup(self, config: Config) -> frames.Setup:
        return frames.setup(config, resource.detect(config.resource, os.environ))


class Prepared:
    """A configuration that one process has prepared."""

    __slots__ = ("run",)

    def __init__(self, run: Run | None) -> None:
        self.run = run

    async def abandon(self) -> None:
        if self.run is not None:
            with suppress(Died):
                await self.run.order(frames.ABANDON)
