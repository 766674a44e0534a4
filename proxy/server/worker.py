"""The worker: listeners, client connections, pools, the sweep, and the way to the hub.

All of its time is event-driven but for two coarse timers: the sweep checks deadlines that lie on
the connections, the other one tells the collector of new records and the hub of numbers.
"""

from __future__ import annotations

import asyncio
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
from proxy.ring import CONNECTIONS, REQUESTS
from proxy.server import frames
from proxy.server.compile import Compiler
from proxy.server.dial import dial
from proxy.server.exchange import Story
from proxy.server.h1_downstream import ClientConnection, check_head
from proxy.server.link import Link
from proxy.server.listening import Listening
from proxy.server.orders import Orders
from proxy.server.outbox import Outbox
from proxy.server.pool import Pool
from proxy.server.reports import Reports
from proxy.server.ring import Ring
from proxy.server.snapshot import Snapshot
from proxy.tasks import spawn
from proxy.telemetry import instruments
from proxy.telemetry.facts import Exchange
from proxy.telemetry.recorder import Recorder
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.state import Upstreams

SWEEP = 0.1  # seconds; the precision of every timeout
FLUSH = 0.1  # seconds until the collector is told of a record
REPORT = 10  # flushes between two reports of numbers
IDLE_GRACE = 1_000_000_000  # ns that a draining worker keeps an idle connection, whose next
# request may be on its way already

_SWEEP_NS = int(SWEEP * 1e9)
_NEVER = 1 << 63  # ns, monotonic


class Worker:
    """One per process. What it records goes into `ring`, which is shared with the collector."""

    def __init__(
        self, number: int, ring: Ring, sockets: dict[str, socket.socket], slot: int = 0
    ) -> None:
        self.upstreams = Upstreams(number)
        self.snapshot = Compiler(Config(), self.upstreams).run()
        self.recorder = Recorder(Config(), ring, terminal=False)
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
        self._ring = ring
        self._counts = ring.cells
        self._sockets = sockets
        self._listening: list[Listening] = []
        self._connections: set[ClientConnection] = set()
        self._pools: dict[tuple[str, int], Pool] = {}
        self._timers_run = True
        self._ticks = 0
        self._accepted = 0
        self._requests = 0
        self._drain_from = self._drain_until = _NEVER
        self.orders = Orders(self)
        self.link = Link(self.orders.take, self.drain)
        self.reports = Reports(self.recorder, self.link, self._measure, self._known_pools)

    # the hub's orders

    def collect(self, number: int) -> None:
        """Tell everything counted until now, and that this was it."""
        self._tell()
        self.reports.follow(lambda: self.link.send(frames.COLLECTED, items=number))

    async def adopt(self, compiler: Compiler) -> Snapshot | None:
        """Go by what `compiler` has made from the next request on; the first time, begin to
        listen. What was in force before, None the first time."""
        assert compiler.snapshot is not None
        config, before = compiler.config, self.snapshot
        gone = self.upstreams.adopt(compiler.plan)
        self.snapshot = compiler.snapshot
        self.recorder.configure(config, terminal=sys.stdout.isatty())
        self.close_pools_of(gone)
        for pool in self._pools.values():
            self._set_up(pool)
        if not self._listening:
            await self._listen(config)
            return None
        self._apply_trust(before.config, config)
        return before

    def fail(self) -> None:
        """Without any configuration there is no worker: so it is where the program was replaced
        under a running hub, and the structs differ."""
        self.failed = True
        self.stopped.set()

    def close_pools_of(self, gone: list[Endpoint]) -> None:
        """Nobody is sent to these endpoints any more."""
        if not gone:
            return
        used = {(endpoint.host, endpoint.port) for endpoint in self.upstreams.endpoints()}
        for endpoint in gone:
            key = (endpoint.host, endpoint.port)
            if key in self._pools and key not in used:
                self._pools.pop(key).close()

    def _set_up(self, pool: Pool) -> None:
        """By the upstream that it was made for; several may share an address."""
        state = self.upstreams.get(pool.upstream)
        if state is not None:
            pool.idle_limit = state.settings.pool.idle
            pool.idle_ns = int(state.settings.pool.idle_timeout * 1e9)

    def _apply_trust(self, before: Config, config: Config) -> None:
        if _trust(before) == _trust(config):
            return  # ten thousand connections need not be asked who they are
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
            pool.upstream = endpoint.upstream
            self._set_up(pool)
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
        if self.upstreams.learning:
            for attempt in x.attempts:
                attempt.tell(x.end)
        self.recorder.finish(x)
        self._requests += 1

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
        self._tell()
        if self._ticks % REPORT == 0:
            self.reports.begin()
        asyncio.get_running_loop().call_later(FLUSH, self._tick)

    def _tell(self) -> None:
        """Tell the collector that there is something, and the hub how much has been done."""
        self._counts[REQUESTS] = self._requests
        self._ring.tick()

    def _measure(self) -> None:
        """Numbers that are counted where they are, and copied when they are asked for."""
        number = self.recorder.registry.number
        number(instruments.DOWNSTREAM_OPEN).value = len(self._connections)
        number(instruments.DOWNSTREAM_TOTAL).value = self._accepted
        number(instruments.LOOP_LAG, self._lag_labels).value = self._lag.longest()

    def _known_pools(self) -> Iterator[tuple[str, Pool]]:
        for endpoint in self.upstreams.endpoints():
            pool = self._pools.get((endpoint.host, endpoint.port))
            if pool is not None:
                yield endpoint.upstream, pool

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
        self._tell()
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


def _trust(config: Config) -> tuple[object, ...]:
    """All that says who is believed."""
    listeners = {listener.address: listener.trust for listener in config.listen}
    return listeners, config.tracing.trust, config.forwarding.trust
