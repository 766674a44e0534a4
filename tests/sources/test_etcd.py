"""etcd as a source, against a real one: keys that come, change, break and go; what it survives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.source_model import EtcdSource
from proxy.sources import etcd as module
from proxy.sources.source import About
from tests.ports import free_port
from tests.sources.kit import Etcd, Watching, etcd

SHOP = {"path": "/shop/*", "to": "shop"}
SERVERS = {"servers": ["http://127.0.0.1:1"]}


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Etcd]:
    with etcd(tmp_path) as running:
        yield running


def watching(*servers: str, **more: str) -> Watching:
    settings = EtcdSource(servers=list(servers), prefix="/spangate", **more)  # type: ignore[arg-type]
    return Watching(module.make(settings, About("/")))


async def test_keys_are_read_and_watched(member: Etcd) -> None:
    member.put("/spangate/routes/shop", SHOP)
    member.put("/spangate/upstreams/shop", SERVERS)
    member.put("/spangateway/routes/other", SHOP)
    async with watching(member.url) as heard:
        await heard.until(lambda: heard.states)
        assert heard.routes == {"shop": {**SHOP, "name": "shop"}}
        assert heard.now.upstreams == {"shop": SERVERS}
        assert heard.now.places["route", 0] == "etcd key /spangate/routes/shop"
        revision = member.put("/spangate/routes/new", {"path": "/new", "respond": 204})
        await heard.until(lambda: set(heard.routes) == {"shop", "new"})
        assert heard.now.version == str(revision)
        member.delete("/spangate/routes/shop")
        await heard.until(lambda: set(heard.routes) == {"new"})
    assert not heard.failures


async def test_an_empty_prefix_is_told_too(member: Etcd) -> None:
    async with watching(member.url) as heard:
        await heard.until(lambda: heard.states)
        assert (heard.now.routes, heard.now.upstreams) == ([], {})


async def test_more_keys_than_one_answer_has(member: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    for i in range(8):
        member.put(f"/spangate/routes/r{i}", {"path": f"/{i}", "respond": 204})
    async with watching(member.url) as heard:
        await heard.until(lambda: heard.states)
        assert len(heard.routes) == 8


HALF_FORMED = {
    "/spangate/routes/cut": '{"path": "/cu',
    "/spangate/routes/list": "[1, 2]",
    "/spangate/routes/deep": '{"a":' * 5000,
    "/spangate/routes/empty": "",
    "/spangate/routes/renamed": '{"name": "other", "path": "/"}',
    "/spangate/routes/": "{}",
    "/spangate/clusters/x": "{}",
    "/spangate/stray": "{}",
}


async def test_what_is_half_formed_is_left_out_by_its_key(member: Etcd) -> None:
    for key, value in HALF_FORMED.items():
        member.put(key, value)
    member.put("/spangate/routes/shop", SHOP)
    async with watching(member.url) as heard:
        await heard.until(lambda: heard.states)
        assert set(heard.routes) == {"shop"}
        told = {line.partition(": ")[0] for line in heard.now.left_out}
        assert told == {f"etcd key {key}" for key in HALF_FORMED}


async def test_a_key_that_breaks_stays_as_it_was(member: Etcd) -> None:
    member.put("/spangate/routes/shop", SHOP)
    running = watching(member.url)
    async with running as heard:
        await heard.until(lambda: heard.states)
        running.source.settled(heard.now, [])
        member.put("/spangate/routes/shop", "{")
        await heard.until(lambda: heard.now.left_out)
        assert set(heard.routes) == {"shop"}
        member.put("/spangate/routes/shop", {"path": "/mended", "respond": 204})
        await heard.until(lambda: not heard.now.left_out)
        assert heard.routes["shop"]["path"] == "/mended"


async def test_what_the_gateway_refuses_is_left_out_by_its_key(member: Etcd) -> None:
    member.put("/spangate/routes/good", {"path": "/good", "respond": 204})
    member.put("/spangate/routes/bad", {"path": "bad", "respond": 204})
    running = watching(member.url)
    async with running as heard:
        await heard.until(lambda: heard.states)
        running.source.settled(heard.now, ["etcd key /spangate/routes/bad: route.path: no path"])
        await heard.until(lambda: len(heard.states) == 2)
        assert set(heard.routes) == {"good"}
        assert heard.now.left_out == ["etcd key /spangate/routes/bad: route.path: no path"]


async def test_it_comes_back_when_etcd_does(member: Etcd) -> None:
    member.put("/spangate/routes/shop", SHOP)
    async with watching(member.url) as heard:
        await heard.until(lambda: heard.states)
        member.stop()
        await heard.until(lambda: heard.failures)
        assert len(heard.states) == 1, "what was given holds"
        member.start()
        member.put("/spangate/routes/new", {"path": "/new", "respond": 204})
        await heard.until(lambda: set(heard.routes) == {"shop", "new"})


async def test_another_server_is_asked_when_one_is_gone(member: Etcd) -> None:
    member.put("/spangate/routes/shop", SHOP)
    gone = f"http://127.0.0.1:{free_port()}"
    async with watching(gone, member.url) as heard:
        await heard.until(lambda: heard.states)
        assert heard.failures[0].startswith(gone)
        assert set(heard.routes) == {"shop"}


async def test_history_that_was_compacted_away_is_read_anew(member: Etcd) -> None:
    member.put("/spangate/routes/shop", SHOP)
    async with between(member) as (url, hold):
        hold.clear()
        async with watching(url) as heard:
            await heard.until(lambda: heard.states)
            member.put("/spangate/routes/missed", {"path": "/missed", "respond": 204})
            last = member.put("/spangate/routes/last", {"path": "/last", "respond": 204})
            member.compact(last)
            hold.set()
            await heard.until(lambda: set(heard.routes) == {"shop", "missed", "last"})
            assert not heard.failures


async def test_a_user_and_a_password(member: Etcd) -> None:
    member.put("/spangate/routes/shop", SHOP)
    member.ask("/v3/auth/user/add", {"name": "root", "password": "sesame"})
    member.ask("/v3/auth/user/grant", {"user": "root", "role": "root"})
    member.ask("/v3/auth/enable", {})
    async with watching(member.url, user="root", password="wrong") as heard:
        await heard.until(lambda: heard.failures)
        assert "authentication failed" in heard.failures[0]
        assert "wrong" not in heard.failures[0]
    async with watching(member.url, user="root", password="sesame") as heard:
        await heard.until(lambda: heard.states)
        assert set(heard.routes) == {"shop"}
        token = member.ask("/v3/auth/authenticate", {"name": "root", "password": "sesame"})["token"]
        member.put("/spangate/routes/new", {"path": "/new", "respond": 204}, token)
        await heard.until(lambda: "new" in heard.routes)


async def test_a_stranger_in_the_place_of_etcd() -> None:
    async def nonsense(_: web.Request) -> web.Response:
        return web.Response(body=b'{"header": 7, "kvs": "\xff')

    async with serving(nonsense) as url, watching(url) as heard:
        await heard.until(lambda: len(heard.failures) > 1)
        assert "none of etcd's" in heard.failures[0]
        assert not heard.states


async def test_watches_that_end_at_once_are_begun_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of them begins with all keys being read."""
    waits: list[int] = []

    def pause(failures: int, chance: float) -> float:
        waits.append(failures)
        return 0.0

    async def end(request: web.BaseRequest) -> web.Response:
        body = {"header": {"revision": "5"}} if request.path == "/v3/kv/range" else None
        return web.json_response(body) if body else web.Response()

    monkeypatch.setattr(module, "pause", pause)
    async with serving(end) as url, watching(url) as heard:
        await heard.until(lambda: len(heard.failures) > 3)
        assert heard.failures[0] == f"{url} has ended the watch"
        assert not heard.alive, "that it can be read is no sign that it can be watched"
    assert waits[:3] == [1, 2, 3]


