"""Every Stage keeps the contract that is written on the interface."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from io import StringIO

import pytest

from proxy.collector.batch import Batch
from proxy.collector.books import Books, Ledger
from proxy.collector.export_console import ConsoleExporter
from proxy.collector.export_otlp import OtlpExporter
from proxy.collector.queue import Queue
from proxy.collector.retry import Backoff
from proxy.collector.stage import Stage
from proxy.otlp.connect import connect
from proxy.otlp.endpoint import parse
from proxy.otlp.envelope import Envelope
from proxy.otlp.transport import Options
from tests.otlp import samples


def otlp(url: str) -> Callable[[Ledger], Stage]:
    def make(ledger: Ledger) -> Stage:
        transport = connect(parse(url), Options(timeout=1))
        return OtlpExporter(url, transport, Queue(0), Backoff(1, 1, 0), {"traces": ledger})

    return make


def console(ledger: Ledger) -> Stage:
    return ConsoleExporter(StringIO(), ledger)


STAGES = {
    # port 1: nobody listens there
    "grpc": otlp("grpc://127.0.0.1:1"),
    "http": otlp("http://127.0.0.1:1"),
    "json": otlp("http+json://127.0.0.1:1"),
    "console": console,
}
BATCH = Batch("traces", Envelope({}).request([samples.spans(3)]), 3)
GARBAGE = Batch("traces", b"\xff" * 10, 3)


@pytest.fixture(params=STAGES)
def make(request: pytest.FixtureRequest) -> Callable[[Ledger], Stage]:
    return STAGES[request.param]


def opened(make: Callable[[Ledger], Stage]) -> tuple[Stage, Ledger]:
    ledger = Books().open("traces", "x")
    stage = make(ledger)
    ledger.places.append(lambda: stage.held("traces"))
    return stage, ledger


async def test_every_item_is_somewhere_at_every_moment(
    make: Callable[[Ledger], Stage],
) -> None:
    stage, ledger = opened(make)
    await stage.start()
    for batch in (BATCH, GARBAGE, BATCH):
        ledger.created += batch.items
        stage.consume(batch)
        assert ledger.balanced
        await asyncio.sleep(0)
        assert ledger.balanced
    await stage.stop(0.05)
    assert ledger.balanced
    assert (ledger.queued, stage.held("logs")) == (0, 0)


async def test_after_stop_nothing_is_taken(make: Callable[[Ledger], Stage]) -> None:
    stage, ledger = opened(make)
    await stage.start()
    await stage.stop(0.05)
    ledger.created += 3
    assert stage.consume(BATCH) is False
    assert ledger.balanced


async def test_stop_leaves_no_task_behind(make: Callable[[Ledger], Stage]) -> None:
    before = asyncio.all_tasks()
    stage, _ = opened(make)
    await stage.start()
    stage.consume(BATCH)
    await asyncio.sleep(0)
    await stage.stop(0.05)
    left = {t for t in asyncio.all_tasks() - before if not t.done()}
    assert not left


async def test_stop_ends_although_the_other_side_does_not(
    make: Callable[[Ledger], Stage],
) -> None:
    stage, _ = opened(make)
    await stage.start()
    stage.consume(BATCH)
    async with asyncio.timeout(10):
        await stage.stop(0.05)


async def test_stop_without_anything_to_do(make: Callable[[Ledger], Stage]) -> None:
    stage, ledger = opened(make)
    await stage.start()
    async with asyncio.timeout(10):
        await stage.stop(3600)
    assert ledger.balanced
