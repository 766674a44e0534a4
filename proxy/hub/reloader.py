"""Who wants the file to be read again, and what they are told: HUP, the admin port, the watch.

Reloads run one after the other. Whoever asks while one runs gets the next one, since the file may
have changed after it was read; all who ask until that begins share it and its outcome.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from proxy.errors import Problem
from proxy.hub.config_history import Reloaded, difference
from proxy.hub.parts import Outcome, Reloading
from proxy.hub.reload import failed
from proxy.tasks import cancel, spawn

log = logging.getLogger("spangate")

LARGE = 256 * 1024  # characters of a file that is compared when its reload is over: 0.2 s and more


class Reloader:
    """Of one hub. `run` reads the file and applies it; what came of it is in `hub.reloads`. What
    it returns is why there was no reload at all, "" = there was one."""

    def __init__(self, hub: Reloading, run: Callable[[], Awaitable[str]]) -> None:
        self._hub = hub
        self._run = run
        self._next: asyncio.Future[Outcome] | None = None  # of those who wait for one to begin
        self._task: asyncio.Task[None] | None = None

    def ask(self) -> asyncio.Future[Outcome]:
        """A reload that begins after this call. Awaiting it may be given up at any time."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        if self._task is None or self._task.done():
            self._task = spawn(self._work(), "reload")
        return asyncio.shield(self._next)

    async def stop(self, reason: str) -> bool:
        """No more of them; who waits is told why. Whether anybody did."""
        await cancel(self._task)
        waiting, self._next = self._next, None
        if waiting is not None:
            self._settle(waiting, self._refused(reason))
        return waiting is not None

    async def _work(self) -> None:
        while self._next is not None:
            async with self._hub.changing:
                waiting, self._next = self._next, None
                began, before = time.time(), self._hub.loaded.text
                is_noted = False
                outcome = self._refused("the gateway is stopping")
                try:
                    refusal = await self._run()
                    outcome = self._refused(refusal) if refusal else self._outcome()
                    is_noted = bool(refusal)
                    if not is_noted and len(before) <= LARGE:
                        await self._note(began, before)
                        is_noted = True
                except Exception as error:  # a fault of ours must not end reloads for good
                    log.exception("a reload failed inside the gateway", extra={"key": "reload.bug"})
                    outcome = self._broken(error)
                finally:
                    self._settle(waiting, outcome)
                if not is_noted:
                    await self._note(began, before)

    def _outcome(self) -> Outcome:
        hub = self._hub
        return Outcome(hub.number, tuple(hub.reloads.reasons), tuple(hub.loaded.warnings))

    def _broken(self, error: Exception) -> Outcome:
        reason = f"it failed inside the gateway ({type(error).__name__}: {error}): see its log"
        failed(self._hub, f"generation {self._hub.number} is in force", reason)
        return self._outcome()

    async def _note(self, began: float, before: str) -> None:
        """For the history; `before`: the text of what was in force."""
        reloads = self._hub.reloads
        unknown = {p.key for p in reloads.reasons if isinstance(p, Problem) and p.is_unknown}
        # A thread: to compare ten thousand routes takes a while.
        diff = await asyncio.to_thread(difference, before, reloads.text, unknown)
        reloads.text = ""
        at = datetime.fromtimestamp(began, UTC).isoformat(timespec="milliseconds")
        reloads.history.note(Reloaded(at, reloads.tried, reloads.last, reloads.error, diff))

    def _refused(self, reason: str) -> Outcome:
        return Outcome(self._hub.number, (reason,))

    def _settle(self, waiting: asyncio.Future[Outcome], outcome: Outcome) -> None:
        if not waiting.done():
            waiting.set_result(outcome)
