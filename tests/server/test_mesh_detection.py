"""Who is served as what at a sidecar: requests, TLS of others, and any other bytes."""

from __future__ import annotations

import asyncio
from time import monotonic_ns
from typing import Any

import pytest

from proxy.http.h2 import PREFACE
from proxy.server import mesh_first
from tests.harness import DEADLINE, Backend, Peer
from tests.ports import free_port
from tests.server.kit import (
    attributes,
    eventually,
    eventually_collected,
    is_settled,
    number,
    reply,
    request,
)
from tests.server.sidecar_kit import Sidecar, sidecar
from tests.server.tls_kit import leaf, secured, trusting

HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32)
REQUEST = b"GET /x HTTP/1.1\r\nHost: orders\r\n\r\n"


async def echo(peer: Peer) -> None:
    while data := await peer.reader.read(65_536):
        peer.write(data)
        await peer.writer.drain()


async def greet(peer: Peer) -> None:
    peer.write(b"220 ready\r\n")
    await echo(peer)


async def both(peer: Peer) -> None:
    """HTTP on the same port as everything else."""
    await request(peer)
    peer.write(reply(200))


def guests_of(side: Sidecar) -> list[Any]:
    return list(side.gate.worker._connections)


def upstream_of(guest: Any) -> Any:
    """Which was dialled to hear whether it speaks first."""
    return getattr(guest, "_upstream", None)


async def test_other_bytes_pass_with_the_span_of_a_connection() -> None:
    async with Backend(echo) as app, sidecar(app) as side:
        client = await side.connect("inbound")
        client.write(b"*1\r\n$4\r\nPING\r\n")
        async with asyncio.timeout(DEADLINE):
            assert await client.reader.readexactly(14) == b"*1\r\n$4\r\nPING\r\n"
        client.writer.write_eof()
        assert await client.read_all() == b""
        spans = await side.spans(2)
        (server,) = [span for span in spans if span.name == "tcp inbound"]
        about = attributes(server)
        assert about["spangate.detected"] == "bytes"
        assert about["spangate.tunnel.bytes_in"] == about["spangate.tunnel.bytes_out"] == 14


async def test_a_server_that_speaks_first_is_heard_and_remembered() -> None:
    async with Backend(greet) as app, sidecar(app) as side:
        for how in ("server_first", "remembered"):
            before = len(side.gate.recorded.spans)
            client = await side.connect("inbound")
            async with asyncio.timeout(DEADLINE):
                assert await client.reader.readexactly(11) == b"220 ready\r\n"
            client.write(b"QUIT")
            async with asyncio.timeout(DEADLINE):
                assert await client.reader.readexactly(4) == b"QUIT"
            client.writer.write_eof()
            assert await client.read_all() == b""
            spans = (await side.spans(before + 2))[before:]
            (server,) = [span for span in spans if span.name == "tcp inbound"]
            assert attributes(server)["spangate.detected"] == how
        assert len(app.peers) == 2  # nobody was dialled for nothing
        await eventually(lambda: is_settled(side.gate))


