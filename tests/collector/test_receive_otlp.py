"""OTLP from real clients on real sockets: what is taken, and what each refusal says."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import ssl
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
import trustme
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from proxy.collector.batch import Signal
from proxy.otlp.grpc import METHODS
from proxy.otlp.inflate import ENCODINGS
from proxy.otlp.json import request_to_json
from proxy.tasks import spawn
from tests.collector.kit import Place, batch

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs")
PATHS = {
    "traces": "/v1/traces",
    "metrics": "/v1/metrics",
    "logs": "/v1/logs",
    "profiles": "/v1development/profiles",
}
BOTH = 'grpc = "127.0.0.1:0"\nhttp = "127.0.0.1:0"\n'


class Running:
    """A started receiver, what it passed on, and clients for it."""

    def __init__(self, place: Place, receiver: Any, session: aiohttp.ClientSession) -> None:
        self.place = place
        self.receiver = receiver
        self.session = session
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.receiver.addresses['http']}"

    async def post(
        self, signal: str, body: bytes | AsyncIterator[bytes], method: str = "POST", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        path = PATHS.get(signal, signal)
        async with self.session.request(
            method,
            self.url + path,
            data=io.BytesIO(body) if isinstance(body, bytes) else body,
            headers={**PROTOBUF, **given},
        ) as answer:
            return answer.status, dict(answer.headers), await answer.read()

    async def call(self, signal: str, body: bytes, **more: Any) -> bytes:
        """The gRPC answer; raises AioRpcError."""
        address = f"127.0.0.1:{self.receiver.addresses['grpc']}"
        options = [("grpc.max_send_message_length", -1)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            return await _export(channel, signal, body, **more)


async def _export(channel: Any, signal: str, body: bytes, **more: Any) -> bytes:
    answer: bytes = await channel.unary_unary(METHODS[signal])(body, timeout=20, **more)
    return answer


@asynccontextmanager
async def receiving(toml: str = BOTH) -> AsyncIterator[Running]:
    place = Place("receiver", "otlp")
    receiver = place.make(toml)
    await receiver.start()
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        try:
            yield Running(place, receiver, session)
        finally:
            async with asyncio.timeout(20):
                await receiver.stop(5)


def status_of(body: bytes) -> Status:
    status = Status.FromString(body)
    assert status.message
    return status


def retry_delay(status: Status) -> float | None:
    for detail in status.details:
        if detail.Is(RetryInfo.DESCRIPTOR):
            return RetryInfo.FromString(detail.value).retry_delay.ToTimedelta().total_seconds()
    return None


def details(error: grpc.aio.AioRpcError) -> Status:
    trailers: Any = error.trailing_metadata()
    return status_of(dict(trailers)["grpc-status-details-bin"])


# -- taken ------------------------------------------------------------------------------------


@pytest.mark.parametrize("signal", [*SIGNALS, "profiles"])
async def test_bytes_go_through_untouched(signal: Signal) -> None:
    sent = batch(signal)
    async with receiving() as running:
        assert await running.call(signal, sent.payload) == b""
        status, headers, body = await running.post(signal, sent.payload)
        assert (status, headers["Content-Type"], body) == (200, PROTOBUF["Content-Type"], b"")
        assert [b.payload for b in running.place.out] == [sent.payload, sent.payload]
        assert [b.items for b in running.place.out] == [sent.items, sent.items]
        assert {b.signal for b in running.place.out} == {signal}


@pytest.mark.parametrize("signal", SIGNALS)
async def test_json(signal: Signal) -> None:
    sent = batch(signal)
    text = request_to_json(signal, sent.payload)
    async with receiving() as running:
        status, headers, body = await running.post(signal, text, **JSON)
        assert (status, headers["Content-Type"], body) == (200, "application/json", b"{}")
        (taken,) = running.place.out
        assert taken.message() == sent.message()


async def test_large_json_is_decoded_beside_the_loop() -> None:
    sent = batch("traces", 500)
    async with receiving() as running:
        text = request_to_json("traces", sent.payload)
        assert len(text) > 100_000
        assert (await running.post("traces", text, **JSON))[0] == 200
        assert running.place.items == 500


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
    "identity": bytes,
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("chunked", [False, True])
async def test_content_codings(coding: str, chunked: bool) -> None:
    sent = batch("traces", 300)
    packed = CODINGS[coding](sent.payload)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(packed), 1000):
            yield packed[start : start + 1000]

    async with receiving() as running:
        body: Any = pieces() if chunked else packed
        assert (await running.post("traces", body, Content_Encoding=coding))[0] == 200
        assert running.place.out[0].payload == sent.payload


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_grpc_compression(compression: grpc.Compression) -> None:
    sent = batch("traces", 300)
    async with receiving() as running:
        await running.call("traces", sent.payload, compression=compression)
        assert running.place.out[0].payload == sent.payload


async def test_an_empty_request_is_a_success() -> None:
    async with receiving() as running:
        assert await running.call("traces", b"") == b""
        assert (await running.post("traces", b""))[0] == 200
        assert (await running.post("traces", b"{}", **JSON))[2] == b"{}"
        assert running.place.out == []


async def test_unknown_fields_are_kept() -> None:
    from proxy.telemetry.protobuf import delimited

    sent = batch().payload + delimited(99, b"from the future")
    async with receiving() as running:
        await running.call("traces", sent)
        assert running.place.out[0].payload == sent


# -- refused ----------------------------------------------------------------------------------

GARBAGE = {
    "garbage": b"\xff" * 20,
    "cut off": batch("traces").payload[:-3],
    "gzip that nobody named": gzip.compress(batch().payload),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_what_is_no_request_is_refused_for_good(name: str) -> None:
    async with receiving() as running:
        status, headers, body = await running.post("traces", GARBAGE[name])
        assert (status, headers["Content-Type"]) == (400, PROTOBUF["Content-Type"])
        assert (status_of(body).code, retry_delay(status_of(body))) == (3, None)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await running.call("traces", GARBAGE[name])
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert details(error.value).code == 3
        assert running.place.out == []


async def test_without_validation_the_frame_is_still_looked_at() -> None:
    async with receiving(BOTH + "validate = false\n") as running:
        assert (await running.post("traces", b"\xff" * 20))[0] == 400
        assert (await running.post("traces", batch().payload))[0] == 200
        assert running.place.items == 3


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[]",
        b'{"resourceSpans": 5}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"S/kvNXezTaajzpKdDg5HNg=="}]}]}]}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":"SPAN_KIND_SERVER"}]}]}]}',
        b"[" * 100_000,
    ],
)
async def test_what_is_not_otlp_json_is_refused_in_json(text: bytes) -> None:
    async with receiving() as running:
        status, headers, body = await running.post("traces", text, **JSON)
        assert (status, headers["Content-Type"]) == (400, "application/json")
        assert json.loads(body)["code"] == 3
        assert json.loads(body)["message"]


async def test_gzip_inside_gzip_is_refused() -> None:
    body = gzip.compress(gzip.compress(batch().payload))
    async with receiving() as running:
        assert (await running.post("traces", body, Content_Encoding="gzip"))[0] == 400
        answer = await running.post("traces", body, Content_Encoding="gzip, gzip")
        assert answer[0] == 415
        assert answer[1]["Accept-Encoding"] == ", ".join(ENCODINGS)


async def test_no_room_says_come_again() -> None:
    async with receiving() as running:
        running.place.room = False
        text = request_to_json("traces", batch().payload)
        for headers, body in ((PROTOBUF, batch().payload), (JSON, text)):
            status, answered, said = await running.post("traces", body, **headers)
            assert (status, answered["Retry-After"]) == (503, "1")
            if headers is PROTOBUF:
                assert (status_of(said).code, retry_delay(status_of(said))) == (14, 1.0)
            else:
                assert json.loads(said)["details"][0]["retryDelay"] == "1s"
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await running.call("traces", batch().payload)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        assert retry_delay(details(error.value)) == 1.0
        running.place.room = True
        assert await running.call("traces", batch().payload) == b""


async def test_a_signal_that_no_pipeline_takes() -> None:
    async with receiving() as running:
        running.place.wanted = {"traces"}
        assert (await running.post("logs", batch("logs").payload))[0] == 404
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await running.call("logs", batch("logs").payload)
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("path", "method", "headers", "status"),
    [
        ("/v1/spans", "POST", {}, 404),
        ("/", "POST", {}, 404),
        ("traces", "GET", {}, 405),
        ("traces", "PUT", {}, 405),
        ("traces", "POST", {"Content-Type": "text/plain"}, 415),
        ("traces", "POST", {"Content-Type": "application/grpc"}, 415),
        ("traces", "POST", {"Content_Encoding": "br"}, 415),
    ],
)
async def test_wrong_requests(path: str, method: str, headers: dict[str, str], status: int) -> None:
    async with receiving() as running:
        answer = await running.post(path, batch().payload, method, **headers)
        assert answer[0] == status
        assert status_of(answer[2])
        assert ("Allow" in answer[1]) == (status == 405)


async def test_the_wrong_signal_on_a_path() -> None:
    """Spans of 3 attributes are no metrics; log records and spans look alike in protobuf."""
    async with receiving() as running:
        assert (await running.post("metrics", batch("traces").payload))[0] == 400
        assert running.place.out == []


# -- bounds -----------------------------------------------------------------------------------

SMALL = BOTH + 'max_request_size = "64KiB"\n'


@pytest.mark.parametrize("coding", CODINGS)
async def test_more_than_a_request_may_have(coding: str) -> None:
    bomb = CODINGS[coding](bytes(8 * 1024 * 1024))
    async with receiving(SMALL) as running:
        status, _, body = await running.post("traces", bomb, Content_Encoding=coding)
        assert (status, status_of(body).code) == (413, 8)
        assert (await running.post("traces", batch().payload))[0] == 200
        assert running.receiver.http.inflow.in_flight == 0


@pytest.mark.parametrize("compression", grpc.Compression)
async def test_more_than_a_request_may_have_by_grpc(compression: grpc.Compression) -> None:
    async with receiving(SMALL) as running:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await running.call("traces", bytes(8 * 1024 * 1024), compression=compression)
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        trailers: Any = error.value.trailing_metadata() or ()
        if "grpc-status-details-bin" in dict(trailers):
            assert retry_delay(details(error.value)) is None
        assert await running.call("traces", batch().payload) == b""
        assert running.receiver.grpc.inflow.in_flight == 0


async def test_bodies_of_all_connections_together_are_bounded() -> None:
    toml = BOTH + 'max_in_flight_size = "100KB"\n'
    async with receiving(toml) as running:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield bytes(90_000)
            begun.set()
            await go_on.wait()

        first = spawn(running.post("traces", slow()), "post")
        await begun.wait()
        async with asyncio.timeout(20):
            while running.receiver.http.inflow.in_flight < 90_000:
                await asyncio.sleep(0.002)
        status, headers, _ = await running.post("traces", bytes(50_000))
        assert (status, "Retry-After" in headers) == (503, True)
        go_on.set()
        assert (await first)[0] == 400
        assert running.receiver.http.inflow.in_flight == 0


async def test_a_sender_that_leaves_in_the_middle_frees_its_share() -> None:
    async with receiving() as running:
        port = running.receiver.addresses["http"]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
            b"Content-Length: 100000\r\n\r\n" + bytes(5000)
        )
        inflow = running.receiver.http.inflow
        async with asyncio.timeout(20):
            while not inflow.in_flight:
                await asyncio.sleep(0.002)
            writer.close()
            while inflow.in_flight:
                await asyncio.sleep(0.002)
        assert running.place.out == []


# -- who may ----------------------------------------------------------------------------------

AUTH = BOTH + 'auth = { bearer = ["s3cret", "other"], basic = { ada = "lovelace" } }\n'
BASIC = base64.b64encode(b"ada:lovelace").decode()


@pytest.mark.parametrize(
    ("authorization", "may"),
    [
        ("Bearer s3cret", True),
        ("bearer other", True),
        (f"Basic {BASIC}", True),
        ("", False),
        ("Bearer s3cre", False),
        ("Bearer S3CRET", False),
        (f"Bearer {BASIC}", False),
        ("Basic ada:lovelace", False),
        ("s3cret", False),
    ],
)
async def test_credentials(authorization: str, may: bool) -> None:
    async with receiving(AUTH) as running:
        given = {"Authorization": authorization} if authorization else {}
        status, headers, body = await running.post("traces", batch().payload, **given)
        metadata = (("authorization", authorization),) if authorization else ()
        if may:
            assert status == 200
            await running.call("traces", batch().payload, metadata=metadata)
            assert running.place.items == 6
            return
        assert (status, status_of(body).code) == (401, 16)
        assert headers["WWW-Authenticate"].startswith("Basic")
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await running.call("traces", batch().payload, metadata=metadata)
        assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED


CORS = BOTH + (
    'cors = { allowed_origins = ["https://*.example.com"], allowed_headers = ["x-team"] }\n'
)


async def test_pages_that_may() -> None:
    async with receiving(CORS) as running:
        origin = "https://shop.example.com"
        asked = {"Origin": origin, "Access_Control_Request_Method": "POST"}
        status, headers, _ = await running.post("traces", b"", "OPTIONS", **asked)
        assert status == 204
        assert headers["Access-Control-Allow-Origin"] == origin
        assert "x-team" in headers["Access-Control-Allow-Headers"]
        assert headers["Access-Control-Max-Age"] == "7200"
        status, headers, _ = await running.post("traces", batch().payload, Origin=origin)
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, origin)


async def test_pages_that_may_not() -> None:
    async with receiving(CORS) as running:
        for origin in ("https://example.org", "https://evil.com/.example.com", "null"):
            _, headers, _ = await running.post("traces", b"", "OPTIONS", Origin=origin)
            assert "Access-Control-Allow-Origin" not in headers
            assert headers["Vary"] == "Origin"


class Certificates:
    """An authority, a server's certificate for 127.0.0.1 and a client's."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("app")
        self.ca, self.folder = folder / "ca.pem", folder
        authority.cert_pem.write_to_path(str(self.ca))
        for name, made in (("server", server), ("client", client)):
            made.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
            made.private_key_pem.write_to_path(str(folder / f"{name}.key"))

    def toml(self, more: str = "") -> str:
        cert, key = self.folder / "server.pem", self.folder / "server.key"
        return BOTH + f'tls = {{ cert = "{cert}", key = "{key}"{more} }}\n'

    def context(self, *, with_client: bool) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca))
        if with_client:
            context.load_cert_chain(self.folder / "client.pem", self.folder / "client.key")
        return context

    def channel(self, port: int, *, with_client: bool) -> grpc.aio.Channel:
        pair = [(self.folder / f"client.{end}").read_bytes() for end in ("key", "pem")]
        credentials = grpc.ssl_channel_credentials(
            self.ca.read_bytes(), *(pair if with_client else (None, None))
        )
        return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials)


