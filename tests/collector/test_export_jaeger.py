"""The Jaeger exporter against our own Jaeger receiver, and against servers that refuse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from proxy.collector.batch import Batch
from proxy.errors import ConfigError
from proxy.formats.jaeger.proto import POST_SPANS
from tests.collector.kit import Place, batch, settings
from tests.collector.test_jaeger_mapping import otlp


@asynccontextmanager
async def collector(*codes: grpc.StatusCode) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A collector that answers with these codes one after the other, then OK."""
    seen: list[bytes] = []
    left = list(codes)

    async def take(payload: bytes, context: Any) -> bytes:
        seen.append(payload)
        if left:
            await context.abort(left.pop(0), "no")
        return b""

    handler = grpc.unary_unary_rpc_method_handler(take)
    name = POST_SPANS.rpartition("/")[2]
    service = POST_SPANS.strip("/").partition("/")[0]
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {name: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port, seen
    finally:
        await server.stop(0)


async def deliver(port: int, *batches: Batch) -> Place:
    place = Place("exporter", "jaeger")
    exporter = place.make(
        f'endpoint = "127.0.0.1:{port}"\nretry_on_failure = {{ initial_interval = "1ms" }}'
    )
    await exporter.start()
    for one in batches:
        assert place.send(one)
    async with asyncio.timeout(20):
        await exporter.stop(5)
    return place


async def test_our_receiver_gets_what_was_sent() -> None:
    there = Place("receiver", "jaeger")
    receiver = there.make('grpc = "127.0.0.1:0"')
    await receiver.start()
    sent = batch("traces", 3)
    place = await deliver(receiver.addresses["grpc"], sent)
    await receiver.stop(1)
    assert (place.ledger.exported, place.ledger.dropped) == (3, {})
    message: Any = there.out[0].message()
    original: Any = sent.message()
    want, got = original.resource_spans[0], message.resource_spans[0]
    assert got.resource == want.resource
    assert got.scope_spans[0].scope == want.scope_spans[0].scope
    assert list(got.scope_spans[0].spans) == list(want.scope_spans[0].spans)


async def test_a_large_batch_is_translated_in_a_thread() -> None:
    async with collector() as (port, seen):
        place = await deliver(port, batch("traces", 400))
    assert len(seen) == 1
    assert place.ledger.exported == 400


async def test_what_may_be_sent_again_is() -> None:
    async with collector(grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED) as (port, seen):
        place = await deliver(port, batch())
    assert len(seen) == 3
    assert len(set(seen)) == 1
    assert place.ledger.exported == 3


async def test_what_is_refused_for_good_is_dropped_with_the_reason() -> None:
    async with collector(grpc.StatusCode.INVALID_ARGUMENT) as (port, seen):
        place = await deliver(port, batch())
    assert len(seen) == 1
    assert place.ledger.dropped == {"permanent_grpc_invalid_argument": 3}


async def test_of_a_batch_that_was_cut_only_the_refused_part_is_lost() -> None:
    big = Batch.of("traces", otlp("a", spans=3, size=3_000_000))
    async with collector(grpc.StatusCode.INVALID_ARGUMENT) as (port, seen):
        place = await deliver(port, big)
    assert len(seen) == 3
    assert (place.ledger.exported, place.ledger.dropped) == (2, {"rejected": 1})


async def test_bytes_that_are_no_request_are_dropped() -> None:
    async with collector() as (port, seen):
        place = await deliver(port, Batch("traces", b"\xff" * 5, 2))
    assert seen == []
    assert place.ledger.dropped == {"permanent_malformed": 2}


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [("http://a:1", "not a gRPC"), ("jaeger", "no port"), ("grpc://a:1/x", "not a gRPC")],
)
def test_endpoints_are_checked(endpoint: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        settings("exporter", "jaeger", f'endpoint = "{endpoint}"')
