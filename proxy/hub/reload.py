"""A reload: the new file takes the place of the old one completely, or not at all.

What may fail is tried before anything changes: parse and check, bind new sockets, build the new
pipeline, have all workers prepare it, or start one on the new listeners.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Protocol

from proxy.collector import frames
from proxy.config.given import NOTHING, Givens
from proxy.config.load import Loaded, load, loads
from proxy.config.material import NONE, Material
from proxy.config.messaging_names import written
from proxy.config.model import Config, Route, Upstream
from proxy.config.placed import placing
from proxy.errors import ConfigError, Problem
from proxy.hub import meeting
from proxy.hub.bus import Bus
from proxy.hub.config_history import ConfigHistory
from proxy.hub.discovery.keeper import Discoveries
from proxy.hub.parts import Change, Reloading, Whole
from proxy.hub.rollout import Refused, Rollout
from proxy.hub.said import plural
from proxy.hub.settled import Marks, whole
from proxy.hub.snapshot import Generation, generation
from proxy.hub.supervisor import RollFailed
from proxy.hub.unix_sockets import ListenError
from proxy.hub.watched import config_marks
from proxy.log import configure
from proxy.tasks import gently

log = logging.getLogger("spangate")


class Reloads:
    """How reloads went."""

    __slots__ = (
        "error", "failed", "history", "last", "reasons", "refused", "seen", "succeeded", "text",
        "tried",
    )  # fmt: skip

    def __init__(self, seen: Marks | None = None) -> None:
        self.succeeded = 0
        self.failed = 0
        self.refused = 0  # of the failed, because of a worker
        self.last = True
        self.error = ""  # why the last one failed; "" = it did not
        self.reasons: Sequence[object] = ()  # the same, as they were found
        self.tried = 1  # the highest generation
        self.seen: Marks = seen or {}  # the files as they were when they were last read
        self.text = ""  # of the file that was tried last; "" = it could not be read, or is known
        self.history = ConfigHistory()

    def load(self, file: str, known: Material = NONE, given: Givens = NOTHING) -> Loaded:
        """`config.load.load`, with the text kept, whatever it is worth."""
        self.text = ""
        try:
            loaded = load(file, os.environ, known, given)
        except ConfigError as error:
            self.text = error.text
            raise
        self.text = loaded.text
        return loaded


class Services(Protocol):
    """What a reload changes besides the workers."""

    @property
    def discoveries(self) -> Discoveries: ...
    @property
    def sources(self) -> Sources: ...
    @property
    def prober(self) -> Prober: ...
    @property
    def bus(self) -> Bus: ...
    async def prepare(self, config: Config) -> Change: ...
    async def adopt(self, config: Config, change: Change) -> None: ...
    async def secure(self, loaded: Loaded) -> None: ...
    def follow(self, config: Config) -> None: ...


class Sources(Protocol):
    def reloaded(self, loaded: Loaded) -> None: ...


class Prober(Protocol):
    async def configure(
        self, upstreams: Mapping[str, Upstream], routes: Iterable[Route]
    ) -> None: ...


async def reload(hub: Whole, services: Services) -> bool:
    """Read the file again and apply it; on any error the old one stays in force."""
    hub.reloads.tried += 1
    before = await asyncio.to_thread(hub.loaded.parts)
    try:
        new = await _read(hub)
        _warn(new.loaded.warnings)
        await _apply(hub, services, new)
    except ConfigError as error:
        return _failed(hub, *error.problems)
    except (Refused, RollFailed) as error:
        hub.reloads.refused += 1
        return _failed(hub, error)
    except OSError as error:
        return _failed(hub, error)
    succeeded(hub)
    services.sources.reloaded(new.loaded)
    configure(new.loaded.config.log.format, new.loaded.config.log.level)
    routes = plural(written(route.name for route in new.loaded.config.route), "route")
    log.info("reloaded: %s", routes, extra={"key": "reload.done"})
    await asyncio.to_thread(_free, before)
    return True


async def merge(hub: Whole, services: Services, given: Givens) -> Sequence[object]:
    """Bring what sources say into force beside the file that is: its text is not read again, for
    nobody has asked for that. Why they are not in force, () = they are."""
    async with hub.changing:
        if hub.stopping:
            return ["the gateway is stopping"]
        hub.reloads.tried += 1
        before = await asyncio.to_thread(hub.loaded.parts)
        try:
            new = await _beside(hub, given)
            told = set(hub.loaded.warnings)
            _warn([warning for warning in new.loaded.warnings if warning not in told])
            await _apply(hub, services, new)
        except ConfigError as error:
            return [problem for problem in error.problems if not problem.warning]
        except (Refused, RollFailed) as error:
            hub.reloads.refused += 1
            return [error]
        except OSError as error:
            return [error]
    await asyncio.to_thread(_free, before)
    return ()


async def _beside(hub: Whole, given: Givens) -> Generation:
    """See `_read`."""
    old, number = hub.loaded, hub.reloads.tried

    def made() -> Generation:
        try:
            loaded = loads(old.text, old.file, os.environ, old.material, given)
        except ConfigError:
            raise
        except Exception as error:  # whoever writes to a source must not find a way to stop reloads
            log.exception("a source could not be judged", extra={"key": "source.unjudged"})
            what = f"it could not be judged ({type(error).__name__}): see the log"
            raise ConfigError([Problem("file", what, "", 0, "sources")]) from None
        return generation(number, loaded, time.time())

    gc.disable()
    try:
        return await asyncio.to_thread(made)
    finally:
        gc.freeze()
        gc.enable()


def succeeded(hub: Reloading) -> None:
    """Count a reload that is in force."""
    hub.reloads.succeeded += 1
    hub.reloads.last = True
    hub.reloads.error = ""
    hub.reloads.reasons = ()


def _free(parts: list[list[object]]) -> None:
    """Piece by piece, so that the loop gets its turns; nobody else holds them any more."""
    for part in parts:
        while part:
            part.pop()


async def _read(hub: Whole) -> Generation:
    """Once nobody writes to it, and beside the loop: ten thousand routes take a second to read.

    A thread gives way every 5 ms; the garbage collector would not, and what is made here lives
    long anyway.
    """
    gc.disable()
    try:
        return await whole(hub.loaded.file, lambda: _read_now(hub))
    finally:
        gc.freeze()
        gc.enable()


def _read_now(hub: Whole) -> Generation:
    at, old = time.time(), hub.loaded
    _must_not_wait(old.file)
    hub.reloads.seen = config_marks(old.file)
    return generation(hub.reloads.tried, hub.reloads.load(old.file, old.material, old.given), at)


def _must_not_wait(file: str) -> None:
    """A pipe was read at the start; opening it once more would wait for who writes to it."""
    if os.path.exists(file) and not os.path.isfile(file) and not os.path.isdir(file):
        message, remedy = "it is a pipe or a device, which is read once", "run it from a file"
        raise ConfigError([Problem("file", message, f"{remedy} to reload it", 0, file)])


def _failed(hub: Whole, *reasons: object) -> bool:
    return failed(hub, "the configuration in force stays", *reasons)


def failed(hub: Reloading, what_stays: str, *reasons: object) -> bool:
    """Say and count that a reload came to nothing; False."""
    for reason in reasons:
        mild = getattr(reason, "warning", False)
        log.log(
            logging.WARNING if mild else logging.ERROR,
            "%s",
            reason,
            extra={"key": "reload.problem"},
        )
    hub.reloads.failed += 1
    hub.reloads.last = False
    hub.reloads.reasons = reasons
    hub.reloads.error = "\n".join(str(reason) for reason in reasons)
    log.error("reload failed: %s", what_stays, extra={"key": "reload.failed"})
    return False


def _warn(warnings: Iterable[Problem]) -> None:
    for warning in warnings:
        log.warning("%s", warning, extra={"key": "config.warning"})


async def _apply(hub: Whole, services: Services, new: Generation) -> None:
    old, config = hub.generation, new.loaded.config
    addresses = [listener.address for listener in config.listen]
    with placing(new.loaded):
        meeting.prepare_for(config)
        opened = _open(hub, new.loaded, addresses)
    change: Change | None = None
    try:
        if exports_differ(old.loaded.config, config):
            with placing(new.loaded):
                change = await services.prepare(config)
        if set(addresses) != set(hub.supervisor.listeners):
            await _roll(hub, new, addresses)
        else:
            await bring_into_force(hub, new)
    except BaseException:
        _set(hub, old)
        hub.sockets.close(opened)
        if change is not None:
            await change.abandon()
        raise
    _tell_restart(hub, old.loaded.config)
    if change is not None:
        await services.adopt(config, change)
    await services.secure(new.loaded)
    await services.prober.configure(config.upstream, config.route)
    async for _ in gently(hub.roster.steps(config.upstream)):
        pass
    await hub.tell_endpoints()
    services.follow(config)
    await services.bus.configure(config)
    await asyncio.sleep(0)
    services.discoveries.configure(new.loaded)
    await services.discoveries.feed()


def _open(hub: Whole, loaded: Loaded, addresses: list[str]) -> list[str]:
    try:
        return hub.sockets.open(loaded.config.listen)
    except ListenError as error:
        place = loaded.places.get(("listen", addresses.index(error.address)))
        if place is not None:  # a source's, which knows what to leave out by the place alone
            error.problems = [replace(problem, file=place) for problem in error.problems]
        raise


async def bring_into_force(hub: Whole, new: Generation) -> None:
    """In all workers, or in none: then it raises Refused."""
    rollout = Rollout(hub.supervisor, new.number, new.messages)
    await rollout.prepare()
    _set(hub, new)  # in the same turn: whoever is started now is told the new one
    await rollout.apply()
    if hub.ready:
        hub.readiness.tell(new.loaded)


async def _roll(hub: Whole, new: Generation, addresses: list[str]) -> None:
    """Other listeners need other workers, who are told the new one from the beginning."""
    _set(hub, new)
    await hub.supervisor.roll(
        addresses, new.loaded.config.drain_timeout, lambda: _close_all_but(hub, addresses)
    )
    if hub.ready:
        hub.readiness.tell(new.loaded)


def _tell_restart(hub: Whole, old: Config) -> None:
    """Say once what waits for a restart; /config goes on saying it."""
    known = needs_restart(hub.booted, old)
    for key in needs_restart(hub.booted, hub.loaded.config):
        if key not in known:
            log.warning(
                "%s changed: takes effect after a restart",
                key,
                extra={"key": "reload.needs_restart"},
            )


def _set(hub: Whole, new: Generation) -> None:
    hub.generation = new
    hub.totals.cap = new.loaded.config.metrics.series
    hub.totals.forget = new.loaded.config.metrics.forget


def _close_all_but(hub: Whole, addresses: list[str]) -> None:
    """Give up the hub's copies of listeners that are gone: their last worker ends them."""
    hub.sockets.close([a for a in hub.sockets.addresses if a not in addresses])


def exports_differ(old: Config, new: Config) -> bool:
    """Whether the collector must be told."""
    return frames.setup(old, old.resource) != frames.setup(new, new.resource)


# What is made once, before the first worker starts.
RESTART = ("admin.listen", "workers", "processes", "export.ring")


def needs_restart(running: Config, new: Config) -> list[str]:
    """The keys that `new` changes and a reload cannot."""
    return [key for key in RESTART if attrgetter(key)(running) != attrgetter(key)(new)]
