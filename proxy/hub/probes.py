"""Active health probes: whom to ask when, and who is told of changes.

How one is made is in `probe.py`, how many good or bad ones make a change is decided by
`upstream.health`, and what a change means for traffic in the workers.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
import resource
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import msgspec

from proxy.config.model import Health as Settings
from proxy.config.model import Route, Upstream
from proxy.config.syntax import is_unix, parse_server
from proxy.hub import gauges
from proxy.hub.probe import Asker, Verdict, Way
from proxy.server.tls_keyring import ClientContext
from proxy.tasks import cancel, gently, spawn
from proxy.telemetry.metrics import Series
from proxy.upstream.health import Health

log = logging.getLogger("spangate")

Key = tuple[str, str]  # upstream's name, server URL as in the configuration

JITTER = 0.1  # share of the interval, so that gateways and servers do not fall into step
BURST, PACE = 8, 0.005  # probes that begin at once, and seconds between two bursts: 1,600 a second


class Probed:
    """One server that is probed."""

    __slots__ = (
        "bad",
        "changes",
        "errors",
        "good",
        "health",
        "key",
        "labels",
        "last",
        "settings",
        "task",
        "url",
        "way",
    )

    def __init__(
        self, key: Key, settings: Settings, before: Probed | None = None, send_proxy: str = "off"
    ) -> None:
        """`before`: the same server by other settings. What is known of it stays."""
        self.key = key
        self.settings = settings
        unix = key[1].removeprefix("unix:") if is_unix(key[1]) else ""
        self.url = ("http://localhost" if unix else _place(key[1], settings.port)) + settings.path
        self.way: Way = (unix, send_proxy)
        self.labels = gauges.of_endpoint(key)
        self.health = Health(settings.rise, settings.fall, before is None or before.up)
        self.good: int = before.good if before is not None else 0
        self.bad: int = before.bad if before is not None else 0
        self.changes: int = before.changes if before is not None else 0
        # failed probes, by error.type
        self.errors: dict[str, int] = before.errors if before is not None else {}
        self.last: Verdict | None = before.last if before is not None else None
        self.task: asyncio.Task[Verdict] | None = None  # of the probe under way

    def note(self, verdict: Verdict) -> bool:
        """Count one probe; True if the server is now up and was down, or the reverse."""
        self.last = verdict
        if verdict.ok is None:
            return False
        self.good += verdict.ok
        self.bad += not verdict.ok
        if not verdict.ok:
            self.errors[verdict.error] = self.errors.get(verdict.error, 0) + 1
        turned = self.health.probe(verdict.ok) is not None
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
        self._asker = Asker()
        self.secured: Mapping[str, ClientContext] = {}  # how upstreams with TLS are connected to
        self._protocols: dict[str, str] = {}  # that upstreams speak
        self._prevented = False  # the last probe could not be made
        self._found: dict[str, Collection[str]] = {}  # URLs that were discovered, by upstream
        self._upstreams: Mapping[str, Upstream] = {}
        self._by: dict[str, tuple[Settings, str]] = {}  # `health` and `send_proxy` of upstreams

    async def configure(
        self, upstreams: Mapping[str, Upstream], routes: Iterable[Route] = ()
    ) -> None:
        """Probe these from now on; a server that was probed before keeps its state. `routes` tell
        which Host servers expect."""
        wanted: set[Key] = set()
        self._protocols = {name: upstream.protocol for name, upstream in upstreams.items()}
        self._upstreams = upstreams
        self._by = dict(_settings(upstreams, hosts(routes)))
        async for key in gently(_wanted(upstreams, self._found)):
            wanted.add(key)
            self._probe(key)
        async for key in gently(list(self._probed)):
            if key not in wanted:
                self._forget(key)

    def discovered(
        self, upstream: str, urls: Collection[str], changed: Iterable[str] | None = None
    ) -> None:
        """These besides those of the file, and no others; `configure` keeps to it. `changed`: only
        these can differ from what was said before; None = any may."""
        before, self._found[upstream] = self._found.get(upstream, ()), urls
        known = self._upstreams.get(upstream) or Upstream()
        for url in [*before, *urls] if changed is None else changed:
            if url in urls:
                self._probe((upstream, url))
            elif url not in known.servers:
                self._forget((upstream, url))

    def states(self) -> dict[Key, bool]:
        """Whether each probed server is up; those not probed are not in it."""
        return {key: probed.up for key, probed in self._probed.items()}

    def last(self, key: Key) -> Verdict | None:
        """How its last probe ended; None = there was none."""
        probed = self._probed.get(key)
        return probed.last if probed is not None else None

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
        for probed in shown:
            for error, times in probed.errors.items():
                yield Series(gauges.PROBE_FAILURES, (*probed.labels, ("error.type", error)), times)

    async def stop(self) -> None:
        tasks = [probed.task for probed in self._probed.values()]
        self._probed.clear()
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
        await cancel(*tasks)
        await self._asker.close()

    def _probe(self, key: Key) -> None:
        """From now on, if its upstream is probed."""
        if key[0] not in self._by:
            return
        settings, send_proxy = self._by[key[0]]
        known = self._probed.get(key)
        if known is None or (known.settings, known.way[1]) != (settings, send_proxy):
            self._forget(key)
            probed = self._probed[key] = Probed(key, settings, known, send_proxy)
            self._plan(probed, random.uniform(0, min(probed.settings.every or 1.0, 0.5)))

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
        probed.task = spawn(
            self._asker.ask(
                probed.url,
                probed.settings,
                probed.way,
                self.secured.get(probed.key[0]),
                self._protocols.get(probed.key[0], "h1"),
            ),
            f"probe {probed.key[0]} {probed.key[1]}",
        )
        probed.task.add_done_callback(lambda task: self._ended(probed, task))

    def _ended(self, probed: Probed, task: asyncio.Task[Verdict]) -> None:
        self._under_way -= 1
        probed.task = None
        if self._probed.get(probed.key) is not probed:
            self._set_timer()
            return
        every = probed.settings.every or 1.0
        self._plan(probed, every * random.uniform(1 - JITTER, 1 + JITTER))
        # an exception that nobody foresaw is logged by `spawn`, and a failure like any other
        if task.cancelled() or task.exception() is not None:
            verdict = Verdict(False, "the probe itself failed", error="_OTHER")
        else:
            verdict = task.result()
        self._tell_prevented(verdict)
        if probed.note(verdict):
            self._tell(probed, verdict)
            self._changed({probed.key: probed.up})

    def _tell(self, probed: Probed, verdict: Verdict) -> None:
        settings = probed.settings
        times = settings.rise if probed.up else settings.fall
        log.warning(
            "upstream %s: %s is %s: %s after %.3f s, %d in a row",
            *probed.key,
            "up" if probed.up else "down",
            verdict.said,
            verdict.seconds,
            times,
            extra={"key": "endpoint.up" if probed.up else "endpoint.down"},
        )

    def _tell_prevented(self, verdict: Verdict) -> None:
        """Once, until one could be made again."""
        if verdict.ok is None and not self._prevented:
            log.error(
                "health probes cannot be made: %s; servers stay as they are",
                verdict.said,
                extra={"key": "probes.impossible"},
            )
        self._prevented = verdict.ok is None


def hosts(routes: Iterable[Route]) -> dict[str, str]:
    """The `host_header` of the routes to each upstream, where those that say one agree."""
    said: dict[str, set[str]] = {}
    for route in routes:
        if route.host_header:
            for name in route.to:
                said.setdefault(name, set()).add(route.host_header)
    return {name: next(iter(found)) for name, found in said.items() if len(found) == 1}


def _settings(
    upstreams: Mapping[str, Upstream], expected: Mapping[str, str]
) -> Iterator[tuple[str, tuple[Settings, str]]]:
    for name, upstream in upstreams.items():
        settings = upstream.health
        if settings is not None:
            if settings.host is None and name in expected:
                settings = msgspec.structs.replace(settings, host=expected[name])
            yield name, (settings, upstream.send_proxy)


def _wanted(upstreams: Mapping[str, Upstream], found: Mapping[str, Iterable[str]]) -> Iterator[Key]:
    for name, upstream in upstreams.items():
        if upstream.health is not None:
            for url in (*upstream.everyone(), *found.get(name, ())):
                yield name, url


def _place(url: str, port: int | None) -> str:
    """Where a server is asked, by its URL."""
    if port is None:
        return url.rstrip("/")
    scheme, host, _ = parse_server(url)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _limit() -> int:
    """Probes at once: an eighth of the descriptors, and no more than a loop has use for."""
    return max(1, min(256, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 8))
