"""Kafka's exporter and receiver against a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from proxy.collector.batch import Batch
from proxy.errors import ConfigError
from proxy.otlp.envelope import Envelope
from proxy.otlp.json import request_from_json, request_to_json
from tests.collector.kit import Place, batch, settings
from tests.collector.tansu import Broker, tansu
from tests.otlp import samples
from tests.otlp.fake_collector import DEADLINE


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with tansu() as running:
        yield running


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.005)  # another process works: nothing to wait on


async def exporter(broker: Broker, toml: str = "", signal: Any = "traces") -> tuple[Place, Any]:
    place = Place("exporter", "kafka", signal=signal, random=lambda: 0.5)
    made = place.make(f'brokers = ["{broker.address}"]\n{toml}')
    await made.start()
    return place, made


# -- exporter -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signal", "topic"),
    [
        ("traces", "otlp_spans"),
        ("metrics", "otlp_metrics"),
        ("logs", "otlp_logs"),
        ("profiles", "otlp_profiles"),
    ],
)
async def test_each_signal_has_its_topic(signal: Any, topic: str, broker: Broker) -> None:
    await broker.topic(topic)
    place, made = await exporter(broker, 'headers = { team = "shop" }', signal)
    sent = batch(signal)
    assert place.send(sent)
    await until(lambda: place.ledger.exported == sent.items)
    await made.stop(5)
    (message,) = await broker.read(topic, 1)
    assert (message.value, message.key) == (sent.payload, None)
    assert message.headers == (("team", b"shop"),)
    assert place.ledger.balanced


async def test_json_with_compression(broker: Broker) -> None:
    await broker.topic("spans")
    toml = (
        'encoding = "otlp_json"\ncompression = "gzip"\ntraces_topic = "spans"\nrequired_acks = -1'
    )
    place, made = await exporter(broker, toml)
    sent = batch(items=200)
    place.send(sent)
    await until(lambda: place.ledger.exported == 200)
    await made.stop(5)
    (message,) = await broker.read("spans", 1)
    assert request_from_json("traces", message.value) == sent.payload


async def test_traces_are_keyed_by_their_ids(broker: Broker) -> None:
    await broker.topic("otlp_spans", partitions=3)
    place, made = await exporter(broker, "partition_traces_by_id = true")
    ids = [n.to_bytes(16, "big") for n in range(1, 9)]
    for _ in range(2):  # the second half of each trace comes later
        payload = b"".join(
            Envelope({}).request([samples.spans(0), b"\x12" + bytes([len(s)]) + s])
            for s in (samples.span(1, trace=i).SerializeToString() for i in ids)
        )
        place.send(Batch("traces", payload, 8))
    await until(lambda: place.ledger.exported == 16)
    await made.stop(5)
    found: dict[bytes, set[int]] = {}
    for message in await broker.read("otlp_spans", 16):
        found.setdefault(message.key, set()).add(message.partition)
    assert set(found) == {i.hex().encode() for i in ids}
    assert all(len(partitions) == 1 for partitions in found.values())
    assert len(set.union(*found.values())) > 1


async def test_large_batches_are_split_and_too_large_items_counted(broker: Broker) -> None:
    await broker.topic("otlp_spans")
    place, made = await exporter(broker, 'max_message_bytes = "5KB"')
    entries = [samples.spans(100), samples.spans(1, name="x" * 6000, first=100)]
    place.send(Batch("traces", Envelope({}).request(entries), 101))
    await until(lambda: place.ledger.queued == 0)
    assert (place.ledger.exported, place.ledger.dropped) == (100, {"rejected": 1})
    assert "max_message_bytes" in place.context.condition.error
    await made.stop(5)


async def test_a_broker_that_comes_later_gets_everything() -> None:
    async with tansu() as broker:
        await broker.kill()
        retry = 'retry_on_failure = { initial_interval = "20ms", max_interval = "50ms" }'
        place, made = await exporter(broker, f'{retry}\ntimeout = "2s"')
        place.send(batch())
        await until(lambda: place.context.condition.troubled)
        assert (place.ledger.exported, place.ledger.queued) == (0, 3)
        assert await broker.start()
        await broker.topic("otlp_spans")
        await until(lambda: place.ledger.exported == 3)
        await made.stop(5)
        assert place.ledger.balanced


async def test_a_broker_that_freezes_does_not_hold_up_the_stop(broker: Broker) -> None:
    await broker.topic("otlp_spans")
    place, made = await exporter(broker)
    place.send(batch())
    await until(lambda: place.ledger.exported == 3)
    broker.freeze()
    place.send(batch())
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await made.stop(0.1)
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})  # the library's too
    assert place.ledger.dropped == {"shutdown": 3}


# -- receiver -------------------------------------------------------------------------------------


class Member:
    """A receiver of a topic and group of its own, both called `name`."""

    def __init__(self, broker: Broker, name: str, toml: str = "") -> None:
        self.broker = broker
        self.name = name
        self.place = Place("receiver", "kafka", random=lambda: 0.0)
        self.place.wanted = {"traces"}
        self.receiver: Any = None
        self._toml = (
            f'brokers = ["{broker.address}"]\ngroup_id = "{name}"\ntraces_topic = "{name}"\n'
            f'initial_offset = "earliest"\n{toml}'
        )

    async def start(self, *values: bytes, **more: Any) -> None:
        """With these messages in the topic."""
        await self.broker.topic(self.name)
        await self.broker.produce(self.name, *values, **more)
        self.receiver = self.place.make(self._toml)
        await self.receiver.start()

    async def took(self, batches: int) -> list[Batch]:
        await until(lambda: len(self.place.out) >= batches)
        return self.place.out

    async def waits(self, messages: int) -> None:
        await until(lambda: len(self.receiver._pending) == messages)

    async def stop(self) -> int:
        """What is committed then."""
        await self.receiver.stop(5)
        return await self.broker.committed(self.name, self.name)


async def messages_become_batches(broker: Broker) -> None:
    member = Member(broker, "proto")
    sent = batch(items=50)
    await member.start(sent.payload, sent.payload)
    assert [b.payload for b in await member.took(2)] == [sent.payload] * 2
    await broker.produce("proto", sent.payload)
    assert len(await member.took(3)) == 3
    assert await member.stop() == 3


async def json_is_read_too(broker: Broker) -> None:
    member = Member(broker, "json", 'encoding = "otlp_json"')
    sent = batch(items=100)
    await member.start(request_to_json("traces", sent.payload), b"{}", b"[")
    assert [b.payload for b in await member.took(1)] == [sent.payload]
    await until(lambda: "passed over" in member.place.context.condition.error)
    assert await member.stop() == 3


async def it_reads_on_from_what_was_committed(broker: Broker) -> None:
    member = Member(broker, "on")
    await broker.topic("on")
    await broker.produce("on", batch(items=1).payload, batch(items=2).payload)
    await broker.commit("on", "on", 1)
    await member.start(batch(items=3).payload)
    assert [b.items for b in await member.took(2)] == [2, 3]
    assert await member.stop() == 3


async def without_room_it_waits_and_commits_nothing(broker: Broker) -> None:
    member = Member(broker, "room", "autocommit = { enable = false }")
    member.place.room = False
    await member.start(*(batch(items=n).payload for n in (1, 2, 3)))
    await member.waits(3)
    assert await broker.committed("room", "room") == 0
    await broker.produce("room", batch(items=4).payload)  # not fetched meanwhile
    await asyncio.sleep(0.3)
    assert len(member.receiver._pending) == 3
    member.place.room = True
    assert [b.items for b in await member.took(4)] == [1, 2, 3, 4]
    member.place.room = False
    await broker.produce("room", batch(items=5).payload)
    await member.waits(1)
    assert await member.stop() == 4


async def marked_on_arrival_what_is_held_counts_as_read(broker: Broker) -> None:
    member = Member(broker, "arrival", "message_marking = { after = false }")
    member.place.room = False
    await member.start(batch().payload)
    await member.waits(1)
    assert await member.stop() == 1


async def what_is_no_request_is_counted_and_passed_over(broker: Broker) -> None:
    member = Member(broker, "bad")
    await member.start(b"\xff" * 9, b"", batch().payload)
    assert len(await member.took(1)) == 1
    values = {s.instrument.name: s.value for s in member.place.counters.series()}
    assert values["otelcol_kafka_receiver_unmarshal_failed"] == 1
    assert values["otelcol_kafka_receiver_messages"] == 3
    assert await member.stop() == 3


async def headers_become_resource_attributes(broker: Broker) -> None:
    extraction = '{ extract_headers = true, headers = ["tenant", "odd", "none"] }'
    member = Member(broker, "headers", f"header_extraction = {extraction}")
    headers = [("tenant", b"a"), ("other", b"b"), ("odd", b"\xff")]
    await member.start(batch().payload, headers=headers)
    message: Any = (await member.took(1))[0].message()
    found = {a.key: a.value.string_value for a in message.resource_spans[0].resource.attributes}
    assert found == {
        "service.name": "app",
        "kafka.header.tenant": "a",
        "kafka.header.odd": "\ufffd",
    }
    await member.stop()


async def it_waits_for_its_broker(_: Broker) -> None:
    async with tansu() as broker:
        member = Member(broker, "later")
        await broker.topic("later")
        await broker.kill()
        member.receiver = member.place.make(member._toml)
        await member.receiver.start()
        await until(lambda: member.place.context.condition.troubled)
        assert await broker.start()
        await broker.topic("later")
        await broker.produce("later", batch().payload)
        await member.took(1)
        assert not member.place.context.condition.troubled
        await member.stop()


async def a_frozen_broker_is_not_waited_for_to_commit(_: Broker) -> None:
    async with tansu() as broker:
        member = Member(broker, "frozen", 'autocommit = { interval = "1h" }')
        await member.start(batch().payload)
        await member.took(1)
        await broker.produce("frozen", batch().payload)
        await member.took(2)
        broker.freeze()
        async with asyncio.timeout(20):
            await member.receiver.stop(0.1)
        assert "no time to commit" in member.place.context.condition.error


async def what_the_exporter_writes_the_receiver_reads(broker: Broker) -> None:
    member = Member(broker, "both", 'encoding = "otlp_json"')
    await member.start()
    toml = 'encoding = "otlp_json"\nmax_message_bytes = "20KB"\ntraces_topic = "both"'
    place, writing = await exporter(broker, toml)
    place.send(batch(items=500))
    await until(lambda: member.place.items == 500)
    await writing.stop(5)
    assert len(member.place.out) > 1
    assert place.ledger.exported == 500
    await member.stop()


async def test_receivers(broker: Broker) -> None:
    """All at once: the broker lets a group's first member wait for five seconds."""
    async with asyncio.TaskGroup() as group:
        for story in (
            messages_become_batches,
            json_is_read_too,
            it_reads_on_from_what_was_committed,
            without_room_it_waits_and_commits_nothing,
            marked_on_arrival_what_is_held_counts_as_read,
            what_is_no_request_is_counted_and_passed_over,
            headers_become_resource_attributes,
            it_waits_for_its_broker,
            a_frozen_broker_is_not_waited_for_to_commit,
            what_the_exporter_writes_the_receiver_reads,
        ):
            group.create_task(story(broker), name=story.__name__)


