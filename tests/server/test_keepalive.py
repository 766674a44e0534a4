"""Many requests on one connection: their order, and which connections are used again."""

from __future__ import annotations

import asyncio

import pytest

from tests.harness import OK, Backend, Peer, gateway, routes
from tests.server.kit import (
    Gate,
    ask,
    eventually,
    is_settled,
    reply,
    request,
    routing,
    script,
    send,
)


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Three at once, the first of which takes longest."""
    first = asyncio.Event()

    async def by_path(peer: Peer) -> None:
        while True:
            head, body = await request(peer)
            path = head.split()[1]
            if path == b"/0":
                await first.wait()
            peer.write(reply(200, path + body))

    async with Backend(by_path) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for i in range(3):
            send(client, "POST" if i == 1 else "GET", f"/{i}", body=b"+body" if i == 1 else b"")
        await eventually(lambda: backend.heads)
        first.set()
        answers = [(await client.answer()).body for _ in range(3)]
        await client.close()
    assert answers == [b"/0", b"/1+body", b"/2"]
    assert [h.split()[1] for h in backend.heads] == [b"/0", b"/1", b"/2"]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_http_1_0_closes_unless_asked_not_to(version: str) -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for _ in range(2):
            client.write(
                f"GET /x HTTP/{version}\r\nHost: g\r\nConnection: keep-alive\r\n\r\n".encode()
            )
            answer = await client.answer()
            assert answer["connection"] == ("keep-alive" if version == "1.0" else "")
        client.write(f"GET /x HTTP/{version}\r\nHost: g\r\nConnection: close\r\n\r\n".encode())
        assert (await client.answer())["connection"] == "close"
        assert await client.at_end()
        client = await gate.connect()
        client.write(b"GET /x HTTP/1.0\r\n\r\n")  # not even a Host
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"ok")
        assert await client.at_end()
        await client.close()


async def test_one_backend_connection_serves_many_requests_of_many_clients() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        for _ in range(3):
            client = await gate.connect()
            for _ in range(4):
                assert (await ask(client, "POST", "/x", body=b"b")).status == 200
            await client.close()
    assert (len(backend.peers), len(backend.heads)) == (1, 12)


NOT_AGAIN = {
    "close": (reply(200, b"ok", "Connection: close"), 2),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 2),
    "HTTP/1.0 keep-alive": (
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
        1,
    ),
    "bytes after the body": (OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthief", 2),
    "both framings": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\n\r\n",
        2,
    ),
    "204": (b"HTTP/1.1 204 N\r\n\r\n", 1),
}


@pytest.mark.parametrize("case", NOT_AGAIN)
async def test_which_backend_connections_are_used_again(case: str) -> None:
    answer, connections = NOT_AGAIN[case]
    async with Backend(script(answer)) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for _ in range(2):
            got = await ask(client, "GET", "/x")
            assert got.body in (b"ok", b"")
        await client.close()
    assert len(backend.peers) == connections


async def test_no_more_connections_are_kept_than_allowed() -> None:
    handler = Gate(b"", OK)
    async with Backend(handler) as backend:
        config = '[[route]]\nto = "b"\n[upstream.b]\n'
        config += f'servers = ["{backend.url}"]\npool = {{ idle = 2 }}'
        async with gateway(routing({}, config)) as gate:
            clients = [await gate.connect() for _ in range(5)]
            for client in clients:
                send(client, "GET", "/x")
            await eventually(lambda: len(backend.heads) == 5)
            handler.go.set()
            for client in clients:
                assert (await client.answer()).status == 200
                await client.close()
            await eventually(lambda: is_settled(gate))
            assert [p.idle for p in gate.worker._pools.values()] == [2]
