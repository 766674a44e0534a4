"""Clients that others wrote: curl and h2load, which are libnghttp2 too, but not ours."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from tests.harness import DEADLINE, Backend, Gateway, Peer, gateway, routes
from tests.server.kit import eventually, is_settled, reply, request, traces

curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
h2load = pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is not installed")

_STATUS = "%{http_code} %{http_version} %{size_download}"


async def _run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(DEADLINE):
        out, _ = await process.communicate()
    return out.decode()


async def _curl(gate: Gateway, *more: str) -> str:
    url = f"http://127.0.0.1:{gate.port}/x"
    return await _run("curl", "-sS", "--http2-prior-knowledge", "-w", _STATUS, *more, url)


async def _sizes(peer: Peer) -> None:
    """Says how long the body was, and adds a megabyte."""
    while True:
        _, body = await request(peer)
        peer.write(reply(200, b"%08d" % len(body) + b"x" * 1_000_000))


@curl
async def test_curl(tmp_path) -> None:  # type: ignore[no-untyped-def]
    sent = tmp_path / "sent"
    sent.write_bytes(b"y" * 2_000_000)
    got = tmp_path / "got"
    async with Backend(_sizes) as backend, gateway(routes(backend)) as gate:
        assert await _curl(gate, "-o", str(got)) == "200 2 1000008"
        assert await _curl(gate, "-o", str(got), "-T", str(sent)) == "200 2 1000008"
        assert got.read_bytes()[:8] == b"02000000"
        chunked = ("-H", "content-length:", "-X", "POST", "-T", str(sent))
        assert await _curl(gate, "-o", str(got), *chunked) == "200 2 1000008"
        assert got.read_bytes()[:8] == b"02000000"
        assert (await _curl(gate, "-o", str(got), "-H", "te: trailers")).startswith("200 2")


@h2load
async def test_h2load() -> None:
    async def handler(peer: Peer) -> None:
        while True:
            await request(peer)
            peer.write(reply())

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        url = f"http://127.0.0.1:{gate.port}/x"
        said = await _run("h2load", "-n", "1000", "-c", "4", "-m", "16", url)
        assert "1000 succeeded" in said
        assert len(await traces(gate, 1000)) == 1000
        await eventually(lambda: is_settled(gate))
