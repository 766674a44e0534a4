"""The public keys of issuers, fetched here once for all workers and kept while issuers are down.

A set is fetched at the start, again when its answer has grown old, and once more when a worker has
met a token whose key it does not know: not more often than every AGAIN seconds, since anybody can
invent names of keys. What an issuer says counts only if there is a usable key in it; until then,
and for as long as `stale`, the last good answer does.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from proxy.config.access_jwks import parse
from proxy.config.model import Config
from proxy.config.packed_keys import is_url, pack
from proxy.hub import gauges
from proxy.hub.discovery.pace import Pace
from proxy.hub.jwks_fetch import Fetched, Fetcher
from proxy.hub.parts import Whole
from proxy.server import frames
from proxy.server.keysets import QUESTION
from proxy.tasks import cancel, spawn
from proxy.telemetry.metrics import Series

log = logging.getLogger("spangate")

AGAIN = 30.0  # seconds between two fetches for unknown keys
WAIT = 2.0  # seconds that a request waits for one
BOUNDS = 60.0, 3600.0  # of what Cache-Control says, seconds
PACE = Pace(shortest=1.0, longest=86400.0, slowest=60.0)


class Terms(NamedTuple):
    """What checks say of one URL; of several the strictest."""

    checks: tuple[str, ...]
    refresh: float  # seconds
    stale: float  # seconds


class Source:
    """One URL."""

    def __init__(self, url: str, terms: Terms) -> None:
        self.url = url
        self.terms = terms
        self.packed = b""  # b"" = none is known
        self.keys = 0
        self.at = 0.0  # Unix time of the last good answer
        self.results = {"success": 0, "failure": 0}
        self.told = asyncio.Event()  # it has been tried once
        self.failures = 0  # in a row
        self.asked = float("-inf")  # monotonic time of the last fetch for an unknown key
        self.again = asyncio.Event()  # one is wanted now
        self.round: asyncio.Future[None] | None = None  # done when the fetch under way is over
        self.words = ""  # of the last failure
        self.useless: list[str] = []  # keys that were left out last
        self.task: asyncio.Task[None] | None = None


class Jwks:
    """Of one hub."""

    def __init__(self, hub: Whole) -> None:
        self._hub = hub
        self._sources: dict[str, Source] = {}
        self._fetcher = Fetcher()
        hub.supervisor.asks.handlers[QUESTION] = self.refetch

    def configure(self, config: Config) -> None:
        """Go by this configuration; a URL that stays is not fetched for it."""
        wanted = terms(config)
        for url in self._sources.keys() - wanted.keys():
            source = self._sources.pop(url)
            if source.task is not None:
                source.task.cancel()
        for url, said in wanted.items():
            if url not in self._sources:
                new = self._sources[url] = Source(url, said)
                new.task = spawn(self._keep(new), "keep the keys of an issuer")
            self._sources[url].terms = said
        self._tell()

    async def first(self, seconds: float) -> None:
        """Wait, but no longer than this, until each has been tried."""
        waiting = [spawn(s.told.wait(), "first keys") for s in self._sources.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)
        await cancel(*waiting)

    async def refetch(self, question: bytes) -> bytes:
        """A worker has met an unknown key: the answer is in how many seconds it may ask again."""
        source = self._sources.get(question.decode("utf-8", "replace"))
        if source is None:
            return b"%d" % AGAIN
        now = time.monotonic()
        if source.round is None and now - source.asked >= AGAIN:
            source.asked = now
            source.round = asyncio.get_running_loop().create_future()
            source.again.set()
        if source.round is not None:
            await asyncio.wait([source.round], timeout=WAIT)
        return b"%.3f" % max(AGAIN - (time.monotonic() - source.asked), 1.0)

    def series(self) -> Iterator[Series]:
        """Those of one instrument together."""
        each = [
            (s, (("spangate.check", c),)) for s in self._sources.values() for c in s.terms.checks
        ]
        for source, labels in each:
            yield Series(gauges.JWKS_KEYS, labels, source.keys)
        for source, labels in each:
            if source.at:
                yield Series(gauges.JWKS_AT, labels, int(source.at))
        for source, labels in each:
            for result, times in source.results.items():
                yield Series(gauges.JWKS_FETCHES, (*labels, ("result", result)), times)

    async def stop(self) -> None:
        await cancel(*(source.task for source in self._sources.values()))
        self._sources.clear()
        await self._fetcher.close()

    async def _keep(self, source: Source) -> None:
        """For as long as it is in the configuration."""
        while True:
            source.again.clear()
            pause = await self._once(source)
            over, source.round = source.round, None
            if over is not None and not over.done():
                over.set_result(None)
            source.told.set()
            try:
                await asyncio.wait_for(source.again.wait(), pause)
            except TimeoutError:
                continue

    async def _once(self, source: Source) -> float:
        """Fetch it, and say in how many seconds it is due again."""
        if source.round is None:
            source.round = asyncio.get_running_loop().create_future()
        fetched = await self._fetcher.fetch(source.url)
        if not fetched.why:
            fetched = await asyncio.to_thread(_judged, fetched)
        chance = random.random()
        if fetched.why:
            self._failed(source, fetched.why)
            left = source.at + source.terms.stale - time.time() if source.packed else PACE.slowest
            return max(min(PACE.again(source.failures, chance), left), 0.05)
        self._succeeded(source, fetched)
        age = source.terms.refresh
        if fetched.max_age is not None:
            age = min(max(fetched.max_age, BOUNDS[0]), BOUNDS[1])
        return PACE.after(age, chance)

    def _succeeded(self, source: Source, fetched: Fetched) -> None:
        source.results["success"] += 1
        changed = source.packed != fetched.body
        source.packed, source.keys, source.at = fetched.body, fetched.keys, time.time()
        if source.failures or changed:
            log.info(
                "keys of %s: %d of use", _name(source), fetched.keys, extra={"key": "jwks.fetched"}
            )
        source.failures, source.words = 0, ""
        if fetched.useless and fetched.useless != source.useless:
            log.warning(
                "keys of %s that are left out: %s",
                _name(source),
                "; ".join(fetched.useless[:8]),
                extra={"key": "jwks.useless"},
            )
        source.useless = fetched.useless
        if changed:
            self._tell()

    def _failed(self, source: Source, why: str) -> None:
        source.results["failure"] += 1
        source.failures += 1
        if source.packed and time.time() >= source.at + source.terms.stale:
            source.packed, source.keys = b"", 0
            log.warning(
                "keys of %s are too old and do not count any more",
                _name(source),
                extra={"key": "jwks.stale"},
            )
            self._tell()
        if why != source.words:
            source.words = why
            stay = "those that are known stay" if source.packed else "tokens cannot be verified"
            log.warning(
                "keys of %s: %s; %s", _name(source), why, stay, extra={"key": "jwks.failed"}
            )

    def _tell(self) -> None:
        known = {url: source.packed for url, source in self._sources.items() if source.packed}
        payload = msgspec.msgpack.encode(known) if known or self._hub.keys else b""
        if payload != self._hub.keys:
            self._hub.keys = payload
            self._hub.supervisor.broadcast(frames.KEYS, payload)


def terms(config: Config) -> Mapping[str, Terms]:
    """What is to be fetched, by URL."""
    found: dict[str, Terms] = {}
    for name, auth in config.auth.items():
        said = auth.jwt
        if said is None or not is_url(said.jwks):
            continue
        one = Terms((name,), said.refresh, said.stale)
        before = found.get(said.jwks, one)
        checks = before.checks if before is one else (*before.checks, name)
        found[said.jwks] = Terms(
            checks, min(one.refresh, before.refresh), min(one.stale, before.stale)
        )
    return found


def _judged(fetched: Fetched) -> Fetched:
    """With keys in the place of what was read. In a thread: a large set takes a while."""
    try:
        keys, useless = parse(fetched.body)
    except ValueError as error:
        return Fetched(why=f"the answer is no use: {error}")
    if not keys:
        return Fetched(why="the answer has no key that can be used", useless=useless)
    return Fetched(pack(keys), fetched.max_age, "", len(keys), useless)


def _name(source: Source) -> str:
    return _listed(source.terms.checks)


def _listed(checks: Iterable[str]) -> str:
    return ", ".join(f"auth.{name}" for name in checks)
