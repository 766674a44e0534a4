"""One source of configuration as the hub knows it: what it has given, and what became of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from proxy.sources.source import Given, Source, in_one

log = logging.getLogger("spangate")

TOLD = 20  # reasons that are kept
LENGTH = 100  # characters of a version
REASON = 500  # of a reason


class Counts(NamedTuple):
    """For /metrics."""

    version: str  # in force
    versions: Mapping[str, str]
    states: int  # that it gave
    updates: int  # of servers alone
    applied: int
    refused: int
    failures: int
    answers: bool  # the last thing heard of it was no failure
    age: float | None  # seconds since it was last heard of; None = it never was


class Sourced:
    """Of one [source.NAME]."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.settings: Any = None
        self.source: Source | None = None
        self.newest: Given | None = None  # not looked at yet
        self.applied: Given | None = None  # in force
        self.looked_at = asyncio.Event()  # at what it said first, or at its failure
        self.updates = 0
        self._states = self._succeeded = self._refused = self._failures = 0
        self._reason = ""  # why it cannot be asked now
        self._refusal: tuple[str, Sequence[str]] = ("", ())  # the version, and why
        self._wrong: Given | None = None  # the one that was refused, if nothing came since
        self._at = 0.0  # Unix time at which `applied` came into force
        self._heard: float | None = None  # monotonic
        self._task: asyncio.Task[None] | None = None

    @property
    def is_late(self) -> bool:
        """It has given something, and what it gave first is not in force yet, nor given up."""
        return self._states > 0 and not self.looked_at.is_set()

    def task(self, task: asyncio.Task[None]) -> None:
        """What runs it from now on."""
        self.stop()
        self._task = task

    def is_run_by(self, task: asyncio.Task[Any] | None) -> bool:
        return task is self._task

    def stop(self) -> asyncio.Task[None] | None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    def restore(self, given: Any) -> None:
        """In force since before this process."""
        if isinstance(given, Given):
            self.applied, self._at = given, time.time()
            self.looked_at.set()

    def given(self, given: Given, now: float) -> None:
        self._states += 1
        self.newest = given
        self.hears(now)

    def hears(self, now: float) -> None:
        self._heard = now
        if self._reason:
            log.info("source %s answers again", self.name, extra={"key": "source.again"})
            self._reason = ""

    def called(self, versions: Mapping[str, str]) -> None:
        """What is in force has these versions now."""
        if self.applied is not None:
            self.applied = msgspec.structs.replace(
                self.applied, version=in_one(versions), versions=dict(versions)
            )

    def failed(self, reason: str, now: float) -> None:
        reason = " ".join(reason.split())[:REASON]
        self._failures += 1
        if reason != self._reason:
            stays = "what it gave stays" if self.applied is not None else "it has given nothing yet"
            log.warning(
                "source %s: %s; %s", self.name, reason, stays, extra={"key": "source.failed"}
            )
        self._reason = reason
        if self.newest is None:
            self.looked_at.set()

    def take(self) -> Given:
        """What is not looked at yet."""
        given, self.newest = self.newest, None
        assert given is not None, "asked for where there is one"
        return given

    def again(self) -> bool:
        """Whether there is one that was refused, which is the newest once more."""
        if self._wrong is None or self.newest is not None:
            return False
        self.newest = self._wrong
        return True

    def differs(self, given: Given) -> bool:
        """Whether it says something else than what is in force."""
        return self.applied is None or _tables(given) != _tables(self.applied)

    def put_off(self, given: Given, why: str) -> None:
        """It could not be brought into force now, and will be tried again."""
        log.warning(
            "source %s: version %s is tried again later: %s",
            self.name,
            shown(given.version),
            why[:REASON],
            extra={"key": "source.put_off"},
        )
        self.newest = self.newest or given
        self.looked_at.set()

    def settled(self, given: Given, reasons: Sequence[str]) -> None:
        """It is in force, or was refused."""
        version = shown(given.version)
        self._wrong = given if reasons else None
        corrects = self.source is not None and self.source.settled(given, reasons)
        if reasons:
            self._refused += 1
            self._refusal = (version, [reason[:REASON] for reason in reasons[:TOLD]])
            self._tell_refused(version, corrects)
        else:
            self._succeeded += 1
            before = self.applied.left_out if self.applied is not None else ()
            self.applied, self._at, self._refusal = given, time.time(), ("", ())
            self._tell(version, given, before)
        if self.newest is None and not corrects:
            self.looked_at.set()

    def _tell_refused(self, version: str, corrects: bool) -> None:
        """All of it, or what the source goes on without: then the rest is in force soon."""
        why = "; ".join(self._refusal[1])
        if corrects:
            log.warning(
                "source %s: of version %s this is refused, and left out of what follows: %s",
                self.name,
                version,
                why,
                extra={"key": "source.refused_in_part"},
            )
        else:
            log.error(
                "source %s: version %s is refused: %s",
                self.name,
                version,
                why,
                extra={"key": "source.refused"},
            )

    def _tell(self, version: str, given: Given, before: Sequence[str]) -> None:
        """What was left out before as well has been told."""
        new = [one for one in given.left_out if one not in before] if before else given.left_out
        for left_out in new[:TOLD]:
            log.warning(
                "source %s: left out: %s",
                self.name,
                left_out[:REASON],
                extra={"key": "source.left_out"},
            )
        log.info(
            "source %s: version %s is in force: %d routes, %d upstreams",
            self.name,
            version,
            len(given.routes),
            len(given.upstreams),
            extra={"key": "source.applied"},
        )

    def counts(self, now: float) -> Counts:
        applied = self.applied
        return Counts(
            shown(applied.version) if applied is not None else "",
            {k: shown(v) for k, v in applied.versions.items()} if applied is not None else {},
            self._states,
            self.updates,
            self._succeeded,
            self._refused,
            self._failures,
            not self._reason and self._heard is not None,
            now - self._heard if self._heard is not None else None,
        )

    def view(self, now: float) -> dict[str, Any]:
        """For /config."""
        counts, given = self.counts(now), self.applied or Given("")
        at = datetime.fromtimestamp(self._at, UTC).isoformat(timespec="milliseconds")
        return {
            "version": counts.version,
            "versions": counts.versions,
            "applied_at": at if self._at else None,
            "heard_seconds": None if counts.age is None else round(counts.age, 3),
            "error": self._reason,
            "refused": {"version": self._refusal[0], "reasons": list(self._refusal[1])},
            "left_out": [reason[:REASON] for reason in given.left_out[:TOLD]],
            "routes": len(given.routes),
            "upstreams": len(given.upstreams),
            "listeners": len(given.listeners),
        }


def shown(version: str) -> str:
    """As it may stand in a label: in one line, and not too long."""
    return "".join(c if c.isprintable() else "?" for c in version[:LENGTH])


def _tables(given: Given) -> tuple[object, ...]:
    return (
        given.routes, given.upstreams, given.listeners, given.certificates, given.authorities,
        given.places,
    )  # fmt: skip
