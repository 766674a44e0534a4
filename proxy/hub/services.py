"""What the hub runs beside its workers: collector pipeline, health probes, admin port.

Importing this module imports grpc, protobuf and aiohttp, about half a second
of CPU. The hub does that in a thread after it has started the workers, which serve meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import socket
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from proxy.admin.app import Admin
from proxy.collector import resource
from proxy.collector.books import Books
from proxy.collector.change import Change
from proxy.collector.pipeline import Pipeline
from proxy.config.model import Config
from proxy.hub.probes import Key, Prober
from proxy.hub.sockets import split_address
from proxy.hub.status import Status
from proxy.otlp import metrics
from proxy.server import frames
from proxy.tasks import cancel, gently, spawn
from proxy.telemetry.metrics import Series

if TYPE_CHECKING:
    from proxy.hub.hub import Hub

log = logging.getLogger("spangate")

FLUSH_DEADLINE = 5.0  # seconds that a pipeline gets to deliver what it holds


class Services:
    """Started once, changed by reloads, stopped last."""

    def __init__(self, hub: Hub) -> None:
        self.books = Books()
        self.prober = Prober(self._health_changed)
        self.status = Status(hub, self)
        self._hub = hub
        self._resource: dict[str, str | int] = {}
        self._started_ns = time.time_ns()
        self._admin: Admin | None = None
        self._reporting: asyncio.Task[None] | None = None

    async def start(self, admin: socket.socket | None) -> None:
        """Raises ConfigError when [export] or [collector] cannot work."""
        config = self._hub.loaded.config
        self._resource = resource.detect(config.resource, os.environ)
        pipeline = Pipeline(
            config.export, self._resource, collector=config.collector, books=self.books
        )
        await pipeline.start()
        self._hub.intake.attach(pipeline)
        self.restart_reporting()
        await self.prober.configure(config.upstream)
        if admin is not None:
            self._admin = Admin(self.status, split_address(config.admin.listen)[0])
            await self._admin.start(admin)

    async def prepare(self, config: Config) -> Change:
        """The collector's next configuration, started and not in force yet."""
        assert self._hub.intake.pipeline is not None
        attributes = resource.detect(config.resource, os.environ)
        return await self._hub.intake.pipeline.prepare(config.export, attributes, config.collector)

    async def adopt(self, config: Config, change: Change) -> None:
        """Bring it into force; what was before delivers what it has."""
        assert self._hub.intake.pipeline is not None
        self._resource = resource.detect(config.resource, os.environ)
        await self._hub.intake.pipeline.adopt(change, FLUSH_DEADLINE)
        self.restart_reporting()

    def collector_series(self) -> Iterable[Series]:
        pipeline = self._hub.intake.pipeline
        return pipeline.series() if pipeline is not None else ()

    def collector_view(self) -> Mapping[str, Any]:
        pipeline = self._hub.intake.pipeline
        return pipeline.view() if pipeline is not None else {}

    def restart_reporting(self) -> None:
        """Begin a new interval for the export of our own metrics."""
        if self._reporting is not None:
            self._reporting.cancel()
        self._reporting = spawn(self._report_regularly(), "report metrics")

    async def stop(self, deadline: float) -> None:
        """Export what the workers have left behind, then close everything."""
        await cancel(self._reporting)
        await self.prober.stop()
        await self._report()
        pipeline = self._hub.intake.pipeline
        if pipeline is not None:
            await pipeline.stop(deadline)
        if self._admin is not None:
            await self._admin.stop()

    async def _report_regularly(self) -> None:
        interval = self._hub.loaded.config.export.metrics_interval
        while interval > 0:
            await asyncio.sleep(interval)
            await self._hub.refresh()
            await self._report()

    async def _report(self) -> None:
        """Offer all metrics, the same that `/metrics` shows, to the pipeline."""
        pipeline = self._hub.intake.pipeline
        if pipeline is None or not pipeline.wants("metrics"):
            return
        requests = metrics.requests(
            self.status.series(), self._resource, self._started_ns, time.time_ns()
        )
        async for payload, points in gently(requests):
            pipeline.offer_metrics(payload, points)

    def _health_changed(self, changes: Mapping[Key, bool]) -> None:
        self._hub.supervisor.broadcast(frames.HEALTH, pickle.dumps(dict(changes)))
