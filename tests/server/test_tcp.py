"""Connections that are passed on as bytes: over TCP, and TLS by the name that is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.harness import DEADLINE, Backend, Gateway, Peer, gateway
from tests.ports import free_port
from tests.server import tls_kit
from tests.server.kit import (
    CLIENT,
    ERROR,
    SERVER,
    UNSET,
    attributes,
    eventually,
    eventually_collected,
    is_settled,
    number,
    refusing,
    trace,
)
from tests.server.test_tls import rest, shaken

EXPORT = '[export]\notlp = "http://127.0.0.1:1"\n[access_log]\nstdout = true\n'


def config(url: str, route: str = "", protocol: str = "tcp", more: str = "") -> str:
    return f"""{more}
[[listen]]
address = ":5432"
name = "pg"
protocol = "{protocol}"
{EXPORT}
[[route]]
name = "db"
to = "b"
when = {{ listener = "pg" }}
{route}
[upstream.b]
servers = {url if url.startswith("[") else [url]}
"""


def tcp(backend: Backend) -> str:
    return f"tcp://127.0.0.1:{backend.port}"


async def echo(peer: Peer) -> None:
    while data := await peer.reader.read(65_536):
        peer.write(data)
        await peer.writer.drain()


async def test_bytes_both_ways_and_what_is_told_of_them() -> None:
    async with Backend(echo) as backend, gateway(config(tcp(backend))) as gate:
        client = await gate.connect()
        blob = bytes(range(256)) * 4096
        client.write(blob)
        async with asyncio.timeout(DEADLINE):
            assert await client.reader.readexactly(len(blob)) == blob
        await gate.recorded.collect()
        assert number(gate, "spangate.streams.active", spangate_listener="pg") == 1
        client.writer.write_eof()
        assert await client.read_all() == b""
        seen = await trace(gate)
        assert seen.server.name == "tcp pg" and seen.server.kind == SERVER
        assert seen.server.status.code == UNSET
        about = seen.about
        assert about["network.transport"] == "tcp"
        assert about["network.peer.address"] == about["client.address"] == "127.0.0.1"
        assert about["network.peer.port"] == client.writer.get_extra_info("sockname")[1]
        assert about["spangate.tunnel.bytes_in"] == about["spangate.tunnel.bytes_out"] == len(blob)
        assert about["spangate.tunnel.end"] == "client"
        assert about["spangate.listener"] == "pg" and about["spangate.route"] == "db"
        assert not [key for key in about if key.startswith(("http.", "url."))]
        (tried,) = seen.tried
        assert seen.clients[0].name == "tcp b" and seen.clients[0].kind == CLIENT
        assert tried["server.address"] == "127.0.0.1" and tried["server.port"] == backend.port
        assert tried["network.peer.port"] == backend.port
        assert tried["spangate.upstream"] == tried["peer.service"] == "b"
        assert seen.clients[0].trace_id == seen.server.trace_id
        await eventually(lambda: is_settled(gate))
        await gate.recorded.collect()
        assert number(gate, "spangate.streams.active") == 0
        ended = {"spangate_tunnel_end": "client", "spangate_route": "db"}
        assert number(gate, "spangate.streams", **ended) == 1
        received = number(gate, "spangate.streams.io", network_io_direction="receive")
        assert received == len(blob)
        assert number(gate, "http.server.active_requests") == 0
        (line,) = gate.recorded.lines
        told = json.loads(line)
        assert told["listener"] == "pg" and told["bytes_in"] == len(blob)
        assert told["upstream"] == "b" and told["end"] == "client"


async def test_a_server_that_speaks_first_and_one_that_only_does() -> None:
    async def greet(peer: Peer) -> None:
        peer.write(b"220 ready\r\n")
        await peer.writer.drain()
        peer.writer.write_eof()
        assert await peer.reader.read() == b"QUIT\r\n"

    async with Backend(greet) as backend, gateway(config(tcp(backend))) as gate:
        for _ in range(20):
            client = await gate.connect()
            assert await client.read_all() == b"220 ready\r\n"
            client.write(b"QUIT\r\n")
            await client.close()
        await eventually(lambda: is_settled(gate))
        assert (await gate.spans(2))[0].status.code == UNSET


async def test_the_short_form_says_the_upstream_on_the_listener() -> None:
    async with Backend(echo) as backend:
        short = f"""
