"""Probes of servers that speak HTTP/2, or should."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import pytest

from proxy.config.model import Health, Upstream, UpstreamTls
from proxy.config.syntax import parse_server
from proxy.config.units import Seconds
from proxy.hub.probe import Asker, Verdict
from proxy.hub.probe_h2 import exchange
from proxy.hub.probes import Prober
from proxy.server.tls_keyring import ClientContext, offered_to
from tests.harness import Backend
from tests.server.h2_backend import H2Backend, Stream, say_ok
from tests.server.kit import refusing
from tests.server.tls_kit import leaf, trusting

HEALTH = Health(path="/hz?deep=1", timeout=Seconds(0.3), host="orders")


async def ask(url: str, tls: ClientContext | None = None, protocol: str = "h2") -> Verdict:
    asker = Asker()
    try:
        return await asker.ask(url + HEALTH.path, HEALTH, tls=tls, protocol=protocol)
    finally:
        await asker.close()


async def test_a_server_that_is_well() -> None:
    async with H2Backend() as backend:
        verdict = await ask(backend.url)
        assert (verdict.ok, verdict.said, verdict.status) == (True, "answered 200", 200)
        (stream,) = backend.streams
        names = (":method", ":scheme", ":authority", ":path", "b3")
        assert [stream[n] for n in names] == ["GET", "http", "orders", "/hz?deep=1", "0"]
        assert stream["user-agent"].startswith("spangate-health/")


ODD: dict[str, tuple[Callable[[Stream], object], str, str]] = {
    "503": (lambda s: s.head(503, end=True), "503", "answered 503, not 200 or 204"),
    "reset": (lambda s: s.rst(2), "stream_reset", "reset the exchange (INTERNAL_ERROR)"),
    "refused": (lambda s: s.rst(7), "not_processed", "REFUSED_STREAM"),
    "closed": (lambda s: s.line.transport.close(), "connection_reset", "closed the connection"),
    "silent": (lambda s: None, "timeout", "no answer within 0.3 s"),
    "cut off": (lambda s: (s.head(200), s.rst(2)), "response_truncated", "before the end"),
    "malformed": (lambda s: s.head(200, ("connection", "x")), "bad_response", "malformed"),
    "no HTTP/2": (
        lambda s: s.line.write(b"\0\0\1\0\0\0\0\0\0x"),
        "bad_response",
        "rules of HTTP/2",
    ),
}


@pytest.mark.parametrize(("odd", "error", "said"), ODD.values(), ids=ODD.keys())
async def test_a_server_that_is_not(odd: Callable[[Stream], object], error: str, said: str) -> None:
    async def handler(stream: Stream) -> None:
        odd(stream)

    async with H2Backend(handler) as backend:
        verdict = await ask(backend.url)
        assert (verdict.ok, verdict.error) == (False, error)
        assert said in verdict.said


async def test_a_server_that_is_not_there() -> None:
    with refusing() as url:
        verdict = await ask(url)
    assert (verdict.ok, verdict.error) == (False, "connection_refused")
    assert (await ask("http://nowhere.invalid:80")).error == "dns_error"


async def test_a_server_that_speaks_http_1_1() -> None:
    async with Backend() as backend:
        verdict = await ask(backend.url)
        assert (verdict.ok, verdict.error) == (False, "bad_response")
        assert "speaks HTTP/1.1, not HTTP/2" in verdict.said


def trusted(protocol: str, ca: str = "one") -> ClientContext:
    def make(protocols: object) -> ssl.SSLContext:
        context = trusting(ca)
        context.set_alpn_protocols(list(protocols))  # type: ignore[call-overload]
        return context

    upstream = Upstream(protocol=protocol)  # type: ignore[arg-type]
    return ClientContext(make, offered_to(upstream), UpstreamTls())


@pytest.mark.parametrize(
    ("protocol", "speaks", "ok"),
    [
        ("h2", ["h2"], True),
        ("h2", ["http/1.1"], False),
        ("auto", ["h2"], True),
        ("auto", ["http/1.1"], True),
        ("auto", ["h2", "http/1.1"], True),
        ("h1", ["h2", "http/1.1"], True),
    ],
)
async def test_a_server_with_tls(protocol: str, speaks: list[str], ok: bool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made = leaf("127.0.0.1")
    context.load_cert_chain(made.cert, made.key)
    context.set_alpn_protocols(speaks)
    async with H2Backend(tls=context) as backend:
        verdict = await ask(backend.url, trusted(protocol), protocol)
        assert verdict.ok is ok, verdict.said
        verdict = await ask(backend.url, trusted(protocol, "other"), protocol)
        assert (verdict.ok, verdict.error) == (False, "tls_error")


async def test_any_exchange() -> None:
    async def echo(stream: Stream) -> None:
        body = await stream.body()
        stream.head(200)
        stream.data(body)
        stream.end(("grpc-status", "0"))

    async with H2Backend(echo) as backend:
        fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a")]
        fields.append((b":path", b"/grpc.health.v1.Health/Check"))
        answer = await exchange(parse_server(backend.url), None, fields, b"\0\0\0\0\0")
        assert answer is not None
        assert (answer.status, answer.body) == (200, b"\0\0\0\0\0")
        assert answer.trailers == [(b"grpc-status", b"0")]


async def test_the_prober_goes_by_the_upstreams_protocol() -> None:
    changes: asyncio.Queue[object] = asyncio.Queue()
    health = Health(every=Seconds(0.01), rise=1, fall=1)
    ill = [True]

    async def handler(stream: Stream) -> None:
        stream.head(500, end=True) if ill else await say_ok(stream)

    async with H2Backend(handler) as backend:
        prober = Prober(changes.put_nowait)
        upstream = Upstream(servers={backend.url: 1}, protocol="h2", health=health)
        await prober.configure({"u": upstream})
        assert await asyncio.wait_for(changes.get(), 20) == {("u", backend.url): False}
        ill.clear()
        assert await asyncio.wait_for(changes.get(), 20) == {("u", backend.url): True}
        await prober.stop()
        assert backend.streams[0][":path"] == "/healthz"
