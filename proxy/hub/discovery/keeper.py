"""Runs the sources of all upstreams, keeps what they found, and says what changed.

What was found holds until something else is found: while a source fails, over reloads, and while
one source takes the place of another.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from proxy.config.discover import parse_discover, parse_resolver
from proxy.config.loaded import Loaded
from proxy.config.model import Config, Upstream
from proxy.config.syntax import Server, parse_server
from proxy.hub import gauges
from proxy.hub.discovery.fed import Fed, Said, sound
from proxy.hub.discovery.file import FileSource
from proxy.hub.discovery.source import Source
from proxy.tasks import SLICE, cancel, spawn
from proxy.telemetry.metrics import Attributes, Series

log = logging.getLogger("spangate")

SHOWN = 8  # URLs in a line of the log

# upstream's name, weights by URL, and which of them differ from before; None = any may
Found = Callable[[str, Mapping[str, int], Iterable[str] | None], None]


class Place(NamedTuple):
    """What makes a source; another one is made where any of it changes."""

    text: str  # `discover` as the file says it
    folder: str  # of the configuration
    resolvers: tuple[tuple[str, int], ...]
    for_bytes: bool  # its listener passes bytes on, so that servers are tcp://
    scheme: str = ""  # of servers that a source of configuration says; "" = it is looked up here


class Watch:
    """One upstream that discovers. It is what its source tells."""

    __slots__ = (
        "_found", "_same", "_shaped", "_sound", "_static", "_task", "at", "changes", "failures",
        "name", "note", "place", "reason", "servers", "successes", "told",
    )  # fmt: skip

    def __init__(self, name: str, found: Found) -> None:
        self.name = name
        self.servers: Mapping[str, int] = {}  # by URL with their weights, as they were found
        self.at = 0.0  # Unix time at which that was found or confirmed; 0 = never
        self.reason = ""  # why it cannot be found out now; "" = it can
        self.note = ""  # what was passed over
        self.successes = self.failures = self.changes = 0
        self.told: asyncio.Event | None = None  # the source has said something, where it has one
        self.place = Place("", "", (), False)
        self._static: dict[Server, str] = {}  # servers of the file, by what they are
        self._same: dict[str, str] = {}  # what was found that is one of them, and its URL there
        self._sound = False  # all that is known is for this upstream
        self._shaped: Mapping[str, int] | None = None  # what the file has, when it was last told
        self._found = found
        self._task: asyncio.Task[None] | None = None

    def follow(self, place: Place, upstream: Upstream) -> None:
        """Go by this configuration."""
        own = upstream.everyone()
        if place.scheme and place == self.place and own == self._shaped:
            return  # of thousands: who hears keeps what was told as long as the upstream is there
        self._static, self._shaped = {parse_server(url): url for url in own}, own
        if place != self.place:
            self.place = place
            self._sound = False
            self.reason = ""
            self.stop()
            if not place.scheme:
                self.told = self.told or asyncio.Event()
                self._task = spawn(self._run(place), f"discover {self.name}")
        self.tell()

    def tell(self, changed: Collection[str] | None = None) -> None:
        """Tell what is known; a server that the file has too is the file's. `changed`: only these
        differ from what was told before; None = any may."""
        servers, same = self.servers, self._same
        if changed is None:
            same.clear()
        if self._static:
            for url in servers if changed is None else changed:
                if known := self._static.get(parse_server(url)):
                    same[url] = known
        told = None if changed is None else {same.get(url, url) for url in changed}
        if same:
            servers = {same.get(url, url): weight for url, weight in servers.items()}
        self._found(self.name, servers, told)

    def stop(self) -> asyncio.Task[None] | None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    def found(self, servers: Mapping[str, int], note: str = "") -> None:
        """See Tell."""
        changes = Changes(self.servers, servers)
        looked_at = changes.came if self._sound else servers
        wrong = [url for url in looked_at if (url[:4] == "tcp:") != self.place.for_bytes]
        if wrong:
            only = "takes tcp:// servers" if self.place.for_bytes else "takes http:// servers"
            self.failed(f"{wrong[0]!r} is not for this upstream, which {only}")
            return
        self.successes += 1
        self.at = time.time()
        self.servers, self._sound = servers, True
        failed, self.reason = self.reason, ""
        if changed := changes.words():
            self.changes += 1
            self.tell(changes.urls())
        if changed or failed or note != self.note:
            level = logging.WARNING if not servers else logging.INFO
            if self.place.scheme:
                # a control plane says this of thousands, every second
                is_news = note and note != self.note
                level = logging.WARNING if is_news else logging.DEBUG
            again = "found again" if failed and servers else ""
            parts = [f"{len(servers)} discovered", changed, note, again]
            log.log(
                level, "upstream %s: %s", *self._about(parts), extra={"key": "discovery.changed"}
            )
        self.note = note
        self._has_told()

    def fed(self, said: Said) -> None:
        """A source of configuration has said them."""
        if said.servers == self.servers and said.note == self.note and self.at:
            self.at = time.time()
            return
        servers: Mapping[str, int]
        servers, wrong = sound(said.servers, self.place.scheme, self.servers)
        if not wrong:
            servers = said.servers if len(servers) == len(said.servers) else servers  # one for both
        else:
            more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
            note = f"{len(wrong)} cannot be asked: {'; '.join(wrong[:SHOWN] + more)}"
            said = Said(servers, f"{said.note}; {note}" if said.note else note)
        self.found(servers, said.note)

    def failed(self, reason: str) -> None:
        """See Tell."""
        self.failures += 1
        if reason != self.reason:
            log.warning(
                "upstream %s: %s",
                *self._about([reason, self._kept()]),
                extra={"key": "discovery.failed"},
            )
        self.reason = reason
        self._has_told()

    def _has_told(self) -> None:
        if self.told is not None:
            self.told.set()

    def view(self) -> dict[str, Any]:
        """For /stats."""
        return {
            "source": self.place.text,
            "servers": self.servers,
            "age_seconds": round(time.time() - self.at, 3) if self.at else None,
            "error": self.reason,
            "note": self.note,
        }

    def _kept(self) -> str:
        if not self.at:
            return "nothing was discovered yet"
        number, age = len(self.servers), time.time() - self.at
        return f"the {number} discovered {age:.0f} s ago stay"

    def _about(self, parts: list[str]) -> tuple[str, str]:
        said = "; ".join(part for part in parts if part)
        return self.name, f"discover {self.place.text}: {said}"

    async def _run(self, place: Place) -> None:
        try:
            source = await asyncio.to_thread(_source, place)
        except ImportError as error:
            self.failed(f"{error}: install dnspython")
            return
        await source.watch(self)


class Discoveries:
    """Of one gateway; each of `hear` is told the servers of an upstream when they change."""

    def __init__(self, *hear: Found) -> None:
        self._hear = hear
        self._watches: dict[str, Watch] = {}
        self._loaded: Loaded | None = None
        self._unfed: dict[str, tuple[Place, Upstream]] = {}  # their configuration is not theirs yet
        self.fed = Fed()
        self.together: Callable[[], AbstractContextManager[None]] = nullcontext

    def get(self, name: str) -> Watch | None:
        return self._watches.get(name)

    def configure(self, loaded: Loaded) -> None:
        """Go by this configuration: what stays is told again, for who has just read it too. What
        sources of configuration say follows by `feed`."""
        config, self._loaded = loaded.config, loaded
        self._unfed.clear()
        wanted = {name: one for name, one in config.upstream.items() if one.discover}
        for name in self._watches.keys() - wanted.keys():
            self._watches.pop(name).stop()
            self._found(name, {}, None)
        if not wanted:
            return
        folder = os.path.dirname(os.path.abspath(loaded.file))
        resolvers = tuple(parse_resolver(text) for text in config.dns.servers)
        for_bytes = _for_bytes(config)
        for name, upstream in wanted.items():
            kind, scheme, *_ = parse_discover(upstream.discover)
            is_fed = kind == "source"
            place = Place(
                upstream.discover, folder, resolvers, name in for_bytes, scheme if is_fed else ""
            )
            if is_fed:
                self._unfed[name] = place, upstream
            else:
                self._watch(name).follow(place, upstream)

    async def feed(self) -> None:
        """Upstreams whose servers sources say: thousands, so in steps."""
        while self._unfed:
            await asyncio.sleep(0)
            end = time.perf_counter() + SLICE
            with self.together():
                while self._unfed and time.perf_counter() < end:
                    name = next(iter(self._unfed))
                    self._watch(name).follow(*self._unfed.pop(name))
                    self._feed(name)

    def _watch(self, name: str) -> Watch:
        watch = self._watches.get(name)
        if watch is None:
            watch = self._watches[name] = Watch(name, self._found)
        return watch

    def say(self, source: str, upstream: str, servers: Mapping[str, int], note: str) -> None:
        """What a source of configuration knows; it counts where `discover = "source"`."""
        self.fed.say(source, upstream, servers, note)
        self._feed(upstream)

    def keep(self, source: str, upstreams: Iterable[str], *, all_of: bool = False) -> None:
        """What this source has said of others than these counts no more, unless the upstream is in
        force; `all_of`: nor that."""
        known = [] if all_of else [n for n, one in self._watches.items() if one.place.scheme]
        self.fed.keep(source, [*upstreams, *known])

    def _feed(self, name: str) -> None:
        watch = self._watches.get(name)
        if watch is None or not watch.place.scheme or self._loaded is None or name in self._unfed:
            return
        if (said := self.fed.get(name, self._loaded)) is not None:
            watch.fed(said)

    async def first(self, seconds: float) -> None:
        """Wait, but no longer than this, until every source has said something."""
        waiting = [
            spawn(watch.told.wait(), f"first servers of {name}")
            for name, watch in self._watches.items()
            if watch.told is not None  # of others the sources are waited for
        ]
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)
        await cancel(*waiting)

    def series(self) -> Iterator[Series]:
        """Those of one instrument together."""
        watches = [(watch, _labels(watch)) for watch in self._watches.values()]
        for watch, labels in watches:
            yield Series(gauges.DISCOVERED, labels, len(watch.servers))
        for watch, labels in watches:
            if watch.at:
                yield Series(gauges.DISCOVERED_AT, labels, int(watch.at))
        for watch, labels in watches:
            yield Series(gauges.DISCOVERY_CHANGES, labels, watch.changes)
        for watch, labels in watches:
            for result, times in (("success", watch.successes), ("failure", watch.failures)):
                yield Series(gauges.DISCOVERIES, (*labels, ("result", result)), times)

    async def stop(self) -> None:
        await cancel(*(watch.stop() for watch in self._watches.values()))
        self._watches.clear()

    def _found(self, name: str, servers: Mapping[str, int], changed: Iterable[str] | None) -> None:
        for hear in self._hear:
            hear(name, servers, changed)


def _source(place: Place) -> Source:
    """In a thread: dnspython takes 30 ms to import, and is for those who ask DNS."""
    where = parse_discover(place.text)
    if where.kind == "file":
        return FileSource(os.path.join(place.folder, where.path))
    from proxy.hub.discovery.dns import DnsSource

    return DnsSource(where, place.resolvers)


def _for_bytes(config: Config) -> set[str]:
    """Upstreams that connections go to, and no requests."""
    streams = [listener for listener in config.listen if listener.protocol != "http"]
    names = {listener.name for listener in streams if listener.name}
    found = {listener.to for listener in streams if listener.to}
    return found.union(*(route.to for route in config.route if route.when.listener in names))


class Changes:
    """What differs between two answers, found by one look at each server."""

    def __init__(self, before: Mapping[str, int], now: Mapping[str, int]) -> None:
        differ = [url for url, weight in now.items() if before.get(url) != weight]
        self.came = [url for url in differ if url not in before]
        self.went: list[str] = []
        if len(before) + len(self.came) != len(now):
            self.went = [url for url in before if url not in now]
        self._weights = {url: now[url] for url in differ if url in before}

    def urls(self) -> list[str]:
        return [*self.came, *self.went, *self._weights]

    def words(self) -> str:
        """For the log; "" = nothing differs."""
        other = [f"{url} = {weight}" for url, weight in self._weights.items()]
        parts = [("came", self.came), ("went", self.went), ("weight", other)]
        return "; ".join(f"{word} {_some(urls)}" for word, urls in parts if urls)


def _some(urls: list[str]) -> str:
    more = f" and {len(urls) - SHOWN} more" if len(urls) > SHOWN else ""
    return ", ".join(urls[:SHOWN]) + more


def _labels(watch: Watch) -> Attributes:
    return (("spangate.upstream", watch.name), ("source", watch.place.text.partition(":")[0]))
