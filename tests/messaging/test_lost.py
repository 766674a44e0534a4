"""A broker that dies while messages are under way: what is answered, and what the log says."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator

import pytest

from tests.collector.tansu import Broker, tansu
from tests.messaging.kit import config, gateway

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
        posted = [asyncio.ensure_future(post) for post in posts]
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
