"""Records of a real broker in, requests to an upstream out."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from proxy.messaging import tries as module
from proxy.messaging.tries import pause_of
from tests.collector.tansu import Broker, tansu
from tests.messaging.kit import (
    CLIENT_KIND,
    CONSUMER_KIND,
    PRODUCER_KIND,
    SERVER_KIND,
    Upstream,
    attributes,
    by_kind,
    config,
    consumer,
    gateway,
)

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONTEXT = ("traceparent", f"00-{TRACE}-{SPAN}-01".encode())
DEAD = 'dead_letter = "{topic}.dead"\nbackoff = "10ms"'


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with tansu() as running:
        await running.topic("orders")
        await running.topic("orders.dead")
        yield running


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


async def test_a_record_becomes_a_request_in_its_trace(broker: Broker, upstream: Upstream) -> None:
    text = config(broker.address, consumer(upstream.url, 'headers = ["X-Tenant"]'))
    headers = [
        CONTEXT, ("tracestate", b"shop=1"), ("x-tenant", b"acme"), ("x-secret", b"no"),
        ("content-type", b"application/json"), ("host", b"evil"), ("baggage", b"a=b"),
    ]  # fmt: skip
    await broker.produce("orders", b'{"id": 1}', key=b"k 1", headers=headers)
    async with gateway(text) as made:
        await made.until(lambda: upstream.got)
        spans = await made.spans(2)
        async with asyncio.timeout(20):
            while await broker.committed("billing", "orders") != 1:
                await asyncio.sleep(0.05)
    ((path, got, body),) = upstream.got
    assert (path, body) == ("/in/orders", b'{"id": 1}')
    (process,), (client,) = by_kind(spans, CONSUMER_KIND), by_kind(spans, CLIENT_KIND)
    assert len(spans) == 2
    assert process.trace_id.hex() == client.trace_id.hex() == TRACE
    assert process.parent_span_id.hex() == SPAN
    (link,) = process.links
    assert (link.trace_id.hex(), link.span_id.hex()) == (TRACE, SPAN)
    assert client.parent_span_id == process.span_id
    assert got["traceparent"] == f"00-{TRACE}-{client.span_id.hex()}-01"
    assert got["tracestate"] == "shop=1"
    expected = {
        "x-message-topic": "orders",
        "x-message-partition": "0",
        "x-message-offset": "0",
        "x-message-key": "k%201",
        "x-message-group": "billing",
        "x-tenant": "acme",
        "content-type": "application/json",
        "baggage": "a=b",
        "host": "billing",
    }
    assert {name: got.get(name) for name in expected} == expected
    assert not [name for name in got if name.startswith(("x-secret", "spangate"))]
    assert process.name == "process orders"
    found = attributes(process)
    assert {k: v for k, v in found.items() if not k.startswith("server.")} == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "orders",
        "messaging.destination.partition.id": "0",
        "messaging.consumer.group.name": "billing",
        "messaging.kafka.offset": 0,
        "messaging.kafka.message.key": "k 1",
        "messaging.message.body.size": 9,
        "spangate.queue": "bus",
        "spangate.consumer": "orders",
    }


async def test_a_trace_may_end_with_a_link(broker: Broker, upstream: Upstream) -> None:
    await broker.produce("orders", b"1", headers=[CONTEXT])
    async with gateway(config(broker.address, consumer(upstream.url, 'trace = "link"'))) as made:
        (process,) = by_kind(await made.spans(2), CONSUMER_KIND)
    assert process.parent_span_id == b""
    assert process.trace_id.hex() != TRACE
    assert [link.trace_id.hex() for link in process.links] == [TRACE]


async def test_what_is_published_is_consumed_in_one_trace(
    broker: Broker, upstream: Upstream
) -> None:
    async with gateway(config(broker.address, consumer(upstream.url))) as made:
        assert (await made.post("/topics/orders", b"x"))[0] == 200
        spans = await made.spans(4)
    chain = [
        by_kind(spans, kind)[0] for kind in (SERVER_KIND, PRODUCER_KIND, CONSUMER_KIND, CLIENT_KIND)
    ]
    assert len({span.trace_id for span in spans}) == 1
    for parent, child in pairwise(chain):
        assert child.parent_span_id == parent.span_id
    assert len(upstream.got) == 1


async def test_a_failure_is_tried_again_and_told(broker: Broker, upstream: Upstream) -> None:
    async def answer(body: bytes, tries: int) -> int:
        return 500 if tries < 3 else 200

    upstream.answer = answer
    await broker.produce("orders", b"1", headers=[CONTEXT])
    async with gateway(config(broker.address, consumer(upstream.url, DEAD))) as made:
        spans = await made.spans(4)
        group = ("messaging.consumer.group.name", "billing")
        told = {(group, ("error.type", "500")): 2}
        await made.until(lambda: made.numbers("spangate.consumer.retries") == told)
    (process,) = by_kind(spans, CONSUMER_KIND)
    assert process.status.code == 0
    tries = sorted(by_kind(spans, CLIENT_KIND), key=lambda s: s.start_time_unix_nano)
    assert [attributes(s).get("http.request.resend_count") for s in tries] == [None, 1, 2]
    assert [attributes(s).get("spangate.retry.reason") for s in tries] == [None, "500", "500"]
    assert [s.status.code for s in tries] == [2, 2, 0]
    assert {s.parent_span_id for s in tries} == {process.span_id}


async def test_a_poison_message_goes_to_the_dead_and_blocks_nobody(
    broker: Broker, upstream: Upstream
) -> None:
    async def answer(body: bytes, tries: int) -> int:
        return 422 if body == b"poison" else 204

    upstream.answer = answer
    await broker.produce("orders", b"poison", key=b"a", headers=[CONTEXT, ("x-own", b"\xff")])
    await broker.produce("orders", b"after", key=b"a")
    await broker.produce("orders", b"beside", key=b"b")
    async with gateway(config(broker.address, consumer(upstream.url, DEAD))) as made:
        await made.until(lambda: b"after" in upstream.bodies and b"beside" in upstream.bodies)
        (dead,) = await broker.read("orders.dead", 1)
        spans = await made.spans(3 + 3 + 2 + 1)
        group = ("messaging.consumer.group.name", "billing")
        await made.until(lambda: made.numbers("spangate.consumer.dead_letters"))
        assert made.numbers("spangate.consumer.dead_letters") == {(group, ("error.type", "422")): 1}
        async with asyncio.timeout(20):
            while await broker.committed("billing", "orders") != 3:
                await asyncio.sleep(0.05)
    assert upstream.bodies.count(b"poison") == 3
    assert upstream.bodies.index(b"after") > max(
        n for n, body in enumerate(upstream.bodies) if body == b"poison"
    )
    (buried,) = by_kind(spans, PRODUCER_KIND)
    process = next(s for s in by_kind(spans, CONSUMER_KIND) if s.trace_id.hex() == TRACE)
    assert (dead.key, dead.value) == (b"a", b"poison")
    found = dict(dead.headers)
    assert found.pop("traceparent").split(b"-")[2].decode() == buried.span_id.hex()
    assert int(found.pop("dead-letter-time")) > 0
    assert found == {
        "x-own": b"\xff",
        "dead-letter-reason": b"422",
        "dead-letter-detail": b"the upstream's answer was 422",
        "dead-letter-tries": b"3",
        "dead-letter-topic": b"orders",
        "dead-letter-partition": b"0",
        "dead-letter-offset": b"0",
        "dead-letter-group": b"billing",
        "dead-letter-consumer": b"orders",
    }
    assert (buried.name, buried.parent_span_id) == ("send orders.dead", process.span_id)
    assert attributes(process)["error.type"] == "422"
    assert process.status.code == 2


@pytest.mark.parametrize(
    ("backoff", "is_away", "pauses"),
    [
        (None, False, [0.1, 0.2, 0.4, 0.8]),
        (None, True, [1.0, 10.0, 30.0, 30.0]),
        (0.005, True, [0.005, 0.01, 0.02, 0.04]),  # whoever says it is obeyed
        (20.0, False, [20.0, 30.0, 30.0, 30.0]),
        (0.0, True, [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_pauses_before_other_tries(
    backoff: float | None, is_away: bool, pauses: list[float]
) -> None:
    assert [pause_of(backoff, failures, is_away) for failures in (1, 2, 3, 4)] == pauses
    assert pause_of(backoff, 10_000, is_away) <= 30.0


@pytest.mark.parametrize("is_there", [True, False])
async def test_who_is_not_there_has_longer_until_a_message_is_buried(
    broker: Broker, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Of both pauses the one that must not be taken lasts for ever."""
    monkeypatch.setattr(module, "NOBODY", (3600.0,) if is_there else (0.01,))
    monkeypatch.setattr(module, "USUAL", 0.01 if is_there else 3600.0)

    async def answer(body: bytes, tries: int) -> int:
        return 503

    upstream.answer = answer
    nobody = socket.socket()  # has a port, and does not listen
    nobody.bind(("127.0.0.1", 0))
    url = upstream.url if is_there else f"http://127.0.0.1:{nobody.getsockname()[1]}"
    await broker.produce("orders", b"poison")
    async with gateway(config(broker.address, consumer(url, 'dead_letter = "{topic}.dead"'))):
        (dead,) = await broker.read("orders.dead", 1)
    nobody.close()
    found = dict(dead.headers)
    assert (found["dead-letter-reason"], found["dead-letter-tries"]) == (b"503", b"3")
    refused = b"connection_refused" in found["dead-letter-detail"]
    assert refused != is_there


