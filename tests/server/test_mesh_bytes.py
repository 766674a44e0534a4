"""Bytes that are no HTTP between two sidecars that let nobody in without an identity."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.server import mesh_first
from tests.harness import DEADLINE, Backend, Client, Gateway, Handler, Peer, gateway
from tests.server import netns
from tests.server.kit import CLIENT, SERVER, attributes, eventually, is_settled, number
from tests.server.mesh_kit import Who, client, material, workload
from tests.server.test_mesh_detection import both, echo, greet
from tests.server.tls_kit import leaf, secured, trusting

ORDERS = workload("spiffe://mesh/orders")
SHOP = workload("spiffe://mesh/shop")

SIDECAR = """
[export]
otlp = "http://127.0.0.1:1"
[mesh]
name = "{name}"
app = "127.0.0.1:{app}"
mtls = "{mtls}"
identity = {{ ca = "files:///nowhere" }}
{more}
"""
TURNED = 'redirect = "nft"\npeers = ["10.9.9.0/24"]\n'


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    with netns.network():
        yield


@dataclass
class Pair:
    """Two sidecars: what `client` connects to goes out by `shop` and comes in by `orders`."""

    shop: Gateway
    orders: Gateway
    port: int

    async def client(self) -> Client:
        """Of an application that knows nothing of all this."""
        before = os.getegid()
        os.setegid(netns.GROUP)
        try:
            sock = socket.socket()
        finally:
            os.setegid(before)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (netns.HERE4, self.port))
        return Client(*await asyncio.open_connection(sock=sock, limit=2**24))

    async def spans(self) -> tuple[Span, Span, Span]:
        """Of one connection: out, in, to the application."""
        (out,) = await self.shop.spans(1)
        inward = await self.orders.spans(2)
        assert len(inward) == 2, [span.name for span in inward]
        (server,) = [span for span in inward if span.kind == SERVER]
        (client,) = [span for span in inward if span.kind == CLIENT]
        return out, server, client

    async def are_settled(self) -> None:
        await eventually(lambda: is_settled(self.shop) and is_settled(self.orders))


@contextlib.asynccontextmanager
async def sidecars(
    app: Backend,
    out: str = "",
    inward: str = "",
    *,
    mtls: str = "strict",
    shop: Who = SHOP,
    orders: Who = ORDERS,
    turned: str = TURNED,
) -> AsyncIterator[Pair]:
    """`out`, `inward`: more of their tables; PORT is where each of them sends bytes."""
    port = netns.PORT
    sock = socket.create_server((netns.HERE4, port))
    out = turned + out.replace("PORT", str(port))
    inward = inward.replace("PORT", str(app.port))
    texts = (
        SIDECAR.format(name="shop", app=9, mtls=mtls, more=out),
        SIDECAR.format(name="orders", app=app.port, mtls=mtls, more=inward),
    )
    async with (
        gateway(texts[0], known=material(shop)) as one,
        gateway(texts[1], sock=sock, known=material(orders)) as other,
    ):
        netns.turn(port, one.ports["outbound"])
        yield Pair(one, other, port)


async def exactly(client: Client, text: bytes) -> None:
    async with asyncio.timeout(DEADLINE):
        assert await client.reader.readexactly(len(text)) == text


def how(span: Span) -> object:
    return attributes(span)["spangate.detected"]


OPAQUE = "opaque = [PORT]\n"


@pytest.mark.parametrize("mtls", ["strict", "permissive"])
@pytest.mark.parametrize(
    ("out", "inward", "word"),
    [("", "", "bytes"), (OPAQUE, "", "opaque_port"), ("", OPAQUE, "bytes")],
)
async def test_a_client_that_speaks_first(out: str, inward: str, word: str, mtls: str) -> None:
    async with Backend(echo) as app, sidecars(app, out, inward, mtls=mtls) as pair:
        client = await pair.client()
        client.write(b"*1\r\n$4\r\nPING\r\n")
        await exactly(client, b"*1\r\n$4\r\nPING\r\n")
        client.writer.write_eof()
        assert await client.read_all() == b""
        await tells_both(pair, word)
        await pair.are_settled()
        await pair.orders.recorded.collect()
        labels = {"spangate_direction": "inbound", "spangate_detected": "mesh_bytes"}
        assert number(pair.orders, "spangate.mesh.connections", **labels) == 1


async def tells_both(pair: Pair, word: str) -> None:
    """The spans of both sides say who the other one is."""
    out, server, inner = await pair.spans()
    assert how(out) == word and how(server) == "mesh_bytes"
    assert attributes(out)["spangate.peer.identity"] == ORDERS.id
    assert attributes(out)["peer.service"] == ORDERS.id.rpartition("/")[2]
    assert attributes(server)["spangate.peer.identity"] == SHOP.id
    assert "spangate.peer.identity" not in attributes(inner)
    assert out.kind == CLIENT and not out.parent_span_id
    assert inner.parent_span_id == server.span_id and inner.trace_id == server.trace_id
    assert attributes(out)["network.peer.port"] == pair.port
    assert attributes(out)["tls.protocol.version"] == "1.3"


async def test_a_server_that_speaks_first_is_heard_and_remembered_by_both() -> None:
    async with Backend(greet) as app, sidecars(app) as pair:
        for word in ("server_first", "remembered"):
            client = await pair.client()
            await exactly(client, b"220 ready\r\n")
            client.write(b"QUIT")
            await exactly(client, b"QUIT")
            client.writer.write_eof()
            assert await client.read_all() == b""
            await tells_both(pair, word)
            pair.shop.recorded.spans.clear()
            pair.orders.recorded.spans.clear()
        assert len(app.peers) == 2  # nobody was dialled for nothing
        await pair.are_settled()


async def test_the_client_shuts_first_and_gets_all_of_a_long_answer() -> None:
    answer = bytes(range(256)) * 65_536  # 16 MiB: more than all buffers on the way

    async def handler(peer: Peer) -> None:
        assert await peer.rest() == b"\x00all of it"
        peer.write(answer)
        await peer.writer.drain()

    async with Backend(handler) as app, sidecars(app) as pair:
        client = await pair.client()
        client.write(b"\x00all of it")
        client.writer.write_eof()
        assert await client.read_all() == answer
        out, server, _ = await pair.spans()
        assert attributes(out)["spangate.tunnel.end"] == "client"
        assert attributes(server)["spangate.tunnel.bytes_out"] == len(answer)


async def test_who_shuts_while_the_other_end_waits_for_him_to_read_loses_nothing() -> None:
    answer = bytes(range(256)) * 65_536
    shut = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.body(1)
        peer.write(answer)
        assert await peer.rest() == b"the end"
        shut.set()
        await peer.writer.drain()

    async with Backend(handler) as app, sidecars(app) as pair:
        client = await pair.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.write(b"\x00")
        await eventually(lambda: blocked(pair.shop))
        client.write(b"the end")
        client.writer.write_eof()
        async with asyncio.timeout(DEADLINE):
            await shut.wait()  # the end has gone all the way, against the stream
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert await client.read_all() == answer


def blocked(gate: Gateway) -> bool:
    """Whether somebody there does not take what there is for him."""
    return any(getattr(guest, "blocked", False) for guest in gate.worker._connections)


async def test_the_server_shuts_first_and_hears_all_that_follows() -> None:
    heard = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.body(2)
        peer.write(b"bye")
        peer.writer.write_eof()
        assert await peer.rest() == b"and this"
        heard.set()

    async with Backend(handler) as app, sidecars(app) as pair:
        client = await pair.client()
        client.write(b"\x00\x01")
        assert await client.read_all() == b"bye"
        client.write(b"and this")
        client.writer.write_eof()
        async with asyncio.timeout(DEADLINE):
            await heard.wait()
        out, server, _ = await pair.spans()
        for span in (out, server):
            assert attributes(span)["spangate.tunnel.end"] == "upstream"
        await pair.are_settled()


async def after_the_end(peer: Peer) -> None:
    peer.write(b"all: " + await peer.rest())


async def before_and_after(peer: Peer) -> None:
    peer.write(b"all")
    peer.write(b": " + await peer.rest())


NO_PEERS = 'redirect = "nft"\n'
SHUT_FIRST = [
    (handler, mtls, turned, dialled)
    for handler in (after_the_end, before_and_after)
    for mtls, turned in (("strict", TURNED), ("permissive", TURNED), ("permissive", NO_PEERS))
    for dialled in (False, True)
]


@pytest.mark.parametrize(("handler", "mtls", "turned", "dialled"), SHUT_FIRST)
async def test_who_shuts_before_a_word_hears_all_that_the_server_says(
    handler: Handler, mtls: str, turned: str, dialled: bool
) -> None:
    """As `nc -N` without input does; the server may have been dialled by then to be heard."""
    is_mtls = turned == TURNED
    turned += f'detect = "{"1ms" if dialled else "60s"}"\n'
    # A ClientHello that is later than `detect` would be taken for silence.
    inward = 'detect = "1ms"\n' if dialled and not is_mtls else 'detect = "60s"\n'
    async with (
        Backend(handler) as app,
        sidecars(app, inward=inward, mtls=mtls, turned=turned) as pair,
    ):
        client = await pair.client()
        if dialled:
            await eventually(lambda: app.peers)
        client.writer.write_eof()
        assert await client.read_all() == b"all: "
        assert len(app.peers) == 1  # nobody was dialled for nothing
        out, server, _ = await pair.spans()
        if handler is after_the_end:
            assert how(out) == "bytes"
            assert how(server) == ("mesh_bytes" if is_mtls else "bytes")
        for span in (out, server):
            assert attributes(span)["spangate.tunnel.bytes_in"] == 0
            assert attributes(span)["spangate.tunnel.bytes_out"] == 5
        await pair.are_settled()


async def test_who_shuts_before_a_late_greeting_hears_it() -> None:
    greets = asyncio.Event()

    async def handler(peer: Peer) -> None:
        assert await peer.rest() == b""
        async with asyncio.timeout(DEADLINE):
            await greets.wait()
        peer.write(b"220 ready\r\n")

    async with Backend(handler) as app, sidecars(app, 'detect = "1ms"\n') as pair:
        client = await pair.client()
        await eventually(lambda: len(pair.orders.worker._connections) == 1 and app.peers)
        client.writer.write_eof()
        await eventually(lambda: app.peers[0].reader.at_eof())
        greets.set()
        assert await client.read_all() == b"220 ready\r\n"


async def test_who_shows_no_certificate_and_says_nothing_is_ended_without_a_word() -> None:
    async with Backend(after_the_end) as app, sidecars(app) as pair:
        plain = Client(*await asyncio.open_connection(netns.HERE4, pair.port))
        plain.writer.write_eof()
        assert await plain.read_all() == b""
        await pair.are_settled()
        await nobody_came(pair, app)


async def test_for_whom_there_is_nothing_nobody_is_dialled_when_he_shuts() -> None:
    allow = 'allow = [{ from = "spiffe://mesh/else" }]\n'
    async with (
        Backend(after_the_end) as app,
        sidecars(app, inward=allow, mtls="permissive", turned=NO_PEERS) as pair,
    ):
        plain = Client(*await asyncio.open_connection(netns.HERE4, pair.port))
        plain.writer.write_eof()
        assert await plain.read_all() == b""
        await pair.are_settled()
        await nobody_came(pair, app)


async def nobody_came(pair: Pair, app: Backend) -> None:
    await pair.orders.recorded.collect()
    for metric in ("spangate.rejected", "spangate.access.denied", "spangate.mesh.connections"):
        assert number(pair.orders, metric) == 0
    assert not app.peers and not pair.orders.recorded.spans


async def test_tls_of_the_client_passes_within_ours() -> None:
    async with Backend(both) as app, secured(app, leaf("gateway.test")) as url:
        behind = Backend()
        behind.port = int(url.rpartition(":")[2])
        async with sidecars(behind) as pair:
            client = await pair.client()
            await client.writer.start_tls(trusting(), server_hostname="gateway.test")
            client.write(b"GET /x HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
            assert (await client.answer()).status == 200
            await client.close()
            out, server, _ = await pair.spans()
            assert how(out) == "tls" and how(server) == "mesh_bytes"
            assert attributes(out)["server.address"] == netns.HERE4
            assert attributes(out)["spangate.peer.identity"] == ORDERS.id


async def test_who_asks_for_a_name_of_the_mesh_is_sent_to_its_sidecar() -> None:
    turned = 'redirect = "nft"\npeers = ["gateway.test"]\ndetect = "1ms"\n'
    async with Backend(both) as app, secured(app, leaf("gateway.test")) as url:
        behind = Backend()
        behind.port = int(url.rpartition(":")[2])
        async with sidecars(behind, turned=turned) as pair:
            client = await pair.client()
            await eventually(lambda: len(pair.orders.worker._connections) == 1)  # it is silent
            await client.writer.start_tls(trusting(), server_hostname="gateway.test")
            client.write(b"GET /x HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
            assert (await client.answer()).status == 200
            await client.close()
            await tells_both(pair, "tls")


async def test_what_is_for_the_other_sidecar_already_goes_as_it_is() -> None:
    async with Backend(both) as app, sidecars(app) as pair:
        peer = await pair.client()
        await peer.writer.start_tls(client(SHOP), server_hostname="outbound.mesh.orders")
        peer.write(b"GET /x HTTP/1.1\r\nHost: orders\r\n\r\n")
        assert (await peer.answer()).status == 200
        await peer.close()
        (out,) = await pair.shop.spans(1)
        assert how(out) == "tls" and "spangate.peer.identity" not in attributes(out)
        assert {span.name for span in await pair.orders.spans(2)} == {"GET /*"}


async def test_resets_end_it_at_the_other_end() -> None:
    gone = asyncio.Event()

    async def handler(peer: Peer) -> None:
        if await peer.body(1) == b"\x00":
            peer.reset()
            return
        with pytest.raises(ConnectionResetError):
            await peer.reader.read()
        gone.set()

    async with Backend(handler) as app, sidecars(app) as pair:
        client = await pair.client()
        client.write(b"\x00")
        with pytest.raises(ConnectionResetError):
            await client.read_all()
        _, server, _ = await pair.spans()
        assert attributes(server)["spangate.tunnel.end"] == "upstream_reset"
        client = await pair.client()
        client.write(b"\x01")
        await eventually(lambda: len(app.peers) == 2 and app.peers[1].received)
        client.vanish()
        async with asyncio.timeout(DEADLINE):
            await gone.wait()
        spans = await pair.orders.spans(4)
        ends = [attributes(s).get("spangate.tunnel.end") for s in spans if s.kind == SERVER]
        assert ends == ["upstream_reset", "client_reset"]
        await pair.are_settled()


@pytest.mark.parametrize("handler", [echo, greet])
async def test_rules_decide_who_may_send_bytes(handler: Handler) -> None:
    allow = 'allow = [{ from = "spiffe://mesh/else" }]\n'
    async with Backend(handler) as app, sidecars(app, inward=allow) as pair:
        client = await pair.client()
        if handler is echo:
            client.write(b"\x00\x01")
        assert await client.at_end()
        await eventually(lambda: not any(peer.received for peer in app.peers))
        await pair.orders.recorded.collect()
        labels = {"spangate_check": "mesh", "spangate_denied_reason": "identity"}
        assert number(pair.orders, "spangate.access.denied", **labels) == 1
        assert not pair.orders.recorded.spans
        await pair.are_settled()


async def test_a_client_of_http_that_takes_its_time_is_told_of_nowhere_else() -> None:
    allow = 'allow = [{ from = "spiffe://mesh/shop", path = "/late" }]\n'
    async with Backend(both) as app, sidecars(app, 'detect = "1ms"\n', allow) as pair:
        client = await pair.client()
        await eventually(lambda: app.peers)  # its server was asked whether it speaks first
        client.write(b"GET /late HTTP/1.1\r\nHost: orders\r\n\r\n")
        assert (await client.answer()).status == 200
        (out,) = await pair.shop.spans(1)
        spans = await pair.orders.spans(2)
        assert out.name.startswith("GET") and {span.name for span in spans} == {"GET /*"}
        await pair.orders.recorded.collect()
        assert number(pair.orders, "spangate.access.denied") == 0


@pytest.mark.parametrize("known", [True, False])
async def test_silence_at_a_server_of_http_costs_it_no_connection_for_long(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh_first, "PATIENCE", 0.01)
    limits = "[limits]\nkeepalive = '60s'\n"
    async with Backend(both) as app, sidecars(app, 'detect = "1ms"\n', limits) as pair:
        if known:
            client = await pair.client()
            client.write(b"GET / HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n")
            assert (await client.answer()).status == 200
            await client.close()
        client = await pair.client()
        guests = pair.orders.worker._connections
        await eventually(lambda: any(getattr(g, "_upstream", None) for g in guests))
        (guest,) = [g for g in guests if getattr(g, "_upstream", None)]
        for seconds, is_left in ((50, True), (70, not known), (3500, not known), (3700, False)):
            guest.tick(guest._since + seconds * 1_000_000_000)
            assert guest._over is not is_left
        assert await client.at_end()


@pytest.mark.parametrize("silent", [False, True])
async def test_a_stranger_is_refused_and_both_say_why(
    silent: bool, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = workload("spiffe://mesh/shop", by="partner")
    async with Backend(greet) as app, sidecars(app, shop=stranger) as pair:
        with caplog.at_level(logging.WARNING, "spangate"):
            client = await pair.client()
            if not silent:
                client.write(b"\x00\x01")
            assert await client.at_end()
            await eventually(lambda: "connection refused: mesh:" in caplog.text)
        (out,) = await pair.shop.spans(1)
        about = attributes(out)
        assert about["error.type"] == "tls_error"
        assert about["spangate.tunnel.end"] == "not_connected"
        assert not app.peers and not pair.orders.recorded.spans
        await pair.are_settled()


async def test_nobody_else_is_sent_what_is_for_the_mesh() -> None:
    other = workload("spiffe://mesh/orders", by="partner")
    async with Backend(greet) as app, sidecars(app, orders=other) as pair:
        client = await pair.client()
        client.write(b"\x00\x01")
        assert await client.at_end()
        (out,) = await pair.shop.spans(1)
        assert attributes(out)["error.type"] == "tls_error"
        assert not app.peers


async def test_a_closed_port_of_the_application_ends_its_clients() -> None:
    async with Backend() as app:
        pass
    async with sidecars(app) as pair:
        client = await pair.client()
        client.write(b"\x00\x01")
        assert await client.at_end()
        _, server, _ = await pair.spans()
        assert attributes(server)["spangate.tunnel.end"] == "not_connected"
        assert attributes(server)["error.type"] == "connection_refused"
        await pair.are_settled()


async def test_without_peers_bytes_go_as_they_are() -> None:
    turned = 'redirect = "nft"\n'
    async with Backend(echo) as app, sidecars(app, mtls="permissive", turned=turned) as pair:
        client = await pair.client()
        client.write(b"\x00\x01")
        await exactly(client, b"\x00\x01")
        await client.close()
        out, server, _ = await pair.spans()
        assert how(out) == how(server) == "bytes"
        assert "spangate.peer.identity" not in attributes(out)
