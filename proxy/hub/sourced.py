"""One source of configuration as the hub knows it: what it has given, and what became of it."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from proxy.sources.source import Given, Source, in_one

log = logging.getLogger("spangate")

TOLD = 20  # reasons that are kept
LENGTH = 100  # characters of a version
REASON = 500  # of a reason
STAYS = "; what it said before is in force"
COLON = re.compile(":")


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
        self._in_part = False  # the rest of it goes on
        self._refusal: tuple[str, Sequence[str]] = ("", ())  # the version, and why
        self._told: set[str] = set()  # of what is left out: each once, until its place changes
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
        if self._told:
            renewed = set(given.renewed)
            self._told = {one for one in self._told if not _begins(one, renewed)}
        self.hears(now)

    def hears(self, now: float, whole: bool = False) -> None:
        """`whole`: and nothing of it is amiss."""
        self._heard = now
        if self._reason and (whole or not self._in_part):
            log.info("source %s answers again", self.name, extra={"key": "source.again"})
            self._reason = ""

    def called(self, versions: Mapping[str, str]) -> None:
        """What is in force has these versions now."""
        if self.applied is not None:
            self.applied = msgspec.structs.replace(
                self.applied, version=in_one(versions), versions=dict(versions)
            )

    def failed(self, reason: str, now: float, in_part: bool = False) -> None:
        reason = " ".join(reason.split())[:REASON]
        self._failures += 1
        if reason != self._reason:
            stays = "what it gave stays" if self.applied is not None else "it has given nothing yet"
            log.warning(
                "source %s: %s; %s", self.name, reason, stays, extra={"key": "source.failed"}
            )
        self._reason, self._in_part = reason, in_part
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
            self._refusal = (version, _shown(reasons))
            if corrects or self.newest is not None:
                self._tell_followed(version, reasons, corrects)
            else:
                self._tell_refused(version)
        else:
            self._succeeded += 1
            self.applied, self._at, self._refusal = given, time.time(), ("", ())
            self._tell(version, given)
        if self.newest is None and not corrects:
            self.looked_at.set()

    def _tell_refused(self, version: str) -> None:
        log.error(
            "source %s: version %s is refused: %s",
            self.name,
            version,
            "; ".join(self._refusal[1]),
            extra={"key": "source.refused"},
        )

    def _tell_followed(self, version: str, reasons: Sequence[str], corrects: bool) -> None:
        """What the source goes on without, so that the rest is in force soon; or it said something
        newer meanwhile."""
        known: Sequence[str] = ()
        new = [one for one in dict.fromkeys(reasons) if one not in self._told]
        if self.newest is None:  # what becomes of it is told with what follows
            goes = "the rest goes on without it"
        else:
            known = self.newest.kept
            self._told.update(new)
            is_out = corrects or not set(self.newest.left_out).isdisjoint(new)
            goes = "left out of what follows" if is_out else "newer ones follow"
        for what, some in _by_what_stays(new, known, "it stays as it was", goes):
            log.warning(
                "source %s: of version %s this is refused, and %s: %s",
                self.name,
                version,
                what,
                "; ".join(_shown(some)),
                extra={"key": "source.refused_in_part"},
            )

    def _tell(self, version: str, given: Given) -> None:
        new = [one for one in dict.fromkeys(given.left_out) if one not in self._told]
        amiss = set(given.amiss)
        self._told = {one for one in self._told if _begins(one, amiss)}.union(given.left_out)
        for what, some in _by_what_stays(new, given.kept, "stays as it was", "left out"):
            for line in _shown(some):
                log.warning(
                    "source %s: %s: %s",
                    self.name,
                    what,
                    line,
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
            "left_out": _shown(given.left_out, given.kept),
            "routes": len(given.routes),
            "upstreams": len(given.upstreams),
            "listeners": len(given.listeners),
        }


def shown(version: str) -> str:
    """As it may stand in a label: in one line, and not too long."""
    return "".join(c if c.isprintable() else "?" for c in version[:LENGTH])


def _shown(reasons: Sequence[str], kept: Sequence[str] = ()) -> list[str]:
    """Not too many, and none too long. `kept`: those where something is in force nevertheless."""
    known = set(kept)
    more = [f"and {len(reasons) - TOLD} more"] if len(reasons) > TOLD else []
    return [one[:REASON] + (STAYS if one in known else "") for one in reasons[:TOLD]] + more


def _by_what_stays(
    reasons: Sequence[str], kept: Sequence[str], stays: str, goes: str
) -> list[tuple[str, list[str]]]:
    """In these words, as far as there are any: those where something is in force, the others."""
    known = set(kept)
    found = [one for one in reasons if one in known]
    others = [one for one in reasons if one not in known]
    return [(what, some) for what, some in ((stays, found), (goes, others)) if some]


def _begins(reason: str, places: Collection[str]) -> bool:
    """Whether it is about one of them."""
    return any(reason[: at.start()] in places for at in COLON.finditer(reason))


def _tables(given: Given) -> tuple[object, ...]:
    return (
        given.routes, given.upstreams, given.listeners, given.certificates, given.authorities,
        given.places,
    )  # fmt: skip
