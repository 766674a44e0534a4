"""Passive health: the hub looks at what workers count, and puts out who answers badly.

What counts as bad is decided in `upstream/eject.py`; the roster tells the workers. It looks five
times a second, and not at all where no upstream has `eject`; where there are so many endpoints
that a look takes long, less often.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from proxy.config.model import Upstream
from proxy.hub import gauges
from proxy.hub.boards import Boards, Key
from proxy.hub.roster import Roster
from proxy.tasks import gently, spawn
from proxy.telemetry.metrics import Series
from proxy.upstream.board import FAILED, OK, TRIPPED
from proxy.upstream.eject import Counted, Ejector, Turn

log = logging.getLogger("spangate")

EVERY = 0.2  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Ejection:
    """What is known of an endpoint."""

    times: int  # ever
    why: str  # of the last one
    until: float = 0.0  # Unix time at which it comes back; 0 = it is in
    refused: bool = False  # it would be out, were not so many


class Ejections:
    """All upstreams that have `eject`."""

    def __init__(self, boards: Boards, roster: Roster) -> None:
        self._boards = boards
        self._roster = roster
        self._ejectors: dict[str, Ejector] = {}
        self._looking: asyncio.Task[None] | None = None

    def configure(self, upstreams: Mapping[str, Upstream]) -> None:
        """Go by these from now on, after the roster does; who was out stays out, where there is
        still somebody to bring it back."""
        before, self._ejectors = self._ejectors, {}
        for name, upstream in upstreams.items():
            if upstream.eject is not None:
                ejector = before.get(name) or Ejector(upstream.eject)
                ejector.settings = upstream.eject
                self._ejectors[name] = ejector
        for key, member in self._roster:
            if member.ejected and key[0] not in self._ejectors:
                self._roster.eject(key, False)
        if not self._ejectors:
            self.stop()
        elif self._looking is None:
            self._looking = spawn(self._look_regularly(), "judge endpoints")

    async def _look_regularly(self) -> None:
        took = 0.0
        while True:
            await asyncio.sleep(max(EVERY, 20 * took))
            began = time.monotonic()
            try:
                await self.look()
            except Exception:
                log.exception("endpoints could not be judged", extra={"key": "ejections.failed"})
            took = time.monotonic() - began

    async def look(self) -> None:
        """Judge everybody once, with pauses for others where there are many."""
        now, ejectors = time.monotonic(), dict(self._ejectors)
        counted: dict[str, dict[str, Counted]] = {name: {} for name in ejectors}
        healthy: dict[str, list[str]] = {name: [] for name in ejectors}
        async for (name, url), member in gently(list(self._roster)):
            if name in counted:
                cells = self._boards.totals((name, url))
                if cells:
                    counted[name][url] = Counted(cells[OK], cells[FAILED], cells[TRIPPED])
                if member.up is not False and not member.drained and not member.ejected:
                    healthy[name].append(url)
        for name, ejector in ejectors.items():
            turns: list[Turn] = []
            async for _ in gently(ejector.steps(now, counted[name], healthy[name], turns)):
                pass
            for turn in turns if self._ejectors.get(name) is ejector else ():
                self._turn(name, ejector, turn, now)

    def of(self, key: Key) -> Ejection | None:
        """None: it was never ejected, and never near it."""
        ejector = self._ejectors.get(key[0])
        record = ejector.records.get(key[1]) if ejector is not None else None
        if record is None or not record.why:
            return None
        until = time.time() + record.until - time.monotonic() if record.until else 0.0
        return Ejection(record.ejections, record.why, until, record.refused)

    def series(self) -> Iterator[Series]:
        """Those of one instrument together."""
        shown = {
            gauges.of_endpoint((name, url)): record
            for name, ejector in self._ejectors.items()
            for url, record in ejector.records.items()
        }
        for labels, record in shown.items():
            yield Series(gauges.EJECTED, labels, int(record.until > 0))
        for labels, record in shown.items():
            yield Series(gauges.EJECTIONS, labels, record.ejections)

    def stop(self) -> None:
        """Judge nobody any more."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _turn(self, name: str, ejector: Ejector, turn: Turn, now: float) -> None:
        place = f"upstream {name}: {turn.url}"
        if turn.out:
            self._roster.eject((name, turn.url), True)
            out = sum(1 for record in ejector.records.values() if record.until)
            text = "%s is ejected for %g s: %s; %d of %d are out"
            log.warning(
                text,
                place,
                turn.until - now,
                turn.why,
                out,
                len(ejector.records),
                extra={"key": "endpoint.ejected"},
            )
        elif turn.back:
            self._roster.eject((name, turn.url), False)
            log.warning("%s is back, on trial: %s", place, turn.why, extra={"key": "endpoint.back"})
        else:
            log.warning(
                "%s is not ejected: %s", place, turn.why, extra={"key": "endpoint.not_ejected"}
            )