@pytest.mark.parametrize("busy", [False, True])
async def test_a_broker_that_freezes_does_not_hold_up_the_receivers_stop(
    broker: Broker, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if busy:  # on a busy machine the library does not end in time when its connections are gone
        monkeypatch.setattr("proxy.collector.kafka.client._CUT", 0.0)
    member = Member(broker, "stop")
    await member.start(batch().payload)
    await until(lambda: member.receiver._consumer is not None)  # and waits to be let in
    broker.freeze()
    async with asyncio.timeout(20):
        await member.receiver.stop(0.1)
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})  # the library's too


# -- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "toml", "text"),
    [
        ("exporter", "brokers = []", "at least one broker"),
        ("exporter", 'brokers = ["nowhere"]', "brokers"),
        ("exporter", 'traces_topic = "a b"', "not a topic"),
        ("exporter", 'logs_topic = ""', "not a topic"),
        ("exporter", 'max_message_bytes = "1KB"', "too small"),
        ("exporter", "timeout = 0", "for ever"),
        ("exporter", 'tls = { cert = "x" }', "come together"),
        ("exporter", 'sasl = { username = "x" }', "password"),
        ("receiver", 'group_id = ""', "needs a name"),
        ("receiver", 'traces_topic = "otlp_logs"', "its topic"),
        ("receiver", 'heartbeat_interval = "20s"', "shorter"),
    ],
)
def test_settings_that_cannot_work(kind: str, toml: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        settings(kind, "kafka", toml)
