"""What strangers send that is small and becomes large: refused, and nobody waits meanwhile."""

from __future__ import annotations

import io
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from benchmarks.bombs import GZIP, JSON, MIB, PROTOBUF, THRIFT, Bomb, bombs, packed, packets
from proxy.formats.remote_write import snappy
from proxy.formats.remote_write.write import Sample, Series, write_v1
from proxy.otlp.json import request_to_json
from proxy.otlp.wire import count
from proxy.tasks import spawn
from tests.collector.jaeger_samples import BINARY_BATCH
from tests.collector.kit import Place, batch, until
from tests.otlp import samples
from tests.otlp.samples import BEGIN

BOMBS = {bomb.name: bomb for bomb in bombs(4 * MIB)}
# Not one of them is worth much, but these are what they say.
TAKEN = {
    "Zipkin v2, annotations", "Zipkin v1, annotations", "Jaeger Thrift, tags", "JSON, a long text",
    "JSON, a long text of escapes", "protobuf, a long text",
}  # fmt: skip
TOO_LARGE = {"Jaeger Thrift, unknown fields"}
RECEIVERS: dict[str, tuple[str, Callable[[Any], int]]] = {
    "otlp": ('http = "127.0.0.1:0"', lambda r: r.addresses["http"]),
    "zipkin": ('endpoint = "127.0.0.1:0"', lambda r: r.port),
    "jaeger": ('thrift_http = "127.0.0.1:0"', lambda r: r.addresses["thrift_http"]),
    "prometheus_remote_write": ('endpoint = "127.0.0.1:0"', lambda r: r.port),
}


@asynccontextmanager
async def receiving(type: str) -> AsyncIterator[tuple[Place, str]]:
    place = Place("receiver", type)
    toml, port = RECEIVERS[type]
    receiver = place.make(toml)
    await receiver.start()
    try:
        yield place, f"http://127.0.0.1:{port(receiver)}"
    finally:
        await receiver.stop(1.0)


async def post(session: aiohttp.ClientSession, url: str, bomb: Bomb) -> int:
    async with session.post(
        url + bomb.path, data=io.BytesIO(bomb.body), headers=bomb.headers
    ) as answer:
        return answer.status


def expected(bomb: Bomb) -> set[int]:
    if bomb.name in TOO_LARGE:
        return {413}
    if bomb.name in TAKEN:
        return {200, 202, 204}
    return {400}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_is_refused_and_the_next_request_is_taken(name: str) -> None:
    bomb = BOMBS[name]
    async with receiving(bomb.receiver) as (place, url), aiohttp.ClientSession() as session:
        assert await post(session, url, bomb) in expected(bomb)
        before = place.items
        assert before == 0 or name in TAKEN
        good = GOOD[bomb.receiver]
        assert await post(session, url, good) in (200, 202, 204)
        assert place.items > before


GOOD = {
    "otlp": Bomb("good", "/v1/traces", PROTOBUF, batch(items=3).payload),
    "zipkin": Bomb("good", "/api/v2/spans", JSON, b'[{"traceId":"1a","id":"2b"}]'),
    "jaeger": Bomb("good", "/api/traces", THRIFT, BINARY_BATCH),
    "prometheus_remote_write": Bomb(
        "good",
        "/api/v1/write",
        {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"},
        snappy.compress(write_v1([Series((("__name__", "up"),), [Sample(1, BEGIN // 10**6)])])),
    ),
}


def zipkin(spans: int) -> bytes:
    one = '{{"traceId":"{0:032x}","id":"{0:016x}","timestamp":1700000000000000,"tags":{{"a":"b"}}}}'
    return f"[{','.join(one.format(n) for n in range(1, spans + 1))}]".encode()


LARGE = batch(items=100_000).payload
ACCEPTED = {
    "protobuf": (Bomb("", "/v1/traces", PROTOBUF, LARGE), 100_000),
    "protobuf, gzip": (Bomb("", "/v1/traces", {**PROTOBUF, **GZIP}, packed(LARGE)), 100_000),
    "metrics": (Bomb("", "/v1/metrics", PROTOBUF, samples.metrics(30_000)), 30_000),
    "JSON": (
        Bomb("", "/v1/traces", JSON, request_to_json("traces", batch(items=5_000).payload)),
        5_000,
    ),
    "Zipkin": (Bomb("", "/api/v2/spans", JSON, zipkin(5_000), "zipkin"), 5_000),
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_what_is_large_and_true_is_taken_whole_while_others_are_answered(name: str) -> None:
    large, items = ACCEPTED[name]
    async with receiving(large.receiver) as (place, url), aiohttp.ClientSession() as session:
        posting = spawn(post(session, url, large), "the large one")
        answered = 0
        while not posting.done():
            unknown = Bomb("", "/nothing", {}, b"")
            assert await post(session, url, unknown) in (404, 405)
            answered += 1
        assert await posting in (200, 202)
        assert answered > 1
        assert place.items == items
        assert len(place.out) > 2, "handed on in portions"
        assert sum(count(b.signal, b.payload) for b in place.out) == items


async def test_when_there_is_no_room_for_the_first_portion_nothing_is_taken() -> None:
    async with receiving("otlp") as (place, url), aiohttp.ClientSession() as session:
        place.room = False
        assert await post(session, url, ACCEPTED["protobuf"][0]) == 503
        assert not place.out


@pytest.mark.parametrize("name", ["empty spans", "unknown fields", "nested lists"])
async def test_packets_that_are_bombs_are_counted(name: str) -> None:
    packet = dict(packets())[name]
    place = Place("receiver", "jaeger")
    receiver = place.make('thrift_compact = "127.0.0.1:0"')
    await receiver.start()
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        for _ in range(2):
            sender.sendto(packet, ("127.0.0.1", receiver.addresses["thrift_compact"]))
        counters = place.counters
        await until(lambda: malformed(counters) >= 1)
        assert not place.out
    finally:
        sender.close()
        await receiver.stop(1.0)


def malformed(counters: Any) -> int:
    name = "spangate.receiver.malformed"
    return sum(series.value for series in counters.series() if series.instrument.name == name)
