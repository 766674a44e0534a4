"""Batch: what moves through the collector, and the one place where small pieces become one.

OTLP stays bytes here: two serialised Export…ServiceRequest messages one after the other are one
valid message, so nothing is decoded to be gathered, shared or sent. What the bytes say inside,
and where they go, is not known in this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Signal = Literal["traces", "metrics", "logs"]
SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs")


@dataclass(frozen=True, slots=True)
class Batch:
    """One serialised Export…ServiceRequest; immutable, so that exporters can share it."""

    signal: Signal
    payload: bytes
    items: int  # spans, data points or log records

    @property
    def size(self) -> int:
        """Bytes, uncompressed."""
        return len(self.payload)


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a batch is complete: whichever comes first."""

    items: int
    size: int  # bytes of the finished request, never exceeded but by a single item
    age: float  # seconds since its first piece


@dataclass(frozen=True, slots=True)
class Format:
    """How pieces become a request: the gateway's entries need an envelope, requests need none."""

    seal: Callable[[list[bytes]], bytes]
    overhead: int  # bytes that `seal` adds at most
    split: Callable[[bytes, int], Iterable[tuple[bytes, int]]]  # (piece, limit) -> (part, items)


class Batcher:
    """Gathers pieces of one signal until a bound is reached, then hands over one Batch.

    `items` counts what has been offered and not handed over yet. Synchronous; the age bound uses
    the running loop's timer, one for each batch.
    """

    __slots__ = ("_bounds", "_format", "_forward", "_pieces", "_room", "_signal", "_size", "_timer",
                 "items")  # fmt: skip

    def __init__(
        self, signal: Signal, bounds: Bounds, form: Format, forward: Callable[[Batch], object]
    ) -> None:
        self._signal = signal
        self._bounds = bounds
        self._format = form
        self._forward = forward
        self._room = max(1, bounds.size - form.overhead)
        self._pieces: list[bytes] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self.items = 0

    def add(self, piece: bytes, items: int) -> None:
        """Take a piece; raises what the format's `split` raises, having taken nothing."""
        if len(piece) <= self._room:
            self._append(piece, items)
            return
        parts = list(self._format.split(piece, self._room)) or [(piece, items)]
        for part, count in parts[:-1]:
            # The sender's word on the number of items is kept: the books were opened with it.
            count = min(count, items)
            items -= count
            self._append(part, count)
        self._append(parts[-1][0], items)

    def flush(self) -> None:
        """Hand over what is there."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._pieces:
            return
        batch = Batch(self._signal, self._format.seal(self._pieces), self.items)
        self._pieces = []
        self._size = self.items = 0
        self._forward(batch)

    def _append(self, piece: bytes, items: int) -> None:
        if self._size and self._size + len(piece) > self._room:
            self.flush()
        self._pieces.append(piece)
        self._size += len(piece)
        self.items += items
        if self.items >= self._bounds.items or self._size >= self._room:
            self.flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._bounds.age, self.flush)
