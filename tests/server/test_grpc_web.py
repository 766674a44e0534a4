"""gRPC-Web of browsers, by HTTP/1.1 and HTTP/2, to a real gRPC server."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from dataclasses import dataclass

import pytest

from proxy.http.grpc_web import Decoder
from tests.harness import Gateway, gateway
from tests.server.grpc_kit import SERVICE, calling, file
from tests.server.h2_backend import H2Backend, Stream
from tests.server.h2_kit import h2_client
from tests.server.kit import ask, trace

ON = "grpc_web = true"
BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text+proto"


def frame(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


@dataclass
class Got:
    """An answer as a browser's library reads it."""

    status: int
    fields: dict[str, str]
    messages: list[bytes]
    trailers: dict[str, str]


def read(status: int, fields: dict[str, str], body: bytes) -> Got:
    if "text" in fields["content-type"]:
        decoder = Decoder()
        body = decoder.decode(body)
        decoder.end()
    messages, trailers = [], {}
    while body:
        size = int.from_bytes(body[1:5], "big")
        flag, held, body = body[0], body[5 : 5 + size], body[5 + size :]
        assert len(held) == size and not trailers, "trailers come last"
        if flag & 0x80:
            lines = held.decode().splitlines()
            trailers = {line.partition(": ")[0]: line.partition(": ")[2] for line in lines}
        else:
            messages.append(held)
    return Got(status, fields, messages, trailers)


async def call(
    gate: Gateway,
    version: str,
    content_type: str,
    body: bytes,
    method: str = "UnaryCall",
    *more: tuple[str, str],
) -> Got:
    """By `version`; `body` is encoded where the content type says so."""
    if "text" in content_type:
        body = b64encode(body)
    return await send(gate, version, content_type, body, method, *more)


async def send(
    gate: Gateway,
    version: str,
    content_type: str,
    body: bytes,
    method: str = "UnaryCall",
    *more: tuple[str, str],
) -> Got:
    path = f"/{SERVICE}/{method}"
    said = [("content-type", content_type), ("x-grpc-web", "1"), *more]
    if version == "1.1":
        client = await gate.connect()
        lines = [f"{name}: {value}" for name, value in said]
        answer = await ask(client, "POST", path, *lines, body=body)
        heads = [line.split(": ", 1) for line in answer.head.decode().split("\r\n")[1:] if line]
        return read(answer.status, {n.lower(): v for n, v in heads}, answer.body)
    h2 = await h2_client(gate)
    stream = h2.ask("POST", path, *[(n.encode(), v.encode()) for n, v in said], end=not body)
    if body:
        h2.data(stream, body, end=True)
    got = await h2.answer(stream)
    assert got.trailers == [] and got.reset is None
    return read(got.status, {n.decode(): v.decode() for n, v in got.fields}, got.body)


BOTH = pytest.mark.parametrize("version", ["1.1", "2"])
KINDS = pytest.mark.parametrize("kind", [BINARY, TEXT])


@BOTH
@KINDS
async def test_a_unary_call(version: str, kind: str) -> None:
    async with calling(ON) as by:
        got = await call(by.gate, version, kind, frame(b"hello"))
        assert (got.status, got.messages) == (200, [b"hello"])
        assert got.trailers["grpc-status"] == "0"
        web = "application/grpc-web-text" if kind == TEXT else "application/grpc-web"
        assert got.fields["content-type"] == web
        seen = await trace(by.gate)
        assert seen.about["network.protocol.version"] == version
        assert seen.tried[0]["network.protocol.version"] == "2"
        assert seen.about["rpc.response.status_code"] == "OK"
        assert seen.server.name == f"{SERVICE}/UnaryCall"


@BOTH
@KINDS
async def test_many_messages(version: str, kind: str) -> None:
    async with calling(ON) as by:
        body = frame(b"5,70000,0,1")
        got = await call(by.gate, version, kind, body, "StreamingOutputCall")
        assert list(map(len, got.messages)) == [5, 70000, 0, 1]
        assert got.trailers["grpc-status"] == "0"


@BOTH
@KINDS
async def test_a_large_request(version: str, kind: str) -> None:
    async with calling(ON) as by:
        sent = bytes(range(256)) * 1000
        got = await call(by.gate, version, kind, frame(sent))
        assert got.messages == [sent]


@BOTH
async def test_a_status_alone_stays_in_the_head(version: str) -> None:
    async with calling(ON) as by:
        more = (("x-code", "5"), ("x-message", "nothing here"))
        got = await call(by.gate, version, TEXT, frame(b""), "UnaryCall", *more)
        assert (got.messages, got.trailers) == ([], {})
        assert (got.fields["grpc-status"], got.fields["grpc-message"]) == ("5", "nothing here")
        assert (await trace(by.gate)).about["rpc.response.status_code"] == "NOT_FOUND"


@BOTH
async def test_a_status_after_messages(version: str) -> None:
    async with calling(ON) as by:
        more = (("x-code", "9"), ("x-message", "special"))
        got = await call(by.gate, version, BINARY, frame(b"3"), "StreamingOutputCall", *more)
        assert got.messages == [bytes(3)]
        assert got.trailers["grpc-status"] == "9"
        assert got.trailers["grpc-message"].startswith("%09%0Atest with whitespace")


