"""Which protocol is spoken with servers at https://: what ALPN agrees on (RFC 7301)."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from proxy.http import h2
from tests.harness import gateway
from tests.server.h2_backend import H2Backend, Stream, routes
from tests.server.kit import ask, eventually, is_settled, trace, traces
from tests.server.tls_kit import leaf, write_ca


def speaking(*protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made = leaf("127.0.0.1")
    context.load_cert_chain(made.cert, made.key)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def config(folder: Path, backend: H2Backend, protocol: str) -> str:
    text = routes(backend, upstream=f"tls = {{ ca = '{write_ca(folder)}' }}")
    return text.replace('"h2"', f'"{protocol}"')


@pytest.mark.parametrize(
    ("protocol", "speaks", "spoken"),
    [
        ("auto", ("h2", "http/1.1"), "2"),
        ("auto", ("h2",), "2"),
        ("auto", ("http/1.1",), "1.1"),
        ("auto", (), "1.1"),
        ("h2", ("h2", "http/1.1"), "2"),
        ("h1", ("h2", "http/1.1"), "1.1"),
        ("h1", (), "1.1"),
    ],
)
async def test_what_is_spoken(
    tmp_path: Path, protocol: str, speaks: tuple[str, ...], spoken: str
) -> None:
    backend = H2Backend(tls=speaking(*speaks))
    async with backend, gateway(config(tmp_path, backend, protocol)) as gate:
        client = await gate.connect()
        for _ in range(3):
            assert (await ask(client, "GET", "/x")).body == b"ok"
        seen = await traces(gate, 3)
        assert {s.tried[0]["network.protocol.version"] for s in seen} == {spoken}
        assert {s.tried[0]["tls.protocol.version"] for s in seen} == {"1.3"}
        assert len(backend.lines) == 1
        if spoken == "2":
            assert backend.streams[0][":scheme"] == "https"


@pytest.mark.parametrize("speaks", [("http/1.1",), ()])
async def test_a_server_that_should_and_does_not(tmp_path: Path, speaks: tuple[str, ...]) -> None:
    backend = H2Backend(tls=speaking(*speaks))
    async with backend, gateway(config(tmp_path, backend, "h2")) as gate:
        assert (await gate.get("/x")).status == 502
        seen = await trace(gate)
        assert seen.tried[0]["error.type"] == "bad_response"
        assert "speaks HTTP/1.1, not HTTP/2" in seen.clients[0].status.message
        await eventually(lambda: is_settled(gate))


@pytest.mark.parametrize(("speaks", "most"), [(("h2",), 2), (("http/1.1",), 20)])
async def test_many_that_come_at_once(tmp_path: Path, speaks: tuple[str, ...], most: int) -> None:
    backend = H2Backend(tls=speaking(*speaks))
    async with backend, gateway(config(tmp_path, backend, "auto")) as gate:
        answers = await asyncio.gather(*[gate.get(f"/{n}") for n in range(20)])
        assert {a.status for a in answers} == {200}
        assert len(backend.lines) <= most


async def test_what_must_go_by_http_1_1_does(tmp_path: Path) -> None:
    async def handler(stream: Stream) -> None:
        stream.rst(h2.HTTP_1_1_REQUIRED)

    backend = H2Backend(handler, tls=speaking("h2", "http/1.1"))
    async with backend, gateway(config(tmp_path, backend, "auto")) as gate:
        assert (await gate.get("/x")).body == b"ok"
        seen = await trace(gate)
        assert [t["network.protocol.version"] for t in seen.tried] == ["2", "1.1"]
        assert seen.tried[1]["spangate.retry.reason"] == "http_1_1_required"


async def test_a_large_answer(tmp_path: Path) -> None:
    size = 4 * 1024 * 1024

    async def handler(stream: Stream) -> None:
        assert len(await stream.body()) == size
        stream.ok(bytes(size))

    backend = H2Backend(handler, tls=speaking("h2"))
    async with backend, gateway(config(tmp_path, backend, "h2")) as gate:
        client = await gate.connect()
        assert len((await ask(client, "POST", "/x", body=bytes(size))).body) == size
