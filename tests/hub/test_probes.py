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
from proxy.tasks import cancel, spawn

QUICK = Health(path="/hz", every=Seconds(0.01), timeout=Seconds(0.2), rise=2, fall=3)


class Server:
    """Answers with `status`; None = hangs."""

    def __init__(self) -> None:
        self.status: int | None = 200
        self.seen: list[web.Request] = []
        self.now = self.most = 0  # requests under way
        self.url = ""
        self.over = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self.status is None:
                await self.over.wait()
        finally:
            self.now -= 1
        return web.Response(status=self.status or 500, headers={"Location": "/elsewhere"})


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_get("/hz", server.answer)
    runner = web.AppRunner(app, handler_cancellation=True)
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
    await watcher.prober.configure({"u": Upstream(servers=dict.fromkeys(urls, 1), health=health)})
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
        await watcher.prober.configure(
            {
                "u": Upstream(servers={server.url: 5}, health=QUICK),
                "v": Upstream(servers={other: 1}, health=slow),
                "w": Upstream(servers={other: 1}),
            }
        )
        assert watcher.prober.states() == {("u", server.url): False, ("v", other): True}
        await watcher.prober.configure({})
        assert watcher.prober.states() == {}


def crowd(servers: Mapping[str, str], health: Health) -> dict[str, Upstream]:
    return {name: Upstream(servers={url: 1}, health=health) for name, url in servers.items()}


async def test_probes_that_hang_do_not_keep_others_from_theirs() -> None:
    hurried = Health(path="/hz", every=Seconds(0.01), timeout=Seconds(0.1), rise=1, fall=1)
    async with serving() as hanging, serving() as dead:
        hanging.status, dead.status = None, 500
        changes: asyncio.Queue[Mapping[Key, bool]] = asyncio.Queue()
        prober = Prober(changes.put_nowait, limit=4)
        names = {f"hangs{n}": hanging.url for n in range(40)}
        await prober.configure(crowd({**names, "dead": dead.url}, hurried))
        down: set[str] = set()
        async with asyncio.timeout(20):
            while len(down) < 41:
                down |= {name for name, _ in await changes.get()}
        assert hanging.most <= 4
        await prober.stop()


async def test_a_probe_that_fails_as_nobody_foresaw_is_made_again() -> None:
    told: asyncio.Queue[Mapping[Key, bool]] = asyncio.Queue()

    def changed(changes: Mapping[Key, bool]) -> None:
        told.put_nowait(changes)
        raise RuntimeError("whoever listens has a fault")

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with serving() as server:
        server.status = 500
        prober = Prober(changed)
        await prober.configure(crowd({"u": server.url}, QUICK))
        assert await asyncio.wait_for(told.get(), 10) == {("u", server.url): False}
        server.status = 200
        assert await asyncio.wait_for(told.get(), 10) == {("u", server.url): True}
        await prober.stop()


async def test_ten_thousand_servers_are_configured_by_turns() -> None:
    prober = Prober(lambda changes: None)
    turns = [0]

    async def count() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    counting = spawn(count(), "count turns")
    slow = Health(path="/hz", every=Seconds(3600))
    servers = {f"u{n}": f"http://127.0.0.1:{n + 1}" for n in range(10_000)}
    await prober.configure(crowd(servers, slow))
    assert turns[0] > 5
    assert len(prober.states()) == 10_000
    await prober.configure({})
    assert prober.states() == {}
    await cancel(counting)
    await prober.stop()
