"""HTTP in, a record of a real broker out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.collector.tansu import Broker, tansu
from tests.messaging.kit import (
    PRODUCER_KIND,
    SERVER_KIND,
    Gateway,
    attributes,
    by_kind,
    config,
    gateway,
)
from tests.ports import free_port

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SHOP = {"traceparent": PARENT, "tracestate": "shop=1", "x-key": "k1", "x-tenant": "acme"}


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with tansu() as running:
        await running.topic("orders")
        yield running


@pytest.mark.parametrize(("flag", "flags"), [("false", b"01"), ("true", b"03")])
async def test_flags_are_those_that_are_sent_to_upstreams(
    broker: Broker, flag: str, flags: bytes
) -> None:
    async with gateway(config(broker.address, f"[tracing]\nrandom_flag = {flag}")) as made:
        await made.post("/topics/orders", b"1")
        (record,) = await broker.read("orders", 1)
    assert dict(record.headers)["traceparent"].rpartition(b"-")[2] == flags


async def test_a_request_becomes_a_record_with_its_trace(broker: Broker) -> None:
    text = config(broker.address, '[tracing]\ntrust = ["127.0.0.1"]')
    async with gateway(text) as made:
        headers = {**SHOP, "content-type": "application/json", "baggage": "a=b"}
        status, told = await made.post("/topics/orders", b'{"id": 1}', headers)
        assert (status, told) == (
            200,
            {"status": 200, "topic": "orders", "partition": 0, "offset": 0},
        )
        (record,) = await broker.read("orders", 1)
        spans = await made.spans(2)
    (server,), (producer,) = by_kind(spans, SERVER_KIND), by_kind(spans, PRODUCER_KIND)
    assert len(spans) == 2  # what a worker and the process of queues say to each other is no span
    assert (record.key, record.value) == (b"k1", b'{"id": 1}')
    found = dict(record.headers)
    trace_id, span_id = PARENT.split("-")[1:3]
    assert found.pop("traceparent").decode() == f"00-{trace_id}-{producer.span_id.hex()}-01"
    assert found == {
        "content-type": b"application/json",
        "x-tenant": b"acme",
        "tracestate": b"shop=1",
        "baggage": b"a=b",  # of a trusted caller
    }
    assert server.parent_span_id.hex() == span_id
    assert producer.parent_span_id == server.span_id
    assert producer.trace_id == server.trace_id == bytes.fromhex(trace_id)
    assert producer.trace_state == "shop=1"
    assert producer.name == "send {topic}"
    host, port = broker.address.split(":")
    assert attributes(producer) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "orders",
        "messaging.destination.template": "{topic}",
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 0,
        "messaging.kafka.message.key": "k1",
        "messaging.message.body.size": 9,
        "spangate.queue": "bus",
        "server.address": host,
        "server.port": int(port),
    }
    assert attributes(server)["http.response.status_code"] == 200


async def test_a_sidecar_publishes_what_its_application_sends(broker: Broker) -> None:
    sidecar = '[mesh]\nname = "shop"\napp = "127.0.0.1:1"\noutbound = "127.0.0.1:0"'
    sidecar += '\ninbound = "127.0.0.1:0"'
    async with gateway(config(broker.address, sidecar), "outbound") as made:
        status, told = await made.post("/topics/orders", b"1", SHOP)
        assert (status, told["topic"]) == (200, "orders")
        (record,) = await broker.read("orders", 1)
        spans = await made.spans(2)
    (server,), (producer,) = by_kind(spans, SERVER_KIND), by_kind(spans, PRODUCER_KIND)
    assert producer.parent_span_id == server.span_id
    assert server.parent_span_id.hex() == PARENT.split("-")[2]
    assert dict(record.headers)["traceparent"].split(b"-")[2].decode() == producer.span_id.hex()


@pytest.mark.parametrize(
    ("inject", "names"),
    [
        ('["b3"]', {"b3"}),
        (
            '["w3c", "b3multi"]',
            {"traceparent", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled"},
        ),
    ],
)
async def test_context_is_written_as_it_is_asked_for(
    inject: str, names: set[str], broker: Broker
) -> None:
    async with gateway(config(broker.address, queue=f"inject = {inject}")) as made:
        assert (await made.post("/topics/orders", b"x"))[0] == 200
        (record,) = await broker.read("orders", 1)
        (producer,) = by_kind(await made.spans(2), PRODUCER_KIND)
    found = dict(record.headers)
    assert names <= set(found)
    assert not {"traceparent", "b3"} - names & set(found)
    ids = b" ".join(found.values()).decode()
    assert producer.trace_id.hex() in ids
    assert producer.span_id.hex() in ids


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/topics/nothing-there", 404),  # and nobody makes it
        ("/topics/..", 404),  # no such route once the path is normal
        ("/topics/%2e%2e", 404),
        ("/topics/a%2Fb", 400),
        ("/topics/a%00b", 400),
        ("/topics/a%20b", 400),
        ("/topics/__consumer_offsets", 400),
        ("/topics/" + "x" * 250, 400),
        ("/topics/orders%26queue=other", 400),
        ("/topics/%c3%a9", 400),
    ],
)
async def test_hostile_topics_are_refused(path: str, status: int, broker: Broker) -> None:
    async with gateway(config(broker.address)) as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" % path.encode())
        line = await reader.readline()
        writer.close()
        assert int(line.split()[1]) == status


async def test_a_message_that_is_too_large_is_refused(broker: Broker) -> None:
    async with gateway(config(broker.address, queue='message = "1KiB"')) as made:
        assert (await made.post("/topics/orders", b"x" * 1025))[0] == 413

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"x" * 500

        assert (await made.post("/topics/orders", pieces()))[0] == 413  # type: ignore[arg-type]
        # with what comes in its headers
        status, told = await made.post("/topics/orders", b"x" * 1020, {"x-tenant": "long enough"})
        assert (status, told["error"]) == (413, "too_large")
        assert (await made.post("/topics/orders", b"x" * 900))[0] == 200
        spans = await made.spans(5)
    failed = [attributes(s).get("error.type") for s in by_kind(spans, PRODUCER_KIND)]
    assert failed.count("too_large") >= 1
    assert failed.count(None) == 1


async def test_without_a_broker_the_answer_is_503_and_soon() -> None:
    async with gateway(config(f"127.0.0.1:{free_port()}")) as made:
        for _ in range(3):
            async with asyncio.timeout(10):
                status, told = await made.post("/topics/orders", b"x")
            assert (status, told["error"]) == (503, "broker_unavailable")
        spans = await made.spans(6)
        told = {(("error.type", "broker_unavailable"),): 3}
        await made.until(lambda: made.numbers("messaging.client.sent.messages") == told)
    for span in by_kind(spans, PRODUCER_KIND):
        assert attributes(span)["error.type"] == "broker_unavailable"
        assert span.status.code == 2
    assert {attributes(s)["error.type"] for s in by_kind(spans, SERVER_KIND)} == {"503"}


async def test_a_broker_that_dies_is_told_soon_and_found_again(broker: Broker) -> None:
    async with gateway(config(broker.address)) as made:
        assert (await made.post("/topics/orders", b"before"))[0] == 200
        await broker.kill()
        async with asyncio.timeout(8):  # a request to Kafka may take 10 s
            assert (await made.post("/topics/orders", b"lost"))[0] == 503
        async with asyncio.timeout(2):
            assert (await made.post("/topics/orders", b"lost"))[0] == 503
        assert await broker.start()  # it keeps nothing
        await broker.topic("orders")
        async with asyncio.timeout(20):
            while (await made.post("/topics/orders", b"after"))[0] != 200:
                await asyncio.sleep(0.05)
        (record,) = await broker.read("orders", 1)
        assert record.value == b"after"


async def test_a_broker_that_says_nothing_is_told_in_time(broker: Broker) -> None:
    async with gateway(config(broker.address, queue='timeout = "1s"')) as made:
        assert (await made.post("/topics/orders", b"before"))[0] == 200
        broker.freeze()
        async with asyncio.timeout(10):
            status, told = await made.post("/topics/orders", b"x")
        assert (status, told["error"]) == (504, "timeout")
        spans = await made.spans(4)
    assert attributes(by_kind(spans, PRODUCER_KIND)[1])["error.type"] == "timeout"


BATCH = [
    {"value": {"id": 1}, "key": "a", "headers": {"x-one": "1"}},
    {"text": "plain"},
    {"base64": "AP8="},
    {"value": None, "key": "gone"},
]


async def test_a_tombstone_without_a_key_is_refused_alone(broker: Broker) -> None:
    batch = [{"text": "one"}, {"value": None}, {"text": "three"}]
    more = '[[route]]\npath = "/batch"\npublish = { to = "bus", topic = "orders", batch = true }'
    async with gateway(config(broker.address, more)) as made:
        kind = {"content-type": "application/json"}
        status, told = await made.post("/batch", json.dumps(batch).encode(), kind)
        records = await broker.read("orders", 2)
    assert status == 207
    assert [one["status"] for one in told["results"]] == [200, 400, 200]
    assert told["results"][1]["error"] == "no_key"
    assert [r.value for r in records] == [b"one", b"three"]


@pytest.mark.parametrize("lines", [False, True])
async def test_a_batch_has_a_result_for_each(lines: bool, broker: Broker) -> None:
    batch: list[Any] = [*BATCH[:2], {"value": 1, "text": "2"}, *BATCH[2:]]
    body = json.dumps(batch).encode()
    kind = "application/json"
    if lines:
        body = b"\n".join(json.dumps(one).encode() for one in batch) + b"\n"
        kind = "application/x-ndjson"
    more = '[[route]]\npath = "/batch"\npublish = { to = "bus", topic = "orders", batch = true }'
    async with gateway(config(broker.address, more)) as made:
        status, told = await made.post("/batch", body, {"content-type": kind})
        records = await broker.read("orders", 4)
        spans = await made.spans(2)
    assert status == 207
    assert [one["status"] for one in told["results"]] == [200, 200, 400, 200, 200]
    assert [one.get("offset") for one in told["results"]] == [0, 1, None, 2, 3]
    assert [r.value for r in records] == [b'{"id":1}', b"plain", b"\x00\xff", None]
    assert [r.key for r in records] == [b"a", None, None, b"gone"]
    assert dict(records[0].headers)["x-one"] == b"1"
    (producer,) = by_kind(spans, PRODUCER_KIND)
    assert producer.name == "send orders"
    assert attributes(producer)["messaging.batch.message_count"] == 5
    assert attributes(producer)["error.type"] == "malformed"
    assert "1 of 5" in producer.status.message
    contexts = {dict(r.headers)["traceparent"] for r in records}
    assert {c.split(b"-")[2].decode() for c in contexts} == {producer.span_id.hex()}


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b"[" * 100_000, b'"a"', b"\xff"])
async def test_what_is_no_batch_is_refused(body: bytes, broker: Broker) -> None:
    more = '[[route]]\npath = "/batch"\npublish = { to = "bus", topic = "orders", batch = true }'
    async with gateway(config(broker.address, more)) as made:
        assert (await made.post("/batch", body))[0] == 400


async def test_other_methods_than_post_are_told_so(broker: Broker) -> None:
    async with gateway(config(broker.address)) as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(b"GET /topics/orders HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert b" 405 " in head
    assert b"allow: POST" in head


async def test_a_client_cannot_say_what_only_a_worker_may(broker: Broker) -> None:
    """The query of a request is not that of the process of queues."""
    await broker.topic("secret")
    async with gateway(config(broker.address)) as made:
        status, told = await made.post("/topics/orders?topic=secret&queue=other&key=00", b"x")
        assert (status, told["topic"]) == (200, "orders")
        (record,) = await broker.read("orders", 1)
        assert record.key is None


async def test_a_client_that_leaves_does_not_unsay_it(broker: Broker, made: Gateway) -> None:
    """What was begun is ended, and told by the PRODUCER span."""
    _, writer = await asyncio.open_connection("127.0.0.1", made.port)
    writer.write(b"POST /topics/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\ngone")
    (record,) = await broker.read("orders", 1)
    writer.transport.abort()
    assert record.value == b"gone"
    (producer,) = by_kind(await made.spans(2), PRODUCER_KIND)
    assert "error.type" not in attributes(producer)


@pytest.fixture
async def made(broker: Broker) -> AsyncIterator[Gateway]:
    async with gateway(config(broker.address)) as running:
        yield running
