"""Several members of a group, and processes that end in the middle."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest

from tests.collector.tansu import Broker, tansu
from tests.messaging.kit import (
    CONSUMER_KIND,
    Upstream,
    attributes,
    by_kind,
    config,
    consumer,
    gateway,
)

KEYS = [b"key-%d" % n for n in range(8)]


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with tansu() as running:
        await running.topic("orders", partitions=4)
        await running.topic("orders.dead")
        yield running


async def committed(broker: Broker) -> int:
    """Of all partitions."""
    from aiokafka import TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
    await admin.start()
    try:
        parts = [TopicPartition("orders", n) for n in range(4)]
        found = await admin.list_consumer_group_offsets("billing", partitions=parts)
        return sum(max(0, found[part].offset) for part in parts if part in found)
    finally:
        await admin.close()


@pytest.mark.timeout(300)
async def test_partitions_go_to_another_member_and_nothing_is_lost(broker: Broker) -> None:
    async with Upstream() as upstream:

        async def answer(body: bytes, tries: int) -> int:
            await asyncio.sleep(0.002)
            return 200

        upstream.answer = answer
        text = config(broker.address, consumer(upstream.url, "concurrency = 4"))

        async def produce(first: int, last: int) -> None:
            for number in range(first, last):
                for key in KEYS:
                    await broker.produce("orders", b"%b:%d" % (key, number), key=key)

        await produce(0, 5)
        async with gateway(text) as one:
            await one.until(lambda: len(upstream.got) >= 40)
            async with gateway(text) as other:
                await produce(5, 10)
                await other.until(lambda: other.numbers("spangate.consumer.lag"))
                await produce(10, 15)
                await one.until(lambda: len(set(upstream.bodies)) == 8 * 15)
            await produce(15, 20)  # the other has left
            await one.until(lambda: len(set(upstream.bodies)) == 8 * 20)
            async with asyncio.timeout(30):
                while await committed(broker) != 8 * 20:
                    await asyncio.sleep(0.1)
        by_key = defaultdict(list)
        for body in upstream.bodies:
            key, _, number = body.partition(b":")
            if int(number) not in by_key[key]:  # some came again
                by_key[key].append(int(number))
        assert all(by_key[key] == list(range(20)) for key in KEYS)


async def test_a_worker_that_is_away_is_no_failure_of_the_message(broker: Broker) -> None:
    """Nothing goes to the dead because the gateway itself cannot deliver."""
    async with Upstream() as upstream:
        more = 'retry = 0\nbackoff = "5ms"\ndead_letter = "{topic}.dead"'
        text = config(broker.address, consumer(upstream.url, more))
        without = text.replace('name = "orders"', 'name = "others"')
        async with gateway(text) as made:
            await made.until(lambda: made.numbers("spangate.consumer.lag"))
            # the workers do not know the consumer any more, the process of queues still does
            await made.configure_workers(without)
            await broker.produce("orders", b"1")
            await asyncio.sleep(0.3)  # so that it is tried in vain, which nobody is told
            assert upstream.got == []
            await made.configure_workers(text)
            await made.until(lambda: upstream.bodies == [b"1"])
            (process,) = by_kind(await made.spans(2), CONSUMER_KIND)
            assert "error.type" not in attributes(process)
            assert not made.numbers("spangate.consumer.dead_letters")


async def test_a_dead_letter_that_cannot_be_written_holds_its_message(broker: Broker) -> None:
    async with Upstream() as upstream:

        async def answer(body: bytes, tries: int) -> int:
            return 500

        upstream.answer = answer
        more = 'retry = 0\nbackoff = "5ms"\ndead_letter = "nowhere"'
        await broker.produce("orders", b"1", key=b"a")
        await broker.produce("orders", b"2", key=b"b")
        async with gateway(
            config(broker.address, consumer(upstream.url, more), 'timeout = "1s"')
        ) as made:
            await made.until(lambda: len(upstream.got) == 2)
            failed = await made.spans(3)
            assert await committed(broker) == 0
            await broker.topic("nowhere")
            found = {record.value for record in await broker.read("nowhere", 2)}
            assert found == {b"1", b"2"}
            async with asyncio.timeout(30):
                while await committed(broker) != 2:
                    await asyncio.sleep(0.1)
        assert len(upstream.got) == 2  # the upstream was not asked again
        assert failed
