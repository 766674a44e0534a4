"""Every transport against a collector on a real socket: what is sent, what answers mean."""

from __future__ import annotations

import asyncio
import gzip
import socket
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cramjam
import lz4.frame
import pytest
import trustme
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.otlp import http
from proxy.otlp.connect import connect
from proxy.otlp.endpoint import parse
from proxy.otlp.envelope import Envelope
from proxy.otlp.status import Outcome, Verdict
from proxy.otlp.transport import Options, Transport
from proxy.telemetry.protobuf import delimited
from tests.otlp import samples
from tests.otlp.fake_collector import HANG, Answer, FakeCollector, TlsFiles

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PROTOCOLS = ["grpc", "http", "http+json"]
PAYLOADS = {
    "traces": Envelope({"service.name": "gate"}).request([samples.spans(10)]),
    "logs": Envelope({"service.name": "gate"}).request([samples.logs(10)]),
    "metrics": samples.metrics(10),
}


@asynccontextmanager
async def connected(endpoint: str, options: Options | None = None) -> AsyncIterator[Transport]:
    transport = connect(parse(endpoint), options or Options())
    await transport.start()
    try:
        yield transport
    finally:
        await transport.close()


async def send(collector: FakeCollector, options: Options | None = None) -> Outcome:
    async with connected(collector.endpoint, options) as transport:
        return await transport.send("traces", PAYLOADS["traces"], 10)


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_every_signal_arrives(protocol: str, signal: str, compressed: bool) -> None:
    options = Options(compression="gzip" if compressed else "none", headers={"X-Api-Key": "s3cret"})
    async with (
        FakeCollector(protocol) as collector,
        connected(collector.endpoint, options) as transport,
    ):
        outcome = await transport.send(signal, PAYLOADS[signal], 10)
        assert outcome == Outcome(Verdict.ACCEPTED)
        assert collector.items(signal) == 10
        request = collector.received[0]
        assert request.headers["x-api-key"] == "s3cret"
        assert request.headers["b3"] == "0"
        assert "spangate/" in request.headers["user-agent"]
        if protocol != "grpc":
            assert request.path == f"/v1/{signal}"
            assert request.headers.get("content-encoding") == ("gzip" if compressed else None)
            assert (request.size < len(PAYLOADS[signal])) == compressed or protocol == "http+json"
        if protocol != "http+json":
            assert request.payload == PAYLOADS[signal]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_large_compressed_requests_arrive_whole(protocol: str) -> None:
    payload = Envelope({}).request([samples.spans(2000)])
    async with (
        FakeCollector(protocol) as collector,
        connected(collector.endpoint, Options(compression="gzip")) as transport,
    ):
        assert (await transport.send("traces", payload, 2000)).verdict is Verdict.ACCEPTED
        assert ExportTraceServiceRequest.FromString(
            collector.received[0].payload
        ) == ExportTraceServiceRequest.FromString(payload)


@pytest.mark.parametrize("pieces", [1.0, 2.5, 4.0])
async def test_what_is_written_in_pieces_arrives_whole_and_not_in_chunks(pieces: float) -> None:
    payload = Envelope({}).request([samples.spans(1)])
    payload = padded(payload, int(pieces * http._PIECE))
    async with FakeCollector() as collector, connected(collector.endpoint) as transport:
        assert (await transport.send("traces", payload, 1)).verdict is Verdict.ACCEPTED
        assert (await transport.send("traces", payload, 1)).verdict is Verdict.ACCEPTED
    for request in collector.received:
        assert request.payload == payload
        assert request.headers["content-length"] == str(len(payload))
        assert "transfer-encoding" not in request.headers