@BOTH
async def test_pieces_that_were_encoded_one_by_one(version: str) -> None:
    async with calling(ON) as by:
        whole = frame(b"hello, world")
        body = b"".join(b64encode(whole[at : at + 4]) for at in range(0, len(whole), 4))
        assert b"=" in body[:-4]
        got = await send(by.gate, version, TEXT, body)
        assert got.messages == [b"hello, world"]


@BOTH
async def test_pieces_that_come_one_by_one(version: str) -> None:
    """Cut within groups of four, on their way."""
    async with calling(ON) as by:
        encoded = b64encode(frame(b"hello, world"))
        pieces = [encoded[at : at + 3] for at in range(0, len(encoded), 3)]
        if version == "2":
            h2 = await h2_client(by.gate)
            head = (b"content-type", TEXT.encode())
            stream = h2.ask("POST", f"/{SERVICE}/UnaryCall", head, end=False)
            for piece in pieces:
                h2.data(stream, piece)
                await asyncio.sleep(0)
            h2.data(stream, b"", end=True)
            body = (await h2.answer(stream)).body
        else:
            client = await by.gate.connect()
            client.write(
                f"POST /{SERVICE}/UnaryCall HTTP/1.1\r\nHost: a.test\r\nContent-Type: {TEXT}\r\n"
                "Transfer-Encoding: chunked\r\n\r\n".encode()
            )
            for piece in [*pieces, b""]:
                client.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            body = (await client.answer()).body
        assert read(200, {"content-type": TEXT}, body).messages == [b"hello, world"]


@BOTH
@pytest.mark.parametrize("body", [b"!!!!", b"AAAAAAA", b"AA=A"])
async def test_what_is_no_base64(version: str, body: bytes) -> None:
    async with calling(ON) as by:
        got = await send(by.gate, version, TEXT, body)
        assert (got.status, got.fields["grpc-status"]) == (200, "13")
        assert "base64" in got.fields["grpc-message"]
        assert got.fields["content-type"] == "application/grpc-web-text"


@BOTH
async def test_an_answer_that_breaks_off(version: str) -> None:
    async def handle(stream: Stream) -> None:
        await stream.body()
        stream.head(200, ("content-type", "application/grpc"))
        stream.data(frame(b"one"))
        await asyncio.sleep(0.05)  # so that the head is on its way
        stream.rst(8)

    async with H2Backend(handle) as backend, gateway(file(backend.url, ON)) as gate:
        got = await call(gate, version, TEXT, frame(b""))
        assert got.messages == [b"one"]
        assert got.trailers["grpc-status"] == "1"


async def test_the_gateway_s_own_errors() -> None:
    async with gateway(file("http://127.0.0.1:9", ON)) as gate:
        got = await call(gate, "1.1", TEXT, frame(b""), "UnaryCall", ("origin", "https://a.test"))
        assert (got.status, got.fields["grpc-status"]) == (200, "14")
        assert got.fields["content-type"] == "application/grpc-web-text"
        assert got.fields["access-control-expose-headers"].startswith("grpc-status")


async def test_what_the_server_is_asked() -> None:
    async def handle(stream: Stream) -> None:
        await stream.body()
        stream.head(503, ("content-type", "text/html"))
        stream.data(b"<p>", True)

    async with H2Backend(handle) as backend, gateway(file(backend.url, ON)) as gate:
        client = await gate.connect()
        lines = [f"content-type: {TEXT}; charset=utf-8", "grpc-timeout: 9S", "x-a: b"]
        body = b64encode(frame(b"x"))
        answer = await ask(client, "POST", f"/{SERVICE}/UnaryCall", *lines, body=body)
        assert (answer.status, answer.body) == (503, b"<p>"), "what is no gRPC passes as it is"
        (stream,) = backend.streams
        assert [stream[n] for n in ("content-type", "te", "x-a", "content-length")] == [
            "application/grpc+proto",
            "trailers",
            "b",
            "",
        ]
        assert stream["grpc-timeout"] and stream.got == frame(b"x")
        seen = await trace(gate)
        assert seen.about["rpc.response.status_code"] == "UNAVAILABLE"


async def test_a_route_that_does_not_translate() -> None:
    async with H2Backend() as backend, gateway(file(backend.url)) as gate:
        client = await gate.connect()
        body = frame(b"x")
        answer = await ask(client, "POST", "/a.B/C", f"content-type: {BINARY}", body=body)
        assert answer.body == b"ok"
        (stream,) = backend.streams
        assert (stream["content-type"], stream.got) == (BINARY, body)
        assert "rpc.method" not in (await trace(gate)).about


async def test_grpc_on_the_same_route() -> None:
    async with calling(f"{ON}\nwhen = {{ grpc = true }}") as by:
        assert await by.unary()(b"x") == b"x"
        assert (await call(by.gate, "1.1", BINARY, frame(b"y"))).messages == [b"y"]


def test_the_reader_of_these_tests() -> None:
    body = frame(b"a") + b"\x80\0\0\0\x10grpc-status: 0\r\n"
    got = read(200, {"content-type": BINARY}, body)
    assert (got.messages, got.trailers) == ([b"a"], {"grpc-status": "0"})
    assert b64decode(b64encode(body)) == body