async def test_messages_of_a_key_keep_their_order_and_others_run_beside(
    broker: Broker, upstream: Upstream
) -> None:
    running: defaultdict[bytes, int] = defaultdict(int)

    async def answer(body: bytes, tries: int) -> int:
        key = body.split(b":")[0]
        running[key] += 1
        assert running[key] == 1
        await asyncio.sleep(0.002)
        running[key] -= 1
        return 200

    upstream.answer = answer
    for number in range(20):
        for key in (b"a", b"b", b"c"):
            await broker.produce("orders", b"%b:%d" % (key, number), key=key)
    more = f"concurrency = 8\n{DEAD}"
    async with gateway(config(broker.address, consumer(upstream.url, more))) as made:
        await made.until(lambda: len(upstream.got) >= 60)
    for key in (b"a", b"b", b"c"):
        mine = [body for body in upstream.bodies if body.startswith(key)]
        assert mine == [b"%b:%d" % (key, number) for number in range(20)]
    assert upstream.most == 3


async def test_messages_without_a_key_are_as_many_as_may_be(
    broker: Broker, upstream: Upstream
) -> None:
    together = asyncio.Event()

    async def answer(body: bytes, tries: int) -> int:
        if upstream.most >= 4:
            together.set()
        await together.wait()
        return 200

    upstream.answer = answer
    await broker.produce("orders", *[b"%d" % n for n in range(12)])
    async with gateway(config(broker.address, consumer(upstream.url, "concurrency = 4"))) as made:
        await made.until(lambda: len(upstream.got) >= 12)
    assert upstream.most == 4
    assert sorted(upstream.bodies) == sorted(b"%d" % n for n in range(12))


