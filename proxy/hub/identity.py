"""Who this gateway is in a mesh: asked for, kept up to date, and handed to all workers.

What a source puts goes the way of certificates that have changed: all workers prepare it, then all
use it for new connections, and those that there are go on. When a source has nothing new, what
there is stays in force until it expires, and longer: then peers refuse it, and say why.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Protocol

from proxy.config.loaded import Loaded
from proxy.config.mesh_identity import who
from proxy.config.model import Config
from proxy.hub.gauges import IDENTITY_EXPIRY, IDENTITY_RENEWALS
from proxy.hub.parts import Whole
from proxy.hub.reload import bring_into_force
from proxy.hub.rollout import Refused
from proxy.hub.snapshot import Generation, generation
from proxy.mesh.source import Source, source_of
from proxy.mesh.svid import Svid
from proxy.tasks import cancel, spawn
from proxy.telemetry.metrics import Series

log = logging.getLogger("spangate")

TRIES, AGAIN = 20, 3.0  # times that workers are asked, seconds in between at most


class Secured(Protocol):
    """Who else connects as the workers do."""

    async def secure(self, loaded: Loaded) -> None: ...


def begun(loaded: Loaded) -> tuple[Loaded, Identity]:
    """With what can be had before any worker starts, so that none begins without it."""
    made = Identity()
    svid = made.begin(loaded.config, time.time())
    if svid is not None:
        loaded = dataclasses.replace(loaded, material=svid.into(loaded.material))
    return loaded, made


class Identity:
    """That of one hub."""

    def __init__(self) -> None:
        self.svid: Svid | None = None
        self.error = ""  # why there is nothing new; "" = nothing is wrong
        self.came = asyncio.Event()  # something has, or nothing will
        self._hub: Any = None
        self._services: Any = None
        self._said: object = None  # what the source was made of
        self._source: Source | None = None
        self._task: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._renewals = {"success": 0, "failure": 0}

    def begin(self, config: Config, now: float) -> Svid | None:
        """Make the source, and what it has at once."""
        self._said, self._source = _said(config), source_of(config)
        if self._source is None:
            return None
        try:
            self.svid = self._source.first(now)
        except (OSError, ValueError) as error:
            self.failed(str(error))
        else:
            self._tell()
        return self.svid

    def start(self, hub: Whole, services: Secured) -> None:
        """Keep it up to date from now on."""
        self._hub, self._services = hub, services
        if self.svid is not None or self._source is None:
            self.came.set()
        self._watch()
        self._run()

    async def first(self, seconds: float) -> None:
        """Wait, but no longer than this, until something has come."""
        try:
            async with asyncio.timeout(seconds):
                await self.came.wait()
        except TimeoutError:
            log.warning(
                "mesh: no identity yet: nobody can connect by it",
                extra={"key": "mesh.identity_missing"},
            )

    def configure(self, config: Config) -> None:
        """Go by this configuration; a source that is the same goes on."""
        if _said(config) == self._said:
            return
        self._said, self._source = _said(config), source_of(config)
        if self._source is None:
            self.svid = None
            self._watch()
        self._run()

    async def stop(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        await cancel(self._task)

    async def put(self, svid: Svid) -> bool:
        """See Puts. Workers that start, or are busy, may refuse it for a while."""
        for _ in range(TRIES):
            try:
                await self._bring(svid)
                break
            except Refused as error:
                self._hub.reloads.refused += 1
                self.failed(str(error))
                last = self.svid
                await asyncio.sleep(AGAIN if last is None else last.pause(time.time(), AGAIN))
        else:
            return False
        self.svid, self.error = svid, ""
        self._renewals["success"] += 1
        self.came.set()
        self._watch()
        self._tell()
        await self._services.secure(self._hub.loaded)
        return True

    async def _bring(self, svid: Svid) -> None:
        """Into all workers, or none; raises Refused."""
        hub = self._hub
        async with hub.changing:
            material = svid.into(hub.loaded.material)
            if material != hub.loaded.material:
                hub.reloads.tried += 1
                changed = dataclasses.replace(hub.loaded, material=material)
                new = await asyncio.to_thread(_generation, hub.reloads.tried, changed)
                await bring_into_force(hub, new)

    def failed(self, why: str) -> None:
        """Nothing new; said when it is another reason than before."""
        self._renewals["failure"] += 1
        if why == self.error:
            return
        self.error = why
        until = f"; the one in force counts until {_time(self.svid.until)}" if self.svid else ""
        log.warning(
            "mesh: no new identity: %s%s", why, until, extra={"key": "mesh.identity_failed"}
        )

    def series(self) -> Iterator[Series]:
        """Those of one instrument together."""
        if self.svid is not None:
            labels = (("spangate.identity", str(self.svid.id)),)
            yield Series(IDENTITY_EXPIRY, labels, int(self.svid.until))
        if self._source is not None:
            for result, times in self._renewals.items():
                yield Series(IDENTITY_RENEWALS, (("result", result),), times)

    def _run(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = None
        if self._source is not None:
            self._task = spawn(self._source.run(self), "keep the identity")

    def _watch(self) -> None:
        """Tell when what is in force expires."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = None
        if (svid := self.svid) is not None:
            left = max(0.0, svid.until - time.time())
            self._expiry = asyncio.get_running_loop().call_later(left, self._expired, svid)

    def _expired(self, svid: Svid) -> None:
        if time.time() < svid.until:  # the clock was set back: timers go by another one
            self._watch()
            return
        why = f": {self.error}" if self.error else ", as there is none yet"
        log.warning(
            "mesh: the certificate of %s expired on %s and peers refuse it; no new one%s",
            svid.id,
            _time(svid.until),
            why,
            extra={"key": "mesh.identity_expired"},
        )

    def _tell(self) -> None:
        if (svid := self.svid) is not None:
            log.info(
                "mesh: this is %s, until %s; trust domains: %s",
                svid.id,
                _time(svid.until),
                ", ".join(sorted(svid.trust)),
                extra={"key": "mesh.identity"},
            )


def _said(config: Config) -> object:
    """All that a source is made of."""
    mesh = config.mesh
    if mesh is None or mesh.identity is None:
        return None
    return mesh.identity, who(config)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _generation(number: int, loaded: Loaded) -> Generation:
    return generation(number, loaded, time.time())
