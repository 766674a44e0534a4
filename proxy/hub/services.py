"""What the hub runs beside its workers and the collector: health probes, admin port.

aiohttp takes 14 MB and a quarter of a second, so it is imported, in a thread, when somebody first
asks the admin port or something is to be probed: a gateway that is looked at by nobody is small.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from proxy.config.loaded import Loaded
from proxy.config.model import Config, Upstream
from proxy.errors import ConfigError
from proxy.hub.certificates import Certificates
from proxy.hub.discovery.keeper import Discoveries
from proxy.hub.ejections import Ejections
from proxy.hub.hand import Hand
from proxy.hub.jwks import Jwks
from proxy.hub.oidc import Oidc
from proxy.hub.parts import Change, Whole
from proxy.hub.probes import Key, Prober
from proxy.hub.receivers import without_receivers
from proxy.hub.sampler import Sampler
from proxy.hub.snapshot import wanted
from proxy.hub.sockets import split_address
from proxy.hub.status import Status
from proxy.hub.watched import ConfigWatch
from proxy.server.tls_keyring import Contexts, Keyring
from proxy.tasks import cancel, spawn

if TYPE_CHECKING:
    from proxy.admin.app import Admin


log = logging.getLogger("spangate")

FOUND_WITHIN = 2.0  # seconds for servers to be discovered before the gateway says it is ready


class Services:
    """Started once, changed by reloads, stopped last."""

    def __init__(self, hub: Whole) -> None:
        self.prober = Prober(self._health_changed)
        self.discoveries = Discoveries(hub.roster.discovered, self.prober.discovered)
        self.ejections = Ejections(hub.boards, hub.roster)
        self._sampler = Sampler(hub.totals)
        self._jwks = Jwks(hub)
        self._oidc = Oidc(hub.supervisor.asks)
        self._status = Status(hub, self.prober, self.ejections, self.discoveries, self._sampler)
        self._status.more = self._jwks.series
        self._hub = hub
        self._admin: Admin | None = None
        self._port: socket.socket | None = None  # which the first visitor opens
        self._opening: asyncio.Task[None] | None = None
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
        await asyncio.gather(self.discoveries.first(FOUND_WITHIN), self._jwks.first(FOUND_WITHIN))

    def admit(self, admin: socket.socket | None) -> None:
        """Answer on the admin port."""
        if admin is not None:
            self._port = admin
            self._watching.append(spawn(self._sampler.run(), "sample rates"))
            asyncio.get_running_loop().add_reader(admin, self._visited, admin)

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
        self._jwks.configure(config)
        if self._admin is not None:
            self._admin.configure(config.admin)

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
        await self.discoveries.stop()
        await self._jwks.stop()
        await self._oidc.close()
        await self.prober.stop()
        self.ejections.stop()
        await self._report()

    async def close(self) -> None:
        """The admin port goes last."""
        await cancel(self._opening)
        if self._admin is not None:
            await self._admin.stop()

    async def leave_admin(self) -> None:
        """Answer nobody there any more: whoever is in its queue is another process's to serve."""
        if self._port is not None:
            asyncio.get_running_loop().remove_reader(self._port)
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

    def _visited(self, admin: socket.socket) -> None:
        """Somebody is in the queue of the admin port."""
        asyncio.get_running_loop().remove_reader(admin)
        self._opening = spawn(self._open(admin), "open the admin port")

    async def _open(self, admin: socket.socket) -> None:
        make = await asyncio.to_thread(_import_admin)
        settings = self._hub.loaded.config.admin
        host = split_address(settings.listen)[0]
        self._admin = make(self._status, host, hand=Hand(self._hub))
        self._admin.configure(settings)
        await self._admin.start(admin)

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

    def _health_changed(self, changes: Mapping[Key, bool]) -> None:
        self._hub.roster.probed(changes)


def _probed(config: Config) -> dict[str, Upstream]:
    return {name: one for name, one in config.upstream.items() if one.health is not None}


def _import_admin() -> type[Admin]:
    from proxy.admin.app import Admin

    return Admin
