"""PROXY headers in front of TLS, on either side, with real peers."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness import Backend, gateway, routes
from tests.ports import free_port
from tests.server.kit import trace
from tests.server.test_proxy_protocol import HAPROXY, _is_up, _skip_header
from tests.server.tls_kit import listening, write, write_ca


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
async def test_from_curl(tmp_path: Path) -> None:
    more = listening(tmp_path) + "proxy_protocol = true\n"
    async with Backend() as backend, gateway(routes(backend, more=more)) as gate:
        curl = await asyncio.create_subprocess_exec(
            *("curl", "-sS", "--max-time", "10", "--haproxy-protocol", "--cacert"),
            *(write_ca(tmp_path), "--resolve", f"gateway.test:{gate.port}:127.0.0.1"),
            f"https://gateway.test:{gate.port}/",
            stdout=subprocess.PIPE,
        )
        assert (await curl.communicate())[0] == b"ok"
        about = (await trace(gate)).about
        assert (about["client.address"], about["url.scheme"]) == ("127.0.0.1", "https")
        assert about["tls.protocol.version"] == "1.3"
        assert not [c for c in gate.worker._connections if type(c).__name__ != "ClientConnection"]


async def test_tls_without_a_header_is_closed(tmp_path: Path) -> None:
    more = listening(tmp_path) + "proxy_protocol = true\n"
    async with Backend() as backend, gateway(routes(backend, more=more)) as gate:
        client = await gate.connect()
        client.write(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")
        assert await client.at_end()


@pytest.mark.skipif(not shutil.which("haproxy"), reason="there is no haproxy")
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_to_haproxy(tmp_path: Path, version: str) -> None:
    port, file, pem = free_port(), tmp_path / "haproxy.cfg", tmp_path / "both.pem"
    cert, key = write(tmp_path, "shop", "127.0.0.1")
    pem.write_text(Path(cert).read_text() + Path(key).read_text())
    async with Backend(_skip_header) as behind, Backend() as backend:
        bind = f"accept-proxy ssl crt {pem}"
        file.write_text(HAPROXY.format(port=port, bind=bind, to=behind.port, server="send-proxy"))
        haproxy = await asyncio.create_subprocess_exec("haproxy", "-db", "-f", str(file))
        try:
            await _is_up(port)
            config = routes(backend).replace(backend.url, f"https://127.0.0.1:{port}")
            config += f'send_proxy = "{version}"\ntls = {{ ca = "{write_ca(tmp_path)}" }}\n'
            async with gateway(config) as gate:
                client = await gate.connect()
                client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await client.answer()).status == 200
                source = client.writer.get_extra_info("sockname")
                told = f"PROXY TCP4 127.0.0.1 127.0.0.1 {source[1]} {gate.port}\r\n".encode()
                assert [p for p in behind.peers if p.received.startswith(told)]
        finally:
            haproxy.kill()
            await haproxy.wait()


async def test_a_client_by_tls_is_told_to_the_upstream(tmp_path: Path) -> None:
    from tests.server.test_proxy_protocol import told
    from tests.server.tls_kit import connect

    async with Backend() as backend:
        config = routes(backend, more=listening(tmp_path)) + 'send_proxy = "v2"\n'
        async with gateway(config) as gate:
            client = await connect(gate)
            client.write(b"GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
            assert (await client.answer()).status == 200
            header, _ = told(backend.peers[0])
            assert header.source == client.writer.get_extra_info("sockname")
            assert header.destination == ("127.0.0.1", gate.port)


async def test_a_compressed_answer_by_tls(tmp_path: Path) -> None:
    from tests.server.test_compression import BODY, JSON, plain, serving
    from tests.server.tls_kit import connect

    async with serving(JSON) as backend:
        more = listening(tmp_path)
        config = routes(backend, more=more, route="compress = true")
        async with gateway(config) as gate:
            client = await connect(gate)
            client.write(b"GET / HTTP/1.1\r\nHost: gateway.test\r\nAccept-Encoding: br\r\n\r\n")
            assert plain("br", (await client.answer()).body) == BODY
