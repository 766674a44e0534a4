"""The inbound side of a sidecar with an identity: permissive and strict, requests and bytes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl

import pytest

from tests.harness import DEADLINE, Backend, Client, Gateway, Peer, gateway
from tests.server.kit import attributes, number, traces
from tests.server.mesh_kit import Who, client, material, workload
from tests.server.tls_kit import connect

pytest.importorskip("proxy.server.mesh_door", reason="the sidecar's two sides are not there")

ORDERS = workload("spiffe://mesh/orders")
SHOP = workload("spiffe://mesh/shop")
ADMIN = workload("spiffe://mesh/ops/admin")

SIDECAR = """
[export]
otlp = "http://127.0.0.1:1"
[mesh]
name = "orders"
app = "{app}"
inbound = "127.0.0.1:0"
outbound = "127.0.0.1:0"
identity = {{ ca = "files:///nowhere" }}
mtls = "{mtls}"
{allow}
"""
ALLOW = """
allow = [
  { from = "spiffe://mesh/shop", path = "/orders/*" },
  { from = "spiffe://mesh/ops/*" },
  { path = "/open" },
]
"""


def sidecar(backend: Backend, mtls: str, allow: str = "") -> str:
    return SIDECAR.format(app=backend.url.removeprefix("http://"), mtls=mtls, allow=allow)


def peer(who: Who | None) -> ssl.SSLContext:
    return client(who)


async def status(gate: Gateway, who: Who | None, path: str, secure: bool = True) -> int:
    """0 = it was not let in."""
    try:
        if secure:
            conn = await connect(gate, peer(who), "outbound.mesh.spangate")
        else:
            conn = await gate.connect()
        conn.write(f"GET {path} HTTP/1.1\r\nHost: orders\r\n\r\n".encode())
        answer = await conn.answer()
        await conn.close()
    except (OSError, AssertionError, EOFError):
        return 0
    return answer.status


@pytest.mark.parametrize(
    ("mtls", "who", "secure", "expected"),
    [
        ("strict", SHOP, True, 200),
        ("strict", None, True, 0),
        ("strict", None, False, 0),
        ("permissive", SHOP, True, 200),
        ("permissive", None, False, 200),
        ("permissive", workload("spiffe://mesh/shop", by="partner"), True, 0),
        ("off", None, False, 200),
    ],
)
async def test_who_is_let_in(mtls: str, who: Who | None, secure: bool, expected: int) -> None:
    known = material(ORDERS)
    async with Backend() as backend, gateway(sidecar(backend, mtls), known=known) as gate:
        assert await status(gate, who, "/", secure) == expected
        assert len(backend.heads) == (expected == 200)
        if expected:
            (seen,) = await traces(gate)
            named = who.id if who is not None else None
            assert seen.about.get("spangate.peer.identity") == named


@pytest.mark.parametrize(
    ("who", "path", "expected"),
    [
        (SHOP, "/orders/1", 200),
        (SHOP, "/admin", 403),
        (ADMIN, "/admin", 200),
        (None, "/open", 200),
        (None, "/orders/1", 403),
    ],
)
async def test_who_may_do_what(who: Who | None, path: str, expected: int) -> None:
    known = material(ORDERS)
    async with Backend() as backend:
        text = sidecar(backend, "permissive", ALLOW)
        async with gateway(text, known=known) as gate:
            assert await status(gate, who, path, secure=who is not None) == expected


@pytest.mark.parametrize(("allow", "passes"), [("", True), ("allow = [{}]", True), (ALLOW, False)])
async def test_bytes_come_in_by_rules_that_say_nothing_of_requests(
    allow: str, passes: bool
) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        writer.close()

    app = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = app.sockets[0].getsockname()[1]
    text = SIDECAR.format(app=f"127.0.0.1:{port}", mtls="permissive", allow=allow)
    async with app, gateway(text, known=material(ORDERS)) as gate:
        conn = await gate.connect()
        conn.write(b"\x00\x01\x02\x03 neither HTTP nor TLS\n")
        assert bool(await conn.read_all()) is passes


BYTES = "bytes.mesh.spangate"
HEAD = b"GET /x HTTP/1.1\r\nHost: orders\r\n\r\n"


async def exactly(conn: Client, text: bytes) -> None:
    async with asyncio.timeout(DEADLINE):
        assert await conn.reader.readexactly(len(text)) == text


async def greet(peer: Peer) -> None:
    peer.write(b"220 ready\r\n")
    peer.write(await peer.rest())


@pytest.mark.parametrize("mtls", ["strict", "permissive"])
async def test_what_is_said_to_be_bytes_is_not_looked_at(mtls: str) -> None:
    async def echo(peer: Peer) -> None:
        peer.write(await peer.head())

    async with Backend(echo) as app, gateway(sidecar(app, mtls), known=material(ORDERS)) as gate:
        conn = await connect(gate, peer(SHOP), BYTES)
        conn.write(HEAD)
        await exactly(conn, HEAD)
        await conn.close()
        spans = await gate.spans(2)
        (server,) = [span for span in spans if span.name == "tcp inbound"]
        assert attributes(server)["spangate.peer.identity"] == SHOP.id
        assert len(spans) == 2


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (None, "no_certificate"),
        (workload("spiffe://mesh/shop", by="partner"), "wrong_trust_domain"),
        (workload("spiffe://else/shop"), "unknown_ca"),
    ],
)
async def test_strangers_send_no_bytes(who: Who | None, reason: str) -> None:
    async with Backend(greet) as app:
        known = material(ORDERS, "partner")
        async with gateway(sidecar(app, "strict"), known=known) as gate:
            with contextlib.suppress(OSError):  # with TLS 1.3 it learns of it later
                conn = await connect(gate, client(who, "mesh", "partner"), BYTES)
                assert await conn.at_end()
            await gate.recorded.collect()
            assert number(gate, "spangate.rejected", spangate_reason=f"mesh_{reason}") == 1
            assert not app.peers


async def test_a_server_is_not_dialled_for_who_says_nothing_in_plain_text() -> None:
    async with Backend(greet) as app:
        text = sidecar(app, "strict", 'detect = "1ms"\n')
        async with gateway(text, known=material(ORDERS)) as gate:
            silent = await gate.connect()
            conn = await connect(gate, peer(SHOP), BYTES)  # which takes longer than that
            await exactly(conn, b"220 ready\r\n")
            assert len(app.peers) == 1
            silent.write(b"\x00")
            assert await silent.at_end()
            await gate.recorded.collect()
            assert number(gate, "spangate.rejected", spangate_reason="mesh_plain") == 1


@pytest.mark.parametrize(("opaque", "word"), [("", "remembered"), ("opaque = [{}]", "opaque_port")])
async def test_a_silent_client_in_plain_text_still_hears_its_server(opaque: str, word: str) -> None:
    async with Backend(greet) as app:
        text = sidecar(app, "permissive", f'detect = "1ms"\n{opaque.format(app.port)}\n')
        async with gateway(text, known=material(ORDERS)) as gate:
            for _ in range(2):
                conn = await gate.connect()
                await exactly(conn, b"220 ready\r\n")
                conn.writer.write_eof()
                assert await conn.read_all() == b""
            spans = [span for span in await gate.spans(4) if span.name == "tcp inbound"]
            assert attributes(spans[-1])["spangate.detected"] == word


async def test_bytes_that_are_cut_do_not_end_in_order() -> None:
    known = material(ORDERS)
    async with Backend(greet) as app, gateway(sidecar(app, "strict"), known=known) as gate:
        conn = await connect(gate, peer(SHOP), BYTES)
        await exactly(conn, b"220 ready\r\n")
        conn.write(b"half of it")
        below = socket.socket(fileno=os.dup(conn.writer.get_extra_info("socket").fileno()))
        with below:
            below.shutdown(socket.SHUT_WR)  # without a goodbye of TLS
        spans = await gate.spans(2)
        (server,) = [span for span in spans if span.name == "tcp inbound"]
        assert attributes(server)["spangate.tunnel.end"] == "client_reset"
