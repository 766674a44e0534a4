"""OpenTelemetry's own instrumentation of Kafka on both sides of the gateway."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.collector.tansu import Broker, tansu
from tests.messaging.kit import (
    CLIENT_KIND,
    CONSUMER_KIND,
    PRODUCER_KIND,
    Upstream,
    by_kind,
    config,
    consumer,
    gateway,
)
from tests.otlp.fake_collector import DEADLINE

pytest.importorskip("opentelemetry.instrumentation.aiokafka")


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with tansu() as running:
        await running.topic("orders")
        yield running


async def service(what: str, broker: Broker) -> list[Any]:
    """The spans of a service that produces or consumes one message."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.messaging.instrumented", what, broker.address, "orders"),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(DEADLINE):
        told, _ = await process.communicate()
    assert process.returncode == 0
    found: list[Any] = json.loads(told)
    return found


async def test_an_instrumented_producer_is_the_parent(broker: Broker) -> None:
    (theirs,) = await service("produce", broker)
    assert theirs["kind"] == "PRODUCER"
    async with (
        Upstream() as upstream,
        gateway(config(broker.address, consumer(upstream.url))) as made,
    ):
        ours = await made.spans(2)
    (process,), (client,) = by_kind(ours, CONSUMER_KIND), by_kind(ours, CLIENT_KIND)
    assert process.trace_id.hex() == theirs["trace"]
    assert process.parent_span_id.hex() == theirs["span"]
    assert [link.span_id.hex() for link in process.links] == [theirs["span"]]
    assert client.parent_span_id == process.span_id


async def test_an_instrumented_consumer_is_the_child(broker: Broker) -> None:
    async with gateway(config(broker.address)) as made:
        assert (await made.post("/topics/orders", b"1", {"x-key": "k"}))[0] == 200
        (producer,) = by_kind(await made.spans(2), PRODUCER_KIND)
        theirs = await service("consume", broker)
    assert theirs
    assert {span["trace"] for span in theirs} == {producer.trace_id.hex()}
    assert producer.span_id.hex() in {span["parent"] for span in theirs}
