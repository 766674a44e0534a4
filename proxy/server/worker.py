"""The worker: listeners, client connections, pools, the sweep, and the way to the hub.

All of its time is event-driven but for two coarse timers: the sweep checks deadlines that lie on
the connections, the flush sends up what was recorded.
"""

from __future__ import annotations

import asyncio
import pickle
import random
import socket
import sys
from collections.abc import Iterator
from time import monotonic_ns

from proxy.config.model import Config
from proxy.errors import ClientError, UpstreamError
from proxy.http.h1 import RequestReader
from proxy.http.head import RequestHead
from proxy.http.target import Authorities
from proxy.lag import Lag
from proxy.server import frames
from proxy.server.dial import dial
from proxy.server.exchange import Story
from proxy.server.h1_downstream import ClientConnection, check_head
from proxy.server.link import Link
from proxy.server.listening import Listening
from proxy.server.outbox import Outbox
from proxy.server.pool import Pool
from proxy.server.reports import Reports
from proxy.server.snapshot import Snapshot
from proxy.server.stdout import Stdout
from proxy.tasks import spawn
from proxy.telemetry import instruments
from proxy.telemetry.facts import Exchange
from proxy.telemetry.recorder import Recorder
from proxy.upstream.endpoint import Endpoint

SWEEP = 0.1  # seconds; the precision of every timeout
FLUSH = 0.1  # seconds that a record waits at most before it goes to the hub
REPORT = 10  # flushes between two reports of numbers
FLUSH_BYTES = 64 * 1024  # records that go at once
STDOUT_GRACE = 1.0  # seconds that whoever reads the access lines has at the end
IDLE_GRACE = 1_000_000_000  # ns that a draining worker keeps an idle connection, whose next
# request may be on its way already

_SWEEP_NS = int(SWEEP * 1e9)
_NEVER = 1 << 63  # ns, monotonic

CREATED_SPANS, CREATED_LOGS, DROPPED_SPANS, DROPPED_LOGS, REQUESTS, CONNECTIONS = range(6)