@pytest.mark.parametrize("protocol", ["http", "http+json"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_what_nobody_has_put_together_arrives_whole(protocol: str, compression: str) -> None:
    pieces = Envelope({}).pieces([samples.spans(2000), *[samples.spans(3)] * 50])
    async with (
        FakeCollector(protocol) as collector,
        connected(collector.endpoint, Options(compression=compression)) as transport,
    ):
        assert isinstance(transport, http.HttpTransport)
        assert await transport.send_pieces("traces", pieces, 2150) == Outcome(Verdict.ACCEPTED)
        assert collector.items("traces") == 2150


@given(st.lists(st.binary(max_size=40)), st.integers(4, 20))
def test_portions_are_small_and_in_order(body: list[bytes], most: int) -> None:
    found = list(http.portions(body, most))
    assert b"".join(found) == b"".join(body)
    assert all(0 < len(portion) <= most for portion in found)
    large = sum(len(piece) > most // 4 for piece in body)
    assert len(found) <= 3 * (sum(map(len, body)) // most + 1) + 2 * large


def padded(payload: bytes, size: int) -> bytes:
    """The same request with a field that nobody knows, `size` bytes in all."""
    head = len(delimited(1000, bytes(size - len(payload)))) - (size - len(payload))
    return payload + delimited(1000, bytes(size - len(payload) - head))


@pytest.mark.parametrize(
    ("compression", "coding", "inflate"),
    [
        ("none", None, bytes),
        ("gzip", "gzip", gzip.decompress),
        ("deflate", "deflate", zlib.decompress),
        ("zstd", "zstd", zstd.decompress),
        ("zlib", "zlib", zlib.decompress),
        ("snappy", "snappy", cramjam.snappy.decompress_raw),
        ("x-snappy-framed", "x-snappy-framed", cramjam.snappy.decompress),
        ("lz4", "lz4", lz4.frame.decompress),
        ("brotli", "br", cramjam.brotli.decompress),
    ],
)
@pytest.mark.parametrize("spans", [10, 3000], ids=["small", "large"])
async def test_codings_of_http(
    compression: str, coding: str | None, inflate: Callable[[bytes], Any], spans: int
) -> None:
    """As they are on the wire."""
    seen: list[tuple[str | None, bytes]] = []

    async def take(request: web.BaseRequest) -> web.Response:
        seen.append((request.headers.get("Content-Encoding"), await request.read()))
        return web.Response()

    runner = web.ServerRunner(web.Server(take, auto_decompress=False))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    payload = Envelope({}).request([samples.spans(spans)])
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with connected(url, Options(compression=compression)) as transport:
        outcome = await transport.send("traces", payload, spans)
    await runner.cleanup()
    assert outcome.verdict is Verdict.ACCEPTED
    ((said, body),) = seen
    assert said == coding
    assert bytes(inflate(body)) == payload
    assert (len(body) < len(payload)) == (compression != "none")


async def test_brotli_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cramjam", None)
    with pytest.raises(ValueError, match=r"spangate\[brotli\]"):
        await connect(parse("http://h"), Options(compression="brotli")).start()


@pytest.mark.parametrize(
    ("protocol", "answer", "verdict", "reason", "delay"),
    [
        ("http", Answer(http=429, headers={"Retry-After": "7"}), Verdict.RETRY, "http_429", 7.0),
        ("http", Answer(http=503), Verdict.RETRY, "http_503", None),
        ("http", Answer(http=500), Verdict.PERMANENT, "http_500", None),
        ("http", Answer(http=400, message="no"), Verdict.PERMANENT, "http_400", None),
        ("http", Answer(http=307, headers={"Location": "/"}), Verdict.PERMANENT, "http_307", None),
        ("http+json", Answer(http=400, message="no"), Verdict.PERMANENT, "http_400", None),
        ("http+json", Answer(http=504), Verdict.RETRY, "http_504", None),
        ("grpc", Answer(grpc=14), Verdict.RETRY, "grpc_unavailable", None),
        ("grpc", Answer(grpc=14, retry_info=1.5), Verdict.RETRY, "grpc_unavailable", 1.5),
        ("grpc", Answer(grpc=8), Verdict.PERMANENT, "grpc_resource_exhausted", None),
        ("grpc", Answer(grpc=8, retry_info=2), Verdict.RETRY, "grpc_resource_exhausted", 2.0),
        ("grpc", Answer(grpc=3, message="no"), Verdict.PERMANENT, "grpc_invalid_argument", None),
        ("grpc", Answer(grpc=12), Verdict.PERMANENT, "grpc_unimplemented", None),
    ],
)
async def test_errors(
    protocol: str, answer: Answer, verdict: Verdict, reason: str, delay: float | None
) -> None:
    async with FakeCollector(protocol) as collector:
        collector.script(answer)
        outcome = await send(collector)
        assert (outcome.verdict, outcome.reason, outcome.delay) == (verdict, reason, delay)
        if answer.message:
            assert outcome.message == answer.message
        assert len(collector.received) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_partial_success(protocol: str) -> None:
    async with FakeCollector(protocol) as collector:
        collector.script(Answer(reject=3, message="too old"))
        outcome = await send(collector)
    assert outcome == Outcome(Verdict.ACCEPTED, message="too old", rejected=3)


@pytest.mark.parametrize(
    "body",
    [b"[]", b"nonsense", b"[" * 100_000, b'{"partialSuccess": 7}',
     b'{"partialSuccess": {"rejectedSpans": "many"}}'],
    ids=["list", "nonsense", "deep", "number", "word"],
)  # fmt: skip
async def test_an_acceptance_with_a_strange_json_body_is_an_acceptance(body: bytes) -> None:
    async with FakeCollector("http+json") as collector:
        collector.script(Answer(body=body))
        assert (await send(collector)).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_response_above_4_mib_is_refused(protocol: str) -> None:
    async with FakeCollector(protocol) as collector:
        collector.script(Answer(body=b"\0" * (5 << 20)))
        outcome = await send(collector)
    assert outcome.verdict is Verdict.PERMANENT
    assert outcome.reason in ("response_too_large", "grpc_resource_exhausted")


async def test_a_small_response_that_inflates_is_refused() -> None:
    bomb = gzip.compress(b"\0" * (64 << 20))
    assert len(bomb) < 100_000
    async with FakeCollector("http") as collector:
        collector.script(Answer(body=bomb, headers={"Content-Encoding": "gzip"}))
        outcome = await send(collector)
    assert (outcome.verdict, outcome.reason) == (Verdict.PERMANENT, "response_too_large")


async def test_a_channel_that_closes_under_a_call_is_a_reason_to_try_again() -> None:
    async with FakeCollector("grpc") as collector:
        collector.default = HANG
        transport = connect(parse(collector.endpoint), Options())
        await transport.start()
        call = asyncio.get_running_loop().create_task(
            transport.send("traces", PAYLOADS["traces"], 10)
        )
        await collector.wait_requests(1)
        await transport.close()
        async with asyncio.timeout(20):
            outcome = await call
    assert (outcome.verdict, outcome.reason) == (Verdict.RETRY, "grpc_cancelled")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_no_answer_in_time(protocol: str) -> None:
    async with (
        FakeCollector(protocol) as collector,
        connected(collector.endpoint, Options(timeout=0.2)) as transport,
    ):
        collector.script(HANG)
        outcome = await transport.send("traces", PAYLOADS["traces"], 10)
        assert outcome.verdict is Verdict.RETRY
        assert outcome.reason in ("timeout", "grpc_deadline_exceeded")
        # and the transport works on
        assert (await transport.send("traces", PAYLOADS["traces"], 10)).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_nobody_listens_and_then_somebody_does(protocol: str) -> None:
    async with FakeCollector(protocol) as collector, connected(collector.endpoint) as transport:
        assert (await transport.send("traces", PAYLOADS["traces"], 10)).verdict is Verdict.ACCEPTED
        await collector.die()
        outcome = await transport.send("traces", PAYLOADS["traces"], 10)
        assert outcome.verdict is Verdict.RETRY
        await collector.revive()
        async with asyncio.timeout(20):
            while outcome.verdict is not Verdict.ACCEPTED:
                await asyncio.sleep(0.05)  # a gRPC channel reconnects when it thinks fit
                outcome = await transport.send("traces", PAYLOADS["traces"], 10)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_peer_that_hangs_up_or_speaks_something_else(protocol: str) -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")
        writer.close()

    server = await asyncio.start_server(rude, "127.0.0.1", 0, family=socket.AF_INET)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with connected(f"{protocol}://127.0.0.1:{port}", Options(timeout=3)) as transport:
            outcome = await transport.send("traces", PAYLOADS["traces"], 10)
    assert outcome.verdict is Verdict.RETRY


@pytest.mark.parametrize(
    ("endpoint", "options"),
    [
        ("http://h", Options(headers={"a b": "c"})),
        ("http://h", Options(headers={"a": "c\r\nd: e"})),
        ("grpc://h", Options(headers={"a": "ü"})),
        ("grpc://h", Options(headers={"Grpc-Timeout": "1S"})),
        ("grpc://h", Options(headers={"TE": "gzip"})),
        ("https://h", Options(ca="/does/not/exist.pem")),
        ("grpcs://h", Options(ca="/does/not/exist.pem")),
        ("https://h", Options(cert="/does/not/exist.pem")),
    ],
)
async def test_settings_that_cannot_work_are_refused_at_the_start(
    endpoint: str, options: Options
) -> None:
    transport = connect(parse(endpoint), options)
    with pytest.raises((ValueError, OSError)):
        await transport.start()
    await transport.close()


class Pki:
    def __init__(self, folder: Path) -> None:
        authority, server = trustme.CA(), None
        server = authority.issue_cert("localhost")
        client = authority.issue_cert("gate")
        self.ca = folder / "ca.pem"
        self.cert, self.key = folder / "client.pem", folder / "client.key"
        self.tls = TlsFiles(folder / "server.pem", folder / "server.key")
        self.mtls = TlsFiles(self.tls.cert, self.tls.key, self.ca)
        authority.cert_pem.write_to_path(str(self.ca))
        server.cert_chain_pems[0].write_to_path(str(self.tls.cert))
        server.private_key_pem.write_to_path(str(self.tls.key))
        client.cert_chain_pems[0].write_to_path(str(self.cert))
        client.private_key_pem.write_to_path(str(self.key))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_tls(protocol: str, pki: Pki) -> None:
    async with FakeCollector(protocol, tls=pki.tls) as collector:
        assert (await send(collector, Options(ca=str(pki.ca)))).verdict is Verdict.ACCEPTED
        distrusted = await send(collector, Options(timeout=3))
        assert distrusted.verdict is Verdict.RETRY
        assert len(collector.received) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_mtls(protocol: str, pki: Pki) -> None:
    async with FakeCollector(protocol, tls=pki.mtls) as collector:
        anonymous = await send(collector, Options(ca=str(pki.ca), timeout=3))
        assert anonymous.verdict is Verdict.RETRY
        known = Options(ca=str(pki.ca), cert=str(pki.cert), key=str(pki.key))
        assert (await send(collector, known)).verdict is Verdict.ACCEPTED
        assert len(collector.received) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_verification_can_be_switched_off(protocol: str, pki: Pki) -> None:
    async with FakeCollector(protocol, tls=pki.tls) as collector:
        assert (await send(collector, Options(verify=False))).verdict is Verdict.ACCEPTED
