"""What goes wrong with a source that is asked for several things at once, told as one.

Each of them may fail on its own while the others go on. Those that fail together are told
together, in words that stay the same for as long as the same is wrong; and that it is over is told
when nothing is wrong any more.
"""

from __future__ import annotations

import asyncio

from proxy.sources.source import Hears

TOGETHER = 0.05  # seconds that a failure waits for those that come with it
SHOWN = 3  # reasons of one message


class Troubles:
    """Of one source."""

    def __init__(self, hears: Hears) -> None:
        self._hears = hears
        self._reasons: dict[str, str] = {}  # by what is asked for
        self._telling: asyncio.TimerHandle | None = None

    def failed(self, about: str, why: str) -> None:
        self._reasons[about] = why
        if self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(TOGETHER, self._tell)

    def heard(self, about: str) -> None:
        """It was answered, or is not asked for any more."""
        self._reasons.pop(about, None)
        if not self._reasons:
            self._hears.heard()

    def stop(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    def _tell(self) -> None:
        self._telling = None
        if reasons := sorted(set(self._reasons.values())):
            more = [f"and {len(reasons) - SHOWN} more"] if len(reasons) > SHOWN else []
            self._hears.failed("; ".join(reasons[:SHOWN] + more), in_part=True)
