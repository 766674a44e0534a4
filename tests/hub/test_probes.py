"""Active probes against a server whose health the test turns on and off."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import ClientConnectorError, web
from aiohttp.client_reqrep import ConnectionKey

from proxy.config.model import Health, Route, Upstream
from proxy.config.units import Seconds
from proxy.hub import gauges
from proxy.hub.probe import Asker, failed
from proxy.hub.probes import Key, Probed, Prober
from proxy.tasks import cancel, spawn

QUICK = Health(path="/hz", every=Seconds(0.01), timeout=Seconds(0.2), rise=2, fall=3)


class Server:
    """Answers with `status`; None = hangs."""

    def __init__(self) -> None:
        self.status: int | None = 200
        self.seen: list[web.Request] = []
        self.now = self.most = 0  # requests under way
        self.url = ""
        self.body = b""
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
        headers = {"Location": "/elsewhere"}
        return web.Response(status=self.status or 500, headers=headers, body=self.body)


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


@pytest.mark.parametrize(
    ("routes", "said", "expected"),
    [
        ({}, None, None),
        ({"a": "shop.example"}, None, "shop.example"),
        ({"a": "shop.example:81", "b": "shop.example:81", "c": None}, None, "shop.example:81"),
        ({"a": "shop.example", "b": "other.example"}, None, None),
        ({"a": "shop.example"}, "probe.example", "probe.example"),
    ],
)
async def test_a_server_is_asked_by_the_name_that_it_expects(
    routes: dict[str, str | None], said: str | None, expected: str | None
) -> None:
    file = [Route(name=n, to={"u": 1, "v": 1}, host_header=host) for n, host in routes.items()]
    health = msgspec.structs.replace(QUICK, host=said, fall=1)
    async with serving() as server:
        server.status = 500
        watcher = Watcher()
        upstreams = {"u": Upstream(servers={server.url: 1}, health=health)}
        await watcher.prober.configure(upstreams, file)
        await watcher.next()
        await watcher.prober.stop()
        assert server.seen[0].headers["Host"] == (expected or server.url.removeprefix("http://"))
        assert "Via" not in server.seen[0].headers, "nothing is forwarded"


async def test_other_settings_do_not_make_a_server_forgotten() -> None:
    """Neither that it is down, nor what was counted; from then on they are what counts."""
    async with serving() as server, watching(server.url) as watcher:
        server.status = 500
        await watcher.next()
        before = {s[:2]: s.value for s in watcher.prober.series()}
        upstreams = {"u": Upstream(servers={server.url: 1}, health=QUICK)}
        await watcher.prober.configure(upstreams, [Route(to={"u": 1}, host_header="b")])
        assert watcher.prober.states() == {("u", server.url): False}
        assert {s[:2]: s.value for s in watcher.prober.series()} == before
        server.status = 200
        assert await watcher.next() == {("u", server.url): True}
        assert server.seen[-1].headers["Host"] == "b"


async def test_a_path_is_asked_for_as_it_is_written() -> None:
    health = msgspec.structs.replace(QUICK, path="/hz?a=%2F%e4&b=a+b", fall=1)
    async with serving() as server, watching(server.url, health=health) as watcher:
        server.status = 500
        await watcher.next()
        assert server.seen[0].raw_path == "/hz?a=%2F%e4&b=a+b"


# bytes that a server sends (None = nothing is listening) -> error.type, what is said
FAILURES: dict[str, tuple[bytes | None, str, str]] = {
    "refused": (None, "connection_refused", "connection refused"),
    "closed": (b"", "connection_reset", "disconnected"),
    "no HTTP": (b"SSH-2.0-x\r\n", "bad_response", "SSH"),
    "a status": (b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", "503", "not 200 or 204"),
    "silent": (b"HTTP/1.1 ", "timeout", "no answer within 0.2 s"),
}


@pytest.mark.parametrize(("sent", "error", "said"), FAILURES.values(), ids=FAILURES)
async def test_a_failure_says_why(
    sent: bytes | None, error: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent or b"")
        if error == "timeout":
            await over.wait()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    if sent is None:
        server.close()
        await server.wait_closed()
    with caplog.at_level(logging.INFO, "spangate"):
        async with watching(url) as watcher:
            assert await watcher.next() == {("u", url): False}
            verdict = watcher.prober.last(("u", url))
            series = list(watcher.prober.series())
    over.set()
    server.close()
    assert verdict is not None and not verdict.ok and verdict.at > 0 and verdict.seconds > 0
    assert (verdict.error, verdict.status) == (error, 503 if error == "503" else 0)
    assert said in verdict.said
    counted = [s for s in series if s.instrument is gauges.PROBE_FAILURES]
    assert [(s.attributes[-1], s.value) for s in counted] == [(("error.type", error), QUICK.fall)]
    (line,) = [record.getMessage() for record in caplog.records if " is down: " in record.message]
    assert line.startswith(f"upstream u: {url} is down: {verdict.said} after ")


async def test_a_name_that_cannot_be_resolved() -> None:
    url = "http://no.such.name.invalid"
    async with watching(url) as watcher:
        await watcher.next()
        verdict = watcher.prober.last(("u", url))
    assert verdict is not None
    assert (verdict.ok, verdict.error) == (False, "dns_error")


def test_what_we_lack_says_nothing_about_a_server() -> None:
    key = ConnectionKey("a", 80, False, True, None, None, None)
    error = ClientConnectorError(key, OSError(errno.EMFILE, "Too many open files"))
    verdict = failed(error)
    assert verdict.ok is None and verdict.said == "too many open files"
    probed = Probed(("u", "http://a"), QUICK)
    for _ in range(10):
        assert not probed.note(verdict)
    assert probed.up and probed.bad == 0 and probed.last is verdict


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


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_server_that_takes_bytes_is_connected_to_and_asked_nothing(is_there: bool) -> None:
    sent: list[bytes] = []
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent.append(await reader.read())
        writer.close()
        over.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}/healthz"
    if not is_there:
        server.close()
        await server.wait_closed()
    verdict = await Asker().ask(url, Health())
    assert verdict.ok is is_there
    assert verdict.error == ("" if is_there else "connection_refused")
    if is_there:
        async with asyncio.timeout(10):
            await over.wait()
        server.close()
        assert sent == [b""]


async def test_discovered_servers_are_probed_as_well() -> None:
    """Those of the file stay when they are discovered no more, and all stay over a reload."""
    async with serving() as one, serving() as two, watching(one.url) as watcher:
        prober = watcher.prober
        prober.discovered("u", [one.url, two.url])
        assert set(prober.states()) == {("u", one.url), ("u", two.url)}
        two.status = 500
        assert await watcher.next() == {("u", two.url): False}
        await prober.configure({"u": Upstream(servers={one.url: 1}, health=QUICK)})
        assert prober.states() == {("u", one.url): True, ("u", two.url): False}
        prober.discovered("u", [])
        assert prober.states() == {("u", one.url): True}
        prober.discovered("nobody", [two.url])
        assert prober.states() == {("u", one.url): True}
