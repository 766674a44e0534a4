"""Other ways to ask a server whether it is well: by a connection alone, at another port, by what
its answer has in it; and servers that never come to an end of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.config.model import Health
from proxy.config.units import Seconds
from proxy.hub.probe import Asker, Verdict, has
from proxy.hub.probes import Probed
from tests.hub.test_probes import serving, watching

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

QUICK = Seconds(0.2)


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[str]:
    """A server of bytes; its URL."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
            await over.wait()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        over.set()
        server.close()


def saying(*pieces: bytes) -> Talk:
    """Sends these after the request has come, and then nothing."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return talk


async def asked(url: str, health: Health) -> Verdict:
    asker = Asker()
    try:
        probed = Probed(("u", url), health)
        return await asker.ask(probed.url, health, probed.way)
    finally:
        await asker.close()


@pytest.mark.parametrize(
    ("body", "wanted", "found"),
    [
        (b"all is ok", "ok", True),
        (b"all is OK", "ok", False),
        (b"", "ok", False),
        (b"ok", "~^ok$", True),
        (b"not ok", "~^ok$", False),
        (b'{"state": "up"}', '~"state": *"up"', True),
        (b"\xff\xfe ok", "ok", True),
        (b"x" * 65536 + b"ok", "ok", False),
        (b"", "", True),
    ],
)
def test_what_a_body_has(body: bytes, wanted: str, found: bool) -> None:
    assert has(body, wanted) is found


async def test_a_server_without_the_text_is_down() -> None:
    health = Health(path="/hz", every=Seconds(0.01), timeout=QUICK, body="~^ok", rise=1, fall=1)
    async with serving() as server, watching(server.url, health=health) as watcher:
        assert await watcher.next() == {("u", server.url): False}
        last = watcher.prober.last(("u", server.url))
        assert last is not None
        assert last.said == "answered 200 without '~^ok' in its first 64 KiB"
        assert (last.status, last.error) == (200, "body")
        server.body = b"ok, all of it"
        assert await watcher.next() == {("u", server.url): True}


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "ok", "error"),
    [
        ([HEAD, b"al", b"l ok"], True, ""),  # the text is there: nobody waits for the end
        ([HEAD, b"x" * 70000], False, "body"),
        ([HEAD, b"no"], False, "timeout"),
        ([HEAD[:20]], False, "timeout"),
        ([], False, "timeout"),
    ],
    ids=["endless", "long", "half a body", "half a head", "silent"],
)
async def test_a_server_that_hangs_is_not_waited_for(
    pieces: list[bytes], ok: bool, error: str
) -> None:
    async with talking(saying(*pieces)) as url:
        verdict = await asked(url, Health(timeout=QUICK, body="ok"))
    assert (verdict.ok, verdict.error) == (ok, error)


async def test_a_connection_is_enough() -> None:
    async with talking(saying()) as url:
        verdict = await asked(url, Health(timeout=QUICK, tcp=True))
        assert (verdict.ok, verdict.said) == (True, "took a connection")
    assert (await asked(url, Health(timeout=QUICK, tcp=True))).error == "connection_refused"


async def test_a_unix_socket_is_connected_to(tmp_path: Path) -> None:
    place = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(place))
        sock.listen()
        assert (await asked(f"unix:{place}", Health(timeout=QUICK, tcp=True))).ok
    place.unlink()
    assert (await asked(f"unix:{place}", Health(timeout=QUICK, tcp=True))).ok is False


@pytest.mark.parametrize(
    ("url", "asked_at"),
    [
        ("http://127.0.0.1:80", "http://127.0.0.1:9000/hz"),
        ("https://shop.example", "https://shop.example:9000/hz"),
        ("http://[::1]:8000", "http://[::1]:9000/hz"),
    ],
)
def test_a_port_of_its_own(url: str, asked_at: str) -> None:
    assert Probed(("u", url), Health(path="/hz", port=9000)).url == asked_at


async def test_another_port_tells_of_the_server() -> None:
    async with serving() as server, talking(saying()) as url:
        port = int(server.url.rpartition(":")[2])
        assert (await asked(url, Health(path="/hz", port=port, timeout=QUICK))).ok
