"""What the hub runs beside its workers and the collector: health probes, admin port.

aiohttp takes 14 MB and a quarter of a second, so it is imported, in a thread, when somebody first
asks the admin port for more than probes and scrapers do, or something is to be probed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator, Mapping
from functools import partial

import msgspec

from proxy.admin.app import Admin
from proxy.config.loaded import Loaded
from proxy.config.model import Config, Upstream
from proxy.errors import ConfigError
from proxy.hub import gauges, meeting
from proxy.hub.bus import Bus, without_consumers
from proxy.hub.certificates import Certificates
from proxy.hub.discovery.keeper import Discoveries
from proxy.hub.ejections import Ejections
from proxy.hub.hand import Hand
from proxy.hub.issuers import Issuers
from proxy.hub.parts import Change, Whole
from proxy.hub.probes import Key, Prober
from proxy.hub.receivers import without_receivers
from proxy.hub.reload import merge
from proxy.hub.sampler import Sampler
from proxy.hub.snapshot import wanted
from proxy.hub.sockets import split_address
from proxy.hub.sources import Sources
from proxy.hub.status import Status
from proxy.hub.watched import ConfigWatch
from proxy.server.tls_keyring import Contexts, Keyring
from proxy.tasks import cancel, spawn
from proxy.telemetry.metrics import Series

log = logging.getLogger("spangate")

BUS_CLOSING = 3.0  # seconds that brokers have to hear that we go
FOUND_WITHIN = 2.0  # seconds for servers to be discovered before the gateway says it is ready
IN_FORCE_WITHIN = 10.0  # the same, for what sources have said by then to be in force


class Services:
    """Started once, changed by reloads, stopped last."""

    def __init__(self, hub: Whole) -> None:
        self.prober = Prober(self._health_changed)
        self.discoveries = Discoveries(hub.roster.discovered, self.prober.discovered)
        self.discoveries.together = hub.roster.together
        self.ejections = Ejections(hub.boards, hub.roster)
        self.bus = Bus(hub.rings, hub.totals)
        self._sampler = Sampler(hub.totals)
        self._issuers = Issuers(hub)
        self._status = Status(hub, self.prober, self.ejections, self.discoveries, self._sampler)
        self.sources = Sources(self.discoveries, partial(merge, hub, self))
        self._status.more = self._more
        self._status.sources = self.sources.view
        self._status.processes = partial(gauges.queues, self.bus)
        self._hub = hub
        self._admin: Admin | None = None
        self._port: socket.socket | None = None
        self._reporting: asyncio.Task[None] | None = None
        self._keyring = Keyring()
        self._certificates = Certificates(hub, self)
        self._config_watch = ConfigWatch(hub)
        self._watching: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """All but the admin port."""
        config = self._hub.loaded.config
        self.restart_reporting()
        self._watching = [
            spawn(self._certificates.watch(), "watch certificates"),
            spawn(self._config_watch.watch(), "watch the configuration"),
            spawn(self._hub.switch.watch(), "watch the maintenance switch"),
        ]
        await self.secure(self._hub.loaded)
        await self.prober.configure(config.upstream, config.route)
        self.follow(config)
        self.discoveries.configure(self._hub.loaded)
        await self.discoveries.feed()
        if self._hub.before is not None:
            self.sources.restore(self._hub.before.servers)
        self.sources.configure(self._hub.loaded)
        await self.bus.configure(config if self._hub.before is None else without_consumers(config))
        waiting = [self.discoveries.first(FOUND_WITHIN), self._issuers.first(FOUND_WITHIN)]
        if self._hub.identity is not None:
            self._hub.identity.start(self._hub, self)
            waiting.append(self._hub.identity.first(FOUND_WITHIN))
        await asyncio.gather(*waiting)

    async def admit(self, admin: socket.socket | None) -> None:
        """Answer on the admin port."""
        if admin is None:
            return
        self._port = admin
        self._watching.append(spawn(self._sampler.run(), "sample rates"))
        settings = self._hub.loaded.config.admin
        self._admin = Admin(self._status, split_address(settings.listen)[0], hand=Hand(self._hub))
        self._admin.configure(settings)
        await self._admin.start(admin)

    async def consume(self) -> None:
        """The hub before this one leaves its queues: take from them what it took."""
        async with self._hub.changing:
            try:
                await self.bus.configure(self._hub.loaded.config)
            except OSError as error:
                log.error("cannot consume: %s", error, extra={"key": "messaging.not_consuming"})

    async def merge_sources(self) -> None:
        """There are workers: bring into force what sources say, those that answer soon before the
        gateway says that it is ready."""
        self.sources.begin()
        await self.sources.first(FOUND_WITHIN, IN_FORCE_WITHIN)

    async def prepare(self, config: Config) -> Change:
        """The collector's next configuration, started and not in force yet."""
        return await self._hub.collector.prepare(config)

    async def adopt(self, config: Config, change: Change) -> None:
        """Bring it into force; what was before delivers what it has."""
        await self._hub.collector.adopt(config, change)
        self.restart_reporting()

    def follow(self, config: Config) -> None:
        """Judge, and guard the admin port, by this configuration; the roster does already."""
        self.ejections.configure(config.upstream)
        self._issuers.configure(config)
        self._follow_mesh(config)
        if self._admin is not None:
            self._admin.configure(config.admin)

    def _follow_mesh(self, config: Config) -> None:
        hub = self._hub
        if hub.identity is None and config.mesh is not None and config.mesh.identity is not None:
            from proxy.hub.identity import Identity  # as at the start

            hub.identity = Identity()
            hub.identity.start(hub, self)
        if hub.identity is not None:
            hub.identity.configure(config)

    async def secure(self, loaded: Loaded) -> None:
        """Probe as the workers connect."""
        self._certificates.tell(loaded)
        secured = Contexts()
        # A thread: the system's authorities take 20 ms to read.
        await asyncio.to_thread(self._make_contexts, loaded, secured)
        self.prober.secured = secured.upstreams

    def _make_contexts(self, loaded: Loaded, into: Contexts) -> None:
        config = msgspec.structs.replace(loaded.config, listen=[], upstream=_probed(loaded.config))
        for _ in self._keyring.make(config, loaded.material, into):
            pass

    def restart_reporting(self) -> None:
        """Begin a new interval for the export of our own metrics."""
        if self._reporting is not None:
            self._reporting.cancel()
        self._reporting = spawn(self._report_regularly(), "report metrics")

    async def stop(self) -> None:
        """No more probes and pages; the last report of our own metrics."""
        await cancel(self._reporting, *self._watching)
        await self.sources.stop()
        await self.bus.stop(BUS_CLOSING)
        await self.discoveries.stop()
        await self._issuers.stop()
        if self._hub.identity is not None:
            await self._hub.identity.stop()
        await self.prober.stop()
        self.ejections.stop()
        await self._report()

    async def close(self) -> None:
        """The admin port goes last."""
        meeting.leave()
        if self._admin is not None:
            await self._admin.stop()

    async def leave_admin(self) -> None:
        """Answer nobody there any more: whoever is in its queue is another process's to serve."""
        if self._port is not None:
            await self.close()
            self._port.close()
            self._port = self._admin = None

    async def leave_receivers(self) -> None:
        """Listen for telemetry of others no more. What the gateway records goes on."""
        config = without_receivers(self._hub.loaded.config)
        if config is None:
            return
        try:
            await self._hub.collector.adopt(config, await self.prepare(config))
        except (ConfigError, OSError) as error:
            log.warning(
                "receivers listen until the end: %s", error, extra={"key": "receivers.listen_on"}
            )

    async def _report_regularly(self) -> None:
        interval = self._hub.loaded.config.export.metrics_interval
        while interval > 0:
            await asyncio.sleep(interval)
            await self._hub.refresh()
            await self._report()

    async def _report(self) -> None:
        """Offer all metrics, the same that `/metrics` shows, to the pipelines."""
        if "metrics" in wanted(self._hub.loaded.config):
            await self._hub.collector.report(self._status.series())

    def _more(self) -> Iterator[Series]:
        """What others than the status can tell."""
        yield from self._issuers.series()
        yield from self.sources.series()
        if self._hub.identity is not None:
            yield from self._hub.identity.series()

    def _health_changed(self, changes: Mapping[Key, bool]) -> None:
        self._hub.roster.probed(changes)


def _probed(config: Config) -> dict[str, Upstream]:
    return {name: one for name, one in config.upstream.items() if one.health is not None}