@pytest.mark.parametrize("mutual", [False, True])
async def test_tls(tmp_path: Path, mutual: bool) -> None:
    certificates = Certificates(tmp_path)
    more = f', client_ca = "{certificates.ca}"' if mutual else ""
    async with receiving(certificates.toml(more)) as running:
        running.scheme = "https"
        for with_client in (False, True):
            connector = aiohttp.TCPConnector(ssl=certificates.context(with_client=with_client))
            port = running.receiver.addresses["grpc"]
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                certificates.channel(port, with_client=with_client) as channel,
            ):
                running.session, before = session, running.session
                try:
                    if mutual and not with_client:
                        with pytest.raises(aiohttp.ClientError):
                            await running.post("traces", batch().payload)
                        with pytest.raises(grpc.aio.AioRpcError):
                            await _export(channel, "traces", batch().payload)
                    else:
                        assert (await running.post("traces", batch().payload))[0] == 200
                        assert await _export(channel, "traces", batch().payload) == b""
                finally:
                    running.session = before
        assert running.place.items == (6 if mutual else 12)


# -- life -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_an_address_that_is_taken(protocol: str) -> None:
    async with receiving() as running:
        port = running.receiver.addresses[protocol]
        other = Place("receiver", "otlp").make(f'{protocol} = "127.0.0.1:{port}"')
        with pytest.raises(OSError, match=str(port)):
            await other.start()
        await other.stop(0)


