"""The worker's numbers on their way to the hub: one pass over them after the other, in slices.

A slice is a turn of the loop of about a millisecond, whatever the number of series and of
endpoints; requests go on between two of them. Numbers that are counted where they are (open
connections) are copied on the way. Who asks for everything is told at the end of a pass that began
after the question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import TYPE_CHECKING

from proxy.server import frames
from proxy.server.h2_pool import SharedPool
from proxy.telemetry import instruments, report
from proxy.telemetry.blocks import endpoint_attributes
from proxy.telemetry.metrics import Report

if TYPE_CHECKING:
    from proxy.server.link import Link
    from proxy.server.pool import Pool
    from proxy.telemetry.recorder import Recorder

LOOK = 64  # pools looked at in one turn: 0.5 ms where all of them changed
MOST_UNSENT = 1024 * 1024  # bytes that wait for the hub, with which no new pass begins by itself

Place = tuple[str, str, int]  # upstream, host, port
Pools = Iterable[tuple[str, "Pool"]]


class Reports:
    """`measure()` copies what there is once in a worker; `pools()` gives (upstream, pool)."""

    def __init__(
        self,
        recorder: Recorder,
        link: Link,
        measure: Callable[[], None],
        pools: Callable[[], Pools],
    ) -> None:
        self._recorder = recorder
        self._link = link
        self._measure = measure
        self._pools = pools
        self._open: dict[Place, tuple[int, int]] = {}  # (idle, active) as counted last
        self._streams: dict[Place, int] = {}  # on shared connections, as counted last
        self._steps: Iterator[Report] | None = None  # of the pass that runs
        self._asked: list[Callable[[], None]] = []  # to be told at the end of the next pass
        self._told: list[Callable[[], None]] = []  # at the end of this one

    def begin(self) -> None:
        """Send what has changed, if that is not going on and the hub keeps up."""
        if self._steps is None and self._link.unsent <= MOST_UNSENT:
            self._start()

    def follow(self, told: Callable[[], None]) -> None:
        """Send what has changed, then call `told`: everything counted until now was sent."""
        self._asked.append(told)
        if self._steps is None:
            self._start()

    def _start(self) -> None:
        self._told, self._asked = self._asked, []
        self._steps = self._pass(monotonic())
        self._step()

    def _step(self) -> None:
        steps, self._steps = self._steps, None  # none runs, should there be a fault in it
        slice = next(steps, None) if steps is not None else None
        if slice is None:
            self._end()
            return
        self._steps = steps
        if slice:
            self._link.send(frames.METRICS, report.encode(slice))
        asyncio.get_running_loop().call_soon(self._step)

    def _end(self) -> None:
        told, self._told = self._told, []
        for tell in told:
            tell()
        if self._asked:
            self._start()

    def _pass(self, now: float) -> Iterator[Report]:
        self._measure()
        yield from self._measure_pools()
        yield from self._recorder.reports(now)

    def _measure_pools(self) -> Iterator[Report]:
        """Bring the numbers of all pools up to date, with a pause now and then."""
        before, self._open = self._open, {}
        for looked, (upstream, pool) in enumerate(self._pools(), 1):
            place = (upstream, pool.host, pool.port)
            if place not in self._open:
                last = before.pop(place, None)
                self._created(upstream, pool, last is None)
                self._gauge(place, last, pool.idle, pool.open - pool.idle)
                if isinstance(pool, SharedPool):
                    self._shared(place, pool)
            if not looked % LOOK:
                yield Report()
        for looked, (place, last) in enumerate(before.items(), 1):
            self._gauge(place, last, 0, 0)  # the configuration does not have it any more
            del self._open[place]
            if place in self._streams:
                self._count_streams(place, 0)
                del self._streams[place]
            if not looked % LOOK:
                yield Report()

    def _created(self, upstream: str, pool: Pool, first: bool) -> None:
        fresh = pool.opened - pool.counted
        if fresh or first:  # shown from the start
            where = endpoint_attributes(upstream, pool.host, pool.port)
            self._recorder.registry.number(instruments.UPSTREAM_CREATED, where).value += fresh
            pool.counted = pool.opened

    def _shared(self, place: Place, pool: SharedPool) -> None:
        self._count_streams(place, pool.streams)
        where = endpoint_attributes(*place)
        for (by, why), fresh in pool.take_resets().items():
            key = (*where, ("spangate.by", by), ("spangate.reason", why))
            self._recorder.registry.number(instruments.UPSTREAM_RESETS, key).value += fresh

    def _count_streams(self, place: Place, now: int) -> None:
        first, before = place not in self._streams, self._streams.get(place, 0)
        if before != now or first:  # shown from the start
            where = endpoint_attributes(*place)
            number = self._recorder.registry.number(instruments.UPSTREAM_STREAMS, where)
            number.value += now - before
            self._streams[place] = now

    def _gauge(self, place: Place, last: tuple[int, int] | None, idle: int, active: int) -> None:
        """Changed by the difference: beyond the cap, many places share one number."""
        self._open[place] = (idle, active)
        if last == (idle, active):
            return
        was_idle, was_active = last or (0, 0)
        where = endpoint_attributes(*place)
        for state, change in (("idle", idle - was_idle), ("active", active - was_active)):
            key = (*where, ("http.connection.state", state))
            self._recorder.registry.number(instruments.UPSTREAM_OPEN, key).value += change
