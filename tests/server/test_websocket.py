"""WebSockets through the gateway, with real clients and servers, and what is told of them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from tests.harness import DEADLINE, Gateway, Peer, gateway
from tests.harness import Backend as RawBackend
from tests.server.kit import (
    CLIENT,
    ERROR,
    SERVER,
    UNSET,
    attributes,
    check_shape,
    eventually,
    is_settled,
    number,
    routing,
    trace,
    traces,
)

_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: gateway.test\r\nConnection: keep-alive, Upgrade\r\n"
    f"Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_KEY}\r\n\r\n"
).encode()
SWITCHED = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Accept: {_ACCEPT}\r\n\r\n"
).encode()

Serve = Callable[[ServerConnection], Awaitable[None]]


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


def config(port: int, route: str = "", more: str = "", top: str = "") -> str:
    chat = f'[[route]]\nname = "chat"\npath = "/*"\nto = "b"\n{route}'
    return top + "\n" + routing({"b": [f"http://127.0.0.1:{port}"]}, f"{more}\n{chat}")


@contextlib.asynccontextmanager
async def serving(
    handler: Serve = echo, route: str = "", more: str = "", top: str = "", **options: Any
) -> AsyncIterator[Gateway]:
    """A gateway before a server of the `websockets` library."""
    options = {"max_size": None, "compression": None, **options}
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        async with gateway(config(port, route, more, top)) as gate:
            yield gate


def dialled(gate: Gateway, path: str = "/ws", **options: Any) -> connect:
    options = {"max_size": None, "compression": None, "proxy": None, **options}
    return connect(f"ws://127.0.0.1:{gate.port}{path}", **options)


async def test_messages_both_ways_and_what_is_told_of_them() -> None:
    async with serving(more="[access_log]\nstdout = true") as gate:
        async with dialled(gate, subprotocols=["chat"]) as client:  # type: ignore[list-item]
            for size in (0, 1, 125, 126, 65_535, 65_536, 200_000):
                await client.send(b"x" * size)
                assert len(await client.recv()) == size
            await client.send(["frag", "ments", ""])
            assert await client.recv() == "fragments"
            await gate.recorded.collect()
            assert number(gate, "http.server.active_requests") == 1
        seen = await trace(gate)
        check_shape(seen)
        about = seen.about
        assert seen.server.name == "GET /*"
        assert seen.server.status.code == seen.clients[0].status.code == UNSET
        assert about["http.response.status_code"] == 101
        assert about["spangate.tunnel.messages_in"] == about["spangate.tunnel.messages_out"] == 8
        assert 331_000 < about["spangate.tunnel.bytes_out"] < about["spangate.tunnel.bytes_in"]
        assert about["spangate.tunnel.end"] == "client"
        assert about["websocket.close_code"] == 1000
        assert "error.type" not in about
        (tried,) = seen.tried
        assert tried["http.response.status_code"] == 101
        assert seen.clients[0].end_time_unix_nano <= seen.server.end_time_unix_nano
        await eventually(lambda: is_settled(gate))
        await gate.recorded.collect()
        assert number(gate, "http.server.active_requests") == 0
        ended = {"spangate_tunnel_end": "client", "spangate_tunnel_protocol": "websocket"}
        assert number(gate, "spangate.tunnels", **ended, spangate_route="chat") == 1
        (line,) = gate.recorded.lines
        assert b'"status":101' in line and b'"error":""' in line


async def test_handshakes_pass_untouched() -> None:
    """Subprotocol, extensions and cookies are matters of the two ends; so are refusals."""

    def pick(connection: ServerConnection, offered: Any) -> Any:
        return "b" if "b" in offered else None

    async with serving(compression="deflate", select_subprotocol=pick) as gate:
        extras = {"compression": "deflate", "subprotocols": ["a", "b"]}
        async with dialled(gate, additional_headers={"Cookie": "a=b"}, **extras) as client:
            assert client.subprotocol == "b"
            assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]  # type: ignore[union-attr]
            await client.send("x" * 10_000)
            assert await client.recv() == "x" * 10_000
        seen = await trace(gate)
        assert seen.about["spangate.tunnel.messages_out"] == 1


async def test_64_mib_and_pings() -> None:
    async with serving() as gate, dialled(gate, ping_interval=None) as client:
        whole = bytes(range(256)) * (256 * 1024)
        async with asyncio.timeout(DEADLINE):
            await client.send(whole)
            got = await client.recv()
            assert hashlib.sha256(got).digest() == hashlib.sha256(whole).digest()  # type: ignore[arg-type]
            for payload in (b"", b"p" * 125):
                await (await client.ping(payload))
        await client.close(4001, "bye")
        seen = await trace(gate)
        assert seen.about["spangate.tunnel.messages_in"] == 1
        assert seen.about["spangate.tunnel.bytes_in"] > 64 * 1024 * 1024
        assert seen.about["websocket.close_code"] == 4001


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
async def test_close_codes_of_the_server(code: int) -> None:
    async def close(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.close(code, "because")

    async with serving(close) as gate:
        async with dialled(gate) as client:
            await client.send("go")
            with pytest.raises(websockets.ConnectionClosed):
                await client.recv()
            assert (client.close_code, client.close_reason) == (code, "because")
        about = (await trace(gate)).about
        assert (about["spangate.tunnel.end"], about["websocket.close_code"]) == ("upstream", code)
        assert "error.type" not in about


async def test_aiohttp_s_client() -> None:
    async with serving() as gate, aiohttp.ClientSession() as session:
        async with session.ws_connect(f"http://127.0.0.1:{gate.port}/ws") as socket:
            await socket.send_bytes(b"a" * 100_000)
            assert (await socket.receive()).data == b"a" * 100_000
            await socket.send_str("é")
            assert (await socket.receive()).data == "é"
        about = (await trace(gate)).about
        assert about["spangate.tunnel.messages_in"] == about["spangate.tunnel.messages_out"] == 2


# ends that are none of a WebSocket's


async def upgraded(peer: Peer) -> None:
    await peer.head()
    peer.write(SWITCHED)


async def open_raw(gate: Gateway) -> Any:
    client = await gate.connect()
    client.write(HANDSHAKE)
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
    return client


async def test_a_client_that_resets() -> None:
    gone = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await upgraded(peer)
        with contextlib.suppress(ConnectionError):
            await peer.reader.read()
        gone.set()

    async with RawBackend(handler) as backend, gateway(config(backend.port)) as gate:
        client = await open_raw(gate)
        client.vanish()
        async with asyncio.timeout(DEADLINE):
            await gone.wait()
        seen = await trace(gate)
        about = seen.about
        assert about["spangate.tunnel.end"] == "client_reset"
        assert about["websocket.close_code"] == 1006
        assert seen.server.status.code == UNSET and seen.clients[0].status.code == UNSET
        assert about["http.response.status_code"] == 101
        await eventually(lambda: is_settled(gate))


async def test_an_upstream_that_resets() -> None:
    async def handler(peer: Peer) -> None:
        await upgraded(peer)
        await peer.body(4)
        peer.reset()

    async with RawBackend(handler) as backend, gateway(config(backend.port)) as gate:
        client = await open_raw(gate)
        client.write(b"\x81\x82abcd")
        assert await client.at_end()
        seen = await trace(gate)
        assert seen.about["spangate.tunnel.end"] == "upstream_reset"
        assert seen.about["websocket.close_code"] == 1006
        assert seen.server.status.code == UNSET
        await eventually(lambda: is_settled(gate))


async def test_an_end_without_a_close_frame_and_both_half_closes() -> None:
    got: list[bytes] = []

    async def handler(peer: Peer) -> None:
        await upgraded(peer)
        got.append(await peer.reader.read())
        peer.write(b"\x81\x02hi")

    async with RawBackend(handler) as backend, gateway(config(backend.port)) as gate:
        client = await open_raw(gate)
        client.write(b"\x81\x80abcd")
        client.writer.write_eof()
        assert await client.read_all() == b"\x81\x02hi"
        about = (await trace(gate)).about
        assert got == [b"\x81\x80abcd"]
        assert (about["spangate.tunnel.end"], about["websocket.close_code"]) == ("client", 1006)
        assert (about["spangate.tunnel.bytes_in"], about["spangate.tunnel.bytes_out"]) == (6, 4)
        await eventually(lambda: is_settled(gate))


async def test_a_client_that_shuts_its_end_before_the_101() -> None:
    got: list[bytes] = []

    async def handler(peer: Peer) -> None:
        await upgraded(peer)
        got.append(await peer.reader.read())
        peer.write(b"\x81\x02hi")

    async with RawBackend(handler) as backend, gateway(config(backend.port)) as gate:
        client = await gate.connect()
        client.write(HANDSHAKE + b"early")
        client.writer.write_eof()
        assert (await client.read_all()).endswith(b"\r\n\r\n\x81\x02hi")
        assert got == [b"early"]
        await eventually(lambda: is_settled(gate))


async def test_what_comes_early_is_held_until_the_101() -> None:
    go = asyncio.Event()
    early = b"early " * 50_000

    async def handler(peer: Peer) -> None:
        await peer.head()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.reader.read(1), 0.2)
        go.set()
        peer.write(SWITCHED)
        assert await peer.body(len(early)) == early
        peer.write(b"all")

    async with RawBackend(handler) as backend, gateway(config(backend.port)) as gate:
        client = await gate.connect()
        client.write(HANDSHAKE + early)
        assert (await client.head()).startswith(b"HTTP/1.1 101")
        async with asyncio.timeout(DEADLINE):
            assert await client.reader.readexactly(3) == b"all"
        assert go.is_set()


async def test_silence_ends_it_and_words_keep_it() -> None:
    async with serving(route='idle_timeout = "1s"\ntimeout = "1s"') as gate:
        async with dialled(gate, ping_interval=None) as client:
            for _ in range(12):  # longer than both limits, and never silent for as long
                await client.send("x")
                await client.recv()
                await asyncio.sleep(0.1)
            with pytest.raises(websockets.ConnectionClosedError):
                await client.recv()
        about = (await trace(gate)).about
        assert about["spangate.tunnel.end"] == "idle_timeout"
        assert about["websocket.close_code"] == 1006
        assert about["spangate.tunnel.messages_in"] == 12


async def test_a_drain_waits_for_it_and_then_cuts_it() -> None:
    async with serving(top='drain_timeout = "300ms"') as gate:
        async with dialled(gate) as client:
            gate.worker.drain()
            await client.send("still")
            assert await client.recv() == "still"
            with pytest.raises(websockets.ConnectionClosedError):
                await client.recv()
        await eventually(lambda: gate.worker.stopped.is_set())
        gate.recorded.read()
        (server,) = [s for s in gate.recorded.spans if s.kind == SERVER]
        assert attributes(server)["spangate.tunnel.end"] == "shutdown"


async def test_a_client_that_never_reads_costs_little_and_hinders_nobody() -> None:
    sent = 0

    async def flood(socket: ServerConnection) -> None:
        nonlocal sent
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await socket.send(bytes(65_536))
                sent += 1

    async with serving(flood) as gate:
        client = await open_raw(gate)
        client.writer.transport.pause_reading()
        before = -1
        async with asyncio.timeout(DEADLINE):
            while before != sent:
                before = sent
                await asyncio.sleep(0.3)
        assert 0 < sent * 65_536 < 16 * 1024 * 1024  # what kernels hold
        (ours,) = gate.worker._connections
        assert ours.transport.get_write_buffer_size() < 512 * 1024
        async with dialled(gate) as other:
            assert len(await other.recv()) == 65_536
        client.vanish()
        await eventually(lambda: is_settled(gate))


async def test_a_reload_does_not_cut_it() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with gateway(config(port)) as gate, dialled(gate) as client:
            await gate.reload(config(port, 'timeout = "9s"'))
            await client.send("x")
            assert await client.recv() == "x"


# what is no tunnel


@pytest.mark.parametrize(
    ("route", "lines", "status", "fields"),
    [
        ("upgrade = []", (), 426, {"upgrade": "HTTP/1.1"}),
        ('upgrade = ["foo"]', (), 426, {"upgrade": "foo"}),
        ("", ("Sec-WebSocket-Version: 8",), 426, {"sec-websocket-version": "13"}),
        ("", ("Sec-WebSocket-Key: short",), 400, {}),
    ],
)
async def test_what_is_refused_is_told_apart(
    route: str, lines: tuple[str, ...], status: int, fields: dict[str, str]
) -> None:
    async def never(peer: Peer) -> None:
        raise AssertionError

    async with (
        RawBackend(never) as backend,
        gateway(config(backend.port, route, "[access_log]\nstdout = true")) as gate,
    ):
        head = HANDSHAKE.decode()
        for line in lines:
            name = line.partition(":")[0]
            head = "\r\n".join(line if x.startswith(name) else x for x in head.split("\r\n"))
        client = await gate.connect()
        client.write(head.encode() + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.answer()
        assert answer.status == status
        assert fields.items() <= {n: answer[n] for n in fields}.items()
        assert await client.at_end()
        seen = await trace(gate)
        assert seen.server.status.code == UNSET and not seen.clients
        assert seen.about.get("error.type") == ("upgrade_refused" if status == 426 else None)
        if status == 426:
            duration = {"error_type": "upgrade_refused", "http_response_status_code": 426}
            await gate.recorded.collect()
            assert number(gate, "http.server.request.duration", **duration) == 1
            (line,) = gate.recorded.lines
            assert '"error":"upgrade_refused"' in line.decode()
        assert not backend.peers


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (SWITCHED.replace(_ACCEPT.encode(), b"x" * 28), "upgrade_failed"),
        (SWITCHED.replace(b"Upgrade: websocket", b"Upgrade: foo"), "upgrade_failed"),
        (SWITCHED.replace(b"Upgrade: websocket\r\n", b""), "bad_response"),
    ],
)
async def test_a_101_that_is_not_the_answer(answer: bytes, error: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        peer.write(answer + b"\x81\x02hi")
        await peer.rest()

    async with RawBackend(handler) as backend, gateway(config(backend.port)) as gate:
        client = await gate.connect()
        client.write(HANDSHAKE)
        told = await client.answer()
        assert told.status == 502
        assert ("http_upgrade_failed" in told["proxy-status"]) == (error == "upgrade_failed")
        assert await client.at_end()
        seen = await trace(gate)
        assert seen.about["error.type"] == seen.tried[0]["error.type"] == error
        assert seen.server.status.code == ERROR
        await eventually(lambda: is_settled(gate))


async def test_a_101_without_connection_is_one() -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        peer.write(SWITCHED.replace(b"Connection: Upgrade\r\n", b""))
        peer.write(await peer.body(2))

    async with RawBackend(handler) as backend, gateway(config(backend.port)) as gate:
        client = await open_raw(gate)
        client.write(b"\x89\x00")
        async with asyncio.timeout(DEADLINE):
            assert await client.reader.readexactly(2) == b"\x89\x00"


@pytest.mark.parametrize("status", [200, 401, 404, 426])
async def test_another_answer_stays_http_and_ends_both_connections(status: int) -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        peer.write(b"HTTP/1.1 %d No\r\nContent-Length: 2\r\nUpgrade: foo\r\n\r\nno" % status)
        assert await peer.rest() == b""

    async with RawBackend(handler) as backend, gateway(config(backend.port)) as gate:
        client = await gate.connect()
        client.write(HANDSHAKE + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.body, answer["connection"]) == (status, b"no", "close")
        assert await client.at_end()
        await eventually(lambda: is_settled(gate))
        assert not any(pool.idle for pool in gate.worker._pools.values())
        assert b"smuggled" not in b"".join(peer.received for peer in backend.peers)
        assert "spangate.tunnel.end" not in (await trace(gate)).about


async def test_only_the_protocol_that_is_taken_is_asked_for() -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        peer.write(b"HTTP/1.1 101 S\r\nUpgrade: spdy/3.1\r\nConnection: upgrade\r\n\r\n")
        peer.write(await peer.body(4))

    route = 'upgrade = ["SPDY/3.1"]'
    async with RawBackend(handler) as backend, gateway(config(backend.port, route)) as gate:
        client = await gate.connect()
        client.write(
            b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
            b"Upgrade: h2c, websocket, SPDY/3.1\r\n\r\nwild"
        )
        assert (await client.head()).startswith(b"HTTP/1.1 101")
        async with asyncio.timeout(DEADLINE):
            assert await client.reader.read() == b"wild"
        await client.close()
        assert backend.field("upgrade") == "SPDY/3.1"
        about = (await trace(gate)).about
        assert "websocket.close_code" not in about
        assert about["spangate.tunnel.bytes_in"] == 4


# CONNECT


async def test_connect_goes_to_the_upstream_where_a_route_says_so() -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        peer.write(b"HTTP/1.1 200 Connected\r\nContent-Length: 7\r\n\r\n")
        peer.write(await peer.body(4))

    route = "connect = true"
    async with RawBackend(handler) as backend, gateway(config(backend.port, route)) as gate:
        client = await gate.connect()
        client.write(b"CONNECT db.test:5432 HTTP/1.1\r\nHost: db.test:5432\r\n\r\nwild")
        head = await client.head()
        assert head.startswith(b"HTTP/1.1 200 ") and b"content-length" not in head.lower()
        async with asyncio.timeout(DEADLINE):
            assert await client.reader.read() == b"wild"
        await client.close()
        assert backend.heads[0].startswith(b"CONNECT db.test:5432 HTTP/1.1\r\n")
        assert backend.field("host") == "db.test:5432"
        about = (await trace(gate)).about
        assert about["http.request.method"] == "CONNECT"
        assert about["spangate.tunnel.end"] == "upstream"


@pytest.mark.parametrize("other", ["", '[[route]]\nhost = "x"\nconnect = true\nto = "b"\n'])
async def test_connect_elsewhere_is_refused(other: str) -> None:
    async def never(peer: Peer) -> None:
        raise AssertionError

    async with RawBackend(never) as backend, gateway(config(backend.port, "", other)) as gate:
        client = await gate.connect()
        client.write(
            b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        answer = await client.answer()
        assert answer.status == 405 and "GET" in answer["allow"]
        assert await client.at_end()
        assert not backend.peers


async def test_a_refused_connect_is_an_answer_like_others() -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        peer.write(b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno")
        await peer.rest()

    route = "connect = true"
    async with RawBackend(handler) as backend, gateway(config(backend.port, route)) as gate:
        client = await gate.connect()
        client.write(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.body) == (407, b"no")
        assert await client.at_end()


async def test_each_websocket_has_a_trace_of_its_own() -> None:
    async with serving() as gate:
        clients: list[ClientConnection] = [await dialled(gate) for _ in range(20)]
        for client in clients:
            await client.send("x")
        for client in clients:
            await client.recv()
            await client.close()
        seen = await traces(gate, 20)
        assert len({t.server.trace_id for t in seen}) == 20
        assert all(c.kind == CLIENT for t in seen for c in t.clients)