async def test_what_was_begun_is_answered_at_the_stop() -> None:
    async with receiving() as running:
        go_on, begun = asyncio.Event(), asyncio.Event()
        payload = batch().payload

        async def slow() -> AsyncIterator[bytes]:
            yield payload[:50]
            begun.set()
            await go_on.wait()
            yield payload[50:]

        request = spawn(running.post("traces", slow()), "post")
        await begun.wait()
        async with asyncio.timeout(20):
            while not running.receiver.http.inflow.in_flight:
                await asyncio.sleep(0.002)
        stop = spawn(running.receiver.stop(10), "stop")
        await asyncio.sleep(0)
        go_on.set()
        assert (await request)[0] == 200
        await stop
        assert running.place.items == 3
        with pytest.raises(aiohttp.ClientError):
            await running.post("traces", payload)


async def test_stop_does_not_wait_for_idle_connections() -> None:
    async with receiving() as running:
        await running.post("traces", batch().payload)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await running.receiver.stop(30)
        assert loop.time() - begun < 15


# -- WebSocket --------------------------------------------------------------------------------


@asynccontextmanager
async def socket(running: Running, path: str = "/v1/traces", **headers: str) -> AsyncIterator[Any]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with running.session.ws_connect(
        running.url + path, protocols=("otlp.v1",), headers=given, max_msg_size=0
    ) as opened:
        yield opened