async def test_nothing_is_committed_before_the_upstream_has_it(
    broker: Broker, upstream: Upstream
) -> None:
    """What is under way when the process ends is delivered again, and so is what is behind it."""
    blocked = asyncio.Event()

    async def answer(body: bytes, tries: int) -> int:
        if body == b"0" and tries == 1:
            await blocked.wait()
        return 200

    upstream.answer = answer
    text = config(broker.address, consumer(upstream.url, "concurrency = 4"))
    await broker.produce("orders", b"0", b"1", b"2", headers=[CONTEXT])
    async with gateway(text) as made:
        await made.until(lambda: len(upstream.got) >= 3)
    assert await broker.committed("billing", "orders") == 0
    blocked.set()
    made.queues.recorded.read()
    lost = [s for s in made.queues.recorded.spans if attributes(s).get("error.type") == "abandoned"]
    assert len(lost) == 1  # and its span says so
    async with gateway(text) as made:
        await made.until(lambda: len(upstream.got) >= 6)
        async with asyncio.timeout(30):
            while await broker.committed("billing", "orders") != 3:
                await asyncio.sleep(0.05)
    assert sorted(upstream.bodies) == [b"0", b"0", b"1", b"1", b"2", b"2"]


async def test_an_upstream_that_is_away_loses_no_message_without_dead_letters(
    broker: Broker, upstream: Upstream
) -> None:
    async def answer(body: bytes, tries: int) -> int:
        return 503 if tries < 6 else 200

    upstream.answer = answer
    await broker.produce("orders", b"1")
    more = 'retry = 0\nbackoff = "5ms"'
    async with gateway(config(broker.address, consumer(upstream.url, more))) as made:
        await made.until(lambda: len(upstream.got) >= 6)
        async with asyncio.timeout(20):
            while await broker.committed("billing", "orders") != 1:
                await asyncio.sleep(0.05)


async def test_lag_is_told_until_all_is_done(broker: Broker, upstream: Upstream) -> None:
    waiting = asyncio.Event()

    async def answer(body: bytes, tries: int) -> int:
        await waiting.wait()
        return 200

    upstream.answer = answer
    await broker.produce("orders", b"1", b"2", b"3")
    async with gateway(config(broker.address, consumer(upstream.url))) as made:

        def lags() -> list[int]:
            return list(made.numbers("spangate.consumer.lag").values())

        await made.until(lambda: lags() == [3])
        waiting.set()
        await made.until(lambda: lags() == [0])


async def test_strangers_bytes_in_headers_break_nothing(broker: Broker, upstream: Upstream) -> None:
    headers = [
        ("traceparent", b"\xff\x00"), ("tracestate", b"\x00" * 9000), ("x-tenant", b"a\r\nx: y"),
        ("content-type", b"a\r\nb"), ("baggage", b"\xff"), ("é", b"1"), ("", b""),
    ]  # fmt: skip
    await broker.produce("orders", b"\x00", key=b"\r\n\xff", headers=headers)
    await broker.produce("orders", b"next")
    more = 'headers = ["x-tenant"]'
    async with gateway(config(broker.address, consumer(upstream.url, more))) as made:
        await made.until(lambda: len(upstream.got) >= 2)
    (_, got, body), (_, _, after) = upstream.got
    assert (body, after) == (b"\x00", b"next")
    assert got["x-message-key"] == "%0D%0A%FF"
    assert got["content-type"] == "application/octet-stream"
    assert "x-tenant" not in got
    assert "x" not in got


async def test_the_gateway_goes_on_where_it_was_after_the_broker_was_away(
    broker: Broker, upstream: Upstream
) -> None:
    text = config(broker.address, consumer(upstream.url, DEAD))
    await broker.produce("orders", b"1")
    async with gateway(text) as made:
        await made.until(lambda: upstream.bodies == [b"1"])
        await broker.kill()
        assert await broker.start()  # it keeps nothing
        await broker.topic("orders")
        await broker.produce("orders", b"1", b"2")
        await made.until(lambda: b"2" in upstream.bodies)
