"""A record that aiokafka cannot read: a header whose name is no UTF-8, as librdkafka writes it."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator

import pytest

from tests.collector.tansu import Broker, tansu
from tests.messaging.kit import Upstream, config, consumer, gateway


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with tansu() as running:
        await running.topic("orders", partitions=2)
        yield running


def unreadable() -> bytes:
    """A batch of one record."""
    from aiokafka.record.default_records import (  # type: ignore[import-untyped]
        DefaultRecordBatchBuilder,
    )
    from aiokafka.record.util import calc_crc32c  # type: ignore[import-untyped]

    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1,
        base_sequence=-1, batch_size=9999,
    )  # fmt: skip
    builder.append(0, timestamp=1, key=b"k", value=b"bad", headers=[("QQ", b"x")])
    batch = builder.build().replace(b"QQ", b"\xff\xfe")
    return bytes(batch[:17] + struct.pack(">I", calc_crc32c(batch[21:])) + batch[21:])


async def produce_unreadable(broker: Broker, partition: int) -> None:
    from aiokafka import AIOKafkaProducer, TopicPartition  # type: ignore[import-untyped]
    from aiokafka.protocol.produce import ProduceRequest  # type: ignore[import-untyped]

    producer = AIOKafkaProducer(bootstrap_servers=broker.address)
    await producer.start()
    try:
        await producer.partitions_for("orders")
        place = TopicPartition("orders", partition)
        leader = producer.client.cluster.leader_for_partition(place)
        topics = [("orders", [(partition, unreadable())])]
        answer = await producer.client.send(leader, ProduceRequest(None, -1, 5000, topics))
        assert answer.topics[0][1][0][1] == 0  # no error
    finally:
        await producer.stop()


async def test_it_holds_up_its_own_partition_alone_and_nothing_is_lost(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """Reading raises after records of the other partition were taken from the library."""
    good = [b"%d" % number for number in range(8)]
    await broker.produce("orders", *good, partition=0)
    await produce_unreadable(broker, 1)
    async with Upstream() as upstream:
        async with gateway(config(broker.address, consumer(upstream.url))) as made:
            await made.until(lambda: set(upstream.bodies) >= set(good))
            more = [b"%d" % number for number in range(8, 16)]
            await broker.produce("orders", *more, partition=0)
            await made.until(lambda: set(upstream.bodies) >= set(more))
            await made.until(lambda: _told(caplog))
        assert await broker.committed("billing", "orders") == 16
        assert set(upstream.bodies) == {*good, *more}
    assert len(_told(caplog)) == 1
    assert "orders/1" in _told(caplog)[0]


def _told(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [r for r in caplog.records if getattr(r, "key", "") == "consumer.unreadable"]
    return [record.getMessage() for record in found]
