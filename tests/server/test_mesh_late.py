"""A ClientHello that comes when its client was taken for a silent one in plain text."""

from __future__ import annotations

import asyncio
import logging
import ssl

import pytest

from proxy.server import mesh_first
from proxy.server.mesh_first import KEEP, MOST, PATIENCE, First
from tests.harness import DEADLINE, Backend, Client, Gateway, gateway
from tests.server.kit import SERVER, attributes, eventually, is_settled, number
from tests.server.mesh_kit import client, material, workload
from tests.server.test_mesh_detection import greet

ORDERS = workload("spiffe://mesh/orders")
SHOP = workload("spiffe://mesh/shop")
GREETING = b"220 ready\r\n"


def config(app: Backend, more: str = "") -> str:
    return f"""
[export]
otlp = "http://127.0.0.1:1"
[mesh]
name = "orders"
app = "127.0.0.1:{app.port}"
mtls = "permissive"
detect = "1ms"
identity = {{ ca = "files:///nowhere" }}
{more}
"""


async def connected(gate: Gateway, source: str) -> Client:
    here = await asyncio.open_connection("127.0.0.1", gate.port, local_addr=(source, 0))
    return Client(*here)


async def greeted(gate: Gateway, source: str) -> Client:
    """In plain text, as whoever is silent."""
    plain = await connected(gate, source)
    async with asyncio.timeout(DEADLINE):
        assert await plain.reader.readexactly(len(GREETING)) == GREETING
    return plain


def hello(name: str) -> bytes:
    said = ssl.MemoryBIO()
    tls = client(SHOP).wrap_bio(ssl.MemoryBIO(), said, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return said.read()


@pytest.mark.parametrize("more", ["", "opaque = [{port}]"])
@pytest.mark.parametrize("size", [1, 1 << 16])
async def test_who_was_late_once_is_waited_for(
    size: int, more: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mesh_first, "PATIENCE", DEADLINE)
    async with Backend(greet) as app:
        text = config(app, more.format(port=app.port))
        async with gateway(text, known=material(ORDERS)) as gate:
            late = await greeted(gate, "127.0.0.2")
            said = hello("bytes.mesh.orders")
            with caplog.at_level(logging.WARNING, "spangate"):
                for i in range(0, len(said), size):
                    late.write(said[i : i + size])
                assert await late.at_end()
            assert "its ClientHello came after mesh.detect" in caplog.text
            again = await connected(gate, "127.0.0.2")
            other = await greeted(gate, "127.0.0.3")  # so `again` has been silent for as long
            await again.writer.start_tls(client(SHOP), server_hostname="bytes.mesh.orders")
            async with asyncio.timeout(DEADLINE):
                assert await again.reader.readexactly(len(GREETING)) == GREETING
            for one in (other, again):
                await one.close()
            await eventually(lambda: is_settled(gate))
            spans = [span for span in await gate.spans(6) if span.kind == SERVER]
            how = [attributes(span).get("spangate.peer.identity") for span in spans]
            assert sorted(map(str, how)) == ["None", "None", SHOP.id]
            await gate.recorded.collect()
            assert number(gate, "spangate.rejected", spangate_reason="mesh_late") == 1


@pytest.mark.parametrize("said", [hello("db.test"), b"QUIT", b"\x16\x03\x01", b"\x16"])
async def test_what_is_no_sidecar_s_passes(said: bytes) -> None:
    async with Backend(greet) as app, gateway(config(app), known=material(ORDERS)) as gate:
        for _ in range(2):
            plain = await greeted(gate, "127.0.0.2")
            plain.write(said)
            async with asyncio.timeout(DEADLINE):
                assert await plain.reader.readexactly(len(said)) == said
            await plain.close()


def test_patience_is_for_those_that_were_late_and_ends() -> None:
    first = First()
    assert first.patience("10.0.0.1", 0, 0.05) == 0.05
    first.note_late("10.0.0.1", 0)
    assert first.patience("10.0.0.1", KEEP, 0.05) == PATIENCE
    assert first.patience("10.0.0.1", KEEP + 1, 0.05) == 0.05
    assert first.patience("10.0.0.1", 0, 30.0) == 30.0
    for i in range(MOST):
        first.note_late(str(i), 0)
    assert first.patience("10.0.0.1", 0, 0.05) == 0.05
