"""Active health probes: GET each server's health path, and tell who wants to know of changes.

How many good or bad probes make a change is decided by `upstream.health`; what a change means for
traffic is decided in the workers.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy import __version__
from proxy.config.model import Health as Settings
from proxy.config.model import Upstream
from proxy.hub import gauges
from proxy.tasks import cancel, spawn
from proxy.telemetry.metrics import Attributes, Series
from proxy.upstream.health import Health

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger("spangate")

Key = tuple[str, str]  # upstream's name, server URL as in the configuration

JITTER = 0.1  # share of the interval, so that gateways and servers do not fall into step
BODY_LIMIT = 64 * 1024  # bytes of an answer that are read; a longer one is cut off


class Target:
    """One server that is probed."""

    __slots__ = ("bad", "changes", "good", "health", "key", "settings", "task", "url")

    def __init__(self, key: Key, settings: Settings) -> None:
        self.key = key
        self.settings = settings
        self.url = key[1].rstrip("/") + settings.path
        self.health = Health(settings.rise, settings.fall)
        self.good = self.bad = self.changes = 0
        self.task: asyncio.Task[None] | None = None

    def note(self, ok: bool) -> bool:
        """Count one probe; True if the server is now up and was down, or the reverse."""
        self.good += ok
        self.bad += not ok
        turned = self.health.probe(ok) is not None
        self.changes += turned
        return turned

    @property
    def up(self) -> bool:
        return self.health.up

    @property
    def labels(self) -> Attributes:
        place = urlsplit(self.key[1])
        port = place.port or (443 if place.scheme == "https" else 80)
        return (
            ("spangate.upstream", self.key[0]),
            ("server.address", place.hostname or ""),
            ("server.port", port),
        )


class Prober:
    """Probes all servers of upstreams with `health`; `changed` gets what changed."""

    def __init__(self, changed: Callable[[Mapping[Key, bool]], None]) -> None:
        self._changed = changed
        self._targets: dict[Key, Target] = {}
        self._session: aiohttp.ClientSession | None = None

    def configure(self, upstreams: Mapping[str, Upstream]) -> None:
        """Probe these from now on; a server whose settings stay keeps its state."""
        wanted = dict(_wanted(upstreams))
        for key, target in list(self._targets.items()):
            if wanted.get(key) != target.settings:
                if target.task is not None:
                    target.task.cancel()
                del self._targets[key]
        for key, settings in wanted.items():
            if key not in self._targets:
                target = self._targets[key] = Target(key, settings)
                target.task = spawn(self._watch(target), f"probe {key[0]} {key[1]}")

    def states(self) -> dict[Key, bool]:
        """Whether each probed server is up; those not probed are not in it."""
        return {key: target.up for key, target in self._targets.items()}

    def series(self) -> Iterator[Series]:
        # Two servers on one port (different schemes or paths) must not become one series twice.
        shown = {target.labels: target for target in self._targets.values()}
        for labels, target in shown.items():
            yield Series(gauges.UP, labels, int(target.up))
            yield Series(gauges.CHANGES, labels, target.changes)
            yield Series(gauges.PROBES, (*labels, ("result", "success")), target.good)
            yield Series(gauges.PROBES, (*labels, ("result", "failure")), target.bad)

    async def stop(self) -> None:
        await cancel(*(target.task for target in self._targets.values()))
        self._targets.clear()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _watch(self, target: Target) -> None:
        await asyncio.to_thread(_import)
        every = target.settings.every or 1.0
        await asyncio.sleep(random.uniform(0, min(every, 0.5)))
        while True:
            if target.note(ok := await self._probe(target)):
                log.warning("upstream %s: %s is %s", *target.key, "up" if ok else "down")
                self._changed({target.key: target.up})
            await asyncio.sleep(every * random.uniform(1 - JITTER, 1 + JITTER))

    async def _probe(self, target: Target) -> bool:
        import aiohttp

        if self._session is None:
            self._session = _session()
        timeout = aiohttp.ClientTimeout(total=target.settings.timeout or None)
        try:
            async with self._session.get(
                target.url, timeout=timeout, allow_redirects=False
            ) as response:
                await response.content.read(BODY_LIMIT)
                return response.status in target.settings.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return False


def _session() -> aiohttp.ClientSession:
    """Every probe connects anew, since that is what a client would have to do."""
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=0),
        headers={"User-Agent": f"spangate-health/{__version__}", "b3": "0"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


def _import() -> None:
    """14 MB that only those need who probe."""
    import aiohttp as aiohttp


def _wanted(upstreams: Mapping[str, Upstream]) -> Iterator[tuple[Key, Settings]]:
    for name, upstream in upstreams.items():
        if upstream.health is not None:
            for url in upstream.servers:
                yield (name, url), upstream.health
