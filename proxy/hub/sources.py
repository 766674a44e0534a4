"""Sources of configuration besides the file: they run here, and what they give comes into force.

What several say within a short time is applied as one, by the way that the file goes: whole or
not at all. What was in force stays while a source is gone, refused or told anew by the file.
Servers go a shorter way: to the roster, without a reload.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from proxy.config.loaded import Loaded
from proxy.config.source_model import Sources as Settings
from proxy.errors import Problem
from proxy.hub import gauges
from proxy.hub.coalesce import Storm
from proxy.hub.discovery.keeper import Discoveries
from proxy.hub.sourced import Sourced
from proxy.sources.making import Missing, make
from proxy.sources.packed import plain
from proxy.sources.source import About, Given
from proxy.tasks import SLICE, cancel, spawn
from proxy.telemetry.metrics import Series

log = logging.getLogger("spangate")

PAUSES = (1.0, 60.0)  # seconds until a source that has ended is started again, doubled each time
EVERY = 0.02  # seconds between two turns in which servers are told

# Brings these into force by the name of their source; returns why not, () = they are.
Apply = Callable[[Mapping[str, Given]], Awaitable[Sequence[object]]]


_encode = msgspec.msgpack.Encoder(enc_hook=plain).encode


class Sources:
    """Those of one gateway."""

    def __init__(self, discoveries: Discoveries, apply: Apply) -> None:
        self._discoveries = discoveries
        self._apply = apply
        self._sources: dict[str, Sourced] = {}
        self._storm = Storm()
        self._came = asyncio.Event()
        self._servers: dict[tuple[str, str], tuple[Mapping[str, int], str]] = {}
        self._flush: asyncio.TimerHandle | None = None
        self._flushed = 0.0
        self._working: asyncio.Task[None] | None = None

    def configure(self, loaded: Loaded) -> None:
        """Ask those of this configuration. Who is asked as before goes on."""
        settings = loaded.config.source
        wanted = {n: s for n in Settings.__struct_fields__ if (s := getattr(settings, n))}
        for name in self._sources.keys() - wanted.keys():
            self._sources.pop(name).stop()
            self._discoveries.keep(name, (), all_of=True)
        for name, table in wanted.items():
            source = self._sources.get(name)
            if source is None:
                source = self._sources[name] = Sourced(name)
                if name in loaded.given:
                    source.restore(loaded.given[name])
            if source.settings != table:
                source.settings = table
                source.task(spawn(self._run(source, _about(loaded)), f"source {name}"))

    def reloaded(self, loaded: Loaded) -> None:
        """The file was read again: what was refused beside the one before may go now."""
        self.configure(loaded)
        for source in self._sources.values():
            if source.again():
                self.given(source)

    def begin(self) -> None:
        """From now on what is given is applied: there are workers."""
        if self._working is None:
            self._working = spawn(self._work(), "apply sources")

    async def first(self, seconds: float, longest: float) -> None:
        """Wait, but no longer than this, until each has said something and it was looked at; up to
        `longest` for those that have said something."""
        waiting = {
            spawn(source.looked_at.wait(), f"first of source {name}"): source
            for name, source in self._sources.items()
        }
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)
        if late := [task for task, source in waiting.items() if source.is_late]:
            await asyncio.wait(late, timeout=longest - seconds)
        await cancel(*waiting)

    async def stop(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
        await cancel(self._working, *(source.stop() for source in self._sources.values()))

    def view(self) -> dict[str, Any]:
        """For /config."""
        now = time.monotonic()
        return {name: source.view(now) for name, source in self._sources.items()}

    def series(self) -> Iterator[Series]:
        """Those of one instrument together."""
        now = time.monotonic()
        return gauges.sources([(name, one.counts(now)) for name, one in self._sources.items()])

    def handed(self) -> bytes:
        """What a hub that follows this one is to begin with."""
        fed = {name: self._discoveries.fed.of(name) for name in self._sources}
        given = {name: s.applied for name, s in self._sources.items() if s.applied is not None}
        return _encode((given, fed)) if given or any(fed.values()) else b""

    def restore(self, fed: Mapping[str, Mapping[str, Mapping[str, int]]]) -> None:
        """Servers that the hub before had been told."""
        for source, upstreams in fed.items():
            for upstream, servers in upstreams.items():
                self._discoveries.say(source, upstream, servers, "")

    async def _run(self, source: Sourced, about: About) -> None:
        ear = _Ear(self, source)
        pause = PAUSES[0]
        while True:
            began = time.monotonic()
            try:
                made = await asyncio.to_thread(make, source.name, source.settings, about)
                source.source = made
                await made.watch(ear)
                ear.failed("it has ended")
            except Missing as error:
                ear.failed(str(error))
            except Exception as error:  # a fault in a source must not end it for good
                log.exception("source %s failed", source.name, extra={"key": "source.bug"})
                ear.failed(f"it failed inside the gateway ({type(error).__name__}: {error})")
            pause = PAUSES[0] if time.monotonic() - began > PAUSES[1] else pause
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSES[1])

    # what ears tell

    def given(self, source: Sourced) -> None:
        self._storm.news(time.monotonic())
        self._came.set()

    def servers(self, source: str, upstream: str, servers: Mapping[str, int], note: str) -> None:
        self._servers[source, upstream] = (servers, note)
        if self._flush is None:
            loop = asyncio.get_running_loop()
            self._flush = loop.call_at(self._flushed + EVERY, self._tell_servers)

    def _tell_servers(self) -> None:
        """For no longer than a turn may take; the rest in the next one."""
        loop = asyncio.get_running_loop()
        self._flush, end = None, time.perf_counter() + SLICE
        with self._discoveries.together():
            while self._servers and time.perf_counter() < end:
                key = next(iter(self._servers))
                servers, note = self._servers.pop(key)
                self._discoveries.say(*key, servers, note)
        self._flushed = loop.time()
        if self._servers:
            self._flush = loop.call_soon(self._tell_servers)  # type: ignore[assignment]

    async def _work(self) -> None:
        while True:
            await self._came.wait()
            while (due := self._storm.due()) is not None and (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            self._came.clear()
            self._storm.begin()
            began = time.monotonic()
            try:
                await self._bring()
            except Exception:  # a fault of ours must not end this for good
                log.exception("sources were not applied", extra={"key": "source.not_applied"})
            self._storm.end(began, time.monotonic())

    async def _bring(self) -> None:
        """All that has come at once; if that is refused, each on its own."""
        waiting = {name: s for name, s in self._sources.items() if s.newest is not None}
        taken = {name: source.take() for name, source in waiting.items()}
        changed = {n: g for n, g in taken.items() if waiting[n].differs(g)}
        reasons = await self._try(changed) if changed else ()
        for name, given in taken.items():
            why = reasons if name in changed else ()
            if why and len(changed) > 1:
                why = await self._try({name: given})
            if not all(isinstance(reason, Problem) for reason in why):
                self._later(waiting[name], given, why)
                continue
            waiting[name].settled(given, [str(reason) for reason in why])
            if not why and waiting[name].newest is None:
                self._discoveries.keep(name, given.upstreams)

    def _later(self, source: Sourced, given: Given, reasons: Sequence[object]) -> None:
        """It is not to blame for that: workers were too busy, or one died."""
        source.put_off(given, "; ".join(map(str, reasons)))
        self._storm.put_off(time.monotonic())
        self._came.set()

    async def _try(self, changed: Mapping[str, Given]) -> Sequence[object]:
        kept = {n: s.applied for n, s in self._sources.items() if s.applied is not None}
        return await self._apply({**kept, **changed})


class _Ear:
    """What a source tells; see Hears."""

    __slots__ = ("_source", "_sources", "_task")

    def __init__(self, sources: Sources, source: Sourced) -> None:
        self._sources = sources
        self._source = source
        self._task = asyncio.current_task()

    @property
    def _is_deaf(self) -> bool:
        return not self._source.is_run_by(self._task)

    def given(self, given: Given) -> None:
        if not self._is_deaf:
            self._source.given(given, time.monotonic())
            self._sources.given(self._source)

    def servers(self, upstream: str, servers: Mapping[str, int], note: str = "") -> None:
        if not self._is_deaf:
            self._source.hears(time.monotonic())
            self._source.updates += 1
            # kept as it is now: it is the source's to change
            self._sources.servers(self._source.name, upstream, dict(servers), note)

    def heard(self, versions: Mapping[str, str] | None = None) -> None:
        if not self._is_deaf:
            self._source.hears(time.monotonic(), whole=True)
            if versions is not None:
                self._source.called(versions)

    def failed(self, reason: str, in_part: bool = False) -> None:
        if not self._is_deaf:
            self._source.failed(reason, time.monotonic(), in_part)


def _about(loaded: Loaded) -> About:
    folder = os.path.dirname(os.path.abspath(loaded.file))
    return About(folder, loaded.config.resource, os.environ, loaded.material)
