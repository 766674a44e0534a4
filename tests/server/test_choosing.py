"""Policies over real sockets: keys of requests, sticky cookies, backups, and loads."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.server import frames
from proxy.server.endpoints import Change, encode
from tests.harness import Answer, Backend, Gateway, Peer, gateway
from tests.server import h2_kit, tls_kit
from tests.server.kit import (
    Gate,
    eventually,
    number,
    reply,
    script,
    send,
    trace,
    traces,
)

CONFIG = """
listen = "127.0.0.1:0"
[forwarding]
trust = ["127.0.0.1"]
[export]
otlp = "http://127.0.0.1:1"
[[route]]
path = "/users/{{id}}/*"
to = "b"
[[route]]
path = "/*"
to = "b"
retry = 1
[upstream.b]
servers = {urls}
{more}
"""


def text(backends: list[Backend], more: str) -> str:
    urls = [backend.url for backend in backends]
    return CONFIG.format(urls=urls, more=more)


@contextlib.asynccontextmanager
async def running(more: str, count: int = 4) -> AsyncIterator[tuple[Gateway, list[Backend]]]:
    """A gateway in front of servers that answer with their numbers."""
    async with contextlib.AsyncExitStack() as stack:
        backends = [
            await stack.enter_async_context(Backend(script(reply(200, b"%d" % n))))
            for n in range(count)
        ]
        yield await stack.enter_async_context(gateway(text(backends, more))), backends


async def asked(gate: Gateway, path: str, *headers: str) -> bytes:
    answer = await gate.get(path, *headers)
    assert answer.status == 200
    return answer.body


def tell(gate: Gateway, url: str, change: Change) -> None:
    gate.recorded.send(frames.ENDPOINTS, encode({"b": {url: change}}))


HASHES = [
    ("header:x-user", "/x", "X-User: {key}"),
    ("header:host", "/x", ""),
    ("cookie:session", "/x", "Cookie: other=1; session={key}"),
    ("client", "/x", "X-Forwarded-For: 192.0.2.{key}"),
    ("path:id", "/users/{key}/orders", "X-Nothing: 1"),
]


@pytest.mark.parametrize("algorithm", ["maglev", "ring"])
@pytest.mark.parametrize(("on", "path", "header"), HASHES)
async def test_the_same_key_meets_the_same_server(
    on: str, path: str, header: str, algorithm: str
) -> None:
    more = f'balance = {{ policy = "hash", on = "{on}", algorithm = "{algorithm}" }}'
    async with running(more) as (gate, _):
        found: dict[str, set[bytes]] = {}
        for key in [str(n % 12) for n in range(36)]:
            if on == "header:host":
                request = f"GET /x HTTP/1.1\r\nHost: h{key}.test\r\nConnection: close\r\n\r\n"
                served = (await gate.exchange(request.encode()))[-1:]
            else:
                served = await asked(gate, path.format(key=key), header.format(key=key))
            found.setdefault(key, set()).add(served)
    assert all(len(servers) == 1 for servers in found.values())
    assert len(set().union(*found.values())) > 1


async def test_requests_without_a_key_go_to_all() -> None:
    async with running('balance = { policy = "hash", on = "header:x-user" }') as (gate, _):
        assert len({await asked(gate, "/x") for _ in range(40)}) == 4
        assert len({await asked(gate, "/x", "X-User: ") for _ in range(40)}) == 4


@pytest.mark.parametrize(
    ("more", "headers", "told"),
    [
        ('balance = { policy = "hash", on = "header:x-user" }', ["X-User: 1"], "key"),
        ('balance = { policy = "hash", on = "header:x-user" }', [], "no_key"),
        ('sticky = "srv"', [], None),
        ("", [], None),
    ],
)
async def test_how_it_was_chosen_is_told(more: str, headers: list[str], told: str | None) -> None:
    async with running(more) as (gate, _):
        await asked(gate, "/x", *headers)
        seen = await trace(gate)
        assert seen.about.get("spangate.chosen_by") == told
        assert number(gate, "spangate.upstream.keyless") == (told == "no_key")


async def test_a_cookie_is_told() -> None:
    async with running(STICKY) as (gate, _):
        cookie = given(await gate.get("/x"))
        await asked(gate, "/x", f"Cookie: {cookie}")
        told = [seen.about.get("spangate.chosen_by") for seen in await traces(gate, 2)]
        assert told == [None, "cookie"]


async def test_a_path_without_that_name_is_no_key() -> None:
    async with running('balance = { policy = "hash", on = "path:id" }') as (gate, _):
        assert len({await asked(gate, "/x") for _ in range(40)}) == 4


# sticky cookies

STICKY = 'sticky = { cookie = "srv", ttl = "1h", key = "0123456789abcdef" }'


def given(answer: Answer) -> str:
    """The cookie that an answer sets, "" if none."""
    lines = [value for name, value in answer.fields if name == "set-cookie"]
    assert len(lines) <= 1
    if not lines:
        return ""
    found = re.fullmatch(
        r"(srv=v1\.[\w-]{22}); Path=/; Max-Age=3600; HttpOnly; SameSite=Lax", lines[0]
    )
    assert found is not None, lines[0]
    return found[1]


async def test_a_client_comes_back_to_its_server() -> None:
    async with running(STICKY) as (gate, _):
        first = await gate.get("/x")
        cookie = given(first)
        assert cookie
        for _ in range(8):
            again = await gate.get("/x", f"Cookie: a=b; {cookie}")
            assert again.body == first.body and not given(again)
        assert {(await gate.get("/x")).body for _ in range(8)} == {b"0", b"1", b"2", b"3"}


@pytest.mark.parametrize(
    "cookie",
    ["srv=v1.AAAAAAAAAAAAAAAAAAAAAA", "srv=", "srv", "srv=http://127.0.0.1:1", "srv=v1.\xe9", "x"],
)
async def test_a_cookie_that_is_not_ours_counts_for_nothing(cookie: str) -> None:
    async with running(STICKY) as (gate, _):
        request = f"GET / HTTP/1.1\r\nHost: h\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
        answers = [await gate.exchange(request.encode("latin-1")) for _ in range(4)]
        assert {answer[-1:] for answer in answers} == {b"0", b"1", b"2", b"3"}
        assert all(b"set-cookie: srv=v1." in answer.lower() for answer in answers)


async def test_who_is_down_is_left_with_a_new_cookie() -> None:
    async with running(STICKY) as (gate, backends):
        first = await gate.get("/x")
        cookie = given(first)
        url = backends[int(first.body)].url
        tell(gate, url, Change(up=False))
        await eventually(lambda: not gate.worker.upstreams["b"].endpoints[url].up)
        second = await gate.get("/x", f"Cookie: {cookie}")
        assert second.body != first.body and given(second) not in ("", cookie)
        third = await gate.get("/x", f"Cookie: {given(second)}")
        assert third.body == second.body and not given(third)


async def test_who_drains_serves_those_that_it_has() -> None:
    async with running(STICKY) as (gate, backends):
        first = await gate.get("/x")
        cookie = given(first)
        url = backends[int(first.body)].url
        tell(gate, url, Change(drained=True))
        await eventually(lambda: not gate.worker.upstreams["b"].endpoints[url].up)
        again = await gate.get("/x", f"Cookie: {cookie}")
        assert again.body == first.body and not given(again)
        assert first.body not in {(await gate.get("/x")).body for _ in range(8)}


async def test_a_server_that_refuses_is_left_by_a_retry() -> None:
    async with running(STICKY) as (gate, backends):
        first = await gate.get("/x")
        cookie = given(first)
        gone = backends[int(first.body)]
        assert gone._server is not None
        gone._server.close()
        for peer in gone.peers:
            peer.reset()
        second = await gate.get("/x", f"Cookie: {cookie}")
        assert second.status == 200 and second.body != first.body
        assert given(second) not in ("", cookie)


async def test_cookies_outlive_a_reload_and_a_worker() -> None:
    async with running(STICKY) as (gate, backends):
        first = await gate.get("/x")
        cookie = given(first)
        await gate.reload(text(backends, STICKY + '\nbalance = "random"'))
        assert (await gate.get("/x", f"Cookie: {cookie}")).body == first.body
        async with gateway(text(backends, STICKY)) as other:
            assert (await other.get("/x", f"Cookie: {cookie}")).body == first.body
        await gate.reload(text(backends, ""))
        assert not given(await gate.get("/x"))
        assert len({await asked(gate, "/x", f"Cookie: {cookie}") for _ in range(8)}) == 4


# loads


@pytest.mark.parametrize("name", ["least_request", "peak_ewma"])
async def test_who_is_busy_gets_nothing_more(name: str) -> None:
    busy = Gate(b"", reply(200, b"busy"))
    async with Backend(busy) as slow, Backend(script(reply(200, b"free"))) as free:
        more = f'balance = "{name}"'
        async with gateway(text([slow, free], more)) as gate:
            endpoints = gate.worker.upstreams["b"].endpoints
            tell(gate, free.url, Change(up=False))
            await eventually(lambda: not endpoints[free.url].up)
            client = await gate.connect()
            send(client, "GET", "/x")
            await busy.reached.wait()
            tell(gate, free.url, Change(up=True))
            await eventually(lambda: endpoints[free.url].up)
            served = Counter([await asked(gate, "/x") for _ in range(20)])
            assert served == {b"free": 20}
            busy.go.set()
            assert (await client.answer()).body == b"busy"


async def test_a_backup_serves_when_nobody_else_is_up() -> None:
    async with running("", 2) as (gate, backends), Backend(script(reply(200, b"backup"))) as spare:
        await gate.reload(text(backends, f'backup = ["{spare.url}"]'))
        assert {await asked(gate, "/x") for _ in range(6)} == {b"0", b"1"}
        for backend in backends:
            tell(gate, backend.url, Change(up=False))
        endpoints = gate.worker.upstreams["b"].endpoints
        await eventually(lambda: not any(endpoints[backend.url].up for backend in backends))
        assert {await asked(gate, "/x") for _ in range(4)} == {b"backup"}


async def test_a_reload_changes_the_policy_and_keeps_connections() -> None:
    async with running("", 2) as (gate, backends):
        for policy in ("random", "least_request", "peak_ewma", "round_robin"):
            await gate.reload(text(backends, f'balance = "{policy}"\nslow_start = "10s"'))
            assert {await asked(gate, "/x") for _ in range(30)} == {b"0", b"1"}
        assert all(len(backend.peers) == 1 for backend in backends)


# other doors


async def test_a_cookie_that_came_by_https_is_secure(tmp_path: Path) -> None:
    async with Backend() as backend:
        listener = tls_kit.listening(tmp_path)
        config = text([backend], STICKY).replace('listen = "127.0.0.1:0"\n', "") + listener
        async with gateway(config) as gate:
            client = await tls_kit.connect(gate)
            send(client, "GET", "/x")
            answer = await client.answer()
            assert answer["set-cookie"].endswith("; HttpOnly; SameSite=Lax; Secure")


async def test_https_that_a_trusted_proxy_took_counts() -> None:
    async with running(STICKY) as (gate, _):
        answer = await gate.get("/x", "X-Forwarded-Proto: https")
        assert answer["set-cookie"].endswith("; Secure")


async def test_cookies_in_pieces() -> None:
    """RFC 9113 §8.2.3: HTTP/2 clients may send each cookie in a field of its own."""
    async with running(STICKY) as (gate, _):
        first = await gate.get("/x")
        cookie = given(first).encode()
        client = await h2_kit.h2_client(gate)
        for _ in range(6):
            got = await client.get("/x", (b"cookie", b"a=b"), (b"cookie", cookie))
            assert bytes(got.body) == first.body and not got["set-cookie"]


@pytest.mark.parametrize("on", ["client", "header:x-user", "cookie:a", "path:id"])
async def test_connections_go_by_the_client(on: str) -> None:
    async def say(peer: Peer, name: bytes) -> None:
        peer.write(name)
        await peer.rest()

    async with contextlib.AsyncExitStack() as stack:
        handlers = [lambda peer, n=n: say(peer, b"%d" % n) for n in range(4)]
        servers = [await stack.enter_async_context(Backend(handler)) for handler in handlers]  # type: ignore[arg-type]
        urls = [f"tcp://127.0.0.1:{server.port}" for server in servers]
        config = f"""
[[listen]]
address = ":5432"
protocol = "tcp"
to = "b"
[upstream.b]
servers = {urls}
balance = {{ policy = "hash", on = "{on}" }}
"""
        gate = await stack.enter_async_context(gateway(config))
        found = set()
        for _ in range(20):
            client = await gate.connect()
            found.add(await client.reader.readexactly(1))
            await client.close()
        assert len(found) == 1 if on == "client" else len(found) > 1
