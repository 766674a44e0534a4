"""The hub's end of the process that talks xDS: started, started again, what it tells passed on.

It knows frames and no message of xDS. What was given stays when the process dies; a new one asks
for all of it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import cast

import msgspec

import proxy
from proxy.collector import resource
from proxy.config.source_model import XdsSource
from proxy.frames import Frames
from proxy.frames import encode as framed
from proxy.pauses import doubled
from proxy.sources.packed import Listed, Named
from proxy.sources.source import About, Given, Hears, in_one
from proxy.sources.xds import frames
from proxy.sources.xds.names import place_of
from proxy.tasks import cancel, gently, spawn

log = logging.getLogger("spangate")

COMMAND = (sys.executable, "-m", "proxy.sources.xds")
MISSING = 3  # exit status of a process without grpcio, see __main__.py
BUFFER = 4 * 1024 * 1024  # of the socket, as of links to workers
Places = list[tuple[tuple[str | int, ...], str]]
QUICK = 10.0  # seconds: one that lives longer is started again at once
NOBODY = {"discover": "source"}  # an upstream for routes to a cluster that is not there
LONGEST = 30.0  # seconds before one that dies again and again is started again


def make(settings: XdsSource, about: About) -> Xds:
    found = resource.detect(about.resource, about.environ)
    tls = settings.tls

    def placed(name: str) -> str:
        return os.path.join(about.folder, name) if name else ""

    return Xds(
        frames.Settings(
            server=settings.server,
            mode=settings.mode,
            node=settings.node or str(found.get("service.instance.id", "")),
            cluster=settings.cluster or str(found.get("service.name", "")),
            agent=f"spangate {proxy.__version__}",
            metadata=settings.metadata,
            listeners=settings.listeners,
            ignore=settings.ignore,
            ca=placed(tls.ca),
            cert=placed(tls.cert),
            key=placed(tls.key),
            server_name=tls.server_name,
        )
    )


class Xds:
    """Implements source.Source."""

    def __init__(self, settings: frames.Settings, command: Sequence[str] = COMMAND) -> None:
        self._settings = settings
        self._command = command
        self._run: Run | None = None

    async def watch(self, hears: Hears) -> None:
        quick = 0
        while True:
            started = time.monotonic()
            self._run = Run(hears)
            try:
                status = await self._run.live(self._command, self._settings)
                reason = f"the process that talks xDS has ended with status {status}"
            except OSError as error:
                status, reason = 0, f"the process that talks xDS cannot be started: {error}"
            if status == MISSING:
                reason = "xDS needs grpcio: pip install 'spangate[xds]'"
            hears.failed(reason)
            quick = quick + 1 if time.monotonic() - started < QUICK else 0
            longest = doubled(0.25, quick, LONGEST)
            await asyncio.sleep(longest * (1 - random.random() / 2))

    def settled(self, given: Given, reasons: Sequence[str]) -> bool:
        return self._run is not None and self._run.settled(given, reasons)


class Run(asyncio.Protocol):
    """One process, from start to end."""

    def __init__(self, hears: Hears) -> None:
        self._hears = hears
        self._frames = Frames()
        self._came: deque[tuple[int, int, bytes]] = deque()  # frames that are not taken yet
        self._working: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._upstreams: dict[str, bytes] = {}
        self._routes: list[bytes] = []  # of the state that is coming
        self._places: dict[tuple[str | int, ...], str] = {}  # likewise
        self._numbers: list[tuple[Given, int]] = []  # of states that are not settled

    async def live(self, command: Sequence[str], settings: frames.Settings) -> int:
        """Until it has ended; its exit status. Ends it when cancelled."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        for end in (ours, theirs):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *command,
                "--link",
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C in a terminal reaches the hub alone
            )
        try:
            loop = asyncio.get_running_loop()
            await loop.create_unix_connection(lambda: self, sock=ours)
            self._tell(frames.START, frames.encode(settings))
            return await process.wait()
        finally:
            await cancel(self._working)
            if self._transport is not None:
                self._transport.abort()
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    def settled(self, given: Given, reasons: Sequence[str]) -> bool:
        for known, number in self._numbers:
            if known is given:
                self._numbers = [one for one in self._numbers if one[1] >= number]
                self._tell(frames.SETTLED, frames.encode(list(reasons)), number)
                return leaves_out(given, reasons)
        return False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._came.extend(self._frames.feed(data))
        if self._came and (self._working is None or self._working.done()):
            self._working = spawn(self._work(), "hear of xDS")

    async def _work(self) -> None:
        """A state comes in megabytes, which uvloop reads in one turn."""
        async for frame in gently(iter(self._next, None)):
            self._take(*frame)

    def _next(self) -> tuple[int, int, bytes] | None:
        return self._came.popleft() if self._came else None

    def _take(self, kind: int, items: int, payload: bytes) -> None:
        """A part of the coming state, or something else."""
        if kind == frames.UPSTREAMS:
            self._change(frames.decode(payload, type=dict[str, msgspec.Raw]))
        elif kind == frames.ROUTES:
            self._routes += map(bytes, frames.decode(payload, type=list[msgspec.Raw]))
        elif kind == frames.PLACES:
            self._places.update(frames.decode(payload, type=Places))
        elif kind == frames.GIVEN:
            self._give(items, frames.decode(payload, type=frames.Rest))
        else:
            self._hear(kind, payload)

    def _hear(self, kind: int, payload: bytes) -> None:
        if kind == frames.SERVERS:
            for upstream, servers in frames.decode(payload).items():
                self._hears.servers(upstream, servers)
        elif kind == frames.VERSIONS:
            self._hears.heard(frames.decode(payload, type=dict[str, str]) or None)
        elif kind == frames.FAILED:
            # what was refused is tried again meanwhile, so that states go on
            self._hears.failed(frames.decode(payload), in_part=True)
        elif kind == frames.REFUSED:
            for reason in frames.decode(payload):
                log.warning("xDS: refused: %s", reason, extra={"key": "xds.refused"})

    def _change(self, upstreams: dict[str, msgspec.Raw]) -> None:
        for name, table in upstreams.items():
            self._upstreams[name] = bytes(table)
            if self._upstreams[name] == frames.GONE:
                del self._upstreams[name]

    def _give(self, number: int, rest: frames.Rest) -> None:
        routes, self._routes = self._routes, []
        places, self._places = self._places, {}
        given = Given(
            version=in_one(rest.versions),
            routes=Listed(routes),
            upstreams=Named(self._upstreams),
            listeners=rest.listeners,
            certificates=rest.certificates,
            authorities=rest.authorities,
            places=places,
            versions=rest.versions,
            left_out=rest.left_out,
            kept=rest.kept,
        )
        self._numbers.append((given, number))
        self._hears.given(given)

    def _tell(self, kind: int, payload: bytes, items: int = 0) -> None:
        if self._transport is not None:
            self._transport.write(framed(kind, payload, items))


def leaves_out(given: Given, reasons: Sequence[str]) -> bool:
    """Whether a state follows without what is to blame, see State.bar. An upstream that nobody
    has brought is there for routes alone, and cannot be left out."""
    if not reasons:
        return False
    places = {
        place
        for path, place in given.places.items()
        if len(path) == 2
        and not (path[0] == "upstream" and given.upstreams.get(str(path[1])) == NOBODY)
    }
    return any(place_of(reason, places) is not None for reason in reasons)
