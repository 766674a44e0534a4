"""The Jaeger receiver on real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest

from proxy.collector.batch import Batch
from proxy.errors import ConfigError
from proxy.formats.jaeger.proto import POST_SPANS, PostSpansRequest
from tests.collector.jaeger_samples import BINARY_BATCH, BINARY_EMIT, COMPACT_EMIT, PROTO
from tests.collector.kit import Place, settings

ALL = """
grpc = "127.0.0.1:0"
thrift_http = "127.0.0.1:0"
thrift_compact = "127.0.0.1:0"
thrift_binary = "127.0.0.1:0"
max_packet_size = "1000B"
max_request_size = "64KiB"

[collector.receivers.jaeger.remote_sampling]
endpoint = "127.0.0.1:0"
probability = 0.25

[collector.receivers.jaeger.remote_sampling.services.shop]
probability = 0.5
operations = { "GET /health" = 0.0 }

[collector.receivers.jaeger.remote_sampling.services.bulk]
traces_per_second = 7
"""


class Watched(Place):
    """Tells when something was passed on or lost."""

    def __init__(self) -> None:
        super().__init__("receiver", "jaeger")
        self.came = asyncio.Event()
        self.receiver = self.make(ALL)

    def consume(self, batch: Batch) -> bool:
        taken = super().consume(batch)
        self.came.set()
        return taken

    def counted(self, name: str) -> dict[str, float]:
        """By protocol, what is not zero."""
        return {
            dict(series.attributes)["protocol"]: series.value
            for series in self.counters.series()
            if series.instrument.name == name and series.value
        }

    def port(self, name: str) -> int:
        return int(self.receiver.addresses[name])


@pytest.fixture
async def place() -> AsyncIterator[Watched]:
    made = Watched()
    await made.receiver.start()
    yield made
    await made.receiver.stop(1)


def send(place: Watched, protocol: str, *packets: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for packet in packets:
            udp.sendto(packet, ("127.0.0.1", place.port(protocol)))


async def wait(place: Watched, items: int) -> None:
    async with asyncio.timeout(20):
        while place.items < items:
            place.came.clear()
            await place.came.wait()


async def post(place: Watched, body: bytes, path: str = "/api/traces", **headers: str) -> Any:
    headers = {"Content-Type": "application/x-thrift", **headers}
    url = f"http://127.0.0.1:{place.port('thrift_http')}{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=body, headers=headers) as answer,
    ):
        return answer.status, await answer.text(), answer.headers


async def call(place: Watched, payload: bytes) -> bytes:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{place.port('grpc')}") as channel:
        answer: bytes = await channel.unary_unary(POST_SPANS)(payload, timeout=20)
        return answer


def service(batch: Batch) -> str:
    message: Any = batch.message()
    return str(message.resource_spans[0].resource.attributes[0].value.string_value)


@pytest.mark.parametrize(
    ("protocol", "packet"), [("thrift_compact", COMPACT_EMIT), ("thrift_binary", BINARY_EMIT)]
)
async def test_packets_arrive_and_garbage_between_them_is_counted(
    place: Watched, protocol: str, packet: bytes
) -> None:
    send(place, protocol, packet, b"garbage", b"", b"\x82" * 1001, packet)
    await wait(place, 2)
    assert [service(batch) for batch in place.out] == ["shop", "shop"]
    assert place.counted("spangate.receiver.malformed") == {protocol: 3}


async def test_packets_without_room_are_handed_to_the_books(place: Watched) -> None:
    place.room = False
    send(place, "thrift_compact", COMPACT_EMIT)
    async with asyncio.timeout(20):
        await place.came.wait()
    assert [batch.items for batch in place.lost] == [1]


@pytest.mark.parametrize("kind", ["application/x-thrift", "application/vnd.apache.thrift.binary"])
@pytest.mark.parametrize("packed", [False, True])
async def test_http_takes_a_batch(place: Watched, kind: str, packed: bool) -> None:
    body = gzip.compress(BINARY_BATCH) if packed else BINARY_BATCH
    coding = {"Content-Encoding": "gzip"} if packed else {}
    path = "/api/traces?format=jaeger.thrift"
    status, text, _ = await post(place, body, path, **{"Content-Type": kind}, **coding)
    assert (status, text) == (202, "")
    assert place.items == 1


REFUSED = [
    pytest.param(b"garbage", {}, 400, "cannot be read", id="garbage"),
    pytest.param(b"", {}, 400, "cannot be read", id="nothing"),
    pytest.param(b"x", {"Content-Encoding": "gzip"}, 400, "compressed", id="not-gzip"),
    pytest.param(b"x", {"Content-Encoding": "br"}, 415, "Content-Encoding", id="unknown-coding"),
    pytest.param(b"x", {"Content-Type": "application/json"}, 415, "x-thrift", id="other-type"),
    pytest.param(bytes(70_000), {}, 413, "more than", id="large"),
    pytest.param(
        gzip.compress(bytes(10_000_000)), {"Content-Encoding": "gzip"}, 413, "more than", id="bomb"
    ),
]


@pytest.mark.parametrize(("body", "headers", "status", "text"), REFUSED)
async def test_http_says_what_is_wrong(
    place: Watched, body: bytes, headers: dict[str, str], status: int, text: str
) -> None:
    got, said, _ = await post(place, body, **headers)
    assert (got, place.items) == (status, 0)
    assert text in said


async def test_other_paths_and_methods_are_told_the_right_one(place: Watched) -> None:
    status, text, _ = await post(place, b"", "/api/v2/spans")
    assert status == 404
    assert "POST /api/traces" in text
    url = f"http://127.0.0.1:{place.port('thrift_http')}/api/traces"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 405


async def test_without_room_http_asks_to_come_again(place: Watched) -> None:
    place.room = False
    status, _, headers = await post(place, BINARY_BATCH)
    assert (status, headers["Retry-After"]) == (503, "1")
    place.wanted = set()
    status, _, _ = await post(place, BINARY_BATCH)
    assert status == 404


async def test_grpc_takes_a_request(place: Watched) -> None:
    assert await call(place, PROTO) == b""
    assert await call(place, b"") == b""  # nothing in it, nothing wrong with it
    assert place.items == 1


async def test_a_large_request_is_taken_whole(place: Watched) -> None:
    """It is translated in a thread."""
    request = PostSpansRequest.FromString(PROTO)
    for _ in range(199):
        request.batch.spans.append(request.batch.spans[0])
    payload = request.SerializeToString()
    assert len(payload) > 32 * 1024
    await call(place, payload)
    assert place.items == 200


@pytest.mark.parametrize(
    ("payload", "room", "code"),
    [
        (b"\xff\xff", True, grpc.StatusCode.INVALID_ARGUMENT),
        (PROTO, False, grpc.StatusCode.UNAVAILABLE),
        (bytes(70_000), True, grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_grpc_says_what_is_wrong(
    place: Watched, payload: bytes, room: bool, code: grpc.StatusCode
) -> None:
    place.room = room
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(place, payload)
    assert raised.value.code() is code


async def test_spans_without_ids_are_counted(place: Watched) -> None:
    body = BINARY_BATCH.replace(b"\x0a\x00\x03" + b"\0" * 7 + b"\x03", b"\x0a\x00\x03" + b"\0" * 8)
    assert body != BINARY_BATCH
    status, said = (await post(place, body))[:2]
    assert (status, place.items) == (400, 0)
    assert "1 span without a valid span_id" in str(said)
    assert place.counted("spangate.receiver.spans.nameless") == {"thrift_http": 1}


STRATEGIES = [
    (
        "shop",
        {
            "strategyType": "PROBABILISTIC",
            "probabilisticSampling": {"samplingRate": 0.5},
            "operationSampling": {
                "defaultSamplingProbability": 0.5,
                "defaultLowerBoundTracesPerSecond": 0,
                "perOperationStrategies": [
                    {"operation": "GET /health", "probabilisticSampling": {"samplingRate": 0.0}}
                ],
            },
        },
    ),
    (
        "bulk",
        {"strategyType": "RATE_LIMITING", "rateLimitingSampling": {"maxTracesPerSecond": 7}},
    ),
    (
        "anything",
        {"strategyType": "PROBABILISTIC", "probabilisticSampling": {"samplingRate": 0.25}},
    ),
]


@pytest.mark.parametrize(("name", "strategy"), STRATEGIES)
async def test_remote_sampling(place: Watched, name: str, strategy: object) -> None:
    url = f"http://127.0.0.1:{place.port('remote_sampling')}/sampling"
    async with aiohttp.ClientSession() as session:
        async with session.get(url, params={"service": name}) as answer:
            assert answer.status == 200
            assert answer.content_type == "application/json"
            assert json.loads(await answer.text()) == strategy
        async with session.get(url) as answer:
            assert answer.status == 400


BAD = [
    ("", "nothing to listen on"),
    ('grpc = "here"', "not an address"),
    ('grpc = ":1"\nmax_packet_size = 0', "unlimited"),
    ('remote_sampling = { endpoint = "here" }', "not an address"),
    (
        'remote_sampling = { endpoint = ":1", services = '
        "{ a = { traces_per_second = 1, probability = 1 } } }",
        "excludes",
    ),
]


@pytest.mark.parametrize(("toml", "text"), BAD)
def test_settings_are_checked(toml: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        settings("receiver", "jaeger", toml)


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_behind() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        port = udp.getsockname()[1]
        place = Place("receiver", "jaeger")
        receiver = place.make(f'grpc = "127.0.0.1:0"\nthrift_compact = "127.0.0.1:{port}"')
        with pytest.raises(OSError, match="in use"):
            await receiver.start()
        await receiver.stop(1)
