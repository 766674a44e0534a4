"""A back end that takes some signals only: those are delivered, the others paused and told once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from proxy.collector.exporters.unwanted import FIRST, LONGEST, Unwanted, remedy
from proxy.collector.pipeline import Pipeline
from proxy.otlp.status import Outcome, Verdict
from tests.collector.kit import RESOURCE, plan
from tests.collector.test_pipeline import ledger, logged, running, settings, until
from tests.otlp import samples
from tests.otlp.fake_collector import Answer, FakeCollector

NOT_THERE = [
    ("http", Answer(http=404), "http_404"),
    ("http", Answer(http=405), "http_405"),
    ("http", Answer(http=501), "http_501"),
    ("http+json", Answer(http=404), "http_404"),
    ("grpc", Answer(grpc=12, message="unknown service"), "grpc_unimplemented"),
]


@contextmanager
def everything_logged() -> Iterator[list[str]]:
    log = logging.getLogger("spangate")
    before = log.level
    log.setLevel(logging.INFO)
    with logged(logging.INFO) as lines:
        yield lines
    log.setLevel(before)


def exporter(pipeline: Pipeline, collector: FakeCollector) -> Any:
    return pipeline.view()["exporters"][collector.endpoint]


@pytest.mark.parametrize(("protocol", "answer", "reason"), NOT_THERE)
async def test_traces_go_on_and_metrics_are_paused(
    protocol: str, answer: Answer, reason: str
) -> None:
    async with FakeCollector(protocol) as collector, running(settings(collector)) as pipeline:
        collector.always = {"metrics": answer, "logs": answer}
        with everything_logged() as lines:
            for _ in range(5):
                pipeline.offer_metrics(samples.metrics(2), 2)
                pipeline.offer("logs", samples.logs(3), 3)
                pipeline.offer("traces", samples.spans(1), 1)
                await until(
                    lambda: all(book.queued == 0 for book in pipeline.books), pipeline.books
                )
        spans = ledger(pipeline, collector)
        points, records = (ledger(pipeline, collector, s) for s in ("metrics", "logs"))
        assert (spans.exported, spans.dropped) == (5, {})
        assert points.dropped == {f"permanent_{reason}": 2, "unwanted": 8}
        assert records.dropped == {f"permanent_{reason}": 3, "unwanted": 12}
        assert len(collector.received) == 5 + 1 + 1
        told = exporter(pipeline, collector)
        signals = told["signals"]
        assert told["healthy"] is False and reason in told["last_error"]
        assert (signals["traces"]["healthy"], signals["traces"]["paused"]) == (True, False)
        assert (signals["metrics"]["healthy"], signals["metrics"]["paused"]) == (False, True)
        assert reason in signals["logs"]["last_error"]
    assert len(lines) == 2, lines
    assert any('signals = ["traces"' in line for line in lines)
    assert all(reason in line for line in lines)


async def test_the_numbers_say_which_signal_it_is() -> None:
    async with FakeCollector() as collector, running(settings(collector)) as pipeline:
        collector.always = {"logs": Answer(http=404)}
        pipeline.offer("logs", samples.logs(3), 3)
        pipeline.offer("traces", samples.spans(1), 1)
        await until(lambda: all(book.queued == 0 for book in pipeline.books), pipeline.books)
        found = {
            (s.instrument.name, dict(s.attributes)["signal"]): s.value
            for s in pipeline.series()
            if s.instrument.name in ("spangate.export.healthy", "spangate.export.paused")
        }
    assert found["spangate.export.healthy", "traces"] == 1
    assert found["spangate.export.healthy", "logs"] == 0
    assert found["spangate.export.paused", "traces"] == 0
    assert found["spangate.export.paused", "logs"] == 1


async def test_a_back_end_that_learns_it_gets_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.collector.exporters.unwanted.FIRST", 0.05)
    async with FakeCollector() as collector, running(settings(collector)) as pipeline:
        collector.always = {"logs": Answer(http=404)}
        book = ledger(pipeline, collector, "logs")
        pipeline.offer("logs", samples.logs(3), 3)
        await until(lambda: book.dropped.get("permanent_http_404") == 3, pipeline.books)
        collector.always = {}
        with everything_logged() as lines:
            while not book.exported:
                pipeline.offer("logs", samples.logs(1), 1)
                await until(lambda: book.queued == 0, pipeline.books)
        assert exporter(pipeline, collector)["healthy"] is True
        assert exporter(pipeline, collector)["signals"]["logs"]["paused"] is False
    assert lines == [f"exporter {collector.endpoint}: delivering logs"]


async def test_what_one_request_was_refused_for_pauses_nothing() -> None:
    async with FakeCollector() as collector, running(settings(collector)) as pipeline:
        collector.script(Answer(http=400))
        book = ledger(pipeline, collector, "logs")
        for _ in range(2):
            pipeline.offer("logs", samples.logs(3), 3)
            await until(lambda: book.queued == 0, pipeline.books)
        assert (book.exported, book.dropped) == (3, {"permanent_http_400": 3})


async def test_trouble_with_one_signal_is_not_over_because_another_goes_well() -> None:
    """Nor does the log say in turn that it is, and that it is not."""
    async with FakeCollector() as collector, running(settings(collector)) as pipeline:
        collector.always = {"logs": Answer(http=400)}
        with everything_logged() as lines:
            for _ in range(5):
                pipeline.offer("logs", samples.logs(1), 1)
                pipeline.offer("traces", samples.spans(1), 1)
                await until(
                    lambda: all(book.queued == 0 for book in pipeline.books), pipeline.books
                )
            assert exporter(pipeline, collector)["healthy"] is False
        assert len(lines) == 1


async def test_a_pipeline_s_exporter_is_told_by_its_name() -> None:
    async with FakeCollector() as collector:
        collector.always = {"logs": Answer(http=404)}
        toml = f"""
        [collector.exporters."otlp_http/jaeger"]
        endpoint = "{collector.endpoint}"
        [collector.pipelines.traces]
        receivers = ["gateway"]
        exporters = ["otlp_http/jaeger"]
        [collector.pipelines.logs]
        receivers = ["gateway"]
        exporters = ["otlp_http/jaeger"]
        """
        from proxy.config.observe import Export

        pipeline = Pipeline(Export(), RESOURCE, collector=plan(toml))
        await pipeline.start()
        with logged() as lines:
            pipeline.offer("logs", samples.logs(1), 1)
            await until(lambda: bool(lines), pipeline.books)
        await pipeline.stop(5)
    assert 'take "otlp_http/jaeger" out of the exporters of the pipelines of logs' in lines[0]


NO = Outcome(Verdict.PERMANENT, "http_404")
YES = Outcome(Verdict.ACCEPTED)
AWAY = Outcome(Verdict.RETRY, "connect")


def test_pauses_grow_to_a_bound_and_end_with_an_answer() -> None:
    policy, now, tries = Unwanted(), 0.0, 0
    assert policy.is_let_through("logs", now)
    assert policy.judge("logs", NO, now)
    while now < 86_400:
        now += 1.0
        if not policy.is_closed("logs", now) and policy.is_let_through("logs", now):
            assert not policy.is_let_through("logs", now), "one at a time"
            tries += 1
            policy.judge("logs", NO, now)
    assert 86_400 / LONGEST <= tries <= 86_400 / LONGEST + LONGEST / FIRST
    policy.judge("logs", AWAY, now)
    assert "logs" in policy
    policy.judge("logs", YES, now)
    assert not policy and policy.is_let_through("logs", now)
    policy.judge("logs", NO, now)
    assert policy.is_let_through("logs", now + FIRST)


@pytest.mark.parametrize(
    ("id", "others", "text"),
    [
        ("http://h", ["logs", "traces"], 'signals = ["traces", "logs"]'),
        ("otlp_grpc/x", ["traces"], 'take "otlp_grpc/x" out'),
        ("http://h", [], "check its URL"),
    ],
)
def test_remedies(id: str, others: list[str], text: str) -> None:
    assert text in remedy(id, "metrics", others)
