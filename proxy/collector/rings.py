"""The rings of all workers, read when they say that there is something, and to their end.

A worker's end of the pipe closes with its process, whatever ends it: then everything that it ever
published is read. A ring is done with, and its maker is told, when all of it is released.

The rings of some that have ended are kept until what came from them is safe, which takes long
while a back end is away. Beyond KEPT the oldest are let go, as what lies beyond CUSTODY is: a
worker may be replaced at any time, and descriptors are not to grow with that.
"""

from __future__ import annotations

import asyncio
import mmap
import os
from collections.abc import Callable, Sequence
from typing import Protocol

from proxy.collector.batch import Signal
from proxy.collector.ring import Lane, Run, lanes_of
from proxy.collector.stdout import Stdout
from proxy.ring import HEADS, LINES

SIGNALS: tuple[Signal, Signal] = ("traces", "logs")  # of the first two lanes
KEPT = 8  # rings of workers that have ended
AGAIN = 0.1  # seconds between two looks at a ring that must only be released


class Taker(Protocol):
    """Where runs of spans and log records go; a Pipeline."""

    def offer(self, signal: Signal, entries: bytes, items: int, receipt: object = None) -> None: ...

    def note_dropped(self, signal: Signal, items: int, reason: str) -> None: ...


class Rings:
    """`finished` is called with the number of a ring that is done with."""

    def __init__(self, taker: Taker, stdout: Stdout, finished: Callable[[int], None]) -> None:
        self._taker = taker
        self._stdout = stdout
        self._finished = finished
        self._rings: dict[int, Ring] = {}
        self._read_out = asyncio.Event()  # nobody is left who writes
        self._read_out.set()

    def add(self, number: int, memory: int, pipe: int) -> None:
        """Read the ring of that worker from now on; the descriptors are the callee's to close."""
        with open(memory, "rb", closefd=True) as file:
            mapped = mmap.mmap(file.fileno(), 0)
        os.set_blocking(pipe, False)
        self._read_out.clear()
        ring = self._rings[number] = Ring(mapped, pipe, self._take, lambda: self._ended(number))
        ring.start()

    def catch_up(self) -> None:
        """Read what is published, told or not."""
        for ring in list(self._rings.values()):
            ring.read_all()

    async def read_out(self, timeout: float) -> None:
        """Until all workers have ended and everything they published is read."""
        try:
            await asyncio.wait_for(self._read_out.wait(), timeout)
        except TimeoutError:
            self.catch_up()

    def close(self) -> None:
        """Look at none of them any more."""
        for ring in self._rings.values():
            ring.close()
        self._rings.clear()

    def _take(self, number: int, run: Run | None, dropped: int) -> None:
        if number == LINES:
            if run is not None:
                self._stdout.offer(run.entries, run.receipt)
            return
        signal = SIGNALS[number]
        if dropped:
            self._taker.note_dropped(signal, dropped, "ring_full")
        if run is not None:
            self._taker.offer(signal, run.entries, run.items, run.receipt)

    def _ended(self, number: int) -> None:
        if all(ring.ended for ring in self._rings.values()):
            self._read_out.set()
        ended = [ring for ring in self._rings.values() if ring.ended]
        for ring in ended[:-KEPT]:
            ring.let_go()
        self._retire(number)

    def _retire(self, number: int) -> None:
        ring = self._rings.get(number)
        if ring is None:
            return
        if ring.is_done:
            ring.let_go()
            del self._rings[number]
            self._finished(number)
        else:
            asyncio.get_running_loop().call_later(AGAIN, self._retire, number)


class Ring:
    """One worker's, as long as it is not done with."""

    __slots__ = ("_end", "_lanes", "_pipe", "_take", "ended")

    def __init__(
        self,
        memory: mmap.mmap,
        pipe: int,
        take: Callable[[int, Run | None, int], None],
        end: Callable[[], None],
    ) -> None:
        self._lanes: tuple[Lane, ...] = lanes_of(memory)
        self._pipe = pipe
        self._take = take
        self._end = end  # called once, when nothing more can come
        self.ended = False

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self._pipe, self._woken)
        self.read_all()

    @property
    def is_done(self) -> bool:
        return self.ended and all(lane.is_done for lane in self._lanes)

    def let_go(self) -> None:
        """Of a worker that has ended: nobody is to read it again."""
        for lane in self._lanes:
            lane.let_go()

    def read_all(self) -> None:
        self._read([lane.head for lane in self._lanes])

    def close(self) -> None:
        if self._pipe >= 0:
            asyncio.get_running_loop().remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = -1

    def _woken(self) -> None:
        """One telling a turn: each is about as much as fits into a turn."""
        told = os.read(self._pipe, HEADS.size)
        if told:
            self._read(HEADS.unpack(told))
            os.sched_yield()  # before another turn: a worker may be waiting for this core
            return
        self.close()
        self._read_last()

    def _read_last(self) -> None:
        heads = [lane.head for lane in self._lanes]
        self._read(heads)
        if any(map(Lane.is_ahead, self._lanes, heads)):
            asyncio.get_running_loop().call_soon(self._read_last)
            return
        self.ended = True
        self._end()

    def _read(self, heads: Sequence[int]) -> None:
        """Up to those heads; what is more than a turn's worth is left to later turns."""
        more = False
        for number, (lane, head) in enumerate(zip(self._lanes, heads, strict=True)):
            run, dropped = lane.read(head), lane.new_drops()
            if run is not None or dropped:
                self._take(number, run, dropped)
            more = more or lane.is_ahead(head)
        if more:
            asyncio.get_running_loop().call_soon(self._read, heads)
