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
from proxy.server import frames

log = logging.getLogger("spangate")

EVERY = 0.5  # seconds between two looks


class Switch:
    """That of one hub. `tell` sends all workers a frame, of that kind and payload."""

    def __init__(self, loaded: Callable[[], Loaded], tell: Callable[[int, bytes], None]) -> None:
        self._loaded = loaded
        self._tell = tell
        self._has_looked = False
        self.is_on = False

    @property
    def told(self) -> tuple[int, bytes]:
        """The frame that a new worker goes by; the first one makes it look."""
        if not self._has_looked:
            path = self._path()
            self._note(bool(path) and os.path.exists(path), path)
        return frames.MAINTAIN, b"1" if self.is_on else b""

    async def watch(self) -> None:
        """For as long as the gateway runs."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Go by what is there now; without a file to look for that is off."""
        path = self._path()
        if not path and not self.is_on:
            return
        on = bool(path) and await asyncio.to_thread(os.path.exists, path)
        if self._note(on, path):
            self._tell(*self.told)

    def _path(self) -> str:
        """ "" = the configuration names no file."""
        loaded = self._loaded()
        name = loaded.config.errors.maintenance.file
        return os.path.join(os.path.dirname(loaded.file), name) if name else ""

    def _note(self, on: bool, path: str) -> bool:
        """Whether that is news."""
        self._has_looked = True
        if on == self.is_on:
            return False
        self.is_on = on
        if on:
            log.warning("maintenance is on: there is %s", path, extra={"key": "maintenance.on"})
        elif path:
            log.warning("maintenance is off: %s is gone", path, extra={"key": "maintenance.off"})
        else:
            log.warning(
                "maintenance is off: the configuration names no file any more",
                extra={"key": "maintenance.unnamed"},
            )
        return True
