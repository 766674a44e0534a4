"""Listeners of a control plane: where the gateway listens, and what it shows there."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.config import local_ca
from tests.hub.gateway import DEADLINE, Gateway
from tests.peers import xds_protos
from tests.ports import free_port

if not xds_protos.are_here():
    pytest.skip(
        "xds-protos is not in build/xds-protos (.ci/run puts it there)", allow_module_level=True
    )

from tests.peers import xds_made as made
from tests.peers.xds_server import Server

LONG = 60.0  # seconds: a gateway and a server start at once
pytestmark = pytest.mark.timeout(300)

FILE = """
[admin]
listen = "127.0.0.1:0"
[source.xds]
server = "grpc://127.0.0.1:{port}"
"""
PONG = made.route({"prefix": "/"}, direct_response={"status": 200, "body": {"inline_string": "p"}})
TLS = {
    "name": "tls",
    "typed_config": {
        "@type": f"{made.EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_certificate_sds_secret_configs": [{"name": "shop", "sds_config": made.ADS}]
        },
    },
}


@pytest.fixture
def server(server: Server) -> Server:
    server.put(made.routes("r", made.host("v", ["*"], PONG)))
    return server


@contextlib.asynccontextmanager
async def gateway(folder: Path, server: Server) -> AsyncIterator[Gateway]:
    file = folder / "routes.toml"
    file.write_text(FILE.format(port=server.port))
    hub = Gateway(file, 1, (), subprocess.DEVNULL)
    try:
        yield hub
    finally:
        await asyncio.to_thread(hub.close)


def secret(cert: local_ca.Made) -> Any:
    said = {
        "certificate_chain": {"inline_string": cert.cert.read_text()},
        "private_key": {"inline_string": cert.key.read_text()},
    }
    return made.secret("shop", tls_certificate=said)


def connect(port: int, authority: Path) -> http.client.HTTPSConnection:
    """Held against this authority and the name of the certificate; ssl.SSLError, OSError."""
    context = ssl.create_default_context(cafile=str(authority))
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=DEADLINE, context=context)
    connection.connect()
    return connection


def asked(connection: http.client.HTTPConnection) -> str:
    connection.request("GET", "/")
    return connection.getresponse().read().decode()


async def connected(port: int, authority: Path) -> http.client.HTTPSConnection:
    """Once what it shows is of this authority."""
    async with asyncio.timeout(LONG):
        while True:
            try:
                return await asyncio.to_thread(connect, port, authority)
            except OSError:  # ssl.SSLError is one
                await asyncio.sleep(0.02)


async def test_nothing_is_bound_that_nobody_has_said(server: Server, tmp_path: Path) -> None:
    port = free_port()
    async with gateway(tmp_path, server) as hub:
        await asyncio.to_thread(hub.wait_for_line, "ready: admin on ")
        server.put(made.listener("l", port, "r"))
        await asyncio.to_thread(hub.wait_for_line, "is in force: 1 routes")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        assert await asyncio.to_thread(asked, connection) == "p"
        connection.close()
    assert server.violations == []


async def test_a_certificate_of_sds_is_shown_and_rotated(server: Server, tmp_path: Path) -> None:
    port = free_port()
    first, second = (
        local_ca.make(str(tmp_path / name), ("127.0.0.1",)) for name in ("first", "second")
    )
    server.put(made.listening("l", port, made.manager("r"), transport_socket=TLS))
    server.put(secret(first))
    async with gateway(tmp_path, server):
        before = await connected(port, first.ca)
        assert await asyncio.to_thread(asked, before) == "p"
        server.put(secret(second))
        after = await connected(port, second.ca)
        assert await asyncio.to_thread(asked, after) == "p"
        with pytest.raises(ssl.SSLError):
            await asyncio.to_thread(connect, port, first.ca)
        assert await asyncio.to_thread(asked, before) == "p"  # who was there goes on
        before.close()
        after.close()
    assert server.violations == []


def got(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        return asked(connection)
    finally:
        connection.close()


async def said(hub: Gateway, text: str) -> None:
    async with asyncio.timeout(LONG):
        while not any(text in line for line in hub.lines):
            await asyncio.sleep(0.02)


async def refusal(server: Server) -> str:
    """Of a response with listeners; it may have been accepted before, while it waited."""

    def reasons() -> list[str]:
        return [one.reason for one in server.answers if one.kind == "Listener" and one.reason]

    await server.until(reasons)
    return reasons()[0]


async def test_an_address_that_is_taken_holds_up_no_other_listener(
    server: Server, tmp_path: Path
) -> None:
    good, later = free_port(), free_port()
    server.put(made.cluster("c"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        async with gateway(tmp_path, server) as hub:
            await said(hub, "ready: admin on ")
            server.put(made.listener("a", port, "r"), made.listener("b", good, "r"))
            reason = await refusal(server)
            assert reason.startswith(f"xDS listener 'a': listen: cannot listen on 127.0.0.1:{port}")
            assert "address already in use" in reason
            assert "'b'" not in reason
            await said(hub, "is in force: 1 routes")
            assert await asyncio.to_thread(got, good) == "p"
            other.close()
            server.put(made.listener("c", later, "r"), made.listener("a", port, "r"))
            await said(hub, "is in force: 3 routes")
            assert [await asyncio.to_thread(got, one) for one in (port, good, later)] == ["p"] * 3
    assert server.violations == []


async def test_a_listener_that_moves_to_a_taken_address_stays(
    server: Server, tmp_path: Path
) -> None:
    before, good = free_port(), free_port()
    server.put(made.cluster("c"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        async with gateway(tmp_path, server) as hub:
            server.put(made.listener("a", before, "r"))
            await said(hub, "is in force: 1 routes")
            server.put(
                made.listener("a", other.getsockname()[1], "r"), made.listener("b", good, "r")
            )
            assert "'a'" in await refusal(server)
            await said(hub, "is in force: 2 routes")
            assert [await asyncio.to_thread(got, one) for one in (before, good)] == ["p"] * 2
    assert server.violations == []