[[listen]]
address = ":5432"
protocol = "tcp"
to = "b"
{EXPORT}
[[route]]
respond = 204
[upstream.b]
servers = ["{tcp(backend)}"]
"""
        async with gateway(short) as gate:
            client = await gate.connect()
            client.write(b"x")
            assert await client.reader.readexactly(1) == b"x"
            await client.close()
            assert (await trace(gate)).server.name == "tcp :5432"


async def test_a_server_that_refuses_resets_the_client_and_is_told() -> None:
    with refusing() as url:
        async with gateway(config(url.replace("http", "tcp"))) as gate:
            client = await gate.connect()
            with pytest.raises(ConnectionResetError):
                await client.reader.read()
            seen = await trace(gate)
            assert seen.server.status.code == seen.clients[0].status.code == ERROR
            assert seen.about["error.type"] == seen.tried[0]["error.type"] == "connection_refused"
            assert seen.about["spangate.tunnel.end"] == "not_connected"
            assert "refused" in seen.server.status.message
            await eventually(lambda: is_settled(gate))


async def test_another_server_is_tried() -> None:
    with refusing() as url:
        async with Backend(echo) as backend:
            servers = f'["{url.replace("http", "tcp")}", "{tcp(backend)}"]'
            async with gateway(config(servers, "retry = 1")) as gate:
                for _ in range(4):
                    client = await gate.connect()
                    client.write(b"held while it is dialled")
                    assert await client.reader.readexactly(24) == b"held while it is dialled"
                    await client.close()

                def retried() -> list[Any]:
                    spans = [attributes(s) for s in gate.recorded.spans if s.kind == CLIENT]
                    return [a for a in spans if "spangate.retry.reason" in a]

                await eventually_collected(gate, retried)
                assert retried()[0]["spangate.retry.reason"] == "connection_refused"


async def test_nobody_is_up() -> None:
    async with Backend(echo) as backend, gateway(config(tcp(backend))) as gate:
        (endpoint,) = gate.worker.upstreams.endpoints()
        gate.worker.upstreams["b"].update(endpoint.url, up=False)
        client = await gate.connect()
        assert await client.at_end()
        assert (await trace(gate)).about["error.type"] == "no_endpoint"


async def test_resets_go_through() -> None:
    reset = asyncio.Event()

    async def handler(peer: Peer) -> None:
        if await peer.body(1) == b"r":
            peer.reset()
            return
        with pytest.raises(ConnectionResetError):
            await peer.reader.read()
        reset.set()

    async with Backend(handler) as backend, gateway(config(tcp(backend))) as gate:
        client = await gate.connect()
        client.write(b"r")
        with pytest.raises(ConnectionResetError):
            await client.read_all()
        seen = await trace(gate)
        assert seen.about["spangate.tunnel.end"] == "upstream_reset"
        assert seen.server.status.code == UNSET
        gate.recorded.spans.clear()
        client = await gate.connect()
        client.write(b"c")
        await eventually(lambda: len(backend.peers) == 2 and backend.peers[1].received)
        client.vanish()
        async with asyncio.timeout(DEADLINE):
            await reset.wait()
        assert (await trace(gate)).about["spangate.tunnel.end"] == "client_reset"
        await eventually(lambda: is_settled(gate))


async def test_a_reset_goes_through_also_where_the_other_end_has_said_its_end() -> None:
    reset = asyncio.Event()

    async def handler(peer: Peer) -> None:
        if await peer.body(1) == b"r":
            assert await peer.reader.read() == b""
            peer.reset()
            return
        peer.write(b"bye")
        peer.writer.write_eof()
        with pytest.raises(ConnectionResetError):
            await peer.reader.read()
        reset.set()

    async with Backend(handler) as backend, gateway(config(tcp(backend))) as gate:
        client = await gate.connect()
        client.write(b"r")
        client.writer.write_eof()
        with pytest.raises(ConnectionResetError):
            await client.read_all()
        client = await gate.connect()
        client.write(b"c")
        assert await client.read_all() == b"bye"
        client.vanish()
        async with asyncio.timeout(DEADLINE):
            await reset.wait()
        await eventually(lambda: is_settled(gate))


async def test_silence_ends_it() -> None:
    route = 'idle_timeout = "200ms"'
    async with Backend(echo) as backend, gateway(config(tcp(backend), route)) as gate:
        client = await gate.connect()
        assert await client.at_end()
        assert (await trace(gate)).about["spangate.tunnel.end"] == "idle_timeout"


async def test_a_stream_timeout_ends_what_is_not_silent() -> None:
    route = 'stream_timeout = "1s"\nidle_timeout = "0s"'
    async with Backend(echo) as backend, gateway(config(tcp(backend), route)) as gate:
        client = await gate.connect()
        client.write(b"a")
        assert await client.reader.readexactly(1) == b"a"
        assert await client.at_end()
        assert (await trace(gate)).about["spangate.tunnel.end"] == "stream_timeout"


async def test_a_drain_waits_and_then_cuts() -> None:
    more = 'drain_timeout = "1s"'
    async with Backend(echo) as backend, gateway(config(tcp(backend), more=more)) as gate:
        client = await gate.connect()
        client.write(b"a")
        assert await client.reader.readexactly(1) == b"a"
        gate.worker.drain()
        client.write(b"b")
        assert await client.reader.readexactly(1) == b"b"
        assert await client.at_end()
        await eventually(lambda: gate.worker.stopped.is_set())
        gate.recorded.read()
        (server,) = [s for s in gate.recorded.spans if s.kind == SERVER]
        assert attributes(server)["spangate.tunnel.end"] == "shutdown"


async def test_whoever_takes_nothing_holds_the_other_back() -> None:
    go = asyncio.Event()
    size = 8 * 1024 * 1024

    async def handler(peer: Peer) -> None:
        await go.wait()
        peer.write(b"%d" % len(await peer.reader.read()))

    async with Backend(handler) as backend, gateway(config(tcp(backend))) as gate:
        client = await gate.connect()
        client.write(bytes(size))
        client.writer.write_eof()
        await eventually(
            lambda: any(c.reading_paused for c in gate.worker._connections)  # type: ignore[attr-defined]
        )
        go.set()
        assert await client.read_all() == b"%d" % size


async def test_too_many_connections_are_closed_and_counted() -> None:
    more = "limits.connections = 1"
    async with Backend(echo) as backend, gateway(config(tcp(backend), more=more)) as gate:
        first = await gate.connect()
        first.write(b"x")
        assert await first.reader.readexactly(1) == b"x"
        assert await (await gate.connect()).at_end()
        await gate.recorded.collect()
        assert number(gate, "spangate.rejected", spangate_reason="tcp_too_many") == 1


# TLS that is not decrypted


class Certified:
    """Two TLS servers, whose names choose them."""

    def __init__(self, names: list[str]) -> None:
        self._authority = trustme.CA()
        self.names = names
        self.backends: list[asyncio.Server] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[list[int]]:
        ports = []
        for name in self.names:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._authority.issue_cert(name).configure_cert(context)

            async def serve(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = name
            ) -> None:
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    writer.write(name.encode() + b" " + await reader.readline())
                    await writer.drain()
                writer.close()

            server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
            self.backends.append(server)
            ports.append(server.sockets[0].getsockname()[1])
        try:
            yield ports
        finally:
            for server in self.backends:
                server.close()

    async def ask(self, gate: Gateway, name: str) -> bytes:
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", gate.port, ssl=context, server_hostname=name
            )
            writer.write(b"hello\n")
            answer = await reader.read()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        return answer


def by_name(ports: list[int], more: str = "") -> str:
    return f"""{more}
