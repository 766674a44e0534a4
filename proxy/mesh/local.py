"""`local:///DIR`: certificates by an authority on this disk, made where they are needed.

Each sidecar of the host signs its own, as the file's permissions allow, and looks once a second
whether the authority has changed. What becomes of roots is decided in `ca.py`.
"""

from __future__ import annotations

import asyncio
import os
import time
from random import random

from proxy.config.spiffe import SpiffeId
from proxy.mesh.aside import Ask, ask
from proxy.mesh.source import Puts
from proxy.mesh.svid import Svid

STATE = "authority.json"
EVERY = 1.0  # seconds between two looks at the authority
AGAIN = 5.0  # seconds until it is tried again, at most


class Local:
    """One sidecar's."""

    def __init__(self, folder: str, who: SpiffeId, domain: str, ttl: float, ask: Ask = ask) -> None:
        self._folder = folder
        self._who = who
        self._domain = domain or who.domain
        self._ttl = float(ttl)
        self._ask = ask
        self._due = 0.0  # Unix time of the next certificate
        self._changes = 0.0  # and of the next change of roots
        self._last: Svid | None = None  # in force
        self._mark: object = None  # of the authority as it was when it was read

    def first(self, now: float) -> Svid:
        """One more certificate. ValueError, OSError."""
        made, mark = self._made(now)
        self._follow(made, mark, now)
        return made

    async def run(self, into: Puts) -> None:
        while True:
            try:
                if self._is_due(time.time()):
                    await self._renew(into)
            except (OSError, ValueError) as error:
                into.failed(str(error))
                await asyncio.sleep(self._pause(time.time()))
            now = time.time()
            await asyncio.sleep(max(0.0, min(EVERY, self._due - now, self._changes - now)))

    async def _renew(self, into: Puts) -> None:
        now = time.time()
        made, mark = await asyncio.to_thread(self._made, now)
        if await into.put(made):
            self._follow(made, mark, now)
        else:  # the next one is as due as this one was
            await asyncio.sleep(self._pause(time.time()))

    def _made(self, now: float) -> tuple[Svid, object]:
        """And the mark of the authority that has made it."""
        mark = self._look()
        made = self._ask("local", self._folder, str(self._who), self._domain, self._ttl, now)
        return made, mark if mark is not None else self._look()

    def _follow(self, made: Svid, mark: object, now: float) -> None:
        """It is in force: when there is to be another."""
        self._last, self._mark = made, mark
        self._due, self._changes = made.due(now, random()), made.changes

    def _pause(self, now: float) -> float:
        return AGAIN if self._last is None else self._last.pause(now, AGAIN)

    def _is_due(self, now: float) -> bool:
        is_early = self._last is not None and now < self._last.since  # the clock was set back
        return is_early or now >= self._due or now >= self._changes or self._look() != self._mark

    def _look(self) -> object:
        try:
            found = os.stat(os.path.join(self._folder, STATE))
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
