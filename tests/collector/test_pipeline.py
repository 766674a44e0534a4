"""From the workers' entries to collectors on real sockets, and the books at every moment."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import StringIO
from typing import Any

import pytest

from proxy.collector.books import Books, Ledger
from proxy.collector.pipeline import Pipeline
from proxy.config.observe import Export, Retrying
from proxy.config.units import Seconds, Size
from proxy.errors import ConfigError
from proxy.otlp import wire
from tests.otlp import samples
from tests.otlp.fake_collector import HANG, Answer, FakeCollector

PROTOCOLS = ["grpc", "http", "http+json"]
QUICK = Retrying(initial=Seconds(0.02), max=Seconds(0.1), elapsed=Seconds(0))
RESOURCE = {"service.name": "gate", "process.pid": 7}


def settings(*collectors: FakeCollector, **more: Any) -> Export:
    given: dict[str, Any] = {"batch_age": Seconds(0.01), "retry": QUICK, "timeout": Seconds(5)}
    return Export(otlp=[c.endpoint for c in collectors], **{**given, **more})


@asynccontextmanager
async def running(export: Export, **more: Any) -> AsyncIterator[Pipeline]:
    pipeline = Pipeline(export, RESOURCE, **more)
    await pipeline.start()
    try:
        yield pipeline
    finally:
        await pipeline.stop(5)
        assert pipeline.books.balanced()
        assert all(ledger.queued == 0 for ledger in pipeline.books)


async def until(condition: Callable[[], bool], books: Books) -> None:
    """Wait for `condition`; the books must balance every time that this task looks."""
    async with asyncio.timeout(60):
        while not condition():
            assert books.balanced(), list(books)
            await asyncio.sleep(0.002)
    assert books.balanced(), list(books)


def ledger(pipeline: Pipeline, collector: FakeCollector, signal: Any = "traces") -> Ledger:
    return pipeline.books.open(signal, collector.endpoint)


@contextmanager
def logged(level: int = logging.WARNING) -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logging.Handler(level)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("spangate")
    log.addHandler(handler)
    try:
        yield lines
    finally:
        log.removeHandler(handler)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_all_signals_are_delivered_and_booked(protocol: str) -> None:
    async with FakeCollector(protocol) as collector, running(settings(collector)) as pipeline:
        for _ in range(10):
            pipeline.offer("traces", samples.spans(7), 7)
            pipeline.offer("logs", samples.logs(3), 3)
            assert pipeline.books.balanced()
        pipeline.offer_metrics(samples.metrics(5), 5)
        for signal, items in (("traces", 70), ("logs", 30), ("metrics", 5)):
            await collector.wait_items(signal, items)
            account = ledger(pipeline, collector, signal)
            await until(lambda a=account: a.queued == 0, pipeline.books)
            assert (account.created, account.exported, account.dropped) == (items, items, {})


async def test_one_resource_a_batch() -> None:
    async with FakeCollector() as collector, running(settings(collector)) as pipeline:
        for _ in range(50):
            pipeline.offer("traces", samples.spans(2), 2)
        await collector.wait_items("traces", 100)
    (request,) = collector.received
    assert request.payload.count(b"service.name") == 1


async def test_requests_stay_below_the_limit() -> None:
    export = settings(batch_bytes=Size(4000))
    async with FakeCollector("grpc") as collector:
        export = settings(collector, batch_bytes=Size(4000))
        async with running(export) as pipeline:
            pipeline.offer("traces", samples.spans(500), 500)
            pipeline.offer_metrics(samples.metrics(500), 500)
            await collector.wait_items("traces", 500)
            await collector.wait_items("metrics", 500)
    assert all(len(request.payload) <= 4000 for request in collector.received)


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [
        ("http", Answer(http=429, headers={"Retry-After": "0"})),
        ("http", Answer(http=502)),
        ("http", Answer(http=503)),
        ("http", Answer(http=504)),
        ("http+json", Answer(http=503)),
        ("grpc", Answer(grpc=14)),
        ("grpc", Answer(grpc=1)),
        ("grpc", Answer(grpc=8, retry_info=0.05)),
        ("grpc", Answer(grpc=14, retry_info=0.05)),
    ],
)
async def test_retryable_answers_are_tried_again(protocol: str, answer: Answer) -> None:
    async with FakeCollector(protocol) as collector, running(settings(collector)) as pipeline:
        collector.script(answer, answer)
        pipeline.offer("traces", samples.spans(5), 5)
        await until(lambda: ledger(pipeline, collector).exported == 5, pipeline.books)
        assert len(collector.received) == 3
        assert len({request.payload for request in collector.received}) == 1


@pytest.mark.parametrize(
    ("protocol", "answer", "reason"),
    [
        ("http", Answer(http=400), "permanent_http_400"),
        ("http", Answer(http=500), "permanent_http_500"),
        ("http", Answer(http=413), "permanent_http_413"),
        ("http+json", Answer(http=400), "permanent_http_400"),
        ("grpc", Answer(grpc=3), "permanent_grpc_invalid_argument"),
        ("grpc", Answer(grpc=8), "permanent_grpc_resource_exhausted"),
        ("grpc", Answer(grpc=13), "permanent_grpc_internal"),
    ],
)
async def test_permanent_answers_are_not(protocol: str, answer: Answer, reason: str) -> None:
    async with FakeCollector(protocol) as collector, running(settings(collector)) as pipeline:
        collector.script(answer)
        pipeline.offer("traces", samples.spans(5), 5)
        account = ledger(pipeline, collector)
        await until(lambda: account.queued == 0, pipeline.books)
        assert account.dropped == {reason: 5}
        pipeline.offer("traces", samples.spans(5), 5)
        await until(lambda: account.exported == 5, pipeline.books)
        assert len(collector.received) == 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_partial_success_is_counted_and_never_resent(protocol: str) -> None:
    async with FakeCollector(protocol) as collector, running(settings(collector)) as pipeline:
        collector.script(Answer(reject=3, message="too old"))
        with logged() as lines:
            pipeline.offer("traces", samples.spans(10), 10)
            account = ledger(pipeline, collector)
            await until(lambda: account.queued == 0, pipeline.books)
        assert (account.exported, account.dropped) == (7, {"rejected": 3})
        assert len(collector.received) == 1
        assert "3 spans rejected: too old" in lines[0]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_as_late_as_the_collector_asks(protocol: str) -> None:
    answers = {
        "http": Answer(http=503, headers={"Retry-After": "1"}),
        "grpc": Answer(grpc=14, retry_info=1.0),
    }
    async with (
        FakeCollector(protocol) as collector,
        running(settings(collector, concurrency=3)) as pipeline,
    ):
        collector.script(answers[protocol])
        pipeline.offer("traces", samples.spans(5), 5)
        await collector.wait_requests(1)
        asked = time.monotonic()
        account = ledger(pipeline, collector)
        await until(lambda: account.queued == 5 and account.exported == 0, pipeline.books)
        # The collector as a whole wants to be left alone, not only for this batch.
        pipeline.offer("logs", samples.logs(5), 5)
        await until(lambda: account.exported == 5, pipeline.books)
        await collector.wait_items("logs", 5)
        assert time.monotonic() - asked >= 0.9
        assert len(collector.received) == 3


async def test_gives_up_after_the_elapsed_time() -> None:
    retry = Retrying(initial=Seconds(0.01), max=Seconds(0.02), elapsed=Seconds(0.2))
    async with FakeCollector() as collector:
        collector.default = Answer(http=503)
        async with running(settings(collector, retry=retry)) as pipeline:
            pipeline.offer("traces", samples.spans(5), 5)
            account = ledger(pipeline, collector)
            await until(lambda: account.queued == 0, pipeline.books)
            assert account.dropped == {"retry_exhausted": 5}
            assert len(collector.received) > 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_collector_that_dies_and_returns(protocol: str) -> None:
    async with FakeCollector(protocol) as collector, running(settings(collector)) as pipeline:
        account = ledger(pipeline, collector)
        pipeline.offer("traces", samples.spans(5), 5)
        await until(lambda: account.exported == 5, pipeline.books)
        await collector.die()
        with logged() as lines:
            for _ in range(20):
                pipeline.offer("traces", samples.spans(5), 5)
                await asyncio.sleep(0.005)
                assert pipeline.books.balanced()
            await until(lambda: bool(lines), pipeline.books)
        assert account.created == 105
        assert account.queued == 100
        assert len(lines) == 1  # not one for each attempt
        await collector.revive()
        await until(lambda: account.exported == 105, pipeline.books)
        assert account.dropped == {}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_collector_that_never_answers(protocol: str) -> None:
    async with FakeCollector(protocol) as collector:
        collector.default = HANG
        export = settings(collector, timeout=Seconds(0.1), concurrency=2, batch_items=1)
        async with running(export) as pipeline:
            for _ in range(10):
                pipeline.offer("traces", samples.spans(1), 1)
            await collector.wait_requests(6)
            assert collector.under_way <= 4  # two attempts, and two that time out just now
            account = ledger(pipeline, collector)
            assert (account.exported, account.queued) == (0, 10)
            collector.default = Answer()
            await until(lambda: account.exported == 10, pipeline.books)


async def test_a_full_queue_drops_the_newest() -> None:
    async with FakeCollector() as collector:
        collector.default = HANG
        export = settings(collector, queue_bytes=Size(3000), batch_items=1, concurrency=1)
        async with running(export) as pipeline:
            for number in range(100):
                pipeline.offer("traces", samples.spans(1, first=number), 1)
                assert pipeline.books.balanced()
            account = ledger(pipeline, collector)
            assert account.dropped["queue_full"] > 50
            held = account.queued
            assert held == 100 - account.dropped["queue_full"] > 5
            await collector.wait_requests(1)
            assert b"\0\0\0\0\0\0\0\1" in collector.received[0].payload
            await pipeline.stop(0.05)
            assert account.dropped["shutdown"] == held


async def test_a_dead_destination_holds_up_nobody() -> None:
    async with FakeCollector("http") as dead, FakeCollector("grpc") as alive:
        dead.default = HANG
        export = settings(dead, alive, batch_items=1, queue_bytes=Size(2000))
        async with running(export) as pipeline:
            for number in range(50):
                pipeline.offer("traces", samples.spans(1, first=number), 1)
                await alive.wait_items("traces", number + 1)
            await until(lambda: ledger(pipeline, alive).exported == 50, pipeline.books)
            assert ledger(pipeline, dead).exported == 0
            assert ledger(pipeline, dead).dropped["queue_full"] > 0
            await pipeline.stop(0.05)


async def test_stop_delivers_what_is_there() -> None:
    async with FakeCollector("grpc") as collector:
        pipeline = Pipeline(settings(collector, batch_age=Seconds(3600)), RESOURCE)
        await pipeline.start()
        pipeline.offer("traces", samples.spans(5), 5)
        pipeline.offer("logs", samples.logs(5), 5)
        await pipeline.stop(10)
        assert (collector.items("traces"), collector.items("logs")) == (5, 5)
        assert pipeline.books.balanced()
        pipeline.offer("traces", samples.spans(2), 2)
        assert ledger(pipeline, collector).dropped == {"shutdown": 2}
        await pipeline.stop(10)


async def test_stop_tries_at_once_what_was_waiting_for_its_next_try() -> None:
    retry = Retrying(initial=Seconds(3600), max=Seconds(3600), elapsed=Seconds(0))
    async with FakeCollector() as collector:
        collector.script(Answer(http=503))
        pipeline = Pipeline(settings(collector, retry=retry), RESOURCE)
        await pipeline.start()
        pipeline.offer("traces", samples.spans(5), 5)
        await collector.wait_requests(1)
        await pipeline.stop(10)
        assert collector.items("traces") == 5


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_stop_ends_in_time_and_counts_what_is_left(protocol: str) -> None:
    async with FakeCollector(protocol) as collector:
        collector.default = HANG
        pipeline = Pipeline(settings(collector, timeout=Seconds(0)), RESOURCE)
        await pipeline.start()
        pipeline.offer("traces", samples.spans(5), 5)
        await collector.wait_requests(1)
        async with asyncio.timeout(20):
            await pipeline.stop(0.1)
        assert ledger(pipeline, collector).dropped == {"shutdown": 5}
        assert pipeline.books.balanced()


async def test_what_workers_lost_is_booked() -> None:
    async with (
        FakeCollector() as one,
        FakeCollector("grpc") as two,
        running(settings(one, two)) as pipeline,
    ):
        pipeline.note_dropped("traces", 9, "link_full")
        for collector in (one, two):
            account = ledger(pipeline, collector)
            assert (account.created, account.dropped) == (9, {"link_full": 9})


async def test_signals_that_nobody_takes() -> None:
    async with (
        FakeCollector() as collector,
        running(settings(collector, signals=["traces"])) as pipeline,
    ):
        assert pipeline.wants("traces")
        assert not pipeline.wants("logs")
        pipeline.offer("logs", samples.logs(4), 4)
        pipeline.offer_metrics(samples.metrics(2), 2)
        pipeline.note_dropped("logs", 1, "link_full")
        nobody = pipeline.books.open("logs", "none")
        assert (nobody.created, nobody.dropped) == (5, {"no_exporter": 4, "link_full": 1})
        assert pipeline.books.balanced()


async def test_without_any_exporter() -> None:
    async with running(Export()) as pipeline:
        pipeline.offer("traces", samples.spans(2), 2)
        assert pipeline.books.as_dict()["none"]["traces"]["dropped"] == {"no_exporter": 2}


async def test_malformed_entries_are_dropped_and_counted() -> None:
    async with (
        FakeCollector() as collector,
        running(settings(collector, batch_bytes=Size(1000))) as pipeline,
    ):
        pipeline.offer("traces", b"\xff" * 2000, 3)
        assert ledger(pipeline, collector).dropped == {"malformed": 3}


async def test_json_of_malformed_entries_is_a_permanent_failure() -> None:
    async with FakeCollector("http+json") as collector, running(settings(collector)) as pipeline:
        pipeline.offer("traces", b"\xff" * 20, 3)
        account = ledger(pipeline, collector)
        await until(lambda: account.queued == 0, pipeline.books)
        assert account.dropped == {"permanent_malformed": 3}


async def test_books_go_on_in_the_next_pipeline() -> None:
    async with FakeCollector() as collector:
        async with running(settings(collector)) as first:
            first.offer("traces", samples.spans(5), 5)
        async with running(settings(collector), books=first.books) as second:
            second.offer("traces", samples.spans(5), 5)
            await collector.wait_items("traces", 10)
        account = ledger(second, collector)
        assert (account.created, account.exported, account.places) == (10, 10, [])


async def test_what_is_offered_before_the_start_waits() -> None:
    async with FakeCollector() as collector:
        pipeline = Pipeline(settings(collector), RESOURCE)
        pipeline.offer("traces", samples.spans(5), 5)
        await pipeline.start()
        await collector.wait_items("traces", 5)
        await pipeline.stop(1)


@pytest.mark.parametrize(
    ("export", "key"),
    [
        (Export(otlp=["http://good:1", "localhost:4317"]), "export.otlp[1]"),
        (Export(otlp=["http://h"], headers={"a b": "c"}), "export.otlp"),
        (Export(otlp=["https://h"], tls={"ca": "/no.pem"}), "export.tls.ca"),
    ],
)
async def test_unusable_settings_name_the_key(export: Export, key: str) -> None:
    if isinstance(export.tls, dict):
        from proxy.config.observe import Tls

        export = Export(otlp=export.otlp, tls=Tls(ca="/no.pem"))
    with pytest.raises(ConfigError) as error:
        await Pipeline(export, RESOURCE).start()
    assert error.value.problems[0].key == key


async def test_the_console_prints_a_finished_trace_as_a_tree() -> None:
    stream = StringIO()
    export = Export(console=True, batch_age=Seconds(0.01))
    async with running(export, console=stream) as pipeline:
        pipeline.offer("traces", samples.spans(6), 6)
        account = pipeline.books.open("traces", "console")
        await until(lambda: account.exported == 6, pipeline.books)
    text = stream.getvalue()
    assert "trace 4bf92f3577b34da6a3ce929d0e0e4736  6 spans  20.0 ms" in text
    assert text.count("└─") == 5
    assert "\x1b" not in text


async def test_counts_agree_with_the_wire() -> None:
    async with FakeCollector("grpc") as collector, running(settings(collector)) as pipeline:
        pipeline.offer("traces", samples.spans(33), 33)
        await collector.wait_items("traces", 33)
    assert sum(wire.count("traces", p) for p in collector.accepted["traces"]) == 33