[[listen]]
address = ":8443"
name = "edge"
protocol = "tls"
{EXPORT}
[[route]]
name = "first"
host = "a.example"
to = "a"
when = {{ listener = "edge" }}
[[route]]
name = "wild"
host = "*.example"
to = "b"
when = {{ listener = "edge" }}
[[route]]
name = "requests"
path = "/*"
respond = 204
[upstream.a]
servers = ["tcp://127.0.0.1:{ports[0]}"]
[upstream.b]
servers = ["tcp://127.0.0.1:{ports[1]}"]
"""


async def test_the_server_name_chooses_and_nothing_is_decrypted() -> None:
    certified = Certified(["a.example", "b.example"])
    async with certified.running() as ports, gateway(by_name(ports)) as gate:
        assert await certified.ask(gate, "a.example") == b"a.example hello\n"
        assert await certified.ask(gate, "b.example") == b"b.example hello\n"
        await eventually_collected(gate, lambda: len(gate.recorded.spans) == 4)
        servers = [attributes(s) for s in gate.recorded.spans if s.kind == SERVER]
        assert [s["spangate.route"] for s in servers] == ["first", "wild"]
        assert [s["server.address"] for s in servers] == ["a.example", "b.example"]
        assert {s.name for s in gate.recorded.spans if s.kind == SERVER} == {"tcp edge"}


async def hello(name: str | None) -> bytes:
    """A ClientHello by Python's own TLS."""
    context = ssl.create_default_context()
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (hello(None), "tls_no_server_name"),
        (hello("else.test"), "tls_no_route"),
        (b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "tls_not_tls"),
        (b"\x16\x03\x01\x00", "tls_timeout"),
        (b"", "tls_timeout"),
    ],
    ids=["no name", "no route", "not TLS", "half a hello", "nothing"],
)
async def test_what_cannot_be_passed_on_is_closed_and_counted(sent: Any, reason: str) -> None:
    data = sent if isinstance(sent, bytes) else await sent
    async with Backend() as backend:
        more = 'limits.header_timeout = "300ms"'
        async with gateway(by_name([backend.port] * 2, more)) as gate:
            client = await gate.connect()
            client.write(data)
            assert await client.at_end()
            await eventually_collected(
                gate, lambda: number(gate, "spangate.rejected", spangate_reason=reason) == 1
            )
            assert not backend.peers and not gate.recorded.spans
            await eventually(lambda: is_settled(gate))