class Worker:
    """One per process. `counts` are the eight u64 shared with the hub (server/frames.py)."""

    def __init__(
        self, number: int, counts: memoryview, sockets: dict[str, socket.socket], slot: int = 0
    ) -> None:
        self.snapshot = Snapshot(Config())
        self.recorder = Recorder(Config(), terminal=False)
        self.authorities = Authorities()
        self.outbox = Outbox()
        self.draining = False
        self.failed = False  # the first snapshot could not be applied
        self.stopped = asyncio.Event()
        generator = random.Random()
        self.random = generator.random
        self.getrandbits = generator.getrandbits
        self._number = number
        self._lag = Lag()
        self._lag_labels = (("spangate.process", "worker"), ("spangate.worker", slot))
        self._counts = counts
        self._sockets = sockets
        self._listening: list[Listening] = []
        self._connections: set[ClientConnection] = set()
        self._pools: dict[tuple[str, int], Pool] = {}
        self._stdout = Stdout()
        self._health: dict[tuple[str, str], bool] = {}
        self._timers_run = True
        self._ticks = 0
        self._accepted = 0
        self._drain_from = self._drain_until = _NEVER
        self.link = Link(self._take, self.drain)
        self.reports = Reports(self.recorder, self.link, self._measure, self._known_pools)

    # the hub's orders

    def _take(self, kind: int, items: int, payload: bytes) -> None:
        if kind == frames.SNAPSHOT:
            spawn(self._try(payload), "apply a snapshot")
        elif kind == frames.HEALTH:
            self._health.update(pickle.loads(payload))
            self._apply_health()
        elif kind == frames.DRAIN:
            self.drain()
        elif kind == frames.COLLECT:
            self.flush()
            self.reports.follow(lambda: self.link.send(frames.COLLECTED, items=items))

    async def _try(self, payload: bytes) -> None:
        """A snapshot that cannot be applied changes nothing; without any there is no worker (so
        it is where the program was replaced under a running hub, and the structs differ)."""
        try:
            await self.apply(pickle.loads(payload))
        except Exception:
            if not self._listening:
                self.failed = True
                self.stopped.set()
            raise

    async def apply(self, config: Config) -> None:
        """Go by `config` from the next request on; the first time, begin to listen."""
        first = not self._listening
        snapshot = Snapshot(config, self._number)
        self.snapshot = snapshot
        self.recorder.configure(config, terminal=sys.stdout.isatty())
        self._apply_health()
        self._apply_pools()
        if first:
            await self._listen(config)
            self.link.send(frames.READY)
        else:
            self._apply_trust(config)

    def _apply_health(self) -> None:
        probed = {n for n, u in self.snapshot.config.upstream.items() if u.health is not None}
        self._health = {key: up for key, up in self._health.items() if key[0] in probed}
        for (upstream, url), up in self._health.items():
            self.snapshot.balancers[upstream].set_up(url, up)

    def _apply_pools(self) -> None:
        used = set()
        for name, endpoints in self.snapshot.endpoints.items():
            settings = self.snapshot.config.upstream[name].pool
            for endpoint in endpoints:
                pool = self.pool_of(endpoint)
                pool.idle_limit = settings.idle
                pool.idle_ns = int(settings.idle_timeout * 1e9)
                used.add((endpoint.host, endpoint.port))
        for key in self._pools.keys() - used:
            self._pools.pop(key).close()

    def _apply_trust(self, config: Config) -> None:
        for listening in self._listening:
            listening.trust(config)
        for connection in self._connections:
            connection.judge()

    async def _listen(self, config: Config) -> None:
        for address, sock in self._sockets.items():
            listening = Listening(address, sock)
            listening.trust(config)
            self._listening.append(listening)
            await listening.start(self._accept)

    def _accept(self, listening: Listening) -> ClientConnection:
        return ClientConnection(self, listening)

    # what connections and stories ask of it

    def check_head(self, reader: RequestReader, data: bytes) -> RequestHead:
        return check_head(self, reader, data)

    def admit(self, connection: ClientConnection) -> bool:
        """Count a client connection; False if it is one too many."""
        self._connections.add(connection)
        self._accepted += 1
        self._counts[CONNECTIONS] = len(self._connections)
        limit = self.snapshot.limits.connections
        return not limit or len(self._connections) <= limit

    def release(self, connection: ClientConnection) -> None:
        self._connections.discard(connection)
        self._counts[CONNECTIONS] = len(self._connections)

    def count_refused(self, error: ClientError) -> None:
        self.recorder.reject(str(error.status))

    def pool_of(self, endpoint: Endpoint) -> Pool:
        key = (endpoint.host, endpoint.port)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(endpoint.host, endpoint.port, self.outbox)
        return pool

    def dial(self, story: Story, endpoint: Endpoint, timeout: float) -> asyncio.Task[None]:
        """Open a connection and tell the story; `timeout` in seconds, 0 = none."""
        return spawn(self._dial(story, self.pool_of(endpoint), timeout), "dial")

    async def _dial(self, story: Story, pool: Pool, timeout: float) -> None:
        try:
            connection = await dial(pool, timeout)
        except UpstreamError as error:
            story.on_connect_failed(error)
        else:
            story.on_connected(connection)

    def later(self, seconds: float, story: Story) -> None:
        """Wake a story that pauses between two attempts."""
        asyncio.get_running_loop().call_later(seconds, story.on_paused_enough)

    def finish(self, x: Exchange) -> None:
        """Record an exchange that is over."""
        recorder, counts = self.recorder, self._counts
        recorder.finish(x)
        counts[REQUESTS] += 1
        counts[CREATED_SPANS] = recorder.spans_created
        counts[CREATED_LOGS] = recorder.logs_created
        if recorder.pending_bytes > FLUSH_BYTES:
            self.flush()

    # timers

    def run(self) -> None:
        """Start the timers."""
        loop = asyncio.get_running_loop()
        loop.call_later(SWEEP, self._sweep)
        loop.call_later(FLUSH, self._tick)
        self._lag.start()

    def _sweep(self) -> None:
        if not self._timers_run:
            return
        now = monotonic_ns()
        for connection in list(self._connections):
            connection.tick(now)
        for pool in self._pools.values():
            pool.expire(now)
        # who was in a listener's queue is adopted within the first sweep
        if now > self._drain_until or (
            not self._connections and now > self._drain_from + _SWEEP_NS
        ):
            self._stop()
            return
        asyncio.get_running_loop().call_later(SWEEP, self._sweep)

    def _tick(self) -> None:
        if not self._timers_run:
            return
        self._ticks += 1
        self.flush()
        if self._ticks % REPORT == 0:
            self.reports.begin()
        asyncio.get_running_loop().call_later(FLUSH, self._tick)

    def flush(self) -> None:
        """Send up what was recorded."""
        recorder = self.recorder
        if recorder.pending_bytes:
            self._offer(frames.SPANS, DROPPED_SPANS, *recorder.take_spans())
            self._offer(frames.LOGS, DROPPED_LOGS, *recorder.take_logs())
            lines = recorder.take_lines()
            if lines:
                self._stdout.offer(lines)

    def _offer(self, kind: int, dropped: int, payload: bytes, items: int) -> None:
        if items and not self.link.offer(kind, payload, items):
            self._counts[dropped] += items

    def _measure(self) -> None:
        """Numbers that are counted where they are, and copied when they are asked for."""
        number = self.recorder.registry.number
        number(instruments.DOWNSTREAM_OPEN).value = len(self._connections)
        number(instruments.DOWNSTREAM_TOTAL).value = self._accepted
        number(instruments.LINES_DROPPED).value = self._stdout.dropped
        number(instruments.LOOP_LAG, self._lag_labels).value = self._lag.longest()

    def _known_pools(self) -> Iterator[tuple[str, Pool]]:
        for name, endpoints in self.snapshot.endpoints.items():
            for endpoint in endpoints:
                pool = self._pools.get((endpoint.host, endpoint.port))
                if pool is not None:
                    yield name, pool

    # the end

    def is_closing_idle(self, waited: int) -> bool:
        """Whether an idle connection that has waited so long (ns) should be closed now."""
        return self.draining and waited > IDLE_GRACE

    def drain(self) -> None:
        """Accept no more, finish what runs, then stop."""
        if self.draining:
            return
        self.draining = True
        limit = self.snapshot.config.drain_timeout
        self._drain_from = monotonic_ns()
        self._drain_until = self._drain_from + int(limit * 1e9)
        for listening in self._listening:
            listening.stop()
        for connection in self._connections:
            connection.close_after()
        self.link.send(frames.DRAINING)

    def _stop(self) -> None:
        for connection in list(self._connections):
            connection.cut()
        asyncio.get_running_loop().call_soon(self._say_goodbye)

    def _say_goodbye(self) -> None:
        self.flush()
        self._stdout.close(STDOUT_GRACE)
        self.reports.follow(self._leave)

    def _leave(self) -> None:
        self.link.send(frames.DRAINED)
        self.stopped.set()

    def halt(self) -> None:
        """Stop at once, without goodbyes."""
        self._timers_run = False
        self._lag.stop()
        for listening in self._listening:
            listening.close()
        for connection in list(self._connections):
            connection.transport.abort()
        for pool in self._pools.values():
            pool.close()
        self.link.close()
