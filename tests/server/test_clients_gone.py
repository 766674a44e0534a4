"""What is left of a request: nothing, however it ended."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from proxy.ring import CONNECTIONS
from proxy.server.serve import serve
from proxy.server.story import Story
from tests.harness import OK, Backend, Client, Gateway, Peer, gateway, routes
from tests.server.kit import (
    Gate,
    ask,
    blackhole,
    eventually,
    is_settled,
    number,
    refusing,
    reply,
    request,
    routing,
    script,
    send,
    trace,
)

HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"


def leave(client: Client, how: str) -> None:
    if how == "close":
        client.writer.close()
    else:
        client.vanish()


# leaving


@pytest.mark.parametrize("before", [b"", HALF], ids=["waiting", "in the body"])
async def test_the_backend_sees_its_connection_close(before: bytes) -> None:
    handler = Gate(before, OK)
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        await handler.reached.wait()
        if before:
            await client.head()
        client.vanish()
        await asyncio.wait_for(handler.gone.wait(), 20)
        await eventually(lambda: is_settled(gate))
        assert [(p.open, p.idle) for p in gate.worker._pools.values()] == [(0, 0)]
        seen = await trace(gate)
        assert seen.about["spangate.client_gone"] is True
        assert number(gate, "http.server.active_requests") == 0


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_leaving_during_an_upload_ends_it(how: str) -> None:
    ended = asyncio.Event()

    async def take(peer: Peer) -> None:
        await peer.head()
        await peer.rest()
        ended.set()

    async with Backend(take) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "POST", "/x", "Content-Length: 10")
        client.write(b"12345")
        await eventually(lambda: backend.heads)
        leave(client, how)
        await asyncio.wait_for(ended.wait(), 20)
        await eventually(lambda: is_settled(gate))
        assert (await trace(gate)).about["spangate.client_gone"] is True


async def test_leaving_during_the_dial_ends_it() -> None:
    with blackhole() as url:
        config = routing({"b": [url]}, '[[route]]\nto = "b"\nconnect_timeout = "60s"')
        async with gateway(config) as gate:
            client = await gate.connect()
            send(client, "GET", "/x")
            await eventually(lambda: any(t.get_name() == "dial" for t in asyncio.all_tasks()))
            client.vanish()
            seen = await trace(gate)
            await eventually(lambda: is_settled(gate))
    assert seen.about["spangate.client_gone"] is True
    assert seen.tried[0]["spangate.client_gone"] is True and "error.type" not in seen.tried[0]


async def test_leaving_with_pipelined_requests_ends_the_first_and_begins_none() -> None:
    handler = Gate(b"", OK)
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for i in range(3):
            send(client, "GET", f"/{i}")
        await handler.reached.wait()
        client.vanish()
        await asyncio.wait_for(handler.gone.wait(), 20)
        await eventually(lambda: is_settled(gate))
        await trace(gate)
    assert len(backend.heads) == 1


async def test_a_thousand_requests_of_all_kinds_leave_nothing_behind() -> None:
    """Good, cut short, refused and impossible ones, sixteen at a time."""

    async def moody(peer: Peer) -> None:
        while True:
            head, _ = await request(peer)
            kind = int(head.split()[1].rpartition(b"/")[2]) % 5
            if kind == 3:
                peer.reset()
                return
            if kind == 4:
                peer.write(HALF)
                return
            peer.write(reply(200, b"x" * 1000))

    async def visit(gate: Gateway, i: int) -> None:
        client = await gate.connect()
        send(client, "POST" if i % 3 else "GET", f"/{i}", body=b"b" * (i % 3) * 100)
        if i % 7:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await client.answer()
        leave(client, "reset" if i % 2 else "close")

    async with Backend(moody) as backend, gateway(routes(backend)) as gate:
        for start in range(0, 1000, 16):
            await asyncio.gather(*(visit(gate, i) for i in range(start, start + 16)))
        await eventually(lambda: is_settled(gate))
        await gate.recorded.collect()
        assert number(gate, "http.server.active_requests") == 0
        assert gate.made == len(gate.recorded.spans)
        created = number(gate, "spangate.upstream.connections.created")
        assert created <= len(backend.peers)  # a dial may be given up after the handshake
        assert number(gate, "http.client.open_connections") == sum(
            p.idle for p in gate.worker._pools.values()
        )


# memory


@contextlib.contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.asynccontextmanager
async def bad_upstream(kind: str) -> AsyncIterator[list[str]]:
    """URLs of an upstream that behaves in this way."""

    async def reset(peer: Peer) -> None:
        await request(peer)
        peer.reset()

    async def silent(peer: Peer) -> None:
        await peer.rest()

    async def cut(peer: Peer) -> None:
        await request(peer)
        peer.write(HALF)

    handlers: dict[str, Any] = {
        "ok": script(OK),
        "chunked": script(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        ),
        "close-delimited": None,
        "503, then ok": script(reply(503), OK),
        "503": script(reply(503)),
        "reset": reset,
        "bad answer": script(b"HELLO\r\n\r\n"),
        "truncated": cut,
        "timeout": silent,
        "total": silent,
    }

    async def until_close(peer: Peer) -> None:
        await request(peer)
        peer.write(b"HTTP/1.1 200 OK\r\n\r\nok")

    handlers["close-delimited"] = until_close
    if kind == "refused":
        with refusing() as url:
            yield [url]
    elif kind == "connect timeout":
        with blackhole() as url:
            yield [url]
    elif kind == "none":
        yield []
    else:
        async with Backend(handlers[kind]) as backend:
            yield [backend.url]


KINDS = {
    "ok": "",
    "chunked": "",
    "close-delimited": "",
    "503, then ok": "retry = { times = 1, on = [503], backoff = '1ms' }",
    "503": "retry = { times = 1, on = [503], backoff = '1ms' }",
    "reset": "retry = { times = 1, backoff = '1ms' }",
    "bad answer": "",
    "truncated": "",
    "timeout": "first_byte_timeout = '50ms'",
    "total": "timeout = '50ms'",
    "refused": "retry = { times = 1, backoff = '1ms' }",
    "connect timeout": "connect_timeout = '50ms'",
}


class Watched(Story):
    """A story whose end can be seen."""

    __slots__ = ("__weakref__",)


def telling(held: list[weakref.ref[Any]]) -> Any:
    """Makes stories as `serve.tell` does, and notes them."""

    def tell(house: Any, client: Any, head: Any) -> Story:
        story = Watched(house, client, head)
        held.append(weakref.ref(story))
        story.coroutine = serve(story)
        return story

    return tell


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_request_is_gone_as_soon_as_it_is_over(
    kind: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cycle holds a story, its head, its facts or an error's frames until the collector runs."""
    held: list[weakref.ref[Any]] = []

    monkeypatch.setattr("proxy.server.doors.tell", telling(held))
    async with bad_upstream(kind) as urls:
        config = routing({"b": urls}, f'[[route]]\nto = "b"\n{KINDS[kind]}')
        async with gateway(config) as gate:
            with no_collector():
                client = await gate.connect()
                with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                    await ask(client, method, "/x", body=b"b" if method == "POST" else b"")
                await eventually(lambda: gate.made)
                # the last callbacks of the loop that still know it
                await eventually(lambda: held[0]() is None or is_settled_but_client(gate))
                for _ in range(3):
                    await asyncio.sleep(0)
                story = held[0]()
                assert story is None, gc.get_referrers(story)
                await client.close()


