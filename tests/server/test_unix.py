"""Unix sockets: clients that come by one, and servers that are reached by one."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness import OK, Backend, Client, Peer, gateway, routes
from tests.server.kit import attributes, number, reply, trace

GET = b"GET /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.9.9.9\r\n\r\n"


def listening(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    return sock


async def connect(path: Path) -> Client:
    return Client(*await asyncio.open_unix_connection(str(path)))


@contextlib.asynccontextmanager
async def server(path: Path, answer: bytes = OK) -> AsyncIterator[list[bytes]]:
    """The heads that a server at `path` got."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(answer)
        writer.close()

    made = await asyncio.start_unix_server(serve, str(path))
    try:
        yield heads
    finally:
        made.close()


async def test_a_client_comes_by_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "gw.sock"
    async with Backend() as backend, gateway(routes(backend), sock=listening(path)) as gate:
        client = await connect(path)
        client.write(GET)
        assert (await client.answer()).status == 200
        about = (await trace(gate)).about
        assert about["network.transport"] == "unix"
        assert "network.peer.address" not in about  # it has none
        assert backend.field("x-forwarded-for") == "10.9.9.9, unix"  # "unix" is trusted


async def test_forwarded_has_a_name_for_it(tmp_path: Path) -> None:
    path, config = tmp_path / "gw.sock", "[forwarding]\nforwarded = true\ntrust = []"
    async with Backend() as backend, gateway(routes(backend, more=config), sock=listening(path)):
        client = await connect(path)
        client.write(GET)
        await client.answer()
        assert backend.field("forwarded") == 'for=_unix;host="a";proto=http'


@pytest.mark.parametrize(
    ("trust", "believed"), [('["unix"]', True), ('["127.0.0.0/8"]', False), ("[]", False)]
)
async def test_it_is_believed_if_it_is_trusted(tmp_path: Path, trust: str, believed: bool) -> None:
    path = tmp_path / "gw.sock"
    config = f"[tracing]\ntrust = {trust}"
    async with (
        Backend() as backend,
        gateway(routes(backend, more=config), sock=listening(path)) as gate,
    ):
        client = await connect(path)
        parent = "0af7651916cd43dd8448eb211c80319c"
        client.write(GET[:-2] + f"traceparent: 00-{parent}-b7ad6b7169203331-01\r\n\r\n".encode())
        await client.answer()
        assert (backend.field("x-forwarded-for") == "10.9.9.9, unix") is believed
        assert ((await trace(gate)).server.trace_id.hex() == parent) is believed


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
async def test_curl(tmp_path: Path) -> None:
    path = tmp_path / "gw.sock"
    async with Backend() as backend, gateway(routes(backend), sock=listening(path)):
        curl = await asyncio.create_subprocess_exec(
            *("curl", "-sS", "--max-time", "10", "--unix-socket", str(path), "http://shop/x"),
            stdout=subprocess.PIPE,
        )
        assert (await curl.communicate())[0] == b"ok"
        assert backend.field("host") == "shop"


def to(path: Path, more: str = "") -> str:
    return f"""
[export]
otlp = "http://127.0.0.1:1"
[[route]]
to = "b"
[upstream.b]
servers = ["unix:{path}"]
{more}
"""


async def test_a_server_is_reached_by_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "orders.sock"
    async with server(path) as heads, gateway(to(path)) as gate:
        for _ in range(2):
            assert (await gate.get("/a?x=1")).status == 200
        assert b"\r\nhost: gateway.test\r\n" in heads[0].lower()
        seen = await trace_of_first(gate)
        assert seen["server.address"] == str(path) and "server.port" not in seen
        assert seen["network.transport"] == "unix"
        assert seen["network.peer.address"] == str(path)
        assert seen["url.full"] == "http://localhost/a?x=1"
        await gate.recorded.collect()
        assert number(gate, "spangate.upstream.connections.created") == 1  # kept and used again


async def trace_of_first(gate: object) -> dict[str, object]:
    from tests.server.kit import traces

    return dict((await traces(gate, 2))[0].tried[0])  # type: ignore[arg-type]


async def test_two_sockets_of_one_upstream_are_told_apart(tmp_path: Path) -> None:
    one, two = tmp_path / "1.sock", tmp_path / "2.sock"
    config = to(one).replace(f'"unix:{one}"', f'"unix:{one}", "unix:{two}"')
    async with server(one), server(two), gateway(config) as gate:
        for _ in range(2):
            await gate.get("/")
        clients = [attributes(s) for s in await gate.spans(4) if s.kind == 3]
        assert {c["server.address"] for c in clients} == {str(one), str(two)}


async def test_host_is_localhost_where_a_client_names_none(tmp_path: Path) -> None:
    path = tmp_path / "orders.sock"
    async with server(path) as heads, gateway(to(path)) as gate:
        await gate.exchange(b"GET / HTTP/1.0\r\n\r\n")
        assert b"\r\nhost: localhost\r\n" in heads[0].lower()


@pytest.mark.parametrize("exists", [False, True])
async def test_nobody_listens_there(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "orders.sock"
    if exists:
        listening(path).close()
    async with gateway(to(path)) as gate:
        assert (await gate.get("/")).status == 503
        seen = await trace(gate)
        assert seen.server.status.message.startswith(f"unix:{path}: ")
        assert seen.tried[0]["error.type"] == "connection_refused"


async def test_an_upload_with_back_pressure(tmp_path: Path) -> None:
    path, size = tmp_path / "orders.sock", 4 * 1024 * 1024

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-length" in head.lower()
        await reader.readexactly(size)
        writer.write(reply(200, b"z" * size))
        await writer.drain()
        writer.close()

    made = await asyncio.start_unix_server(serve, str(path))
    async with gateway(to(path)) as gate:
        client = await gate.connect()
        client.write(f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode())
        client.write(b"y" * size)
        assert (await client.answer()).body == b"z" * size
    made.close()


async def test_probes(tmp_path: Path) -> None:
    from proxy.config.model import Health, Upstream
    from proxy.http.proxy_header import ProxyHeader, ProxyHeaderReader
    from proxy.hub.probes import Key, Prober

    path = tmp_path / "orders.sock"
    changes: asyncio.Queue[dict[Key, bool]] = asyncio.Queue()
    prober = Prober(lambda found: changes.put_nowait(dict(found)))
    health = Health(every=0.01, fall=1)
    key = ("u", f"unix:{path}")
    async with server(path, reply(503)):
        await prober.configure({"u": Upstream(servers={key[1]: 1}, health=health)})
        assert await asyncio.wait_for(changes.get(), 10) == {key: False}
        await prober.stop()

    async with Backend() as backend:
        seen = asyncio.Event()

        async def handle(peer: Peer) -> None:
            peer.received = await peer.reader.readuntil(b" HTTP/1.1")
            seen.set()

        backend.handler = handle
        for version in ("v1", "v2"):
            seen.clear()
            prober = Prober(lambda found: None)
            upstream = Upstream(servers={backend.url: 1}, health=health, send_proxy=version)  # type: ignore[arg-type]
            await prober.configure({"u": upstream})
            await asyncio.wait_for(seen.wait(), 10)
            await prober.stop()
            reader = ProxyHeaderReader()
            assert reader.feed(backend.peers[-1].received) == ProxyHeader()
            assert reader.rest.startswith(b"GET /healthz ")
