"""The hub's orders to a worker, carried out one after the other, in the order in which they came.

A configuration comes in two steps, so that all workers change together or none does: the frames
of a SNAPSHOT are read and compiled beside the running requests, a few milliseconds in each turn
of the loop, and answered with PREPARED or REFUSED; APPLY puts what was prepared into force by a
few assignments and is answered with APPLIED, FORGET throws it away. What is told of endpoints
between two configurations waits for its turn like them.

Five orders do not wait. DRAIN: whoever stops must not go on accepting until a configuration is
compiled that it will never use. COLLECT: it asks for what has been recorded until now. WATCH: the
next request is recorded for who watches. ANSWER: a request waits for it. KEYS: an answer may
follow, and whoever gets that goes by these.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections import deque
from collections.abc import Iterator
from time import perf_counter
from typing import Protocol

from proxy.config.wire import Unpacker
from proxy.errors import reason
from proxy.server import endpoints, frames
from proxy.server.asks import Asks
from proxy.server.compile import Compiler
from proxy.server.keysets import Keysets
from proxy.server.link import Link
from proxy.server.pools import Pools
from proxy.server.snapshot import Snapshot
from proxy.server.tls_keyring import Keyring
from proxy.tasks import spawn
from proxy.telemetry.recorder import Recorder
from proxy.upstream.state import Upstreams

log = logging.getLogger("spangate")

SLICE = 0.003  # seconds of one turn of the loop
RETIRE = 1.0  # seconds between two looks whether a request still holds an old snapshot

Frame = tuple[int, int, bytes]


class Worker(Protocol):
    """Who carries them out."""

    @property
    def recorder(self) -> Recorder: ...
    @property
    def upstreams(self) -> Upstreams: ...
    @property
    def link(self) -> Link: ...
    @property
    def pools(self) -> Pools: ...
    @property
    def tls(self) -> Keyring: ...
    @property
    def asks(self) -> Asks: ...
    @property
    def keysets(self) -> Keysets: ...

    async def adopt(self, compiler: Compiler) -> Snapshot | None:
        """Bring into force; what was in force before, None the first time."""

    def drain(self) -> None: ...

    def maintain(self, on: bool) -> None:
        """An operator has switched maintenance on or off."""

    def collect(self, number: int) -> None: ...

    def fail(self) -> None:
        """There is nothing to serve with."""


class Orders:
    """What the hub wants of one worker. `generation` is the configuration in force, 0 = none."""

    __slots__ = (
        "_incoming",
        "_prepared",
        "_queue",
        "_unpacker",
        "_worker",
        "_working",
        "freezes",
        "generation",
    )

    def __init__(self, worker: Worker) -> None:
        self.generation = 0
        self.freezes = False  # whether the process has nothing else to do than this worker
        self._worker = worker
        self._queue: deque[Frame] = deque()
        self._working = False
        self._incoming = 0  # the generation whose frames come in, 0 = none
        self._unpacker = Unpacker()
        self._prepared: tuple[int, Compiler] | None = None

    def take(self, kind: int, items: int, payload: bytes) -> None:
        """A frame from the hub."""
        if kind == frames.DRAIN:
            self._worker.drain()
        elif kind == frames.COLLECT:
            self._worker.collect(items)
        elif kind == frames.ANSWER:
            self._worker.asks.answer(items, payload)
        elif kind == frames.KEYS:
            self._worker.keysets.take(payload)
        elif kind == frames.WATCH:
            self._worker.recorder.watched = payload == b"1"
        else:
            self._queue.append((kind, items, payload))
            if not self._working:
                self._working = True
                spawn(self._work(), "carry out the hub's orders")

    async def _work(self) -> None:
        try:
            until = perf_counter() + SLICE
            while self._queue:
                await self._do(*self._queue.popleft())
                if perf_counter() >= until:  # news of endpoints come by the hundred
                    await asyncio.sleep(0)
                    until = perf_counter() + SLICE
        finally:
            self._working = False

    async def _do(self, kind: int, items: int, payload: bytes) -> None:
        """Carry out one order; one that fails is told, and the next one follows."""
        try:
            if kind == frames.SNAPSHOT:
                await self._prepare(items, payload)
            elif kind == frames.APPLY:
                await self._apply(items)
            elif kind == frames.FORGET:
                self._forget()
            elif kind == frames.SECRETS:
                self._worker.tls.share(payload)
            elif kind == frames.MAINTAIN:
                self._worker.maintain(payload == b"1")
            elif kind == frames.ENDPOINTS:
                gone = endpoints.apply(self._upstreams(), payload)
                await in_slices(self._worker.pools.close_of(gone))
        except Exception as error:
            log.exception("an order of the hub failed", extra={"key": "worker.order_failed"})
            if kind in (frames.SNAPSHOT, frames.APPLY):
                self._refuse(items, reason(error))

    def _upstreams(self) -> endpoints.Known:
        """Whom news are about: before anything is in force, what will be. So a new worker knows
        who is down before it accepts its first connection."""
        if not self.generation and self._prepared is not None:
            return self._prepared[1].plan
        return self._worker.upstreams

    async def _prepare(self, generation: int, payload: bytes) -> None:
        """One frame of a configuration; with the last one all of it is compiled."""
        if payload[:1] == b"H":
            self._forget()
            self._incoming = generation
            if self.freezes:  # what is made now lives long: looking for garbage in it is idle
                gc.disable()
        elif generation != self._incoming:
            return  # it was refused already
        config = self._unpacker.feed(payload)
        if config is None:
            await asyncio.sleep(0)
            return
        material = self._unpacker.material
        self._unpacker = Unpacker()
        self._incoming = 0
        compiler = Compiler(
            config, self._worker.upstreams, self._worker.tls, material, self._worker
        )
        await in_slices(compiler.steps())
        self._prepared = (generation, compiler)
        self._worker.link.send(frames.PREPARED, items=generation)

    async def _apply(self, generation: int) -> None:
        if self._prepared is None or self._prepared[0] != generation:
            return  # it was refused, and the hub has been told
        compiler = self._prepared[1]
        self._prepared = None
        old = await self._worker.adopt(compiler)
        self.generation = generation
        self._settle()
        self._worker.link.send(frames.APPLIED, items=generation)
        if old is None:
            self._worker.link.send(frames.READY)
        else:
            spawn(retire([old]), "take apart what was in force")

    def _forget(self) -> None:
        self._incoming = 0
        self._unpacker = Unpacker()
        given_up, self._prepared = self._prepared, None
        if given_up is not None and given_up[1].snapshot is not None:
            old = [given_up[1].snapshot]
            del given_up
            spawn(retire(old), "take apart what was given up")
        self._settle()

    def _settle(self) -> None:
        if self.freezes and not gc.isenabled():
            gc.freeze()
            gc.enable()

    def _refuse(self, generation: int, why: str) -> None:
        self._forget()
        self._worker.link.send(frames.REFUSED, why.encode("utf-8", "replace"), items=generation)
        if not self.generation:
            self._worker.fail()


async def in_slices(steps: Iterator[object]) -> None:
    """Drive a generator to its end, a few milliseconds in each turn of the loop."""
    until = perf_counter() + SLICE
    for _ in steps:
        if perf_counter() >= until:
            await asyncio.sleep(0)
            until = perf_counter() + SLICE


async def retire(last: list[Snapshot]) -> None:
    """Free an old snapshot piece by piece once no request refers to it.

    Ten thousand routes take 60 ms to free, in whichever turn the last reference goes.
    `last` holds the only reference that the caller has.
    """
    while sys.getrefcount(last[0]) > 2:  # the list's and the argument's
        await asyncio.sleep(RETIRE)
    parts = last.pop().parts()
    await in_slices(_each(parts))


def _each(parts: list[list[object]]) -> Iterator[None]:
    while parts:
        part = parts.pop()
        while part:
            part.pop()
            yield
