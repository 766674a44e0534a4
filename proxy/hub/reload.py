"""A reload: the new file takes the place of the old one completely, or not at all.

What may fail is tried before anything changes: parse and check, bind new sockets, build the new
pipeline, start one worker on the new listeners.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from proxy.config.load import Loaded, load
from proxy.config.model import Config
from proxy.errors import ConfigError
from proxy.hub.snapshot import snapshot_of
from proxy.hub.sockets import ListenError
from proxy.hub.supervisor import RollFailed
from proxy.server import frames

if TYPE_CHECKING:
    from proxy.collector.change import Change
    from proxy.hub.hub import Hub
    from proxy.hub.services import Services

log = logging.getLogger("spangate")


class Reloads:
    """How reloads went."""

    __slots__ = ("failed", "last", "succeeded")

    def __init__(self) -> None:
        self.succeeded = 0
        self.failed = 0
        self.last = True


async def reload(hub: Hub, services: Services) -> bool:
    """Read the file again and apply it; on any error the old one stays in force."""
    try:
        loaded = load(hub.loaded.file, os.environ)
        await _apply(hub, services, loaded)
    except ConfigError as error:
        for problem in error.problems:
            log.error("%s", problem)
        return _failed(hub)
    except (ListenError, RollFailed, OSError) as error:
        log.error("%s", error)
        return _failed(hub)
    hub.reloads.succeeded += 1
    hub.reloads.last = True
    log.info("reloaded: %d routes", len(loaded.config.route))
    return True


def _failed(hub: Hub) -> bool:
    hub.reloads.failed += 1
    hub.reloads.last = False
    log.error("reload failed: the configuration in force stays")
    return False


async def _apply(hub: Hub, services: Services, loaded: Loaded) -> None:
    old, new = hub.loaded, loaded
    for warning in (*loaded.warnings, *needs_restart(old.config, new.config)):
        log.warning("%s", warning)
    addresses = [listener.address for listener in new.config.listen]
    opened = hub.sockets.open(addresses)
    change: Change | None = None
    try:
        if exports_differ(old.config, new.config):
            change = await services.prepare(new.config)
        _set(hub, new)
        if set(addresses) != set(hub.supervisor.listeners):
            await hub.supervisor.roll(
                addresses, new.config.drain_timeout, lambda: _close_all_but(hub, addresses)
            )
        else:
            hub.supervisor.broadcast(frames.SNAPSHOT, hub.snapshot)
    except BaseException:
        _set(hub, old)
        hub.sockets.close(opened)
        if change is not None:
            await change.abandon()
        raise
    if change is not None:
        await services.adopt(new.config, change)
    await services.prober.configure(new.config.upstream)
    hub.tell_health()


def _set(hub: Hub, loaded: Loaded) -> None:
    hub.loaded = loaded
    hub.snapshot = snapshot_of(loaded.config)
    hub.intake.totals.cap = loaded.config.metrics.series
    hub.intake.totals.forget = loaded.config.metrics.forget


def _close_all_but(hub: Hub, addresses: list[str]) -> None:
    """Give up the hub's copies of listeners that are gone: their last worker ends them."""
    hub.sockets.close([a for a in hub.sockets.addresses if a not in addresses])


def exports_differ(old: Config, new: Config) -> bool:
    """Whether the pipeline must be built anew."""
    return (
        old.export != new.export or old.collector != new.collector or old.resource != new.resource
    )


def needs_restart(old: Config, new: Config) -> list[str]:
    """What the new file changes and a reload cannot."""
    changed = []
    if old.admin.listen != new.admin.listen:
        changed.append("admin.listen")
    if old.workers != new.workers:
        changed.append("workers")
    return [f"{key} changed: takes effect after a restart" for key in changed]
