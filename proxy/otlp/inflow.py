"""Inflow: bodies of requests, read within limits of size and time, of all connections together.

A body holds its share of the limit until its request is answered, not only until it was read. A
sender who is slow is not to be paid for by the others: each body has clocks, and where there is no
room left, the one that has been coming longest makes it (as in `proxy.web` for connections). How a
body is coded is `inflate.py`'s business; where its bytes come from is the caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from proxy.otlp.inflate import Inflater, TooLarge
from proxy.otlp.refusal import MALFORMED, OVERLOADED, TOO_LARGE, TOO_SLOW, Refusal
from proxy.otlp.turns import Turns
from proxy.otlp.wire import WireError

More = Callable[[], Awaitable[bytes]]  # the next bytes of a body, b"" at its end


_BLOCK = 128 * 1024  # bytes of a block that is decompressed in a thread


@dataclass(frozen=True, slots=True)
class Limits:
    """In bytes."""

    request: int  # one request, decompressed
    in_flight: int  # all requests that are not answered yet


@dataclass(frozen=True, slots=True)
class Clocks:
    """Of one body that is being read; seconds, and bytes in a second."""

    total: float = 60.0  # Envoy: 5 min for the request
    silence: float = 10.0  # without a byte (nginx client_body_timeout: 60)
    grace: float = 20.0  # and then at least `rate` on average (Apache MinRate: the same two)
    rate: float = 500.0
    yields: float = 1.0  # after so long it makes room for others, where there is none

    def left(self, age: float, size: int) -> float:
        """Seconds that may pass without a byte, of a body that has `size` bytes now."""
        enough = max(self.grace, size / self.rate)
        return min(self.silence, self.total - age, enough - age)


class Coming(Protocol):
    """A body that is being read."""

    def give_way(self) -> None:
        """Give back its room, since others need it."""


class Inflow:
    """Reads bodies within the limits, and no more of them in one turn than others can bear."""

    __slots__ = ("_coming", "_limits", "clocks", "in_flight", "turns")

    def __init__(
        self, limits: Limits, turns: Turns | None = None, clocks: Clocks | None = None
    ) -> None:
        self._limits = limits
        self.turns = turns or Turns()
        self.clocks = clocks or Clocks()
        self.in_flight = 0  # bytes
        self._coming: dict[Coming, float] = {}  # since when, in loop time; the longest first

    @property
    def cap(self) -> int:
        return self._limits.request

    def body(self, encoding: str) -> Body:
        return Body(self, encoding)

    def take(self, size: int, body: Coming | None = None) -> None:
        """Account for bytes of a request; raises Refusal when all together are too many."""
        if self._limits.in_flight and self.in_flight + size > self._limits.in_flight:
            self._make_room(size, body)
        self.in_flight += size

    def comes(self, body: Coming) -> float:
        """It is being read from now on; what is the time."""
        self._coming[body] = now = asyncio.get_running_loop().time()
        return now

    def came(self, body: Coming) -> None:
        self._coming.pop(body, None)

    def _make_room(self, size: int, asking: Coming | None) -> None:
        ripe = asyncio.get_running_loop().time() - self.clocks.yields
        for body, begun in list(self._coming.items()):
            if begun > ripe:
                break
            if body is not asking:
                body.give_way()
                if self.in_flight + size <= self._limits.in_flight:
                    return
        raise Refusal(OVERLOADED, "too many requests are being read")


class Body:
    """One body; `close` it when its request is answered, whatever happens."""

    __slots__ = ("_clock", "_gave_way", "_inflater", "_inflow", "_taken")

    def __init__(self, inflow: Inflow, encoding: str) -> None:
        self._inflow = inflow
        self._inflater = Inflater(encoding, inflow.cap)
        self._taken = 0
        self._clock: asyncio.Timeout | None = None
        self._gave_way = False

    async def read(self, more: More) -> bytes:
        """All of it, decompressed; raises Refusal: as `feed` does, or too slow."""
        inflow, clocks, loop = self._inflow, self._inflow.clocks, asyncio.get_running_loop()
        begun, size = inflow.comes(self), 0
        try:
            async with asyncio.timeout(clocks.left(0.0, 0)) as self._clock:
                while chunk := await more():
                    size += len(chunk)
                    self._clock.reschedule(begun + clocks.total)  # it is our turn, not its
                    await self.feed(chunk)
                    now = loop.time()
                    self._clock.reschedule(now + clocks.left(now - begun, size))
            return await self.finish()
        except TimeoutError:
            if self._gave_way:  # it may be an honest one, who comes again
                raise Refusal(OVERLOADED, "others needed the room of a slow body") from None
            raise Refusal(TOO_SLOW) from None
        finally:
            inflow.came(self)
            self._clock = None

    async def feed(self, chunk: bytes) -> None:
        """Raises Refusal: too large, malformed, or too much at once."""
        turns = self._inflow.turns
        await turns.gap()
        try:
            before = self._inflater.size
            for _ in self._inflater.feed(chunk):
                self.hold(self._inflater.size - before)
                before = self._inflater.size
                await turns.gap()
            self.hold(self._inflater.size - before)
        except TooLarge:
            raise Refusal(TOO_LARGE, f"{self._inflow.cap} bytes") from None
        except WireError as error:
            raise Refusal(MALFORMED, str(error)) from None

    async def finish(self) -> bytes:
        """All of it; raises Refusal as `feed` does."""
        inflater = self._inflater
        before = inflater.size
        try:
            if inflater.is_block and before > _BLOCK:
                whole = await self._inflow.turns.thread(inflater.finish)
            else:
                whole = inflater.finish()
            self.hold(inflater.size - before)
            return whole
        except TooLarge:
            raise Refusal(TOO_LARGE, f"{self._inflow.cap} bytes") from None
        except WireError as error:
            raise Refusal(MALFORMED, str(error)) from None

    def hold(self, size: int) -> None:
        """Account for more bytes of this request; raises Refusal when there is no room."""
        if size > 0:
            self._inflow.take(size, self)
            self._taken += size

    def give_way(self) -> None:
        """Others need the room; `read` ends in this turn or the next."""
        self.close()
        self._gave_way = True
        self._inflow.came(self)
        if self._clock is not None:
            self._clock.reschedule(asyncio.get_running_loop().time())

    def close(self) -> None:
        self._inflow.in_flight -= self._taken
        self._taken = 0
