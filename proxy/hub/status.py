"""What the admin port may see of the hub: implements `admin.view.View`, changes nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from proxy import __version__
from proxy.admin.buttons import from_environment
from proxy.admin.exposition import grouped
from proxy.collector.books import as_dict, losses
from proxy.config.model import Route, Upstream
from proxy.config.redact import Computed, shown
from proxy.hub import doctor, gauges
from proxy.hub.discovery.keeper import Discoveries
from proxy.hub.ejections import Ejections
from proxy.hub.parts import Whole
from proxy.hub.probes import Prober
from proxy.hub.procfs import usage
from proxy.hub.questions import Answered, Tell
from proxy.hub.readiness import lacking
from proxy.hub.reload import needs_restart
from proxy.hub.rings import RECORDS
from proxy.hub.said import gateway_url
from proxy.hub.sampler import Sampler
from proxy.hub.standings import Standings, probe
from proxy.hub.supervisor import Slot
from proxy.hub.told_routes import ToldRoutes, action
from proxy.hub.worker import Worker
from proxy.plain import told
from proxy.telemetry.instruments import INSTRUMENTS, LINES_DROPPED
from proxy.telemetry.metrics import Series

DOCTOR = "/api/doctor"


class Status:
    """One hub, read only."""

    __slots__ = (
        "_discoveries", "_hub", "_prober", "_routes", "_sampler", "_standings", "more", "processes",
        "sources",
    )  # fmt: skip

    def __init__(
        self,
        hub: Whole,
        prober: Prober,
        ejections: Ejections,
        discoveries: Discoveries,
        sampler: Sampler,
    ) -> None:
        self._routes = ToldRoutes()
        self._sampler = sampler
        self._discoveries = discoveries
        self.more: Callable[[], Iterable[Series]] = tuple  # what others of the hub can tell
        self.sources: Callable[[], Mapping[str, Any]] = dict  # of configuration
        self.processes: Callable[[], Iterable[Series]] = tuple  # the same, of further processes
        self._hub = hub
        self._prober = prober
        self._standings = Standings(hub, prober, ejections)

    def unready(self) -> str:
        if self._hub.stopping:
            return "stopping"
        if not self._hub.ready:
            return "starting"
        if not any(worker.accepting for worker in self._hub.supervisor.current()):
            return "no worker is ready"
        return lacking(self._hub.loaded)

    async def refresh(self) -> None:
        await self._hub.refresh()

    def series(self) -> Iterator[Series]:
        yield from self._hub.totals.series()
        yield from self._prober.series()
        yield from self._discoveries.series()
        yield from self.more()
        yield from self._standings.series()
        yield from grouped(self._own())

    def _own(self) -> Iterator[Series]:
        """What is read in one go, so that the books balance."""
        hub = self._hub
        yield from gauges.ledgers(hub.collector.standings())
        yield from hub.collector.series()
        yield from self._records()
        yield from gauges.processes(hub.supervisor.slots, hub.supervisor.alive)
        yield from gauges.collector(hub.collector)
        yield from self.processes()
        yield from gauges.reloads(hub.reloads.succeeded, hub.reloads.failed, hub.reloads.last)
        yield from gauges.generation(hub.generation.number, hub.reloads.refused)
        yield from gauges.maintenance(hub.switch.is_on or hub.loaded.config.errors.maintenance.on)
        yield from gauges.certificates(hub.loaded.material)
        yield from gauges.build()

    def config(self) -> Mapping[str, Any]:
        about, settings = self._in_force(), shown(self._hub.loaded)
        keys = {**about, **dict.fromkeys(settings)}
        return Computed(keys, lambda key, _: about[key] if key in about else settings[key])

    def stats(self) -> Mapping[str, Any]:
        hub = self._hub
        config = hub.loaded.config
        slots = {slot.number: slot for slot in hub.supervisor.slots}
        workers = sorted(hub.supervisor.alive, key=lambda worker: worker.id)
        return {
            "version": __version__,
            "build": told(),
            "uptime_seconds": round(time.monotonic() - hub.started, 3),
            "ready": not self.unready(),
            "listeners": [
                {"address": a, "port": hub.sockets.port(a)} for a in hub.sockets.addresses
            ],
            "workers": [_worker(worker, slots[worker.slot]) for worker in workers],
            "routes": map(_route, config.route),
            "upstreams": self._upstreams(),
            "export": as_dict(hub.collector.standings(), hub.collector.view()),
            "before": _before(hub),
            "reloads": {"succeeded": hub.reloads.succeeded, "failed": hub.reloads.failed},
            "last_reload_error": hub.reloads.error,
        }

    def upstreams(self) -> Mapping[str, Any]:
        return self._standings.view()

    async def rates(self, points: int) -> Mapping[str, Any]:
        await self._hub.refresh()
        history = await self._sampler.ask()
        names = [route.name or route.path for route in self._hub.loaded.config.route]
        return history.view(self._sampler.now() * 1000, names, points)

    async def routes(self) -> Mapping[str, Any]:
        return await self._routes.view(self._hub.number, self._hub.loaded)

    async def explain(self, method: str, url: str, headers: Sequence[str]) -> Mapping[str, Any]:
        return await self._routes.explain(self._hub.loaded, method, url, headers)

    def configuration(self) -> Mapping[str, Any]:
        hub = self._hub
        file, history = hub.loaded.file, hub.reloads.history.view()
        settings = shown(hub.loaded)
        return {**self._in_force(), "file": file, "history": history, "settings": settings}

    def _in_force(self) -> dict[str, Any]:
        return {**in_force(self._hub), "sources": self.sources()}

    def redirected(self) -> Mapping[str, Any]:
        from proxy.hub.mesh_status import redirected

        return redirected(self._hub.loaded.config)

    def mesh(self) -> Mapping[str, Any]:
        from proxy.hub.mesh_status import view  # which few gateways need

        hub = self._hub
        return view(hub.loaded.config, hub.identity, hub.totals.series(), time.time())

    def losses(self) -> list[dict[str, Any]]:
        return losses(self._hub.collector.standings())

    def pipelines(self) -> Mapping[str, Any]:
        return self._hub.collector.view()

    def info(self) -> Mapping[str, Any]:
        config = self._hub.loaded.config
        name = str(config.resource.get("service.name", "")) or "spangate"
        demo = from_environment(os.environ, gateway_url(config, self._hub.sockets))
        return {"service": name, "trace_url": config.ui.trace_url, "demo": demo}

    async def ask(self, target: str, accept: str) -> tuple[int, str, bytes]:
        answer = await self._hub.collector.ask(target, accept)
        return answer if target.partition("?")[0] != DOCTOR else await self._diagnosed(answer)

    async def _diagnosed(self, answer: Answered) -> Answered:
        """What the collector's doctor says, and what the hub's numbers add."""
        await self._hub.refresh()
        uptime = time.monotonic() - self._hub.started
        own = doctor.findings(self.series(), self._hub.loaded.config, uptime)
        return doctor.joined(answer, own)

    async def tap(self, query: str, tell: Tell) -> Callable[[], None]:
        return await self._hub.viewers.add(query, tell)

    def _records(self) -> Iterable[Series]:
        rings = self._hub.rings
        for signal in RECORDS:
            labels = (("signal", signal),)
            yield Series(gauges.ON_LINK, labels, rings.pending(signal))
            yield Series(gauges.RECORDED, labels, rings.created(signal))
        lines = rings.dropped("lines") + self._hub.collector.lines_dropped
        yield Series(INSTRUMENTS[LINES_DROPPED], (), lines)

    def _upstreams(self) -> Mapping[str, Any]:
        states = self._prober.states()

        def servers(name: str, upstream: Upstream) -> Iterator[dict[str, Any]]:
            watch = self._discoveries.get(name)
            known = {**(watch.servers if watch else {}), **upstream.everyone()}
            for url, weight in known.items():
                up = states.get((name, url), True)
                last = probe(self._prober.last((name, url)))
                yield {"url": url, "weight": weight, "up": up, "last_probe": last}

        def told(name: str, upstream: Upstream) -> Mapping[str, Any]:
            parts = {"servers": servers(name, upstream), "probed": upstream.health is not None}
            if watch := self._discoveries.get(name):
                parts["discover"] = watch.view()
            return Computed(parts, lambda _, part: part)

        return Computed(self._hub.loaded.config.upstream, told)


def in_force(hub: Whole) -> dict[str, Any]:
    """Which configuration is in force, and what of it only after a restart."""
    read = datetime.fromtimestamp(hub.generation.at, UTC)
    return {
        "generation": hub.generation.number,
        "loaded_at": read.isoformat(timespec="milliseconds"),
        "pending_restart": needs_restart(hub.booted, hub.loaded.config),
        "last_reload_error": hub.reloads.error,
    }


def _before(hub: Whole) -> dict[str, Any] | None:
    """The gateway that this one has followed, and what that had counted at its end."""
    if (before := hub.before) is None:
        return None
    return {"pid": before.handed.pid, "draining": before.drains, "export": before.ended}


def _worker(worker: Worker, slot: Slot) -> dict[str, Any]:
    now = usage(worker.pid)
    return {
        "id": worker.id,
        "slot": slot.number,
        "pid": worker.pid,
        "state": worker.state.name.lower(),
        "restarts": slot.restarts,
        "requests": worker.requests,
        "connections": worker.connections,
        "rss": now.resident if now else 0,
    }


def _route(route: Route) -> dict[str, Any]:
    return {
        "name": route.name or route.path,
        "host": route.host,
        "path": route.path,
        "action": action(route),
        "to": dict(route.to),
    }
