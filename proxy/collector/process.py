"""The collector as a process of its own, beside a gateway: it does what its hub says.

The hub starts it, tells it what to go by, hands it the workers' rings, and starts another one when
it dies. Signals for the group of processes do not concern it: it has to outlive the workers, and
ends when the hub says so or is gone.
"""

from __future__ import annotations

import asyncio
import mmap
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from proxy.collector import frames
from proxy.collector.host import FLUSH_DEADLINE, Host
from proxy.collector.page import Page
from proxy.config.observe import Log
from proxy.errors import ConfigError, Problem
from proxy.frames import Frames, encode
from proxy.lag import Lag
from proxy.log import configure
from proxy.recent.desk import Reply, refusal
from proxy.tasks import spawn


class Collector(asyncio.Protocol):
    """The link's end of the collector, and what it does with each frame."""

    def __init__(self, page: mmap.mmap, rings: socket.socket) -> None:
        self.host = Host(lambda number: self._send(frames.FINISHED, items=number), Page(page))
        self._rings = rings
        self._lag = Lag()
        self._frames = Frames()
        self._transport: Any = None
        self._orders: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self._patience = 0.0
        self._taps: dict[int, int] = {}  # our numbers by the hub's
        self._log = Log()
        self._closed = asyncio.Event()
        self._acts: dict[int, Callable[[bytes], Awaitable[None]]] = {
            frames.START: self._start,
            frames.PREPARE: self._prepare,
            frames.ADOPT: self._adopt,
            frames.ABANDON: lambda payload: self.host.abandon(),
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._lag.start()
        asyncio.get_running_loop().add_reader(self._rings, self._ring_came)

    def data_received(self, data: bytes) -> None:
        for kind, items, payload in self._frames.feed(data):
            if kind == frames.COLLECT:
                self._tell(items)
            elif kind == frames.REPORT:
                self.host.report(frames.decode_series(payload))
            elif kind in (frames.ASK, frames.TAP, frames.UNTAP):
                self._question(kind, items, payload)
            else:
                self._orders.put_nowait((kind, payload))

    def connection_lost(self, exc: Exception | None) -> None:
        """The hub is gone; the workers see it too, and end."""
        self._transport = None
        self._closed.set()
        self._orders.put_nowait((frames.STOP, frames.encode(FLUSH_DEADLINE)))

    async def obey(self) -> None:
        """One order after the other, until one says stop."""
        while True:
            kind, payload = await self._orders.get()
            if kind == frames.STOP:
                await self._stop(msgspec.msgpack.decode(payload, type=float))
                return
            try:
                await self._acts[kind](payload)
            except (ConfigError, OSError) as error:
                problems = getattr(error, "problems", None) or [Problem("", str(error))]
                self._send(frames.FAILED, frames.encode(problems), kind)
                if kind == frames.START:
                    return
            else:
                self._send(frames.DONE, items=kind)

    async def said(self) -> None:
        """Wait until the hub has the last words."""
        if self._transport is not None:
            self._transport.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), 1.0)

    async def _start(self, payload: bytes) -> None:
        setup = frames.decode_setup(payload)
        self._patience = setup.patience
        configure(setup.log.format, setup.log.level)
        await self.host.start(setup)

    async def _prepare(self, payload: bytes) -> None:
        setup = frames.decode_setup(payload)
        await self.host.prepare(setup)
        self._log = setup.log

    async def _adopt(self, payload: bytes) -> None:
        await self.host.adopt(FLUSH_DEADLINE)
        configure(self._log.format, self._log.level)

    async def _stop(self, deadline: float) -> None:
        while self._ring_came():  # one that was handed over and not taken yet
            pass
        asyncio.get_running_loop().remove_reader(self._rings)
        await self.host.stop(deadline, self._patience if self._transport is None else 0.0)
        self._tell(0)

    def _question(self, kind: int, number: int, payload: bytes) -> None:
        reception = self.host.reception
        if kind == frames.ASK:
            spawn(self._answer(number, payload), "answer a question")
        elif kind == frames.UNTAP and reception is not None:
            reception.untap(self._taps.pop(number, 0))
        elif kind == frames.TAP and reception is not None:
            self._taps[number] = reception.tap(payload.decode(), partial(self._told, number))

    def _told(self, number: int, lines: Sequence[str], missed: int) -> None:
        self._send(frames.TAPPED, frames.encode((lines, missed)), number)

    async def _answer(self, number: int, payload: bytes) -> None:
        reception = self.host.reception
        if reception is None:
            reply = refusal(503, "the collector is starting; try again")
        else:
            reply = await reception.ask(*frames.decode_question(payload))
        self._reply(number, reply)

    def _reply(self, number: int, reply: Reply) -> None:
        for piece in frames.pieces(reply.status, reply.content_type, reply.body):
            self._send(frames.ANSWER, piece, number)

    def _ring_came(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._rings, frames.RING.size, 2)
        except BlockingIOError:
            return False
        if not data:  # the hub is gone
            asyncio.get_running_loop().remove_reader(self._rings)
            return False
        memory, pipe = descriptors
        self.host.add_ring(frames.RING.unpack(data)[0], memory, pipe)
        return True

    def _tell(self, number: int) -> None:
        """Everything that is counted here."""
        self.host.catch_up()
        for table in frames.slices(self.host.series()):
            self._send(frames.SERIES, table)
        self._send(frames.STANDINGS, frames.encode(self.host.standings()))
        self._send(frames.VIEW, frames.encode(self.host.view()))
        self._send(frames.COLLECTED, frames.encode(self._lag.longest()), number)

    def _send(self, kind: int, payload: bytes = b"", items: int = 0) -> None:
        if self._transport is not None:
            self._transport.write(encode(kind, payload, items))
