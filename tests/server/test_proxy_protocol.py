"""PROXY headers from clients and to upstreams, through a running worker."""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
from pathlib import Path

import pytest

from proxy.http.proxy_header import SIGNATURE, ProxyHeader, ProxyHeaderReader, encode
from tests.harness import Backend, Gateway, Peer, gateway, routes
from tests.http.test_proxy_header import V4, tlv, v2
from tests.ports import free_port
from tests.server.kit import Gate, eventually, is_settled, number, trace

CLIENT, SERVER = ("192.0.2.1", 56324), ("198.51.100.1", 443)
LISTEN = """
[[listen]]
address = ":8080"
proxy_protocol = true
{}
"""
GET = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def proxied(backend: Backend, more: str = "") -> str:
    return routes(backend, more=LISTEN.format(more))


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_the_client_is_the_one_that_the_header_names(version: str) -> None:
    async with Backend() as backend, gateway(proxied(backend)) as gate:
        answer = await gate.exchange(encode(version, CLIENT, SERVER) + GET)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert backend.field("x-forwarded-for") == "192.0.2.1"
        about = (await trace(gate)).about
        assert about["client.address"] == about["network.peer.address"] == "192.0.2.1"
        assert about["network.peer.port"] == 56324
        await gate.recorded.collect()
        assert number(gate, "spangate.downstream.connections") == 1


async def test_nobody_behind_a_load_balancer_is_trusted_because_of_it() -> None:
    forged = b"GET /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.9.9.9\r\n\r\n"
    async with Backend() as backend, gateway(proxied(backend)) as gate:
        client = await gate.connect()
        client.write(encode("v2", CLIENT, SERVER) + forged)
        await client.answer()
        assert backend.field("x-forwarded-for") == "192.0.2.1"
        other = await gate.connect()
        other.write(encode("v2", ("10.0.0.7", 1), SERVER) + forged)  # in a trusted network itself
        await other.answer()
        assert backend.field("x-forwarded-for") == "10.9.9.9, 10.0.0.7"


async def test_byte_by_byte_and_then_a_kept_connection() -> None:
    async with Backend() as backend, gateway(proxied(backend)) as gate:
        client = await gate.connect()
        for byte in encode("v1", CLIENT, SERVER) + GET.replace(b"close", b"keep-alive"):
            client.write(bytes((byte,)))
            await asyncio.sleep(0)
        assert (await client.answer()).status == 200
        client.write(GET)
        assert (await client.answer()).status == 200
        assert backend.field("x-forwarded-for") == "192.0.2.1"


async def test_the_connection_s_own_addresses_count_where_the_header_names_none() -> None:
    local = SIGNATURE + b"\x20\0\0\0"
    for header in (local, b"PROXY UNKNOWN\r\n"):
        async with Backend() as backend, gateway(proxied(backend)) as gate:
            await gate.exchange(header + GET)
            assert backend.field("x-forwarded-for") == "127.0.0.1"


async def test_a_unique_id_is_kept() -> None:
    header = v2(0x11, V4, tlv(5, b"req-1"))
    async with Backend() as backend, gateway(proxied(backend)) as gate:
        await gate.exchange(header + GET)
        about = (await trace(gate)).about
        assert about["spangate.proxy_protocol.unique_id"] == "req-1"


