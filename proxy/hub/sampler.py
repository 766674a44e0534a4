"""When rates are read: every second while somebody looks, every ten seconds otherwise.

Whoever asks gets what was counted until now. Thousands of series are read in steps, so that the
hub's loop is not held.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from proxy.hub.rates import NAMES, History, Reading
from proxy.tasks import gently
from proxy.telemetry.metrics import Series
from proxy.telemetry.totals import Totals

WATCHED = 30.0  # seconds that somebody looks on after a question
OFTEN, SELDOM = 1.0, 10.0  # seconds between two readings


class Sampler:
    """Reads `totals`, which began to count when this was made."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals
        # The clock of the wall may jump, which no rate survives.
        self._epoch = time.time() - time.monotonic()
        self.history = History(self.now())
        self._turn = asyncio.Lock()
        self._asked = float("-inf")  # monotonic seconds
        self._read = time.monotonic()

    def now(self) -> float:
        """Unix seconds, as this has counted them since it was made."""
        return self._epoch + time.monotonic()

    async def ask(self) -> History:
        """Read now, since somebody looks."""
        self._asked = time.monotonic()
        await self._sample()
        return self.history

    async def run(self) -> None:
        """Read from time to time, for as long as the gateway runs."""
        while True:
            await asyncio.sleep(OFTEN)
            now = time.monotonic()
            every = OFTEN if now - self._asked <= WATCHED else SELDOM
            if now - self._read >= every - OFTEN / 2:
                await self._sample()

    async def _sample(self) -> None:
        async with self._turn:
            reading = Reading()
            async for one in gently(self._series()):
                reading.add(one)
            self._read = time.monotonic()
            async for _ in gently(self.history.take(reading, self.now())):
                pass

    def _series(self) -> Iterator[Series]:
        for name in NAMES:
            yield from self._totals.of(name)
