"""The worker: listeners, client connections, pools, the sweep, and the way to the hub.

All of its time is event-driven but for one coarse timer: the sweep checks deadlines that lie on the
connections, and then the collector is told of new records and the hub of numbers.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
from collections.abc import Collection
from time import monotonic_ns

from proxy.config.model import Config
from proxy.errors import ClientError
from proxy.http.target import Authorities
from proxy.kernel.chance import source
from proxy.lag import Lag
from proxy.log import configure, is_coloured, is_json
from proxy.ring import CONNECTIONS, REQUESTS
from proxy.server import doors, frames
from proxy.server.asks import Asks
from proxy.server.choosing import equip
from proxy.server.compile import Compiler
from proxy.server.descriptors import Descriptors
from proxy.server.dial import Dialling
from proxy.server.faults import Faults
from proxy.server.guests import Guests
from proxy.server.h2_books import H2Books
from proxy.server.h2_pool import Waiting
from proxy.server.house import Guest, House
from proxy.server.keysets import Keysets
from proxy.server.limiter import Limiter
from proxy.server.link import Link
from proxy.server.listener import Listener, trusted_by
from proxy.server.mirrors import Mirrors
from proxy.server.orders import Orders, in_slices
from proxy.server.outbox import Outbox
from proxy.server.overload import Overload
from proxy.server.per_client import Clients
from proxy.server.pool import Pool
from proxy.server.pools import Pools
from proxy.server.refusals import Refusals
from proxy.server.reports import Reports
from proxy.server.ring import Ring
from proxy.server.sides import StoryEvents
from proxy.server.snapshot import Snapshot
from proxy.server.sweep import SWEEP_NS, Sweep
from proxy.server.tls_keyring import Contexts, Keyring
from proxy.server.turns import Turns
from proxy.telemetry import instruments
from proxy.telemetry.people import Look
from proxy.telemetry.recorder import Recorder
from proxy.upstream.board import Board
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.state import Upstreams

REPORT = 950_000_000  # ns between two reports of numbers: about a second of sweeps
IDLE_GRACE = 1_000_000_000  # ns that a draining worker keeps an idle connection, whose next
# request may be on its way already

_NEVER = 1 << 63  # ns, monotonic


class Worker(House):
    """One per process. What it records goes into `ring`, which is shared with the collector."""

    def __init__(
        self,
        number: int,
        ring: Ring,
        sockets: Collection[tuple[str, socket.socket]],
        slot: int = 0,
        board: Board | None = None,
    ) -> None:
        self.random = random.Random().random
        self.upstreams = Upstreams(number, board, self.random)
        self.snapshot = Compiler(Config(), self.upstreams).run()
        self.recorder = Recorder(Config(), ring)
        self.authorities = Authorities()
        self.outbox = Outbox()
        self.turns = Turns()
        self.faults = Faults()
        registry = self.recorder.registry
        self.limiter, self.overload = Limiter(registry), Overload(registry)
        self.clients = Clients(self.limiter, registry)
        self.mirrors, self.mesh = Mirrors(self), None
        self._refusals = Refusals()
        self.h2 = H2Books(self.recorder)
        self.draining = self.failed = self.switched = False  # failed: to apply the first snapshot
        self.stopped = asyncio.Event()
        self.getrandbits = source(os.urandom(32))
        self._number = number
        self._lag = Lag()
        self._lag_labels = (("spangate.process", "worker"), ("spangate.worker", slot))
        self._ring = ring
        self._counts = ring.cells
        self._sockets = sockets
        self._listeners: list[Listener] = []
        self._connections = Guests()
        self.tls = Keyring()
        self._contexts = Contexts()
        self._descriptors = Descriptors(
            self._pause, self._resume, self._free, self.recorder.registry
        )
        self.pools = Pools(self, self._descriptors)
        self._pools = self.pools.by_key
        self._sweep = Sweep(self._check)
        self._may_rest = False  # no upstream wants to be looked at
        self._reported = 0  # ns, monotonic
        self._accepted = 0
        self._drain_from = self._drain_until = _NEVER
        self.orders = Orders(self)
        self.link = Link(self.orders.take, self.drain)
        self.asks = Asks(self.link)
        self.keysets = Keysets(self.asks)
        self.reports = Reports(self.recorder, self.link, self._measure, self.pools.known)

    # the hub's orders

    def collect(self, number: int) -> None:
        """Tell everything counted until now, and that this was it."""
        self._tell()
        self.reports.follow(lambda: self.link.send(frames.COLLECTED, items=number))

    async def adopt(self, compiler: Compiler) -> Snapshot | None:
        """Go by what `compiler` has made from the next request on; the first time, begin to
        listen. What was in force before, None the first time."""
        assert compiler.snapshot is not None
        config, before, gone = compiler.config, self.snapshot, self.upstreams.adopt(compiler.plan)
        equip(self.upstreams)
        self._may_rest = not any(some.breakers or some.bounds for some in self.upstreams)
        if config.mesh is not None:
            doors.be_sidecar(self, config)
        self.snapshot, self._contexts = compiler.snapshot, compiler.tls
        configure(config.log.format, config.log.level)
        terminal = sys.stdout.isatty()
        look = Look(short=terminal, colour=is_coloured(sys.stdout, os.environ))
        json = is_json(config.log.format, terminal=terminal)
        self.recorder.configure(config, json=json, look=look)
        self.limiter.configure(config.redis)
        self.clients.configure(config)
        self.maintain(self.switched)
        self._sweep.keep(config.limits.keepalive, self._connections)
        await in_slices(self.pools.close_of(gone))
        self.pools.adopt(self._contexts.upstreams)
        if not self._listeners:
            for address, sock in self._sockets:
                await self.listen(address, sock)
            return None
        for listener in self._listeners:
            listener.tls = self._contexts.listeners.get(listener.address)
        self._apply_trust(before.config, config)
        return before

    def fail(self) -> None:
        """No configuration, no worker: so it is where the program was replaced under a hub."""
        self.failed = True
        self.stopped.set()

    def _apply_trust(self, before: Config, config: Config) -> None:
        if trusted_by(before) == trusted_by(config):
            return  # ten thousand connections need not be asked who they are
        for listener in self._listeners:
            listener.trust(config)
        for connection in self._connections:
            connection.judge()

    async def listen(self, address: str, sock: socket.socket) -> Listener:
        """Accept at one more socket."""
        listener = Listener(address, sock)
        listener.trust(self.snapshot.config)
        listener.tls = self._contexts.listeners.get(address)
        self._listeners.append(listener)
        await listener.start(doors.door(self, listener).open)
        return listener

    def unlisten(self, listener: Listener) -> None:
        """Leave a socket, and who waits there, to somebody else."""
        listener.close()
        self._listeners.remove(listener)

    # what connections and stories ask of it

    def admit(self, guest: Guest) -> bool:
        """Count a client connection; False if it is one too many."""
        limits = self.snapshot.limits
        self._connections.admit(guest, limits.connection_age, monotonic_ns(), self.random)
        self.watch(guest)
        self._accepted += 1
        self._descriptors.accepted()
        self._counts[CONNECTIONS] = len(self._connections)
        return not limits.connections or len(self._connections) <= limits.connections

    def watch(self, guest: Guest) -> None:
        """Something runs on it: look at its deadlines."""
        self._sweep.watch(guest)

    def release(self, guest: Guest) -> None:
        self._connections.pop(guest, None)
        self.clients.leave(guest.peer)
        self._counts[CONNECTIONS] = len(self._connections)

    def succeed(self, guest: Guest, heir: Guest) -> None:
        self._connections.succeed(guest, heir)
        self.watch(heir)

    def refuse(self, reason: str, text: str) -> None:
        self.recorder.reject(reason)
        self._refusals.tell(reason, text, monotonic_ns())

    def count_refused(self, error: ClientError) -> None:
        self.recorder.reject(error.rejected)

    def open_pool(self, endpoint: Endpoint) -> Pool:
        return self.pools.open(endpoint)

    def forget(self, endpoint: Endpoint) -> None:
        pool = self._pools.pop(endpoint.key, None)
        if pool is not None:
            pool.close()

    def dial(
        self,
        story: StoryEvents,
        endpoint: Endpoint,
        timeout: float,
        old: bool = False,
        handshake: float = 0.0,
    ) -> Dialling | Waiting:
        return self.pools.dial(story, endpoint, timeout, old, handshake)

    def later(self, seconds: float, story: StoryEvents) -> None:
        """Wake a story that pauses between two attempts."""
        asyncio.get_running_loop().call_later(seconds, story.on_paused_enough)

    def _pause(self) -> None:
        for listener in self._listeners:
            listener.pause()

    def _resume(self) -> None:
        if not self.draining:
            for listener in self._listeners:
                listener.resume()

    def _free(self) -> None:
        self.pools.drop()

    # timers

    def run(self) -> None:
        """Start the timers."""
        self._sweep.start()
        self._lag.start()

    def _check(self, now: int) -> bool:
        """What the sweep looks at each time beside connections; whether it may rest."""
        self._tell()
        if now - self._reported > REPORT:
            self._reported = now
            self.reports.begin()
        self.pools.expire(now)
        self._connections.retire(now)
        self.faults.sum_up(now)
        self._refusals.sum_up(now)
        self.limiter.sum_up(now)
        self.overload.sum_up(now)
        self.mirrors.tick(now)
        self._descriptors.look()
        self.faults.say(self.upstreams.look(now))
        if not self.draining:
            return self._may_rest and not (self.mirrors or self._descriptors.paused)
        # who was in a listener's queue is adopted within the first sweep
        if now > self._drain_until or (not self._connections and now > self._drain_from + SWEEP_NS):
            self._stop()
            self._sweep.stop()  # last: should one of them fail, it is tried again
            return False
        self._sweep.watch_all(self._connections)  # an idle one may be closed at any time now
        return False

    def _tell(self) -> None:
        """The collector that there is something, and the hub how much has been done."""
        self._counts[REQUESTS] = self.recorder.finished
        self._ring.tick()

    def _measure(self) -> None:
        number = self.recorder.registry.number
        number(instruments.DOWNSTREAM_OPEN).value = len(self._connections)
        number(instruments.DOWNSTREAM_TOTAL).value = self._accepted
        number(instruments.H2_STREAMS).value = self.h2.open
        number(instruments.LOOP_LAG, self._lag_labels).value = self._lag.longest()

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
        for listener in self._listeners:
            listener.stop()
        for connection in self._connections:
            connection.close_after()
        self._sweep.rouse()
        self.link.send(frames.DRAINING)

    def _stop(self) -> None:
        for connection in list(self._connections):
            connection.cut()
        self.mirrors.stop()
        asyncio.get_running_loop().call_soon(self._say_goodbye)

    def _say_goodbye(self) -> None:
        self._tell()
        self.reports.follow(self._leave)

    def _leave(self) -> None:
        self.link.send(frames.DRAINED)
        self.stopped.set()

    def halt(self) -> None:
        """Stop at once, without goodbyes."""
        self.limiter.close()
        self._sweep.stop()
        self._lag.stop()
        for listener in self._listeners:
            listener.close()
        for connection in list(self._connections):
            connection.transport.abort()
        self.pools.close()
        self.link.close()