@pytest.mark.parametrize("known", [True, False])
async def test_silence_at_a_server_whose_clients_speak_first_lasts_as_long_as_keepalive(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or each silent client would cost it a connection; at any other there is an hour for it."""
    monkeypatch.setattr(mesh_first, "PATIENCE", 0.01)
    limits = "[limits]\nkeepalive = '60s'"
    async with Backend(both) as app, sidecar(app, limits, 'detect = "1ms"') as side:
        if known:
            assert (await side.ask("inbound", "/", "orders")).status == 200
            await eventually(lambda: is_settled(side.gate))
        client = await side.connect("inbound")
        await eventually(lambda: any(upstream_of(guest) for guest in guests_of(side)))
        (guest,) = guests_of(side)
        for seconds, is_left in ((50, True), (70, not known), (3500, not known), (3700, False)):
            guest.tick(guest._since + seconds * 1_000_000_000)
            assert guest._over is not is_left
        assert await client.at_end()
        await eventually(lambda: is_settled(side.gate))


async def test_half_a_hello_has_the_time_of_a_head_whoever_was_dialled() -> None:
    limits = "[limits]\nheader_timeout = '60s'"
    async with Backend(both) as app, sidecar(app, limits, 'detect = "1ms"') as side:
        client = await side.connect("inbound")
        await eventually(lambda: any(upstream_of(guest) for guest in guests_of(side)))
        client.write(HALF_A_HELLO)
        (guest,) = guests_of(side)
        await eventually(lambda: guest._first)
        for seconds, is_left in ((50, True), (70, False)):
            guest.tick(guest._since + seconds * 1_000_000_000)
            assert guest._over is not is_left
        assert await client.at_end()


@pytest.mark.parametrize("said", [b"\0 who is there", b"QUIT\r\n", REQUEST, PREFACE])
@pytest.mark.parametrize("known", [False, True])
async def test_whoever_speaks_too_early_holds_up_nobody(
    known: bool, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a scanner, or a probe that takes the port for one of HTTP."""
    monkeypatch.setattr(mesh_first, "PATIENCE", 0.01)

    async def is_greeted() -> None:
        silent = await side.connect("inbound")
        async with asyncio.timeout(DEADLINE):
            assert await silent.reader.readexactly(11) == b"220 ready\r\n"

    async with Backend(greet) as app, sidecar(app, mesh='detect = "10ms"') as side:
        if known:
            await is_greeted()
        early = await side.connect("inbound")
        early.write(said)
        assert not await early.at_end()
        for _ in range(2):
            await is_greeted()


SETTINGS = b"\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64"


@pytest.mark.parametrize("greeting", [SETTINGS, b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
async def test_a_server_of_http_that_does_not_wait_is_no_server_that_speaks_first(
    greeting: bytes,
) -> None:
    """Those of gRPC send their settings at once, others a 408 to who is silent for long: one
    client that says nothing must not cost all others their spans."""

    async def handler(peer: Peer) -> None:
        if silences:
            peer.write(greeting)
            await peer.rest()
        else:
            await both(peer)

    silences = [1]
    async with Backend(handler) as app, sidecar(app, mesh='detect = "1ms"') as side:
        silent = await side.connect("inbound")
        if greeting is SETTINGS:
            await eventually(lambda: app.peers and app.peers[0].reader.at_eof())
        else:
            async with asyncio.timeout(DEADLINE):
                assert await silent.reader.readexactly(len(greeting)) == greeting
        silences.clear()
        client = await side.connect("inbound")
        client.write(REQUEST)
        assert (await client.answer()).status == 200
        if greeting is SETTINGS:
            silent.write(REQUEST)
            assert (await silent.answer()).status == 200
        await eventually_collected(
            side.gate, lambda: any(s.name == "GET /*" for s in side.gate.recorded.spans)
        )


async def test_a_client_that_takes_its_time_is_served_all_the_same() -> None:
    async with Backend(both) as app, sidecar(app, mesh='detect = "1ms"') as side:
        client = await side.connect("inbound")
        await eventually(lambda: app.peers)  # its server was asked whether it speaks first
        client.write(b"GET /late HTTP/1.1\r\nHost: orders\r\n\r\n")
        assert (await client.answer()).status == 200
        again = await side.connect("inbound")
        again.write(b"GET /late HTTP/1.1\r\nHost: orders\r\n\r\n")
        assert (await again.answer()).status == 200
        spans = await side.spans(4)
        assert {span.name for span in spans} == {"GET /*"}


async def test_a_head_in_pieces_is_one() -> None:
    async with Backend() as app, sidecar(app) as side:
        client = await side.connect("inbound")
        for byte in b"GET /slow HTTP/1.1\r\nHost: orders\r\n\r\n":
            client.write(bytes([byte]))
            await client.writer.drain()
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("pieces", [(b"\r\n", REQUEST), (b"\r\n" + REQUEST,)])
@pytest.mark.parametrize("listener", ["inbound", "outbound"])
async def test_an_empty_line_before_a_request_is_ignored(
    listener: str, pieces: tuple[bytes, ...]
) -> None:
    """RFC 9112 §2.2, as on a listener of a gateway."""
    async with (
        Backend() as app,
        sidecar(app, f'[upstream.orders]\nservers = ["{app.url}"]') as side,
    ):
        client = await side.connect(listener)
        for piece in pieces:
            client.write(piece)
            await client.writer.drain()
        assert (await client.answer()).status == 200
        spans = await side.spans(2 if listener == "inbound" else 1)
        assert {attributes(span)["http.request.method"] for span in spans} == {"GET"}


@pytest.mark.parametrize("before", [b"\r\n\r\n", b"\n"])
async def test_with_more_than_that_before_it_it_passes_as_bytes(before: bytes) -> None:
    """A gateway would refuse it, and the application may not."""
    async with Backend(echo) as app, sidecar(app) as side:
        client = await side.connect("inbound")
        client.write(before + REQUEST)
        client.writer.write_eof()
        assert await client.read_all() == before + REQUEST


async def test_the_clock_of_a_head_starts_with_its_first_byte() -> None:
    """And not with the silence before it, which may be as long as `keepalive`."""
    limits = "[limits]\nheader_timeout = '500ms'\nkeepalive = '60s'"
    async with Backend() as app, sidecar(app, limits) as side:
        client, late = await side.connect("outbound"), await side.connect("outbound")
        late.write(b"G")
        assert await late.at_end()  # so a head that had begun with the connection would be too old
        client.write(b"GE")
        guests = side.gate.worker._connections
        await eventually(lambda: [getattr(g, "_first", b"") for g in guests] == [b"GE"])
        for guest in list(guests):
            guest.tick(monotonic_ns())
        client.write(f"T /x HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\n\r\n".encode())
        assert (await client.answer()).status == 200


async def test_half_a_word_is_passed_on_when_no_more_comes() -> None:
    async with Backend(echo) as app, sidecar(app, mesh='detect = "1ms"') as side:
        client = await side.connect("inbound")
        client.write(b"PING")  # which could become a request
        async with asyncio.timeout(DEADLINE):
            assert await client.reader.readexactly(4) == b"PING"


@pytest.mark.parametrize("word", [b"GE", b"GET", b"\x16\x03\x01", HALF_A_HELLO])
async def test_half_a_word_before_the_end_is_passed_on_with_it(word: bytes) -> None:
    async with Backend(echo) as app, sidecar(app) as side:
        client = await side.connect("inbound")
        client.write(word)
        client.writer.write_eof()
        assert await client.read_all() == word


async def after_the_end(peer: Peer) -> None:
    peer.write(b"all: " + await peer.rest())


@pytest.mark.parametrize("detect", ["1ms", "60s"])
async def test_a_client_that_shuts_before_a_word_is_passed_on(detect: str) -> None:
    async with Backend(after_the_end) as app, sidecar(app, mesh=f'detect = "{detect}"') as side:
        client = await side.connect("inbound")
        if detect == "1ms":
            await eventually(lambda: app.peers)  # its server was asked whether it speaks first
        client.writer.write_eof()
        assert await client.read_all() == b"all: "
        (told,) = [span for span in await side.spans(2) if span.name == "tcp inbound"]
        about = attributes(told)
        assert about["spangate.detected"] == "bytes"
        assert about["spangate.tunnel.bytes_in"] == 0 and about["spangate.tunnel.end"] == "client"
        assert len(app.peers) == 1
        await side.gate.recorded.collect()
        labels = {"spangate_direction": "inbound", "spangate_detected": "bytes"}
        assert number(side.gate, "spangate.mesh.connections", **labels) == 1


async def test_what_is_known_of_a_server_holds_for_a_client_that_shuts_at_once() -> None:
    async with Backend(greet) as app, sidecar(app) as side:
        for how in ("server_first", "remembered"):
            client = await side.connect("inbound")
            if how == "server_first":
                async with asyncio.timeout(DEADLINE):
                    assert await client.reader.readexactly(11) == b"220 ready\r\n"
            client.writer.write_eof()
            rest = await client.read_all()
            assert rest == (b"" if how == "server_first" else b"220 ready\r\n")
        await side.spans(4)
        await eventually(lambda: is_settled(side.gate))


async def test_who_says_no_place_and_shuts_is_ended_without_a_word() -> None:
    async with Backend() as app, sidecar(app) as side:
        client = await side.connect("outbound")
        client.writer.write_eof()
        assert await client.read_all() == b""
        await eventually(lambda: is_settled(side.gate))
        await side.gate.recorded.collect()
        assert number(side.gate, "spangate.rejected") == 0
        assert number(side.gate, "spangate.mesh.connections") == 0
        assert not side.gate.recorded.spans


async def test_half_a_head_before_the_end_is_no_request_and_no_bytes() -> None:
    async with Backend(after_the_end) as app, sidecar(app) as side:
        client = await side.connect("inbound")
        client.write(REQUEST[:-4])
        client.writer.write_eof()
        assert await client.read_all() == b""
        await eventually(lambda: is_settled(side.gate))
        assert not app.peers


async def test_half_a_word_after_a_silence_is_passed_on_too() -> None:
    async with Backend(echo) as app, sidecar(app, mesh='detect = "1ms"') as side:
        client = await side.connect("inbound")
        async with asyncio.timeout(DEADLINE):
            while not app.peers:  # the silence is over: the application was dialled to be heard
                await asyncio.sleep(0.001)
            client.write(b"PING")
            assert await client.reader.readexactly(4) == b"PING"


async def test_half_a_word_that_says_no_place_is_waited_for() -> None:
    """Bytes could go nowhere, but it may become a request that says where."""
    async with Backend() as app, sidecar(app, mesh='detect = "1ms"') as side:
        client = await side.connect("outbound")
        for part in ("GE", f"T /x HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\n\r\n"):
            client.write(part.encode())
            await asyncio.sleep(0.05)
        assert (await client.answer()).status == 200
        await side.spans(1)


async def test_http2_by_its_preface_reaches_the_application_as_such() -> None:
    settings = b"\0\0\0\4\0\0\0\0\0"

    async def answer(peer: Peer) -> None:
        peer.received = await peer.reader.readexactly(len(PREFACE))
        peer.write(settings)
        await peer.reader.read(-1)

    async with Backend(answer) as app, sidecar(app) as side:
        client = await side.connect("inbound")
        # GET / of http://a, by indices of the static table and one literal (RFC 7541)
        block = b"\x82\x86\x84\x41\x01a"
        head = b"\0\0" + bytes([len(block)]) + b"\1\5\0\0\0\1" + block
        client.write(PREFACE + settings + head)
        await eventually(lambda: app.peers and app.peers[0].received == PREFACE)


async def test_tls_of_others_passes_undecrypted() -> None:
    app = Backend()
    async with secured(app, leaf("app.test")) as url:
        port = int(url.rpartition(":")[2])
        async with sidecar(port) as side:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", side.inbound, ssl=trusting(), server_hostname="app.test"
            )
            writer.write(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            async with asyncio.timeout(DEADLINE):
                assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            writer.close()
            spans = await side.spans(2)
            (told,) = [span for span in spans if span.name == "tcp inbound"]
            about = attributes(told)
            assert about["spangate.detected"] == "tls" and about["server.address"] == "app.test"


async def test_a_port_that_is_not_looked_at() -> None:
    async with Backend() as app, sidecar(app, mesh=f"opaque = [{app.port}]") as side:
        answer = await side.ask("inbound", "/", "orders", "Connection: close")
        assert answer.status == 200
        spans = await side.spans(2)
        assert "tcp inbound" in {span.name for span in spans}
        assert app.field("traceparent") is None


async def test_an_application_that_is_not_there_resets_its_clients() -> None:
    async with sidecar(free_port(), mesh='detect = "1ms"') as side:
        client = await side.connect("inbound")
        assert await client.at_end()


async def test_bytes_that_say_no_place_go_nowhere() -> None:
    async with Backend() as app, sidecar(app) as side:
        client = await side.connect("outbound")
        client.write(b"\0\1\2\3")
        assert await client.at_end()
        await side.gate.recorded.collect()
        refused = number(side.gate, "spangate.rejected", spangate_reason="mesh_nowhere")
        assert refused == 1


async def test_a_client_that_comes_and_goes_leaves_nothing_behind() -> None:
    async with Backend(greet) as app, sidecar(app, mesh='detect = "1ms"') as side:
        for wait in (False, True):
            client = await side.connect("inbound")
            if wait:
                await eventually(lambda: app.peers)
            client.vanish()
        await eventually(lambda: is_settled(side.gate))


async def test_connections_are_counted_by_what_they_speak() -> None:
    async with Backend(both) as app, sidecar(app) as side:
        client = await side.connect("inbound")
        client.write(b"GET /x HTTP/1.1\r\nHost: orders\r\n\r\n")
        assert (await client.answer()).status == 200
        (await side.connect("inbound")).write(PREFACE)
        (await side.connect("inbound")).write(b"*1\r\n$4\r\nPING\r\n")

        def count(how: str) -> float:
            labels = {"spangate_direction": "inbound", "spangate_detected": how}
            return number(side.gate, "spangate.mesh.connections", **labels)

        for how in ("http", "http2", "bytes"):
            await eventually_collected(side.gate, lambda how=how: count(how) == 1)  # type: ignore[misc]
