"""`spangate collect`: the collector alone, without workers, listeners and routes.

The same configuration file, admin port and signals as of the gateway: TERM and INT deliver what is
there and end, HUP reloads. /ready says 200 when every receiver listens.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from proxy import __version__
from proxy.admin.app import Admin
from proxy.admin.exposition import grouped
from proxy.collector import frames, resource
from proxy.collector.books import as_dict, losses
from proxy.collector.farewell import cut_short
from proxy.collector.pipeline import Pipeline
from proxy.collector.reception import Reception
from proxy.config.load import Loaded
from proxy.config.model import Config
from proxy.config.placed import placing
from proxy.config.redact import shown
from proxy.errors import ConfigError
from proxy.hub import gauges
from proxy.hub.hand import CollectHand
from proxy.hub.main import run_hub
from proxy.hub.notify import Notifier
from proxy.hub.questions import AGAIN, Tell
from proxy.hub.rates import History
from proxy.hub.reload import Reloads, failed, succeeded
from proxy.hub.reloader import Reloader
from proxy.hub.said import plural
from proxy.hub.settled import Marks, whole
from proxy.hub.sockets import split_address
from proxy.hub.standings import when
from proxy.hub.watched import ConfigWatch, config_marks
from proxy.lag import Lag
from proxy.log import configure
from proxy.otlp import metrics
from proxy.plain import WHY_PLAIN, told
from proxy.tasks import cancel, gently, spawn
from proxy.telemetry.instruments import INSTRUMENTS, LOOP_LAG
from proxy.telemetry.metrics import Series

log = logging.getLogger("spangate")

_LABELS = (("spangate.process", "collector"),)
FLUSH_DEADLINE = 10.0  # seconds for what is queued when the collector stops or reloads


class CollectHub:
    """One collector process. `admin` is bound already; it implements `admin.view.View`."""

    def __init__(self, loaded: Loaded, admin: socket.socket | None, seen: Marks) -> None:
        self.loaded = loaded
        self.number = 1  # of the configuration in force
        self.reloads = Reloads(seen)
        self.reloader = Reloader(self, self._reload)
        self.changing = asyncio.Lock()
        self.lag = Lag()
        self.pipeline: Pipeline | None = None
        self.reception: Reception | None = None
        self._admin = admin
        self._booted = loaded.config
        self._loaded_at = time.time()
        self._started = time.monotonic()
        self._started_ns = time.time_ns()
        self._resource: dict[str, str | int] = {}
        self._unready = "starting"
        self._signals: asyncio.Queue[int] = asyncio.Queue()
        self._notifier = Notifier(os.environ, os.getpid())

    async def run(self) -> int:
        """Until a signal ends it; returns the exit code."""
        loop = asyncio.get_running_loop()
        self.lag.start()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._signals.put_nowait, number)
        listen = self.loaded.config.admin.listen
        server = self._server = Admin(
            self, split_address(listen)[0] if listen else "", hand=CollectHand(self)
        )
        self._guard(self.loaded)
        try:
            with placing(self.loaded):
                self.pipeline = self._make(self.loaded)
                if all(chain.is_aside for chain in self.pipeline.graph.chains.values()):
                    raise OSError("there is nothing to collect: add [collector] with pipelines")
                await self.pipeline.start()
                self.reception = Reception(self.pipeline.recent)
                self._guard(self.loaded)
            if self._admin is not None:
                await server.start(self._admin)
        except (ConfigError, OSError) as error:
            for problem in getattr(error, "problems", [f"spangate: {error}"]):
                sys.stderr.write(f"{problem}\n")
            if self.pipeline is not None:
                await self.pipeline.stop(0.0)
            return 1
        reporting = spawn(self._report_regularly(), "report metrics")
        self._unready = ""
        self._say_ready()
        self._notifier.ready(self._status())
        self._notifier.watch()
        watching = spawn(ConfigWatch(self).watch(), "watch the configuration")
        await self._obey()
        self._notifier.stopping()
        await cancel(reporting, watching)
        await self.reloader.stop("the collector is stopping")
        code = await self._stop(self.pipeline, server)
        self._notifier.stop()
        return code

    # -- admin.view.View --------------------------------------------------------------------------

    def unready(self) -> str:
        return self._unready

    async def refresh(self) -> None:
        return None

    def series(self) -> Iterator[Series]:
        return grouped(self._own())

    def _own(self) -> Iterator[Series]:
        """What is read in one go, so that the books balance."""
        if self.pipeline is not None:
            yield from gauges.ledgers(self.pipeline.books.standings())
            yield from self.pipeline.series()
        yield from gauges.processes((), ())
        yield from gauges.reloads(self.reloads.succeeded, self.reloads.failed, self.reloads.last)
        yield Series(INSTRUMENTS[LOOP_LAG], _LABELS, self.lag.longest())
        yield from gauges.build()

    def config(self) -> Mapping[str, Any]:
        return shown(self.loaded)

    def stats(self) -> Mapping[str, Any]:
        return {
            "version": __version__,
            "build": told(),
            "uptime_seconds": round(time.monotonic() - self._started, 3),
            "ready": not self._unready,
            "export": self._export(),
            "reloads": {"succeeded": self.reloads.succeeded, "failed": self.reloads.failed},
            "last_reload_error": self.reloads.error,
        }

    def _export(self) -> Mapping[str, Any]:
        if self.pipeline is None:
            return {}
        return as_dict(self.pipeline.books.standings(), self.pipeline.view())

    def redirected(self) -> Mapping[str, Any]:
        return {"mesh": False}

    def mesh(self) -> Mapping[str, Any]:
        return self.redirected()

    def upstreams(self) -> Mapping[str, Any]:
        return {}

    def pipelines(self) -> Mapping[str, Any]:
        return self.pipeline.view() if self.pipeline is not None else {}

    def info(self) -> Mapping[str, Any]:
        return {"service": "", "trace_url": self.loaded.config.ui.trace_url, "demo": None}

    async def ask(self, target: str, accept: str) -> tuple[int, str, bytes]:
        if self.reception is None:
            return AGAIN
        reply = await self.reception.ask(target, accept)
        return reply.status, reply.content_type, reply.body

    async def tap(self, query: str, tell: Tell) -> Callable[[], None]:
        raise ValueError("a collector alone serves no requests that could be watched")

    def losses(self) -> list[dict[str, object]]:
        return losses(self.pipeline.books.standings()) if self.pipeline is not None else []

    async def rates(self, points: int) -> Mapping[str, Any]:
        now = time.time()  # nobody asks a collector for anything by a route
        return History(now).view(now * 1000, (), points)

    async def routes(self) -> Mapping[str, Any]:
        return {"routes": []}

    async def explain(self, method: str, url: str, headers: Sequence[str]) -> Mapping[str, Any]:
        raise LookupError("a collector has no routes")

    def configuration(self) -> Mapping[str, Any]:
        return {
            "generation": self.number,
            "loaded_at": when(self._loaded_at),
            "pending_restart": _pending(self._booted, self.loaded.config),
            "last_reload_error": self.reloads.error,
            "file": self.loaded.file,
            "history": self.reloads.history.view(),
            "settings": shown(self.loaded),
        }

    # -- the rest ---------------------------------------------------------------------------------

    def _make(self, loaded: Loaded) -> Pipeline:
        config = loaded.config
        self._resource = resource.detect(config.resource, os.environ)
        return Pipeline(
            config.export, self._resource, collector=config.collector, recent=config.recent
        )

    async def _obey(self) -> None:
        while await self._signals.get() == signal.SIGHUP:
            self.reloader.ask()

    def _guard(self, loaded: Loaded) -> None:
        self._server.configure(loaded.config.admin)
        if self.reception is not None and self.pipeline is not None:
            self.reception.desk.about = frames.setup(loaded.config, {}).about
            self.reception.desk.archive = self.pipeline.keeper.archive

    def _read(self) -> Loaded:
        self.reloads.tried += 1
        self.reloads.seen = config_marks(self.loaded.file)
        return self.reloads.load(self.loaded.file)

    def _status(self) -> str:
        assert self.pipeline is not None
        chains = plural(len(self.pipeline.graph.chains), "pipeline")
        return f"{chains}, configuration {self.number}"

    async def _reload(self) -> str:
        """Once, for whoever has asked; see Reloader."""
        self._notifier.reloading()
        try:
            return await self._follow()
        finally:
            self._notifier.ready(self._status())

    async def _follow(self) -> str:
        """Go by the file as it is now, or on as before."""
        pipeline = self.pipeline
        assert pipeline is not None
        try:
            loaded = await whole(self.loaded.file, self._read)
            config = loaded.config
            attributes = resource.detect(config.resource, os.environ)
            with placing(loaded):
                change = await pipeline.prepare(
                    config.export, attributes, config.collector, config.recent
                )
        except (ConfigError, OSError) as error:
            failed(self, "the configuration in force stays", *getattr(error, "problems", [error]))
            return ""
        for warning in loaded.warnings:
            log.warning("%s", warning, extra={"key": "config.warning"})
        if self.loaded.config.admin.listen != config.admin.listen:
            log.warning(
                "admin.listen changed: takes effect after a restart",
                extra={"key": "admin.unchanged"},
            )
        await pipeline.adopt(change, FLUSH_DEADLINE)
        self.loaded, self._resource, self.number = loaded, attributes, self.reloads.tried
        self._loaded_at = time.time()
        succeeded(self)
        self._guard(loaded)
        configure(config.log.format, config.log.level)
        log.info(
            "reloaded: %s",
            plural(len(pipeline.graph.chains), "pipeline"),
            extra={"key": "collector.reloaded"},
        )
        return ""

    async def _report_regularly(self) -> None:
        while True:
            await asyncio.sleep(self.loaded.config.export.metrics_interval or 15.0)
            await self._report()

    async def _report(self) -> None:
        """Our own metrics go where the pipelines take them from the gateway."""
        pipeline = self.pipeline
        if pipeline is not None and pipeline.wants("metrics"):
            requests = metrics.requests(
                self.series(), self._resource, self._started_ns, time.time_ns()
            )
            async for payload, points in gently(requests):
                pipeline.offer_metrics(payload, points)

    async def _stop(self, pipeline: Pipeline, server: Admin) -> int:
        self._unready = "stopping"
        await self._report()
        stop = spawn(pipeline.stop(FLUSH_DEADLINE), "stop")
        again = spawn(self._second_signal(), "second signal")
        await asyncio.wait([stop, again], return_when=asyncio.FIRST_COMPLETED)
        cut = not stop.done()
        if cut:
            log.warning("stopping at once", extra={"key": "stop.at_once"})
            cut_short(pipeline.books.standings(), "stopped at once")
        await cancel(stop, again)
        await server.stop()
        return 1 if cut else 0

    async def _second_signal(self) -> None:
        while await self._signals.get() == signal.SIGHUP:
            pass

    def _say_ready(self) -> None:
        config = self.loaded.config
        assert self.pipeline is not None
        graph = self.pipeline.graph
        places = [
            f"{node.id} {name} on port {port}"
            for node in graph.receivers()
            for name, port in getattr(node.stage, "addresses", {}).items()
        ]
        if self._admin is not None:
            host = config.admin.listen.rpartition(":")[0] or "localhost"
            places.append(f"admin on http://{host}:{self._admin.getsockname()[1]}")
        places.append(f"{len(graph.chains)} pipelines")
        if WHY_PLAIN:
            places.append(told())
        log.info(
            "spangate %s collector ready: %s",
            __version__,
            ", ".join(places),
            extra={"key": "collector.ready"},
        )


def _pending(booted: Config, now: Config) -> list[str]:
    """What waits for a restart."""
    return ["admin.listen"] if booted.admin.listen != now.admin.listen else []


def run(path: str) -> int:
    """Collect as the file `path` says until a signal comes; returns the exit code."""
    from proxy.collector import heap

    heap.keep()
    seen = config_marks(path)
    return run_hub(path, lambda loaded, admin: CollectHub(loaded, admin, seen).run())
