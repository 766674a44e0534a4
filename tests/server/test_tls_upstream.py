"""Servers at https://: who is believed to be them, and what a failed handshake becomes."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.harness import DEADLINE, Backend, Peer, gateway
from tests.server.kit import (
    ERROR,
    eventually,
    eventually_collected,
    number,
    trace,
    traces,
)
from tests.server.tls_kit import leaf, secured, serving, write, write_ca

HERE = leaf("127.0.0.1", "orders.test")


def config(url: str, tls: str = "", more: str = "") -> str:
    return f"""
[export]
otlp = "http://127.0.0.1:1"
[[route]]
path = "/*"
to = "b"
{more}
[upstream.b]
servers = ["{url}"]
tls = {{ {tls} }}
"""


async def test_a_server_that_is_who_it_should_be(tmp_path: Path) -> None:
    ca = write_ca(tmp_path)
    async with (
        Backend() as backend,
        secured(backend, HERE) as url,
        gateway(config(url, f'ca = "{ca}"')) as gw,
    ):
        for _ in range(3):
            assert (await gw.get("/")).body == b"ok"
        said = (await traces(gw, 3))[0].tried[0]
        assert said["url.full"] == url + "/"
        assert said["tls.protocol.version"] == "1.3"
        assert said["tls.resumed"] is False
        assert len(backend.peers) == 1
        assert number(gw, "spangate.upstream.tls.handshakes", tls_protocol_version="1.3") == 1


Tls = Callable[[Path], str]


def of(text: str) -> Tls:
    return lambda folder: text.format(ca=write_ca(folder), two=write_ca(folder, "two"))


def mine(folder: Path) -> str:
    cert, key = write(folder, "me", "me.test")
    return f'ca = "{write_ca(folder)}", cert = "{cert}", key = "{key}"'


GOOD = {
    "by its address": (HERE, of('ca = "{ca}"')),
    "by another name": (HERE, of('ca = "{ca}", server_name = "orders.test"')),
    "one of several identities": (
        leaf("spiffe://mesh/orders"),
        of('ca = "{ca}", identities = ["spiffe://mesh/x", "spiffe://mesh/orders"]'),
    ),
    "an identity, by what a sidecar knows its peers": (
        leaf("spiffe://mesh/orders"),
        of('ca = "{ca}", server_name = "outbound.mesh.x", identities = ["spiffe://mesh/orders"]'),
    ),
    "nobody asks": (leaf("else.test", ca="two"), of("verify = false")),
    "TLS 1.3": (HERE, of('ca = "{ca}", min = "1.3"')),
}


@pytest.mark.parametrize(("shows", "tls"), GOOD.values(), ids=GOOD.keys())
async def test_servers_that_are_believed(tmp_path: Path, shows: object, tls: Tls) -> None:
    async with (
        Backend() as backend,
        secured(backend, shows) as url,  # type: ignore[arg-type]
        gateway(config(url, tls(tmp_path))) as gw,
    ):
        assert (await gw.get("/")).body == b"ok"


BAD = {
    "an unknown authority": (
        leaf("127.0.0.1", ca="two"),
        of('ca = "{ca}"'),
        "unknown_ca",
        "has a certificate of an unknown authority",
    ),
    "not the system's": (HERE, of(""), "unknown_ca", "has a certificate of an unknown authority"),
    "another name": (
        HERE,
        of('ca = "{ca}", server_name = "shop.test"'),
        "wrong_name",
        "has a certificate for another name",
    ),
    "another address": (
        leaf("orders.test"),
        of('ca = "{ca}"'),
        "wrong_name",
        "has a certificate for another address",
    ),
    "another identity": (
        leaf("spiffe://mesh/orders"),
        of('ca = "{ca}", identities = ["spiffe://mesh/shop"]'),
        "wrong_identity",
        "has a certificate of another identity",
    ),
    "another identity, by what a sidecar knows its peers": (
        leaf("spiffe://mesh/orders"),
        of('ca = "{ca}", server_name = "outbound.mesh.x", identities = ["spiffe://mesh/shop"]'),
        "wrong_identity",
        "has a certificate of another identity",
    ),
    "a sidecar, and nobody says which": (
        leaf("spiffe://mesh/orders"),
        of('ca = "{ca}", server_name = "outbound.mesh.x"'),
        "wrong_name",
        "has a certificate for another name",
    ),
    "a name and no identity": (
        HERE,
        of('ca = "{ca}", identities = ["spiffe://mesh/shop"]'),
        "wrong_identity",
        "has a certificate of another identity",
    ),
}


@pytest.mark.parametrize(("shows", "tls", "kind", "why"), BAD.values(), ids=BAD.keys())
async def test_servers_that_are_not(
    tmp_path: Path, shows: object, tls: Tls, kind: str, why: str
) -> None:
    async with (
        Backend() as backend,
        secured(backend, shows) as url,  # type: ignore[arg-type]
        gateway(config(url, tls(tmp_path))) as gw,
    ):
        answer = await gw.get("/")
        assert answer.status == 502
        assert "error=tls_protocol_error" in answer["proxy-status"]
        seen = await trace(gw)
        for span in (seen.server, *seen.clients):
            assert span.status.code == ERROR
            assert span.status.message == f"{url[8:]}: the upstream {why}"
        assert seen.about["error.type"] == seen.tried[0]["error.type"] == "tls_error"
        assert str(seen.tried[0]["url.full"]).startswith("https://")
        assert number(gw, "spangate.upstream.tls.failures", spangate_reason=kind) == 1
        assert backend.heads == []
        await eventually(lambda: all(p.open == 0 for p in gw.worker._pools.values()))


@contextlib.asynccontextmanager
async def plain(backend: Backend) -> AsyncIterator[str]:
    yield f"https://127.0.0.1:{backend.port}"


async def speaks_http(peer: Peer) -> None:
    await peer.reader.read(100)
    peer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


async def hangs_up(peer: Peer) -> None:
    await peer.reader.read(100)


async def resets(peer: Peer) -> None:
    await peer.reader.read(100)
    peer.reset()


async def babbles(peer: Peer) -> None:
    await peer.reader.read(100)
    peer.write(b"\x16\x03\x03\x00\x04\xff\x00\x00\x00")


async def floods(peer: Peer) -> None:
    await peer.reader.read(100)
    while not peer.writer.is_closing():
        peer.write(b"\x16\x03\x03\x40\x00\x02\xff\xff\xff" + bytes(0x3FFC))
        await peer.writer.drain()


async def is_silent(peer: Peer) -> None:
    await peer.reader.read(-1)


PEERS = {
    "plain HTTP": (speaks_http, 502, "tls_error", "does not speak TLS"),
    "closes": (hangs_up, 502, "tls_error", "closed the connection during the TLS handshake"),
    "resets": (resets, 502, "tls_error", "closed the connection during the TLS handshake"),
    "babbles": (babbles, 502, "tls_error", ""),
    "floods": (floods, 502, "tls_error", ""),
    "silent": (is_silent, 504, "connect_timeout", ""),
}


@pytest.mark.parametrize(("handler", "status", "error", "why"), PEERS.values(), ids=PEERS.keys())
async def test_servers_without_tls(handler: object, status: int, error: str, why: str) -> None:
    async with (
        Backend(handler) as backend,  # type: ignore[arg-type]
        plain(backend) as url,
        gateway(config(url, "", 'connect_timeout = "500ms"')) as gw,
    ):
        assert (await gw.get("/")).status == status
        seen = await trace(gw)
        assert seen.tried[0]["error.type"] == error
        assert why in seen.clients[0].status.message
        await eventually(lambda: all(p.open == 0 for p in gw.worker._pools.values()))


@contextlib.asynccontextmanager
async def openssl(*more: str) -> AsyncIterator[str]:
    """The URL of `openssl s_server`, which answers every request with a page; unlike asyncio, it
    sends the alerts that it should."""
    command = ["s_server", "-accept", "127.0.0.1:0", "-www", "-cert", str(HERE.cert)]
    command += ["-key", str(HERE.key), *more]
    process = await asyncio.create_subprocess_exec(
        "openssl", *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            while not (line := await process.stdout.readline()).startswith(b"ACCEPT"):
                assert line
        yield f"https://127.0.0.1:{int(line.rpartition(b':')[2])}"
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_a_server_that_wants_to_know_who_asks(tmp_path: Path, version: str) -> None:
    ca = write_ca(tmp_path)
    async with openssl(version, "-Verify", "1", "-verify_return_error", "-CAfile", ca) as url:
        async with gateway(config(url, mine(tmp_path))) as gw:
            assert (await gw.get("/")).status == 200
        async with gateway(config(url, f'ca = "{ca}"')) as gw:
            assert (await gw.get("/")).status == 502
            seen = await trace(gw)
            assert seen.tried[0]["error.type"] == "tls_error"
            assert "wants a certificate" in seen.clients[0].status.message


async def test_too_old_a_server(tmp_path: Path) -> None:
    tls = f'ca = "{write_ca(tmp_path)}", min = "1.3"'
    async with openssl("-tls1_2") as url, gateway(config(url, tls)) as gw:
        assert (await gw.get("/")).status == 502
        await eventually_collected(
            gw, lambda: number(gw, "spangate.upstream.tls.failures", spangate_reason="version")
        )


async def test_what_is_offered_and_asked_for(tmp_path: Path) -> None:
    asked: list[tuple[str | None, str | None]] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HERE.cert, HERE.key)
    context.set_alpn_protocols(["http/1.1"])

    def note(talk: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        asked.append((name, None))

    context.sni_callback = note
    for more, name in (("", None), (', server_name = "orders.test"', "orders.test")):
        async with (
            Backend() as backend,
            serving(backend, context) as url,
            gateway(config(url, f'ca = "{write_ca(tmp_path)}"' + more)) as gw,
        ):
            assert (await gw.get("/")).status == 200
            assert asked.pop()[0] == name
            assert (await trace(gw)).tried[0]["tls.next_protocol"] == "http/1.1"


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_sessions_are_resumed(tmp_path: Path, newest: ssl.TLSVersion) -> None:
    async def once(peer: Peer) -> None:
        await peer.head()
        peer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HERE.cert, HERE.key)
    context.maximum_version = newest
    async with (
        Backend(once) as backend,
        serving(backend, context) as url,
        gateway(config(url, f'ca = "{write_ca(tmp_path)}"')) as gw,
    ):
        for _ in range(4):
            assert (await gw.get("/")).status == 200
        await traces(gw, 4)
        assert number(gw, "spangate.upstream.tls.handshakes", tls_resumed=True) == 3


@pytest.mark.parametrize("whole", [True, False])
async def test_an_answer_that_ends_with_the_connection(tmp_path: Path, whole: bool) -> None:
    """Without close_notify it may have been cut by anybody; with it, it is whole."""
    go = asyncio.Event()

    async def cut(peer: Peer) -> None:
        await peer.head()
        peer.write(b"HTTP/1.1 200 OK\r\n\r\nall")
        await go.wait()
        if not whole:
            peer.writer.transport.abort()

    async with (
        Backend(cut) as backend,
        secured(backend, HERE) as url,
        gateway(config(url, f'ca = "{write_ca(tmp_path)}"')) as gw,
    ):
        client = await gw.connect()
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.head()
        await client.reader.readuntil(b"all")
        go.set()
        error = (await trace(gw)).about.get("error.type")
        assert error == (None if whole else "response_truncated")


async def test_other_settings_are_for_new_connections(tmp_path: Path) -> None:
    """Nobody is asked any more who was believed by what does not count any more."""
    one, two = write_ca(tmp_path), write_ca(tmp_path, "two")
    async with (
        Backend() as backend,
        secured(backend, HERE) as url,
        gateway(config(url, f'ca = "{one}"')) as gw,
    ):
        assert (await gw.get("/")).status == 200
        await gw.reload(config(url, f'ca = "{one}"', 'timeout = "9s"'))
        assert (await gw.get("/")).status == 200
        assert len(backend.peers) == 1
        await gw.reload(config(url, f'ca = "{two}"'))
        assert (await gw.get("/")).status == 502