async def test_a_server_without_the_gateway_says_what_is_to_be_done() -> None:
    async def absent(_: web.BaseRequest) -> web.Response:
        return web.Response(status=404, text="404 page not found")

    async with serving(absent) as url, watching(url) as heard:
        await heard.until(lambda: heard.failures)
        assert "--enable-grpc-gateway" in heard.failures[0]


async def test_why_there_is_no_connection_is_told() -> None:
    port = free_port()
    async with watching(f"http://127.0.0.1:{port}") as heard:
        await heard.until(lambda: heard.failures)
    assert heard.failures[0] == f"http://127.0.0.1:{port}: no connection: Connection refused"

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, watching(f"https://127.0.0.1:{port}") as heard:
        await heard.until(lambda: heard.failures)
    assert "no connection by TLS: [SSL: WRONG_VERSION_NUMBER]" in heard.failures[0]


def test_keys_that_are_no_text_are_told_apart() -> None:
    places = {module._place(b"/spangate/routes/" + end) for end in (b"\xff", b"\xfe", b"a")}
    assert len(places) == 3
    with pytest.raises(ValueError, match=r"its key is no UTF-8"):
        module.unit_of(b"/spangate/routes/\xff", b"{}", "/spangate/")


@given(st.binary(max_size=60), st.binary(max_size=200))
def test_any_key_and_value_are_a_unit_or_told(key: bytes, value: bytes) -> None:
    try:
        unit = module.unit_of(key, value, "/spangate/")
    except ValueError:
        return
    assert len(unit.routes) + len(unit.upstreams) == 1


@asynccontextmanager
async def serving(handler: object) -> AsyncIterator[str]:
    server = web.Server(handler)  # type: ignore[arg-type]
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def between(member: Etcd) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Something that passes on to `member`, watches only while the event is set."""
    open_ = asyncio.Event()
    open_.set()
    async with aiohttp.ClientSession() as session:

        async def pass_on(request: web.BaseRequest) -> web.StreamResponse:
            if request.path == "/v3/watch":
                await open_.wait()
            async with session.post(member.url + request.path, data=await request.read()) as answer:
                response = web.StreamResponse(status=answer.status)
                await response.prepare(request)
                async for part in answer.content.iter_any():
                    await response.write(part)
                return response

        async with serving(pass_on) as url:
            yield url, open_