@pytest.mark.parametrize(
    ("data", "more", "reason"),
    [
        (GET, "", "missing"),
        (b"\x16\x03\x01\x02\x00\x01", "", "missing"),
        (b"PROXY TCP4 a b 1 2\r\n" + GET, "", "malformed"),
        (v2(0x11, V4, tlv(3, b"oops")) + GET, "", "checksum"),
        (v2(0x12, V4) + GET, "", "unsupported"),
        (encode("v1", CLIENT, SERVER) + GET, 'trust = ["10.0.0.0/8"]', "untrusted"),
    ],
)
async def test_whoever_does_otherwise_is_closed(
    data: bytes, more: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Backend() as backend, gateway(proxied(backend, more)) as gate:
        with caplog.at_level(logging.WARNING, "spangate"):
            for _ in range(3):
                client = await gate.connect()
                client.write(data)
                assert await client.at_end()
        assert backend.peers == []
        said = [r.getMessage() for r in caplog.records if "refused" in r.getMessage()]
        assert len(said) == 1 and "listener :8080" in said[0]  # the others come in a sum
        await gate.recorded.collect()
        assert number(gate, "spangate.rejected", spangate_reason=f"proxy_header_{reason}") == 3
        await eventually(lambda: is_settled(gate))


async def test_a_header_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.server.proxy_stage.TIMEOUT", 10_000_000)
    async with Backend() as backend, gateway(proxied(backend)) as gate:
        client = await gate.connect()
        client.write(b"PROXY TCP4 192.0")
        assert await client.at_end()
        await gate.recorded.collect()
        assert number(gate, "spangate.rejected", spangate_reason="proxy_header_timeout") == 1


async def test_whoever_only_looks_is_no_fault() -> None:
    async with Backend() as backend, gateway(proxied(backend)) as gate:
        client = await gate.connect()
        await client.close()
        await eventually(lambda: is_settled(gate))
        await gate.recorded.collect()
        assert number(gate, "spangate.rejected") == 0


async def test_a_reload_asks_for_headers_from_the_next_connection_on() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        assert (await gate.get("/")).status == 200
        await gate.reload(proxied(backend))
        client = await gate.connect()
        client.write(GET)
        assert await client.at_end()


# to upstreams


def told(peer: Peer) -> tuple[ProxyHeader, bytes]:
    reader = ProxyHeaderReader()
    header = reader.feed(peer.received)
    assert header is not None
    return header, reader.rest


def sending(backend: Backend, version: str) -> str:
    return routes(backend) + f'send_proxy = "{version}"\n'


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_an_upstream_is_told_of_the_client(version: str) -> None:
    async with Backend() as backend, gateway(sending(backend, version)) as gate:
        client = await gate.connect()
        here = client.writer.get_extra_info("sockname")
        for path in ("/1", "/2"):
            client.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert (await client.answer()).status == 200
        assert len(backend.peers) == 2  # it tells of one client, so nobody else may have it
        for peer, path in zip(backend.peers, ("/1", "/2"), strict=True):
            header, rest = told(peer)
            assert header.source == here and header.destination == ("127.0.0.1", gate.port)
            assert rest.startswith(f"GET {path} ".encode())


async def test_a_reload_turns_it_on_and_off_for_new_connections_alone() -> None:
    first = Gate(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok", b"ok")
    async with Backend() as backend, gateway(routes(backend)) as gate:
        await gate.get("/")  # leaves a warm connection without a header
        await gate.reload(sending(backend, "v1"))
        await gate.get("/")
        assert told(backend.peers[1])[0].source is not None
        backend.handler = first
        client = await gate.connect()
        client.write(GET)
        await first.reached.wait()
        await gate.reload(routes(backend))
        first.go.set()
        assert (await client.answer()).body == b"okok"
        backend.handler = Backend().handler
        await gate.get("/")
        await eventually(lambda: len(backend.peers) == 4)  # that of somebody else is not used
        assert backend.peers[3].received.startswith(b"GET ")


async def test_a_drain_waits_for_no_header() -> None:
    async with Backend() as backend, gateway(proxied(backend)) as gate:
        client = await gate.connect()
        await eventually(lambda: gate.worker._connections)
        gate.worker.drain()
        assert await client.at_end()
        await gate.worker.stopped.wait()
        assert number(gate, "spangate.rejected") == 0


async def test_one_too_many_is_closed_and_counted() -> None:
    config = proxied(await _none(), "") + "[limits]\nconnections = 1\n"
    async with gateway(config) as gate:
        one, other = await gate.connect(), await gate.connect()
        assert await other.at_end()
        await gate.recorded.collect()
        assert number(gate, "spangate.rejected", spangate_reason="503") == 1
        await one.close()


async def _none() -> Backend:
    backend = Backend()
    backend.port = 9
    return backend


async def test_what_a_header_said_is_said_on() -> None:
    async with Backend() as backend:
        config = routes(backend, more=LISTEN.format("")) + 'send_proxy = "v2"\n'
        async with gateway(config) as gate:
            await gate.exchange(encode("v1", CLIENT, SERVER) + GET)
            assert told(backend.peers[0])[0] == ProxyHeader(CLIENT, SERVER)


# real peers


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
async def test_curl() -> None:
    async with Backend() as backend, gateway(proxied(backend)) as gate:
        url = f"http://127.0.0.1:{gate.port}/curl"
        curl = await asyncio.create_subprocess_exec(
            *("curl", "-sS", "--max-time", "10", "--haproxy-protocol", url),
            stdout=subprocess.PIPE,
        )
        assert (await curl.communicate())[0] == b"ok"
        assert backend.field("x-forwarded-for") == "127.0.0.1"


HAPROXY = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend f
    bind 127.0.0.1:{port} {bind}
    unique-id-format %Ts-%rt
    default_backend b
backend b
    server s 127.0.0.1:{to} {server}
"""
NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ }}
http {{
    access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
    fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port} proxy_protocol;
        location / {{ return 200 "$proxy_protocol_addr:$proxy_protocol_port"; }}
    }}
}}
"""


async def _is_up(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                return
            except OSError:
                await asyncio.sleep(0.02)


@pytest.mark.skipif(not shutil.which("haproxy"), reason="there is no haproxy")
@pytest.mark.parametrize(
    "server",
    ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"],
)
async def test_haproxy_in_front(tmp_path: Path, server: str) -> None:
    port, file = free_port(), tmp_path / "haproxy.cfg"
    async with Backend() as backend, gateway(proxied(backend)) as gate:
        file.write_text(HAPROXY.format(port=port, bind="", to=gate.port, server=server))
        haproxy = await asyncio.create_subprocess_exec("haproxy", "-db", "-f", str(file))
        try:
            await _is_up(port)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET)
            assert (await reader.read(-1)).startswith(b"HTTP/1.1 200 ")
            about = (await trace(gate)).about
            assert about["network.peer.port"] == writer.get_extra_info("sockname")[1]
            assert ("spangate.proxy_protocol.unique_id" in about) is ("unique-id" in server)
            writer.close()
        finally:
            haproxy.kill()
            await haproxy.wait()


@pytest.mark.skipif(not shutil.which("haproxy"), reason="there is no haproxy")
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_haproxy_behind(tmp_path: Path, version: str) -> None:
    port, file = free_port(), tmp_path / "haproxy.cfg"
    async with Backend() as behind, Backend() as backend:
        file.write_text(
            HAPROXY.format(port=port, bind="accept-proxy", to=behind.port, server="send-proxy")
        )
        haproxy = await asyncio.create_subprocess_exec("haproxy", "-db", "-f", str(file))
        try:
            await _is_up(port)
            backend.port = port
            config = sending(backend, version)
            async with gateway(config) as gate:
                await _through(gate, behind)
        finally:
            haproxy.kill()
            await haproxy.wait()


async def _through(gate: Gateway, behind: Backend) -> None:
    behind.handler = _skip_header
    client = await gate.connect()
    client.write(GET)
    assert (await client.answer()).status == 200
    told = [p.received for p in behind.peers if p.received]
    source = client.writer.get_extra_info("sockname")
    assert told[0].startswith(f"PROXY TCP4 127.0.0.1 127.0.0.1 {source[1]} {gate.port}".encode())


async def _skip_header(peer: Peer) -> None:
    await peer.head()
    peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.mark.skipif(not shutil.which("nginx"), reason="there is no nginx")
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_nginx_behind(tmp_path: Path, version: str) -> None:
    port, file = free_port(), tmp_path / "nginx.conf"
    file.write_text(NGINX.format(port=port, folder=tmp_path))
    nginx = await asyncio.create_subprocess_exec(
        "nginx", "-c", str(file), "-p", str(tmp_path), stderr=subprocess.DEVNULL
    )
    try:
        await _is_up(port)
        backend = Backend()
        backend.port = port
        async with gateway(sending(backend, version)) as gate:
            client = await gate.connect()
            client.write(GET)
            answer = await client.answer()
            source = client.writer.get_extra_info("sockname")
            assert answer.body == f"127.0.0.1:{source[1]}".encode()
    finally:
        nginx.kill()
        await nginx.wait()