def is_settled_but_client(gate: Gateway) -> bool:
    return all(p.open == p.idle for p in gate.worker._pools.values())


async def test_a_story_whose_client_left_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[weakref.ref[Any]] = []

    monkeypatch.setattr("proxy.server.doors.tell", telling(held))
    handler = Gate(HALF, b"")
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        with no_collector():
            client = await gate.connect()
            send(client, "GET", "/x")
            await client.head()
            client.vanish()
            await asyncio.wait_for(handler.gone.wait(), 20)
            await eventually(lambda: is_settled(gate))
            assert held[0]() is None


async def test_more_connections_than_allowed_are_told_so() -> None:
    more = "[limits]\nconnections = 2"
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        first, second = await gate.connect(), await gate.connect()
        assert (await ask(first, "GET", "/x")).status == 200
        assert (await ask(second, "GET", "/x")).status == 200
        third = await gate.connect()
        answer = await third.answer()
        assert (answer.status, answer["connection"]) == (503, "close")
        assert await third.at_end()
        await first.close()
        await third.close()
        await eventually(lambda: len(gate.worker._connections) == 1)
        fourth = await gate.connect()
        assert (await ask(fourth, "GET", "/x")).status == 200
        assert (await ask(second, "GET", "/x")).status == 200
        for client in (second, fourth):
            await client.close()
        await eventually(lambda: is_settled(gate))
        assert gate.worker._counts[CONNECTIONS] == 0
