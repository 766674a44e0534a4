"""Viewers: who watches requests as they end, and what the workers have to know of it.

While somebody watches, workers make an access record of each request, sampled or not, whether
any pipeline takes logs or not. Those who watch know no worker, and a worker that starts is told.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.hub.parts import Whole
from proxy.hub.questions import Tell
from proxy.server import frames

MOST = 32  # at once: each takes one of the admin port's connections for as long as it watches


class Viewers:
    """Those of one hub."""

    def __init__(self, hub: Whole) -> None:
        self._hub = hub
        self._count = 0

    @property
    def told(self) -> tuple[int, bytes]:
        """The frame that a new worker goes by."""
        return frames.WATCH, b"1" if self._count else b""

    async def add(self, query: str, tell: Tell) -> Callable[[], None]:
        """One more; see `admin.view.View.tap`."""
        if self._count >= MOST:
            raise ValueError(f"{MOST} are watching already")
        end = self._hub.collector.tap(query, tell)
        self._count += 1
        self._hub.supervisor.broadcast(*self.told)
        await self._hub.supervisor.collect()  # whoever has answered has read the frame before

        def leave() -> None:
            end()
            self._count -= 1
            if not self._count:
                self._hub.supervisor.broadcast(*self.told)

        return leave
