"""The process of queues: producers, consumers, and the socket where workers publish.

It goes by what the hub says, and forgets nothing on the way: a queue or a consumer that stays as it
is stays connected, one that has changed ends what is under way first.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

import msgspec
from aiohttp import web

from proxy.config.messaging_model import Consume, Kafka, RedisStreams
from proxy.lag import Lag
from proxy.log import configure
from proxy.messaging import frames, setup
from proxy.messaging.consume import Consuming
from proxy.messaging.deliver import Courier
from proxy.messaging.kinds import make_consumer, make_producer
from proxy.messaging.publish import Publisher, Queue
from proxy.messaging.setup import Setup
from proxy.messaging.telemetry import Telemetry
from proxy.server.link import Link
from proxy.server.ring import Ring
from proxy.tasks import spawn
from proxy.telemetry import instruments, report
from proxy.telemetry.metrics import Report
from proxy.tracing.sampling import Sampler

log = logging.getLogger("spangate")

TICK = 0.1  # seconds between two looks at the ring
PASS = 1.0  # seconds between two reports of numbers
CHANGE = 10.0  # seconds that a consumer has to end when it is changed
MOST = 64 * 1024 * 1024  # bytes or fields of a head, which workers bound by [limits]
CLOSING = 2.0  # seconds for the last words to brokers


class Process:
    """Runs until it is told to stop, or the hub is gone."""

    def __init__(self, ring: Ring, listening: socket.socket) -> None:
        self.stopped = asyncio.Event()
        self.link = Link(self._take, self._lost)
        self._ring = ring
        self._listening = listening
        self._telemetry = Telemetry(ring)
        self._lag = Lag()
        self._setup: Setup | None = None
        self._queues: dict[str, Queue] = {}
        self._consuming: dict[str, Consuming] = {}
        self._courier: Courier | None = None
        self._runner: web.ServerRunner | None = None
        self._orders: asyncio.Queue[Callable[[], Coroutine[Any, Any, None]]] = asyncio.Queue()

    async def run(self) -> None:
        publisher = Publisher(self._queues, self._telemetry)
        self._runner = web.ServerRunner(_server(publisher))
        await self._runner.setup()
        self._lag.start()
        background = [spawn(self._obey(), "obey"), spawn(self._tell(), "tell numbers")]
        await self.stopped.wait()
        for task in background:
            task.cancel()
        await self._end()

    def _take(self, kind: int, items: int, payload: bytes) -> None:
        if kind == frames.COLLECT:
            self._report()
            self.link.send(frames.COLLECTED, items=items)
        elif kind == frames.SETUP:
            self._orders.put_nowait(lambda: self._apply(setup.decode(payload)))
        elif kind == frames.PAUSE:
            self._orders.put_nowait(lambda: self._pause(msgspec.msgpack.decode(payload)))
        elif kind == frames.STOP:
            self.stopped.set()

    def _lost(self) -> None:
        self.stopped.set()

    async def _obey(self) -> None:
        """One order after the other."""
        while True:
            order = await self._orders.get()
            try:
                await order()
            except (OSError, ValueError) as error:
                log.error("message queues: %s", error, extra={"key": "queue.setup"})

    async def _apply(self, new: Setup) -> None:
        old, self._setup = self._setup, new
        configure(new.form, new.level)  # type: ignore[arg-type]
        telemetry = self._telemetry
        telemetry.wants_spans, telemetry.labels = new.spans, new.labels
        telemetry.random_flag = new.random_flag
        telemetry.registry.cap, telemetry.registry.forget = new.series, new.forget
        settings = _settings(new)
        changed = {n for n, queue in self._queues.items() if settings.get(n) != queue.settings}
        await self._stop_consumers(new, old, changed)
        await asyncio.gather(*(self._drop(name) for name in changed))
        for name, said in settings.items():
            if name not in self._queues:
                self._queues[name] = Queue(name, said, make_producer(name, said))
        if self._courier is None or self._courier.path != new.deliver:
            self._courier = Courier(new.deliver)
        for consume in new.consume:
            if consume.name not in self._consuming:
                self._start(consume, new)
        if old is None and self._runner is not None:  # until now there was nowhere to publish to
            await web.SockSite(self._runner, self._listening).start()
        self.link.send(frames.DONE)

    def _start(self, consume: Consume, said: Setup) -> None:
        assert self._courier is not None
        queue = self._queues[consume.source]
        sampler = Sampler(said.sampler, said.sample)  # type: ignore[arg-type]
        made = Consuming(
            consume, queue, make_consumer(queue.settings, consume), self._courier, self._telemetry
        )
        made.sampler = sampler
        self._consuming[consume.name] = made
        made.start()

    async def _stop_consumers(self, new: Setup, old: Setup | None, changed: set[str]) -> None:
        """Those that are not to go on as they are."""
        wanted = {one.name: one for one in new.consume}
        sampling = old is not None and (old.sampler, old.sample) == (new.sampler, new.sample)
        ends = [
            name
            for name, one in self._consuming.items()
            if wanted.get(name) != one.said or one.said.source in changed or not sampling
        ]
        await asyncio.gather(*(self._consuming.pop(name).stop(CHANGE) for name in ends))

    async def _drop(self, name: str) -> None:
        await self._queues.pop(name).producer.stop(CHANGE)

    async def _pause(self, seconds: float) -> None:
        ends = list(self._consuming.values())
        self._consuming.clear()
        await asyncio.gather(*(one.stop(seconds) for one in ends))
        self.link.send(frames.QUIET)

    async def _end(self) -> None:
        # only where the hub is gone: else nothing is consumed any more
        await asyncio.gather(*(one.stop(CLOSING) for one in self._consuming.values()))
        assert self._runner is not None
        await self._runner.cleanup()
        await asyncio.gather(*(one.producer.stop(CLOSING) for one in self._queues.values()))
        if self._courier is not None:
            await self._courier.close()
        self._ring.tick()
        self._report()

    async def _tell(self) -> None:
        due = 0.0
        while True:
            await asyncio.sleep(TICK)
            self._ring.tick()
            if monotonic() >= due:
                due = monotonic() + PASS
                self._report()

    def _report(self) -> None:
        self._ring.tick()
        for slice in self._telemetry.registry.reports(monotonic()):
            if slice:
                self.link.send(frames.METRICS, report.encode(slice))
        labels = (("spangate.process", "messaging"),)
        lag = Report({(instruments.LOOP_LAG, labels): self._lag.longest()})
        self.link.send(frames.METRICS, report.encode(lag))


def _settings(said: Setup) -> dict[str, Kafka | RedisStreams]:
    return {**said.messaging.kafka, **said.messaging.redis}


def _server(publisher: Publisher) -> web.Server:
    """A body is the message's value as it came."""
    return web.Server(
        publisher.handle,
        access_log=None,
        auto_decompress=False,
        max_line_size=MOST,
        max_field_size=MOST,
        max_headers=MOST,
    )
