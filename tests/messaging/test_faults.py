"""What must not end a partition: bad messages, dead letters that nobody takes, our own faults."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from proxy import tasks
from proxy.config.messaging_expand import deliver_socket
from proxy.config.messaging_model import Consume, Kafka, RedisStreams
from proxy.messaging.consume import HELD, Consuming
from proxy.messaging.deliver import Courier, Outcome
from proxy.messaging.kafka_producer import KafkaProducer
from proxy.messaging.message import Gone, Part, Place, Taken
from proxy.messaging.publish import Queue
from proxy.messaging.redis_streams import RedisProducer
from proxy.messaging.telemetry import Telemetry
from proxy.messaging.tries import FREE, SOON, USUAL, Tries
from proxy.server.ring import Ring, memory_only
from tests.collector.tansu import Broker, tansu
from tests.messaging.kit import Upstream, config, consumer, gateway
from tests.ports import free_port

PING = '[[route]]\npath = "/ping"\nrespond = "pong"\n'
FAILED = Outcome(False, "500", "the upstream's answer was 500")
LOST = Outcome(False, "gateway", "no worker takes it", counts=False)
BROKEN = Outcome(False, "disconnected", "no answer")


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with tansu() as running:
        await running.topic("orders")
        await running.topic("orders.dead")
        yield running


async def test_headers_without_a_value_are_no_poison(broker: Broker) -> None:
    """Kafka has headers whose value is null."""
    headers = [("x-tenant", None), ("traceparent", None), ("other", None)]
    for key in (b"a", b"b", b"a"):
        await broker.produce("orders", b"poison", key=key, headers=headers)
    async with Upstream() as upstream:

        async def answer(body: bytes, tries: int) -> int:
            return 500

        upstream.answer = answer
        more = 'headers = ["x-tenant"]\nretry = 0\ndead_letter = "{topic}.dead"'
        async with gateway(config(broker.address, consumer(upstream.url, more))) as made:
            dead = await broker.read("orders.dead", 3)
            await made.until(lambda: len(upstream.got) == 3)
    assert [record.value for record in dead] == [b"poison"] * 3
    assert all("x-tenant" not in got for _, got, _ in upstream.got)


class Faulty:
    """Implements message.Consumer: a library that breaks its word about what headers are."""

    def __init__(self, *taken: Taken) -> None:
        self.place = Place("kafka", "127.0.0.1", 9092)
        self.gone: Gone | None = None
        self.ended: list[Taken] = []
        self.all_good = asyncio.Event()
        self.is_asked, self.answers = asyncio.Event(), asyncio.Event()  # for the lag
        self.answers.set()
        self._taken = list(taken)

    async def take(self, most: int, seconds: float) -> list[Taken]:
        found, self._taken = self._taken[:most], self._taken[most:]
        await asyncio.sleep(0)
        return found

    def give(self, *taken: Taken) -> None:
        self._taken += taken

    def done(self, taken: Taken) -> None:
        self.ended.append(taken)
        self.all_good.set()

    async def commit(self) -> None: ...

    async def lag(self) -> dict[Part, int]:
        self.is_asked.set()
        await self.answers.wait()
        return {}

    async def stop(self, seconds: float) -> None: ...


async def test_a_fault_of_ours_holds_up_its_own_key_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken: list[tuple[str, bytes]] = [("traceparent", None)]  # type: ignore[list-item]
    bad = Taken("orders", 0, 0, b"a", b"bad", broken)
    good = Taken("orders", 0, 1, b"b", b"good", ())
    library = Faulty(bad, good)
    said = Consume(name="orders", source="bus", topics=["orders"], group="g", to="billing")
    settings = RedisStreams(server=f"redis://127.0.0.1:{free_port()}")
    queue = Queue("bus", settings, RedisProducer("bus", settings))
    telemetry = Telemetry(Ring(memory_only(1024 * 1024)))
    async with Upstream() as upstream, gateway(redis(consumer(upstream.url))):
        courier = Courier(deliver_socket().removeprefix("unix:"))
        consuming = Consuming(said, queue, library, courier, telemetry)
        consuming.start()
        async with asyncio.timeout(60):
            await library.all_good.wait()
        await consuming.stop(0.0)
        await courier.close()
        assert library.ended == [good]
        assert upstream.bodies == [b"good"]
    keys = [getattr(record, "key", "") for record in caplog.records]
    assert keys.count("consumer.stuck") == 1


async def test_a_tombstone_without_a_key_can_be_buried(broker: Broker) -> None:
    """aiokafka writes none."""
    library = Faulty(Taken("orders", 0, 0, None, None, ()))
    said = Consume(
        name="orders", source="bus", topics=["orders"], group="g", to="billing", retry=0,
        dead_letter="{topic}.dead",
    )  # fmt: skip
    settings = Kafka(brokers=[broker.address])
    queue = Queue("bus", settings, KafkaProducer("bus", settings))
    telemetry = Telemetry(Ring(memory_only(1024 * 1024)))
    async with Upstream() as upstream, gateway(redis(consumer(upstream.url))):

        async def answer(body: bytes, tries: int) -> int:
            return 500

        upstream.answer = answer
        courier = Courier(deliver_socket().removeprefix("unix:"))
        consuming = Consuming(said, queue, library, courier, telemetry)
        consuming.start()
        async with asyncio.timeout(60):
            await library.all_good.wait()
        await consuming.stop(0.0)
        await courier.close()
        await queue.producer.stop(0.0)
    (dead,) = await broker.read("orders.dead", 1)
    assert (dead.key, dead.value) == (None, b"")
    assert dict(dead.headers)["dead-letter-reason"] == b"500"


async def test_what_waited_of_partitions_that_are_gone_holds_up_nothing() -> None:
    """It waited behind a busy key, and had more bytes than may be held at once."""
    big = b"x" * (HELD // 16)
    library = Faulty(*(Taken("orders", 0, number, b"a", big, ()) for number in range(20)))
    said = Consume(name="orders", source="bus", topics=["orders"], group="g", to="billing")
    settings = RedisStreams(server=f"redis://127.0.0.1:{free_port()}")
    queue = Queue("bus", settings, RedisProducer("bus", settings))
    telemetry = Telemetry(Ring(memory_only(1024 * 1024)))
    async with Upstream() as upstream, gateway(redis(consumer(upstream.url))):
        arrived, go = asyncio.Event(), asyncio.Event()

        async def answer(body: bytes, tries: int) -> int:
            arrived.set()
            await go.wait()
            return 200

        upstream.answer = answer
        courier = Courier(deliver_socket().removeprefix("unix:"))
        consuming = Consuming(said, queue, library, courier, telemetry)
        consuming.start()
        async with asyncio.timeout(60):
            await arrived.wait()
            leaving = tasks.spawn(consuming.revoked(frozenset({("orders", 0)})), "revoke")
            await asyncio.sleep(0)
            go.set()
            await leaving
            library.all_good.clear()
            library.give(Taken("orders", 1, 0, b"b", b"next", ()))
            await library.all_good.wait()
        await consuming.stop(0.0)
        await courier.close()
    assert [(t.partition, t.offset) for t in library.ended] == [(0, 0), (1, 0)]


async def test_who_does_not_tell_the_lag_holds_up_no_messages() -> None:
    library = Faulty()
    library.answers.clear()
    said = Consume(name="orders", source="bus", topics=["orders"], group="g", to="billing")
    settings = RedisStreams(server=f"redis://127.0.0.1:{free_port()}")
    queue = Queue("bus", settings, RedisProducer("bus", settings))
    telemetry = Telemetry(Ring(memory_only(1024 * 1024)))
    async with Upstream() as upstream, gateway(redis(consumer(upstream.url))):
        courier = Courier(deliver_socket().removeprefix("unix:"))
        consuming = Consuming(said, queue, library, courier, telemetry)
        consuming.start()
        async with asyncio.timeout(60):
            await library.is_asked.wait()
            library.give(Taken("orders", 0, 0, b"a", b"later", ()))
            await library.all_good.wait()
        await consuming.stop(0.0)
        await courier.close()
        assert upstream.bodies == [b"later"]


def redis(more: str) -> str:
    """A consumer of a server that is not there, so that workers have its route."""
    queue = f'[messaging.redis.bus]\nserver = "redis://127.0.0.1:{free_port()}"'
    return f'listen = "127.0.0.1:0"\n{queue}\n[export]\notlp = "http://127.0.0.1:1"\n{PING}{more}'


def pauses(said: Consume, outcomes: list[Outcome]) -> list[tuple[float, float] | None]:
    tries = Tries(said)
    return [tries.next(one) for one in outcomes]


def test_what_is_tried_for_ever_takes_its_time() -> None:
    """Without a pause it would be all that the gateway and the upstream do."""
    found = pauses(Consume(retry=2, backoff=0.0), [FAILED] * 12)  # type: ignore[arg-type]
    assert found[:2] == [(0.0, 0.0)] * 2
    assert [p[0] for p in found[2:5] if p] == [USUAL, 2 * USUAL, 4 * USUAL]
    assert found[11] == (30.0, 0.0)


def test_what_may_be_buried_goes_by_the_file_and_ends() -> None:
    said = Consume(retry=2, backoff=0.0, dead_letter="dead")  # type: ignore[arg-type]
    assert pauses(said, [FAILED] * 3) == [(0.0, 0.0), (0.0, 0.0), None]


def test_what_the_gateway_cannot_deliver_is_no_try_and_no_busy_loop() -> None:
    said = Consume(retry=0, backoff=0.0, dead_letter="dead")  # type: ignore[arg-type]
    found = [p[0] for p in pauses(said, [LOST] * 8) if p]
    assert found == [USUAL, 2 * USUAL, 4 * USUAL, 8 * USUAL, SOON, SOON, SOON, SOON]
    broken = pauses(said, [BROKEN] * (FREE + 1))
    assert broken[-1] is None
    assert all(before[1] < after[1] for before, after in itertools.pairwise(broken[:-1]))  # type: ignore[index]


async def test_a_dead_letter_nobody_takes_is_tried_slowly(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """With no broker there is an answer at once."""
    async with Upstream() as upstream:
        killed = asyncio.Event()

        async def answer(body: bytes, tries: int) -> int:
            await killed.wait()
            return 500

        upstream.answer = answer
        await broker.produce("orders", b"1")
        more = 'retry = 0\nbackoff = "0s"\ndead_letter = "{topic}.dead"'
        async with gateway(config(broker.address, consumer(upstream.url, more))) as made:
            await made.until(lambda: upstream.got)
            await broker.kill()
            killed.set()
            told = "consumer.dead_letter"
            keys = [""]

            def tries() -> int:
                keys[:] = [getattr(record, "key", "") for record in caplog.records]
                return keys.count(told)

            await made.until(lambda: tries() >= 3)
            times = [r.created for r in caplog.records if getattr(r, "key", "") == told]
    assert times[2] - times[0] > 2 * USUAL
