"""`processes = "small"`: the collector in the hub's own process.

It saves a process, and costs what the process is for: whatever keeps the collector busy keeps the
hub busy, and if the hub is killed, what is in the rings and queues is lost with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from proxy.collector import frames, resource
from proxy.collector.books import Standing
from proxy.collector.farewell import cut_short
from proxy.collector.host import FLUSH_DEADLINE, Host
from proxy.config.model import Config
from proxy.hub.parts import Change
from proxy.hub.questions import AGAIN, Answered, Tell
from proxy.hub.rings import Ring, Rings
from proxy.tasks import gently
from proxy.telemetry.metrics import Series


class CollectorInside:
    """Implements parts.Collector."""

    def __init__(self, rings: Rings) -> None:
        self.pid = self.restarts = self.lag = 0
        self.cpu_spent = 0.0
        self._started_ns = time.time_ns()
        self._host = Host(rings.finish)
        for ring in rings:
            self._take(ring)
        rings.opened = self._take

    async def start(self, config: Config) -> None:
        await self._host.start(_setup(config))

    async def prepare(self, config: Config) -> Change:
        await self._host.prepare(_setup(config))
        return self._host

    async def adopt(self, config: Config, change: Change) -> None:
        await self._host.adopt(FLUSH_DEADLINE)

    async def refresh(self) -> None:
        self._host.catch_up()

    def series(self) -> Iterable[Series]:
        return self._host.series()

    async def ask(self, target: str, accept: str) -> Answered:
        if self._host.reception is None:
            return AGAIN
        reply = await self._host.reception.ask(target, accept)
        return reply.status, reply.content_type, reply.body

    def tap(self, query: str, tell: Tell) -> Callable[[], None]:
        reception = self._host.reception
        if reception is None:
            return lambda: None
        return partial(reception.untap, reception.tap(query, tell))

    def standings(self) -> Sequence[Standing]:
        return self._host.standings()

    def view(self) -> Mapping[str, Any]:
        return self._host.view()

    @property
    def lines_dropped(self) -> int:
        return self._host.lines_dropped

    async def report(self, series: Iterable[Series]) -> None:
        async for payload in gently(frames.slices(series, self._started_ns, time.time_ns())):
            self._host.report(frames.decode_series(payload))

    async def stop(self, deadline: float) -> None:
        await self._host.stop(deadline)
        cut_short(self.standings(), "stopped at once")  # what a stop that was cut short left

    def _take(self, ring: Ring) -> None:
        self._host.add_ring(ring.number, os.dup(ring.memory), ring.lend_pipe())


def _setup(config: Config) -> frames.Setup:
    return frames.setup(config, resource.detect(config.resource, os.environ))
