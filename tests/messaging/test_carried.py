"""What a request brings into its message: whatever workers let through, as it is."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.collector.tansu import Broker, tansu
from tests.messaging.kit import PRODUCER_KIND, by_kind, config, gateway


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with tansu() as running:
        await running.topic("orders")
        yield running


async def test_keys_and_headers_are_as_long_as_heads_of_requests_may_be(broker: Broker) -> None:
    key, tenant = "k" * 20_000, "t" * 20_000
    headers = {"x-key": key, "x-tenant": tenant}
    headers |= {f"x-other-{n}": "" for n in range(90)}
    async with gateway(config(broker.address)) as made:
        status, told = await made.post("/topics/orders", b"x", headers)
        assert status == 200, told
        (record,) = await broker.read("orders", 1)
        spans = await made.spans(2)
    assert record.key == key.encode()
    assert dict(record.headers)["x-tenant"] == tenant.encode()
    assert len(by_kind(spans, PRODUCER_KIND)) == 1


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "nonsense"])
async def test_encoded_bodies_stay_as_they_are(coding: str, broker: Broker) -> None:
    """What they are encoded with is the consumer's to know, and no body grows on the way."""
    body = gzip.compress(b"x" * 100_000) if coding == "gzip" else b"\x00not so"
    async with gateway(config(broker.address)) as made:
        status, told = await made.post("/topics/orders", body, {"content-encoding": coding})
        assert status == 200, told
        (record,) = await broker.read("orders", 1)
    assert record.value == body
    assert dict(record.headers)["content-encoding"] == coding.encode()


async def test_all_lines_of_a_header_are_carried(broker: Broker) -> None:
    """RFC 9110 §5.3: lines of one name are one list; baggage comes in several."""
    lines = [("baggage", "a=b"), ("baggage", "c=d"), ("x-tenant", "1"), ("x-tenant", "2")]
    async with gateway(config(broker.address, '[tracing]\ntrust = ["127.0.0.1"]')) as made:
        url = f"http://127.0.0.1:{made.port}/topics/orders"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=b"x", headers=lines) as answer,
        ):
            assert answer.status == 200
        (record,) = await broker.read("orders", 1)
    found = dict(record.headers)
    assert found["baggage"] == b"a=b, c=d"
    assert found["x-tenant"] == b"1, 2"


async def test_a_batch_that_is_encoded_cannot_be_read(broker: Broker) -> None:
    more = '[[route]]\npath = "/batch"\npublish = { to = "bus", topic = "orders", batch = true }'
    async with gateway(config(broker.address, more)) as made:
        body = gzip.compress(b'[{"text": "x"}]')
        status, told = await made.post("/batch", body, {"content-encoding": "gzip"})
        assert (status, told["error"]) == (415, "encoded")
        assert (await made.post("/batch", b'[{"text": "x"}]'))[0] == 200
