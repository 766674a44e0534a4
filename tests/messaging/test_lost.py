"""A broker that dies while messages are under way: what is answered, and what the log says."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.collector.kafka import client
from proxy.messaging import kafka_producer
from proxy.tasks import spawn
from tests.collector.tansu import Broker, tansu
from tests.messaging.kit import PRODUCER_KIND, Upstream, by_kind, config, consumer, gateway
from tests.ports import free_port

BATCHES = '[[route]]\npath = "/batch"\npublish = { to = "bus", topic = "orders", batch = true }'
SENDING = "send to kafka"


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with tansu() as running:
        await running.topic("orders")
        yield running


def sending() -> int:
    """How many requests wait for the broker."""
    return sum(task.get_name() == SENDING for task in asyncio.all_tasks())


async def test_all_that_was_under_way_is_503_and_the_log_has_one_line_of_ours(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """aiokafka fails each message of a batch by itself, and asyncio tells of every failure that
    nobody has read."""
    batch = json.dumps([{"text": "x", "key": str(n)} for n in range(50)]).encode()
    async with gateway(config(broker.address, BATCHES)) as made:
        assert (await made.post("/topics/orders", b"before"))[0] == 200
        broker.freeze()
        posts = [made.post("/batch", batch) for _ in range(2)]
        posts += [made.post("/topics/orders", b"x") for _ in range(3)]
        posted = [spawn(post, "post") for post in posts]
        await made.until(lambda: sending() == 5)
        await broker.kill()
        answers = await asyncio.gather(*posted)
        assert [status for status, _ in answers] == [503] * 5
        told = [answers[0][1]["results"][-1], *(one for _, one in answers[2:])]
        assert {one["error"] for one in told} == {"broker_unavailable"}
    gc.collect()
    said = {(record.name, getattr(record, "key", "")) for record in caplog.records}
    assert not {name for name, _ in said if name == "asyncio"}
    assert ("spangate", "queue.lost") in said


async def test_a_reset_that_nobody_waits_for_is_not_told_with_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """asyncio's streams read it themselves, unless garbage is collected in another order."""
    client.library()
    loop = asyncio.get_running_loop()
    for error in (ConnectionResetError(104, "Connection reset by peer"), ValueError("a fault")):
        loop.create_future().set_exception(error)
    gc.collect()
    told = [r.exc_info[1] for r in caplog.records if r.name == "asyncio" and r.exc_info]
    assert [type(error) for error in told] == [ValueError]


async def test_a_connection_that_comes_back_is_told(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "spangate")
    async with gateway(config(broker.address)) as made:
        assert (await made.post("/topics/orders", b"before"))[0] == 200
        broker.freeze()
        posted = spawn(made.post("/topics/orders", b"lost"), "post")
        await made.until(lambda: sending() == 1)
        await broker.kill()
        assert await broker.start()
        await broker.topic("orders")
        await posted
        async with asyncio.timeout(30):
            while (await made.post("/topics/orders", b"after"))[0] != 200:
                await asyncio.sleep(0.05)
    keys = [getattr(record, "key", "") for record in caplog.records]
    lost = keys.count("queue.lost") + keys.count("queue.unreachable")
    assert keys.count("queue.connected") == min(lost, 1)


@pytest.mark.parametrize(
    ("kind", "told"),
    [("name", "is not found"), ("refused", "nobody listens"), ("stranger", "not answer as Kafka")],
)
async def test_the_log_says_which_broker_and_what_is_wrong_with_it(
    kind: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with stranger() as port:
        address = {
            "name": "kafka.invalid:9092",
            "refused": f"127.0.0.1:{free_port()}",
            "stranger": f"127.0.0.1:{port}",
        }[kind]
        text = config(address, consumer("http://127.0.0.1:1"))
        keys = {"queue.unreachable", "consumer.away"}
        async with gateway(text) as made:
            await made.until(lambda: keys <= {getattr(r, "key", "") for r in caplog.records})
            assert (await made.post("/topics/orders", b"x"))[0] == 503
    said = [r.getMessage() for r in caplog.records if getattr(r, "key", "") in keys]
    assert len(said) == 2
    assert all(address in line and told in line and "brokers" in line for line in said)
    assert not [line for line in said if "AddressFamily" in line or "\n" in line]


@asynccontextmanager
async def stranger() -> AsyncIterator[int]:
    """A server that speaks something else."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_who_asks_for_a_topic_that_nobody_knows_waits_for_itself_alone(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One question after the other goes to the broker: without an answer each would take the
    timeout of those before as well, and the worker would not wait so long."""
    monkeypatch.setattr(kafka_producer, "TOPICS", 0.0)
    async with gateway(config(broker.address, queue='timeout = "2s"')) as made:
        assert (await made.post("/topics/orders", b"before"))[0] == 200
        broker.freeze()
        posts = [made.post(f"/topics/other{n}", b"x") for n in range(6)]
        answers = await asyncio.gather(*posts)
        spans = await made.spans(14)
    assert [(status, told["error"]) for status, told in answers] == [(504, "timeout")] * 6
    took = [s.end_time_unix_nano - s.start_time_unix_nano for s in by_kind(spans, PRODUCER_KIND)]
    assert max(took) < 7e9  # and not 12


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_a_broker_that_does_not_answer_is_told_and_no_lag(
    broker: Broker, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """aiokafka's consumers go on trying for ever, and return nothing."""
    caplog.set_level("INFO", "spangate")

    def keys() -> list[str]:
        found = [getattr(record, "key", "") for record in caplog.records]
        return [key for key in found if key in ("consumer.away", "consumer.back")]

    async with Upstream() as upstream:
        await broker.produce("orders", b"1")
        async with gateway(config(broker.address, consumer(upstream.url))) as made:
            await made.until(lambda: made.numbers("spangate.consumer.lag"))
            if how == "killed":
                await broker.kill()
            else:
                broker.freeze()
            await made.until(lambda: not made.numbers("spangate.consumer.lag"))
            await made.until(lambda: "consumer.away" in keys())
            if how == "killed":
                assert await broker.start()
                await broker.topic("orders")
            else:
                broker.thaw()
            await made.until(lambda: made.numbers("spangate.consumer.lag"))
            await made.until(lambda: keys() == ["consumer.away", "consumer.back"])


async def test_without_a_broker_a_topic_that_nobody_knows_is_503_too(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_producer, "TOPICS", 0.0)
    async with gateway(config(broker.address)) as made:
        assert (await made.post("/topics/orders", b"before"))[0] == 200
        await broker.kill()
        status, told = await made.post("/topics/other", b"x")
    assert (status, told["error"]) == (503, "broker_unavailable")


async def test_a_library_that_has_stopped_sending_begins_anew(broker: Broker) -> None:
    async with gateway(config(broker.address)) as made:
        assert (await made.post("/topics/orders", b"before"))[0] == 200
        names = [(task, getattr(task.get_coro(), "__name__", "")) for task in asyncio.all_tasks()]
        (sender,) = [task for task, name in names if name == "_sender_routine"]
        sender.cancel()
        async with asyncio.timeout(30):
            while (answer := await made.post("/topics/orders", b"after"))[0] != 200:
                assert answer[0] == 503, answer
                await asyncio.sleep(0.05)
