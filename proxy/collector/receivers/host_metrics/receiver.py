"""Receiver `host_metrics` (`hostmetrics`): reads /proc at its beat. Linux only.

Owns the clock and the resource; numbers are read in a thread, since a host with thousands of
processes or connections keeps a core busy for tens of milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from proxy import tasks
from proxy.collector.batch import Batch
from proxy.collector.context import Context
from proxy.collector.receivers.host_metrics.processes import processes
from proxy.collector.receivers.host_metrics.read import (
    Attributes,
    Reading,
    boot_time,
    cpu,
    memory,
    network,
    text_of,
)
from proxy.collector.receivers.host_metrics.settings import Settings
from proxy.errors import ConfigError, Problem
from proxy.formats.prometheus.identity import OUR_SCOPE
from proxy.otlp import metric_bytes
from proxy.otlp.metric_bytes import Request

_OF_HOST = ("host.", "os.", "cloud.", "deployment.", "k8s.node.", "k8s.cluster.")


class HostMetrics:
    """A Source."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        root = Path(settings.root_path or "/")
        self._proc = root / "proc"
        # /proc/net is ours, not the host's, if the host's file system is mounted somewhere
        self._net = self._proc / ("1/net" if settings.root_path else "net")
        self._task: asyncio.Task[None] | None = None
        self._resource: Attributes = ()

    async def start(self) -> None:
        if not (self._proc / "stat").is_file():
            text = f"{self._context.id}: there is no {self._proc}/stat: this needs Linux"
            raise ConfigError([Problem("", text)])
        self._resource = self._host()
        self._task = tasks.spawn(self._run(), self._context.id)

    async def stop(self, deadline: float) -> None:
        await tasks.cancel(self._task)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._settings.initial_delay)
        due = loop.time()
        while True:
            request = await asyncio.to_thread(self._collect, self._context.now_ns())
            if request.items:
                self._context.outlet.push(Batch("metrics", request.serialise(), request.items))
            else:
                self._context.condition.warn(f"nothing could be read in {self._proc}")
            missed = (loop.time() - due) // self._settings.collection_interval
            due += self._settings.collection_interval * (1 + missed)
            await asyncio.sleep(due - loop.time())

    def _collect(self, now: int) -> Request:
        request = Request()
        proc, settings = self._proc, self._settings
        boot = boot_time(proc)
        for name in dict.fromkeys(settings.scrapers):
            if name == "cpu":
                _add(request, self._resource, (boot, now), cpu(proc, settings.per_cpu))
            elif name == "memory":
                _add(request, self._resource, (boot, now), memory(proc))
            elif name == "network":
                _add(request, self._resource, (boot, now), network(self._net))
            else:
                self._processes(request, (boot, now))
        return request

    def _processes(self, request: Request, times: tuple[int, int]) -> None:
        boot, now = times
        chosen = self._settings.processes
        for process in processes(self._proc, chosen.include, chosen.exclude, chosen.limit):
            resource = (*self._resource, *process.resource(self._proc))
            start = min(process.started(boot), now)
            _add(request, resource, (start, now), process.readings(self._proc))

    def _host(self) -> Attributes:
        known = self._context.resource
        pairs = {key: value for key, value in known.items() if key.startswith(_OF_HOST)}
        if "host.name" not in pairs or self._settings.root_path:
            pairs["host.name"] = text_of(self._proc / "sys/kernel/hostname").strip()
        pairs.setdefault("os.type", "linux")
        return tuple(pairs.items())


def _add(
    request: Request,
    resource: Attributes,
    times: tuple[int, int],
    readings: Iterable[Reading],
) -> None:
    encoded = metric_bytes.resource(resource)
    start, now = times
    for metric, attributes, value in readings:
        begun = start if metric.kind == "sum" else 0
        point = metric_bytes.number(metric_bytes.number_attributes(attributes), begun, now, value)
        request.add(encoded, OUR_SCOPE, metric, point)


def make(settings: Settings, context: Context) -> HostMetrics:
    return HostMetrics(settings, context)