async def test_a_hello_byte_by_byte() -> None:
    async def count(peer: Peer) -> None:
        peer.write(b"%d" % len(await peer.body(len(data))))

    data = await hello("a.example")
    async with Backend(count) as backend, gateway(by_name([backend.port] * 2)) as gate:
        client = await gate.connect()
        for byte in data:
            client.write(bytes([byte]))
            await client.writer.drain()
        assert await client.read_all() == b"%d" % len(data)


async def test_tls_that_ends_here_before_bytes_are_passed_on(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("pg.example")
    pem = tmp_path / "pg.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(str(pem))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with Backend(echo) as backend:
        text = config(tcp(backend)).replace(
            'protocol = "tcp"', f'protocol = "tcp"\ntls = {{ cert = "{pem}", key = "{pem}" }}'
        )
        async with gateway(text) as gate, asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", gate.port, ssl=context, server_hostname="pg.example"
            )
            writer.write(b"x" * 100_000)
            assert await reader.readexactly(100_000) == b"x" * 100_000
            writer.close()
            seen = await trace(gate)
            assert seen.about["spangate.tunnel.bytes_in"] == 100_000
            assert seen.about["network.peer.address"] == "127.0.0.1"
            await eventually(lambda: is_settled(gate))


@pytest.mark.parametrize("records", [1, 8])
async def test_a_client_with_tls_ends_after_its_server(tmp_path: Path, records: int) -> None:
    """Its close_notify comes after ours, and is an end as any other."""
    told: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    sent = b"x" * 16_000 * records

    async def handler(peer: Peer) -> None:
        peer.write(b"bye")
        peer.writer.write_eof()
        try:
            told.set_result(await peer.reader.read())
        except ConnectionError as error:
            told.set_exception(error)

    async with Backend(handler) as backend:
        text = config(tcp(backend)).replace('address = ":5432"', "", 1)
        text = text.replace("[[listen]]", tls_kit.listening(tmp_path), 1)
        async with gateway(text) as gate, asyncio.timeout(DEADLINE):
            sock, talk, out = await shaken(gate)
            assert await rest(sock, talk) == b"bye"
            talk.write(sent)
            with contextlib.suppress(ssl.SSLWantReadError):
                talk.unwrap()
            await asyncio.get_running_loop().sock_sendall(sock, out.read())
            sock.shutdown(socket.SHUT_WR)
            assert await told == sent
            await eventually(lambda: is_settled(gate))
            sock.close()


