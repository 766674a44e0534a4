"""Active probes against a server whose health the test turns on and off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from proxy.config.model import Health, Upstream
from proxy.config.units import Seconds
from proxy.hub import gauges
from proxy.hub.probes import Key, Prober

QUICK = Health(path="/hz", every=Seconds(0.01), timeout=Seconds(0.2), rise=2, fall=3)


class Server:
    """Answers with `status`; None = hangs."""

    def __init__(self) -> None:
        self.status: int | None = 200
        self.seen: list[web.Request] = []
        self.url = ""
        self.over = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        if self.status is None:
            await self.over.wait()
        return web.Response(status=self.status or 500, headers={"Location": "/elsewhere"})


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_get("/hz", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        server.over.set()
        await runner.cleanup()


class Watcher:
    """Takes changes and lets the test wait for them."""

    def __init__(self) -> None:
        self.changes: asyncio.Queue[Mapping[Key, bool]] = asyncio.Queue()
        self.prober = Prober(self.changes.put_nowait)

    async def next(self) -> Mapping[Key, bool]:
        return await asyncio.wait_for(self.changes.get(), 20)


@asynccontextmanager
async def watching(*urls: str, health: Health = QUICK) -> AsyncIterator[Watcher]:
    watcher = Watcher()
    watcher.prober.configure({"u": Upstream(servers=dict.fromkeys(urls, 1), health=health)})
    try:
        yield watcher
    finally:
        await watcher.prober.stop()


@pytest.mark.parametrize("bad", [500, 302, None], ids=["500", "a redirect", "no answer"])
async def test_a_server_goes_down_and_comes_up_again(bad: int | None) -> None:
    async with serving() as server, watching(server.url) as watcher:
        server.status = bad
        assert await watcher.next() == {("u", server.url): False}
        assert watcher.prober.states() == {("u", server.url): False}
        server.status = 200
        assert await watcher.next() == {("u", server.url): True}


async def test_a_server_that_refuses_is_down() -> None:
    async with serving() as server:
        url = server.url
    async with watching(url) as watcher:
        assert await watcher.next() == {("u", url): False}


async def test_probes_say_who_they_are_and_are_not_traced() -> None:
    async with serving() as server, watching(server.url) as watcher:
        server.status = 500
        await watcher.next()
        assert len(server.seen) >= QUICK.fall
        headers = server.seen[0].headers
        assert headers["b3"] == "0"
        assert headers["User-Agent"].startswith("spangate-health/")


async def test_probes_and_changes_are_counted() -> None:
    async with serving() as server, watching(server.url) as watcher:
        server.status = 503
        await watcher.next()
        found = {(s.instrument.name, s.attributes[-1]): s.value for s in watcher.prober.series()}
        port = ("server.port", int(server.url.rpartition(":")[2]))
        assert found[gauges.UP.name, port] == 0
        assert found[gauges.CHANGES.name, port] == 1
        assert found[gauges.PROBES.name, ("result", "failure")] >= QUICK.fall


async def test_a_new_configuration_keeps_the_state_of_what_stays() -> None:
    async with serving() as server, watching(server.url) as watcher:
        server.status = 500
        await watcher.next()
        other = "http://127.0.0.1:9"
        slow = Health(path="/hz", every=Seconds(3600))
        watcher.prober.configure(
            {
                "u": Upstream(servers={server.url: 5}, health=QUICK),
                "v": Upstream(servers={other: 1}, health=slow),
                "w": Upstream(servers={other: 1}),
            }
        )
        assert watcher.prober.states() == {("u", server.url): False, ("v", other): True}
        watcher.prober.configure({})
        assert watcher.prober.states() == {}