async def test_one_answer_for_each_message() -> None:
    async with receiving() as running, socket(running) as peer:
        assert peer.protocol == "otlp.v1"
        for items in (1, 2, 3):
            await peer.send_bytes(batch("traces", items).payload)
        assert [await peer.receive_bytes() for _ in range(3)] == [b"\0", b"\0", b"\0"]
        assert [b.items for b in running.place.out] == [1, 2, 3]
        running.place.room = False
        await peer.send_bytes(batch().payload)
        answer = await peer.receive_bytes()
        assert (answer[0], retry_delay(status_of(answer[1:]))) == (14, 1.0)
        await peer.send_bytes(b"\xff\xff")
        answer = await peer.receive_bytes()
        assert (answer[0], status_of(answer[1:]).code) == (3, 3)
        await peer.send_str("hello")
        assert (await peer.receive_bytes())[0] == 3
        running.place.room = True
        await peer.send_bytes(batch().payload)
        assert await peer.receive_bytes() == b"\0"


async def test_compressed_messages() -> None:
    sent = batch("logs", 50)
    async with receiving() as running, socket(running, "/v1/logs", Content_Encoding="zstd") as peer:
        await peer.send_bytes(zstd.compress(sent.payload))
        assert await peer.receive_bytes() == b"\0"
        assert running.place.out[0].payload == sent.payload
        await peer.send_bytes(zstd.compress(bytes(100 * 1024 * 1024)))
        answer = await peer.receive_bytes()
        assert (answer[0], status_of(answer[1:]).code) == (8, 8)


async def test_a_message_that_is_too_large_ends_the_connection() -> None:
    async with receiving(SMALL) as running, socket(running) as peer:
        await peer.send_bytes(bytes(100_000))
        message = await peer.receive()
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        assert peer.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_who_may_connect() -> None:
    async with receiving(AUTH) as running:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            async with socket(running):
                pass
        assert error.value.status == 401
        async with socket(running, Authorization="Bearer s3cret") as peer:
            await peer.send_bytes(batch().payload)
            assert await peer.receive_bytes() == b"\0"


async def test_it_can_be_switched_off() -> None:
    async with receiving(BOTH + "websocket = false\n") as running:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            async with socket(running):
                pass
        assert error.value.status == 405


async def test_stop_closes_websockets() -> None:
    async with receiving() as running, socket(running) as peer:
        await peer.send_bytes(batch().payload)
        await peer.receive_bytes()
        stop = spawn(running.receiver.stop(10), "stop")
        assert (await peer.receive()).type is aiohttp.WSMsgType.CLOSE
        await peer.close()
        await stop