@pytest.mark.parametrize("offered", [[], ["imap"], ["h2", "http/1.1"]])
async def test_no_protocol_is_agreed_on_for_bytes(tmp_path: Path, offered: list[str]) -> None:
    cert, key = tls_kit.write(tmp_path, "pg", "gateway.test")
    async with Backend(echo) as backend:
        text = config(tcp(backend)).replace(
            'protocol = "tcp"', f'protocol = "tcp"\ntls = {{ cert = "{cert}", key = "{key}" }}'
        )
        async with gateway(text) as gate, asyncio.timeout(DEADLINE):
            context = tls_kit.trusting()
            if offered:
                context.set_alpn_protocols(offered)
            client = await tls_kit.connect(gate, context)
            agreed = client.writer.get_extra_info("ssl_object").selected_alpn_protocol()
            assert agreed is None
            client.write(b"a1 NOOP\r\n")
            assert await client.reader.readexactly(9) == b"a1 NOOP\r\n"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_openssl_s_client_and_server(tmp_path: Path) -> None:
    authority = trustme.CA()
    pem = tmp_path / "server.pem"
    authority.issue_cert("a.example").private_key_and_cert_chain_pem.write_to_path(str(pem))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    port = free_port()
    words = ["s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(pem), "-rev", "-quiet"]
    server = await asyncio.create_subprocess_exec("openssl", *words)
    try:
        async with gateway(by_name([port] * 2)) as gate:
            words = ["s_client", "-connect", f"127.0.0.1:{gate.port}", "-servername", "a.example"]
            words += ["-CAfile", str(tmp_path / "ca.pem"), "-verify_return_error", "-quiet"]
            async with asyncio.timeout(DEADLINE):
                while True:
                    client = await asyncio.create_subprocess_exec(
                        "openssl",
                        *words,
                        stdin=asyncio.subprocess.PIPE,
                        stdout=asyncio.subprocess.PIPE,
                        stderr=asyncio.subprocess.DEVNULL,
                    )
                    assert client.stdin is not None and client.stdout is not None
                    client.stdin.write(b"reversed\n")
                    answer = await client.stdout.readline()
                    if answer:
                        break
                    await client.wait()  # the server was not there yet
                client.stdin.close()
                client.terminate()
                await client.wait()
            assert answer == b"desrever\n"
    finally:
        server.terminate()
        await server.wait()


async def test_the_server_is_told_of_the_client_by_a_proxy_header() -> None:
    async def handler(peer: Peer) -> None:
        peer.write(await peer.reader.readuntil(b"\r\n") + await peer.body(1))

    async with Backend(handler) as backend:
        text = config(tcp(backend)) + 'send_proxy = "v1"\n'
        async with gateway(text) as gate:
            client = await gate.connect()
            client.write(b"x")
            async with asyncio.timeout(DEADLINE):
                told = await client.reader.readuntil(b"x")
            port = client.writer.get_extra_info("sockname")[1]
            assert told == b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\nx" % (port, gate.port)
