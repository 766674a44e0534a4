"""Who opens TLS and means no good: closed by limits, counted, and nobody else is disturbed."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest

from proxy.tasks import spawn
from tests.harness import DEADLINE, gateway
from tests.server.kit import eventually, eventually_collected, number
from tests.server.tls_kit import connect, listening, trusting

FAILED = "spangate.downstream.tls.failures"
PONG = '[[route]]\npath = "/*"\nrespond = { status = 200, body = "pong" }\n'
GET = b"GET /x HTTP/1.1\r\nHost: gateway.test\r\n\r\n"


def hello() -> bytes:
    out = ssl.MemoryBIO()
    talk = trusting().wrap_bio(ssl.MemoryBIO(), out, server_hostname="gateway.test")
    with pytest.raises(ssl.SSLWantReadError):
        talk.do_handshake()
    return out.read()


def in_records(message: bytes) -> bytes:
    """A handshake message in records as large as they may be."""
    pieces = [message[at : at + 0x4000] for at in range(0, len(message), 0x4000)]
    return b"".join(b"\x16\x03\x01" + len(p).to_bytes(2, "big") + p for p in pieces)


FLOODS = {
    "zeros": bytes(1_000_000),
    "records of nothing": b"\x16\x03\x01\x00\x00" * 200_000,
    "tiny records": b"\x16\x03\x01\x00\x01\x01" * 150_000,
    "random": bytes((n * 7919 + n // 251) % 256 for n in range(1_000_000)),
    "a ClientHello of 64 KiB": in_records(b"\x01\x00\xff\xfc" + bytes(0xFFFC)),
    "a ClientHello of 16 MiB, begun": in_records(b"\x01\xff\xff\xff" + bytes(100_000)),
}


@pytest.mark.parametrize("data", FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_ends_the_connection(tmp_path: Path, data: bytes) -> None:
    async with gateway(listening(tmp_path) + PONG) as gw:
        client = await gw.connect()
        with contextlib.suppress(ConnectionError):
            client.write(data)
            await client.writer.drain()
        with contextlib.suppress(ConnectionError):
            await client.read_all()
        await eventually_collected(gw, lambda: number(gw, FAILED, spangate_reason="not_tls") == 1)
        await eventually(lambda: not gw.worker._connections)
        other = await connect(gw)
        other.write(GET)
        assert (await other.answer()).body == b"pong"


async def test_who_sends_a_byte_at_a_time(tmp_path: Path) -> None:
    """The time runs from the connection's beginning, whatever comes in between."""
    slow = '[limits]\nhandshake = "300ms"\n'
    async with gateway(listening(tmp_path) + slow + PONG) as gw:
        client = await gw.connect()

        async def dribble() -> None:
            for byte in hello():
                client.write(bytes([byte]))
                await asyncio.sleep(0.01)  # 517 of them: five seconds

        sending = spawn(dribble(), "dribble")
        async with asyncio.timeout(DEADLINE):
            with contextlib.suppress(ConnectionError):
                await client.read_all()
        assert not sending.done()
        sending.cancel()
        await eventually_collected(gw, lambda: number(gw, FAILED, spangate_reason="timeout") == 1)


async def test_nobody_negotiates_anew(tmp_path: Path) -> None:
    """TLS 1.2 lets a client ask for another handshake; OpenSSL's own client does it for "R"."""
    async with gateway(listening(tmp_path) + PONG) as gw:
        command = ["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{gw.port}"]
        client = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert client.stdin is not None and client.stdout is not None
        async with asyncio.timeout(DEADLINE):
            await client.stdout.readuntil(b"Verify return code")
            client.stdin.write(b"R\n")
            said = await client.stdout.read()
            await client.wait()
        assert b"RENEGOTIATING" in said and b"no renegotiation" in said
        await eventually(lambda: not gw.worker._connections)


async def test_many_begin_at_once_and_another_is_served(tmp_path: Path) -> None:
    """Each gets its turn, and so does a request that came after them all."""
    async with gateway(listening(tmp_path) + PONG) as gw:
        regular = await connect(gw)
        first = hello()
        clients = [await gw.connect() for _ in range(200)]
        for client in clients:
            client.write(first)
        regular.write(GET)
        assert (await regular.answer()).body == b"pong"
        for client in clients:
            assert (await client.reader.readexactly(2)) == b"\x16\x03"
            client.vanish()
        await eventually(lambda: len(gw.worker._connections) == 1)
