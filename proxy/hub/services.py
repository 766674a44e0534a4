"""What the hub runs beside its workers: collector pipeline, health probes, admin port.

Importing this module imports grpc, protobuf, aiohttp and prometheus-client, about half a second
of CPU. The hub does that in a thread after it has started the workers, which serve meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from proxy.admin.app import Admin
from proxy.collector import resource
from proxy.collector.books import Books
from proxy.collector.pipeline import Pipeline
from proxy.config.model import Config
from proxy.hub.probes import Key, Prober
from proxy.hub.sockets import split_address
from proxy.hub.status import Status
from proxy.otlp import metrics
from proxy.server import frames
from proxy.tasks import cancel, spawn

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
        self._flushing: set[asyncio.Task[None]] = set()

    async def start(self, admin: socket.socket | None) -> None:
        """Raises ConfigError when [export] cannot work."""
        config = self._hub.loaded.config
        self.adopt(config, await self.prepare(config))
        self.prober.configure(config.upstream)
        if admin is not None:
            self._admin = Admin(self.status, split_address(config.admin.listen)[0])
            await self._admin.start(admin)

    async def prepare(self, config: Config) -> Pipeline:
        """A running pipeline for `config` that nothing is sent to yet."""
        attributes = resource.detect(config.resource, os.environ)
        pipeline = Pipeline(config.export, attributes, books=self.books)
        await pipeline.start()
        return pipeline

    def adopt(self, config: Config, pipeline: Pipeline) -> None:
        """Send telemetry to `pipeline` from now on; the one before delivers what it has."""
        self._resource = resource.detect(config.resource, os.environ)
        before = self._hub.intake.attach(pipeline)
        if before is not None:
            self._flushing.add(spawn(before.stop(FLUSH_DEADLINE), "flush the pipeline before"))
        self.restart_reporting()

    def restart_reporting(self) -> None:
        """Begin a new interval for the export of our own metrics."""
        if self._reporting is not None:
            self._reporting.cancel()
        self._reporting = spawn(self._report_regularly(), "report metrics")

    async def stop(self, deadline: float) -> None:
        """Export what the workers have left behind, then close everything."""
        await cancel(self._reporting)
        await self.prober.stop()
        self._report()
        pipeline = self._hub.intake.pipeline
        if pipeline is not None:
            await pipeline.stop(deadline)
        await asyncio.gather(*self._flushing, return_exceptions=True)
        if self._admin is not None:
            await self._admin.stop()

    async def _report_regularly(self) -> None:
        interval = self._hub.loaded.config.export.metrics_interval
        while interval > 0:
            await asyncio.sleep(interval)
            await self._hub.refresh()
            self._report()

    def _report(self) -> None:
        """Offer all metrics, the same that `/metrics` shows, to the pipeline."""
        pipeline = self._hub.intake.pipeline
        if pipeline is None or not pipeline.wants("metrics"):
            return
        payload, points = metrics.build(
            self.status.series(), self._resource, self._started_ns, time.time_ns()
        )
        pipeline.offer_metrics(payload, points)

    def _health_changed(self, changes: Mapping[Key, bool]) -> None:
        self._hub.supervisor.broadcast(frames.HEALTH, pickle.dumps(dict(changes)))
