"""What finds servers, and whom it tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Tell(Protocol):
    """Hears of what a source has found; both may be called as often as anything is known."""

    def found(self, servers: Mapping[str, int], note: str = "") -> None:
        """These, by URL with their weights, and no others. They are kept as they are, so nobody
        changes them afterwards. `note`: what was passed over."""

    def failed(self, reason: str) -> None:
        """It could not be found out; what was found before holds."""


class Source(Protocol):
    """Knows the servers of one upstream. It has no state that outlives `watch`."""

    async def watch(self, tell: Tell) -> None:
        """Find servers, and go on until cancelled. It tells at least once, soon, and raises
        nothing: whatever goes wrong is told."""
