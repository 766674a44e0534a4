"""The maintenance switch: a file whose being there says that it is on, looked for twice a second.

Workers are told of a change by a frame, and who starts is told with all that is in force. A folder
that cannot be read is a file that is not there: whoever wants maintenance sees in the log whether
it came.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from proxy.config.loaded import Loaded

log = logging.getLogger("spangate")

EVERY = 0.5  # seconds between two looks


class Switch:
    """That of one hub. `tell` tells all workers."""

    def __init__(self, loaded: Callable[[], Loaded], tell: Callable[[bool], None]) -> None:
        self._loaded = loaded
        self._tell = tell
        self.is_on = False

    async def watch(self) -> None:
        """For as long as the gateway runs."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Go by what is there now; without a file to look for that is off."""
        loaded = self._loaded()
        name = loaded.config.errors.maintenance.file
        if not name and not self.is_on:
            return
        path = os.path.join(os.path.dirname(loaded.file), name) if name else ""
        self._set(bool(name) and await asyncio.to_thread(os.path.exists, path), path)

    def _set(self, on: bool, path: str) -> None:
        if on == self.is_on:
            return
        self.is_on = on
        if on:
            log.warning("maintenance is on: there is %s", path)
        elif path:
            log.warning("maintenance is off: %s is gone", path)
        else:
            log.warning("maintenance is off: the configuration names no file any more")
        self._tell(on)
