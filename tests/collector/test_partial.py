"""Spans whose ids are none, among good ones, at every receiver: left out, counted, and told."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest

from proxy.collector.receivers.kafka.messages import Reader
from proxy.formats.jaeger.proto import POST_SPANS, PostSpansRequest
from proxy.formats.zipkin.model import ListOfSpans
from proxy.otlp.grpc import METHODS
from proxy.otlp.wire import partial_success
from tests.collector.kit import Place, settings
from tests.otlp import samples
from tests.otlp.test_ids import spans

GOOD = (b"t" * 16, b"s" * 8)
BAD = [(b"t" * 15, b"s" * 8), (bytes(16), b"s" * 8), (b"t" * 16, b"s" * 9), (b"t" * 16, b"")]
JSON, PROTOBUF = "application/json", "application/x-protobuf"
THRIFT = "application/x-thrift"


def otlp(ids: list[tuple[bytes, bytes]]) -> bytes:
    return bytes(spans(*ids).SerializeToString())


def otlp_json(ids: list[tuple[bytes, bytes]]) -> bytes:
    given = [{"traceId": t.hex(), "spanId": s.hex()} for t, s in ids]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": given}]}]}).encode()


def zipkin(ids: list[tuple[bytes, bytes]]) -> bytes:
    # Zipkin pads what is short, so there a blank and a digit too many make it wrong.
    texts = [(t.hex().rjust(32), s.hex()) for t, s in ids]
    return json.dumps([{"traceId": t, "id": s} for t, s in texts]).encode()


def zipkin_proto(ids: list[tuple[bytes, bytes]]) -> bytes:
    return bytes(ListOfSpans(spans=[{"trace_id": t, "id": s} for t, s in ids]).SerializeToString())


def thrift(ids: list[tuple[bytes, bytes]]) -> bytes:
    """A batch of the binary protocol; its ids are numbers, so that only zero is none."""

    def field(kind: int, number: int, body: bytes) -> bytes:
        return bytes((kind,)) + number.to_bytes(2, "big") + body

    def text(raw: bytes) -> bytes:
        return len(raw).to_bytes(4, "big") + raw

    def one(good: bool) -> bytes:
        numbers = b"".join(
            field(10, n, (int(good) if n < 4 else 0).to_bytes(8, "big")) for n in (1, 2, 3, 4, 8, 9)
        )
        return numbers + field(11, 5, text(b"n")) + field(8, 7, bytes(4)) + b"\0"

    process = field(12, 1, field(11, 1, text(b"app")) + b"\0")
    made = b"".join(one(pair == GOOD) for pair in ids)
    return process + field(15, 2, b"\x0c" + len(ids).to_bytes(4, "big") + made) + b"\0"


POSTED = [
    ("otlp", 'http = "127.0.0.1:0"', "/v1/traces", PROTOBUF, otlp),
    ("otlp", 'http = "127.0.0.1:0"', "/v1/traces", JSON, otlp_json),
    ("zipkin", 'endpoint = "127.0.0.1:0"', "/api/v2/spans", JSON, zipkin),
    ("zipkin", 'endpoint = "127.0.0.1:0"', "/api/v1/spans", JSON, zipkin),
    ("zipkin", 'endpoint = "127.0.0.1:0"', "/api/v2/spans", PROTOBUF, zipkin_proto),
    ("jaeger", 'thrift_http = "127.0.0.1:0"', "/api/traces", THRIFT, thrift),
]


def port_of(receiver: Any) -> int:
    addresses = getattr(receiver, "addresses", None)
    return int(next(iter(addresses.values())) if addresses else receiver.port)


def lost(place: Place) -> int:
    return sum(
        int(series.value)  # type: ignore[call-overload]
        for series in place.counters.series()
        if series.instrument.name == "spangate.receiver.spans.nameless"
    )


async def post(port: int, path: str, kind: str, body: bytes) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://127.0.0.1:{port}{path}", data=body, headers={"Content-Type": kind}
        ) as answer,
    ):
        return answer.status, await answer.read()


@pytest.mark.parametrize(("type", "toml", "path", "kind", "made"), POSTED)
async def test_what_is_posted_is_taken_without_them(
    type: str, toml: str, path: str, kind: str, made: Any
) -> None:
    place = Place("receiver", type)
    receiver = place.make(toml)
    await receiver.start()
    try:
        port = port_of(receiver)
        status, said = await post(port, path, kind, made([GOOD, *BAD, GOOD]))
        assert (status, place.items, lost(place)) == (200 if type == "otlp" else 202, 2, 4)
        if type == "otlp" and kind == PROTOBUF:
            assert partial_success(said)[0] == 4
        elif type == "otlp":
            assert json.loads(said)["partialSuccess"]["rejectedSpans"] == "4"
        assert b"without a valid" in said
        status, said = await post(port, path, kind, made(BAD))
        assert (status, place.items, lost(place)) == (400, 2, 8)
        assert b"without a valid" in said
    finally:
        await receiver.stop(1)


def jaeger_proto(ids: list[tuple[bytes, bytes]]) -> bytes:
    given = [{"trace_id": t, "span_id": s, "operation_name": b"n" * 20} for t, s in ids]
    return bytes(PostSpansRequest(batch={"spans": given}).SerializeToString())


@pytest.mark.parametrize(
    ("type", "method", "made"),
    [("otlp", METHODS["traces"], otlp), ("jaeger", POST_SPANS, jaeger_proto)],
)
async def test_the_same_by_grpc(type: str, method: str, made: Any) -> None:
    place = Place("receiver", type)
    receiver = place.make('grpc = "127.0.0.1:0"')
    await receiver.start()
    try:
        address = f"127.0.0.1:{port_of(receiver)}"
        async with grpc.aio.insecure_channel(address) as channel:
            call = channel.unary_unary(method)
            said = await call(made([GOOD, *BAD, GOOD]), timeout=20)
            assert (place.items, lost(place)) == (2, 4)
            assert partial_success(said)[0] == (4 if type == "otlp" else 0)
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call(made(BAD), timeout=20)
            assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    finally:
        await receiver.stop(1)


async def test_the_same_by_websocket_and_in_large_requests() -> None:
    place = Place("receiver", "otlp")
    receiver = place.make('http = "127.0.0.1:0"')
    await receiver.start()
    try:
        url = f"http://127.0.0.1:{port_of(receiver)}/v1/traces"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, protocols=["otlp.v1"], max_msg_size=0) as socket,
        ):
            await socket.send_bytes(otlp([GOOD, *BAD]))
            answer = await socket.receive_bytes(timeout=20)
            assert (answer[0], partial_success(answer[1:])[0], place.items) == (0, 4, 1)
            large = otlp([GOOD, *BAD] * 10_000)
            await socket.send_bytes(large + samples.request("traces", 3))
            answer = await socket.receive_bytes(timeout=20)
            assert (answer[0], partial_success(answer[1:])[0]) == (0, 40_000)
            assert place.items == 10_004
    finally:
        await receiver.stop(1)


@pytest.mark.parametrize(("encoding", "made"), [("otlp_proto", otlp), ("otlp_json", otlp_json)])
async def test_the_same_in_messages_of_kafka(encoding: str, made: Any) -> None:
    place = Place("receiver", "kafka")
    reader = Reader(settings("receiver", "kafka", f'encoding = "{encoding}"'), place.context)

    def message(value: bytes) -> Any:
        return SimpleNamespace(value=value, headers=(), topic="t", partition=0, offset=1)

    taken = await reader.read("traces", message(made([GOOD, *BAD, GOOD])))
    assert taken is not None
    assert (taken.items, lost(place)) == (2, 4)
    assert await reader.read("traces", message(made(BAD))) is None
    assert lost(place) == 8
