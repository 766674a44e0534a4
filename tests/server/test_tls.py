"""Listeners with TLS: who is served how, who is refused why, and what is told of it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from time import monotonic_ns
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.harness import DEADLINE, Backend, Gateway, Peer, gateway, routes
from tests.server.kit import attributes, eventually, eventually_collected, number
from tests.server.tls_kit import (
    connect,
    leaf,
    listening,
    trusting,
    write,
    write_ca,
)

FAILED = "spangate.downstream.tls.failures"
SHAKEN = "spangate.downstream.tls.handshakes"
ANSWERING = '[[route]]\npath = "/*"\nrespond = { status = 200, body = "pong" }\n'

GET = b"GET /x HTTP/1.1\r\nHost: gateway.test\r\n\r\n"


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_request_and_its_span(tmp_path: Path, newest: ssl.TLSVersion) -> None:
    async with Backend() as backend, gateway(routes(backend, listening(tmp_path))) as gw:
        context = trusting()
        context.maximum_version = newest
        context.set_alpn_protocols(["http/1.1"])
        client = await connect(gw, context)
        for _ in range(2):
            client.write(GET)
            assert (await client.answer()).body == b"ok"
        spans = await gw.spans(4)
        assert backend.field("x-forwarded-proto") == "https"
        said = attributes(next(s for s in spans if s.kind == Span.SPAN_KIND_SERVER))
        assert number(gw, SHAKEN, tls_resumed=False) == 1
        assert said["url.scheme"] == "https"
        assert said["tls.protocol.version"] == newest.name[-3:].replace("_", ".")
        assert str(said["tls.cipher"]).startswith("TLS_")
        assert said["tls.next_protocol"] == "http/1.1"
        assert said["tls.resumed"] is False
        assert "tls.client.subject" not in said


async def test_much_both_ways(tmp_path: Path) -> None:
    async def echo(peer: Peer) -> None:
        await peer.head()
        body = await peer.body(5_000_000)
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + body)

    body = bytes(range(250)) * 20_000
    async with Backend(echo) as backend, gateway(routes(backend, listening(tmp_path))) as gw:
        client = await connect(gw)
        head = b"POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 5000000\r\n\r\n"
        client.write(head + body)
        assert (await client.answer()).body == body


async def test_a_client_that_does_not_read_holds_back_the_upstream(tmp_path: Path) -> None:
    sent = 0

    async def pour(peer: Peer) -> None:
        nonlocal sent
        await peer.head()
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1000):
            peer.write(bytes(100_000))
            await peer.writer.drain()
            sent += 100_000

    async with Backend(pour) as backend, gateway(routes(backend, listening(tmp_path))) as gw:
        client = await connect(gw)
        client.reader._limit = 1000  # type: ignore[attr-defined]
        client.write(GET)
        await client.head()
        before = -1
        while sent != before or sent == 0:
            before = sent
            await asyncio.sleep(0.2)
        assert 0 < sent < 60_000_000
        client.vanish()


# who is not served


def hello(context: ssl.SSLContext | None = None, name: str = "gateway.test") -> bytes:
    out = ssl.MemoryBIO()
    talk = (context or trusting()).wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        talk.do_handshake()
    return out.read()


async def raw(gw: Gateway, data: bytes) -> bytes:
    """What comes back until the gateway closes."""
    client = await gw.connect()
    client.write(data)
    return await client.read_all()


def speaking(*protocols: str) -> ssl.SSLContext:
    context = trusting()
    context.set_alpn_protocols(list(protocols))
    return context


NOT_SERVED = {
    "plain HTTP": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 400 Bad Request", "plain_http"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HTTP/1.1 400 Bad Request", "plain_http"),
    "SSH": (b"SSH-2.0-OpenSSH_9\r\n", b"", "not_tls"),
    "an alert": (b"\x15\x03\x01\x00\x02\x02\x28", b"", "not_tls"),
    "TLS 1.0": (b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x01" + bytes(32)
                + b"\x00\x00\x02\x00\x2f\x01\x00", b"\x15\x03", "version"),
    "garbage in a handshake": (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff", b"", "not_tls"),
    "no common cipher": (b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x03" + bytes(32)
                         + b"\x00\x00\x02\x00\x2f\x01\x00", b"\x15\x03", "no_shared_cipher"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "answer", "why"), NOT_SERVED.values(), ids=NOT_SERVED.keys())
async def test_who_is_not_served(tmp_path: Path, data: bytes, answer: bytes, why: str) -> None:
    async with gateway(listening(tmp_path) + ANSWERING) as gw:
        got = await raw(gw, data)
        assert got.startswith(answer) and bool(got) == bool(answer)
        await eventually_collected(gw, lambda: number(gw, FAILED, spangate_reason=why) == 1)
        await eventually(lambda: not gw.worker._connections)


async def test_plain_http_is_told_what_to_do(tmp_path: Path) -> None:
    async with gateway(listening(tmp_path) + ANSWERING) as gw:
        assert b"write https:// instead" in await raw(gw, GET)
        await eventually_collected(gw, lambda: number(gw, "spangate.rejected") == 1)


async def test_tls_on_a_plain_port_is_refused_and_counted() -> None:
    async with gateway(ANSWERING) as gw:
        # OpenSSL calls it "wrong version number", which everybody looks up.
        assert b"this port speaks plain HTTP" in await raw(gw, hello())
        await eventually_collected(
            gw, lambda: number(gw, "spangate.rejected", spangate_reason="tls") == 1
        )


async def test_a_client_of_other_protocols_gets_an_alert(tmp_path: Path) -> None:
    async with gateway(listening(tmp_path) + ANSWERING) as gw:
        with pytest.raises(ssl.SSLError, match="no application protocol"):
            await connect(gw, speaking("acme-tls/1"))
        client = await connect(gw, speaking("spdy/3", "http/1.1"))
        assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("sent", [0, 1, 100, 600])
async def test_who_is_too_slow(tmp_path: Path, sent: int) -> None:
    """With nothing, a byte, or a part of the first flight, or all of it and no more."""
    slow = '[limits]\nhandshake = "1s"\n'
    async with gateway(listening(tmp_path) + slow + ANSWERING) as gw:
        client = await gw.connect()
        client.write(hello()[:sent])
        await client.read_all()
        await eventually_collected(gw, lambda: number(gw, FAILED, spangate_reason="timeout") == 1)
        other = await connect(gw)  # whose handshake is done is not meant
        await asyncio.sleep(1.2)
        other.write(GET)
        assert (await other.answer()).status == 200


async def test_who_leaves_in_the_middle(tmp_path: Path) -> None:
    async with gateway(listening(tmp_path) + ANSWERING) as gw:
        client = await gw.connect()
        client.write(hello())
        await client.reader.read(1)
        client.vanish()
        await eventually_collected(gw, lambda: number(gw, FAILED, spangate_reason="closed") == 1)
        await eventually(lambda: not gw.worker._connections)


async def test_a_handshake_without_end(tmp_path: Path) -> None:
    ca = write_ca(tmp_path)
    async with gateway(listening(tmp_path, f', client_ca = "{ca}"') + ANSWERING) as gw:
        client = await gw.connect()
        context = trusting()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        client.write(hello(context))
        piece = b"\x16\x03\x03\x40\x00"
        client.write(piece + b"\x0b\x01\x80\x00" + bytes(0x4000 - 4))
        for _ in range(12):
            client.write(piece + bytes(0x4000))
        with contextlib.suppress(ConnectionResetError):
            await client.read_all()
        await eventually(lambda: not gw.worker._connections)
        await eventually_collected(gw, lambda: number(gw, FAILED) == 1)


async def test_one_connection_too_many(tmp_path: Path) -> None:
    few = "[limits]\nconnections = 1\n"
    async with gateway(listening(tmp_path) + few + ANSWERING) as gw:
        first = await connect(gw)
        second = await gw.connect()
        assert await second.read_all() == b""
        first.write(GET)
        assert (await first.answer()).status == 200


# which certificate


async def test_names_choose_certificates(tmp_path: Path) -> None:
    pairs = [
        write(tmp_path, "shop", "shop.test", "www.shop.test"),
        write(tmp_path, "wild", "*.shop.test"),
    ]
    more = ", ".join(f'{{ cert = "{c}", key = "{k}" }}' for c, k in pairs)
    config = listening(tmp_path, f", certificates = [{more}]") + ANSWERING
    expected = {
        "gateway.test": "gateway.test",
        "shop.test": "shop.test",
        "SHOP.test": "shop.test",
        "www.shop.test": "shop.test",
        "api.shop.test": "*.shop.test",
        "a.b.shop.test": "gateway.test",
        "other.test": "gateway.test",
        None: "gateway.test",
    }
    async with gateway(config) as gw:
        for name, certificate in expected.items():
            context = trusting()
            context.check_hostname = False
            client = await connect(gw, context, name or "127.0.0.1")
            shown = client.writer.get_extra_info("peercert")["subjectAltName"]
            assert shown[0] == ("DNS", certificate), name


@pytest.mark.parametrize(
    ("name", "host", "status"),
    [
        ("shop.test", "shop.test", 200),
        ("shop.test", "SHOP.test:8443", 200),
        ("shop.test", "www.shop.test", 200),  # the same certificate
        ("shop.test", "gateway.test", 421),
        ("gateway.test", "shop.test", 421),
        ("gateway.test", "unknown.test", 200),  # it would have got the same one
        ("127.0.0.1", "shop.test", 200),  # no name was asked for
    ],
)
@pytest.mark.parametrize("trusted", [False, True])
async def test_a_connection_for_another_host(
    tmp_path: Path, name: str, host: str, status: int, trusted: bool
) -> None:
    cert, key = write(tmp_path, "shop", "shop.test", "www.shop.test")
    config = listening(tmp_path, f', certificates = [{{ cert = "{cert}", key = "{key}" }}]')
    trust = "[tracing]\ntrust = [{}]\n".format('"127.0.0.0/8"' if trusted else "")
    spans = '[export]\notlp = "http://127.0.0.1:1"\n'
    async with gateway(config + trust + spans + ANSWERING) as gw:
        context = trusting()
        context.check_hostname = False
        client = await connect(gw, context, name)
        client.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        answer = await client.answer()
        assert answer.status == (200 if trusted else status)
        if answer.status == 421:
            client.write(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            assert (await client.answer()).status == 200
            statuses = [attributes(s)["http.response.status_code"] for s in await gw.spans(2)]
            assert statuses == [421, 200]


# client certificates

ME = leaf("spiffe://mesh/me")
YOU = leaf("you.test")


async def test_who_a_client_is(tmp_path: Path) -> None:
    ca = write_ca(tmp_path)
    config = listening(tmp_path, f', client_ca = "{ca}"') + "[forwarding]\ntrust = []\n"
    async with Backend() as backend, gateway(routes(backend, config)) as gw:
        for shows, subject, identity, name in [
            (ME, "CN=spiffe://mesh/me", "spiffe://mesh/me", "URI=spiffe://mesh/me"),
            (YOU, "CN=you.test", "CN=you.test", "DNS=you.test"),
        ]:
            client = await connect(gw, trusting(shows=shows))
            client.write(GET.replace(b"\r\n\r\n", b"\r\nX-Forwarded-Client-Cert: forged\r\n\r\n"))
            assert (await client.answer()).status == 200
            told = backend.field("x-forwarded-client-cert") or ""
            assert told.split(";")[0].startswith("Hash=")
            assert told.split(";")[1:] == [f'Subject="{subject}"', name]
            await gw.spans(2)
            spans = [s for s in gw.recorded.spans if s.kind == Span.SPAN_KIND_SERVER]
            gw.recorded.spans.clear()
            said = attributes(spans[0])
            assert said["tls.client.subject"] == subject
            assert said["spangate.peer.identity"] == identity


@pytest.mark.parametrize(("trusted", "passed"), [(True, "theirs"), (False, None)])
async def test_what_others_say_of_certificates(
    tmp_path: Path, trusted: bool, passed: str | None
) -> None:
    trust = "[forwarding]\ntrust = [{}]\n".format('"127.0.0.0/8"' if trusted else "")
    for config in (trust, trust + listening(tmp_path)):
        async with Backend() as backend, gateway(routes(backend, config)) as gw:
            client = await (connect(gw) if "tls" in config else gw.connect())
            for field in ("X-Forwarded-Client-Cert", "x_forwarded_client_cert"):
                client.write(GET.replace(b"\r\n\r\n", f"\r\n{field}: theirs\r\n\r\n".encode()))
                await client.answer()
            assert backend.field("x-forwarded-client-cert", 0) == passed
            assert backend.field("x-forwarded-client-cert", 1) is None
            assert backend.field("x_forwarded_client_cert", 1) is None


@pytest.mark.parametrize(
    ("client", "shows", "served"),
    [
        ("require", ME, True),
        ("require", None, False),
        ("require", leaf("x.test", ca="two"), False),
        ("request", ME, True),
        ("request", None, True),
        ("request", leaf("x.test", ca="two"), False),
        ("none", None, True),
    ],
)
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_who_must_show_a_certificate(
    tmp_path: Path, client: str, shows: Any, served: bool, newest: ssl.TLSVersion
) -> None:
    ca = write_ca(tmp_path)
    more = f', client = "{client}"' + (f', client_ca = "{ca}"' if client != "none" else "")
    async with gateway(listening(tmp_path, more) + ANSWERING) as gw:
        context = trusting(shows=shows)
        context.maximum_version = newest
        try:
            conn = await connect(gw, context)
            conn.write(GET)
            answer = await conn.answer()
            assert answer.status == 200
            assert served
        except (OSError, asyncio.IncompleteReadError):
            assert not served
            why = "no_certificate" if shows is None else "unknown_ca"
            await eventually_collected(gw, lambda: number(gw, FAILED, spangate_reason=why) == 1)


# how it ends


async def test_a_client_that_shuts_its_end_gets_its_answer(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def late(peer: Peer) -> None:
        await peer.head()
        await go.wait()
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with Backend(late) as backend, gateway(routes(backend, listening(tmp_path))) as gw:
        sock, talk, out = await shaken(gw)
        talk.write(GET)
        with pytest.raises(ssl.SSLWantReadError):
            talk.unwrap()  # our close_notify, with what we ask
        await asyncio.get_running_loop().sock_sendall(sock, out.read())
        await eventually(lambda: backend.heads)
        go.set()
        assert (await rest(sock, talk)).endswith(b"ok")
        sock.close()


async def shaken(gw: Gateway) -> tuple[Any, ssl.SSLObject, ssl.MemoryBIO]:
    """A connection whose bytes a test sends itself."""
    import socket

    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", gw.port))
    incoming, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    talk = trusting().wrap_bio(incoming, out, server_hostname="gateway.test")
    while True:
        try:
            talk.do_handshake()
            break
        except ssl.SSLWantReadError:
            await loop.sock_sendall(sock, out.read())
            incoming.write(await loop.sock_recv(sock, 65536))
    await loop.sock_sendall(sock, out.read())
    _incoming[id(talk)] = incoming
    return sock, talk, out


_incoming: dict[int, ssl.MemoryBIO] = {}


async def rest(sock: Any, talk: ssl.SSLObject) -> bytes:
    """Plain bytes until close_notify; an end without it is an error."""
    got = b""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                data = talk.read(65536)
                if not data:
                    return got
                got += data
            except ssl.SSLZeroReturnError:
                return got
            except ssl.SSLWantReadError:
                data = await asyncio.get_running_loop().sock_recv(sock, 65536)
                assert data, "no close_notify"
                _incoming[id(talk)].write(data)


async def test_an_end_is_announced(tmp_path: Path) -> None:
    """By close_notify, so that a client can tell it from a cut."""
    async with gateway(listening(tmp_path) + ANSWERING) as gw:
        sock, talk, out = await shaken(gw)
        talk.write(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await asyncio.get_running_loop().sock_sendall(sock, out.read())
        assert (await rest(sock, talk)).endswith(b"pong")
        sock.close()


async def test_garbage_after_the_handshake_ends_the_connection(tmp_path: Path) -> None:
    async with gateway(listening(tmp_path) + ANSWERING) as gw:
        sock, talk, out = await shaken(gw)
        talk.write(GET)
        first = out.read()
        talk.write(GET)
        second = bytearray(out.read())
        second[-1] ^= 1
        await asyncio.get_running_loop().sock_sendall(sock, first + bytes(second))
        with pytest.raises((AssertionError, OSError)):
            await rest(sock, talk)
        await eventually(lambda: not gw.worker._connections)
        sock.close()


async def test_pipelined_requests_in_one_record(tmp_path: Path) -> None:
    async with gateway(listening(tmp_path) + ANSWERING) as gw:
        client = await connect(gw)
        client.write(GET * 200)
        for _ in range(200):
            assert (await client.answer()).body == b"pong"


async def test_to_https_in_one_line(tmp_path: Path) -> None:
    redirect = '[[route]]\npath = "/*"\nwhen = { scheme = "http" }\n'
    redirect += 'redirect = "https://{host}{path}"\n'
    both = redirect + ANSWERING.replace("[[route]]", '[[route]]\nname = "all"')
    async with gateway(both) as gw:
        answer = await gw.get("/a?b=c")
        assert answer.status == 308
        assert answer["location"] == "https://gateway.test/a?b=c"
        believed = await gw.get("/a", "X-Forwarded-Proto: https")
        assert believed.status == 200  # a trusted proxy before us has the certificate
    async with gateway(listening(tmp_path) + both) as gw:
        client = await connect(gw)
        client.write(GET)
        assert (await client.answer()).status == 200


async def test_a_reload_takes_and_gives_tls(tmp_path: Path) -> None:
    plain = '[[listen]]\naddress = ":8443"\n' + ANSWERING
    async with gateway(plain) as gw:
        before = await gw.connect()
        await gw.reload(listening(tmp_path) + ANSWERING)
        client = await connect(gw)
        for one in (before, client):
            one.write(GET)
            assert (await one.answer()).body == b"pong"
        await gw.reload(plain)
        client.write(GET)
        assert (await client.answer()).body == b"pong"
        assert (await gw.get("/")).body == b"pong"


class Hog:
    """Somebody else whose work fills some turns of the worker's."""

    transport: Any = None

    def __init__(self, gate: Gateway) -> None:
        self._turns = gate.worker.turns
        self._left = 5
        self._turns.add(self)

    def go_on(self) -> None:
        end = monotonic_ns() + 1_100_000  # more than all may have of a turn
        while monotonic_ns() < end:
            pass
        self._left -= 1
        if self._left:
            self._turns.add(self)


async def test_an_end_is_not_heard_before_what_comes_before_it(tmp_path: Path) -> None:
    """The last step of a handshake waits for its turn, and the client has shut its end by then."""
    async with gateway(ANSWERING + listening(tmp_path)) as gate:
        came, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting().wrap_bio(came, sent, server_hostname="gateway.test")
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        async with asyncio.timeout(DEADLINE):
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls.do_handshake()
                    break
                writer.write(sent.read())
                came.write(await reader.read(65_536))
            tls.write(GET)
            with contextlib.suppress(ssl.SSLError):
                tls.unwrap()
            Hog(gate)
            writer.write(sent.read())
            writer.write_eof()
            came.write(await reader.read(-1))
        writer.close()
        assert tls.read(65_536).startswith(b"HTTP/1.1 200 OK\r\n")
        assert number(gate, FAILED) == 0
