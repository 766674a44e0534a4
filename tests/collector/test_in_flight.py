"""What is being read or handed on is bounded until its answer, by every receiver and transport."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest

from proxy.collector.batch import Batch
from proxy.formats.jaeger.proto import POST_SPANS, PostSpansRequest
from proxy.formats.remote_write import snappy
from proxy.formats.remote_write.write import Sample, Series, write_v1
from proxy.otlp.grpc import METHODS
from proxy.tasks import spawn
from tests.collector.kit import Place, until
from tests.otlp import samples

LIMIT = 'max_in_flight_size = "{}B"'
TOO_MUCH = 503


class Narrow(Place):
    """Behind the first batch there is no room until it is `wide`."""

    wide = False

    def consume(self, batch: Batch) -> bool:
        return (self.wide or not self.out) and super().consume(batch)


Send = Callable[[int, bytes], Any]  # (port, body) -> status, awaited


def posting(path: str, kind: str, **headers: str) -> Send:
    async def send(port: int, body: bytes) -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"http://127.0.0.1:{port}{path}",
                data=body,
                headers={"Content-Type": kind, **headers},
            ) as answer,
        ):
            return answer.status

    return send


def calling(method: str) -> Send:
    async def send(port: int, body: bytes) -> int:
        options = [("grpc.max_send_message_length", -1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            try:
                await channel.unary_unary(method)(body, timeout=30)
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE
                return TOO_MUCH
            return 200

    return send


async def by_websocket(port: int, body: bytes) -> int:
    url = f"http://127.0.0.1:{port}/v1/traces"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=["otlp.v1"]) as socket,
    ):
        await socket.send_bytes(body)
        answer = await socket.receive_bytes(timeout=30)
        assert answer[0] in (0, 14)
        return TOO_MUCH if answer[0] else 200


OTLP = samples.request("traces", 6000)
ZIPKIN = json.dumps(
    [{"traceId": "1" * 32, "id": f"{n:016x}", "name": "n" * 20} for n in range(1, 2000)]
).encode()
JAEGER = PostSpansRequest(
    batch={
        "spans": [
            {"trace_id": b"t" * 16, "span_id": n.to_bytes(8, "big"), "operation_name": b"n" * 20}
            for n in range(1, 2000)
        ]
    }
).SerializeToString()
WRITTEN = write_v1(
    [Series((("__name__", "m"), ("n", str(n))), [Sample(1, 10**12)]) for n in range(2000)]
)
PROTOBUF = "application/x-protobuf"

# name -> (component, settings, send, body, bytes that it has, decompressed)
WAYS: dict[str, tuple[str, str, Send, bytes, int]] = {
    "otlp http": ("otlp", "http", posting("/v1/traces", PROTOBUF), OTLP, len(OTLP)),
    "otlp grpc": ("otlp", "grpc", calling(METHODS["traces"]), OTLP, len(OTLP)),
    "otlp websocket": ("otlp", "http", by_websocket, OTLP, len(OTLP)),
    "zipkin": (
        "zipkin", "endpoint", posting("/api/v2/spans", "application/json"), ZIPKIN, len(ZIPKIN)
    ),
    "jaeger grpc": ("jaeger", "grpc", calling(POST_SPANS), JAEGER, len(JAEGER)),
    "remote write": (
        "prometheus_remote_write",
        "endpoint",
        posting("/api/v1/write", PROTOBUF, **{"Content-Encoding": "snappy"}),
        snappy.compress(WRITTEN),
        len(WRITTEN) + len(snappy.compress(WRITTEN)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
async def test_a_request_holds_its_share_until_it_is_answered(way: str) -> None:
    type, key, send, body, size = WAYS[way]
    place = Narrow("receiver", type)
    receiver = place.make(f'{key} = "127.0.0.1:0"\n{LIMIT.format(size * 3 // 2)}')
    await receiver.start()
    try:
        addresses = getattr(receiver, "addresses", None)
        port = next(iter(addresses.values())) if addresses else receiver.port
        first = spawn(send(port, body), "first")
        await until(lambda: place.out)  # it was taken in part, and waits for room
        assert await send(port, body) == TOO_MUCH
        place.wide = True
        async with asyncio.timeout(20):
            assert await first < 300
            # All of it was given back.
            assert await send(port, body) < 300
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20):
                await receiver.stop(1)
