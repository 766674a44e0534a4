"""A control plane that is away while states go on, such as where something that was refused is
tried again: nothing is said that the hub takes for an answer of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.peers import xds_protos

if not xds_protos.are_here():
    pytest.skip(
        "xds-protos is not in build/xds-protos (.ci/run puts it there)", allow_module_level=True
    )

from proxy.frames import Frames
from proxy.frames import encode as framed
from proxy.sources.xds import frames
from proxy.sources.xds.process import Process
from proxy.sources.xds.source import Run
from tests.peers import xds_made as made
from tests.peers.xds_server import Server
from tests.sources.kit import Heard
from tests.sources.xds.test_session import listener

pytestmark = pytest.mark.timeout(300)


class Hub:
    """The other end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._frames = Frames()
        self.told: list[int] = []  # kinds of frames
        self.number = 0  # of the newest state

    def say(self, kind: int, payload: bytes, items: int = 0) -> None:
        self._writer.write(framed(kind, payload, items))

    async def hear(self) -> None:
        """One read more."""
        for kind, items, _ in self._frames.feed(await self._reader.read(65536)):
            self.told.append(kind)
            self.number = items if kind == frames.GIVEN else self.number

    async def until(self, kind: int, times: int) -> None:
        async with asyncio.timeout(60):
            while self.told.count(kind) < times:
                await self.hear()


@asynccontextmanager
async def talking(server: Server) -> AsyncIterator[Hub]:
    ours, theirs = socket.socketpair()
    process = Process()
    loop = asyncio.get_running_loop()
    await loop.create_unix_connection(lambda: process, sock=theirs)
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    hub = Hub(reader, writer)
    url = f"grpc://127.0.0.1:{server.port}"
    settings = frames.Settings(url, "sotw", "n", "c", "spangate 1", {})
    hub.say(frames.START, frames.encode(settings))
    try:
        yield hub
    finally:
        writer.close()
        await process.ended.wait()
        await process.stop()


async def test_versions_are_told_while_the_control_plane_answers(server: Server) -> None:
    server.put(made.cluster("c"), listener("a", 1))
    async with talking(server) as hub:
        await hub.until(frames.GIVEN, 1)
        await server.stop()
        await hub.until(frames.FAILED, 1)
        hub.say(frames.SETTLED, frames.encode([]), hub.number)
        await hub.until(frames.FAILED, 3)
        assert frames.VERSIONS not in hub.told[hub.told.index(frames.FAILED) :]


async def test_a_state_is_no_sign_that_the_control_plane_answers() -> None:
    heard = Heard()
    run = Run(heard)
    run.data_received(framed(frames.FAILED, frames.encode("UNAVAILABLE")))
    await heard.until(lambda: heard.failures)
    assert heard.in_part == ["UNAVAILABLE"]
