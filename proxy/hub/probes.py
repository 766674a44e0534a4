"""Active health probes: GET each server's health path, and tell who wants to know of changes.

How many good or bad probes make a change is decided by `upstream.health`; what a change means for
traffic is decided in the workers.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
import resource
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from proxy import __version__
from proxy.config.model import Health as Settings
from proxy.config.model import Upstream
from proxy.config.syntax import parse_server
from proxy.hub import gauges
from proxy.tasks import cancel, gently, spawn
from proxy.telemetry.metrics import Attributes, Series
from proxy.upstream.health import Health

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger("spangate")

Key = tuple[str, str]  # upstream's name, server URL as in the configuration

JITTER = 0.1  # share of the interval, so that gateways and servers do not fall into step
BURST, PACE = 8, 0.005  # probes that begin at once, and seconds between two bursts: 1,600 a second
LONGEST = 60.0  # seconds of a probe that has no time limit of its own
BODY_LIMIT = 64 * 1024  # bytes of an answer that are read; a longer one is cut off


class Probed:
    """One server that is probed."""

    __slots__ = ("bad", "changes", "good", "health", "key", "labels", "settings", "task", "url")

    def __init__(self, key: Key, settings: Settings) -> None:
        self.key = key
        self.settings = settings
        self.url = key[1].rstrip("/") + settings.path
        self.labels = _labels(key)
        self.health = Health(settings.rise, settings.fall)
        self.good = self.bad = self.changes = 0
        self.task: asyncio.Task[bool] | None = None  # of the probe under way

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


class Prober:
    """Probes all servers of upstreams with `health`; `changed` gets what changed.

    At most `limit` probes are under way and BURST begin every PACE seconds, so that ten thousand
    servers take neither the loop nor the descriptors; where that is too few, intervals become
    longer. A probe ends in an answer, a failure or its time limit, and the next one is due
    whatever became of it.
    """

    def __init__(
        self, changed: Callable[[Mapping[Key, bool]], None], limit: int | None = None
    ) -> None:
        self._changed = changed
        self._limit = limit or _limit()
        self._probed: dict[Key, Probed] = {}
        self._due: list[tuple[float, int, Probed]] = []  # a heap: when, a number, whom
        self._numbers = itertools.count()
        self._under_way = 0
        self._began = 0.0  # when the last ones began
        self._timer: asyncio.TimerHandle | None = None
        self._session: aiohttp.ClientSession | None = None

    async def configure(self, upstreams: Mapping[str, Upstream]) -> None:
        """Probe these from now on; a server whose settings stay keeps its state."""
        wanted: set[Key] = set()
        async for key, settings in gently(_wanted(upstreams)):
            wanted.add(key)
            known = self._probed.get(key)
            if known is None or known.settings != settings:
                self._forget(key)
                probed = self._probed[key] = Probed(key, settings)
                self._plan(probed, random.uniform(0, min(probed.settings.every or 1.0, 0.5)))
        async for key in gently(list(self._probed)):
            if key not in wanted:
                self._forget(key)

    def states(self) -> dict[Key, bool]:
        """Whether each probed server is up; those not probed are not in it."""
        return {key: probed.up for key, probed in self._probed.items()}

    def series(self) -> Iterator[Series]:
        """Those of one instrument together."""
        # Two servers on one port (different schemes or paths) must not become one series twice.
        shown = list({probed.labels: probed for probed in self._probed.values()}.values())
        for probed in shown:
            yield Series(gauges.UP, probed.labels, int(probed.up))
        for probed in shown:
            yield Series(gauges.CHANGES, probed.labels, probed.changes)
        for probed in shown:
            yield Series(gauges.PROBES, (*probed.labels, ("result", "success")), probed.good)
            yield Series(gauges.PROBES, (*probed.labels, ("result", "failure")), probed.bad)

    async def stop(self) -> None:
        tasks = [probed.task for probed in self._probed.values()]
        self._probed.clear()
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
        await cancel(*tasks)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _forget(self, key: Key) -> None:
        probed = self._probed.pop(key, None)
        if probed is not None and probed.task is not None:
            probed.task.cancel()

    def _plan(self, probed: Probed, delay: float) -> None:
        due = asyncio.get_running_loop().time() + delay
        heapq.heappush(self._due, (due, next(self._numbers), probed))
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due and self._under_way < self._limit:
            when = max(self._due[0][0], self._began + PACE)
            self._timer = asyncio.get_running_loop().call_at(when, self._begin_some)

    def _begin_some(self) -> None:
        self._began = asyncio.get_running_loop().time()
        for _ in range(min(BURST, self._limit - self._under_way)):
            if not self._due or self._due[0][0] > self._began:
                break
            probed = heapq.heappop(self._due)[2]
            if self._probed.get(probed.key) is probed:
                self._begin(probed)
        self._set_timer()

    def _begin(self, probed: Probed) -> None:
        self._under_way += 1
        probed.task = spawn(self._probe(probed), f"probe {probed.key[0]} {probed.key[1]}")
        probed.task.add_done_callback(lambda task: self._ended(probed, task))

    def _ended(self, probed: Probed, task: asyncio.Task[bool]) -> None:
        self._under_way -= 1
        probed.task = None
        if self._probed.get(probed.key) is not probed:
            self._set_timer()
            return
        every = probed.settings.every or 1.0
        self._plan(probed, every * random.uniform(1 - JITTER, 1 + JITTER))
        # an exception that nobody foresaw is logged by `spawn`, and a failure like any other
        ok = not task.cancelled() and task.exception() is None and task.result()
        if probed.note(ok):
            log.warning("upstream %s: %s is %s", *probed.key, "up" if ok else "down")
            self._changed({probed.key: probed.up})

    async def _probe(self, probed: Probed) -> bool:
        if self._session is None or self._session.closed:
            await asyncio.to_thread(_import)
        import aiohttp

        if self._session is None or self._session.closed:
            self._session = _session()
        timeout = aiohttp.ClientTimeout(total=probed.settings.timeout or LONGEST)
        try:
            async with self._session.get(
                probed.url, timeout=timeout, allow_redirects=False
            ) as response:
                await response.content.read(BODY_LIMIT)
                return response.status in probed.settings.status
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


def _labels(key: Key) -> Attributes:
    host, port = parse_server(key[1])
    return (("spangate.upstream", key[0]), ("server.address", host), ("server.port", port))


def _limit() -> int:
    """Probes at once: an eighth of the descriptors, and no more than a loop has use for."""
    return max(1, min(256, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 8))
